"""A schedule that is learned from how long people took."""

import copy
import math
import pickle
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from identomat_async import (
    ConfigurationError,
    ResultPoller,
    SessionStatus,
    wait_learned,
    wait_person,
)
from identomat_async._polling._density import wait_density
from identomat_async._polling._durations import Durations

LIFE = 900.0
REVIEW = SessionStatus.MANUAL_CHECK


def past(
    count: int, law: Callable[[random.Random], float], *, abandon: float = 0.15, seed: int = 1
) -> tuple[list[float], list[float]]:
    chance = random.Random(seed)  # noqa: S311 - for repeatability
    took = [math.inf if chance.random() < abandon else law(chance) for _ in range(count)]
    return [each for each in took if each < LIFE], [LIFE for each in took if each >= LIFE]


def usual(chance: random.Random) -> float:
    return chance.lognormvariate(math.log(180), 0.6)


def two_peaks(chance: random.Random) -> float:
    return chance.lognormvariate(math.log(chance.choice([90, 420])), 0.3)


def product(wait: wait_density, law: Callable[[random.Random], float]) -> float:
    """Return mean delay times looks, in the limit of many looks, over the least possible."""
    decided, still_open = past(30_000, law, seed=2)
    count, width = len(decided) + len(still_open), 5.0
    delay = looks = least = done = 0.0
    counts = [0] * int(LIFE / width)
    for each in decided:
        counts[min(int(each / width), len(counts) - 1)] += 1
    for index, finished in enumerate(counts):
        density = wait.density((index + 0.5) * width)
        open_ = 1 - (done + finished / 2) / count
        delay += finished / count / density
        looks += density * open_ * width
        least += math.sqrt(finished / count / width * open_) * width
        done += finished
    return delay * looks / least**2


@pytest.mark.parametrize(
    ("law", "count", "most"),
    [
        pytest.param(usual, 200, 1.05, id="a-few"),
        pytest.param(usual, 2000, 1.02, id="many"),
        pytest.param(two_peaks, 2000, 1.04, id="two-peaks"),
    ],
)
def test_delay_times_looks_is_near_the_least_possible(
    law: Callable[[random.Random], float], count: int, most: float
) -> None:
    decided, still_open = past(count, law)
    learned = product(wait_learned(decided, censored=still_open), law)
    print(f"learned {learned:.3f}, person {product(wait_person(), law):.3f}")  # noqa: T201 - a figure

    assert 0.995 <= learned <= most < product(wait_person(), law)


@pytest.mark.parametrize("options", [{}, {"every": 0.5, "floor": 0, "review": 60, "cap": 9}])
@pytest.mark.parametrize("count", [0, 19])
def test_from_fewer_than_twenty_it_is_the_schedule_for_people(
    count: int, options: dict[str, float]
) -> None:
    learned = wait_learned([300.0] * count, censored=[900.0] * 50, **options)  # type: ignore[arg-type]
    person = wait_person(**options)  # type: ignore[arg-type]

    assert learned == person
    assert hash(learned) == hash(person)
    assert all(learned.gap(age) == person.gap(age) for age in range(1000))
    assert wait_learned([300.0] * 20) != wait_person()
    assert wait_learned([]) != 5.0


def test_looks_are_close_when_people_are_decided() -> None:
    decided, still_open = past(500, lambda chance: chance.gauss(300, 15))
    wait = wait_learned(decided, censored=still_open)

    assert wait.gap(300) < wait.gap(200) / 2
    assert wait.gap(300) < wait.gap(500) / 2


@pytest.mark.parametrize("every", [3.0, 5.0, 20.0])
def test_a_decision_is_noticed_as_soon_as_by_looks_every_so_many_seconds(every: float) -> None:
    decided, still_open = past(2000, usual)

    wait = wait_learned(decided, censored=still_open, every=every, floor=0, cap=3600)

    assert statistics.mean(1 / wait.density(age) for age in decided) == pytest.approx(
        every, rel=0.02
    )


def test_sessions_without_a_decision_make_waiting_on_less_promising() -> None:
    decided, still_open = past(2000, usual)
    without, with_ = wait_learned(decided), wait_learned(decided, censored=still_open)

    assert with_.gap(800) > 1.5 * without.gap(800)


