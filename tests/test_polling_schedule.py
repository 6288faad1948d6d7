"""When to look next."""

import itertools
import math
import random
import statistics
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import (
    AsyncRetrying,
    Future,
    RetryCallState,
    wait_chain,
    wait_combine,
    wait_exception,
    wait_exponential,
    wait_fixed,
    wait_random,
)
from tenacity.wait import wait_base

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._density import density_of
from identomat_async._polling._person import wait_person
from identomat_async._polling._policy import NO_LOAD, Load, Pending, PollPolicy
from identomat_async._polling._schedule import consult, first_gap
from identomat_async._polling._state import PollState
from identomat_async._polling._step import step
from identomat_async.errors import ConfigurationError, IdentomatError, ServerError

OPEN, REVIEW = SessionStatus.IN_PROGRESS, SessionStatus.MANUAL_CHECK


@pytest.mark.parametrize(
    ("age", "gap"),
    [
        *((-5, 50 + 5 / 6), (0, 50 + 5 / 6), (20, 32.5), (50, 5)),
        *((475, 5), (477.5, 2.5 + 2.5 / 0.55), (480, 5 / 0.55), (9999, 5 / 0.55)),
    ],
)
def test_gaps_follow_the_density(age: float, gap: float) -> None:
    assert wait_person().gap(age) == pytest.approx(gap)


def test_gaps_are_not_below_the_floor_nor_above_the_cap_unless_stretched() -> None:
    quick, slow = wait_person(every=0.1), wait_person(quiet=500, busy=(500, 900))

    assert quick.gap(100) == 2.0
    assert slow.gap(0) == 60.0
    assert slow.gap(0, stretch=3.0) == 180.0
    assert slow.gap(0, share=0.5) == 30.0


def test_without_a_floor_a_poller_still_keeps_to_its_own() -> None:
    wait, state = wait_person(every=0.1, floor=0), PollState(token="t", begun=0, watched=0)
    then = step(state, OPEN, policy=PollPolicy(wait=wait), now=100.0)

    assert wait.gap(100) == pytest.approx(0.1)
    assert isinstance(then, Pending)
    assert then.delay == 0.5


def test_reviews_are_slow() -> None:
    assert wait_person(review=timedelta(minutes=1)).gap(9, status=REVIEW, stretch=2.0) == 120.0


@given(age=st.floats(0, 2000), looks=st.floats(0.5, 5.0))
def test_a_gap_holds_as_many_looks_as_it_is_stretched(age: float, looks: float) -> None:
    wait = wait_person(floor=0, cap=1e6)
    gap = wait.gap(age, stretch=looks)
    cuts = sorted({age, age + gap} | {cut for cut in (50.0, 480.0) if age < cut < age + gap})

    held = sum(wait.density((a + b) / 2) * (b - a) for a, b in itertools.pairwise(cuts))

    assert held == pytest.approx(looks, rel=1e-6)


@pytest.mark.parametrize(
    ("age", "ahead", "gap"),
    [
        (100.0, ((10.0, 2.0), (20.0, 4.0)), 10.0),
        (100.0, ((5.0, 2.0), (20.0, 4.0)), 15.0),  # half of it, and then half as quickly
        (100.0, ((5.0, 2.0), (5.5, 4.0), (9.0, 1.0)), 5.5 + 5 * 0.475),
        (46.0, ((5.0, 1.0), (20.0, 2.0)), 5 + 2 * 5 * (1 - 4 / 60 - 1 / 5)),
    ],
)
def test_a_gap_is_stretched_by_what_counts_when(
    age: float, ahead: tuple[tuple[float, float], ...], gap: float
) -> None:
    assert wait_person().gap(age, stretch=9.0, ahead=ahead) == pytest.approx(gap)


