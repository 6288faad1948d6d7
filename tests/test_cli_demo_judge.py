"""What counts as wrong, lost or doubled, and how fast the demo goes."""

import attrs
import pytest

from identomat_async import (
    DeadlinePassed,
    Outcome,
    PollFailed,
    SessionGone,
    SessionResult,
    SessionStatus,
    Settled,
    wait_person,
)
from identomat_async._cli._demo_judge import (
    Taken,
    delays,
    doubled,
    is_wrong,
    lost,
    percentile,
    settled_in,
    status_at_settling,
)
from identomat_async._cli._demo_pace import (
    deadline_for,
    limit_for,
    rate_for,
    scale_of,
    schedule_for,
)
from identomat_async.sandbox import Script, Truth

LEFT = Truth(
    status="in_progress",
    begun_at=100.0,
    settled_at=None,
    decided_at=None,
    polls=3,
    last_poll=120.0,
    deleted=False,
    person_number="0042",
    script=Script(),
)
APPROVED = attrs.evolve(
    LEFT, status="approved", settled_at=107.0, script=Script.of("approved", after=7)
)
REVIEWED = attrs.evolve(
    APPROVED, script=Script.of("manual_check", after=7).then("approved", after=1)
)


def settled(status: str, *, token: str = "a", number: str = "0042") -> Settled:  # noqa: S107  # none of anybody
    body = f'{{"result": "{status}", "person": {{"personal_number": "{number}"}}}}'
    return Settled(token=token, result=SessionResult.from_json(body.encode()))


def taken(outcome: Outcome, at: float = 108.0) -> Taken:
    return Taken(outcome=outcome, at=at)


@pytest.mark.parametrize(
    ("outcome", "truth"),
    [
        pytest.param(settled("approved"), APPROVED, id="settled-as-it-was"),
        pytest.param(settled("manual_check"), REVIEWED, id="decided-after-it-settled"),
        pytest.param(DeadlinePassed(token="a"), LEFT, id="nobody-came-back"),
        pytest.param(
            DeadlinePassed(token="a"),
            attrs.evolve(APPROVED, settled_at=126.0),
            id="settled-after-the-deadline",
        ),
    ],
)
def test_what_happened_is_right(outcome: Outcome, truth: Truth) -> None:
    assert not is_wrong(taken(outcome), truth, deadline_at=125.0)


@pytest.mark.parametrize(
    ("outcome", "truth"),
    [
        pytest.param(settled("rejected"), APPROVED, id="another-status"),
        pytest.param(settled("approved"), REVIEWED, id="not-what-it-settled-as"),
        pytest.param(settled("approved"), LEFT, id="never-settled"),
        pytest.param(
            settled("approved"), attrs.evolve(APPROVED, settled_at=109.0), id="before-its-time"
        ),
        pytest.param(settled("approved", number="0043"), APPROVED, id="somebody-else"),
        pytest.param(
            Settled(token="a", result=SessionResult.from_json(b'{"result": "approved"}')),
            APPROVED,
            id="nobody",
        ),
        pytest.param(DeadlinePassed(token="a"), APPROVED, id="given-up-though-settled"),
        pytest.param(SessionGone(token="a"), LEFT, id="gone-though-there"),
        pytest.param(PollFailed(token="a"), LEFT, id="failed-though-answered"),
    ],
)
def test_anything_else_is_wrong(outcome: Outcome, truth: Truth) -> None:
    assert is_wrong(taken(outcome), truth, deadline_at=125.0)


def test_a_session_settles_as_its_first_terminal_status() -> None:
    assert status_at_settling(REVIEWED) is SessionStatus.MANUAL_CHECK
    assert status_at_settling(LEFT) is None


@pytest.mark.parametrize(
    ("said", "lost_ones", "doubled_ones"),
    [
        pytest.param("ab", 0, 0, id="each-once"),
        pytest.param("a", 1, 0, id="one-without"),
        pytest.param("abb", 0, 1, id="one-twice"),
        pytest.param("bbb", 1, 1, id="one-thrice-one-never"),
        pytest.param("", 2, 0, id="nothing"),
    ],
)
def test_lost_and_doubled_are_counted_per_session(
    said: str, lost_ones: int, doubled_ones: int
) -> None:
    outcomes = [taken(settled("approved", token=token)) for token in said]

    assert (lost("ab", outcomes), doubled(outcomes)) == (lost_ones, doubled_ones)


def test_delays_are_of_settled_sessions_in_order() -> None:
    truths = {"a": APPROVED, "b": attrs.evolve(APPROVED, settled_at=107.5), "c": LEFT, "d": LEFT}
    outcomes = [
        taken(settled("approved", token="a")),
        taken(settled("approved", token="b")),
        taken(DeadlinePassed(token="c")),
        taken(settled("approved", token="d")),
    ]

    assert delays(outcomes, truths) == [0.5, 1.0]
    assert settled_in(outcomes) == {"APPROVED": 3}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([], 0.5, None, id="none"),
        pytest.param([7.0], 0.99, 7.0, id="one"),
        pytest.param([1.0, 2.0, 3.0], 0.5, 2.0, id="middle"),
        pytest.param([1.0, 2.0], 0.5, 1.0, id="half-of-two"),
        pytest.param([float(value) for value in range(1, 101)], 0.99, 99.0, id="99-of-100"),
        pytest.param([1.0, 2.0], 0.0, 1.0, id="least"),
        pytest.param([1.0, 2.0], 1.0, 2.0, id="largest"),
    ],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], share: float, expected: float | None
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize("median", [0.2, 5.0, 180.0])
@pytest.mark.parametrize("age", [0.0, 60.0, 500.0])
def test_the_schedule_shrinks_with_the_people(median: float, age: float) -> None:
    scale = scale_of(median)

    assert schedule_for(median).gap(age * scale) == pytest.approx(wait_person().gap(age) * scale)


def test_floor_and_cap_shrink_too() -> None:
    schedule = schedule_for(18.0)

    assert (schedule.floor, schedule.cap) == (0.2, 6.0)


@pytest.mark.parametrize(
    ("median", "rate"),
    [
        pytest.param(180.0, 50.0, id="real-people"),
        pytest.param(90.0, 100.0, id="twice-as-quick"),
        pytest.param(5.0, 200.0, id="more-than-a-core-does"),
    ],
)
def test_the_rate_grows_with_the_people_as_far_as_it_can(median: float, rate: float) -> None:
    assert rate_for(median) == rate


def test_nobody_is_given_up_before_all_could_be_done() -> None:
    assert deadline_for(5.0) == 25.0
    assert limit_for(5.0, 200) == 65.0
