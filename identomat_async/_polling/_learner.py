"""What an answer changes: the session's state, its next look, and who is told."""

import logging
from collections.abc import Callable
from typing import TypeGuard

import attrs

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import ASKED, Entry, conclude_wait, conclude_watch
from identomat_async._polling._failures import FailureLog
from identomat_async._polling._halt import Halt
from identomat_async._polling._hub import Hub, known
from identomat_async._polling._outage import Outage
from identomat_async._polling._outcomes import DeadlinePassed, Delivery, Outcome
from identomat_async._polling._policy import Load, Pending, PollPolicy, Step
from identomat_async._polling._roster import Roster
from identomat_async._polling._state import PollState
from identomat_async._polling._step import (
    TOLERANCE,
    Answer,
    confirming,
    deadline_passed,
    given_up,
    open_for,
    step,
)
from identomat_async._polling._tally import Tally
from identomat_async._polling._waiters import Waiter
from identomat_async._polling._watch import IN_PROGRESS, MANUAL_CHECK
from identomat_async._polling._wishes import Wishes
from identomat_async.errors import (
    AuthenticationError,
    ClientClosedError,
    IdentomatError,
    RateLimitedError,
    ResponseDecodeError,
    ServerError,
    TransportError,
    UnexpectedRedirectError,
)
from identomat_async.events import (
    AnswerConflict,
    ForeignAnswer,
    Halted,
    HandlerFailed,
    OutcomeReady,
    Paused,
    PollFinished,
    Resumed,
    StatusChanged,
    UnknownStatus,
    UnsoundSchedule,
)

# There is at least a look at each session in so many seconds.
_SELDOM = 60.0

_logger = logging.getLogger("identomat_async")

# A look that was later than this many seconds is late for want of rate or places; to
# count from when it was due would keep the backlog for ever.
_ON_TIME = 0.25


