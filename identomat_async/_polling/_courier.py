"""Takes outcomes to the application's handler, again and again until it accepts them."""

import asyncio
import heapq
import inspect
import itertools
import logging
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from identomat_async._edge import is_async
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import Delivery
from identomat_async._polling._tasks import task_group
from identomat_async.errors import ConfigurationError

Handler = Callable[[Delivery], Awaitable[object]] | Callable[[Delivery], object]

_FIRST_RETRY = 1.0
_LAST_RETRY = 300.0

_logger = logging.getLogger("identomat_async")


class Acceptance(Protocol):
    """Where it is written down what becomes of deliveries."""

    async def accepted(self, delivery: Delivery) -> None:
        """Return when it is written down that the handler has accepted a delivery."""

    def refused(self, delivery: Delivery, error: str) -> None:
        """Have it written down that the handler raised *error*."""


class _Call:
    """A call of a handler with an outcome from *outbox*."""

    __slots__ = ("is_active", "outbox")

    def __init__(self, outbox: Outbox) -> None:
        self.is_active = True
        self.outbox = outbox


# The calls that the running code is a part of, in worker threads too.
_calls: ContextVar[tuple[_Call, ...]] = ContextVar("calls", default=())


class Courier:
    """
    Hands deliveries over, at most *concurrency* at a time.

    A delivery whose handler raises is tried again by itself after 1 s, doubling to 5 min,
    and holds nobody else up. It counts as accepted once *acceptance* knows, if there is one.
    *refused* is called with the delivery and the class of what was raised.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        outbox: Outbox,
        refused: Callable[[Delivery, str], object],
        concurrency: int,
        acceptance: Acceptance | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._handler = handler
        self._outbox = outbox
        self._tell_refused = refused
        self._concurrency = concurrency
        self._active = 0
        self._beginning = 0
        self._order = itertools.count()
        self._later: list[tuple[float, int, str]] = []
        for delivery in outbox.unacked.values():
            # Left over from an earlier run; the handler may have seen them.
            self._postpone(delivery, anyio.current_time())

    async def run(self) -> None:
        """Hand over what comes, until cancelled."""
        async with task_group() as tasks:
            while True:
                changed = self._outbox.listen()
                self._hand_out(tasks)
                with anyio.move_on_after(self._delay()):
                    await changed.wait()

    async def finish(self) -> None:
        """Wait until nothing is left but what the handler refused."""
        while self._active or self._outbox:
            await self._outbox.listen().wait()

    def _hand_out(self, tasks: TaskGroup) -> None:
        while self._active < self._concurrency:
            name = self._due_again()
            if name is None and self._beginning >= len(self._outbox):
                return
            self._active += 1
            self._beginning += name is None
            tasks.start_soon(self._hand_over, name)

    def _due_again(self) -> str | None:
        while self._later and self._later[0][0] <= anyio.current_time():
            _, _, name = heapq.heappop(self._later)
            if name in self._outbox.unacked:
                return name
        return None

    def _delay(self) -> float:
        if self._active >= self._concurrency or not self._later:
            return math.inf
        return max(0.0, self._later[0][0] - anyio.current_time())

    async def _hand_over(self, name: str | None) -> None:
        call = _Call(self._outbox)
        _calls.set((*_calls.get(), call))
        try:
            if (delivery := self._taken(name)) is not None:
                await self._give(delivery)
        finally:
            call.is_active = False
            self._active -= 1
            self._outbox.notify()

    def _taken(self, name: str | None) -> Delivery | None:
        # Only now, in the task that calls the handler, and without a pause before the
        # call: up to here the outcome can be discarded, and the session watched on.
        if name is not None:
            delivery = self._outbox.unacked.get(name)
        else:
            self._beginning -= 1
            delivery = self._outbox.take()
        if delivery is not None:
            self._outbox.hand_over(delivery)
        return delivery

    async def _give(self, delivery: Delivery) -> None:
        try:
            error = await refusal(self._handler, delivery)
            if error is not None:
                self._refused(delivery, error)
                return
            if self._acceptance is not None:
                await self._acceptance.accepted(delivery)
            self._outbox.accepted(delivery.id)
        finally:
            self._outbox.put_down(delivery.id)

    def _refused(self, delivery: Delivery, error: str) -> None:
        self._tell_refused(delivery, error)
        if self._acceptance is not None:
            self._acceptance.refused(delivery, error)
        delay = min(_FIRST_RETRY * 2 ** min(delivery.attempt - 1, 20), _LAST_RETRY)
        _logger.warning(
            "the delivery handler raised %s; delivery %s comes again in %.0f s",
            error,
            delivery.id,
            delay,
        )
        if delivery.id in self._outbox.unacked:
            self._postpone(delivery, anyio.current_time() + delay)

    def _postpone(self, delivery: Delivery, until: float) -> None:
        heapq.heappush(self._later, (until, next(self._order), delivery.id))


def checked_handler(handler: Handler) -> Handler:
    """
    Return *handler* if it can be called.

    Raises:
        ConfigurationError: It cannot.
    """
    if not callable(handler):
        raise ConfigurationError("on_delivery must be a function that takes a Delivery")
    return handler


async def called(handler: Handler, delivery: Delivery) -> None:
    """Give a delivery to a handler, in a worker thread if that is a plain function."""
    if is_async(handler):
        returned = handler(delivery)
    else:
        # In a box: trio takes it amiss when a plain function returns a coroutine.
        (returned,) = await run_sync(lambda: (handler(delivery),))
    if inspect.isawaitable(returned):
        await returned


async def refusal(handler: Handler, delivery: Delivery) -> str | None:
    """Give a delivery to a handler; return the class of what it raised, None if it accepts."""
    try:
        await called(handler, delivery)
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome is not lost
        return type(error).__name__
    except anyio.get_cancelled_exc_class() as error:
        if _is_cancelled():
            raise
        # Not we are cancelled, but something that the handler awaited.
        return type(error).__name__
    return None


def _is_cancelled() -> bool:
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # on trio, whose scopes have said it all
    return task is not None and task.cancelling() > 0


def is_handling(outbox: Outbox) -> bool:
    """Tell whether this is called from a handler that has been given one from *outbox*."""
    return any(call.is_active and call.outbox is outbox for call in _calls.get())
