# ruff: noqa: S311  # seeded chance is what is tested
"""Lives told in advance: tables and properties, no clock."""

import math
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Script, random_life

SEEDS = range(2000)


@pytest.mark.parametrize(
    ("age", "status"),
    [
        pytest.param(0, "in_progress", id="at-the-begin"),
        pytest.param(19.9, "in_progress", id="just-before"),
        pytest.param(20, "manual_check", id="at-the-step"),
        pytest.param(7219, "manual_check", id="in-review"),
        pytest.param(7220, "approved", id="a-further-step-counts-from-the-one-before"),
        pytest.param(1e9, "approved", id="for-good"),
    ],
)
def test_a_script_says_the_status_at_every_age(age: float, status: str) -> None:
    script = Script.of("manual_check", after=20).then("approved", after=7200)

    assert script.status_at(age) == status


def test_an_abandoned_session_never_leaves_in_progress() -> None:
    script = Script.of("abandoned")

    assert script.status_at(1e12) == "in_progress"
    assert script.terminal_after is None
    assert script.decided_after is None


def test_a_review_is_terminal_but_not_decided() -> None:
    script = Script.of("manual_check", after=20).then("REJECTED", after=30)

    assert script.terminal_after == 20
    assert script.decided_after == 50


def test_a_status_nobody_knows_is_neither() -> None:
    assert Script.of("on_hold", after=1).terminal_after is None


def test_what_has_happened_is_never_replaced() -> None:
    script = Script.of("manual_check", after=20).then("approved", after=80)

    other = script.replaced_from(30, Script.of("rejected", after=10))

    assert other.status_at(25) == "manual_check"
    assert other.status_at(29.9) == "manual_check"
    assert other.status_at(30) == "rejected"
    assert other.status_at(1000) == "rejected"


@pytest.mark.parametrize("after", [-1, math.inf, math.nan])
def test_a_time_must_be_a_number_of_seconds(after: float) -> None:
    with pytest.raises(ConfigurationError, match="after"):
        Script.of("approved", after=after)


@pytest.mark.parametrize("status", ["", "abandoned"])
def test_a_session_cannot_change_to_nothing(status: str) -> None:
    with pytest.raises(ConfigurationError, match="no status"):
        Script.of("manual_check").then(status, after=1)


def test_an_empty_status_is_no_life() -> None:
    with pytest.raises(ConfigurationError, match="no status"):
        Script.of("")


@given(st.integers())
def test_the_same_seed_draws_the_same_life(seed: int) -> None:
    assert random_life(Random(seed)) == random_life(Random(seed))


@given(st.integers(), st.floats(1, 8))
def test_nobody_takes_longer_than_the_truncation(seed: int, truncate: float) -> None:
    life = random_life(Random(seed), median=10, abandon=0, manual=0, truncate=truncate)

    assert life.terminal_after is not None
    assert 0 < life.terminal_after <= 10 * truncate


def test_half_of_the_people_finish_within_the_median() -> None:
    rng = Random(1)
    times = [random_life(rng, median=60, abandon=0).terminal_after for _ in SEEDS]

    assert 56 < median(time for time in times if time is not None) < 64


def test_each_end_gets_its_share() -> None:
    rng = Random(2)
    lives = [random_life(rng, abandon=0.2, rejected=0.25, manual=0.25, review=None) for _ in SEEDS]
    ends = [life.status_at(1e12) for life in lives]

    assert 330 < ends.count("in_progress") < 470
    assert 340 < ends.count("rejected") < 460
    assert 340 < ends.count("manual_check") < 460
    assert 720 < ends.count("approved") < 880


def test_an_operator_decides_later_and_mostly_approves() -> None:
    rng = Random(3)
    lives = [random_life(rng, abandon=0, rejected=0, manual=1, review=100) for _ in SEEDS]

    ends = [life.status_at(1e12) for life in lives]
    waits = [life.decided_after - life.terminal_after for life in lives]
    assert 1500 < ends.count("approved") < 1700
    assert ends.count("approved") + ends.count("rejected") == len(SEEDS)
    assert 93 < median(waits) < 107


def test_without_spread_everybody_takes_the_median() -> None:
    life = random_life(Random(4), median=7, sigma=0, abandon=0, manual=0, truncate=1.5)

    assert life.terminal_after == pytest.approx(7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"median": 0},
        {"median": math.inf},
        {"sigma": -1},
        {"truncate": 0.5},
        {"truncate": math.nan},
        {"review": 0},
        {"abandon": 1.1},
        {"rejected": -0.1},
        {"rejected": 0.6, "manual": 0.6},
        {"upheld": 2},
    ],
)
def test_a_distribution_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        random_life(Random(5), **wrong)
