"""A deadline bounds everything: whatever dawdles, the call ends within 250 ms of it."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from identomat_async import IdentomatClient, Media, RetryPolicy
from identomat_async._wire._transport import library
from identomat_async.errors import RequestTimeoutError

ONCE = RetryPolicy(attempts=1)
DEADLINE = 0.2

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http

Call = Callable[[IdentomatClient, Path], Awaitable[object]]
CALLS: tuple[Call, ...] = (
    lambda client, _: client.begin(deadline=DEADLINE),
    lambda client, _: client.result("t", deadline=DEADLINE),
    lambda client, _: client.media("t", Media.FACE, deadline=DEADLINE),
    lambda client, folder: client.save_media("t", Media.FACE, folder / "f", deadline=DEADLINE),
)


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
DAWDLES = [
    pytest.param(b"", b"", id="silence"),
    pytest.param(HEAD, b"", id="stalled-header"),
    pytest.param(HEAD + b"Content-Length: 9\r\n\r\n\xff\xd8", b"", id="stalled-body"),
    pytest.param(b"", HEAD + b"Content-Length: 9\r\n\r\n", id="dripping-header"),
    pytest.param(HEAD + b"\r\n\xff\xd8", b"\xff" * 1000, id="dripping-body"),
    pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, id="endless-hints"),
]


@asynccontextmanager
async def dawdling(
    said: bytes, drips: bytes, *, piece: int = 1, every: float = 0.05
) -> AsyncIterator[int]:
    async def serve(stream: SocketStream) -> None:
        try:
            async with stream:
                await stream.receive()
                await stream.send(said) if said else None
                for at in range(0, len(drips), piece):
                    await anyio.sleep(every)
                    await stream.send(drips[at : at + piece])
                while True:
                    await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


def client_of(port: int, host: str = "127.0.0.1", **keywords: Any) -> IdentomatClient:
    return IdentomatClient("k", base_url=f"http://{host}:{port}/", retry=ONCE, **keywords)


async def all_end_in_time(
    client: IdentomatClient, folder: Path, calls: tuple[Call, ...] = CALLS
) -> list[RequestTimeoutError]:
    errors = list[RequestTimeoutError]()

    async def end_in_time(call: Call) -> None:
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError) as caught:
            await call(client, folder)
        assert DEADLINE <= time.monotonic() - began < DEADLINE + 0.25
        assert caught.value.reason == "deadline"
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(end_in_time, call)
    assert len(errors) == len(calls)
    return errors


def busy(client: IdentomatClient) -> int:
    lanes: Any = client.source.transport.lanes  # type: ignore[attr-defined]
    return lanes.busy  # type: ignore[no-any-return]


@pytest.mark.parametrize(("said", "drips"), DAWDLES)
async def test_whatever_dawdles(said: bytes, drips: bytes, tmp_path: Path) -> None:
    async with dawdling(said, drips) as port, client_of(port) as client:
        errors = await all_end_in_time(client, tmp_path)
        assert busy(client) == 0

    assert all(error.maybe_applied for error in errors)
    assert list(tmp_path.iterdir()) == []


async def test_a_full_pool(tmp_path: Path) -> None:
    async with (
        dawdling(b"", b"") as port,
        client_of(port, max_connections=1) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: client.source.look("t", fresh=False))
        await anyio.sleep(0.05)
        errors = await all_end_in_time(client, tmp_path)
        assert busy(client) == 1
        group.cancel_scope.cancel()

    assert not any(error.maybe_applied for error in errors)


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port at which connecting takes for ever."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        plugs = [socket.socket() for _ in range(4)]
        for plug in plugs:
            plug.setblocking(False)  # noqa: FBT003 - the name of the method says what
            plug.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for plug in plugs:
            plug.close()


async def test_a_black_hole(tmp_path: Path) -> None:
    with full_backlog() as port:
        async with client_of(port) as client:
            errors = await all_end_in_time(client, tmp_path)

    assert not any(error.maybe_applied for error in errors)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_names_that_nobody_looks_up(tmp_path: Path) -> None:
    # asyncio looks names up in the default executor: here its one thread has other work.
    release = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    asyncio.get_running_loop().run_in_executor(None, release.wait)
    try:
        async with client_of(9, "localhost") as client:
            errors = await all_end_in_time(client, tmp_path)
    finally:
        release.set()

    assert not any(error.maybe_applied for error in errors)


async def test_a_transport_that_closes_slowly(tmp_path: Path) -> None:
    class Slow(httpx.AsyncBaseTransport):  # type: ignore[misc] # either library's
        async def handle_async_request(self, request: object) -> object:
            await anyio.sleep_forever()
            return request

        async def aclose(self) -> None:
            await anyio.sleep_forever()

    async with client_of(9, transport=Slow) as client:
        await all_end_in_time(client, tmp_path)
        assert busy(client) == 0
