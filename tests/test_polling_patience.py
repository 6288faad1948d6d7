"""What nobody can look at: for how long a watch outlives its deadline."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from identomat_async import (
    AuthenticationError,
    DeadlinePassed,
    PollFailed,
    RateBudget,
    ResultPoller,
    ServerError,
    Settled,
    WaitTimeoutError,
)
from identomat_async._clock import Clock
from identomat_async._polling._patience import Patience

DOWN = ServerError("down", status_code=500, retryable=True)
REFUSED = AuthenticationError("the key", status_code=401)


def test_patience_counts_only_what_was_seen_to_be_held_up() -> None:
    patience = Patience(100)
    until = {
        second: patience.is_over(second, is_behind=second != 50) for second in range(0, 200, 5)
    }

    assert [second for second, over in until.items() if over] == [155, 165, 175, 185, 195]
    assert not patience.is_over(9000, is_behind=True)
    patience.begin_anew()
    assert not patience.is_over(9005, is_behind=True)


async def test_a_pause_beyond_the_grace_fails_a_watch(source):
    source.says("one", "in_progress")
    source.says("other", "in_progress")

    async with ResultPoller(source, deadline=100, grace=60) as poller:
        await poller.watch("one")
        await poller.watch("other", deadline=75)
        await anyio.sleep(70)
        source.pause.heed(3600)
        outcomes = [await anext(poller), await anext(poller)]

    assert {type(outcome) for outcome in outcomes} == {PollFailed}
    for outcome in outcomes:
        assert 135 <= outcome.waited <= 180
        assert outcome.last_error is None
        assert "IN_PROGRESS" in outcome.explain()
    assert poller.stats().watched == 0


@pytest.mark.parametrize("is_asked", [True, False])
async def test_who_waits_for_longer_keeps_no_watch_beyond_its_grace(source, is_asked):
    source.says("one", "in_progress" if is_asked else DOWN)

    async with (
        ResultPoller(source, deadline=100, grace=200) as poller,
        anyio.create_task_group() as tasks,
    ):
        await poller.watch("one")
        tasks.start_soon(lambda: poller.wait("one", deadline=50_000))
        await anyio.sleep(90)
        if is_asked:
            source.pause.heed(3600)
        outcome = await anext(poller)
        tasks.cancel_scope.cancel()

    assert isinstance(outcome, PollFailed)
    assert 300 <= outcome.waited <= 365


async def test_a_pause_within_the_grace_costs_no_verdict(source):
    source.decides("one", "approved", after=90)

    async with ResultPoller(source, deadline=100, grace=3600) as poller:
        await poller.watch("one")
        await anyio.sleep(70)
        source.pause.heed(3000)
        outcome = await anext(poller)

    assert isinstance(outcome, Settled)


async def test_an_outage_in_which_hardly_anybody_is_looked_at_keeps_to_the_grace(source):
    names = [f"session-{number}" for number in range(200)]
    for name in names:
        source.lives(name, lambda age: DOWN if age > 10 else "in_progress")

    async with ResultPoller(source, deadline=100, grace=300, rate=None) as poller:
        await poller.watch_many(names)
        outcomes = [await anext(poller) for _ in names]

    assert {type(outcome) for outcome in outcomes} == {PollFailed}
    assert max(outcome.waited for outcome in outcomes) <= 100 + 300 + 15


async def test_a_refused_account_ends_no_watch_however_long(source):
    taken = []
    source.lives("one", lambda age: REFUSED if 20 < age < 9000 else "in_progress")
    source.lives("other", lambda age: REFUSED if 20 < age < 9000 else "in_progress")

    async def keep(delivery):
        taken.append(delivery.outcome)

    poller = ResultPoller(source, deadline=100, grace=60)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, keep)
        await poller.watch_many(["one", "other"])
        await anyio.sleep(8000)
        assert not taken
        await anyio.sleep(2000)
        tasks.cancel_scope.cancel()

    assert [type(outcome) for outcome in taken] == [DeadlinePassed] * 2


async def test_those_for_whom_others_leave_no_room_are_given_up_after_the_grace(source):
    # The only place is taken for good, by somebody who shares the budget.
    budget = RateBudget(None, max_in_flight=1)
    await budget.acquire()

    async with ResultPoller(source, rate=budget, deadline=10, grace=120) as poller:
        await poller.watch("one")
        await anyio.sleep(100)
        await poller.watch("late", deadline=datetime.now(UTC) - timedelta(hours=1))
        outcome = await anext(poller)
        later = await anext(poller)

    assert (outcome.token, later.token) == ("one", "late")
    assert isinstance(outcome, PollFailed)
    assert 120 <= later.waited <= 135
    assert outcome.polls == 0
    assert outcome.last_error is None
    assert 130 <= outcome.waited <= 145
    assert "no status was seen" in outcome.explain()


async def test_a_machine_that_slept_gives_nobody_up(source):
    source.says("one", "approved")
    asleep = 0.0

    async with ResultPoller(source, deadline=10, grace=120) as poller:
        poller._core.engine._clock = Clock(lambda: asleep)
        await poller.watch("one")
        source.pause.heed(200)
        await anyio.sleep(100)
        asleep = 7200.0
        outcome = await anext(poller)

    assert isinstance(outcome, Settled)


async def test_an_event_loop_that_stood_still_gives_nobody_up(source, virtual_clock):
    source.says("one", "approved")

    async with ResultPoller(source, deadline=10, grace=120) as poller:
        await poller.watch("one")
        source.pause.heed(100)
        await anyio.sleep(50)
        virtual_clock.stall(7200)
        outcome = await anext(poller)

    assert isinstance(outcome, Settled)


async def test_who_is_let_go_unanswered_ends_nothing_for_others(source):
    source.decides("one", "approved", after=90)

    async with ResultPoller(source, deadline=None) as poller:
        await poller.watch("one")
        await anyio.sleep(60)
        source.pause.heed(300)
        with pytest.raises(WaitTimeoutError):
            await poller.wait("one", deadline=10)
        assert poller.stats().durations.censored == ()
        with pytest.raises(WaitTimeoutError):
            await poller.wait("other", deadline=10)
        assert len(poller.stats().durations.censored) == 1
        outcome = await anext(poller)

    assert isinstance(outcome, Settled)
