"""Asks a service as fast as it answers, at next to no cost of its own."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager

from benchmarks._origin import request_end

_HEAD = (
    "POST /external-api/{} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)
_LISTEN = b"GET /sessions/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def request(operation: str, **parameters: str) -> bytes:
    """Write a request whole."""
    body = json.dumps({"company_key": "benchmark"} | parameters)
    return (_HEAD.format(operation, len(body)) + body).encode()


async def ask(port: int, requests: Iterable[bytes], *, connections: int) -> list[bytes]:
    """Ask everything; return the bodies in the order of their coming, errors as empty ones."""
    loop = asyncio.get_running_loop()
    left, bodies = iter(requests), list[bytes]()
    waiting = [loop.create_future() for _ in range(connections)]
    for done in waiting:
        asker = _Asker(left, bodies, done)
        await loop.create_connection(lambda asker=asker: asker, "127.0.0.1", port)
    await asyncio.gather(*waiting)
    return bodies


@asynccontextmanager
async def listening(port: int) -> AsyncGenerator[None]:
    """Look at the page of all sessions for the length of a block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    writer.write(_LISTEN)
    await reader.readuntil(b"data: ")
    swallow = asyncio.create_task(reader.read())
    try:
        yield
    finally:
        swallow.cancel()
        writer.close()


class _Asker(asyncio.Protocol):
    """One connection, on which the next request follows each answer."""

    def __init__(
        self, left: Iterator[bytes], bodies: list[bytes], done: "asyncio.Future[None]"
    ) -> None:
        self._left = left
        self._bodies = bodies
        self._done = done
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        # An answer ends where a request of that length would.
        if (end := request_end(self._received)) is None:
            return
        answer = bytes(self._received[:end])
        del self._received[:end]
        is_good = answer.startswith(b"HTTP/1.1 200 ")
        self._bodies.append(answer.partition(b"\r\n\r\n")[2] if is_good else b"")
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionResetError())

    def _ask(self) -> None:
        following = next(self._left, None)
        if following is not None:
            self._transport.write(following)
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.close()
