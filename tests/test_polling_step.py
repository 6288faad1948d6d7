"""What one answer means: tables, and any sequence of answers."""

import math
import random
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, wait_fixed
from tenacity.wait import wait_base

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._outcomes import DeadlinePassed, PollFailed, SessionGone, Settled
from identomat_async._polling._person import wait_person
from identomat_async._polling._policy import Load, Pending, PollPolicy
from identomat_async._polling._schedule import FLOOR, first_gap
from identomat_async._polling._state import Doubt, PollState, Trouble
from identomat_async._polling._step import TOLERANCE, Answer, nudged, open_for, poll_step, step
from identomat_async._polling._watch import Until
from identomat_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ResponseDecodeError,
    ResponseTooLargeError,
    ServerError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
)

APPROVED, REVIEW = SessionStatus.APPROVED, SessionStatus.MANUAL_CHECK
OPEN, UNKNOWN = SessionStatus.IN_PROGRESS, SessionStatus("thinking")
GONE, INVALID = SessionNotFoundError("gone"), SessionInvalidError("invalid")
DOWN, UNREADABLE = ConnectionFailedError("down"), ResponseDecodeError("cut", reason="json")
EVEN = PollPolicy(jitter=0.0)
STATE = PollState(token="t", begun=0.0, watched=0.0, deadline=900.0)


def pending(state: PollState, answer: Answer, now: float, policy: PollPolicy = EVEN) -> Pending:
    then = step(state, answer, policy=policy, now=now)
    assert isinstance(then, Pending)
    return then


def test_a_status_that_looks_settled_only_asks_for_the_document() -> None:
    then = pending(STATE, APPROVED, 60.0)

    assert (then.state.fresh, then.delay, then.state.polls) == (True, 0.0, 1)


def test_the_document_settles() -> None:
    result = SessionResult(status=APPROVED)

    outcome = step(STATE, result, policy=EVEN, now=60.0)

    assert outcome == Settled(token="t", status=APPROVED, polls=1, waited=60.0, result=result)


def test_a_document_that_disagrees_counts_and_the_watch_goes_on() -> None:
    asked = pending(STATE, APPROVED, 60.0).state

    assert not pending(asked, SessionResult(status=OPEN), 60.0).state.fresh


def test_a_confirming_read_that_fails_is_asked_again_as_one() -> None:
    asked = pending(STATE, APPROVED, 60.0).state

    assert pending(asked, DOWN, 60.0).state.fresh


@pytest.mark.parametrize("answer", [OPEN, UNKNOWN, SessionResult(status=UNKNOWN)])
@pytest.mark.parametrize(
    ("now", "is_over"), [(899.0, False), (900.0 - TOLERANCE, True), (900.0, True), (5000.0, True)]
)
def test_an_open_session_ends_by_a_look_begun_at_the_deadline(
    answer: Answer, now: float, is_over: bool
) -> None:
    then = step(STATE, answer, policy=EVEN, now=now)

    is_document = isinstance(answer, SessionResult)
    assert isinstance(then, DeadlinePassed if is_over and is_document else Pending)


def test_a_bare_status_at_the_deadline_asks_for_the_document() -> None:
    then = pending(STATE, OPEN, 900.0)
    document = SessionResult(status=OPEN)

    assert (then.state.fresh, then.delay) == (True, 0.0)
    assert isinstance(step(then.state, document, policy=EVEN, now=900.0), DeadlinePassed)


def test_the_look_at_the_deadline_is_a_fresh_one() -> None:
    last = pending(STATE, OPEN, 897.0)

    assert (last.state.fresh, last.delay) == (True, pytest.approx(3.0))
    assert not pending(STATE, OPEN, 800.0).state.fresh


def test_a_verdict_found_after_the_deadline_settles() -> None:
    asked = pending(STATE, APPROVED, 1000.0)

    assert asked.state.fresh
    assert isinstance(
        step(asked.state, SessionResult(status=APPROVED), policy=EVEN, now=1000.0), Settled
    )


@pytest.mark.parametrize("error", [DOWN, GONE, INVALID, UNREADABLE])
@pytest.mark.parametrize(
    ("now", "kind"), [(900.0, Pending), (4499.0, Pending), (4500.0, PollFailed)]
)
def test_a_failed_look_ends_a_watch_only_when_the_grace_is_over(
    error: Answer, now: float, kind: type
) -> None:
    state = attrs.evolve(STATE, trouble=Trouble(failures=1, since=100.0))

    assert isinstance(step(state, error, policy=EVEN, now=now), kind)


