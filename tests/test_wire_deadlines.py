"""A deadline bounds everything: whatever dawdles, the call ends within 250 ms of it."""

import asyncio
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream

from identomat_async import IdentomatClient, Media, RetryPolicy
from identomat_async._wire._files import AtomicFile, SinkError
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
    lambda client, _: client.delete("t", deadline=DEADLINE),
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


def pour(listener: socket.socket, said: bytes, flood: bytes, tls: ssl.SSLContext | None) -> None:
    """Answer everybody with *said*, and then with *flood* as fast as it goes."""

    def serve(plug: socket.socket) -> None:
        with suppress(OSError), plug:
            stream = plug if tls is None else tls.wrap_socket(plug, server_side=True)
            with stream:
                stream.recv(65536)
                stream.sendall(said)
                while True:
                    stream.sendall(flood)

    with suppress(OSError):
        while True:
            threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()


@contextmanager
def flooding(said: bytes, flood: bytes, tls: ssl.SSLContext | None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=pour, args=[listener, said, flood, tls], daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


async def longest_turn(turns: list[float]) -> None:
    """Note the longest that this thread was busy before others had their turn."""
    while True:
        began = time.thread_time()
        await anyio.sleep(0.001)
        turns.append(time.thread_time() - began)


HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4000
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = [
    pytest.param(b"", HINTS, CALLS[1], id="hints"),
    pytest.param(HEAD + CHUNKED, b"1\r\n \r\n" * 10000, CALLS[1], id="bytes"),
    pytest.param(HEAD + CHUNKED, b"1\r\n\xff\r\n" * 10000, CALLS[-1], id="bytes-to-a-file"),
]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("said", "flood", "call"), FLOODS)
async def test_a_flood_of_little_pieces(
    said: bytes, flood: bytes, call: Call, secure: bool, tmp_path: Path
) -> None:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    turns = list[float]()
    with flooding(said, flood, server if secure else None) as port:
        base_url = f"https://localhost:{port}/" if secure else f"http://127.0.0.1:{port}/"
        async with (
            IdentomatClient(
                "k", base_url=base_url, retry=ONCE, ssl_context=trusting if secure else None
            ) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(longest_turn, turns)
            await all_end_in_time(client, tmp_path, (call,))
            group.cancel_scope.cancel()

    # The aim is a twentieth of a second; a machine may be twice as slow.
    assert max(turns) < 0.1


class Stuck:
    """A disk that takes nothing more, from when the answer comes until it is released."""

    def __init__(self, folder: Path, *, size: int, whole: bool = True) -> None:
        self.folder = folder
        self.image = b"\xff" * size
        self.whole = whole
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, bytes(65536))
        os.set_blocking(self.writer, True)

    def answer(self, _: object) -> Any:
        # The file of the call is open by now; what is written to it goes to the full pipe.
        temporary = [
            int(each.name)
            for each in Path("/proc/self/fd").iterdir()
            if each.is_symlink() and each.readlink().parent == self.folder
        ]
        for descriptor in temporary:
            os.dup2(self.writer, descriptor)
        headers = {"content-type": "image/jpeg", "content-length": str(len(self.image))}
        return httpx.Response(200, content=self.pieces(), headers=headers)

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self.image
        if not self.whole:
            await anyio.sleep_forever()

    def release(self) -> None:
        # Whoever is still writing is told that nobody reads.
        os.close(self.reader)
        os.close(self.writer)


@contextmanager
def stuck_disk(folder: Path, *, size: int, whole: bool = True) -> Iterator[Callable[[], Any]]:
    """Give what makes transports that answer with a medium, for which the disk has no time."""
    stuck = Stuck(folder, size=size, whole=whole)
    try:
        yield lambda: httpx.MockTransport(stuck.answer)
    finally:
        stuck.release()


async def is_empty(folder: Path) -> bool:
    with anyio.move_on_after(2):
        while any(folder.iterdir()):
            await anyio.sleep(0.005)
        return True
    return False


# What is small waits in memory until the file is put in its place, or given up.
@pytest.mark.parametrize(
    ("size", "whole"),
    [
        pytest.param(50, True, id="at-the-end"),
        pytest.param(100_000, True, id="at-once"),
        pytest.param(50, False, id="when-it-is-given-up"),
    ],
)
async def test_a_disk_that_takes_nothing(size: int, whole: bool, tmp_path: Path) -> None:
    with stuck_disk(tmp_path, size=size, whole=whole) as transport:
        async with client_of(9, transport=transport) as client:
            await all_end_in_time(client, tmp_path, CALLS[-1:])
            assert busy(client) == 0
    assert await is_empty(tmp_path)


async def test_a_disk_that_takes_nothing_and_a_task_that_is_cancelled(tmp_path: Path) -> None:
    with stuck_disk(tmp_path, size=100_000) as transport:
        async with client_of(9, transport=transport) as client:
            began = time.monotonic()
            with anyio.move_on_after(0.1) as scope:
                await client.save_media("t", Media.FACE, tmp_path / "f")
            assert scope.cancelled_caught
            assert time.monotonic() - began < 0.35
    assert await is_empty(tmp_path)


class Slow(AtomicFile):
    """A file on a disk that does not open or close one until it is let."""

    def __init__(self, path: Path, *, opens: bool) -> None:
        super().__init__(path)
        self.release = threading.Event()
        self.opens = opens

    def _open(self) -> None:
        if not self.opens:
            self.release.wait()
        super()._open()

    def _commit(self) -> None:
        release = self.release

        class Waiting(io.BufferedWriter):
            def flush(self) -> None:
                release.wait()
                super().flush()

        self._file = Waiting(self._opened.detach())  # type: ignore[attr-defined]
        super()._commit()


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("folder", [".", "not-there"])
async def test_a_file_that_is_left_while_the_disk_is_stuck_does_not_appear(
    folder: str, opens: bool, tmp_path: Path
) -> None:
    began = time.monotonic()
    with anyio.move_on_after(0.1) as scope, suppress(SinkError):
        async with Slow(tmp_path / folder / "f", opens=opens) as file:
            await file.rewind()
            await file.commit()
    assert time.monotonic() - began < 0.35
    assert scope.cancelled_caught or folder == "not-there"
    file.release.set()
    assert file._gone.wait(2) or not scope.cancelled_caught
    assert not any(tmp_path.iterdir())


async def test_a_thread_that_comes_too_late_touches_no_file(tmp_path: Path) -> None:
    async with AtomicFile(tmp_path / "f") as file:
        pass
    file._act(lambda: file._opened.write(b"new"))

    assert not any(tmp_path.iterdir())


async def test_worker_threads_that_are_all_busy_hold_up_no_file(tmp_path: Path) -> None:
    release, limiter = threading.Event(), anyio.to_thread.current_default_thread_limiter()
    image = httpx.Response(200, content=b"\xff", headers={"content-type": "image/jpeg"})
    transport = httpx.MockTransport(lambda _: image)
    async with (
        client_of(9, transport=lambda: transport) as client,
        anyio.create_task_group() as group,
    ):
        for _ in range(int(limiter.total_tokens)):
            group.start_soon(anyio.to_thread.run_sync, release.wait)
        try:
            await client.save_media("t", Media.FACE, tmp_path / "f", deadline=1)
        finally:
            release.set()

    assert (tmp_path / "f").read_bytes() == b"\xff"
