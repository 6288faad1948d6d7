"""How requests are read from a connection, one after the other."""

import asyncio
from http import HTTPStatus

import h11

from identomat_async.sandbox._asgi import ROOT, Call
from identomat_async.sandbox._page_request import Request

_PIECE = 65536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Requests:
    """The requests on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = b""

    async def next(self) -> Request | None:
        """
        Return the next request, whole; None when the other side has gone.

        Raises:
            h11.RemoteProtocolError: It is no HTTP.
        """
        parser = h11.Connection(h11.SERVER)
        if self._left:  # nothing would mean that the other side has gone
            parser.receive_data(self._left)
        request, body = None, bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                if not await self._more(parser):
                    return None
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                # The end of the message: the only other event of a client that speaks.
                assert request is not None  # noqa: S101  # for types
                self._left = parser.trailing_data[0]
                return _read(request, bytes(body))

    async def _more(self, parser: h11.Connection) -> bool:
        if parser.they_are_waiting_for_100_continue:
            # What is said here the parser must know of, or it asks again.
            parser.send(h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[]))
            self._writer.write(_CONTINUE)
        data = await self._reader.read(_PIECE)
        if data:
            parser.receive_data(data)
        return bool(data)


def call_of(request: Request) -> Call:
    """Return a request as the service takes it."""
    return Call(
        operation=operation_of(request.path),
        method=request.method,
        query=request.query,
        content_type=request.headers.get("content-type", ""),
        authorization=request.headers.get("authorization", ""),
        body=request.body,
    )


def operation_of(path: str) -> str:
    """Return which method a path means; something that is no method for any other path."""
    return path.removeprefix(ROOT).removesuffix("/") if path.startswith(ROOT) else "unknown"


def _read(request: h11.Request, body: bytes) -> Request:
    path, _, query = request.target.partition(b"?")
    return Request(
        method=request.method.decode(),
        path=path.decode("latin-1"),
        query=query,
        headers={
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
        },
        body=body,
    )