@pytest.mark.parametrize("error", [DOWN, GONE, UNREADABLE])
def test_one_fault_long_after_the_deadline_is_no_outage(error: Answer) -> None:
    then = pending(STATE, error, 9000.0)

    assert then.state.failing_since == 9000.0
    assert pending(then.state, OPEN, 9010.0).state.failing_since is None
    assert isinstance(step(then.state, error, policy=EVEN, now=12_600.0), PollFailed)


@pytest.mark.parametrize(
    ("error", "kind"), [(GONE, SessionGone), (INVALID, PollFailed), (UNREADABLE, PollFailed)]
)
@pytest.mark.parametrize(
    ("times", "is_believed"),
    [((0, 10, 59), False), ((0, 60), False), ((0, 30, 60), True), ((0, 1, 2, 60), True)],
)
def test_only_three_over_a_minute_are_believed(
    error: Answer, kind: type, times: tuple[float, ...], is_believed: bool
) -> None:
    state = attrs.evolve(STATE, fresh=True)
    for at in times[:-1]:
        state = pending(state, error, at).state
        assert state.fresh

    assert isinstance(step(state, error, policy=EVEN, now=times[-1]), kind) is is_believed


def test_an_unreadable_document_of_a_kept_connection_is_no_evidence() -> None:
    assert pending(STATE, UNREADABLE, 0.0).state.doubt == Doubt("unreadable", 0, 0.0)
    assert pending(STATE, GONE, 0.0).state.doubt == Doubt("gone", 1, 0.0)


def test_an_endless_document_is_unreadable_and_a_page_of_html_a_passing_fault() -> None:
    large = ResponseTooLargeError("large", reason="too-large")

    assert pending(STATE, large, 0.0).state.doubt is not None
    assert pending(STATE, ResponseDecodeError("", reason="content-type"), 0.0).state.doubt is None


def test_doubt_begins_anew_with_another_kind_outlives_a_fault_and_ends_with_an_answer() -> None:
    gone = pending(STATE, GONE, 0.0).state

    assert pending(gone, INVALID, 30.0).state.doubt == Doubt("invalid", 1, 30.0)
    assert pending(gone, DOWN, 30.0).state.doubt == gone.doubt
    assert pending(gone, OPEN, 30.0).state.doubt is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SessionNotFoundError("", verified=True), SessionGone),
        (SessionInvalidError("", verified=True), PollFailed),
    ],
)
def test_what_is_signed_is_believed_once_it_comes_fresh(error: Answer, kind: type) -> None:
    kept = pending(STATE, error, 0.5)
    outcome = step(kept.state, error, policy=EVEN, now=1.0)

    assert (kept.state.fresh, kept.delay) == (True, FLOOR)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "verified", True)


def test_looks_for_evidence_fill_the_window() -> None:
    assert pending(STATE, GONE, 0.0).delay == 30.0
    assert pending(STATE, GONE, 0.0, attrs.evolve(EVEN, gone_window=0.0)).delay == FLOOR


def test_the_operators_time_counts_from_the_first_manual_check() -> None:
    document = SessionResult(status=REVIEW)
    state = attrs.evolve(STATE, until=Until.DECIDED, review=1000.0)
    state = pending(state, document, 800.0).state
    state = pending(state, REVIEW, 1799.0).state

    assert (state.reviewed, state.ends_at) == (800.0, 1800.0)
    assert isinstance(step(state, document, policy=EVEN, now=1800.0), DeadlinePassed)
    assert pending(state, APPROVED, 1800.0).state.fresh


@pytest.mark.parametrize(
    "error", [AuthenticationError("no", status_code=401), SignatureError("forged")]
)
def test_what_is_wrong_with_the_account_ends_no_watch(error: Answer) -> None:
    asked = pending(STATE, error, 100.0)

    assert pending(asked.state, error, 1e6).state.failures == 2


def test_a_kept_connection_moves_neither_schedule_nor_deadline() -> None:
    state = attrs.evolve(STATE, until=Until.DECIDED)
    asked = pending(state, REVIEW, 60.0)

    then = pending(asked.state, SessionResult(status=OPEN), 60.0)

    assert (asked.state.fresh, asked.delay, asked.state.ends_at) == (True, 0.0, 900.0)
    assert (then.state.reviewed, then.state.ends_at) == (None, 900.0)
    assert then.delay == pending(state, OPEN, 60.0).delay


def test_a_review_that_cannot_be_read_is_not_waited_for() -> None:
    asked = pending(attrs.evolve(STATE, until=Until.DECIDED), REVIEW, 100.0)

    assert pending(asked.state, DOWN, 100.0).delay <= 10