@attrs.define(eq=False, repr=False, kw_only=True)
class Learner:
    """
    Learns from answers, without clock and without await.

    *deliver* takes the outcome of each watch, and returns whether an earlier run has come to one
    already; *halted* is called when the account is refused.
    """

    roster: Roster
    policy: PollPolicy
    hub: Hub
    token_hash: Callable[[str], str]
    deliver: Callable[[Outcome], bool]
    halted: Callable[[IdentomatError], None]
    halt: Halt = attrs.field(factory=Halt)
    tally: Tally = attrs.field(factory=Tally)
    outage: Outage = attrs.field(factory=Outage)
    load: Load = attrs.field(factory=Load)
    wishes: Wishes = attrs.field(factory=Wishes)
    _failures: FailureLog = attrs.field(factory=FailureLog)
    _is_unsound: bool = False

    @property
    def stretch(self) -> float:
        """How many times longer than wished the gaps are."""
        return self.wishes.stretch if self.policy.density is None else self.load.stretch

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
        if answer is IN_PROGRESS and self._goes_on(entry, now, now + elapsed):
            return False
        error = answer if isinstance(answer, IdentomatError) else None
        self.tally.ended(error, now + elapsed)
        self._judge_account(error, now)
        self._judge_service(error, now + elapsed, elapsed)
        if not self.roster.has(entry):
            return False
        if self.hub:
            self._tell(entry, entry.state, answer, now, elapsed)
            if not self.roster.has(entry):
                return False  # an observer has discarded it
        before = entry.state
        then = step(before, answer, policy=self.policy, now=now, load=self.load)
        if isinstance(then, Pending) and then.unsound:
            self._tell_unsound(entry)
        if isinstance(answer, SessionStatus) and _ends_something(entry, then, answer, now):
            self.roster.know(entry, confirming(before, answer, now).state)
            entry.due = now + elapsed
            if before.status is None:
                self.roster.never_open.add(before.token)
            return True
        if isinstance(answer, SessionStatus) and isinstance(then, Pending):
            # Nearly always: nothing ends, and nobody is told.
            entry.place = None
            self.roster.know(entry, then.state)
            self._look_again(entry, then, now, elapsed)
        else:
            self._conclude(entry, then, answer, now, elapsed)
        return False

    def _goes_on(self, entry: Entry, now: float, ended: float) -> bool:
        # Nearly always: nothing ends, nobody is told, and only the next look is set. Without
        # detours, since this is a good part of what a look costs.
        state = entry.state
        if (
            entry.waiter is not None
            or entry.own is not None
            or self.hub.observers
            or not self.halt.is_calm
            or self.roster.live.get(state.token) is not entry
        ):
            return False
        delay = open_for(state, policy=self.policy, now=now, load=self.load)
        if delay is None or not self.outage.answered(ended, ended - now):
            return False
        self.tally.answered_at = ended
        # In place, since nobody else has this value, and another one takes longer to make.
        state.status = IN_PROGRESS
        state.polls += 1
        entry.place = None
        is_on_time = 0 <= now - entry.due <= _ON_TIME
        self.roster.put(entry, (entry.due if is_on_time else now) + delay)
        return True

    def _conclude(
        self, entry: Entry, then: Step, answer: Answer, now: float, elapsed: float
    ) -> None:
        result = answer if isinstance(answer, SessionResult) else None
        if result is not None and not result.status.is_terminal:
            self.roster.never_open.discard(entry.state.token)
        entry.place = None
        ended = self._give(entry, then, result, now)
        if isinstance(then, Pending):
            self.roster.know(entry, then.state)
        if ended and not self.roster.settle(entry):
            return
        if not isinstance(then, Pending):
            # The operator's time is up for the watch; somebody else still waits.
            entry.state = attrs.evolve(entry.state, review=float("inf"))
            then = step(entry.state, answer, policy=self.policy, now=now, load=self.load)
            assert isinstance(then, Pending)  # noqa: S101 - the waiters' deadlines are ahead
            self.roster.know(entry, then.state)
        self._look_again(entry, then, now, elapsed)

    def _look_again(self, entry: Entry, then: Pending, now: float, elapsed: float) -> None:
        self.wishes.note(then)
        due = _next_due(entry, then, now, elapsed)
        is_late = entry.is_late_for_anybody(entry.state, due)
        if is_late and not entry.state.fresh:
            entry.state = attrs.evolve(entry.state, fresh=True)
        # Somebody is there who waits for this one look.
        first = bool(entry.state.early) or (is_late and entry.waiter is not None)
        self.roster.put(entry, due, first=first)

    def let_go(self, waiter: Waiter, now: float) -> None:
        """End a wait for which there was no look at its deadline: too slow, or too many."""
        outcome = deadline_passed(waiter.entry.state, now)
        self.roster.leave(waiter.entry, waiter)
        if not waiter.entry.is_wanted:
            self.tally.came_to(outcome, waiter.entry.state, now, was_open=False)
        waiter.give(attrs.evolve(outcome, waited=max(0.0, now - waiter.since)))

    def give_up(self, now: float) -> None:
        """
        End the watches whose time was up long ago, and that had no answer since.

        This is for when somebody or other could not be looked at for all the grace.
        """
        least = now - self.policy.grace
        for entry in list(self.roster.live.values()):
            if entry.deadline > least or entry.place is ASKED or not entry.delivers:
                continue
            outcome = given_up(
                entry.state, ends_at=entry.ends_at, due=entry.due, policy=self.policy, now=now
            )
            if outcome is not None:
                entry.delivers = False
                self._deliver(outcome, begun=entry.state.begun, now=now)
                self.roster.settle(entry)

    def paused(self, span: float, now: float, *, is_cut: bool) -> None:
        """
        Note that the service has asked not to be looked at for so many seconds from *now*.

        Or for more, if that *is_cut*.
        """
        is_news = self.outage.keep_in_mind(self._usual(), now)
        self.hub.tell(Paused(reason="asked", seconds=span, is_cut=is_cut))
        if is_news:
            more = ", or more than is believed" if is_cut else ""
            _logger.warning("polling pauses: the service asked for %.0f s%s", span, more)

    def refused(self, delivery: Delivery, error: str) -> None:
        """Note that the handler raised *error*."""
        self.tally.handler_errors += 1
        if self.hub:
            name = self.token_hash(delivery.token)
            self.hub.tell(HandlerFailed(token_hash=name, error=error, attempt=delivery.attempt))

    def lost(self, error: ClientClosedError, now: float) -> None:
        """Note that there is nothing left to look through."""
        self._judge_account(error, now)

    def _tell_resumed(self) -> None:
        self.hub.tell(Resumed())
        _logger.info("polling goes on")

    def _judge_service(self, error: IdentomatError | None, now: float, elapsed: float) -> None:
        change = self.outage.ended(now, failed=is_outage(error), elapsed=elapsed, usual=self._usual)
        if change == "down":
            self.hub.tell(Paused(reason="outage", seconds=None))
            _logger.warning("polling pauses: the service is down")
        elif change == "up":
            self._tell_resumed()
        # The account's troubles have a line of their own.
        if error is None or self.halt.error is not None or isinstance(error, AuthenticationError):
            return
        if line := self._failures.failed(type(error).__name__, now):
            _logger.warning("%s", line)

    def _usual(self) -> float:
        return max(self.tally.usual(), self.roster.demand.live / _SELDOM)

    def _give(self, entry: Entry, then: Step, result: SessionResult | None, now: float) -> bool:
        staying: list[Waiter] = []
        last: Outcome | None = None
        is_known = False
        for waiter in entry.waiters:
            outcome = conclude_wait(waiter, entry, then, result, now)
            if outcome is None:
                staying.append(waiter)
            else:
                waiter.give(outcome)
                last = outcome
        if last is not None:
            entry.keep(staying)
        if entry.delivers:
            outcome = conclude_watch(entry, then, result, now, policy=self.policy)
            if outcome is not None:
                entry.delivers, last = False, outcome
                is_known = self._deliver(outcome, begun=entry.state.begun, now=now)
        if last is not None and not entry.is_wanted and not is_known:
            # Once for each session, however many waited for it and however often it is delivered.
            self.tally.came_to(last, entry.state, now, was_open=self.roster.was_open(entry))
        return last is not None

    def _deliver(self, outcome: Outcome, *, begun: float, now: float) -> bool:
        self.tally.deadlines_passed += isinstance(outcome, DeadlinePassed)
        redelivered = self.deliver(outcome)
        if self.hub:
            self.hub.tell(
                OutcomeReady(
                    token_hash=self.token_hash(outcome.token),
                    outcome=type(outcome).__name__,
                    status=known(outcome.status),
                    polls=outcome.polls,
                    waited=outcome.waited,
                    age=now - begun,
                    redelivered=redelivered,
                )
            )
        return redelivered

    def _judge_account(self, error: IdentomatError | None, now: float) -> None:
        if error is None:
            if self.halt.answered():
                self._tell_resumed()
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
        if _is_error(answer) and answer.reason == "other-session":
            self.hub.tell(ForeignAnswer(token_hash=name))
        if status is None or status == before.status:
            return
        self.hub.tell(
            StatusChanged(token_hash=name, before=known(before.status), after=known(status))
        )
        if not status.is_known:
            self.hub.tell(UnknownStatus(token_hash=name))
        if before.fresh and before.status is not None and _is_rumour(entry, before.status):
            self.hub.tell(AnswerConflict(token_hash=name, kept=before.status, fresh=known(status)))

    def _tell_unsound(self, entry: Entry) -> None:
        if not self._is_unsound:
            self._is_unsound = True
            self.hub.tell(UnsoundSchedule(token_hash=self.token_hash(entry.state.token)))


