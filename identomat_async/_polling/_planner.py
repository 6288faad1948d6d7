"""Weighs the demand against the rate, and plans anew what was planned for another demand."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import attrs

from identomat_async._polling._entry import Entry
from identomat_async._polling._gates import Gates
from identomat_async._polling._learner import Learner
from identomat_async._polling._person import EVERY
from identomat_async._polling._roster import Roster
from identomat_async._polling._schedule import FLOOR, first_gap
from identomat_async._polling._state import PollState
from identomat_async._polling._step import scheduled

# How often the demand is weighed against the rate.
WEIGHING = 1.0
# Who would like nothing at the moment still counts for so many looks per second.
_LEAST_WISH = 0.001
# So many are planned anew at a time, which takes 3 ms: a hundred thousand would hold the event
# loop up.
_AT_A_TIME = 250
# Gaps this many times as long as they would be now are a load that has fallen.
_FALLEN = 1.5
# By this factor and so many more sessions than were planned for, their first looks crowd.
_GROWN, _FEW = 1.1, 256
# Who was overdue is looked at so many seconds after the one before, if not sooner.
_APART = 0.05


@attrs.define(eq=False, repr=False, kw_only=True)
class Planner:
    """
    Knows how quickly looks may be made.

    *is_elsewhere* tells of a token whether another process polls its session.

    Attributes:
        rate: How many requests per second there were for us when that was last weighed.
        weighed_at: When it was.
        weighed_for: How many sessions there were then.
        is_spreading: Whether some of those who came due while nobody could look are yet to be
            spread; until then nobody is to be taken, or they would come all at once.
    """

    roster: Roster
    learner: Learner
    gates: Gates
    is_elsewhere: Callable[[str], bool]
    rate: float | None = attrs.field(init=False)
    weighed_at: float = -math.inf
    weighed_for: int = 0
    is_spreading: bool = False
    # What those on the agenda were planned for, and what is left to be planned anew.
    _stretch: float = 1.0
    _planned_for: int = 0
    _plan: Iterator[Callable[[float], None]] | None = None
    _spread: Iterator[Callable[[float], None]] = attrs.field(factory=lambda: iter(()))

    def __attrs_post_init__(self) -> None:
        self.rate = self.gates.rate

    def weigh(self, now: float) -> None:
        """Weigh the demand against the rate."""
        learner, demand = self.learner, self.roster.demand
        self.weighed_at, self.weighed_for = now, demand.all
        learner.wishes.sum_up()
        besides = learner.tally.unscheduled(now)
        self.rate = self._share(now, besides)
        learner.load = demand.load(learner.policy.wait, self.rate, now, besides=besides)
        if demand.live < demand.coming:
            # Most of them will be planned for all of them.
            self._planned_for = max(self._planned_for, demand.all)

    def _share(self, now: float, besides: float) -> float | None:
        if not self.gates.is_shared:
            return self.gates.rate
        density, demand = self.learner.policy.density, self.roster.demand
        if density is not None:
            wish = demand.looks(density, now)
        else:
            wish = demand.all / self._wished_gap()
        return self.gates.share(max(wish + besides, _LEAST_WISH))

    def rate_when_busy(self) -> float | None:
        """Return the requests per second for us when all want to be looked at most closely."""
        density, count = self.learner.policy.density, self.roster.demand.all
        wish = count / self._wished_gap() if density is None else count * density.closest
        return self.gates.share_of(max(wish, _LEAST_WISH))

    def _wished_gap(self) -> float:
        # Of strategies that are no density; until one was asked, as of people.
        return self.learner.wishes.gap or EVERY

    @property
    def weighs_at(self) -> float:
        """When the demand is to be weighed, whoever is due; infinity if all are as wished."""
        return self.weighed_at + WEIGHING if self._stretch > 1 else math.inf

    def notice(self) -> None:
        """Begin to plan anew if what was last weighed is quite another demand."""
        stretch, count = self._stretch_now(), self.roster.demand.all
        has_fallen = stretch * _FALLEN < self._stretch
        has_grown = count > self._planned_for * _GROWN + _FEW
        self._stretch = stretch if has_fallen else max(stretch, self._stretch)
        self._planned_for = count if has_grown else min(count, self._planned_for)
        if has_fallen or (has_grown and stretch > 1):
            entries = list(self.roster.live.values())
            self._plan = (partial(self._renew, entry, with_new=has_grown) for entry in entries)

    def _stretch_now(self) -> float:
        load = self.learner.load
        if self.learner.policy.density is not None:
            return load.stretch
        return max(1.0, load.at_least / self._wished_gap())

    @property
    def is_planning(self) -> bool:
        """Whether some are left who are to be planned anew."""
        return self.is_spreading or self._plan is not None

    def go_on(self, now: float) -> None:
        """Plan the next few anew, if any are left."""
        if self.is_spreading:
            self.is_spreading = _is_left(self._spread, now)
        elif self._plan is not None and not _is_left(self._plan, now):
            self._plan = None

    def _renew(self, entry: Entry, now: float, *, with_new: bool) -> None:
        # Anywhere in the gap of now: then those who are planned anew crowd nowhere, whatever
        # they were planned for. After a failure it is not the schedule that counts.
        state, policy = entry.state, self.learner.policy
        if state.trouble is None and self._is_ours(entry):
            is_new = with_new and not state.polls and entry.waiter is None
            if is_new or entry.due > now + self._gap(state, now, 1 + policy.jitter):
                self._put(entry, self._gap(state, now, policy.random()), now)

    def spread(self, now: float) -> None:
        """Begin to have those who came due while nobody could look come one after the other."""
        overdue = self.roster.agenda.overdue(now)
        self.is_spreading, count = bool(overdue), len(overdue)
        self._spread = (
            partial(self._set_apart, entry, index=index, count=count)
            for index, entry in enumerate(overdue)
        )

    def _set_apart(self, entry: Entry, now: float, *, index: int, count: int) -> None:
        if entry.due <= now and entry.waiter is None and self._is_ours(entry):
            gap = self._gap(entry.state, now, index / count)
            self._put(entry, min(gap, index * _APART), now)

    def _is_ours(self, entry: Entry) -> bool:
        # To plan; a nudge has plans of its own.
        is_there = self.roster.agenda.has(entry) and not entry.state.early
        return is_there and not self.is_elsewhere(entry.state.token)

    def _gap(self, state: PollState, now: float, share: float) -> float:
        policy, load = self.learner.policy, self.learner.load
        answer = state.last_error or state.status
        if answer is None:
            return first_gap(policy.wait, load, age=now - state.begun, share=share)
        gap, _ = scheduled(state, answer, policy, now, load, share=share)
        return share * FLOOR if gap is None else gap

    def _put(self, entry: Entry, gap: float, now: float) -> None:
        end = entry.first_end(now, of_watch=self._stretch_now() <= 1)
        self.roster.put(entry, min(now + gap, end))


def _is_left(plan: Iterator[Callable[[float], None]], now: float) -> bool:
    few = list(islice(plan, _AT_A_TIME))
    for renew in few:
        renew(now)
    return len(few) == _AT_A_TIME
