"""A service that counts, from a process of its own; it may be slow and it may misbehave."""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import attrs

from benchmarks._origin import answer_with, document, request_end

_BACKLOG = 8192
_APPROVED = document()
_TOKEN = b'"session_token":"'


@attrs.frozen(kw_only=True)
class Habits:
    """
    How the service behaves.

    Attributes:
        delay: Seconds before each answer.
        settles: A session is decided from its n-th request on; 0 for never.
        closes: It closes a connection after n answers; 0 for never.
        drops: It breaks off each n-th answer in the middle of its body; 0 for never.
    """

    delay: float = 0.0
    settles: int = 0
    closes: int = 0
    drops: int = 0


def verdict_of(token: str) -> str:
    """Say how a session ends: the same on both sides of the wire."""
    first = hashlib.sha256(token.encode()).digest()[0]
    return ("approved", "rejected", "manual_check")[first % 3]


@attrs.define(kw_only=True)
class Service:
    """Everything that the connections have in common."""

    habits: Habits
    connections: int = 0
    requests: int = 0
    open: int = 0
    _seen: Counter[bytes] = attrs.field(factory=Counter, init=False)
    _answers: dict[str, bytes] = attrs.field(factory=dict, init=False)

    def answer(self, request: bytes) -> bytes:
        """Say how the session of a request stands; or, to a GET, what has been counted."""
        if request.startswith(b"GET"):
            counted = {"connections": self.connections, "requests": self.requests}
            return answer_with(json.dumps(counted | {"open": self.open - 1}).encode())
        self.requests += 1
        status = "in_progress"
        if self.habits.settles:
            token = request.partition(_TOKEN)[2].partition(b'"')[0]
            self._seen[token] += 1
            if self._seen[token] >= self.habits.settles:
                status = verdict_of(token.decode())
        if status not in self._answers:
            said = _APPROVED.replace(b'"approved"', f'"{status}"'.encode(), 1)
            self._answers[status] = answer_with(said)
        return self._answers[status]


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = bytearray()
        self._left = service.habits.closes or sys.maxsize

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections += 1
        self._service.open += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # its name is given
        self._service.open -= 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := request_end(self._received)) is not None:
            answer = self._service.answer(bytes(self._received[:end]))
            del self._received[:end]
            if self._service.habits.delay:
                loop = asyncio.get_running_loop()
                loop.call_later(self._service.habits.delay, self._say, answer)
            else:
                self._say(answer)

    def _say(self, answer: bytes) -> None:
        drops = self._service.habits.drops
        is_cut = drops and self._service.requests % drops == 0
        self._transport.write(answer[:-100] if is_cut else answer)
        self._left -= 1
        if is_cut or not self._left:
            self._transport.close()


async def serve(habits: Habits) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    loop, service = asyncio.get_running_loop(), Service(habits=habits)
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent holds the other end: it ends however the parent does.
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def busy(habits: Habits) -> Generator[str]:
    """Run it for the length of a block; gives the base URL of its API."""
    with subprocess.Popen(  # noqa: S603  # our own file
        [sys.executable, "-m", "benchmarks._busy_origin", json.dumps(attrs.asdict(habits))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/external-api/"


def counted(base_url: str) -> dict[str, int]:
    """Ask a running service what it has counted."""
    with urlopen(base_url) as answer:  # noqa: S310  # our own process
        counts: dict[str, int] = json.load(answer)
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("habits", type=json.loads)
    asyncio.run(serve(Habits(**parser.parse_args().habits)))