def test_first_looks_are_spread_over_the_gap_that_the_load_makes() -> None:
    person, plain, load = wait_person(), wait_fixed(5), Load(at_least=8.0)
    heavy = Load(stretch=3.0, ahead=((5.0, 1.0), (9.0, 4.0)), at_most=30.0)
    longest = {"stretch": 3.0, "ahead": heavy.ahead, "at_most": 30.0}

    assert [first_gap(plain, NO_LOAD, age=0, share=share) for share in (0.5, 1)] == [0.25, 0.5]
    assert first_gap(plain, load, age=0, share=0.25) == 2.0
    for age, share in ((0.0, 0.5), (100.0, 0.5), (100.0, 1.0), (600.0, 1.0)):
        gap = person.gap(age, share=share, **longest)  # type: ignore[arg-type]
        assert first_gap(person, heavy, age=age, share=share) == gap
    assert first_gap(person, heavy, age=100.0, share=0.5) == 2.5
    assert first_gap(person, Load(stretch=99.0, at_most=30.0), age=600.0, share=0.5) == 15.0


def test_a_share_of_the_longest_gap_is_that_share() -> None:
    wait = wait_person()

    assert wait.gap(600, stretch=11.0, share=0.5) == pytest.approx(50)
    assert wait.gap(600, stretch=11.0, share=0.5, at_most=30.0) == 15.0
    assert wait.gap(600, stretch=11.0, share=0.0, at_most=30.0) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        *({"every": value} for value in (0, -1, math.nan, math.inf, "5", None, True)),
        *({"busy": value} for value in (5, (1,), (1, 2, 3), (9, 1), (-1, 5), ("a", "b"), "12")),
        *({"quiet": 0}, {"tail": 0}, {"tail": math.nan}, {"review": 0}, {"cap": 0}),
        *({"floor": -1}, {"floor": 5, "cap": 4}),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        wait_person(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": 0}, "every must be above 0"),
        ({"every": "5"}, "every must be"),
        ({"quiet": 0}, "quiet must be above 0"),
        ({"tail": 0}, "tail must be above 0"),
        ({"review": 0}, "review must be above 0"),
        ({"floor": -1}, "floor must be"),
        ({"cap": 0}, "cap must be above 0"),
        ({"floor": 5, "cap": 4}, "floor must not be above cap"),
        ({"busy": 5}, r"busy must be two ages: \(from, to\)"),
        ({"busy": ("a", 5)}, "busy must be"),
        ({"busy": (5, "a")}, "busy must be"),
        ({"busy": (9, 1)}, "busy must go from an age to a later one"),
    ],
)
def test_an_error_names_what_is_wrong(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{said}"):
        wait_person(**wrong)  # type: ignore[arg-type]


def test_there_may_be_no_busy_time_and_one_gap_for_all() -> None:
    wait = wait_person(busy=(60, 60), floor=7, cap=7)

    assert {wait.gap(age) for age in (0, 59, 61, 1e5)} == {7.0}


def test_a_strategy_that_was_changed_is_called_and_not_looked_into() -> None:
    class Own(wait_person):
        def __call__(self, retry_state: RetryCallState) -> float:
            return 3.0

    assert density_of(Own()) is None
    assert density_of(wait_fixed(3)) is None
    assert density_of(person := wait_person()) is person


def test_a_share_of_a_review_is_that_share() -> None:
    assert wait_person(review=60).gap(9, status=REVIEW, stretch=2.0, share=0.25) == 30.0


def test_equal_schedules_are_equal_and_others_are_not() -> None:
    assert len({wait_person(), wait_person(), wait_person(review=61)}) == 2
    assert hash(wait_person()) == hash(wait_person())
    assert hash(wait_person()) != hash(wait_person(review=61))


def retry_state(answer: object) -> RetryCallState:
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.start_time, state.outcome_timestamp = 0.0, 100.0
    state.outcome = Future(1)
    state.outcome.set_result(answer)
    return state


@pytest.mark.parametrize(
    ("answer", "gap"),
    [(OPEN, 5.0), (REVIEW, 300.0), (SessionResult(status=REVIEW), 300.0), (None, 5.0)],
)
def test_it_is_a_plain_tenacity_strategy(answer: object, gap: float) -> None:
    assert wait_person()(retry_state(answer)) == gap


def test_it_knows_states_without_outcome_or_with_an_error_and_adds_up() -> None:
    state = RetryCallState(AsyncRetrying(), None, (), {})
    assert wait_person()(state) == wait_person().gap(0)

    failed = retry_state(None)
    failed.outcome = Future(1)
    failed.outcome.set_exception(ValueError())
    assert wait_person()(failed) == 5.0
    assert 5.0 <= (wait_person() + wait_random(0, 1))(failed) <= 6.0


class Seen(wait_base):
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, retry_state: RetryCallState) -> float:
        return getattr(retry_state, self.name)


