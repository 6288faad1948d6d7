"""How an httpx client reaches the sandbox without a socket, on asyncio and on trio."""

from itertools import count
from typing import cast

import anyio.lowlevel
import httpx
from starlette.types import ASGIApp, Message, Scope

from identomat_async.sandbox._asgi import Call
from identomat_async.sandbox._faults import Fault
from identomat_async.sandbox._faults_desk import FaultDesk, asked_by
from identomat_async.sandbox._faults_here import Weather
from identomat_async.sandbox._faults_line import Body, Line
from identomat_async.sandbox._front_request import operation_of

_PORTS = count(49152)
_CLOSED = "Server disconnected without sending a response."


class InProcessTransport(httpx.AsyncBaseTransport):
    """
    One connection to an ASGI application that runs in the caller's own task.

    Args:
        app: The application.
        weather: What goes wrong.
        desk: What answers where a fault strikes.
    """

    def __init__(self, app: ASGIApp, weather: Weather, desk: FaultDesk) -> None:
        self._app = app
        self._weather = weather
        self._desk = desk
        # Every connection has a port of its own, as over a real network.
        self._client = ("127.0.0.1", next(_PORTS))
        self._closed = False
        self._requests = 0
        self._left = b""
        self._is_over = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Answer one request.

        Raises:
            httpx.TransportError: The transport is closed, or a fault has struck.
        """
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise httpx.ConnectError("the connection is closed", request=request)
        self._requests += 1
        self._check_weather()
        body = await request.aread()
        await self._linger(request)
        fault = self._weather.fault_for(operation_of(request.url.path))
        if fault is not None or self._left:
            return await self._spoiled(request, body, fault)
        return await self._plain(request, body)

    async def aclose(self) -> None:
        """Close the connection."""
        self._closed = True

    def _check_weather(self) -> None:
        if self._weather.is_out and self._requests == 1:
            raise httpx.ConnectError("All connection attempts failed")
        if self._weather.is_out or self._is_over:
            raise httpx.RemoteProtocolError(_CLOSED)

    async def _linger(self, request: httpx.Request) -> None:
        delay = self._weather.delay
        if not delay:
            return
        patience: float | None = request.extensions.get("timeout", {}).get("read")
        if patience is not None and delay > patience:
            await anyio.sleep(patience)
            raise httpx.ReadTimeout("")
        await anyio.sleep(delay)

    async def _spoiled(
        self, request: httpx.Request, body: bytes, fault: Fault | None
    ) -> httpx.Response:
        call = _call_of(request, body)
        asked = asked_by(call, lambda: self._requests)
        _, steps = self._desk.answer(call, asked, self._requests, fault)
        line = Line(request, steps, self._left)
        # Until the answer has been read to its end, nothing else can be on this connection.
        self._left, self._is_over = b"", True
        head = await line.head()
        headers = [(bytes(name), bytes(value)) for name, value in head.headers]
        return httpx.Response(head.status_code, headers=headers, stream=Body(line, self._read))

    def _read(self, line: Line) -> None:
        self._left, self._is_over = line.left, line.is_over

    async def _plain(self, request: httpx.Request, body: bytes) -> httpx.Response:
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(self._scope(request), receive, send)
        return _response(messages)

    def _scope(self, request: httpx.Request) -> Scope:
        url = request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": self._client,
            "root_path": "",
        }


def _call_of(request: httpx.Request, body: bytes) -> Call:
    return Call(
        operation=operation_of(request.url.path),
        method=request.method,
        query=request.url.query,
        content_type=request.headers.get("content-type", ""),
        authorization=request.headers.get("authorization", ""),
        body=body,
    )


def _response(messages: list[Message]) -> httpx.Response:
    start, *rest = messages
    content = b"".join(cast("bytes", message.get("body", b"")) for message in rest)
    return httpx.Response(
        cast("int", start["status"]),
        headers=cast("list[tuple[bytes, bytes]]", start["headers"]),
        stream=httpx.ByteStream(content),
    )
