"""What real connections do to a client: broken HTTP, silence, and closing at a bad moment."""

import errno
import gzip
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from tenacity import wait_none

from identomat_async import IdentomatClient, Media, RetryPolicy, SessionStatus
from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    ClientClosedError,
    ConnectionFailedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    ServerError,
    SessionNotFoundError,
    SignatureError,
    TransportError,
    UnexpectedRedirectError,
)

ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(wait=wait_none())


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


Ending = Callable[[SocketStream], Awaitable[None]]


async def keep(_: SocketStream) -> None:
    """Wait for the next request on the same connection."""


async def close(stream: SocketStream) -> None:
    await stream.aclose()


async def reset(stream: SocketStream) -> None:
    plug = stream.extra(SocketAttribute.raw_socket)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def stall(stream: SocketStream) -> None:
    """Say nothing until the other side has gone."""
    await stream.receive()


def again_and_again(piece: bytes, *, every: float = 0.02) -> Ending:
    async def drip(stream: SocketStream) -> None:
        while True:
            await stream.send(piece)
            await anyio.sleep(every)

    return drip


def ok(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


PENDING = ok(b'{"result":"in_progress"}')
APPROVED = ok(b'{"result":"approved"}')


class RawServer:
    """Says to its n-th request what it was told to say, and remembers what it was asked."""

    def __init__(self, replies: list[tuple[bytes, Ending]]) -> None:
        self.replies = replies
        self.requests: list[bytes] = []
        self.open = self.connections = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def client(self, **keywords: object) -> IdentomatClient:
        return IdentomatClient("k", base_url=self.base_url, **{"retry": ONCE, **keywords})  # type: ignore[arg-type]

    async def is_left(self) -> None:
        """Return when every connection is closed, which must be soon."""
        with anyio.fail_after(1):
            while self.open:
                await anyio.sleep(0.01)

    async def serve(self, stream: SocketStream) -> None:
        self.connections += 1
        self.open += 1
        try:
            async with stream:
                await self._talk(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        except anyio.IncompleteRead:
            pass
        finally:
            self.open -= 1

    async def _talk(self, stream: SocketStream) -> None:
        buffered = BufferedByteReceiveStream(stream)
        while True:
            head = await buffered.receive_until(b"\r\n\r\n", 65536)
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await buffered.receive_exactly(int(length)) if int(length or b"0") else b""
            self.requests.append(head + b"\r\n\r\n" + body)
            said, ending = self.replies[min(len(self.requests), len(self.replies)) - 1]
            await stream.send(said) if said else None
            await ending(stream)


@asynccontextmanager
async def saying(*replies: tuple[bytes, Ending]) -> AsyncIterator[RawServer]:
    server = RawServer(list(replies))
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(
            await anyio.create_tcp_listener(local_host="127.0.0.1")
        )
        server.port = listener.extra(SocketAttribute.local_port)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(listener.serve, server.serve)
        try:
            yield server
        finally:
            group.cancel_scope.cancel()


CUT = ConnectionFailedError, None, True, True
GARBAGE = ResponseDecodeError, "http", True, True
LATE = RequestTimeoutError, None, True, True
PERSON = b'{"result":"approved","person":{"first_name":"ANNA"}}'

FAULTS = [
    pytest.param(b"", reset, *CUT, id="F6-reset"),
    pytest.param(b"", close, *CUT, id="F7-closed-without-an-answer"),
    pytest.param(b"HTTP/1.1 20", close, *CUT, id="F10-half-a-status-line"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX-", close, *CUT, id="F10-half-the-headers"),
    pytest.param(b"", stall, *LATE, id="F11-silence"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", stall, *LATE, id="F11-silence-in-the-headers"),
    pytest.param(APPROVED[:-5], stall, *LATE, id="F11-silence-in-the-body"),
    pytest.param(APPROVED[:-5], close, *CUT, id="F14-short-body"),
    pytest.param(APPROVED[:-5], reset, *CUT, id="F14-reset-in-the-body"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{ANNA",
        close,
        *CUT,
        id="F14-chunks-cut",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        keep,
        *GARBAGE,
        id="F15-chunk-size",
    ),
    pytest.param(b"\x00\xff ANNA \r\n\r\n", keep, *GARBAGE, id="F15-garbage"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        keep,
        *GARBAGE,
        id="F15-two-lengths",
    ),
    pytest.param(b"ANNA", close, *CUT, id="F16-no-http"),
    pytest.param(ok(PERSON, "X: " + "a" * 200_000), keep, *GARBAGE, id="F20-long-header"),
    pytest.param(
        ok(PERSON, *["X: a"] * 300),
        keep,
        *(ResponseDecodeError, "headers", True, True),
        id="F21-many-headers",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\n\r\n",
        again_and_again(b"[" * 2**20, every=0),
        *(ResponseTooLargeError, "too-large", True, True),
        id="F22-endless-body",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        stall,
        *(ResponseTooLargeError, "too-large", True, True),
        id="F22-length-alone",
    ),
    pytest.param(
        ok(gzip.compress(PERSON), "Content-Encoding: gzip"),
        keep,
        *(ResponseDecodeError, "encoding", True, True),
        id="F23-compressed",
    ),
    pytest.param(
        ok(b"<html>ANNA</html>", kind="text/html"),
        keep,
        *(ResponseDecodeError, "content-type", True, True),
        id="F25-page",
    ),
    pytest.param(ok(b""), keep, *(ResponseDecodeError, "empty", True, True), id="F26-empty"),
    pytest.param(
        b"HTTP/1.1 204 No Content\r\n\r\n",
        keep,
        *(ResponseDecodeError, "empty", True, True),
        id="F26-no-content",
    ),
    pytest.param(
        ok(PERSON[:-1]), keep, *(ResponseDecodeError, "json", True, True), id="F27-cut-json"
    ),
    pytest.param(
        ok(b'{"result":["ANNA"]}'),
        keep,
        *(ResponseDecodeError, "shape", True, True),
        id="F28-wrong-type",
    ),
    pytest.param(
        ok(b'"SESSION_NOT_FOUND"'), keep, SessionNotFoundError, None, False, False, id="F29"
    ),
    pytest.param(
        ok(b'{"argumentError":"ANNA"}'), keep, ApiError, "argument", False, False, id="F30"
    ),
    pytest.param(
        ok(b"", "Location: http://127.0.0.1:9/ANNA", status="307 Elsewhere"),
        keep,
        *(UnexpectedRedirectError, None, False, False),
        id="F32-redirect",
    ),
    pytest.param(ok(b"ANNA", status="400 No"), keep, ApiError, None, False, False, id="F33"),
    pytest.param(
        ok(b"ANNA", status="401 No"), keep, AuthenticationError, None, False, False, id="F34"
    ),
    pytest.param(ok(b"", status="408 Late"), keep, *LATE, id="F36"),
    pytest.param(ok(b"", status="409 No"), keep, ApiError, "conflict", True, False, id="F37"),
    pytest.param(ok(b"", status="429 No"), keep, RateLimitedError, None, True, False, id="F38"),
    pytest.param(ok(PERSON, status="500 No"), keep, ServerError, None, True, True, id="F39"),
    pytest.param(ok(b"", status="502 No"), keep, ServerError, None, True, True, id="F40"),
    pytest.param(
        ok(b"", "Retry-After: 1", status="503 No"), keep, ServerError, None, True, False, id="F41"
    ),
]


@pytest.mark.parametrize(("said", "ending", "kind", "reason", "retryable", "applied"), FAULTS)
async def test_every_fault_has_its_error_and_leaves_nothing_open(
    said: bytes,
    ending: Ending,
    kind: type[IdentomatError],
    reason: str | None,
    retryable: bool,
    applied: bool,
) -> None:
    async with saying((said, ending)) as server, server.client(timeout=0.4) as client:
        with pytest.raises(IdentomatError) as caught:
            await client.result("t")
        error = caught.value
        lanes = client.source.transport.lanes  # type: ignore[attr-defined]

        assert type(error) is kind
        assert (error.reason, error.retryable, error.maybe_applied) == (reason, retryable, applied)
        assert (error.attempts, error.__cause__, error.__context__) == (1, None, None)
        assert "ANNA" not in str(error)
        assert 0 < error.elapsed < 2
        assert lanes.busy == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "ending", "repeats"),
    [
        pytest.param(b"", close, 1, id="closed"),
        pytest.param(ok(b"", status="500 No"), keep, 1, id="500"),
        pytest.param(ok(b"", status="408 No"), keep, 1, id="408"),
        pytest.param(ok(b"", status="409 No"), keep, 1, id="409"),
        pytest.param(ok(b"{"), keep, 1, id="unreadable"),
        pytest.param(ok(b"", status="429 No"), keep, 3, id="429"),
        pytest.param(ok(b"", "Retry-After: 0.01", status="503 No"), keep, 3, id="503-later"),
        pytest.param(ok(b"", status="425 No"), keep, 3, id="425"),
    ],
)
async def test_begin_is_repeated_only_where_it_cannot_have_worked(
    said: bytes, ending: Ending, repeats: int
) -> None:
    async with saying((said, ending)) as server, server.client(retry=QUICK) as client:
        with pytest.raises(IdentomatError) as caught:
            await client.begin()

    assert len(server.requests) == caught.value.attempts == repeats
    assert caught.value.maybe_applied == (repeats == 1 and b"409" not in said)


async def test_a_port_where_nobody_listens_is_asked_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = IdentomatClient(
            "k", base_url=f"http://127.0.0.1:{free.getsockname()[1]}/", retry=QUICK
        )
        async with client:
            with pytest.raises(ConnectionFailedError) as caught:
                await client.begin()

    error = caught.value
    assert (error.errno, error.attempts, error.maybe_applied) == (errno.ECONNREFUSED, 3, False)


async def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    async with IdentomatClient("k", base_url="https://no.invalid/", retry=ONCE) as client:
        with pytest.raises(TransportError) as caught:
            await client.begin(deadline=5)

    assert not caught.value.maybe_applied


async def test_what_is_no_tls_is_refused_at_once() -> None:
    async with saying((b"", keep)) as server:
        plain = anyio.connect_tcp("127.0.0.1", server.port)
        await (await plain).aclose()
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, _speak_plainly)
                async with IdentomatClient(
                    "k", base_url=f"https://127.0.0.1:{port}/", retry=QUICK
                ) as client:
                    with pytest.raises(ConnectionFailedError) as caught:
                        await client.result("t")
                group.cancel_scope.cancel()

    error = caught.value
    assert (error.tls, error.attempts) == (True, 1)
    assert (error.retryable, error.maybe_applied) == (False, False)


async def _speak_plainly(stream: SocketStream) -> None:
    async with stream:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def test_a_handshake_that_is_cut_off_is_tried_again() -> None:
    met = list[int]()

    async def hang_up(stream: SocketStream) -> None:
        met.append(1)
        async with stream:
            await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, hang_up)
            async with IdentomatClient(
                "k", base_url=f"https://127.0.0.1:{port}/", retry=QUICK
            ) as client:
                with pytest.raises(ConnectionFailedError) as caught:
                    await client.result("t")
            group.cancel_scope.cancel()

    assert (caught.value.tls, len(met)) == (False, 3)


# --- deadlines -------------------------------------------------------------------------

DRIPS = [
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", again_and_again(b"{"), id="body"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", again_and_again(b"X: y\r\n"), id="headers"),
    pytest.param(b"", again_and_again(b"HTTP/1.1 103 Early Hints\r\n\r\n"), id="hints"),
    pytest.param(b"", stall, id="silence"),
]


@pytest.mark.parametrize(("said", "ending"), DRIPS)
async def test_a_deadline_holds_whatever_drips_in(said: bytes, ending: Ending) -> None:
    async with saying((said, ending)) as server, server.client(retry=QUICK) as client:
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError) as caught:
            await client.begin(deadline=0.6)
        took = time.monotonic() - began
        error = caught.value

        assert 0.6 <= took < 0.85
        assert (error.reason, error.maybe_applied, error.attempts) == ("deadline", True, 1)
        assert error.elapsed == pytest.approx(took, abs=0.05)
        await server.is_left()


