"""Bodies that do not end well, without a socket."""

import base64
import hmac
import ssl
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from identomat_async import IdentomatClient, RetryPolicy
from identomat_async._wire._attempts import Call
from identomat_async._wire._lane_transport import LaneTransport
from identomat_async._wire._protocol import BEGIN, media_operation
from identomat_async._wire._transport import library, translate
from identomat_async.errors import (
    ConnectionFailedError,
    IdentomatError,
    RequestTimeoutError,
    ResponseTooLargeError,
    SignatureError,
)

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http


class Body(httpx.AsyncByteStream):
    """So many pieces of a mebibyte; then it may break."""

    def __init__(self, pieces: int, *, breaks: bool = False, every: float = 0) -> None:
        self.pieces = pieces
        self.breaks = breaks
        self.every = every
        self.is_closed = False
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.given < self.pieces:
            self.given += 1
            if self.every:
                await anyio.sleep(self.every)
            yield b"x" * 2**20
        if self.breaks:
            raise OSError("it broke")

    async def aclose(self) -> None:
        self.is_closed = True
        if self.breaks:
            raise OSError("it does not close")


class Holding(httpx.AsyncBaseTransport):
    def __init__(self, body: Body) -> None:
        self.body = body
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"transfer-encoding": "chunked"}, stream=self.body)

    async def aclose(self) -> None:
        self.is_closed = True


async def failure_of(transport: Holding, *, single: bool = False) -> IdentomatError:
    client = IdentomatClient(
        "k", transport=transport if single else lambda: transport, retry=RetryPolicy(attempts=1)
    )
    async with client:
        with pytest.raises(IdentomatError) as caught:
            await client.result("t")
    return caught.value


async def test_a_body_in_memory_without_end_is_left_after_a_while() -> None:
    body = Body(10**9)
    transport = Holding(body)

    assert type(await failure_of(transport)) is ResponseTooLargeError
    assert body.given < 200
    assert body.is_closed
    assert transport.is_closed


@pytest.mark.filterwarnings("ignore:a single transport:UserWarning")
@pytest.mark.parametrize("single", [True, False])
async def test_a_slow_body_that_is_too_large_is_not_read_on(single: bool) -> None:
    began = anyio.current_time()
    error = await failure_of(Holding(Body(10**9, every=0.05)), single=single)

    assert type(error) is ResponseTooLargeError
    assert anyio.current_time() - began == pytest.approx(5 * 0.05 + 0.1, abs=0.06)


@pytest.mark.filterwarnings("ignore:a single transport:UserWarning")
@pytest.mark.parametrize("single", [True, False])
async def test_a_body_that_breaks_is_a_failed_connection(single: bool) -> None:
    transport = Holding(Body(2, breaks=True))
    error = await failure_of(transport, single=single)

    assert type(error) is ConnectionFailedError
    assert (error.maybe_applied, error.__context__) == (True, None)
    assert transport.is_closed


class Slowly(httpx.AsyncByteStream):  # type: ignore[misc] # either library's
    """A mebibyte that comes at so many bytes per second, after a while."""

    def __init__(self, pace: int, *, after: float = 0.0) -> None:
        self.pace = pace
        self.wait = after
        self.left = 2**20

    def __aiter__(self) -> "Slowly":
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        await anyio.sleep(self.wait)
        self.wait = 1.0
        piece = min(self.left, self.pace)
        self.left -= piece
        return b"\xff" * piece


class Memory:
    """A sink without a file, whose thread would wait for real time."""

    async def write(self, chunk: bytes) -> None:
        pass

    async def rewind(self) -> None:
        pass

    async def commit(self) -> None:
        pass


async def read_medium(body: Slowly, sink: Memory | None) -> None:
    call = Call(operation=media_operation("face"), params={}, decode=lambda reply: reply, sink=sink)
    async with IdentomatClient(
        "k", transport=lambda: Holding(body), retry=RetryPolicy(attempts=1)
    ) as client:
        await client.source.call(call)


sinks = pytest.mark.parametrize("sink", [None, Memory()], ids=["memory", "sink"])


