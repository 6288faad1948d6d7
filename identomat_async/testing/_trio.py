"""A clock for trio that somebody else moves."""

from collections.abc import Callable

import trio
from trio.abc import Clock
from trio.lowlevel import TrioToken, current_trio_token, spawn_system_task
from trio.to_thread import current_default_thread_limiter

from identomat_async._wire._files import threads_at_work
from identomat_async.testing._idle import Idle, Time, settle_elsewhere

# trio takes no wait that is endless.
_LONG = 1e6


class TrioClock(Clock):
    """
    The time of one run of trio.

    Args:
        clock: Whose time it is.
    """

    def __init__(self, clock: Time) -> None:
        self._idle = Idle(clock, _count_threads)
        self._token: TrioToken | None = None

    @property
    def native_token(self) -> object:
        """What anyio knows this run by; None before it begins."""
        return self._token

    def start_clock(self) -> None:
        """Begin a run."""
        self._token = current_trio_token()

    def current_time(self) -> float:
        """Return the time in seconds."""
        return self._idle.clock.now()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Say for how many real seconds to wait; trio asks when there is nothing to do."""
        rest = self._idle.rest(deadline)
        return _LONG if rest is None else rest

    def wake(self) -> bool:
        """Look at the clock again; False if this is not running."""
        return self._run_soon(_nothing)

    async def settled(self, moment: float) -> None:
        """Wait until everything that is due by *moment* has been done."""
        event = trio.Event()
        self._idle.tell(moment, event.set)
        await event.wait()

    def settle(self, moment: float) -> None:
        """
        Wait as `settled` does, in another thread.

        Raises:
            ConfigurationError: This run never comes to rest.
        """
        settle_elsewhere(
            lambda: self.settled(moment),
            lambda task: self._run_soon(lambda: spawn_system_task(task)),
            self._idle.clock.patience,
        )

    def _run_soon(self, act: Callable[[], object]) -> bool:
        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(act)
        except trio.RunFinishedError:
            return False
        return True


def _count_threads() -> int:
    return current_default_thread_limiter().borrowed_tokens + threads_at_work()


def _nothing() -> None:
    """Be called, which is enough to end a wait."""
