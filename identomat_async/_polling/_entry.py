"""One watched session as the engine holds it, and those who wait for it."""

from collections.abc import Iterable

import anyio
import attrs

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._agenda import NOWHERE
from identomat_async._polling._outcomes import DeadlinePassed, Outcome, Until, ends, stricter
from identomat_async._polling._state import PollState
from identomat_async._polling._step import (
    Pending,
    Step,
    deadline_passed,
    is_over,
    settled,
)
from identomat_async.errors import IdentomatError


class Group:
    """
    Somebody who waits for one or more sessions.

    *outcomes* fills up by token. *event* is set when nothing is missing any more, when
    the account failed, and when the polling has lost its host.
    """

    __slots__ = ("error", "event", "missing", "outcomes")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.outcomes: dict[str, Outcome] = {}
        self.event = anyio.Event()
        self.error: IdentomatError | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return not self.missing or self.error is not None

    def give(self, outcome: Outcome) -> None:
        """Hand over what became of one session."""
        self.outcomes[outcome.token] = outcome
        self.missing -= 1
        if not self.missing:
            self.event.set()

    def fail(self, error: IdentomatError) -> None:
        """End the wait with one error, unless there is nothing left to wait for."""
        if self.missing:
            self.error = error
            self.event.set()


class Waiter:
    """One session of a group: *until* and *deadline* are its own."""

    __slots__ = ("deadline", "group", "since", "until")

    def __init__(self, group: Group, *, until: Until, deadline: float, since: float) -> None:
        self.group = group
        self.until = until
        self.deadline = deadline
        self.since = since


class Entry:
    """
    A session that is looked at.

    *state* stands for the widest interest in it. *delivers* tells whether somebody
    watches it, until *until* and *deadline*; others may wait for it besides. *is_asked*
    is set while a look at it is under way.
    """

    __slots__ = (
        "deadline",
        "delivers",
        "due",
        "is_asked",
        "slot",
        "state",
        "until",
        "waiters",
    )

    def __init__(self, state: PollState) -> None:
        self.state = state
        self.slot = NOWHERE
        self.due = 0.0
        self.delivers = False
        self.is_asked = False
        self.until = state.until
        self.deadline = state.deadline
        self.waiters: tuple[Waiter, ...] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is left who is interested."""
        return self.delivers or bool(self.waiters)

    def is_settled_by(self, status: SessionStatus) -> bool:
        """Tell whether *status* would settle the session for anybody."""
        return any(ends(status, until) for until in self._untils())

    def is_late(self, state: PollState, now: float) -> bool:
        """Tell whether, with what *state* knows, time is up for the watch."""
        return self.delivers and is_over(state.ends_at_for(self.until, self.deadline), now)

    def is_late_for_anybody(self, state: PollState, now: float) -> bool:
        """Tell whether time is up for the watch or for one who waits."""
        waiters = any(is_over(waiter.deadline, now) for waiter in self.waiters)
        return waiters or self.is_late(state, now)

    def widen(self) -> None:
        """Let the state stand for everybody who is interested now."""
        until = Until.TERMINAL
        for one in self._untils():
            until = stricter(until, one)
        deadlines = [waiter.deadline for waiter in self.waiters]
        if self.delivers:
            deadlines.append(self.deadline)
        self.state = attrs.evolve(self.state, until=until, deadline=max(deadlines))

    def first_end(self, now: float) -> float:
        """Return the first deadline after *now* that anybody has, infinity if none."""
        ends_at = [waiter.deadline for waiter in self.waiters]
        ends_at.append(self.state.ends_at)
        if self.delivers:
            ends_at.append(self.state.ends_at_for(self.until, self.deadline))
        return min((at for at in ends_at if not is_over(at, now)), default=float("inf"))

    def _untils(self) -> Iterable[Until]:
        if self.delivers:
            yield self.until
        for waiter in self.waiters:
            yield waiter.until


def conclude_watch(
    entry: Entry, step: Step, result: SessionResult | None, now: float
) -> Outcome | None:
    """
    Return what a look begun *now* ends the watch of *entry* with, None if it goes on.

    Args:
        entry: The session; its state is the one before the look.
        step: What the look means for the widest interest.
        result: The document that the look read, if it read one.
        now: When the look was begun.
    """
    if result is not None and ends(result.status, entry.until):
        return settled(_known(step, entry), result, now)
    if not isinstance(step, Pending):
        return step
    if result is not None and entry.is_late(step.state, now):
        return deadline_passed(step.state, now)
    return None


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
    return attrs.evolve(
        entry.state, polls=step.polls, status=step.status, last_error=step.last_error
    )