@pytest.mark.parametrize(
    "decided",
    [
        pytest.param([180.0] * 100, id="all-the-same"),
        pytest.param([60.0, 120.0, 180.0, 240.0] * 25, id="whole-minutes"),
        pytest.param([0.0] * 30, id="at-once"),
        pytest.param([1e-9] * 30, id="nearly-at-once"),
        pytest.param([*[180.0] * 50, 1e14], id="one-in-millions-of-years"),
        pytest.param([0, *[timedelta(days=2)] * 50], id="days"),
    ],
)
def test_whatever_was_seen_looks_never_cease(decided: Sequence[float]) -> None:
    wait = wait_learned(decided)
    ends = [end for end, _ in wait.table]

    assert ends[-1] == math.inf
    assert all(sooner < later for sooner, later in pairwise(ends))
    assert all(1 / 60 <= rate <= 1 / 2 for _, rate in wait.table)
    assert all(2 <= wait.gap(age) <= 60 for age in (0, 1, 59, 60, 180, 181, 500, 1e5, 1e10))


def test_where_nobody_was_decided_looks_are_a_twentieth_of_the_closest_or_more() -> None:
    wait = wait_learned([300.0] * 1000, floor=0, cap=1e6)
    rates = [rate for _, rate in wait.table]

    assert min(rates) == pytest.approx(max(rates) / 20)


def test_people_all_decided_at_one_age_are_looked_for_closely_around_it() -> None:
    wait = wait_learned([180.0] * 100, every=5)

    assert max(wait.gap(age) for age in (170, 180, 190)) <= 6
    assert wait.gap(0) == 60


def test_options_are_those_of_the_schedule_for_people() -> None:
    wait = wait_learned([180.0] * 100, review=timedelta(minutes=1), floor=6, cap=30)

    assert wait.gap(9, status=REVIEW, stretch=2.0) == 120.0
    assert {wait.gap(age) for age in (0.0, 180.0)} == {30.0, 6.0}
    assert wait.gap(0.0, stretch=3.0) == 90.0


def test_a_hundred_thousand_sessions_are_learned_from_in_a_moment() -> None:
    decided, still_open = past(100_000, usual)
    start = time.process_time()
    wait_learned(decided, censored=still_open)
    took = time.process_time() - start
    print(f"{took * 1000:.0f} ms")  # noqa: T201 - a figure

    assert took < 1


GOOD = [180.0] * 30


@pytest.mark.parametrize(
    "wrong",
    [
        *([*GOOD, bad] for bad in (-1, math.nan, math.inf, "5", None, True, [1], 1j, 10**400)),
        *("", "12", b"12", bytearray(b"12"), 5, 5.0, True, None, {"a": 1}, object),
    ],
    ids=repr,
)
def test_nonsense_is_refused_and_told_apart(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="durations must"):
        wait_learned(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="censored must"):
        wait_learned(GOOD, censored=wrong)  # type: ignore[arg-type]


def test_an_error_names_what_is_wrong() -> None:
    durations = Durations(GOOD, censored=[-1.0])
    with pytest.raises(ConfigurationError, match=r"^each of censored must be"):
        wait_learned(durations)
    with pytest.raises(ConfigurationError, match=r"^every must be above 0"):
        wait_learned(GOOD, every=0)
    with pytest.raises(ConfigurationError, match=r"an empty list to begin with$"):
        wait_learned("180")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"every": 0}, {"every": math.nan}, {"review": 0}, {"cap": 0}, {"floor": -1}, {"floor": 61}],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        wait_learned(GOOD, **wrong)  # type: ignore[arg-type]


def test_it_can_be_stored_and_copied() -> None:
    wait = wait_learned(past(100, usual)[0])

    assert pickle.loads(pickle.dumps(wait)) == wait  # noqa: S301 - our own
    assert copy.deepcopy(wait) == wait


def test_what_a_poller_learned_brings_its_open_ones_along() -> None:
    decided, still_open = past(300, usual)
    half = len(still_open) // 2
    learned = wait_learned(Durations(decided, censored=still_open))

    assert learned == wait_learned(iter(decided), censored=tuple(still_open))
    assert learned == wait_learned(
        Durations(decided, censored=still_open[:half]), censored=still_open[half:]
    )
    assert learned != wait_learned(list(Durations(decided, censored=still_open)))


