"""What travels on which lane, and when a lane is good for another answer."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import anyio

from identomat_async._pause import Pause
from identomat_async._wire._lanes import CLOSING_TIME, Lane, Lanes
from identomat_async._wire._line import Carrier, Transport
from identomat_async._wire._once import Once
from identomat_async._wire._transport import Library, Progress, is_hung_up

# What a request says of itself to the transport, in its extensions.
FRESH, PROGRESS, PAUSE = "identomat_fresh", "identomat_progress", "identomat_pause"

# What has arrived and was not read yet comes in no more pieces than this.
_MOST_LEFT_OVER = 100
_LENGTHS = {b"content-length", b"transfer-encoding"}


class LaneTransport:
    """
    One-connection transports in a last-in-first-out free list.

    A request whose ``extensions`` say ``identomat_fresh`` travels first on a new
    connection. Any other may be sent twice if a kept connection turns out to be closed
    before a byte of the answer came, so it must be safe to repeat.

    Args:
        library: The HTTP library.
        make: Makes a transport of it; called once per lane.
        limit: The most lanes at a time.
    """

    def __init__(self, library: Library, make: Callable[[], Transport], *, limit: int) -> None:
        carrier = partial(library.carrier, make, made_before=Once(), streams=Once())
        self.lanes = Lanes(carrier, limit=limit)
        self._stream = library.derived(LaneStream, "AsyncByteStream")

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request* on a lane, which comes back when the response is closed."""
        is_fresh = request.extensions.get(FRESH, False)
        if PROGRESS in request.extensions:
            request.extensions[PROGRESS].stand_in_line()
        lane = await self.lanes.acquire(fresh=is_fresh)
        was_kept = lane.answers > 0
        try:
            return await self._send(request, lane)
        except Exception as error:
            # The idle close race: the other side gave up this connection just now.
            if not was_kept or not is_hung_up(error):
                raise
        return await self._send(request, await self.lanes.acquire(fresh=True))

    async def aclose(self) -> None:
        """Close every lane."""
        await self.lanes.aclose()

    async def _send(self, request: Any, lane: Lane[Carrier]) -> Any:
        progress: Progress = request.extensions.get(PROGRESS) or Progress()
        try:
            pause: Pause | None = request.extensions.get(PAUSE)
            if pause is not None:
                # It may have begun while this request stood in line for the lane.
                await pause.passed()
            progress.leave()
            response = await lane.carrier.handle_async_request(request)
        except BaseException:
            await self.lanes.drop(lane)
            raise
        # Who says in two ways how long the answer is may mean another length than was read.
        is_clear = not {name.lower() for name, _ in response.headers.raw} >= _LENGTHS
        response.stream = self._stream(response.stream, self.lanes, lane, may_keep=is_clear)
        return response


class LaneStream:
    """A body that gives its lane back when it is closed."""

    def __init__(
        self, inner: Any, lanes: Lanes[Carrier], lane: Lane[Carrier], *, may_keep: bool
    ) -> None:
        self._may_keep = may_keep
        self._inner = inner
        self._lanes = lanes
        self._lane: Lane[Carrier] | None = lane
        self._chunks: AsyncIterator[bytes] | None = None
        self._is_complete = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Whoever has read the beginning goes on from there.
        self._chunks = self._chunks or self._inner.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None  # noqa: S101 - for types
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._is_complete = True
            raise

    def spoil(self) -> None:
        """Have the lane dropped, however well the answer ended."""
        self._may_keep = False

    async def aclose(self) -> None:
        """Give the lane back if it is good for another answer."""
        lane, self._lane = self._lane, None
        if lane is None:
            return
        is_clean = False
        try:
            with suppress(Exception):
                if not self._is_complete:
                    lane.carrier.cut()
                await self._inner.aclose()
                if not self._is_complete:
                    await unwind(self._chunks)
                is_clean = self._may_keep and self._is_complete and lane.carrier.is_clean()
        finally:
            if not (is_clean and self._lanes.release(lane)):
                await self._lanes.drop(lane)


def distrust(stream: object) -> None:
    """Let nothing more travel on the connection of a body, if it is one of ours."""
    if isinstance(stream, LaneStream):
        stream.spoil()


async def unwind(chunks: AsyncIterator[bytes] | None) -> None:
    """
    Let a body end that is half read and whose connection is closed.

    It is a chain of async generators, and closing the first leaves the others to the
    garbage collector, of which trio complains. Reading on ends all of them: at once where
    the connection is ours, and by cancelling where one of somebody else goes on.
    """
    if not isinstance(chunks, AsyncGenerator):
        return
    body = cast("AsyncGenerator[bytes, None]", chunks)
    with suppress(Exception), anyio.move_on_after(CLOSING_TIME):
        for _ in range(_MOST_LEFT_OVER):
            await anext(body)
    await body.aclose()
