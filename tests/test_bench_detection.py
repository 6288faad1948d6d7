"""Detection: the laws say what they should, the gates close, and it runs."""

import functools
import math
import random
from itertools import islice
from pathlib import Path
from statistics import fmean

import pytest
from tenacity import wait_fixed

from benchmarks import detection
from benchmarks._detecting import Plan, Record, carry_out, excess
from benchmarks._people import LAWS, LIFE, TWO_PEAKS, USUAL, Law
from benchmarks.detection import BACKOFF, FIXED, LEARNED, PERSON, Case, Figures

CHANCE = functools.partial(random.Random, 3)
KEPT = Figures(polls_only=1.0, every_request=1.1, rate=0.98, excess=-0.1)
WORSE = Figures(polls_only=1.2, every_request=1.3, rate=0.98, excess=-0.1)


def found(**replaced: Figures) -> dict[tuple[str, str], Figures]:
    every = {PERSON: KEPT, LEARNED: KEPT, FIXED: WORSE} | replaced
    return {(USUAL.name, schedule): figures for schedule, figures in every.items()}


def record(*, delay: float = 6.0, polls: float = 18.0, rate: float = 40.0) -> Record:
    return Record(
        delay=delay,
        delays=[delay] * 100,
        polls=polls,
        first=0.5,
        confirming=1.0,
        times=[number / rate for number in range(1000)],
        past=((), ()),
    )


def test_the_least_possible_is_what_it_is() -> None:
    assert USUAL.least() == pytest.approx(124.3, abs=0.1)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("evenly", [True, False])
def test_people_are_as_the_law_says(law: Law, evenly: bool) -> None:
    people = list(islice(law.people(CHANCE(), evenly=evenly), 10_000))

    for age in (60.0, 180.0, 500.0):
        share = fmean(takes <= age for takes in people)
        assert share == pytest.approx(law.done_by(age), abs=0.003 if evenly else 0.02)
    assert fmean(takes == math.inf for takes in people) == pytest.approx(law.abandoned, abs=0.01)


@pytest.mark.parametrize("law", [USUAL, TWO_PEAKS], ids=lambda law: law.name)
def test_what_is_expected_of_a_look_is_what_happens_on_average(law: Law) -> None:
    before, look = 100.0, 160.0
    people = list(islice(law.people(CHANCE(), evenly=True), 50_000))
    still_open = [takes for takes in people if takes > before]
    late = [look - takes for takes in still_open if takes <= look]

    missed, done = law.expected(before, look)

    assert done == pytest.approx(len(late) / len(still_open), rel=0.02)
    assert missed == pytest.approx(sum(late) / len(still_open), rel=0.02)


def test_a_last_look_may_be_late() -> None:
    on_time, late = (USUAL.expected(LIFE - 10, LIFE + more)[0] for more in (0.0, 5.0))

    assert late > on_time > 0


@pytest.mark.parametrize(
    ("times", "over"),
    [
        pytest.param([0.1 * number for number in range(100)], 0.0, id="even"),
        pytest.param([*(0.1 * number for number in range(50)), 4.91, 4.92], 1.8, id="a-crowd"),
        pytest.param([number / 11 for number in range(1000)], 90.8, id="a-little-for-long"),
        pytest.param([0.0], -10.0, id="one"),
    ],
)
def test_a_rate_is_exceeded_in_the_worst_span(times: list[float], over: float) -> None:
    assert excess(times, 10.0) == pytest.approx(over, abs=0.02)


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        pytest.param(found(), [], id="all-well"),
        pytest.param(
            found(**{PERSON: Figures(polls_only=1.09, every_request=1.1, rate=0.98, excess=0)}),
            ["wait_person(): delay x polls / least, polls only"],
            id="polls",
        ),
        pytest.param(
            found(**{LEARNED: Figures(polls_only=1.0, every_request=1.11, rate=0.98, excess=0)}),
            ["wait_learned(): delay x polls / least, every request"],
            id="requests",
        ),
        pytest.param(
            found(**{PERSON: Figures(polls_only=1.0, every_request=1.1, rate=0.96, excess=0)}),
            ["wait_person(): requests/s / ceiling"],
            id="rate-not-used",
        ),
        pytest.param(
            found(**{LEARNED: Figures(polls_only=1.0, every_request=1.0, rate=1.01, excess=1)}),
            ["wait_learned(): requests/s / ceiling", "requests over the ceiling in any span"],
            id="over-the-ceiling",
        ),
        pytest.param(
            found(**{FIXED: Figures(polls_only=1.0, every_request=1.0, rate=0.98, excess=0)}),
            ["usual: wait_person() / wait_fixed(5)"],
            id="worse-than-fixed",
        ),
    ],
)
def test_what_is_too_much_closes_its_gate(
    figures: dict[tuple[str, str], Figures], missed: list[str]
) -> None:
    gates = detection.gates(figures)

    assert [gate.name for gate in gates if not gate.holds] == missed


def test_figures_are_shares_of_what_is_least() -> None:
    case = Case(schedule=PERSON, law=USUAL, rate=50.0)

    figures = detection.figures(case, record(rate=40.0))

    assert figures.polls_only == pytest.approx(6.0 * 18 / 124.3, rel=0.001)
    assert figures.every_request == pytest.approx(6.0 * 19.5 / 124.3, rel=0.001)
    assert figures.rate == pytest.approx(0.8)
    assert figures.excess < 0


def test_every_law_is_watched_by_the_default_and_at_a_fixed_interval() -> None:
    cases = {(case.law.name, case.schedule) for case in detection.CASES}

    assert cases >= {(law.name, schedule) for law in LAWS for schedule in (PERSON, FIXED)}
    assert {schedule for law, schedule in cases if law == USUAL.name} == {
        *(PERSON, LEARNED, FIXED, BACKOFF)
    }


@pytest.mark.thorough
@pytest.mark.parametrize("wait", [wait_fixed(30), detection.wait_person(every=30)])
def test_a_fixed_interval_comes_out_as_it_must(wait: object) -> None:
    plan = Plan(law=USUAL, wait=wait, rate=1000.0, span=120.0)  # type: ignore[arg-type]

    seen = carry_out(plan)

    # Half an interval late on average, whatever chance made of the few who were told.
    least = 14.0 if wait.__class__ is wait_fixed else 13.0
    assert least < seen.delay < 17.5
    assert fmean(seen.delays) == pytest.approx(seen.delay, rel=0.25)
    assert 0.5 < seen.confirming < 1.5
    assert seen.past[0]


def test_the_delay_is_drawn_over_the_polls(tmp_path: Path) -> None:
    picture = tmp_path / "delay.png"
    cases = [Case(schedule=PERSON, law=USUAL, rate=rate) for rate in (20.0, 40.0)]

    detection.draw([(case, record(polls=case.rate / 2)) for case in cases], picture)

    assert picture.read_bytes().startswith(b"\x89PNG")