async def test_a_deadline_that_passes_before_anything_was_sent_says_so() -> None:
    async with (
        saying((b"", stall)) as server,
        server.client(max_connections=1) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: client.source.look("t", fresh=False))
        await anyio.sleep(0.05)
        with pytest.raises(RequestTimeoutError) as caught:
            await client.begin(deadline=0.1)
        group.cancel_scope.cancel()

    assert not caught.value.maybe_applied


async def test_a_deadline_that_passes_while_connecting_says_that_nothing_was_sent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        plugs = [socket.socket() for _ in range(4)]
        for plug in plugs:
            plug.setblocking(False)  # noqa: FBT003 - the name of the method says what
            plug.connect_ex(full.getsockname())
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        async with IdentomatClient("k", base_url=base_url, retry=ONCE) as client:
            with pytest.raises(RequestTimeoutError) as caught:
                await client.begin(deadline=0.2)
        async with IdentomatClient("k", base_url=base_url, retry=ONCE, timeout=0.1) as client:
            with pytest.raises(RequestTimeoutError, match="no connection in time") as timeout:
                await client.begin()
        for plug in plugs:
            plug.close()

    assert (caught.value.reason, caught.value.maybe_applied) == ("deadline", False)
    assert (timeout.value.reason, timeout.value.maybe_applied) == (None, False)


