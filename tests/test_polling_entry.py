"""Each who waits has an own deadline and an own `until`."""

import math

import attrs
import pytest

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import Entry, conclude_wait, conclude_watch
from identomat_async._polling._outcomes import DeadlinePassed, SessionGone, Settled
from identomat_async._polling._policy import PollPolicy, Step
from identomat_async._polling._state import PollState
from identomat_async._polling._step import step
from identomat_async._polling._waiters import Group, Lone, Member, Waiter
from identomat_async._polling._watch import Until, stricter
from identomat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    SessionNotFoundError,
)

OPEN, REVIEW = SessionStatus.IN_PROGRESS, SessionStatus.MANUAL_CHECK
DECIDED, TERMINAL = Until.DECIDED, Until.TERMINAL
POLICY = PollPolicy()


def entry_of(
    *waiters: tuple[Until, float], watch: tuple[Until, float] | None = None
) -> tuple[Entry, list[Waiter]]:
    until, deadline = watch or (TERMINAL, 0.0)
    entry = Entry(PollState(token="t", begun=0, watched=0, until=until, deadline=deadline))
    entry.delivers = watch is not None
    made: list[Waiter] = [
        Member(entry, Group(1), until=u, deadline=d, since=10.0) for u, d in waiters
    ]
    for waiter in made:
        entry.add(waiter)
    entry.widen()
    return entry, made


def look(entry: Entry, answer: SessionStatus | SessionResult | Exception, now: float) -> Step:
    return step(entry.state, answer, policy=POLICY, now=now)  # type: ignore[arg-type]


def test_the_stricter_until_waits_longer() -> None:
    assert stricter(TERMINAL, DECIDED) is stricter(DECIDED, TERMINAL) is DECIDED
    assert stricter(TERMINAL, TERMINAL) is TERMINAL


def test_the_state_stands_for_the_widest_interest() -> None:
    entry, _ = entry_of((DECIDED, 50.0), (TERMINAL, 90.0), watch=(TERMINAL, 70.0))

    assert (entry.state.until, entry.state.deadline) == (DECIDED, 90.0)
    assert [entry.first_end(now) for now in (0, 50, 70, 90)] == [50.0, 70.0, 90.0, math.inf]
    assert entry.is_wanted
    assert not entry_of((TERMINAL, 1.0))[0].delivers


def test_a_status_settles_for_whom_it_is_enough() -> None:
    assert entry_of((TERMINAL, 9.0), watch=(DECIDED, 9.0))[0].is_settled_by(REVIEW)
    assert not entry_of((DECIDED, 9.0))[0].is_settled_by(REVIEW)


def test_a_review_ends_the_wait_and_not_the_watch() -> None:
    entry, (waiter,) = entry_of((TERMINAL, 90.0), watch=(DECIDED, 90.0))
    result = SessionResult(status=REVIEW)
    then = look(entry, result, 40.0)

    outcome = conclude_wait(waiter, entry, then, result, 40.0)

    assert isinstance(outcome, Settled)
    assert (outcome.final, outcome.waited, outcome.polls) == (False, 30.0, 1)
    assert conclude_watch(entry, then, result, 40.0, policy=POLICY) is None


def test_a_verdict_ends_both() -> None:
    entry, (waiter,) = entry_of((DECIDED, 90.0), watch=(TERMINAL, 20.0))
    result = SessionResult(status=SessionStatus.APPROVED)
    then = look(entry, result, 40.0)

    assert isinstance(conclude_wait(waiter, entry, then, result, 40.0), Settled)
    assert isinstance(conclude_watch(entry, then, result, 40.0, policy=POLICY), Settled)


@pytest.mark.parametrize("now", [49.0, 50.0])
def test_a_waiter_is_released_at_its_own_deadline_answered_or_not(now: float) -> None:
    entry, (one, other) = entry_of((TERMINAL, 50.0), (TERMINAL, 90.0))
    then = look(entry, ConnectionFailedError("down"), now)

    outcome = conclude_wait(one, entry, then, None, now)

    assert isinstance(outcome, DeadlinePassed) is (now >= 50.0)
    assert conclude_wait(other, entry, then, None, now) is None


def test_a_watch_ends_at_its_own_deadline_by_a_document_only() -> None:
    entry, _ = entry_of((TERMINAL, 90.0), watch=(TERMINAL, 50.0))
    then = look(entry, OPEN, 50.0)
    document = SessionResult(status=OPEN)

    assert conclude_watch(entry, then, None, 50.0, policy=POLICY) is None
    assert isinstance(conclude_watch(entry, then, document, 50.0, policy=POLICY), DeadlinePassed)


def test_when_all_are_late_all_end() -> None:
    entry, (waiter,) = entry_of((TERMINAL, 50.0), watch=(TERMINAL, 50.0))
    document = SessionResult(status=OPEN)
    then = look(entry, document, 60.0)

    assert isinstance(conclude_wait(waiter, entry, then, document, 60.0), DeadlinePassed)
    assert conclude_watch(entry, then, document, 60.0, policy=POLICY) is then


def test_a_session_that_is_gone_is_gone_for_all() -> None:
    entry, (waiter,) = entry_of((TERMINAL, 50.0), watch=(TERMINAL, 50.0))
    entry.state = attrs.evolve(entry.state, fresh=True)
    then = look(entry, SessionNotFoundError("", verified=True), 20.0)

    assert isinstance(conclude_wait(waiter, entry, then, None, 20.0), SessionGone)
    assert conclude_watch(entry, then, None, 20.0, policy=POLICY) is then


def test_a_group_is_over_when_nothing_is_missing_or_with_an_error() -> None:
    entry, _ = entry_of((TERMINAL, 1.0))
    group = Group(2)
    member = Member(entry, group, until=TERMINAL, deadline=1.0, since=0.0)
    member.give(DeadlinePassed(token="a"))
    assert not group.is_over
    member.give(DeadlinePassed(token="b"))
    assert group.is_over
    assert list(group.outcomes) == ["a", "b"]

    failed = Group(1)
    Member(entry, failed, until=TERMINAL, deadline=1.0, since=0.0).fail(ConfigurationError("no"))
    assert failed.is_over


def test_an_answer_that_is_there_outlasts_what_goes_wrong_then() -> None:
    entry, _ = entry_of((TERMINAL, 1.0))
    group = Group(1)
    member = Member(entry, group, until=TERMINAL, deadline=1.0, since=0.0)
    lone = Lone(entry, until=TERMINAL, deadline=1.0, since=0.0)
    for waiter in (member, lone):
        waiter.give(DeadlinePassed(token="t"))
        waiter.fail(ConfigurationError("too late"))

    assert group.is_over
    assert group.error is None
    assert lone.came_to == DeadlinePassed(token="t")