def is_outage(error: IdentomatError | None) -> bool:
    """Tell whether a look failed for want of a sound service."""
    # What the service itself cannot help; a session that is unknown is no sign of it.
    if isinstance(error, ResponseDecodeError):
        return error.reason == "content-type"  # a page that says so
    return isinstance(
        error, TransportError | ServerError | RateLimitedError | UnexpectedRedirectError
    )


def _is_error(answer: Answer) -> TypeGuard[IdentomatError]:
    return isinstance(answer, IdentomatError)


def _status(answer: SessionStatus | SessionResult) -> SessionStatus:
    return answer if isinstance(answer, SessionStatus) else answer.status


def _ends_something(entry: Entry, then: Step, status: SessionStatus, now: float) -> bool:
    # What a kept connection says is acted on for nobody: neither for the widest interest
    # (*then*) nor for another.
    assert isinstance(then, Pending)  # noqa: S101 - a bare status is never an outcome
    is_end = then.state.fresh and then.delay == 0
    if status is IN_PROGRESS and entry.waiter is None:
        return is_end  # nearly always, and then the widest interest is the only one
    return is_end or entry.is_settled_by(status) or entry.is_late_for_anybody(then.state, now)


def _is_rumour(entry: Entry, status: SessionStatus) -> bool:
    # What a kept connection says is read again if it ends something, or begins a review.
    is_new_review = status is MANUAL_CHECK and entry.state.reviewed is None
    return is_new_review or entry.is_settled_by(status)


def _next_due(entry: Entry, then: Pending, now: float, elapsed: float) -> float:
    # From when the look was due, so that lateness does not add up; after a failure from
    # its end, so that a slow one is not followed at once.
    end = entry.first_end(now, of_watch=then.stretch <= 1)
    if now + then.delay >= end - TOLERANCE:
        return end
    if then.state.last_error is not None:
        return now + elapsed + then.delay
    is_on_time = 0 <= now - entry.due <= _ON_TIME and not then.state.early
    return (entry.due if is_on_time else now) + then.delay
