"""One watched session as the engine holds it, and those who wait for it."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._outcomes import DeadlinePassed, Outcome
from identomat_async._polling._policy import Pending, PollPolicy, Step
from identomat_async._polling._state import PollState
from identomat_async._polling._step import deadline_passed, is_over, settled, unanswered
from identomat_async._polling._waiters import Waiter
from identomat_async._polling._watch import IN_PROGRESS, Until, ends, stricter

# The place of an entry while a look at it is under way.
ASKED: Final = "asked"


class Entry:
    """
    A session that is looked at.

    *state* stands for the widest interest in it. *delivers* tells whether somebody
    watches it; *own* is until what and when, unless *state* says so for lack of others.
    *waiter* is one who waits for it besides, and knows the next. There may be very many
    entries, so they hold little.
    """

    __slots__ = ("delivers", "due", "own", "place", "state", "waiter")

    def __init__(self, state: PollState, *, delivers: bool = False) -> None:
        self.state: PollState = state
        self.place: object = None
        self.due: float = 0.0
        self.delivers: bool = delivers
        self.own: tuple[Until, float] | None = None
        self.waiter: Waiter | None = None

    @property
    def waiters(self) -> Iterator[Waiter]:
        """Those who wait for it."""
        waiter = self.waiter
        while waiter is not None:
            following = waiter.next
            yield waiter
            waiter = following

    def add(self, waiter: Waiter) -> None:
        """Let somebody else wait for it."""
        waiter.next, self.waiter = self.waiter, waiter

    def remove(self, waiter: Waiter) -> bool:
        """Let somebody wait for it no more; False if it does not."""
        before: Waiter | None = None
        here = self.waiter
        while here is not None and here is not waiter:
            before, here = here, here.next
        if here is None:
            return False
        if before is None:
            self.waiter = waiter.next
        else:
            before.next = waiter.next
        return True

    def keep(self, waiters: Iterable[Waiter]) -> None:
        """Let nobody wait for it but *waiters*."""
        self.waiter = None
        for waiter in waiters:
            self.add(waiter)

    @property
    def until(self) -> Until:
        """What ends the watch."""
        return self.state.until if self.own is None else self.own[0]

    @property
    def deadline(self) -> float:
        """When time is up for the watch."""
        return self.state.deadline if self.own is None else self.own[1]

    @property
    def ends_at(self) -> float:
        """When time is up for the watch: the person's, or the operator's."""
        return self.state.ends_at_for(self.until, self.deadline)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is left who is interested."""
        return self.delivers or self.waiter is not None

    def is_settled_by(self, status: SessionStatus) -> bool:
        """Tell whether *status* would settle the session for anybody."""
        if status is IN_PROGRESS:  # nearly always
            return False
        return any(ends(status, until) for until in self._untils())

    def is_late(self, state: PollState, now: float) -> bool:
        """Tell whether, with what *state* knows, time is up for the watch."""
        if not self.delivers:
            return False
        if self.own is None:
            return is_over(state.ends_at, now)
        return is_over(state.ends_at_for(*self.own), now)

    def is_late_for_anybody(self, state: PollState, now: float) -> bool:
        """Tell whether time is up for the watch or for one who waits."""
        if self.is_late(state, now):
            return True
        # A generator for nobody would cost more than all the rest.
        return self.waiter is not None and any(is_over(w.deadline, now) for w in self.waiters)

    def widen(self) -> None:
        """Let the state stand for everybody who is interested now."""
        own = (self.until, self.deadline) if self.delivers else None
        until = Until.TERMINAL
        for one in self._untils():
            until = stricter(until, one)
        deadlines = [waiter.deadline for waiter in self.waiters]
        if own is not None:
            deadlines.append(own[1])
        self.state = attrs.evolve(self.state, until=until, deadline=max(deadlines))
        self.own = None if self.waiter is None else own

    def widen_for(self, waiter: Waiter) -> None:
        """Do the same for one who has just been added, without asking all the others."""
        state = self.state
        if self.delivers and self.own is None:
            self.own = state.until, state.deadline
        until = stricter(state.until, waiter.until)
        deadline = max(state.deadline, waiter.deadline)
        if (until, deadline) != (state.until, state.deadline):
            self.state = attrs.evolve(state, until=until, deadline=deadline)

    def is_wide_enough_for(self, waiter: Waiter) -> bool:
        """Tell by one of those who wait that nothing would be narrower without *waiter*."""
        other = self.waiter
        return (
            other is not None
            and other.deadline >= waiter.deadline
            and stricter(other.until, waiter.until) is other.until
        )

    def first_end(self, now: float, *, of_watch: bool = True) -> float:
        """Return the first deadline after *now* of those who wait, and *of_watch*; or infinity."""
        first = math.inf
        if of_watch:
            ends_at = self.state.ends_at
            first = math.inf if is_over(ends_at, now) else ends_at
            if self.own is not None:
                ends_at = self.state.ends_at_for(*self.own)
                first = first if is_over(ends_at, now) else min(first, ends_at)
        for waiter in self.waiters:
            if waiter.deadline < first and not is_over(waiter.deadline, now):
                first = waiter.deadline
        return first

    def _untils(self) -> Iterable[Until]:
        if self.delivers:
            yield self.until
        for waiter in self.waiters:
            yield waiter.until


def conclude_watch(
    entry: Entry, step: Step, result: SessionResult | None, now: float, *, policy: PollPolicy
) -> Outcome | None:
    """
    Return what a look begun *now* ends the watch of *entry* with, None if it goes on.

    Args:
        entry: The session; its state is the one before the look.
        step: What the look means for the widest interest.
        result: The document that the look read, if it read one.
        now: When the look was begun.
        policy: How the watch is conducted.
    """
    if result is not None and ends(result.status, entry.until):
        return settled(_known(step, entry), result, now)
    if not isinstance(step, Pending):
        return step
    if result is not None and entry.is_late(step.state, now):
        return deadline_passed(step.state, now)
    if step.state.last_error is None:
        return None
    # Somebody else may wait for longer; the watch is given up in its own time.
    return unanswered(step.state, ends_at=entry.ends_at, policy=policy, now=now)


def conclude_wait(
    waiter: Waiter, entry: Entry, step: Step, result: SessionResult | None, now: float
) -> Outcome | None:
    """Return what a look begun *now* ends a wait with, answered or not; None: it goes on."""
    is_late = is_over(waiter.deadline, now)
    outcome: Outcome | None = None
    if result is not None and ends(result.status, waiter.until):
        outcome = settled(_known(step, entry), result, now)
    elif not isinstance(step, Pending | DeadlinePassed):
        outcome = step
    elif is_late:
        outcome = deadline_passed(_known(step, entry), now)
    if outcome is None:
        return None
    return attrs.evolve(outcome, waited=max(0.0, now - waiter.since))


def _known(step: Step, entry: Entry) -> PollState:
    if isinstance(step, Pending):
        return step.state
    # What one of several is settled by was answered, so there is no trouble.
    return attrs.evolve(entry.state, polls=step.polls, status=step.status, trouble=None)
