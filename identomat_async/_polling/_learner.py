"""What an answer changes: the session's state, its next look, and who is told."""

from collections.abc import Callable

import attrs

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import Entry, Waiter, conclude_wait, conclude_watch
from identomat_async._polling._halt import Halt
from identomat_async._polling._hub import Hub, known
from identomat_async._polling._outcomes import DeadlinePassed, Outcome
from identomat_async._polling._roster import Roster
from identomat_async._polling._state import PollState
from identomat_async._polling._step import (
    TOLERANCE,
    Answer,
    Load,
    Pending,
    PollPolicy,
    Step,
    confirming,
    step,
)
from identomat_async._polling._tally import Tally
from identomat_async.errors import IdentomatError
from identomat_async.events import (
    AnswerConflict,
    Halted,
    OutcomeReady,
    PollFinished,
    Resumed,
    StatusChanged,
    UnknownStatus,
    UnsoundSchedule,
)

# A look that was later than this many seconds is late for want of rate or places; to
# count from when it was due would keep the backlog for ever.
_ON_TIME = 0.25


@attrs.define(eq=False, repr=False, kw_only=True)
class Learner:
    """
    Learns from answers, without clock and without await.

    *deliver* takes the outcome of each watch; *halted* is called when the account is
    refused.
    """

    roster: Roster
    policy: PollPolicy
    hub: Hub
    token_hash: Callable[[str], str]
    deliver: Callable[[Outcome], None]
    halted: Callable[[IdentomatError], None]
    halt: Halt = attrs.field(factory=Halt)
    tally: Tally = attrs.field(factory=Tally)
    load: Load = attrs.field(factory=Load)
    _is_unsound: bool = False

    def learn(self, entry: Entry, answer: Answer, now: float, *, elapsed: float) -> bool:
        """
        Take in what a look brought.

        Args:
            entry: The session.
            answer: Its status, its document, or the error of the look.
            now: When the look was begun.
            elapsed: Seconds that it took.

        Returns:
            Whether the document has to be read at once; the session then counts as asked.
        """
        error = answer if isinstance(answer, IdentomatError) else None
        self.tally.ended(error, now + elapsed)
        self._judge_account(error, now)
        if not self.roster.has(entry):
            return False
        before = entry.state
        then = step(before, answer, policy=self.policy, now=now, load=self.load)
        if self.hub:
            self._tell(entry, before, answer, now, elapsed)
        if isinstance(then, Pending) and then.unsound:
            self._tell_unsound(entry)
        if isinstance(answer, SessionStatus) and _ends_something(entry, then, answer, now):
            entry.state = confirming(before, answer, now).state
            return True
        self._conclude(entry, then, answer, now, elapsed)
        return False

    def _conclude(
        self, entry: Entry, then: Step, answer: Answer, now: float, elapsed: float
    ) -> None:
        result = answer if isinstance(answer, SessionResult) else None
        entry.place = None
        ended = self._give(entry, then, result, now)
        if isinstance(then, Pending):
            entry.state = then.state
        if ended and not self.roster.settle(entry):
            return
        if not isinstance(then, Pending):
            # The operator's time is up for the watch; somebody else still waits.
            entry.state = attrs.evolve(entry.state, review=float("inf"))
            then = step(entry.state, answer, policy=self.policy, now=now, load=self.load)
            assert isinstance(then, Pending)  # noqa: S101 - the waiters' deadlines are ahead
            entry.state = then.state
        due = _next_due(entry, then, now, elapsed)
        if entry.is_late_for_anybody(entry.state, due) and not entry.state.fresh:
            entry.state = attrs.evolve(entry.state, fresh=True)
        self.roster.put(entry, due)

    def _give(self, entry: Entry, then: Step, result: SessionResult | None, now: float) -> bool:
        waiting: list[Waiter] = []
        for waiter in entry.waiters:
            outcome = conclude_wait(waiter, entry, then, result, now)
            if outcome is None:
                waiting.append(waiter)
            else:
                waiter.group.give(outcome)
        ended = len(waiting) < len(entry.waiters)
        entry.waiters = tuple(waiting)
        if entry.delivers:
            outcome = conclude_watch(entry, then, result, now)
            if outcome is not None:
                entry.delivers, ended = False, True
                self._deliver(outcome)
        return ended

    def _deliver(self, outcome: Outcome) -> None:
        self.tally.deadlines_passed += isinstance(outcome, DeadlinePassed)
        self.deliver(outcome)
        if self.hub:
            self.hub.tell(
                OutcomeReady(
                    token_hash=self.token_hash(outcome.token),
                    outcome=type(outcome).__name__,
                    status=known(outcome.status),
                )
            )

    def _judge_account(self, error: IdentomatError | None, now: float) -> None:
        if error is None:
            if self.halt.answered():
                self.hub.tell(Resumed())
        elif self.halt.failed(error, now):
            self.hub.tell(Halted(error=type(error).__name__))
            self.halted(error)

    def _tell(
        self, entry: Entry, before: PollState, answer: Answer, now: float, elapsed: float
    ) -> None:
        name = self.token_hash(before.token)
        status = None if isinstance(answer, IdentomatError) else _status(answer)
        self.hub.tell(
            PollFinished(
                token_hash=name,
                status=known(status),
                error=type(answer).__name__ if _is_error(answer) else None,
                elapsed=elapsed,
                lateness=max(0.0, now - entry.due),
            )
        )
        if status is None or status == before.status:
            return
        self.hub.tell(
            StatusChanged(token_hash=name, before=known(before.status), after=known(status))
        )
        if not status.is_known:
            self.hub.tell(UnknownStatus(token_hash=name))
        if before.fresh and before.status is not None and entry.is_settled_by(before.status):
            self.hub.tell(AnswerConflict(token_hash=name, kept=before.status, fresh=known(status)))

    def _tell_unsound(self, entry: Entry) -> None:
        if not self._is_unsound:
            self._is_unsound = True
            self.hub.tell(UnsoundSchedule(token_hash=self.token_hash(entry.state.token)))


def _is_error(answer: Answer) -> bool:
    return isinstance(answer, IdentomatError)


def _status(answer: SessionStatus | SessionResult) -> SessionStatus:
    return answer if isinstance(answer, SessionStatus) else answer.status


def _ends_something(entry: Entry, then: Step, status: SessionStatus, now: float) -> bool:
    # What a kept connection says is acted on for nobody: neither for the widest interest
    # (*then*) nor for another.
    assert isinstance(then, Pending)  # noqa: S101 - a bare status is never an outcome
    is_end = then.state.fresh and then.delay == 0
    return is_end or entry.is_settled_by(status) or entry.is_late_for_anybody(then.state, now)


def _next_due(entry: Entry, then: Pending, now: float, elapsed: float) -> float:
    # From when the look was due, so that lateness does not add up; after a failure from
    # its end, so that a slow one is not followed at once.
    end = entry.first_end(now)
    if now + then.delay >= end - TOLERANCE:
        return end
    if then.state.last_error is not None:
        return now + elapsed + then.delay
    is_on_time = 0 <= now - entry.due <= _ON_TIME and not then.state.early
    return (entry.due if is_on_time else now) + then.delay