# --- kept connections ------------------------------------------------------------------


async def test_looks_share_one_connection_and_results_have_their_own() -> None:
    async with saying((PENDING, keep)) as server, server.client() as client:
        for _ in range(3):
            assert await client.source.look("t", fresh=False) is SessionStatus.IN_PROGRESS
        kept = server.connections
        await client.result("t")
        await client.source.look("t", fresh=True)

    assert (kept, server.connections) == (1, 3)


@pytest.mark.parametrize("ending", [close, reset])
async def test_a_kept_connection_that_was_just_closed_costs_nothing(ending: Ending) -> None:
    async with (
        saying((PENDING, keep), (b"", ending), (APPROVED, keep)) as server,
        server.client() as client,
    ):
        await client.source.look("t", fresh=False)
        seen = await client.source.look("t", fresh=False)

    assert seen is SessionStatus.APPROVED
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("garbage", [b"", b"ANNA \r\n\r\n"])
async def test_only_a_silent_close_of_a_kept_connection_is_asked_again(garbage: bytes) -> None:
    replies = [(PENDING, keep), (garbage, close), (b"", close)]
    async with saying(*replies) as server, server.client() as client:
        await client.source.look("t", fresh=False)
        with pytest.raises(IdentomatError) as caught:
            await client.source.look("t", fresh=False)

    assert len(server.requests) == (2 if garbage else 3)
    assert (caught.value.attempts, caught.value.operation) == (1, "result")


