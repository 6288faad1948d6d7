"""An asyncio event loop on a clock that somebody else moves."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter

from identomat_async._wire._files import threads_at_work
from identomat_async.errors import ConfigurationError
from identomat_async.testing._idle import Idle, Time, settle_elsewhere

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STALLED = (
    "time stands still and everybody waits for it to pass: await identomat_clock.advance(seconds) "
    "beside what waits, or let waits be over at once with identomat_clock.jump()"
)


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time is another's.

    Args:
        clock: The time.
        leave: Called when it is closed.
    """

    def __init__(self, clock: Time, leave: "Callable[[VirtualLoop], None]") -> None:
        self._idle = Idle(clock, self._count_threads)
        self._leave = leave
        self._limiter: CapacityLimiter | None = None
        self._in_executors = 0
        super().__init__(_IdleSelector(self))

    @property
    def patience(self) -> float:
        """The real seconds after which a test that waits for itself is told so."""
        return self._idle.clock.patience

    @property
    def native_token(self) -> object:
        """What anyio knows this loop by."""
        return self

    def time(self) -> float:
        """Return the time in seconds."""
        return self._idle.clock.now()

    def run_forever(self) -> None:
        """Run until somebody stops it."""
        if self._limiter is None:
            learning = self.create_task(self._learn_limiter())
            learning.add_done_callback(_nothing)
        super().run_forever()

    def close(self) -> None:
        """Close it."""
        self._leave(self)
        super().close()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call a function in a thread."""
        future = super().run_in_executor(executor, func, *args)
        self._in_executors += 1
        future.add_done_callback(self._came_back)
        return future

    def wake(self) -> bool:
        """Look at the clock again; False if this loop does not run."""
        if self.is_closed() or not self.is_running():
            return False
        self.call_soon_threadsafe(_nothing)
        return True

    async def settled(self, moment: float) -> None:
        """Wait until everything that is due by *moment* has been done."""
        event = asyncio.Event()
        self._idle.tell(moment, event.set)
        await event.wait()

    def settle(self, moment: float) -> None:
        """
        Wait as `settled` does, in another thread.

        Raises:
            ConfigurationError: This loop never comes to rest.
        """
        settle_elsewhere(lambda: self.settled(moment), self._start, self.patience)

    def _start(self, task: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        asyncio.run_coroutine_threadsafe(task(), self)
        return True

    def rest(self, timeout: float | None) -> float | None:
        """
        Say for how many real seconds to wait now that there is nothing to do.

        Args:
            timeout: The seconds until the next timer is due; None if there is none.

        Returns:
            As `Idle.rest`.
        """
        due = math.inf if timeout is None else self.time() + timeout
        rest = self._idle.rest(due)
        if rest is None and due < math.inf and self._idle.clock.stands:
            return self.patience
        return rest

    async def _learn_limiter(self) -> None:
        # Only a task can ask for it.
        self._limiter = current_default_thread_limiter()

    def _came_back(self, _: object) -> None:
        self._in_executors -= 1

    def _count_threads(self) -> int:
        borrowed = 0 if self._limiter is None else self._limiter.borrowed_tokens
        return borrowed + self._in_executors + threads_at_work()


class _IdleSelector(selectors.DefaultSelector):
    """Waits for files and sockets, and asks the loop before it waits for anything else."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        rest = self._loop.rest(timeout)
        if rest == 0:
            return []
        ready = super().select(rest)
        # The loop's own pipe is always there, other files only where there is real work.
        if not ready and rest == self._loop.patience and len(self.get_map()) == 1:
            raise ConfigurationError(_STALLED)
        return ready


def _nothing(*_: object) -> None:
    """Be called, which is enough to end a wait."""
