"""What an answer changes, and who is told."""

import attrs
import pytest
from tenacity import wait_fixed

from identomat_async import events
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import Entry
from identomat_async._polling._hub import Hub
from identomat_async._polling._learner import Learner
from identomat_async._polling._outcomes import DeadlinePassed, Outcome, Settled
from identomat_async._polling._policy import PollPolicy
from identomat_async._polling._roster import Roster
from identomat_async._polling._state import PollState
from identomat_async._polling._step import nudged
from identomat_async._polling._waiters import Group, Member
from identomat_async._polling._watch import Until
from identomat_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    IdentomatError,
    ResponseDecodeError,
)

APPROVED, REVIEW = SessionStatus.APPROVED, SessionStatus.MANUAL_CHECK
OPEN, UNKNOWN = SessionStatus.IN_PROGRESS, SessionStatus("thinking")
DOWN = ConnectionFailedError("down")


class Desk:
    """A learner, one session, and all that they say."""

    def __init__(self, until: Until = Until.TERMINAL, *, wait: float = 5.0) -> None:
        self.told: list[events.Event] = []
        self.outcomes: list[Outcome] = []
        self.errors: list[IdentomatError] = []
        self.learner = Learner(
            roster=Roster(),
            policy=PollPolicy(wait=wait_fixed(wait), jitter=0.0),
            hub=Hub([self.told.append]),
            token_hash=lambda token: f"hash of {token}",
            deliver=self._deliver,
            halted=self.errors.append,
        )
        self.entry = Entry(
            PollState(token="t", begun=0, watched=0, until=until, deadline=900.0, review=100.0)
        )
        self.entry.delivers = True
        self.learner.roster.add(self.entry, 0.0)

    def join(self, until: Until, deadline: float) -> Group:
        group = Group(1)
        self.entry.add(Member(self.entry, group, until=until, deadline=deadline, since=0.0))
        self.entry.widen()
        return group

    def _deliver(self, outcome: Outcome) -> bool:
        self.outcomes.append(outcome)
        return False

    def learn(self, answer: SessionStatus | SessionResult | IdentomatError, now: float) -> bool:
        return self.learner.learn(self.entry, answer, now, elapsed=0.1)

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.told]


def test_a_verdict_is_read_again_at_once_delivered_and_told() -> None:
    desk = Desk()

    assert desk.learn(APPROVED, 1.0)
    assert desk.entry.state.fresh
    assert not desk.learn(SessionResult(status=APPROVED), 1.1)

    assert [type(outcome) for outcome in desk.outcomes] == [Settled]
    assert not desk.learner.roster.live
    assert desk.names == ["PollFinished", "StatusChanged", "PollFinished", "OutcomeReady"]


@pytest.mark.parametrize(
    ("now", "due"), [(0.2, 5.0), (1.0, 6.0), (-0.1, 4.9), (898.0, 900.0), (895.0, 900.0)]
)
def test_the_next_look_counts_from_the_due_time_unless_late(now: float, due: float) -> None:
    desk = Desk()
    desk.learn(OPEN, now)

    assert desk.entry.due == pytest.approx(due)


def test_after_failures_and_nudges_it_counts_from_the_look() -> None:
    failed, hurried = Desk(), Desk()
    hurried.entry.state = nudged(hurried.entry.state, 0.0)[0]
    failed.learn(DOWN, 0.2)
    hurried.learn(OPEN, 0.2)

    assert failed.entry.due == pytest.approx(5.3)  # from when the failure was known
    assert hurried.entry.due == 2.0


def test_a_review_goes_to_the_waiter_and_the_watch_stays() -> None:
    desk = Desk(Until.DECIDED)
    group = desk.join(Until.TERMINAL, 50.0)

    assert desk.learn(REVIEW, 1.0)
    assert not desk.learn(SessionResult(status=REVIEW), 1.0)

    assert isinstance(group.outcomes["t"], Settled)
    assert not desk.outcomes
    assert desk.learner.roster.live


def test_a_review_at_its_end_is_still_read_for_a_waiter() -> None:
    desk = Desk(Until.DECIDED)
    desk.learn(SessionResult(status=REVIEW), 1.0)
    group = desk.join(Until.TERMINAL, 900.0)

    assert desk.learn(REVIEW, 101.0)
    desk.learn(SessionResult(status=REVIEW), 101.0)

    assert isinstance(group.outcomes["t"], Settled)
    assert [type(outcome) for outcome in desk.outcomes] == [DeadlinePassed]
    assert not desk.learner.roster.live


def test_a_waiter_for_the_decision_outlives_the_review_of_the_watch() -> None:
    desk = Desk(Until.DECIDED)
    desk.learn(SessionResult(status=REVIEW), 1.0)
    desk.join(Until.DECIDED, 800.0)
    assert desk.learn(REVIEW, 101.0)
    assert not desk.learn(SessionResult(status=REVIEW), 101.0)

    assert [type(outcome) for outcome in desk.outcomes] == [DeadlinePassed]
    assert desk.learner.tally.deadlines_passed == 1
    assert desk.entry.due == 401.0