async def test_no_more_is_asked_where_an_answer_was_not_signed_as_it_must_be() -> None:
    async with saying((APPROVED, keep)) as server, server.client(secret_key="s") as client:
        for connections in (1, 2, 3):
            with pytest.raises(SignatureError):
                await client.source.look("t", fresh=False)
            assert server.connections == connections
            await server.is_left()


FOREIGN = [
    b'{"result":"in_progress","session_token":"u"}',
    b'{"result":"in_progress", "session_token" : "u", "person":{}}',
    b'{"session_token":"u","result":"in_progress"}',
    b'{"result":"in_progress","session_token":"t","session_token":"u"}',
]


@pytest.mark.parametrize("body", FOREIGN)
async def test_no_more_is_asked_where_an_answer_named_another_session(body: bytes) -> None:
    is_doubled = body.count(b"session_token") > 1
    async with saying((ok(body), keep)) as server, server.client() as client:
        for ask in (
            lambda: client.source.look("t", fresh=False),
            lambda: client.source.look("t", fresh=True),
            lambda: client.result("t"),
            lambda: client.delete("t"),
        ):
            with pytest.raises(ResponseDecodeError) as caught:
                await ask()
            assert caught.value.reason == ("json" if is_doubled else "other-session")
            await server.is_left() if not is_doubled else None

    assert server.connections == 4


