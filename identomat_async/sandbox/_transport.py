"""How an httpx client reaches the sandbox without a socket, on asyncio and on trio."""

from itertools import count
from typing import cast

import anyio.lowlevel
import httpx
from starlette.types import ASGIApp, Message, Scope

_PORTS = count(49152)


class InProcessTransport(httpx.AsyncBaseTransport):
    """
    One connection to an ASGI application that runs in the caller's own task.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Every connection has a port of its own, as over a real network.
        self._client = ("127.0.0.1", next(_PORTS))
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Answer one request.

        Raises:
            httpx.ConnectError: The transport is closed.
        """
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise httpx.ConnectError("the connection is closed", request=request)
        body = await request.aread()
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(self._scope(request), receive, send)
        return _response(messages)

    async def aclose(self) -> None:
        """Close the connection."""
        self._closed = True

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


def _response(messages: list[Message]) -> httpx.Response:
    start, *rest = messages
    content = b"".join(cast("bytes", message.get("body", b"")) for message in rest)
    return httpx.Response(
        cast("int", start["status"]),
        headers=cast("list[tuple[bytes, bytes]]", start["headers"]),
        stream=httpx.ByteStream(content),
    )
