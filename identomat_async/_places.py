"""The places on the wire that a budget gives: who has one, who queues, and who plans ahead."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import anyio

# An event loop may be so many seconds late; the places it missed are then made up for.
# Going by a little less than the rate pays for that: over a second it is never exceeded.
TIMER_SLACK = 0.015
_PACE = 0.985
_numbers = itertools.count()


class Places:
    """
    What a `RateBudget` keeps account of; a scheduler goes without its tasks and events.

    Attributes:
        per_second: Requests per second; None for no limit.
        number: Which of all budgets this is.
        in_flight: How many requests are under way.
    """

    def __init__(self, per_second: float | None, *, burst: int, max_in_flight: int) -> None:
        self.per_second = per_second
        self.number: int = next(_numbers)
        self.in_flight: int = 0
        self._burst = burst
        self._max_in_flight = max_in_flight
        self._next = self._opens = -math.inf
        self._queue: list[tuple[bool, int, _Ticket]] = []
        self._order = itertools.count()
        # The requests per second that each of those who plan with the rate would like, and
        # the most that it could make.
        self._wishes: dict[object, tuple[float, float]] = {}
        # The tickets of those who are not there to wait.
        self._kept: dict[object, _Ticket] = {}

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self.in_flight >= self._max_in_flight

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
        if planner in self._wishes:
            self._wishes = {**self._wishes, planner: (wish, most)}
        return self.share_of(planner, wish, most=most)

    def share_of(self, planner: object, wish: float, *, most: float = math.inf) -> float | None:
        """Return what `share` would, and go on counting on what *planner* has said before."""
        if self.per_second is None:
            return None
        wishes = {**self._wishes, planner: (wish, most)}
        left, wanted = self.per_second, sum(each for each, _ in wishes.values())
        for one, (each, limit) in sorted(wishes.items(), key=_sated_at):
            if one is not planner and limit * wanted < left * each:
                left, wanted = left - limit, wanted - each
        return min(most, left * wish / wanted)

    @property
    def opens_at(self) -> float:
        """The event loop's time from which the rate admits another request."""
        return self._opens

    def is_open_at(self, now: float, by: object = None) -> bool:
        """
        Tell whether a request may start at the event loop's time *now*.

        It overtakes nobody, and may be made *by* a planner who is kept a place.
        """
        # Asked at every look, when nearly always nobody queues: no call for that.
        return (
            self._opens <= now
            and self.in_flight < self._max_in_flight
            and not (self._queue and self.is_queueing_before(by))
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
        self.in_flight += 1
        if self.per_second is not None:
            gap = 1 / (_PACE * self.per_second)
            self._next = max(self._next, now) + gap
            self._opens = self._next - (self._burst - 1) * gap - TIMER_SLACK
        # Whoever has the turn takes what there is at the moment; a turn for each place would
        # have all of them woken for each.
        if self._queue and (self._opens > now or self.is_full):
            self.step_out(by)

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
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


def in_order(places: Iterable[Places]) -> tuple[Places, ...]:
    """
    Return *places*, each once, in the order in which everybody has to take from them.

    In one order for all: who waits for two at a time could wait for one another otherwise. And
    in this one, the stricter first, since its place is kept while the other comes, which is
    soon: so nobody is kept from the other's places while the stricter takes long.
    """
    return tuple(sorted(dict.fromkeys(places), key=_strictness))


async def acquire_all(places: Sequence[Places], *, urgent: bool) -> None:
    """Wait for a place of each of *places*, which are `in_order`; urgent ones overtake."""
    acquired: list[Places] = []
    try:
        for each in places:
            await each.acquire(urgent=urgent)
            acquired.append(each)
    except BaseException:
        for each in acquired:
            each.release()
        raise


def _strictness(places: Places) -> tuple[float, int]:
    return math.inf if places.per_second is None else places.per_second, places.number


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
