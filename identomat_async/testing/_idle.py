"""What an event loop does about time when there is nothing else to do."""

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from identomat_async.errors import ConfigurationError


class Time(Protocol):
    """
    As much of the clock as an event loop needs.

    Attributes:
        patience: Real seconds after which something is wrong.
    """

    patience: float

    @property
    def stands(self) -> bool:
        """Whether nobody but this thread can let time pass."""
        ...

    def now(self) -> float:
        """Return the time."""
        ...

    def has_come_to(self, due: float) -> bool:
        """Move on if that is allowed; tells whether *due* has come."""
        ...


class Idle:
    """
    Lets virtual time pass for one event loop, and tells who waits for that.

    Args:
        clock: The time.
        threads: Returns how many worker threads are at work for this loop.
    """

    def __init__(self, clock: Time, threads: Callable[[], int]) -> None:
        self.clock = clock
        self._threads = ThreadWatch(threads, grace=clock.patience / 5)
        self._waiting: list[tuple[float, Callable[[], object]]] = []

    def tell(self, moment: float, settled: Callable[[], object]) -> None:
        """Call a function as soon as everything is done that is due by *moment*."""
        self._waiting.append((moment, settled))

    def rest(self, due: float) -> float | None:
        """
        Say for how many real seconds to wait; called when nothing can be done.

        Args:
            due: The time of the next timer; infinite if there is none.

        Returns:
            0 if there is something to do now, None for as long as nothing comes in.
        """
        if grace := self._threads.grace():
            return grace
        return 0.0 if self.clock.has_come_to(due) or self._tell() else None

    def _tell(self) -> bool:
        done = [each for each in self._waiting if each[0] <= self.clock.now()]
        for each in done:
            self._waiting.remove(each)
            each[1]()
        return bool(done)


class ThreadWatch:
    """
    Gives worker threads the time they need before virtual time passes.

    One that has not come back after the grace waits for something else, perhaps for the
    time to pass; the next grace is only given when there are more at work.

    Args:
        count: Returns how many threads are at work.
        grace: The real seconds that they get.
        now: Real time in seconds.
    """

    def __init__(
        self,
        count: Callable[[], int],
        *,
        grace: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._grace = grace
        self._now = now
        self._asked: float | None = None
        self._given_up = 0

    def grace(self) -> float:
        """Return the real seconds for which to wait, 0 for none."""
        busy = self._count()
        self._given_up = min(self._given_up, busy)
        if busy == self._given_up:
            self._asked = None
            return 0.0
        now = self._now()
        # Whoever is woken asks sooner.
        if self._asked is not None and now - self._asked >= self._grace:
            self._given_up, self._asked = busy, None
            return 0.0
        self._asked = now
        return self._grace


def settle_elsewhere(
    settled: Callable[[], Awaitable[None]],
    start: Callable[[Callable[[], Coroutine[Any, Any, None]]], bool],
    patience: float,
) -> None:
    """
    Wait in one thread until the event loop of another has come to rest.

    Args:
        settled: Waits for that in the loop.
        start: Starts a task in the loop; False if it does not run.
        patience: For so many real seconds.

    Raises:
        ConfigurationError: It takes too long.
    """
    done = threading.Event()

    async def wait() -> None:
        try:
            await settled()
        finally:
            done.set()

    if start(wait) and not done.wait(patience):
        raise ConfigurationError(
            "the event loop of another thread has not come to rest: something in it never waits"
        )