@sinks
@pytest.mark.parametrize(("pace", "after"), [(16 * 1024, 0.0), (32 * 1024, 100.0)])
async def test_a_medium_may_begin_late_and_come_at_16_kib_per_second(
    pace: int, after: float, sink: Memory | None
) -> None:
    body = Slowly(pace, after=after)
    await read_medium(body, sink)

    assert body.left == 0


@sinks
async def test_a_medium_that_comes_slower_is_given_up(sink: Memory | None) -> None:
    body, began = Slowly(8 * 1024), anyio.current_time()
    with pytest.raises(RequestTimeoutError, match="less than 16 KiB per second") as caught:
        await read_medium(body, sink)

    error = caught.value
    assert (error.reason, error.retryable, error.maybe_applied) == ("too-slow", True, True)
    assert anyio.current_time() - began == pytest.approx(22, abs=2)


@sinks
async def test_a_first_piece_that_is_too_large_is_no_medium(sink: Memory | None) -> None:
    class Piece(httpx.AsyncByteStream):  # type: ignore[misc] # either library's
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"\xff" * (64 * 2**20 + 1)

    with pytest.raises(ResponseTooLargeError):
        await read_medium(Piece(), sink)


async def test_the_signature_of_a_medium_is_over_all_of_its_pieces() -> None:
    class Signed(Holding):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            code = base64.b64encode(hmac.digest(b"s", b"\xff" * 2**20, "sha256")).decode()
            response = await super().handle_async_request(request)
            response.headers["authorization"] = f'signature="{code}"'
            return response

    operation = media_operation("face")
    call = Call(operation=operation, params={}, decode=lambda reply: reply, sink=Memory())
    async with IdentomatClient(
        "k", secret_key="s", transport=lambda: Signed(Slowly(2**18))
    ) as client:
        assert (await client.source.call(call)).digest is not None


async def test_a_response_gives_its_lane_back_once() -> None:
    transport = LaneTransport(library("httpx"), lambda: Holding(Body(0)), limit=1)
    response = await transport.handle_async_request(httpx.Request("GET", "http://localhost"))
    assert [chunk async for chunk in response.stream] == []
    await response.stream.aclose()
    await response.stream.aclose()

    assert (transport.lanes.busy, transport.lanes.free) == (0, 1)


class Endless(Holding):
    """It never closes."""

    async def aclose(self) -> None:
        await anyio.sleep_forever()


@pytest.mark.filterwarnings("ignore:a single transport:UserWarning")
@pytest.mark.parametrize("single", [True, False])
async def test_a_transport_that_does_not_close_does_not_hold_up_the_client(single: bool) -> None:
    def make() -> Endless:
        return Endless(Body(0))

    client = IdentomatClient("k", transport=make() if single else make, max_connections=100)
    lanes = getattr(client.source.transport, "lanes", None)
    crowd = [await lanes.acquire() for _ in range(100)] if lanes else []
    for lane in crowd:
        assert lanes.release(lane)
    began = anyio.current_time()
    await client.aclose()

    assert anyio.current_time() - began < 5


async def test_over_somebody_elses_transport_what_is_not_signed_is_not_read_either() -> None:
    transport = Holding(Body(1))
    with pytest.warns(UserWarning, match="fresh"):
        client = IdentomatClient("k", secret_key="s", transport=transport)
    async with client:
        with pytest.raises(SignatureError):
            await client.source.look("t", fresh=False)

    assert transport.body.is_closed


@pytest.mark.parametrize(
    ("cause", "is_refused"),
    [
        (ssl.SSLCertVerificationError(), True),
        (ssl.SSLError(), True),
        (ssl.SSLWantReadError(), False),
        (ssl.SSLWantWriteError(), False),
        (ssl.SSLEOFError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_handshake_that_was_reset_halfway_is_no_refusal(
    cause: ssl.SSLError, is_refused: bool
) -> None:
    reset = ConnectionResetError()
    reset.__context__ = cause
    failed = httpx.ConnectError("")
    failed.__cause__ = reset

    error = translate(failed, BEGIN)

    assert isinstance(error, ConnectionFailedError)
    assert (error.tls, error.retryable, error.maybe_applied) == (is_refused, not is_refused, False)
