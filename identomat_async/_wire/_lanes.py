"""Which connection a request gets, and nothing about what travels on it."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import anyio

from identomat_async._clock import LoopTime
from identomat_async.errors import ClientClosedError

# A kept lane is given up after so many answers or seconds: its successor meets a changed
# address, and whatever went wrong on it does not last.
MOST_ANSWERS = 100
LONGEST_LIFE = 60.0
# Idle for so long, the other side has closed it or is about to.
LONGEST_IDLE = 55.0
# Short, because a call whose deadline has passed waits for it, and may do so twice. It is
# for the transports of others: closing our own waits for nothing.
CLOSING_TIME = 0.1


class Closeable(Protocol):
    """What holds the one connection of a lane."""

    async def aclose(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closeable)


class Lane(Generic[C]):
    """One connection: *carrier* holds it, *answers* counts what came over it."""

    __slots__ = ("answers", "born", "carrier", "used")

    def __init__(self, carrier: C, *, now: float) -> None:
        self.carrier = carrier
        self.answers = 0
        self.born = self.used = now

    @property
    def is_worn(self) -> bool:
        """Whether it has served long enough."""
        return self.answers >= MOST_ANSWERS or self.used - self.born >= LONGEST_LIFE


class Lanes(Generic[C]):
    """
    At most *limit* lanes, the last used first.

    Taking the last used keeps few connections warm, and a cost that does not depend on
    how many there are. Whoever finds none free waits in line.
    """

    def __init__(self, make: Callable[[], C], *, limit: int) -> None:
        self._make = make
        self._limit = limit
        self._free: deque[Lane[C]] = deque()
        self._busy = 0
        self._line: deque[_Place] = deque()
        self._closed = False
        self._time = LoopTime()

    def __repr__(self) -> str:
        return f"<Lanes {self._busy} busy, {len(self._free)} free of {self._limit}>"

    @property
    def busy(self) -> int:
        """How many are in use."""
        return self._busy

    @property
    def free(self) -> int:
        """How many are open and idle."""
        return len(self._free)

    async def acquire(self, *, fresh: bool = False) -> Lane[C]:
        """
        Return a lane for one exchange; give it back with `release` or `drop`.

        Args:
            fresh: Nothing has travelled on it yet.

        Raises:
            ClientClosedError: The lanes are closed.
        """
        await self._reserve()
        if self._closed:
            self._leave()
            raise ClientClosedError("the client is closed")
        try:
            now = self._time()
            stale = now - LONGEST_IDLE
            if self._free and self._free[0].used <= stale:
                # The crowd of a busy hour would be left open, since the last used is taken
                # first. One at a time, which is as many as anybody has to wait for.
                await _close(self._free.popleft())
            if self._free and not fresh and self._free[-1].used > stale:
                lane = self._free.pop()
                if now - lane.born < LONGEST_LIFE:
                    return lane
                await _close(lane)
            if self._busy + len(self._free) > self._limit:
                await _close(self._free.popleft())
            return Lane(self._make(), now=self._time())
        except BaseException:
            self._leave()
            raise

    def release(self, lane: Lane[C]) -> bool:
        """Keep a lane that is in good order; False if it has to be dropped instead."""
        lane.answers += 1
        lane.used = self._time()
        if self._closed or lane.is_worn:
            return False
        self._free.append(lane)
        self._leave()
        return True

    async def drop(self, lane: Lane[C]) -> None:
        """Close a lane that failed, was cancelled or is worn."""
        try:
            await _close(lane)
        finally:
            self._leave()

    async def aclose(self) -> None:
        """Close what is idle; what is busy closes when it comes back."""
        self._closed = True
        # Everybody in line gets a place, and finds the lanes closed.
        while self._line:
            self._grant()
        # One after the other while that is quick, as it is with our own: then closing waits
        # for nothing. Those that are slow do not add up.
        until = self._time() + CLOSING_TIME
        interruption: BaseException | None = None
        while self._free and self._time() < until:
            try:
                await _close(self._free.pop())
            except BaseException as error:  # noqa: BLE001 - asyncio's cancellation; the rest first
                interruption = error
        if self._free:
            await self._close_together()
        if interruption is not None:
            raise interruption

    async def _close_together(self) -> None:
        async with anyio.create_task_group() as group:
            while self._free:
                group.start_soon(_close, self._free.pop())

    async def _reserve(self) -> None:
        if (self._busy < self._limit and not self._line) or self._closed:
            self._busy += 1
            return
        place = _Place()
        self._line.append(place)
        try:
            await place.event.wait()
        except BaseException:
            self._quit(place)
            raise

    def _quit(self, place: "_Place") -> None:
        if place.granted:
            self._leave()
        else:
            self._line.remove(place)

    def _leave(self) -> None:
        self._busy -= 1
        if self._line:
            self._grant()

    def _grant(self) -> None:
        place = self._line.popleft()
        place.granted = True
        place.event.set()
        self._busy += 1


class _Place:
    """A place in the line."""

    __slots__ = ("event", "granted")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.granted = False


async def _close(lane: Lane[C]) -> None:
    # A close that is itself cancelled would leave a descriptor behind; one that fails
    # must not hide what the lane was dropped for.
    with anyio.move_on_after(CLOSING_TIME, shield=True), suppress(Exception):
        await lane.carrier.aclose()
