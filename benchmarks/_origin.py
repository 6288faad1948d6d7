"""A service in a process of its own, which says the same of every session."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_BACKLOG = 8192
_SIZE = 1900

Seconds = float


def document(result: str = "approved") -> bytes:
    """Write a session of an invented person, as large as real ones are."""
    known = {
        "result": result,
        "live": True,
        "similarity": 98,
        "document_type": "id_card",
        "generalDocuments": [],
        "person": {
            "first_name": "Anna",
            "last_name": "Example",
            "birthday": "7/1/1990",
            "citizenship": "UTO",
            "personal_number": "00000000001",
            "address": "1 Sample Street, 00001 Sampletown, Utopia",
        },
    }
    spare = _SIZE - len(json.dumps(known | {"x_padding": ""}))
    return json.dumps(known | {"x_padding": "x" * spare}).encode()


def answer_with(body: bytes) -> bytes:
    """Write the whole HTTP answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def request_end(received: bytes | bytearray) -> int | None:
    """Return where the first request in *received* ends, None if it is not all there."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = 0
    for line in bytes(received[:head]).lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    end = head + 4 + length
    return end if len(received) >= end else None


class Origin(asyncio.Protocol):
    """One connection, over which every request gets the same answer after a while."""

    def __init__(self, answer: bytes, delay: Seconds) -> None:
        self._answer = answer
        self._delay = delay
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := request_end(self._received)) is not None:
            del self._received[:end]
            if self._delay:
                loop = asyncio.get_running_loop()
                loop.call_later(self._delay, self._transport.write, self._answer)
            else:
                self._transport.write(self._answer)


async def serve(delay: Seconds, result: str) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    loop = asyncio.get_running_loop()
    answer = answer_with(document(result))
    server = await loop.create_server(
        lambda: Origin(answer, delay), "127.0.0.1", 0, backlog=_BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent holds the other end: it ends however the parent does.
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def running(delay: Seconds, *, result: str = "approved") -> Generator[str]:
    """Run it for the length of a block; gives the base URL of its API."""
    with subprocess.Popen(  # noqa: S603  # our own file
        [sys.executable, str(Path(__file__)), str(delay), result],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/external-api/"


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), sys.argv[2]))