@pytest.mark.parametrize(
    "more",
    [
        b'"session_token":"t"',
        b'"person":{"first_name":"session_token"}',
        b'"person":{"first_name":"\\",\\"session_token\\":\\"u"}',
        b'"person":{"session_token":"u"}',
    ],
)
@pytest.mark.parametrize("encoding", ["json", "form", "query"])
async def test_what_a_person_wrote_names_no_session(more: bytes, encoding: str) -> None:
    reply = ok(b'{"result":"in_progress",' + more + b"}")
    async with saying((reply, keep)) as server, server.client(encoding=encoding) as client:
        for fresh in (False, False, True):
            await client.source.look("t", fresh=fresh)

    assert server.connections == 2


async def test_no_cookie_goes_back_and_nothing_compressed_is_asked_for() -> None:
    reply = ok(b'{"result":"in_progress"}', "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d")
    async with saying((reply, keep)) as server, server.client() as client:
        for _ in range(2):
            await client.source.look("t", fresh=False)

    assert server.connections == 1
    for request in server.requests:
        assert b"cookie" not in request.lower()
        assert b"Accept-Encoding: identity\r\n" in request


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_nowhere(status: int) -> None:
    async with saying((APPROVED, keep)) as other:
        reply = ok(b"", f"Location: {other.base_url}result/", status=f"{status} Elsewhere")
        async with saying((reply, keep)) as server, server.client(retry=QUICK) as client:
            with pytest.raises(UnexpectedRedirectError):
                await client.result("t")

    assert (len(server.requests), other.connections) == (1, 0)


async def test_a_stray_answer_reaches_nobody_who_acts_on_it() -> None:
    async with saying((PENDING + APPROVED, keep)) as server, server.client() as client:
        await client.source.look("a", fresh=False)
        result = await client.result("b")

    assert result.status is SessionStatus.IN_PROGRESS


# --- closing ---------------------------------------------------------------------------


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    failures = list[IdentomatError]()

    async def fail(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ClientClosedError) as caught:
            await call()
        failures.append(caught.value)

    async with saying((b"", stall)) as server, anyio.create_task_group() as group:
        client = server.client(max_connections=1, retry=QUICK)
        group.start_soon(fail, client.begin)
        await anyio.sleep(0.1)
        group.start_soon(fail, client.begin)
        group.start_soon(fail, lambda: client.wait("t"))
        await anyio.sleep(0.05)
        began = time.monotonic()
        await client.aclose()

        assert time.monotonic() - began < 0.3
        await client.aclose()
        await server.is_left()
        with pytest.raises(ClientClosedError, match="make another one"):
            await client.begin()

    assert [error.maybe_applied for error in failures if error.operation == "begin"] in (
        [True, False],
        [False, True],
    )
    assert {error.operation for error in failures} == {"begin", "result"}


async def test_a_cancelled_call_leaves_no_connection_behind() -> None:
    async with (
        saying((b"", stall), (APPROVED, keep)) as server,
        server.client(max_connections=1) as client,
    ):
        with anyio.move_on_after(0.05) as scope:
            await client.begin()
        assert scope.cancelled_caught
        await server.is_left()

        assert (await client.result("t")).status is SessionStatus.APPROVED


# --- media -----------------------------------------------------------------------------

JPEG = b"\xff\xd8" + b"pixels" * 1000
IMAGE = ok(JPEG, kind="image/jpeg")


