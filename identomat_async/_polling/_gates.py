"""What may hold everybody up: the service, or the places that there are."""

import math
from typing import Literal

import attrs

from identomat_async._budget import TIMER_SLACK, RateBudget
from identomat_async._clock import Clock
from identomat_async._polling._halt import Halt
from identomat_async._polling._outage import Outage
from identomat_async._polling._source import ResultSource

HeldUpBy = Literal["service", "places", "rate"]

# How long to look away when places are taken by somebody who will not tell, and when a
# pause may be lifted by somebody else.
_BUSY_WAIT = 0.05
_GLANCE = 1.0
# A budget bears a start that is a little late: so its places are waited for in batches.
_BATCH = TIMER_SLACK / 3


@attrs.define(eq=False, repr=False, kw_only=True)
class Gates:
    """
    Says when a look may begin, in seconds since the epoch of *clock*.

    *outage* and *halt* say how the service is, and whether it takes us.
    """

    source: ResultSource
    budget: RateBudget
    outage: Outage
    halt: Halt
    budgets: tuple[RateBudget, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # The ceilings that a look obeys.
        both = (self.budget, self.source.budget)
        self.budgets = tuple({id(each): each for each in both if each is not None}.values())

    @property
    def rate(self) -> float | None:
        """The strictest ceiling, in requests per second; None for no limit."""
        rates = [budget.per_second for budget in self.budgets]
        return min((rate for rate in rates if rate is not None), default=None)

    @property
    def is_shared(self) -> bool:
        """Whether others plan with the same ceilings."""
        return any(budget.is_shared for budget in self.budgets)

    def share(self, planner: object, wish: float) -> float | None:
        """Return the requests per second for one who would like *wish*; None for no limit."""
        shares = [budget.share(planner, wish) for budget in self.budgets]
        return min((share for share in shares if share is not None), default=None)

    @property
    def is_full(self) -> bool:
        """Whether no place is free, whatever the rate."""
        return any(budget.is_full for budget in self.budgets)

    def are_open(self, now: float, clock: Clock) -> bool:
        """Tell whether a look may begin *now*."""
        loop = now - clock.offset
        if self.source.pause.until > loop:
            return False
        if self.outage.opens_at > now or self.halt.opens_at > now:
            return False
        for budget in self.budgets:  # noqa: SIM110 - at every look, where `all` costs as much
            if not budget.is_open_at(loop):
                return False
        return True

    def take(self, now: float, clock: Clock) -> None:
        """Take a place in each budget, all of them being open *now*."""
        if not self.halt.is_calm:
            self.halt.probing(now)
        self.outage.began(now)
        for budget in self.budgets:
            budget.take(now - clock.offset)

    def give_back(self) -> None:
        """Give the places back that `take` or `claim` took."""
        for budget in self.budgets:
            budget.release()

    async def claim(self) -> None:
        """Wait for a place in each budget, before all polls."""
        claimed: list[RateBudget] = []
        try:
            for budget in self.budgets:
                await budget.acquire(urgent=True)
                claimed.append(budget)
        except BaseException:
            for budget in claimed:
                budget.release()
            raise

    def opening(self, now: float, clock: Clock, *, ours: int) -> tuple[float, HeldUpBy | None]:
        """Return when they open, and what holds us up until then; *ours* looks are under way."""
        service = self._service_opens_at(now, clock)
        if service > now:
            return service, "service"
        places = max(self._places_open_at(budget, now, clock, ours) for budget in self.budgets)
        if places == math.inf:
            return places, "places"
        return places, "rate" if places > now else None

    def lift(self, now: float) -> None:
        """Open what the service has closed."""
        self.source.pause.lift()
        self.outage.reset()
        self.halt.probe(now)

    def _service_opens_at(self, now: float, clock: Clock) -> float:
        asked = min(self.source.pause.until + clock.offset, now + _GLANCE)
        return max(asked, self.outage.opens_at, self.halt.opens_at)

    def _places_open_at(self, budget: RateBudget, now: float, clock: Clock, ours: int) -> float:
        if budget.is_full:
            # Our own looks tell when they are done; others that share the budget do not.
            return math.inf if budget.in_flight <= ours else now + _BUSY_WAIT
        if budget.is_open_at(now - clock.offset):
            return now
        return max(budget.opens_at + clock.offset, now) + _BATCH