@pytest.mark.parametrize("policy", [EVEN, PollPolicy(jitter=0.0, wait=wait_fixed(3))])
def test_a_manual_check_that_ends_the_wait_is_read_again_soon(policy: PollPolicy) -> None:
    confirming = pending(STATE, REVIEW, 100.0, policy)

    then = pending(confirming.state, DOWN, 100.0, policy)

    assert then.delay <= 10


@pytest.mark.parametrize(
    ("strategy", "answer", "delay"),
    [(7, OPEN, 7.0), (7, REVIEW, 300.0), (400, REVIEW, 400.0), (7, DOWN, 7.0), (0.1, OPEN, FLOOR)],
)
def test_any_strategy_is_followed_but_reviews_are_slow(
    strategy: float, answer: Answer, delay: float
) -> None:
    policy = attrs.evolve(EVEN, wait=wait_fixed(strategy))
    state = attrs.evolve(STATE, until=Until.DECIDED)
    if answer is REVIEW:
        answer = SessionResult(status=REVIEW)

    assert pending(state, answer, 0.0, policy).delay == delay


class Unhurried(wait_person):
    """Ours, with a call of its own."""

    def __call__(self, retry_state: RetryCallState) -> float:
        return 20 + super().__call__(retry_state)


def test_a_strategy_of_ours_that_is_made_to_call_otherwise_is_called() -> None:
    policy = attrs.evolve(EVEN, wait=Unhurried())

    assert pending(STATE, OPEN, 100.0, policy).delay == 25.0
    assert step(STATE, OPEN, policy=policy, now=100.0, load=Load(at_least=40)).delay == 40.0
    assert open_for(STATE, policy=policy, now=100.0) is None
    assert first_gap(policy.wait, Load(stretch=9, at_least=40), age=100.0, share=0.5) == 20.0


@pytest.mark.parametrize("strategy", [0, -1, math.nan, math.inf])
def test_a_strategy_that_gives_no_time_is_replaced_with_a_floor(strategy: float) -> None:
    then = pending(STATE, OPEN, 0.0, attrs.evolve(EVEN, wait=wait_fixed(strategy)))

    assert (then.delay, then.unsound) == (FLOOR, True)


@pytest.mark.parametrize(("failures", "delay"), [(0, 5.0), (2, 5.0), (3, 8.0), (9, 60.0)])
def test_after_a_failure_the_gap_is_the_larger_of_schedule_and_retry_wait(
    failures: int, delay: float
) -> None:
    state = attrs.evolve(STATE, trouble=Trouble(failures=failures, since=0.0))

    assert pending(state, DOWN, 100.0).delay == delay


@pytest.mark.parametrize("error", [AuthenticationError(""), SignatureError("")])
def test_a_refusal_is_looked_into_soon(error: Answer) -> None:
    assert pending(STATE, error, 100.0).delay == 1.0


def test_a_retry_wait_that_gives_no_time_does_not_matter() -> None:
    assert pending(STATE, DOWN, 100.0, attrs.evolve(EVEN, retry_wait=wait_fixed(-1))).delay == 5.0


