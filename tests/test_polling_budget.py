"""Very many sessions under a rate: spread, fair, without a queue, and nobody in the way."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import anyio
import pytest
from tenacity import wait_fixed
from tenacity.wait import wait_base

from identomat_async import RateBudget, ResultPoller, Until, Watch, wait_person
from identomat_async._wire._protocol import BEGIN, DELETE

FLAT = wait_person(every=5, quiet=5, tail=1)


def watches(source, count: int, *, age: float = 0.0, name: str = "session") -> list[Watch]:
    begun = datetime.now(UTC) - timedelta(seconds=age)
    made = [Watch(f"{name}-{number}", begun=begun) for number in range(count)]
    for watch in made:
        source.lives(watch.token, lambda _: "in_progress")
    return made


def gaps(source, start: float) -> list[float]:
    """Return how long sessions waited for each look, from *start* until now."""
    times: dict[str, list[float]] = {token: [start] for token in source._lives}
    for at, token, _ in source.looks:
        times[token].append(at)
    end = anyio.current_time()
    return [later - at for each in times.values() for at, later in pairwise([*each, end])]


def most_in(looks: Iterable[tuple[float, str, bool]], seconds: float) -> int:
    at = [each for each, _, _ in looks]
    first = most = 0
    for last, each in enumerate(at):
        while at[first] <= each - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("wait", "rate"),
    [
        pytest.param(wait_person(every=20, cap=120), None, id="without-limit"),
        pytest.param(FLAT, 200, id="flat"),
        pytest.param(wait_fixed(60), 200, id="fixed"),
    ],
)
async def test_a_burst_of_watches_is_spread_from_the_first_second_on(source, rate, wait):
    made = watches(source, 10_000, age=60)
    async with ResultPoller(source, wait=wait, rate=rate, max_in_flight=500) as poller:
        start = anyio.current_time()
        await poller.watch_many(made)
        await anyio.sleep(4)

    slots = Counter(int((at - start) * 10) for at, _, _ in source.looks)
    seen = [slots[slot] for slot in range(40)]
    assert sum(seen[:10]) > 0
    assert max(seen) <= 3 * sum(seen) / len(seen)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("wait", "late"),
    [
        pytest.param(wait_person(), 10, id="three-steps"),
        pytest.param(wait_person(tail=0.2), 50, id="three-steps-and-seldom"),
        pytest.param(FLAT, 10, id="flat"),
        pytest.param(wait_fixed(5), 10, id="fixed"),
    ],
)
async def test_nobody_waits_more_than_twice_as_long_as_all_do(source, wait, late):
    rate, live = 10, 250
    made = [
        *watches(source, live - late, age=60),
        *watches(source, late, age=600, name="late"),
    ]
    async with ResultPoller(source, wait=wait, rate=rate, deadline=None) as poller:
        start = anyio.current_time()
        await poller.watch_many(made)
        await anyio.sleep(120)
        waited = gaps(source, start)

    assert max(waited) <= 2 * live / rate
    assert most_in(source.looks, 1.0) <= rate + 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("live", "rate", "seconds"),
    [pytest.param(10_000, 50, 80, id="many"), pytest.param(1000, 5, 300, id="to-the-end")],
)
async def test_a_crowd_that_comes_into_its_busy_time_together_makes_no_queue(
    source, live, rate, seconds
):
    made = watches(source, live)
    async with ResultPoller(source, rate=rate, deadline=None) as poller:
        start = anyio.current_time()
        await poller.watch_many(made)
        late: list[float] = []
        for _ in range(seconds // 20):
            await anyio.sleep(20)
            late.append(poller.stats().lateness_p99)
        waited = gaps(source, start)

    assert most_in(source.looks, 1.0) <= rate + 1
    assert max(late) <= 0.1 * live / rate
    assert len(source.looks) >= 0.85 * rate * seconds
    # Their quiet time, and then in turn.
    assert max(waited) <= 50 + 1.3 * live / rate


async def test_a_backlog_drains(source):
    made = watches(source, 500, age=60)
    async with ResultPoller(source, rate=20, deadline=None) as poller:
        await poller.watch_many(made)
        await anyio.sleep(10)
        source.pause.heed(10)
        await anyio.sleep(20)
        worst = poller.stats().lateness_p99
        before = len(source.looks)
        await anyio.sleep(100)
        stats = poller.stats()

    assert worst > 3
    assert stats.lateness_p99 < 2
    assert len(source.looks) - before >= 0.95 * 20 * 100


@pytest.mark.thorough
async def test_those_under_review_leave_the_rate_to_the_others(source):
    under_review = watches(source, 2000, age=3600, name="reviewed")
    fresh = watches(source, 20, age=60)
    for watch in under_review:
        source.lives(watch.token, lambda _: "manual_check")
    async with ResultPoller(source, rate=20, until=Until.DECIDED, deadline=7200) as poller:
        await poller.watch_many(under_review)
        await anyio.sleep(210)  # what says so first is read again
        await poller.watch_many(fresh)
        await anyio.sleep(10)
        source.looks.clear()
        await anyio.sleep(30)
        stretch = poller.stats().stretch

    times: dict[str, list[float]] = {watch.token: [] for watch in fresh}
    for at, token, _ in source.looks:
        times.get(token, []).append(at)
    assert stretch == 1.0
    assert min(len(each) for each in times.values()) >= 4
    assert max(later - at for each in times.values() for at, later in pairwise(each)) <= 6


async def test_requests_and_confirming_reads_go_before_polls(source):
    rate = 10.0
    source.budget = RateBudget(rate)
    made = watches(source, 500, age=60)
    source.decides("session-7", "approved", after=0)
    took: list[float] = []
    async with ResultPoller(source, rate=source.budget, deadline=None) as poller:
        await poller.watch_many(made)
        for watch in made:
            poller.nudge(watch.token)  # everybody is due at once
        for _ in range(20):
            before = anyio.current_time()
            await source.budget.acquire(urgent=True)
            source.budget.release()
            took.append(anyio.current_time() - before)
            await anyio.sleep(0.5)
        assert poller.stats().due > 300
        await anyio.sleep(60)

    at = [(when, fresh) for when, token, fresh in source.looks if token == "session-7"]
    assert max(took) <= 2 / rate
    assert [fresh for _, fresh in at] == [False, True]
    assert at[1][0] - at[0][0] <= 2 / rate
    assert BEGIN.urgent
    assert DELETE.urgent


@pytest.mark.parametrize(
    ("wait", "gap"), [(wait_fixed(5), 11.0), (wait_fixed(30), 30.0), (wait_person(), 50 / 4.875)]
)
async def test_a_gap_is_the_schedules_or_what_the_rate_leaves(
    source, wait: wait_base, gap: float
) -> None:
    made = watches(source, 50, age=100)
    async with ResultPoller(source, wait=wait, rate=5, deadline=None) as poller:
        await poller.watch_many(made)
        await anyio.sleep(120)
        source.looks.clear()
        await anyio.sleep(100)

    times = [at for at, token, _ in source.looks if token == "session-7"]
    assert all(0.85 * gap <= later - at <= 1.2 * gap for at, later in pairwise(times))
    assert len(times) > 2