async def test_a_medium_that_was_cut_off_is_read_again_from_the_start(tmp_path: Path) -> None:
    async with (
        saying((IMAGE[:-100], close), (IMAGE, keep)) as server,
        server.client(retry=QUICK) as client,
    ):
        path = await client.save_media("t", Media.FACE, tmp_path / "face.jpg")

    assert path.read_bytes() == JPEG
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_an_error_in_the_place_of_a_medium_is_no_file(tmp_path: Path, kind: str) -> None:
    reply = ok(b'"SESSION_NOT_FOUND"', kind=kind)
    async with saying((reply, keep)) as server, server.client(secret_key="s") as client:
        for call in (
            lambda: client.media("t", Media.FACE),
            lambda: client.save_media("t", Media.FACE, tmp_path / "face.jpg"),
        ):
            with pytest.raises(SessionNotFoundError) as caught:
                await call()
            assert not caught.value.verified

    assert list(tmp_path.iterdir()) == []


async def test_an_empty_medium_is_no_file(tmp_path: Path) -> None:
    async with saying((ok(b"", kind="image/jpeg"), keep)) as server, server.client() as client:
        with pytest.raises(ResponseDecodeError) as caught:
            await client.save_media("t", Media.FACE, tmp_path / "face.jpg")

    assert caught.value.reason == "empty"
    assert list(tmp_path.iterdir()) == []


async def test_a_medium_that_does_not_say_where_it_ends_is_no_file(tmp_path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG[:-100]
    async with (
        saying((cut, close), (cut, close), (IMAGE, keep)) as server,
        server.client() as once,
        server.client(retry=QUICK) as client,
    ):
        with pytest.raises(ResponseDecodeError) as caught:
            await once.save_media("t", Media.FACE, tmp_path / "face.jpg")
        assert list(tmp_path.iterdir()) == []
        path = await client.save_media("t", Media.FACE, tmp_path / "face.jpg")

    assert caught.value.reason == "length"
    assert path.read_bytes() == JPEG


async def test_a_medium_without_end_is_given_up(tmp_path: Path) -> None:
    endless = again_and_again(b"\xff" * 2**22, every=0)
    async with (
        saying((b"HTTP/1.1 200 OK\r\n\r\n", endless)) as server,
        server.client() as client,
    ):
        with pytest.raises(ResponseTooLargeError):
            await client.save_media("t", Media.FACE_VIDEO, tmp_path / "face.mp4")

    # A disk may take its time to remove so much; a thread goes on with it where it does.
    with anyio.fail_after(30):
        while list(tmp_path.iterdir()):
            await anyio.sleep(0.01)


# --- what is left over, and what is no medium -----------------------------------------------


def filled_up(size: int, status: bytes) -> bytes:
    """Return an answer of exactly so many bytes."""
    short = ok(b'{"result":"%s","":""}' % status)
    padding = size - len(short)
    for _ in range(3):  # the length of the body is a part of the answer
        said = ok(b'{"result":"%s","":"%s"}' % (status, b"x" * padding))
        padding -= len(said) - size
    return said


@pytest.mark.parametrize("size", [8191, 8192, 8193, 65536, 8192 + 65536])
async def test_what_follows_an_answer_is_seen_wherever_that_ends(size: int) -> None:
    whole = filled_up(size, b"in_progress")
    assert len(whole) == size
    stray = ok(b'{"result":"approved"}')
    async with saying((whole + stray, keep), (whole, keep)) as server, server.client() as client:
        for token in ("one", "two", "three"):
            status = await client.source.look(token, fresh=False)
            assert status is SessionStatus.IN_PROGRESS
            await anyio.sleep(0.02)

    assert server.connections == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(b'"' + b"x" * 5_000_000 + b'"', ResponseTooLargeError, id="json"),
        pytest.param(b"<" + b" " * 5_000_000, ResponseTooLargeError, id="page"),
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_what_is_no_medium_is_read_no_further_than_json(
    status: bytes, reply: bytes, expected: type[IdentomatError]
) -> None:
    said = ok(reply).replace(b"200 OK", status, 1).replace(b"application/json", b"image/jpeg")
    async with saying((said, keep)) as server, server.client() as client:
        with pytest.raises(expected):
            await client.media("t", Media.FACE)