@pytest.mark.thorough
async def test_what_one_poller_saw_the_next_one_knows(source):
    tokens = [f"session-{number}" for number in range(35)]
    for number, token in enumerate(tokens):
        if number < 30:
            source.decides(token, "approved", after=400 + 2 * number)
        else:
            source.says(token, "in_progress")

    async with ResultPoller(source, deadline=900, wait=wait_person(every=10)) as poller:
        await poller.watch_many(tokens)
        before = {outcome.token: outcome async for outcome in poller}
        durations = poller.stats().durations
    wait = wait_learned(durations, every=10)
    for number, token in enumerate(tokens[:30]):
        source.decides(f"next-{token}", "approved", after=400 + 2 * number)
    async with ResultPoller(source, deadline=900, wait=wait) as poller:
        await poller.watch_many(f"next-{token}" for token in tokens[:30])
        after = {outcome.token: outcome async for outcome in poller}

    assert (len(durations), len(durations.censored)) == (30, 5)
    assert wait.gap(430) < wait.gap(200) / 3
    # People of the same kind now take less than half the looks.
    looks = statistics.mean(after[f"next-{token}"].polls for token in tokens[:30])
    assert looks < statistics.mean(before[token].polls for token in tokens[:30]) / 2


def plainly(
    decided: Sequence[float], still_open: Sequence[float], every: float
) -> list[tuple[float, float]]:
    """Estimate as `wait_learned` does, without its sums: session by session, part by part."""
    width = max(0.5 * len(decided) ** -0.2, 0.07)
    first = max(sorted(decided)[len(decided) // 100] / 3, 1.0)
    last = max(*decided, first) * math.exp(2 * width)
    parts = math.ceil(2 * math.log(last / first) / width)
    ends = [first * (last / first) ** (part / parts) for part in range(parts + 1)]
    starts = [0.0, *ends[:-1]]
    spans = [*decided, *still_open]
    events = [
        sum(start < each <= end or each == start == 0.0 for each in decided)
        for start, end in zip(starts, ends, strict=True)
    ]
    open_for = [
        sum(min(max(each - start, 0.0), end - start) for each in spans)
        for start, end in zip(starts, ends, strict=True)
    ]

    def near(values: Sequence[float], part: int) -> float:
        bell = ((math.exp(-((part - other) ** 2) / 8), other) for other in range(len(values)))
        return sum(height * values[other] for height, other in bell if abs(part - other) <= 6)

    rates = [
        math.sqrt((near(events, part) + 0.5) / (near(open_for, part) + 0.5 * end))
        for part, end in enumerate(ends)
    ]
    rates = [max(rate, 0.05 * max(rates)) for rate in rates]
    beyond = 0.5 / (sum(max(each - ends[-1], 0.0) for each in spans) + 0.5 * ends[-1])
    later = min(rates[-1], max(math.sqrt(beyond), 0.05 * max(rates)))
    mean = sum(count / rate for count, rate in zip(events, rates, strict=True)) / len(decided)
    return [
        *((end, rate * mean / every) for end, rate in zip(ends, rates, strict=True)),
        (math.inf, later * mean / every),
    ]


@pytest.mark.parametrize(
    ("decided", "still_open"),
    [
        pytest.param([0.0, *(60.0 + 7 * n for n in range(29))], [900.0] * 4, id="a-few"),
        pytest.param([30.0 * 1.01**n for n in range(250)], [], id="nobody-left"),
        pytest.param([0.5 + n / 1000 for n in range(40)], [4000.0, 0.1], id="at-once"),
        pytest.param([300.0] * 50 + [2000.0], [2500.0] * 9 + [1e6], id="one-late"),
    ],
)
def test_the_table_is_the_estimate(decided: list[float], still_open: list[float]) -> None:
    wait = wait_learned(decided, censored=still_open, every=4.0, floor=0, cap=1e9)

    expected = plainly(decided, still_open, 4.0)
    assert [end for end, _ in wait.table] == pytest.approx([end for end, _ in expected])
    assert [rate for _, rate in wait.table] == pytest.approx([rate for _, rate in expected])
