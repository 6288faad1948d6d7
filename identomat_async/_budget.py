"""How many requests may be on the wire: per second, and at once."""

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

import anyio
import attrs

from identomat_async.errors import ConfigurationError

# An event loop may be so many seconds late; the places it missed are then made up for.
# Going by a little less than the rate pays for that: over a second it is never exceeded.
TIMER_SLACK = 0.015
_PACE = 0.985
_LOWEST, _HIGHEST = 1e-9, 1e9
_numbers = itertools.count()


def _above_zero(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and _LOWEST <= value <= _HIGHEST):
        raise ConfigurationError(
            f"{attribute.name} must be a finite number above 0, from {_LOWEST:g} to {_HIGHEST:g}"
        )


def whole(value: object, *, name: str) -> int:
    """
    Return *value* if it can be a number of things.

    Raises:
        ConfigurationError: It is not whole, or below 1; *name* says whose.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number, 1 or more")
    return value


def _whole(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    whole(value, name=attribute.name)


# Checked when it is made, and not at each of the assignments of every request.
@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class RateBudget:
    """
    A ceiling on requests, which clients and pollers may share.

    Every request takes from it, confirming reads included. In any span of t seconds, one
    second or more, at most ``per_second * t + burst`` requests start. Urgent requests
    (`begin`, `delete`, confirming reads) go before polls. A budget belongs to one event
    loop.

    Args:
        per_second: Requests per second; None for no limit.
        burst: How many may start at once after a pause.
        max_in_flight: How many may be under way at the same time.

    Raises:
        ConfigurationError: A figure is not above 0, or not whole where it must be.
    """

    per_second: float | None = attrs.field(validator=attrs.validators.optional(_above_zero))
    burst: int = attrs.field(default=1, kw_only=True, validator=_whole)
    max_in_flight: int = attrs.field(default=20, kw_only=True, validator=_whole)

    def __attrs_post_init__(self) -> None:
        # Which of all budgets this is.
        self.number: int = next(_numbers)
        self._in_flight = 0
        self._next = self._opens = -math.inf
        self._queue: list[tuple[bool, int, _Ticket]] = []
        self._order = itertools.count()
        # The requests per second that each of those who plan with the rate would like, and
        # the most that it could make.
        self._wishes: dict[object, tuple[float, float]] = {}
        # The tickets of those who are not there to wait.
        self._kept: dict[object, _Ticket] = {}

    def __repr__(self) -> str:
        return (
            f"RateBudget({self.per_second}, burst={self.burst}, max_in_flight={self.max_in_flight})"
        )

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._in_flight

    @property
    def is_open(self) -> bool:
        """Whether a request may start this moment without overtaking anybody."""
        return self.is_open_at(anyio.current_time())

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self._in_flight >= self.max_in_flight

    @property
    def is_shared(self) -> bool:
        """Whether several plan with the rate."""
        return len(self._wishes) > 1

    def join(self, planner: object) -> None:
        """Count on *planner*, who plans requests ahead, until it is to `leave`."""
        self._wishes[planner] = 0.0, math.inf

    def leave(self, planner: object) -> None:
        """Count on *planner* no more."""
        self._wishes.pop(planner, None)
        self.step_out(planner)

    def share(self, planner: object, wish: float, *, most: float = math.inf) -> float | None:
        """
        Return the requests per second for *planner*, who would like to make *wish* of them.

        All who plan are stretched by the same factor, but for those who cannot make so many:
        *most* is what other ceilings leave. None for no limit.
        """
        if self.per_second is None:
            return None
        wishes = {**self._wishes, planner: (wish, most)}
        if planner in self._wishes:
            self._wishes = wishes
        left, wanted = self.per_second, sum(each for each, _ in wishes.values())
        for one, (each, limit) in sorted(wishes.items(), key=_sated_at):
            if limit * wanted >= left * each:
                break
            if one is planner:
                return most
            left, wanted = left - limit, wanted - each
        return left * wish / wanted

    @property
    def opens_at(self) -> float:
        """The event loop's time from which the rate admits another request."""
        return self._opens

    def is_open_at(self, now: float, by: object = None) -> bool:
        """Do what `is_open` does, at the event loop's time *now*, *by* a planner."""
        return (
            self._opens <= now
            and self._in_flight < self.max_in_flight
            and not self.is_queueing_before(by)
        )

    def is_queueing_before(self, planner: object = None) -> bool:
        """Tell whether the next place is somebody else's than that of *planner*."""
        return bool(self._queue) and self._queue[0][2].owner is not planner

    def line_up(self, planner: object, wake: Callable[[], None]) -> None:
        """Keep *planner* a place behind those who queue, and *wake* it when that comes."""
        ticket = self._kept.get(planner)
        if ticket is None:
            ticket = self._kept[planner] = _Ticket(planner, wake)
            heapq.heappush(self._queue, (True, next(self._order), ticket))
        ticket.left = False

    def step_out(self, planner: object) -> None:
        """Have *planner* queue no more, if it does."""
        if planner in self._kept:
            self._kept[planner].left = True
            self._wake()

    def delay(self) -> float:
        """Return the seconds until the rate admits another request."""
        return max(0.0, self._opens - anyio.current_time())

    def try_acquire(self) -> bool:
        """Take a place if nobody is queueing, the rate admits it and one is free."""
        now = anyio.current_time()
        if not self.is_open_at(now):
            return False
        self.take(now)
        return True

    def take(self, now: float, by: object = None) -> None:
        """Take a place that is open at the event loop's time *now*, *by* a planner."""
        self._in_flight += 1
        if self.per_second is not None:
            gap = 1 / (_PACE * self.per_second)
            self._next = max(self._next, now) + gap
            self._opens = self._next - (self.burst - 1) * gap - TIMER_SLACK
        # Whoever has the turn takes what there is at the moment; a turn for each place would
        # have all of them woken for each.
        if self._queue and (self._opens > now or self.is_full):
            self.step_out(by)

    def release(self) -> None:
        """Give a place back."""
        self._in_flight -= 1
        if self._queue:
            self._wake()

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for a place; urgent requests overtake the others."""
        if self.try_acquire():
            return
        ticket = _Ticket()
        heapq.heappush(self._queue, (not urgent, next(self._order), ticket))
        try:
            await self._turn(ticket)
            self.take(anyio.current_time())
        finally:
            ticket.left = True
            self._wake()

    async def _turn(self, ticket: "_Ticket") -> None:
        while True:
            delay = self.delay()
            is_next = self._queue[0][2] is ticket and not self.is_full
            if is_next and not delay:
                return
            event = anyio.Event()
            ticket.wake = event.set
            with anyio.move_on_after(max(delay, 0.001) if is_next else math.inf):
                await event.wait()

    def _wake(self) -> None:
        while self._queue and self._queue[0][2].left:
            _, _, ticket = heapq.heappop(self._queue)
            self._kept.pop(ticket.owner, None)
        if self._queue:
            self._queue[0][2].wake()


def _sated_at(plan: tuple[object, tuple[float, float]]) -> float:
    # At which part of what it would like somebody makes the most requests that it can.
    _, (wish, most) = plan
    return most / wish if wish else math.inf


class _Ticket:
    """A place in the queue of a budget: a planner's, or that of one request."""

    __slots__ = ("left", "owner", "wake")

    def __init__(self, owner: object = None, wake: Callable[[], None] = lambda: None) -> None:
        self.owner = self if owner is None else owner
        self.wake = wake
        self.left = False