class Raises(wait_base):
    def __call__(self, retry_state: RetryCallState) -> float:
        raise LookupError


DOWN = ServerError("down", retry_after=9.0)


@pytest.mark.parametrize(
    ("wait", "answer", "gap"),
    [
        (wait_chain(wait_fixed(1), wait_fixed(2), wait_fixed(3)), OPEN, 3.0),
        (wait_exponential(), OPEN, 4.0),
        (wait_exponential(exp_base=1e100), OPEN, 315_360_000.0),
        (wait_exception(lambda error: getattr(error, "retry_after", 1.0)), DOWN, 9.0),
        (wait_combine(wait_fixed(1), wait_fixed(2)), OPEN, 3.0),
        (wait_person() + wait_fixed(1), OPEN, 6.0),
        (Seen("attempt_number"), OPEN, 3.0),
        (Seen("seconds_since_start"), OPEN, 100.0),
        (Seen("idle_for"), OPEN, 100.0),
        (Seen("outcome"), OPEN, None),
        (Raises(), OPEN, None),
        *((wait_fixed(bad), OPEN, None) for bad in (0, -1, math.nan, math.inf)),
    ],
)
def test_any_strategy_sees_what_it_looks_at(
    wait: wait_base, answer: SessionStatus | IdentomatError, gap: float | None
) -> None:
    assert consult(wait, polls=3, begun=1000.0, now=1100.0, answer=answer) == gap


class Watches(wait_base):
    """Keeps the state that it was asked with."""

    def __call__(self, retry_state: RetryCallState) -> float:
        self.state = retry_state
        return 0.5


@pytest.mark.parametrize("now", [1000.0, 999.0])
@pytest.mark.parametrize("answer", [OPEN, REVIEW])
def test_a_strategy_sees_a_call_without_arguments(answer: SessionStatus, now: float) -> None:
    wait = Watches()

    assert consult(wait, polls=3, begun=1000.0, now=now, answer=answer) == 0.5
    assert isinstance(wait.state.retry_object, AsyncRetrying)
    assert (wait.state.fn, wait.state.args, wait.state.kwargs) == (None, (), {})
    assert wait.state.idle_for == 0.0
    assert wait.state.outcome is not None
    assert wait.state.outcome.attempt_number == 3
    assert wait.state.outcome.result() is answer


def least_product(abandon: float, life: float) -> float:
    law, steps = statistics.NormalDist(math.log(180), 0.6), 9000
    total = 0.0
    for at in ((index + 0.5) * life / steps for index in range(steps)):
        finishing = (1 - abandon) * law.pdf(math.log(at)) / at
        total += math.sqrt(finishing * (1 - (1 - abandon) * law.cdf(math.log(at)))) * life / steps
    return total**2 / (2 * (1 - abandon))


@pytest.mark.thorough
def test_delay_times_looks_is_near_the_least_possible() -> None:
    random_ = random.Random(1)  # noqa: S311 - for repeatability
    policy = PollPolicy(random=random_.random)
    delays: list[float] = []
    looks, people = 0, 3000
    for _ in range(people):
        done = math.inf if random_.random() < 0.15 else random_.lognormvariate(math.log(180), 0.6)
        state = PollState(token="t", begun=0.0, watched=0.0, deadline=900.0)
        now = wait_person().gap(0.0, share=random_.random())
        then: object = Pending(state=state, delay=0.0)
        while isinstance(then, Pending) and not then.state.fresh:
            answer = SessionStatus.APPROVED if now >= done else OPEN
            then = step(then.state, answer, policy=policy, now=now)
            looks += 1
            if isinstance(then, Pending):
                now += then.delay
        if now >= done:
            delays.append(now - done)
            looks += 1  # the confirming read
    ratio = statistics.mean(delays) * looks / people / least_product(0.15, 900.0)
    print(f"delay {statistics.mean(delays):.2f} s, looks {looks / people:.1f}, ratio {ratio:.3f}")  # noqa: T201 - a figure

    assert 1.0 <= ratio <= 1.15
