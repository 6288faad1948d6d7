"""What was planned for another load, or came due while nobody looked, is planned anew."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import anyio
import pytest
from tenacity import RetryCallState, wait_fixed
from tenacity.wait import wait_base

from identomat_async import RateBudget, ResultPoller, ServerError, Watch, wait_person
from identomat_async._clock import Clock

DOWN = ServerError("down", status_code=500, retryable=True)


def watches(source, count: int, *, age: float = 100.0, name: str = "session") -> list[Watch]:
    begun = datetime.now(UTC) - timedelta(seconds=age)
    made = [Watch(f"{name}-{number}", begun=begun) for number in range(count)]
    for watch in made:
        source.lives(watch.token, lambda _: "in_progress")
    return made


def times(source, since: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for at, token, _ in source.looks:
        if at >= since:
            found.setdefault(token, []).append(at)
    return found


async def lighten(poller: ResultPoller, tokens: Iterable[str]) -> float:
    """Discard sessions; return when."""
    for token in tokens:
        await poller.discard(token)
    return anyio.current_time()


@pytest.mark.parametrize(
    ("wait", "gap"), [(wait_person(every=5, tail=1), 5.0), (wait_fixed(5), 5.0)]
)
async def test_when_the_load_falls_those_who_are_left_are_seen_as_often_as_wished(
    source, wait: wait_base, gap: float
) -> None:
    made = watches(source, 3000)
    async with ResultPoller(source, wait=wait, rate=20, deadline=None) as poller:
        await poller.watch_many(made)
        await anyio.sleep(60)
        began = await lighten(poller, (watch.token for watch in made[50:]))
        await anyio.sleep(40)
        stats = poller.stats()

    looks = times(source, began)
    assert looks.keys() == {watch.token for watch in made[:50]}
    # A second until it is noticed, and a tenth of jitter.
    assert max(each[0] for each in looks.values()) - began <= 1.5 + 1.1 * gap
    apart = [later - at for each in looks.values() for at, later in pairwise(each)]
    # Whoever was to be looked at soon anyway may come twice in one gap.
    assert sorted(apart)[len(apart) // 10] >= 0.85 * gap
    assert stats.due <= 5
    assert stats.limited_by == "nothing"


async def test_a_crowd_whose_size_is_known_is_planned_only_once(source):
    async with ResultPoller(source, rate=20, deadline=None) as poller:
        await poller.watch_many(watches(source, 3000))
        entries = list(poller._core.engine.roster.live.values())
        planned = [entry.due for entry in entries]
        await anyio.sleep(2.5)  # the demand is weighed each second
        kept = [entry.due for entry in entries if not entry.state.polls]

    assert len(entries) == 3000
    assert len(kept) >= 2900
    assert set(kept) <= set(planned)


async def test_pollers_whose_strategies_are_no_densities_share_a_rate_by_what_they_wish(source):
    rate = RateBudget(6)
    async with (
        ResultPoller(source, rate=rate, deadline=None, wait=wait_fixed(5)) as one,
        ResultPoller(source, rate=rate, deadline=None, wait=wait_fixed(5)) as other,
    ):
        await one.watch_many(watches(source, 100, name="one"))
        await other.watch_many(watches(source, 50, name="other"))
        await anyio.sleep(50)
        before = [one.stats().polls, other.stats().polls]
        await anyio.sleep(100)
        made = [one.stats().polls - before[0], other.stats().polls - before[1]]

    assert made == pytest.approx([400, 200], rel=0.15)


async def test_what_another_schedule_than_the_loads_has_planned_stays(source):
    source.says("failing", DOWN)
    source.says("elsewhere", "in_progress")
    source.says("early", "in_progress")
    made = watches(source, 2000)
    async with ResultPoller(source, wait=wait_fixed(5), rate=20, deadline=None) as poller:
        engine = poller._core.engine
        live = engine.roster.live
        engine.parked.add("elsewhere")
        await poller.watch_many([*made, "elsewhere"])
        await poller.watch("failing")
        await poller.watch("early")
        poller.nudge("failing")
        await anyio.sleep(60)
        poller.nudge("early")
        await anyio.sleep(8)
        dues = {token: live[token].due for token in ("failing", "elsewhere", "early")}
        await lighten(poller, (watch.token for watch in made[10:]))
        await anyio.sleep(1.5)

        assert {token: live[token].due for token in dues} == dues
        assert all(live[watch.token].due < engine.now() + 6 for watch in made[:10])


async def each(made: list[Watch]) -> AsyncIterator[Watch]:
    for watch in made:
        yield watch


@pytest.mark.parametrize(
    "wait", [wait_person(), pytest.param(wait_fixed(5), marks=pytest.mark.thorough)]
)
@pytest.mark.parametrize("kind", [each, pytest.param(iter, marks=pytest.mark.thorough)])
async def test_a_crowd_of_which_nobody_knows_how_large_it_is_makes_no_queue(
    source, wait: wait_base, kind: Callable[[list[Watch]], Iterable[Watch]]
) -> None:
    made = watches(source, 5000)
    async with ResultPoller(source, wait=wait, rate=100, deadline=None) as poller:
        began = anyio.current_time()
        await poller.watch_many(kind(made))
        await anyio.sleep(30)  # when a queue of those who came first would be longest
        during = poller.stats()
        await anyio.sleep(40)
        stats = poller.stats()

    # With the rate used up, chance alone has somebody due for more than a second.
    assert max(during.due, stats.due) <= 200
    assert max(during.lateness_p99, stats.lateness_p99) <= 2
    assert len(source.looks) >= 0.85 * 100 * 70
    assert len(times(source, began)) == 5000


@pytest.mark.thorough
@pytest.mark.parametrize("wait", [wait_person(), wait_fixed(5)])
async def test_who_comes_due_while_nobody_looks_comes_one_after_the_other(
    source, wait: wait_base
) -> None:
    source.latency = 0.1
    made = watches(source, 1000)
    poller = ResultPoller(source, wait=wait, rate=None, deadline=None, max_in_flight=500)
    async with poller:
        await poller.watch_many(made)
        await anyio.sleep(20)
    await anyio.sleep(120)
    async with poller:
        began = anyio.current_time()
        await anyio.sleep(5)

    looks = times(source, began)
    slots = Counter(int((at - began) * 10) for each in looks.values() for at in each)
    assert max(slots.values()) <= 3 * 1000 / 5 / 10
    assert len(looks) >= 0.9 * 1000


class Counting(wait_base):
    """A schedule that knows how often it was asked."""

    asked = 0

    def __call__(self, retry_state: RetryCallState) -> float:
        self.asked += 1
        return 5.0


async def test_other_tasks_get_a_turn_while_those_who_came_due_are_spread(source) -> None:
    made, wait, turns = watches(source, 2000), Counting(), list[int]()
    poller = ResultPoller(source, wait=wait, rate=None, deadline=None, max_in_flight=500)
    async with poller:
        await poller.watch_many(made)
        await anyio.sleep(20)
    await anyio.sleep(120)
    async with poller:
        before, looks = wait.asked, len(source.looks)
        while len(source.looks) == looks:
            asked = wait.asked
            await anyio.sleep(0.0005)
            turns.append(wait.asked - asked)

    assert max(turns) <= 300
    assert wait.asked - before >= 2000
    assert poller.stats().due < 100


async def test_who_comes_due_while_the_machine_is_suspended_comes_one_after_the_other(source):
    asleep = 0.0
    made = watches(source, 1000)
    async with ResultPoller(source, rate=None, deadline=None, max_in_flight=500) as poller:
        poller._core.engine._clock = Clock(lambda: asleep)
        await poller.watch_many(made)
        await anyio.sleep(20)
        asleep, began = 3600.0, anyio.current_time()
        await anyio.sleep(12)

    slots = Counter(int((at - began) * 10) for at, _, _ in source.looks if at >= began)
    assert max(slots.values()) <= 3 * 1000 / 5 / 10


async def test_who_is_waited_for_and_a_few_are_looked_at_at_once(source):
    made = watches(source, 4)
    poller = ResultPoller(source, deadline=None)
    async with poller:
        await poller.watch_many(made)
        await anyio.sleep(20)
    await anyio.sleep(120)
    async with poller, anyio.create_task_group() as tasks:
        began = anyio.current_time()
        tasks.start_soon(poller.wait, "session-3")
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()

    assert len(times(source, began)) == 4
