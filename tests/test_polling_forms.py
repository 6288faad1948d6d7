"""The forms of waiting beside and after one another: hosts, blocks, runs, and who leaves them."""

import asyncio
import functools
import tracemalloc
from collections import Counter
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint
from tenacity import wait_fixed

from identomat_async import (
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    RateBudget,
    ResultPoller,
    ServerError,
    SessionStatus,
    Settled,
    Until,
    WaitTimeoutError,
)

DOWN = ServerError("down", status_code=500, retryable=True)


def names(count: int) -> list[str]:
    return [f"session-{number}" for number in range(count)]


class Handler:
    """Keeps what it is given, and refuses it while it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.taken: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.taken.append(delivery)
        if self.refuses:
            raise LookupError

    @property
    def tokens(self) -> list[str]:
        return [delivery.token for delivery in self.taken]


async def settle(poller: ResultPoller, tokens: list[str]) -> None:
    """Have the outcomes of *tokens* lie there with nobody to take them."""
    async with poller:
        await poller.watch_many(tokens)
        while poller.stats().buffered < len(tokens):
            await anyio.sleep(1)


async def drained(poller: ResultPoller) -> list[Any]:
    return [outcome async for outcome in poller]


# Waiters


async def test_waiters_that_leave_one_after_the_other_hand_the_polling_on(source):
    for number, name in enumerate(names(10)):
        source.decides(name, "approved", after=100 * (number + 1))
    poller = ResultPoller(source)
    ended: list[str] = []
    scopes = {name: anyio.CancelScope() for name in names(10)}

    async def wait(name: str) -> None:
        with scopes[name]:
            await poller.wait(name)
            ended.append(name)

    async with anyio.create_task_group() as tasks:
        for name in names(10):
            tasks.start_soon(wait, name)
            await anyio.sleep(0.1)
        for name in names(10)[::2]:
            await anyio.sleep(30)
            scopes[name].cancel()

    assert ended == names(10)[1::2]
    assert not source.in_flight
    assert len(poller) == 0


async def test_a_wait_that_times_out_leaves_the_polling_to_the_next(source):
    source.says("never", "in_progress")
    source.decides("late", "approved", after=900)
    poller = ResultPoller(source)
    results: list[Any] = []

    async def give_up() -> None:
        with pytest.raises(WaitTimeoutError):
            await poller.wait("never", deadline=50)

    async def wait() -> None:
        results.append(await poller.wait("late"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        await anyio.sleep(1)
        tasks.start_soon(wait)

    assert [result.status for result in results] == [SessionStatus.APPROVED]


async def test_many_waiters_for_one_session_share_its_looks(source):
    source.decides("one", "approved", after=300)
    poller = ResultPoller(source)
    results: list[Any] = []

    async def wait() -> None:
        results.append(await poller.wait("one"))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(wait)

    assert len(results) == 50
    assert len(source.looks) < 100


async def test_watches_are_polled_while_somebody_waits_and_come_in_the_block(source):
    source.decides("watched", "approved", after=0)
    source.decides("awaited", "approved", after=300)
    poller = ResultPoller(source)

    await poller.watch("watched")
    await poller.wait("awaited")
    looks = len(source.looks)
    await anyio.sleep(1000)
    assert len(source.looks) == looks
    async with poller:
        outcomes = await drained(poller)

    assert [outcome.token for outcome in outcomes] == ["watched"]
    assert len(source.looks) == looks


@pytest.mark.parametrize("form", ["block", "run"])
async def test_a_form_takes_the_polling_over_and_gives_it_back(source, form):
    source.decides("one", "approved", after=1000)
    poller = ResultPoller(source)
    results: list[Any] = []

    async def wait() -> None:
        results.append(await poller.wait("one"))

    async def use() -> None:
        if form == "run":
            await poller.run(Handler())
        async with poller:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(1)
        for _ in range(3):
            with anyio.move_on_after(100):
                await use()
            await anyio.sleep(50)

    assert len(results) == 1
    at = [at for at, _, _ in source.looks]
    assert max(later - sooner for sooner, later in pairwise(at)) < 70


async def test_a_form_cancelled_while_it_takes_over_leaves_the_host_in_place(source):
    source.decides("one", "approved", after=500)
    poller = ResultPoller(source)
    results: list[Any] = []

    async def wait() -> None:
        results.append(await poller.wait("one"))

    async def enter() -> None:
        async with poller:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(1)
        for _ in range(5):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await enter()
            await checkpoint()

    assert len(results) == 1


async def test_a_watch_keeps_its_own_deadline_beside_a_longer_wait(source):
    source.says("one", "in_progress")
    poller = ResultPoller(source, wait=wait_fixed(400))

    async with anyio.create_task_group() as tasks, poller:
        tasks.start_soon(functools.partial(give_up_after, poller, 3000))
        await anyio.sleep(10)
        await poller.watch("one", deadline=60)
        (first,) = await drained(poller)
        await poller.watch("one", deadline=0)
        (second,) = await drained(poller)
        await poller.watch("one", deadline=100)
        await poller.watch("one", deadline=500)
        (third,) = await drained(poller)

    assert {type(first), type(second), type(third)} == {DeadlinePassed}
    assert 60 <= first.waited <= 60.1
    assert second.waited <= 0.1
    assert 500 <= third.waited <= 500.1


async def give_up_after(poller: ResultPoller, deadline: float) -> None:
    with pytest.raises(WaitTimeoutError):
        await poller.wait("one", deadline=deadline)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
class TestNativeCancellation:
    """What only asyncio has: a task that is cancelled from outside, and at any place."""

    @pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13])
    async def test_the_next_waiter_hosts_when_the_task_of_the_host_is_cancelled(
        self, source, after
    ):
        source.latency = 1.0
        source.decides("one", "approved", after=1000)
        source.decides("two", "approved", after=60)
        poller = ResultPoller(source)

        host = asyncio.create_task(poller.wait("one"))
        await anyio.sleep(0.7)
        other = asyncio.create_task(poller.wait("two"))
        await asyncio.sleep(0.3)
        for _ in range(after):
            await asyncio.sleep(0)
        host.cancel()
        result = await other

        assert result.status is SessionStatus.APPROVED
        assert host.cancelled()
        assert not source.in_flight

    async def test_a_block_is_left_by_a_cancel_of_its_task_and_entered_again(self, source):
        source.latency = 1.0
        for name in names(20):
            source.decides(name, "approved", after=0)
        poller = ResultPoller(source)
        outcomes: list[Any] = []

        async def iterate() -> None:
            async with poller:
                async for outcome in poller:
                    outcomes.append(outcome.token)  # noqa: PERF401 - each as it comes

        await poller.watch_many(names(20))
        for number in range(100):
            task = asyncio.create_task(iterate())
            await asyncio.sleep(0.25 * (number % 9))
            task.cancel()
            await asyncio.wait([task])
        await iterate()

        assert Counter(outcomes) == Counter(names(20))

    async def test_a_run_is_ended_by_a_cancel_of_its_task_and_begun_again(self, source):
        source.latency = 1.0
        for name in names(20):
            source.decides(name, "approved", after=0)
        poller, handler = ResultPoller(source), Handler()

        await poller.watch_many(names(20))
        for number in range(100):
            task = asyncio.create_task(poller.run(handler))
            await asyncio.sleep(0.25 * (number % 9))
            task.cancel()
            await asyncio.wait([task])
        with anyio.move_on_after(100):
            await poller.run(handler)

        assert Counter(handler.tokens) == Counter(names(20))


# The block


async def test_breaking_out_goes_on_where_it_left_off(source):
    for name in names(9):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    outcomes: list[str] = []

    async def take(count: int) -> None:
        async for outcome in poller:
            outcomes.append(outcome.token)
            if len(outcomes) == count:
                break

    await poller.watch_many(names(9))
    async with poller:
        await take(2)
        await anyio.sleep(100)
        await take(5)
    assert len(poller) == 4
    await anyio.sleep(100)
    async with poller:
        await take(9)
        assert await drained(poller) == []

    assert Counter(outcomes) == Counter(names(9))


async def test_a_consumer_that_raises_loses_no_outcome_but_the_one_it_was_given(source):
    for name in names(9):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    outcomes: list[str] = []

    async def consume() -> None:
        async with poller:
            async for outcome in poller:
                outcomes.append(outcome.token)
                raise LookupError(outcome.token)

    await poller.watch_many(names(9))
    for _ in range(9):
        with pytest.raises(LookupError) as caught:
            await consume()
        assert caught.value.args == (outcomes[-1],)
        assert caught.value.__context__ is None

    assert Counter(outcomes) == Counter(names(9))
    assert len(poller) == 0


async def test_a_cancel_between_two_outcomes_loses_none(source):
    source.latency = 0.5
    for name in names(60):
        source.decides(name, "approved", after=0)
    outcomes: list[str] = []

    async with ResultPoller(source) as poller:
        await poller.watch_many(names(60))
        while len(poller):
            with anyio.move_on_after(0.1):
                async for outcome in poller:
                    outcomes.append(outcome.token)  # noqa: PERF401 - each as it comes

    assert Counter(outcomes) == Counter(names(60))


def stall(backend: str, span: float) -> None:
    """Have the event loop be late."""
    if backend == "trio":
        trio.lowlevel.current_clock().jump(span)
    else:
        asyncio.get_running_loop().skipped += span


async def test_leaving_in_the_very_moment_a_session_is_due_loses_nothing(
    source, anyio_backend_name
):
    budget = RateBudget(None, max_in_flight=5)
    source.says("one", "in_progress")
    poller = ResultPoller(source, rate=budget, deadline=None)

    await poller.watch("one")
    for _ in range(20):
        with anyio.CancelScope() as scope:
            async with poller:
                await anyio.sleep(60)
                poller.nudge("one")
                stall(anyio_backend_name, 0.1)
                scope.cancel()
                await anyio.sleep(1)
    source.says("one", "approved")
    async with poller:
        with anyio.fail_after(1000):
            outcomes = await drained(poller)

    assert [outcome.token for outcome in outcomes] == ["one"]
    assert budget.in_flight == 0


async def test_a_session_discarded_in_line_for_its_confirming_read_is_asked_no_more(source):
    source.says("one", "approved")
    source.budget = RateBudget(1, max_in_flight=5)

    async with ResultPoller(source) as poller:
        await poller.watch("one", deadline=0)
        await anyio.sleep(0.5)
        assert len(source.looks) == 1
        source.pause.heed(100)
        await poller.discard("one")
        await anyio.sleep(1000)

    assert len(source.looks) == 1
    assert source.budget.in_flight == 0


# The service form


async def test_what_a_handler_refuses_still_counts_as_watched(source):
    source.decides("one", "approved", after=0)
    handler = Handler(refuses=True)
    poller = ResultPoller(source)

    with anyio.move_on_after(100):
        await poller.watch("one")
        await poller.run(handler)

    assert "one" in poller
    assert len(poller) == 1
    assert await poller.discard("one")
    assert "one" not in poller
    assert len(poller) == 0


async def test_a_handler_that_refuses_everything_is_the_slowest_consumer_there_is(source):
    for name in [*names(500), "awaited"]:
        source.decides(name, "approved", after=0)
    handler = Handler(refuses=True)
    poller = ResultPoller(source, buffer=20, rate=None, max_in_flight=5)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch_many(names(500))
        await anyio.sleep(3600)
        stats = poller.stats()
        result = await poller.wait("awaited", deadline=10)
        handler.refuses = False
        await anyio.sleep(3600)
        tasks.cancel_scope.cancel()

    assert stats.limited_by == "consumer"
    assert 20 <= stats.unacked + stats.buffered <= 20 + 8 + 5
    assert result.status is SessionStatus.APPROVED
    assert set(handler.tokens) == set(names(500))
    assert len({delivery.id for delivery in handler.taken}) == 500
    assert len(poller) == 0


async def test_those_the_handler_has_in_hand_take_no_room(source):
    for name in names(8):
        source.decides(name, "approved", after=0)
    active: list[str] = []

    async def slow(delivery: Delivery) -> None:
        active.append(delivery.token)
        await anyio.sleep(1000)

    with anyio.move_on_after(900):
        poller = ResultPoller(source, buffer=1)
        await poller.watch_many(names(8))
        await poller.run(slow, concurrency=8)

    assert len(active) == 8


async def test_an_outcome_discarded_before_its_handler_is_called_is_never_handed_over(source):
    for name in names(2):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    seen: list[str] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.token)
        (other,) = set(names(2)) - {delivery.token}
        await poller.discard(other)

    await settle(poller, names(2))
    with anyio.move_on_after(1000):
        await poller.run(handle)

    assert len(seen) == 1
    assert len(poller) == 0


async def test_a_refused_one_discarded_before_it_is_tried_again_is_not(source):
    for name in names(2):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    seen: list[str] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.token)
        if len(seen) == 3:
            (other,) = set(names(2)) - {delivery.token}
            await poller.discard(other)
        elif len(seen) < 3:
            raise LookupError

    await settle(poller, names(2))
    with anyio.move_on_after(1000):
        await poller.run(handle)

    assert len(seen) == 3
    assert len(poller) == 0


async def test_a_session_watched_again_before_its_handler_is_called_has_one_outcome(source):
    for name in names(2):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    seen: list[tuple[str, str | None]] = []

    async def handle(delivery: Delivery) -> None:
        seen.append((delivery.token, delivery.reference))
        (other,) = set(names(2)) - {delivery.token}
        if len(seen) == 1:
            await poller.watch(other, reference="the last word")

    await settle(poller, names(2))
    with anyio.move_on_after(1000):
        await poller.run(handle)

    assert Counter(token for token, _ in seen) == Counter(names(2))
    assert seen[1][1] == "the last word"


async def test_accepting_an_outcome_leaves_the_watch_begun_meanwhile(source):
    source.lives("hard", lambda age: "manual_check" if age < 500 else "approved")
    poller = ResultPoller(source)
    seen: list[tuple[SessionStatus | None, bool]] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.outcome.status is SessionStatus.MANUAL_CHECK:
            await poller.watch(delivery.token, until=Until.DECIDED)
        seen.append((delivery.outcome.status, delivery.redelivered))
        if len(seen) == 1:
            raise LookupError

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handle)
        await poller.watch("hard")
        await anyio.sleep(100)
        assert len(poller) == 1
        await anyio.sleep(1000)
        tasks.cancel_scope.cancel()

    review, decided = SessionStatus.MANUAL_CHECK, SessionStatus.APPROVED
    assert seen == [(review, False), (review, True), (decided, False)]
    assert len(poller) == 0


async def test_a_session_may_be_discarded_and_watched_anew_inside_its_handler(source):
    source.says("one", "rejected", "rejected", "approved")
    poller = ResultPoller(source)
    seen: list[SessionStatus | None] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.outcome.status)
        if len(seen) == 1:
            assert await poller.discard("one")
            await poller.watch("one")
            raise LookupError

    with anyio.move_on_after(1000):
        await poller.watch("one")
        await poller.run(handle)

    assert seen == [SessionStatus.REJECTED, SessionStatus.APPROVED]


# Draining


async def test_draining_before_the_run_has_begun_does_not_spoil_it(source):
    source.decides("one", "approved", after=0)
    poller, handler = ResultPoller(source), Handler()

    await poller.watch("one")
    await poller.drain()
    with anyio.move_on_after(100):
        await poller.run(handler)

    assert handler.tokens == ["one"]


async def test_draining_inside_the_handler_ends_the_run_when_the_handler_is_done(source):
    for name in names(5):
        source.decides(name, "approved", after=0)
    poller = ResultPoller(source)
    ended: list[str] = []

    async def handle(delivery: Delivery) -> None:
        before = anyio.current_time()
        await poller.drain(60)
        assert anyio.current_time() == before
        await anyio.sleep(10)
        ended.append(delivery.token)

    await settle(poller, names(5))
    before = anyio.current_time()
    await poller.run(handle, concurrency=2)

    assert Counter(ended) == Counter(names(5))
    assert anyio.current_time() - before == pytest.approx(30, abs=0.1)
    assert len(poller) == 0


async def test_what_a_handler_has_called_may_drain_as_well(source):
    source.decides("one", "approved", after=0)
    poller = ResultPoller(source)

    async def handle(_: Delivery) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.drain, 60)

    await poller.watch("one")
    with anyio.fail_after(60):
        await poller.run(handle)

    assert len(poller) == 0


async def test_a_task_that_outlives_the_handler_drains_as_anybody_does(source):
    source.decides("one", "approved", after=0)
    source.says("open", "in_progress")
    poller = ResultPoller(source)
    drained_at: list[bool] = []

    async with anyio.create_task_group() as tasks:
        run = anyio.Event()

        async def drain() -> None:
            await anyio.sleep(100)
            await poller.drain()
            drained_at.append(run.is_set())

        async def handle(_: Delivery) -> None:
            tasks.start_soon(drain)

        await poller.watch_many(["one", "open"])
        await poller.run(handle)
        run.set()

    assert drained_at == [True]


async def test_a_handler_may_drain_another_poller_and_waits_for_it(source):
    for name in names(2):
        source.decides(name, "approved", after=0)
    one, two = ResultPoller(source), ResultPoller(source)
    order: list[str] = []

    async def slow(_: Delivery) -> None:
        await anyio.sleep(20)
        order.append("two has accepted")

    async def handle(_: Delivery) -> None:
        await two.drain(60)
        order.append("two is drained")

    await settle(one, names(1))
    await settle(two, names(2)[1:])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(two.run, slow)
        await anyio.sleep(1)
        with anyio.move_on_after(50):
            await one.run(handle)

    assert order == ["two has accepted", "two is drained"]


async def test_everybody_who_drains_returns_when_the_run_does(source):
    source.decides("one", "approved", after=0)
    poller = ResultPoller(source)
    ended: list[float] = []

    async def slow(_: Delivery) -> None:
        await anyio.sleep(3)

    async def drain() -> None:
        await poller.drain(10)
        ended.append(anyio.current_time())

    await settle(poller, ["one"])
    before = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.run, slow)
        await anyio.sleep(1)
        for _ in range(3):
            tasks.start_soon(drain)

    assert [round(at - before) for at in ended] == [3, 3, 3]


class TestPlainHandlers:
    """Worker threads are real, and so is the time."""

    @pytest.fixture
    def anyio_backend(self, real_time):
        return real_time

    async def test_a_plain_handler_may_drain_from_its_thread(self, source):
        source.decides("one", "approved", after=0)
        poller = ResultPoller(source)

        def handle(_: Delivery) -> None:
            anyio.from_thread.run(poller.drain, 60)

        await poller.watch("one", deadline=0)
        with anyio.fail_after(10):
            await poller.run(handle)

        assert len(poller) == 0


# Slow consumers, and memory


async def test_a_slow_iteration_holds_watches_back_and_nobody_who_waits(source):
    for name in names(40):
        source.decides(name, "approved", after=0)
    results: list[Any] = []
    poller = ResultPoller(source, buffer=4, rate=None, max_in_flight=2)

    async def wait(name: str) -> None:
        results.append(await poller.wait(name, deadline=30))

    async with anyio.create_task_group() as tasks, poller:
        await poller.watch_many(names(40))
        await anyio.sleep(300)
        looked = {name for _, name, _ in source.looks}
        held = [name for name in names(40) if name not in looked]
        for name in held[:10]:
            tasks.start_soon(wait, name)
        await anyio.sleep(5)
        assert len(results) == 10
        assert len({name for _, name, _ in source.looks}) == len(looked) + 10
        outcomes = await drained(poller)

    assert len(looked) <= 4 + 2
    assert Counter(outcome.token for outcome in outcomes) == Counter(names(40))
    assert all(isinstance(outcome, Settled) for outcome in outcomes)


async def test_watching_and_discarding_for_ever_leaves_nothing_behind(source):
    poller = ResultPoller(source)
    await poller.watch_many(names(100))

    async def come_and_go(rounds: int) -> None:
        for number in range(rounds):
            await poller.watch(f"guest-{number}", deadline=86400)
            poller.nudge(f"guest-{number}")
            await poller.discard(f"guest-{number}")

    await come_and_go(500)
    tracemalloc.start()
    await come_and_go(1000)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(poller) == 100
    assert grown < 150_000


async def test_leaving_a_block_with_everybody_due_starts_nothing_more(source):
    source.latency = 0.5
    for name in names(100):
        source.says(name, "in_progress")

    async def poll() -> None:
        async with ResultPoller(source, rate=None, wait=wait_fixed(0.5)) as poller:
            await poller.watch_many(names(100))
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poll)
        await anyio.sleep(10)
        looks = len(source.looks)
        tasks.cancel_scope.cancel()

    assert len(source.looks) - looks <= 1


@pytest.mark.parametrize("many", ["token", b"bytes", 5, None])
async def test_a_text_is_no_list_of_tokens(source, many):
    poller = ResultPoller(source)

    with pytest.raises(ConfigurationError, match="a list"):
        await poller.wait_all(many)
    with pytest.raises(ConfigurationError, match="a list"):
        await poller.watch_many(many)

    assert not source.looks
    assert len(poller) == 0
