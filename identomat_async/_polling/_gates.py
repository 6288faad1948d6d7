"""What may hold everybody up: the service, or the places that there are."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import attrs

from identomat_async._budget import RateBudget, places_of
from identomat_async._clock import Clock
from identomat_async._places import TIMER_SLACK, Places, acquire_all, in_order
from identomat_async._polling._halt import Halt
from identomat_async._polling._outage import Outage
from identomat_async._polling._source import ResultSource

HeldUpBy = Literal["service", "places", "rate"]

# How long to look away when somebody else may lift a pause or hold the places for good.
_GLANCE = 1.0
# A budget bears a start that is a little late: so its places are waited for in batches.
_BATCH = TIMER_SLACK / 3


@attrs.define(eq=False, repr=False, kw_only=True)
class Gates:
    """
    Says when a look may begin, in seconds since the epoch of *clock*.

    *outage* and *halt* say how the service is, and whether it takes us. *wake* is called
    when a place is free that others had.
    """

    source: ResultSource
    budget: RateBudget
    outage: Outage
    halt: Halt
    wake: Callable[[], None] = attrs.field(default=lambda: None)
    budgets: tuple[Places, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # The ceilings that a look obeys.
        both = (self.budget, self.source.budget)
        self.budgets = in_order(places_of(each) for each in both if each is not None)

    @property
    def rate(self) -> float | None:
        """The strictest ceiling, in requests per second; None for no limit."""
        strictest = _strictest(self.budgets)
        return strictest if strictest < math.inf else None

    @property
    def is_shared(self) -> bool:
        """Whether others plan with the same ceilings."""
        return any(budget.is_shared for budget in self.budgets)

    def join(self) -> None:
        """Be counted on in each budget."""
        for budget in self.budgets:
            budget.join(self)

    def leave(self) -> None:
        """Be counted on no more."""
        for budget in self.budgets:
            budget.leave(self)

    def step_out(self) -> None:
        """Queue no more: nobody is due."""
        for budget in self.budgets:
            budget.step_out(self)

    def share(self, wish: float) -> float | None:
        """Return the requests per second for who would like *wish*; None for no limit."""
        return _least(budget.share(self, wish, most=most) for budget, most in self._each())

    def share_of(self, wish: float) -> float | None:
        """Return what `share` would for another *wish* than ours."""
        return _least(budget.share_of(self, wish, most=most) for budget, most in self._each())

    def _each(self) -> Iterator[tuple[Places, float]]:
        # Each ceiling, and the most that the others leave.
        return ((budget, _strictest(self.budgets, but=budget)) for budget in self.budgets)

    @property
    def is_full(self) -> bool:
        """Whether no place is free, whatever the rate."""
        return any(budget.is_full for budget in self.budgets)

    def are_open(self, now: float, clock: Clock) -> bool:
        """Tell whether a look may begin *now*."""
        loop = now - clock.offset
        if self.source.pause.until > loop:
            return False
        if self.outage.opens_at > now or not (self.halt.is_calm or self.halt.opens_at <= now):
            return False
        for budget in self.budgets:  # noqa: SIM110 - at every look, where `all` costs as much
            if not budget.is_open_at(loop, self):
                return False
        return True

    def take(self, now: float, clock: Clock) -> None:
        """Take a place in each budget, all of them being open *now*."""
        self.began(now)
        for budget in self.budgets:
            budget.take(now - clock.offset, self)

    def began(self, now: float) -> None:
        """Note that a look is made *now*."""
        if not self.halt.is_calm:
            self.halt.probing(now)
        self.outage.began(now)

    def give_back(self) -> None:
        """Give the places back that `take` or `claim` took."""
        for budget in self.budgets:
            budget.release()

    async def claim(self) -> None:
        """Wait for a place in each budget, before all polls."""
        await acquire_all(self.budgets, urgent=True)

    def opening(self, now: float, clock: Clock, *, ours: int) -> tuple[float, HeldUpBy | None]:
        """Return when they open, and what holds us up until then; *ours* looks are under way."""
        service = self.service_opens_at(now, clock)
        if service > now:
            self.step_out()
            return service, "service"
        for number, budget in enumerate(self.budgets):
            if budget.is_open_at(now - clock.offset, self):
                continue
            if budget.is_full and budget.in_flight <= ours:
                # Our own looks tell when they are done.
                self.step_out()
                return math.inf, "places"
            return self._line_up(number, now, clock), "rate"
        return now, None

    def lift(self, now: float) -> None:
        """Open what the service has closed."""
        self.source.pause.lift()
        self.outage.reset()
        self.halt.probe(now)

    def service_opens_at(self, now: float, clock: Clock) -> float:
        """Return when the service may be asked again, for all that is known *now*."""
        asked = min(self.source.pause.until + clock.offset, now + _GLANCE)
        return max(asked, self.outage.opens_at, self.halt.opens_at)

    def _line_up(self, number: int, now: float, clock: Clock) -> float:
        # What comes before the one that is taken is kept, or others would have that when this
        # one comes; and nobody waits here who could be waited for there.
        for each in self.budgets[: number + 1]:
            if each.is_shared or each.is_full or each.is_queueing_before(self):
                each.line_up(self, self.wake)
        for each in self.budgets[number + 1 :]:
            each.step_out(self)
        budget = self.budgets[number]
        if budget.is_full or budget.is_queueing_before(self):
            return now + _GLANCE
        return max(budget.opens_at + clock.offset, now) + _BATCH


def _least(shares: Iterable[float | None]) -> float | None:
    return min((share for share in shares if share is not None), default=None)


def _strictest(budgets: Sequence[Places], *, but: Places | None = None) -> float:
    rates = [budget.per_second for budget in budgets if budget is not but]
    return min((rate for rate in rates if rate is not None), default=math.inf)