def test_a_nudged_session_is_looked_at_ahead_of_the_schedule() -> None:
    state, now, delays = nudged(STATE, 100.0)[0], 100.0, []
    for _ in range(7):
        then = pending(state, OPEN, now)
        state, now = then.state, now + then.delay
        delays.append(then.delay)

    assert delays == [2.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_a_nudge_does_not_hurry_on_a_service_that_fails() -> None:
    state = attrs.evolve(nudged(STATE, 100.0)[0], trouble=Trouble(failures=9, since=0.0))

    assert pending(state, DOWN, 100.0).delay == 60.0


def test_the_last_look_is_at_the_deadline() -> None:
    assert pending(STATE, OPEN, 897.0).delay == 3.0


def test_a_budget_stretches() -> None:
    fixed = attrs.evolve(EVEN, wait=wait_fixed(7))

    for policy, load, delay in [(EVEN, Load(stretch=3.0), 15.0), (fixed, Load(at_least=9.0), 9.0)]:
        then = step(STATE, OPEN, policy=policy, now=100.0, load=load)
        assert isinstance(then, Pending)
        assert then.delay == delay


@pytest.mark.parametrize(
    "wrong",
    [{"wait": 5}, {"retry_wait": None}, {"grace": -1}, {"gone_window": math.nan}, {"jitter": 1}],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        attrs.evolve(EVEN, **wrong)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="now must be an aware datetime"):
        poll_step(STATE, OPEN, policy=EVEN, now=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


@given(
    status=st.none() | st.sampled_from(SessionStatus),
    deadline=st.sampled_from([0.0, 100.0, 900.0, math.inf]),
    reviewed=st.none() | st.just(50.0),
    fresh=st.booleans(),
    early=st.sampled_from([(), (100.0,)]),
    trouble=st.none() | st.just(Trouble(failures=2, since=40.0, error=DOWN)),
    after=st.floats(0, 2000),
    stretch=st.floats(1, 100),
    wait=st.sampled_from([wait_person(), wait_person(every=0.1, floor=0.1), wait_fixed(3)]),
)
def test_a_session_that_goes_on_is_asked_again_as_ever(
    after: float, stretch: float, wait: wait_base, **known: Any
) -> None:
    state = attrs.evolve(STATE, polls=3, **known)
    policy, now, load = attrs.evolve(EVEN, wait=wait), after, Load(stretch=stretch)

    delay = open_for(state, policy=policy, now=now, load=load)

    if delay is not None:
        then = step(state, OPEN, policy=policy, now=now, load=load)
        known = attrs.evolve(state, status=OPEN, polls=4)
        assert then == Pending(state=known, delay=delay, stretch=stretch)


def test_an_ordinary_session_that_goes_on_takes_the_short_way() -> None:
    assert open_for(STATE, policy=EVEN, now=60.0) == pending(STATE, OPEN, 60.0).delay
    assert open_for(STATE, policy=attrs.evolve(EVEN, wait=wait_fixed(3)), now=60.0) is None


ANSWERS = st.sampled_from(
    [
        *(SessionStatus.__members__.values()),
        *(SessionResult(status=status) for status in SessionStatus),
        *(UNKNOWN, SessionResult(status=UNKNOWN)),
        *(DOWN, GONE, INVALID, UNREADABLE, AuthenticationError("no"), SignatureError("no")),
        *(ServerError("later", retry_after=3.0), SessionNotFoundError("", verified=True)),
    ]
)
WAITS = st.floats(allow_nan=True) | st.just(5.0)


@given(
    answers=st.lists(st.tuples(ANSWERS, st.floats(0, 400)), max_size=25),
    until=st.sampled_from(Until),
    wait=st.none() | WAITS,
    deadline=st.sampled_from([0.0, 60.0, 900.0, math.inf]),
    seed=st.integers(0, 9),
    nudge=st.booleans(),
)
def test_whatever_is_answered_the_rules_hold(
    answers: list[tuple[Answer, float]],
    until: Until,
    wait: float | None,
    deadline: float,
    seed: int,
    nudge: bool,
) -> None:
    random_ = random.Random(seed).random  # noqa: S311 - for repeatability
    policy = PollPolicy(random=random_, grace=500.0)
    if wait is not None:
        policy = attrs.evolve(policy, wait=wait_fixed(wait))
    state = attrs.evolve(STATE, until=until, deadline=deadline, review=600.0)
    now = 0.0
    state = nudged(state, now)[0] if nudge else state
    for answer, late in answers:
        then = poll_step(state, answer, policy=policy, now=datetime.fromtimestamp(now, UTC))
        if not isinstance(then, Pending):
            _check_end(state, answer, then, now, policy)
            return
        assert then.state.polls == state.polls + 1
        assert PollState.from_json(then.state.to_json()).to_json() == then.state.to_json()
        assert math.isfinite(then.delay)
        assert then.delay > 0 or (then.delay == 0 and then.state.fresh)
        status = answer if isinstance(answer, SessionStatus) else None
        assert then.state.fresh or status in (None, OPEN, UNKNOWN, REVIEW)
        state, now = then.state, now + then.delay + late


def _check_end(
    state: PollState, answer: Answer, outcome: object, now: float, policy: PollPolicy
) -> None:
    if isinstance(outcome, Settled):
        assert outcome.result is answer
        assert outcome.result.status.is_terminal
        assert outcome.final or state.until is Until.TERMINAL
    elif isinstance(outcome, DeadlinePassed):
        assert isinstance(answer, SessionStatus | SessionResult)
        reviewed = now if state.reviewed is None else state.reviewed
        assert now >= min(state.deadline, reviewed + state.review) - 2 * TOLERANCE
    elif isinstance(outcome, SessionGone):
        assert isinstance(answer, SessionNotFoundError)
        assert answer.verified or (state.doubt is not None and now >= state.doubt.since + 59.9)
    else:
        is_late = now >= state.ends_at + policy.grace - 2 * TOLERANCE
        assert isinstance(outcome, PollFailed)
        assert is_late or answer in (INVALID, UNREADABLE)
        assert is_late or (state.doubt is not None and state.doubt.count >= 2)
