"""What the watched sessions ask for, and how far a rate stretches it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_fixed

from identomat_async import wait_learned, wait_person
from identomat_async._polling._census import Census
from identomat_async._polling._demand import Demand, _counted
from identomat_async._polling._policy import NO_LOAD

NOW = 1_800_000_000.0


def demand_of(ages: dict[float, int], *, reviewed: int = 0) -> Demand:
    demand = Demand()
    for age, count in ages.items():
        for _ in range(count):
            demand.add(NOW - age)
    for _ in range(reviewed):
        demand.add(NOW - 100, in_review=True)
    return demand


def test_looks_are_counted_by_age() -> None:
    demand, person = demand_of({100.0: 1, 99.5: 1, 10.0: 1}), wait_person()

    assert demand.looks(person, NOW) == pytest.approx(0.2 * 2 + 1 / 60)
    assert demand.load(person, 0.1, NOW).stretch == pytest.approx((0.4 + 1 / 60) / 0.0975)
    demand.remove(NOW - 99.5)
    demand.remove(NOW - 100.0)
    assert demand.looks(person, NOW) == pytest.approx(1 / 60)
    assert demand.live == 1
    assert demand_of({49.5: 60}).looks(wait_person(), NOW) == pytest.approx(1)
    demand.add(NOW, count=59)
    assert demand.looks(wait_person(), NOW) == pytest.approx(1)


@pytest.mark.parametrize("rate", [None, 0.5])
def test_what_the_rate_allows_is_not_stretched(rate: float | None) -> None:
    assert demand_of({100.0: 2}).load(wait_person(), rate, NOW) == NO_LOAD


def test_a_little_too_much_is_stretched_a_little() -> None:
    load = demand_of({100.0: 100}).load(wait_person(), 15, NOW)

    assert load.stretch == pytest.approx(20 / (0.975 * 15))
    assert not load.ahead


def test_a_crowd_that_will_be_too_large_is_stretched_from_then_on() -> None:
    load = demand_of({15.0: 100}).load(wait_person(), 15, NOW)

    assert load.stretch == 1.0
    assert {step for until, step in load.ahead if until <= 33} == {1.0}
    soon = [step for until, step in load.ahead if 40 < until < 400]
    assert soon == pytest.approx([20 / (0.975 * 15)] * len(soon))


def test_those_under_review_count_by_the_operator_and_not_by_their_age() -> None:
    demand = demand_of({100.0: 1}, reviewed=10_000)

    assert demand.looks(wait_person(review=300), NOW) == pytest.approx(0.2 + 10_000 / 300)
    demand.remove(NOW - 100, in_review=True)
    assert demand.looks(wait_person(review=300), NOW) == pytest.approx(0.2 + 9_999 / 300)
    assert (demand.live, demand.reviewed) == (10_000, 9_999)


def test_the_density_that_counts_is_within_floor_and_cap() -> None:
    demand = demand_of({100.0: 10})

    assert demand.looks(wait_person(every=0.1, floor=2), NOW) == pytest.approx(10 / 2)
    assert demand.looks(wait_person(every=900, cap=60), NOW) == pytest.approx(10 / 60)


def test_what_no_schedule_asks_for_takes_from_the_rate() -> None:
    demand = demand_of({100.0: 1000})

    assert demand.load(wait_person(), 50, NOW).stretch == pytest.approx(200 / 48.75)
    assert demand.load(wait_person(), 50, NOW, besides=8.75).stretch == pytest.approx(5.0)
    assert demand.load(wait_person(), 50, NOW, besides=1000).stretch == pytest.approx(200 / 32.5)


@pytest.mark.parametrize(
    ("fresh", "reviewed", "rate", "gap"),
    [
        (100, 0, 11, 10.0),
        (0, 1100, 1, 1210.0),
        (100, 9000, 55, 5.0),  # 30 a second for those under review, 20 for the others
        (0, 100, 11, 0.0),
    ],
)
def test_other_strategies_share_what_those_under_review_leave(
    fresh: int, reviewed: int, rate: float, gap: float
) -> None:
    load = demand_of({100.0: fresh}, reviewed=reviewed).load(wait_fixed(5), rate, NOW)

    assert load.at_least == pytest.approx(gap)


def test_nobody_beyond_the_busy_time_waits_twice_as_long_as_all() -> None:
    load = demand_of({100.0: 1900, 600.0: 60, 700.0: 40}).load(wait_person(), 20, NOW)

    assert load.at_most == pytest.approx(1.55 * 2000 / 20)
    # The looks of the few, at the longest gap, and those of the many fill the rate.
    assert 100 / load.at_most + 1900 * 0.2 / load.stretch == pytest.approx(0.975 * 20)
    assert wait_person().gap(600, stretch=load.stretch, at_most=load.at_most) == load.at_most


def test_a_crowd_is_seen_coming_into_its_busy_time_and_leaving_it() -> None:
    quiet, busy, over = (10_000 * each / 48.75 for each in (1 / 60, 1 / 5, 0.55 / 5))
    soon, amid, last = (
        demand_of({age: 10_000}).load(wait_person(), 50, NOW) for age in (15, 130, 460)
    )

    assert (soon.stretch, amid.stretch, last.stretch) == pytest.approx((quiet, busy, busy))
    assert {step for until, step in soon.ahead if until <= 33} == {soon.stretch}
    assert [step for until, step in soon.ahead if until > 40] == pytest.approx([busy] * 9)
    assert not amid.ahead
    assert [step for until, step in last.ahead if until > 33] == pytest.approx([over] * 9)


def test_a_crowd_is_seen_leaving_its_busy_time_although_some_come_after_it() -> None:
    load = demand_of({460.0: 10_000, 30.0: 60}).load(wait_person(), 50, NOW)

    over = 10_000 * 0.55 / 5 / 48.75
    assert [step for until, step in load.ahead if until > 33] == pytest.approx([over] * 9, rel=0.1)


@pytest.mark.parametrize(
    ("least", "most", "counted"),
    [
        (1.0, 1.0, 1.0),
        (1.2, 9.0, 1.0),  # the usual coming
        (1.375, 9.0, 1 + 0.375 / 2),  # half way to what is unusual
        (1.6, 9.0, 1.6),
        (0.5, 9.0, 1.0),  # those who are here leave, and as many come
        (0.5, 0.9, 1.0),  # the usual going
        (0.5, 0.6, 0.6),
        (1.0, 0.5, 0.5),
    ],
)
def test_a_change_counts_by_how_unusual_it_is(least: float, most: float, counted: float) -> None:
    assert _counted(least, most) == pytest.approx(counted)


@pytest.mark.parametrize("age", [each / 4 for each in range(170, 230)])
def test_no_moment_of_a_crowds_coming_is_taken_for_more_than_it_is(age: float) -> None:
    load = demand_of({age: 2000}).load(wait_person(), 50, NOW)

    busy = 2000 / 5 / 48.75
    assert max((load.stretch, *(step for _, step in load.ahead))) == pytest.approx(busy)


@pytest.mark.parametrize("oldest", [400, 900, 9000])
def test_a_steady_flow_is_no_crowd(oldest: int) -> None:
    # Two thirds are decided within three minutes, and one by one those that are left.
    flow = {float(age): 20 + round(40 * 2 ** (-age / 90)) for age in range(oldest)}

    assert not demand_of(flow).load(wait_person(), 50, NOW).ahead


def test_those_about_to_be_watched_count() -> None:
    demand = demand_of({0.0: 100})
    demand.coming = 900

    assert demand.looks(wait_person(), NOW) == pytest.approx(1000 / 60)
    assert demand.load(wait_fixed(1), 11, NOW).at_least == pytest.approx(100)


@given(
    age=st.floats(0, 2000),
    share=st.floats(0, 1),
    stretch=st.floats(1, 50),
    later=st.floats(1, 50),
    at_most=st.floats(0, 500),
)
def test_the_budget_never_makes_looks_quicker(
    age: float, share: float, stretch: float, later: float, at_most: float
) -> None:
    ahead = ((10.0, stretch), (30.0, later))
    wished = wait_person().gap(age, share=share)

    gap = wait_person().gap(age, share=share, stretch=stretch, ahead=ahead, at_most=at_most)

    assert gap >= wished * (1 - 1e-9)


def test_a_day_of_sessions_is_told_apart_by_age_in_few_counts() -> None:
    chance = random.Random(1)  # noqa: S311 - for repeatability
    learned = wait_learned([chance.lognormvariate(8, 2) for _ in range(500)])
    begun = [NOW - chance.uniform(0, 86_400) for _ in range(20_000)]
    demand = Demand()
    for each in begun:
        demand.add(each)

    for wait in (wait_person(), learned):
        exact = sum(wait.density(NOW - each) for each in begun)
        assert demand.looks(wait, NOW) == pytest.approx(exact, rel=0.005)
        stretch = demand.load(wait, 50, NOW).stretch
        assert stretch == pytest.approx(exact / 48.75, rel=0.005)
    assert len(list(Census.ages(demand._census, NOW, 1e9))) < 2600


def test_ages_are_right_while_time_goes_on_and_nothing_is_left_behind() -> None:
    chance = random.Random(2)  # noqa: S311 - for repeatability
    census, alive, now = Census(), [], NOW
    for _ in range(200):
        now += chance.uniform(0, 400)
        for _ in range(chance.randrange(20)):
            alive.append(now - chance.choice([0.0, chance.uniform(0, 100_000)]))
            census.add(alive[-1])
        while len(alive) > 200:
            census.remove(alive.pop(chance.randrange(len(alive))))
        ages = list(census.ages(now, 1e9))
        assert sum(count for _, count in ages) == len(alive)
        total = sum(age * count for age, count in ages)
        assert total == pytest.approx(sum(now - each for each in alive), rel=0.02)
    for each in alive:
        census.remove(each)
    assert not list(census.ages(now, 1e9))
