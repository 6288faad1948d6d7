"""Very many sessions at a poller, and pollers at one rate: nobody is a queue before others."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tenacity import wait_fixed

from identomat_async import (
    DeadlinePassed,
    RateBudget,
    ResultPoller,
    ServerError,
    Settled,
    Until,
    Watch,
    events,
    wait_learned,
    wait_person,
)
from identomat_async._polling._policy import PollPolicy
from identomat_async._polling._step import PollState, open_for

pytestmark = pytest.mark.thorough

RATE = 50
# With the rate used up, chance alone makes the looks up to seven seconds late; a crowd that
# comes due together makes them a minute late and more.
LATE = 15
DOWN = ServerError("down", status_code=500, retryable=True)


def tokens(count: int, *, of: str = "session") -> list[str]:
    return [f"{of}-{number}" for number in range(count)]


def are_open(source: Any, count: int, *, of: str = "session") -> list[str]:
    for token in tokens(count, of=of):
        source.says(token, "in_progress")
    return tokens(count, of=of)


async def seconds_to_look(source: Any, token: str) -> float:
    start, seen = anyio.current_time(), len(source.looks)
    while all(name != token for _, name, _ in source.looks[seen:]):
        seen = len(source.looks)
        await anyio.sleep(0.05)
    return anyio.current_time() - start


def test_a_burst_stays_spread_when_its_busy_time_comes() -> None:
    # Each session's looks by the code that the poller asks at nearly every look.
    chance = Random(20261123).random  # noqa: S311 - the same at every run
    policy, slots = PollPolicy(wait=wait_person(), random=chance), Counter[int]()
    for number in range(10_000):
        at = policy.wait.gap(0.0, share=number / 10_000)
        state = PollState(token="any", begun=0.0, watched=0.0)
        while at < 180:
            slots[int(at * 10)] += 1
            at += open_for(state, policy=policy, now=at)

    quiet = [slots[slot] for slot in range(10, 500)]
    busy = [slots[slot] for slot in range(520, 1800)]
    assert max(quiet) <= 3 * sum(quiet) / len(quiet)
    assert max(busy) <= 1.3 * sum(busy) / len(busy)
    assert min(busy) >= 0.6 * sum(busy) / len(busy)


async def test_a_crowd_with_one_deadline_is_no_queue_before_anybody(source):
    crowd = are_open(source, 3000)
    source.says("waited-for", "approved")
    source.says("back", "in_progress")

    async with ResultPoller(source, rate=RATE, deadline=600, buffer=5000) as poller:
        await poller.watch_many(crowd)
        await poller.watch("back", deadline=3600)
        await anyio.sleep(601)
        due_at_the_deadline = poller.stats().due
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.wait, "waited-for")
            waited = await seconds_to_look(source, "waited-for")
        assert poller.nudge("back")
        nudged = await seconds_to_look(source, "back")
        outcomes = [await anext(poller) for _ in crowd]
        lateness = poller.stats().lateness_p99

    assert due_at_the_deadline <= 3 * RATE
    assert waited <= 0.2
    assert nudged <= 0.2
    assert {type(outcome) for outcome in outcomes} == {DeadlinePassed}
    assert all(600 <= outcome.waited <= 600 + 2 * len(crowd) / RATE for outcome in outcomes)
    assert lateness <= LATE


async def test_the_looks_after_a_nudge_go_before_the_crowd_as_well(source):
    crowd = are_open(source, 3000)

    async with ResultPoller(source, rate=RATE, deadline=None, wait=wait_fixed(1)) as poller:
        await poller.watch_many(crowd)
        await anyio.sleep(100)
        seen = len(source.looks)
        start = anyio.current_time()
        poller.nudge("session-7")
        await anyio.sleep(50)

    looks = [at - start for at, token, _ in source.looks[seen:] if token == "session-7"]
    assert looks == pytest.approx([0, 2, 5, 10, 20, 40], abs=0.2)


async def test_waiting_for_who_was_nudged_does_not_put_it_behind_the_crowd(source):
    crowd = are_open(source, 3000)
    source.says("back", "in_progress")

    async with ResultPoller(source, rate=RATE, deadline=None, wait=wait_fixed(1)) as poller:
        await poller.watch_many([*crowd, "back"])
        await anyio.sleep(100)
        source.pause.heed(60)
        await anyio.sleep(65)
        assert poller.nudge("back")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.wait, "back")
            looked = await seconds_to_look(source, "back")
            tasks.cancel_scope.cancel()

    # A service that comes back is asked a few times a second first.
    assert looked <= 2


async def test_watching_who_is_waited_for_does_not_put_it_behind_the_crowd(source):
    crowd = are_open(source, 3000)
    source.says("new", "in_progress")

    async with ResultPoller(source, rate=RATE, deadline=None, wait=wait_fixed(1)) as poller:
        await poller.watch_many(crowd)
        await anyio.sleep(100)
        source.pause.heed(60)
        await anyio.sleep(65)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.wait, "new")
            await anyio.lowlevel.checkpoint()
            await poller.watch("new", deadline=1800)
            looked = await seconds_to_look(source, "new")
            tasks.cancel_scope.cancel()

    # A service that comes back is asked a few times a second first.
    assert looked <= 2


async def test_many_who_wait_for_one_session_cost_no_more_each(source):
    source.says("one", "in_progress")
    costs = []

    async with ResultPoller(source, deadline=None, wait=wait_fixed(3600)) as poller:
        for count in (1000, 4000):
            began = time.process_time()
            async with anyio.create_task_group() as tasks:
                for _ in range(count):
                    tasks.start_soon(poller.wait, "one")
                await anyio.sleep(1)
                tasks.cancel_scope.cancel()
            costs.append((time.process_time() - began) / count)

    # 4 times as much each, and more, if everybody asked all the others.
    assert costs[1] <= 2.5 * costs[0]
    assert len(poller) == 0


async def test_a_wait_for_too_many_is_no_lasting_complaint(source):
    crowd = are_open(source, 3000)

    async with ResultPoller(source, rate=RATE, deadline=None) as poller:
        with anyio.move_on_after(5):
            await poller.wait_all(crowd, deadline=60)
        await anyio.sleep(10)

        assert poller.stats().limited_by == "nothing"


async def test_the_looks_per_second_are_right_from_the_first_seconds_on(source):
    crowd = are_open(source, 3000)

    async with ResultPoller(source, rate=RATE, deadline=None, wait=wait_fixed(1)) as poller:
        await poller.watch_many(crowd)
        with anyio.move_on_after(3):
            await poller.wait_all(crowd)
        early = poller.stats().polls_per_second
        await anyio.sleep(60)
        late = poller.stats().polls_per_second

    assert early == pytest.approx(RATE, rel=0.15)
    assert late == pytest.approx(RATE, rel=0.3)


async def test_first_looks_beyond_the_deadline_are_spread_as_the_others(source):
    crowd = are_open(source, 4000)

    async with ResultPoller(source, rate=RATE, deadline=10, buffer=5000) as poller:
        await poller.watch_many(crowd)
        outcomes = [await anext(poller) for _ in crowd]

    assert all(outcome.polls >= 1 for outcome in outcomes)
    assert max(outcome.waited for outcome in outcomes) <= 2.5 * len(crowd) / RATE
    assert poller.stats().lateness_p99 <= LATE


async def test_who_reloads_the_page_all_the_time_is_looked_at_every_two_seconds(source):
    are_open(source, 1)

    async with ResultPoller(source, deadline=None) as poller:
        await poller.watch("session-0")
        for _ in range(6000):
            assert poller.nudge("session-0")
            await anyio.sleep(0.01)

    assert 28 <= len(source.looks) <= 32


async def test_pollers_that_share_a_rate_are_stretched_alike_and_do_not_queue(source):
    crowd, few = are_open(source, 1500, of="crowd"), are_open(source, 30, of="few")
    source.says("waited-for", "approved")
    rate = RateBudget(20)

    async with (
        ResultPoller(source, rate=rate, deadline=None) as large,
        ResultPoller(source, rate=rate, deadline=None) as small,
    ):
        await large.watch_many(crowd)
        await small.watch_many(few)
        await anyio.sleep(600)
        looks = [large.stats(), small.stats()]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(small.wait, "waited-for")
            waited = await seconds_to_look(source, "waited-for")

    assert looks[0].stretch == pytest.approx(looks[1].stretch, rel=0.1)
    assert all(stats.lateness_p99 <= LATE for stats in looks)
    assert all(stats.due <= 3 * 20 for stats in looks)
    assert waited <= 0.3


async def test_pollers_that_share_places_take_turns_at_them(source):
    crowd, few = are_open(source, 500, of="crowd"), are_open(source, 2, of="few")
    source.latency = 1.0
    source.says("waited-for", "in_progress", "approved")
    places = RateBudget(None, max_in_flight=10)

    async with (
        ResultPoller(source, rate=places, deadline=None, wait=wait_fixed(1)) as large,
        ResultPoller(source, rate=places, deadline=None, wait=wait_fixed(20)) as small,
    ):
        await large.watch_many(crowd)
        await small.watch_many(few)
        await anyio.sleep(60)
        seen = len(source.looks)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(small.wait, "waited-for")
            waited = await seconds_to_look(source, "waited-for")
        await anyio.sleep(60)
        looks = len(source.looks) - seen

    assert waited <= 2.2
    assert looks >= 9.5 * 60
    assert source.peak == 10


@pytest.mark.parametrize("places", [1, 4, 20])
async def test_a_poller_with_two_crowded_ceilings_has_its_turn(source, places):
    own, service = (RateBudget(None, max_in_flight=places) for _ in range(2))
    elsewhere = type(source)()
    elsewhere.budget = service
    source.latency, elsewhere.latency = 0.31, 0.17
    one, other = are_open(source, 200, of="one"), are_open(source, 200, of="other")

    async with (
        ResultPoller(source, rate=own, deadline=None, wait=wait_fixed(0.5)) as first,
        ResultPoller(source, rate=service, deadline=None, wait=wait_fixed(0.5)) as second,
        ResultPoller(elsewhere, rate=own, deadline=None) as small,
    ):
        await first.watch_many(one)
        await second.watch_many(other)
        await anyio.sleep(5)
        began, seen = anyio.current_time(), len(source.looks)
        for number in range(10):
            elsewhere.says(f"waited-for-{number}", "approved")
            await small.wait(f"waited-for-{number}")
        waited = (anyio.current_time() - began) / 10
        looks = (len(source.looks) - seen) / (anyio.current_time() - began)

    # A wait is two looks here, of 0.17 s each, and each may have to wait for two others.
    assert waited <= 2.5
    # The places that are kept meanwhile are the price.
    assert looks >= 0.4 * 2 * places / 0.31


@pytest.mark.parametrize("rate", [20, 400])
@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_three_pollers_at_one_rate_have_their_turns(source, rate, latency):
    shared = RateBudget(rate, max_in_flight=1000)
    source.latency = latency

    async with (
        ResultPoller(source, rate=shared, deadline=None) as small,
        ResultPoller(source, rate=shared, deadline=None) as one,
        ResultPoller(source, rate=shared, deadline=None) as other,
        anyio.create_task_group() as tasks,
    ):
        for name, poller in (("one", one), ("other", other)):
            tasks.start_soon(poller.wait_all, are_open(source, 3000, of=name))
        await anyio.sleep(3)
        began, seen = anyio.current_time(), len(source.looks)
        for number in range(8):
            source.says(f"waited-for-{number}", "approved")
            await small.wait(f"waited-for-{number}")
            await anyio.sleep(0.37)
        spent = anyio.current_time() - began
        looks = len(source.looks) - seen
        tasks.cancel_scope.cancel()

    assert spent / 8 - 0.37 <= 2 * latency + 6 / rate + 0.2
    assert looks >= 0.95 * rate * spent - 5


@pytest.mark.parametrize("is_account_first", [True, False])
async def test_a_poller_that_is_slow_by_its_own_ceiling_slows_no_other(source, is_account_first):
    if is_account_first:
        source.budget, own = RateBudget(50), RateBudget(1)
    else:
        own, source.budget = RateBudget(1), RateBudget(50)
    long_ago = datetime.now(UTC) - timedelta(seconds=100)

    async with (
        ResultPoller(source, rate=own, deadline=None) as slow,
        ResultPoller(source, rate=80, deadline=None) as quick,
    ):
        await slow.watch_many(are_open(source, 200))
        for number in range(200):
            slow.nudge(f"session-{number}")
        crowd = are_open(source, 600, of="crowd")
        await quick.watch_many([Watch(token, begun=long_ago) for token in crowd])
        await anyio.sleep(20)
        before = [slow.stats().polls, quick.stats().polls]
        await anyio.sleep(40)
        made = [slow.stats().polls - before[0], quick.stats().polls - before[1]]

    assert made[0] >= 0.85 * 40
    assert made[1] >= 0.9 * 50 * 40


async def test_a_place_is_given_back_if_that_of_the_other_ceiling_does_not_come(source):
    own, source.budget = RateBudget(20), RateBudget(50, max_in_flight=1)
    await source.budget.acquire()
    gates = ResultPoller(source, rate=own)._core.engine.gates
    with anyio.move_on_after(1) as scope:
        await gates.claim()

    assert scope.cancelled_caught
    assert (own.in_flight, source.budget.in_flight) == (0, 1)


async def test_who_has_left_a_budget_keeps_no_place_in_it(source):
    crowd = are_open(source, 100, of="crowd")
    source.latency = 1.0
    source.says("waited-for", "in_progress")
    places = RateBudget(None, max_in_flight=2)

    async with ResultPoller(source, rate=places, deadline=None, wait=wait_fixed(1)) as large:
        await large.watch_many(crowd)
        await anyio.sleep(10.5)
        with anyio.move_on_after(0.1):
            async with ResultPoller(source, rate=places) as small:
                await small.wait("waited-for")
        seen = len(source.looks)
        await anyio.sleep(10)

    assert len(source.looks) - seen >= 18


async def test_strategies_of_other_kinds_take_their_share_of_a_shared_rate(source):
    fixed, dense = are_open(source, 300, of="fixed"), are_open(source, 300, of="dense")
    rate, long_ago = RateBudget(20), datetime.now(UTC) - timedelta(minutes=2)

    async with (
        ResultPoller(source, rate=rate, deadline=None, wait=wait_fixed(5)) as one,
        ResultPoller(source, rate=rate, deadline=None) as other,
    ):
        await one.watch_many(fixed)
        await other.watch_many(Watch(token, begun=long_ago) for token in dense)
        await anyio.sleep(100)
        before = [one.stats().polls, other.stats().polls]
        await anyio.sleep(200)
        stats = [one.stats(), other.stats()]

    assert [each.limited_by for each in stats] == ["rate", "rate"]
    made = [each.polls - polls for each, polls in zip(stats, before, strict=True)]
    assert made == pytest.approx([2000, 2000], rel=0.25)
    assert all(each.lateness_p99 <= 5 for each in stats)


async def test_the_share_of_one_who_leaves_goes_to_the_others(source):
    crowd, others = are_open(source, 400, of="crowd"), are_open(source, 400, of="others")
    rate = RateBudget(20)

    async with ResultPoller(source, rate=rate, deadline=None) as poller:
        async with ResultPoller(source, rate=rate, deadline=None) as leaving:
            await poller.watch_many(crowd)
            await leaving.watch_many(others)
            await anyio.sleep(100)
            together = poller.stats().stretch
        await anyio.sleep(5)
        alone = poller.stats().stretch

    assert together == pytest.approx(2 * alone, rel=0.2)


async def test_learning_from_nobody_is_as_fair_as_the_usual_schedule() -> None:
    learned, usual = wait_learned([]), wait_person()

    assert learned.gap(60, stretch=20, at_most=30) == usual.gap(60, stretch=20, at_most=30)
    assert learned == usual
    assert wait_learned(map(float, range(1, 100))) != usual


# What the operator sees


async def test_any_strategy_that_the_rate_stretches_says_so(source):
    async with ResultPoller(source, wait=wait_fixed(10), rate=20, deadline=None) as poller:
        await poller.watch_many(are_open(source, 100))
        await anyio.sleep(60)
        at_ease = poller.stats()
        await poller.watch_many(are_open(source, 1000))
        await anyio.sleep(120)
        stretched = poller.stats()

    assert (at_ease.limited_by, at_ease.stretch) == ("nothing", 1.0)
    assert stretched.limited_by == "rate"
    assert stretched.stretch == pytest.approx(5.5, rel=0.1)


async def test_who_is_held_back_for_a_slow_consumer_is_due(source):
    for token in tokens(20, of="done"):
        source.says(token, "approved")

    async with ResultPoller(source, rate=None, buffer=10, deadline=None) as poller:
        await poller.watch_many(tokens(20, of="done"))
        await anyio.sleep(100)
        await poller.watch_many(are_open(source, 50))
        await anyio.sleep(100)
        stats = poller.stats()

    assert stats.limited_by == "consumer"
    assert stats.due == stats.watched >= 50


async def test_failures_are_counted_however_many_there_are(source):
    for number, token in enumerate(tokens(400)):
        answers = [DOWN, "in_progress"] if number % 2 else ["in_progress", DOWN]
        source.says(token, *answers * 50)

    async with ResultPoller(source, rate=None, deadline=None, wait=wait_fixed(30)) as poller:
        await poller.watch_many(tokens(400))
        await anyio.sleep(280)
        soon = poller.stats()
        for token in tokens(400):
            source.says(token, "in_progress")
        await anyio.sleep(320)
        later = poller.stats()

    assert soon.polls > 3000
    assert soon.errors["ServerError"] == pytest.approx(soon.polls / 2, rel=0.1)
    assert later.errors == {}


async def test_those_who_are_only_waited_for_are_learned_from_once(source):
    for token in tokens(30):
        source.decides(token, "approved", after=100)
    source.says("open", "in_progress")
    poller = ResultPoller(source, deadline=200)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.wait_all, tokens(30))
        tasks.start_soon(poller.wait_all, tokens(3))
        tasks.start_soon(poller.wait_all, ["open"])

    learned = poller.stats().durations
    assert sorted(learned) == pytest.approx([100] * 30, abs=12)
    assert learned.censored == pytest.approx((200,), abs=1)
    assert poller.stats().deadlines_passed == 0


async def test_a_review_without_end_is_no_person_who_never_ended(source):
    source.decides("one", "manual_check", after=100)

    async with ResultPoller(source, until=Until.DECIDED, review=1000) as poller:
        await poller.watch("one")
        outcome = await anext(poller)
        learned = poller.stats().durations

    assert isinstance(outcome, DeadlinePassed)
    assert len(learned) == 1
    assert 100 <= learned[0] <= 170
    assert learned.censored == ()


async def test_too_many_to_wait_for_are_told_of_as_well(source, collect):
    heard = collect()

    async with (
        ResultPoller(source, rate=1, deadline=600, observers=[heard]) as poller,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(poller.wait_all, are_open(source, 400))
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()

    assert [event.watched for event in heard.of(events.Starved)] == [400]


async def test_nobody_starves_who_is_no_longer_watched(source, collect):
    heard = collect()

    async with ResultPoller(source, rate=1, deadline=600, observers=[heard]) as poller:
        for _ in range(2):
            await poller.watch_many(are_open(source, 200))
            for token in tokens(200):
                await poller.discard(token)
            await anyio.sleep(60)
            assert poller.stats().limited_by == "nothing"

    assert len(heard.of(events.Starved)) == 2


async def test_each_look_that_is_cut_off_leaves_the_agenda_as_it_was(source):
    source.timeout = 5
    source.lives("stuck", lambda _: 1e6)

    async with ResultPoller(source, deadline=None, wait=wait_fixed(1)) as poller:
        await poller.watch("stuck")
        await anyio.sleep(3600)
        agenda = poller._core.engine.roster.agenda
        source.says("stuck", "approved")
        outcome = await anext(poller)

    assert isinstance(outcome, Settled)
    assert (agenda._standing, agenda._shadows) == (0, 0)