def test_a_waiter_who_goes_on_is_kept() -> None:
    desk = Desk()
    group = desk.join(Until.TERMINAL, 50.0)
    desk.learn(OPEN, 1.0)

    assert desk.entry.waiter
    assert not group.outcomes


def test_a_session_that_is_only_waited_for_is_dropped_and_not_delivered() -> None:
    desk = Desk()
    desk.entry.delivers = False
    group = desk.join(Until.TERMINAL, 50.0)
    assert desk.learn(OPEN, 50.0)
    desk.learn(SessionResult(status=OPEN), 50.0)

    assert isinstance(group.outcomes["t"], DeadlinePassed)
    assert not desk.outcomes
    assert not desk.learner.roster.live


def test_an_answer_for_a_session_no_longer_watched_changes_nothing() -> None:
    desk = Desk()
    desk.learner.roster.drop(desk.entry)

    assert not desk.learn(APPROVED, 1.0)
    assert not desk.told


def test_unknown_words_and_conflicts_are_told_without_the_word() -> None:
    desk = Desk()
    desk.learn(APPROVED, 1.0)
    desk.learn(SessionResult(status=UNKNOWN), 1.0)

    assert desk.names[2:] == ["PollFinished", "StatusChanged", "UnknownStatus", "AnswerConflict"]
    assert "thinking" not in repr(desk.told)
    assert desk.told[-1] == events.AnswerConflict(
        token_hash="hash of t", kept="APPROVED", fresh=None
    )


def test_a_review_that_only_a_kept_connection_has_seen_is_told() -> None:
    desk = Desk(Until.DECIDED)
    desk.learn(REVIEW, 1.0)
    desk.learn(SessionResult(status=OPEN), 1.0)

    assert desk.told[-1] == events.AnswerConflict(
        token_hash="hash of t", kept="MANUAL_CHECK", fresh="IN_PROGRESS"
    )


def test_a_review_that_is_over_is_no_conflict() -> None:
    desk = Desk(Until.DECIDED)
    for answer in (REVIEW, SessionResult(status=REVIEW), APPROVED, SessionResult(status=APPROVED)):
        desk.learn(answer, 1.0)

    assert "AnswerConflict" not in desk.names


@pytest.mark.parametrize(
    ("answers", "durations"),
    [
        ((DOWN, DOWN, APPROVED, SessionResult(status=APPROVED)), []),
        ((OPEN, SessionResult(status=APPROVED)), [1.0]),
        ((OPEN, APPROVED, SessionResult(status=APPROVED)), [1.0]),
        ((APPROVED, DOWN, SessionResult(status=APPROVED)), []),
        ((APPROVED, SessionResult(status=OPEN), SessionResult(status=APPROVED)), [1.0]),
    ],
)
def test_only_who_was_seen_open_is_learned_from(answers, durations: list[float]) -> None:
    desk = Desk()
    for answer in answers:
        desk.learn(answer, 1.0)

    assert list(desk.learner.tally.durations) == durations
    assert not desk.learner.roster.never_open


def test_a_look_that_reads_again_is_due_when_it_is_asked_for() -> None:
    desk = Desk()
    desk.learn(APPROVED, 7.0)

    assert desk.entry.due == 7.1


def test_an_answer_of_another_session_is_told() -> None:
    desk = Desk()
    desk.learn(ResponseDecodeError("x", reason="json", retryable=True), 1.0)
    desk.learn(ResponseDecodeError("x", reason="other-session", retryable=True), 2.0)

    assert desk.names == ["PollFinished", "PollFinished", "ForeignAnswer"]
    assert desk.told[-1] == events.ForeignAnswer(token_hash="hash of t")


def test_an_unsound_schedule_is_told_once() -> None:
    desk = Desk(wait=-1.0)
    desk.learn(OPEN, 1.0)
    desk.learn(OPEN, 2.0)

    assert desk.names.count("UnsoundSchedule") == 1


def test_a_refused_account_halts_and_an_answer_resumes() -> None:
    desk = Desk()
    error = AuthenticationError("no")
    for now in (1.0, 2.0, 3.0):
        desk.learn(error, now)
    desk.learn(OPEN, 40.0)

    assert desk.errors == [error]
    assert [name for name in desk.names if name in ("Halted", "Resumed")] == ["Halted", "Resumed"]


def test_without_observers_the_same_happens() -> None:
    desk = Desk()
    desk.learner = attrs.evolve(desk.learner, hub=Hub([]))
    desk.learn(APPROVED, 1.0)
    desk.learn(SessionResult(status=APPROVED), 1.0)

    assert len(desk.outcomes) == 1
    assert not desk.told
