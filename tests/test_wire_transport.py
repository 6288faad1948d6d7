"""Bodies that do not end well, without a socket."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from identomat_async import IdentomatClient, RetryPolicy
from identomat_async._wire._lane_transport import LaneTransport
from identomat_async._wire._transport import library
from identomat_async.errors import ConnectionFailedError, IdentomatError, ResponseTooLargeError

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http


class Body(httpx.AsyncByteStream):
    """So many pieces of a mebibyte; then it may break."""

    def __init__(self, pieces: int, *, breaks: bool = False) -> None:
        self.pieces = pieces
        self.breaks = breaks
        self.is_closed = False
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.given < self.pieces:
            self.given += 1
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
        return httpx.Response(200, stream=self.body)

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
async def test_a_body_that_breaks_is_a_failed_connection(single: bool) -> None:
    transport = Holding(Body(2, breaks=True))
    error = await failure_of(transport, single=single)

    assert type(error) is ConnectionFailedError
    assert (error.maybe_applied, error.__context__) == (True, None)
    assert transport.is_closed


async def test_a_response_gives_its_lane_back_once() -> None:
    transport = LaneTransport(library("httpx"), lambda: Holding(Body(0)), limit=1)
    response = await transport.handle_async_request(httpx.Request("GET", "http://localhost"))
    assert [chunk async for chunk in response.stream] == []
    await response.stream.aclose()
    await response.stream.aclose()

    assert (transport.lanes.busy, transport.lanes.free) == (0, 1)
