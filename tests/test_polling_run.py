"""The poller as a service: handing outcomes to a function until it accepts them."""

import functools
import threading
from collections import Counter

import anyio
import pytest

from identomat_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    ResultPoller,
    SessionStatus,
    SignatureError,
    Until,
    events,
)
from identomat_async._polling._courier import Courier
from identomat_async._polling._outbox import Outbox
from tests._handlers import Handler

REFUSED = AuthenticationError("the key", status_code=401)


async def test_each_outcome_is_handed_over_once(source):
    names = [f"session-{number}" for number in range(50)]
    for name in names:
        source.decides(name, "approved", after=0)
    handler = Handler()
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        for name in names:
            await poller.watch(name, reference=f"user of {name}")
        await anyio.sleep(100)
        tasks.cancel_scope.cancel()

    assert Counter(handler.tokens) == Counter(names)
    assert handler.taken[0].reference == f"user of {handler.taken[0].token}"
    assert not any(delivery.redelivered for delivery in handler.taken)
    assert len({delivery.id for delivery in handler.taken}) == 50
    assert len(poller) == 0


async def test_a_handler_that_raises_gets_the_same_delivery_again(source, collect):
    source.decides("one", "approved", after=0)
    handler, told = Handler(failures=4), collect()
    poller = ResultPoller(source, observers=[told])

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one", deadline=0)
        await anyio.sleep(10)
        assert poller.stats().unacked == 1
        assert len(poller) == 1
        await anyio.sleep(20)
        tasks.cancel_scope.cancel()

    assert len({delivery.id for delivery in handler.taken}) == 1
    assert [delivery.attempt for delivery in handler.taken] == [1, 2, 3, 4, 5]
    assert [delivery.redelivered for delivery in handler.taken] == [False, True, True, True, True]
    assert poller.stats().handler_errors == 4
    assert poller.stats().unacked == 0
    assert told.of(events.HandlerFailed) == [
        events.HandlerFailed(token_hash="hash-of-one", error=error, attempt=attempt)
        for attempt, error in enumerate(["LookupError"] * 4, start=1)
    ]


async def test_a_failing_delivery_holds_nobody_up(source):
    source.decides("bad", "approved", after=0)
    source.decides("good", "approved", after=60)
    taken: list[str] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.token == "bad":
            raise LookupError
        taken.append(delivery.token)

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        await tasks.start(functools.partial(poller.run, handle, concurrency=1))
        await poller.watch_many(["bad", "good"])
        await anyio.sleep(2000)
        tasks.cancel_scope.cancel()

    assert taken == ["good"]
    assert 10 <= poller.stats().handler_errors <= 18


async def test_no_more_deliveries_at_a_time_than_asked_for(source):
    for name in "abcdefgh":
        source.decides(name, "approved", after=0)
    active: list[int] = []
    peaks: list[int] = []

    async def handle(_: Delivery) -> None:
        active.append(1)
        peaks.append(len(active))
        await anyio.sleep(60)
        active.pop()

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        await tasks.start(functools.partial(poller.run, handle, concurrency=3))
        await poller.watch_many(list("abcdefgh"))
        await anyio.sleep(1000)
        tasks.cancel_scope.cancel()

    assert max(peaks) == 3
    assert len(peaks) == 8


async def test_what_was_under_way_at_a_cancel_comes_again_in_the_next_run(source):
    source.decides("one", "approved", after=0)
    source.decides("two", "approved", after=0)
    seen: list[Delivery] = []

    async def stuck(delivery: Delivery) -> None:
        seen.append(delivery)
        await anyio.sleep_forever()

    poller = ResultPoller(source)
    await poller.watch_many(["one", "two"])
    with anyio.move_on_after(100):
        await poller.run(stuck, concurrency=1)
    assert len(poller) == 2
    handler = Handler()
    with anyio.move_on_after(100):
        await poller.run(handler)

    again = next(delivery for delivery in handler.taken if delivery.id == seen[0].id)
    assert again.redelivered
    assert sorted(handler.tokens) == ["one", "two"]


async def test_what_was_not_accepted_can_be_iterated(source):
    source.decides("one", "approved", after=0)
    poller = ResultPoller(source)

    await poller.watch("one")
    with anyio.move_on_after(100):
        await poller.run(Handler(failures=1000))
    async with poller:
        outcomes = [outcome async for outcome in poller]

    assert [outcome.token for outcome in outcomes] == ["one"]


async def test_watching_again_inside_the_handler_is_a_new_watch(source):
    source.lives("hard", lambda age: "manual_check" if age < 500 else "approved")
    seen: list[tuple[str, SessionStatus | None]] = []
    poller = ResultPoller(source)

    async def handle(delivery: Delivery) -> None:
        seen.append((delivery.id, delivery.outcome.status))
        if delivery.outcome.status is SessionStatus.MANUAL_CHECK:
            await poller.watch(delivery.token)
            await anyio.sleep(1)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handle)
        await poller.watch("hard")
        await anyio.sleep(1000)
        tasks.cancel_scope.cancel()

    assert seen[-1][1] is SessionStatus.APPROVED
    assert len({name for name, _ in seen}) == len(seen) > 2


async def test_nothing_is_handed_over_after_a_discard(source):
    source.decides("one", "approved", after=0)
    handler = Handler(failures=1)
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one")
        while not handler.taken:
            await anyio.sleep(0.2)
        assert await poller.discard("one")
        await anyio.sleep(1000)
        tasks.cancel_scope.cancel()

    assert len(handler.taken) == 1
    assert len(poller) == 0


async def test_a_session_discarded_while_the_handler_fails_is_not_tried_again(source):
    source.decides("one", "approved", after=0)
    poller = ResultPoller(source)
    taken: list[str] = []

    async def handle(delivery: Delivery) -> None:
        taken.append(delivery.token)
        await poller.discard(delivery.token)
        raise LookupError

    with anyio.move_on_after(1000):
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, handle)
            await poller.watch("one")

    assert taken == ["one"]


async def test_an_older_generation_is_not_forgotten_when_a_newer_one_is_taken_back(source):
    source.lives("hard", lambda age: "manual_check" if age < 200 else "in_progress")
    taken: list[tuple[str, str]] = []

    async def handle(delivery: Delivery) -> None:
        taken.append((delivery.id, type(delivery.outcome).__name__))
        if len(taken) == 1:
            raise LookupError

    poller = ResultPoller(source)
    await poller.watch("hard", deadline=0)
    with anyio.move_on_after(0.5):
        await poller.run(handle)
    poller._core.outbox.add(poller._core.outbox.unacked[taken[0][0]].outcome)
    await poller.watch("hard", until=Until.DECIDED, deadline=400)
    with anyio.move_on_after(1000):
        await poller.run(handle)

    assert taken[0] in taken[1:]


async def test_a_cancel_that_the_handler_lets_out_is_a_refusal():
    outbox = Outbox(5, has_room=lambda: None)
    refusals: list[object] = []
    seen: list[int] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(delivery.attempt)
        if len(seen) == 1:
            with anyio.CancelScope() as scope:
                scope.cancel()
                try:
                    await anyio.sleep(1)
                except BaseException as error:
                    lost = error
                    raise
            raise lost

    outbox.add(DeadlinePassed(token="one"))
    courier = Courier(handle, outbox=outbox, refused=lambda *it: refusals.append(it), concurrency=1)
    with anyio.move_on_after(100):
        await courier.run()

    assert seen == [1, 2]
    assert len(refusals) == 1
    assert not outbox.unacked


async def test_waits_work_beside_the_service(source):
    source.decides("one", "approved", after=100)
    handler = Handler()
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one")
        result = await poller.wait("one")
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()

    assert result.status.is_approved
    assert handler.tokens == ["one"]


async def test_a_refused_account_pauses_the_service_until_it_is_accepted(source, collect, caplog):
    accepted: list[bool] = []
    source.lives("one", lambda _: "approved" if accepted else REFUSED)
    handler, seen = Handler(), collect()
    poller = ResultPoller(source, deadline=None, observers=[seen])

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one")
        await anyio.sleep(3600)
        looks = len(source.looks)
        assert poller.stats().limited_by == "halted"
        accepted.append(True)
        await anyio.sleep(310)
        tasks.cancel_scope.cancel()

    assert 12 <= looks <= 17
    assert handler.tokens == ["one"]
    assert len(seen.of(events.Halted)) == len(seen.of(events.Resumed)) == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_client_that_is_closed_while_the_account_is_refused_ends_the_service(
    source, collect
):
    source.says("one", REFUSED)
    seen = collect()
    poller = ResultPoller(source, deadline=None, observers=[seen])
    await poller.watch("one")

    async def close() -> None:
        await anyio.sleep(100)
        assert poller.stats().limited_by == "halted"
        for guard in list(source.guards):
            guard.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        with anyio.fail_after(200), pytest.raises(ClientClosedError):
            await poller.run(Handler())

    assert [event.error for event in seen.of(events.Halted)] == [
        "AuthenticationError",
        "ClientClosedError",
    ]


async def test_a_refused_account_ends_the_service_if_asked_to(source):
    source.says("one", SignatureError("forged"))
    poller = ResultPoller(source)

    await poller.watch("one")
    with pytest.raises(SignatureError):
        await poller.run(Handler(), on_account_error="raise")

    assert len(source.looks) == 3
    assert len(poller) == 1


async def test_a_refused_account_is_raised_to_those_who_wait_beside_the_service(source):
    source.says("one", REFUSED)
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, Handler())
        with pytest.raises(AuthenticationError):
            await poller.wait("one")
        tasks.cancel_scope.cancel()


async def test_draining_hands_over_what_there_is_and_ends_the_run(source):
    source.decides("done", "approved", after=0)
    source.says("open", "in_progress")
    taken: list[str] = []

    async def slow(delivery: Delivery) -> None:
        await anyio.sleep(3)
        taken.append(delivery.token)

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, slow)
        await poller.watch_many(["done", "open"])
        while not poller.stats().unacked:
            await anyio.sleep(0.1)
        await poller.drain(10)
        assert taken == ["done"]
    looks = len(source.looks)
    await anyio.sleep(1000)

    assert len(source.looks) == looks
    assert len(poller) == 1


async def test_draining_waits_no_longer_than_its_grace(source):
    source.decides("done", "approved", after=0)

    async def stuck(_: Delivery) -> None:
        await anyio.sleep_forever()

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, stuck)
        await poller.watch("done")
        await anyio.sleep(100)
        start = anyio.current_time()
        await poller.drain(7)

    assert 7 <= anyio.current_time() - start < 7.1
    assert len(poller) == 1


async def test_draining_what_does_not_run_does_nothing(source):
    poller = ResultPoller(source)

    await poller.drain()

    assert len(poller) == 0


async def test_one_run_at_a_time(source):
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, Handler())
        with pytest.raises(ConfigurationError, match="already"):
            await poller.run(Handler())
        with pytest.raises(ConfigurationError, match="already"):
            await poller.__aenter__()
        with pytest.raises(ConfigurationError, match="handler"):
            await anext(poller)
        with pytest.raises(ConfigurationError, match="concurrency"):
            await poller.run(Handler(), concurrency=0)
        tasks.cancel_scope.cancel()


class TestPlainHandlers:
    """Worker threads are real, and so is the time."""

    @pytest.fixture
    def anyio_backend(self, real_time):
        return real_time

    async def test_a_plain_function_is_called_in_a_worker_thread(self, source):
        source.decides("one", "approved", after=0)
        threads: list[int] = []
        done = anyio.Event()
        portal = anyio.from_thread

        def handle(_: Delivery) -> None:
            threads.append(threading.get_ident())
            portal.run_sync(done.set)

        poller = ResultPoller(source)
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, handle)
            await poller.watch("one", deadline=0)
            with anyio.fail_after(10):
                await done.wait()
            tasks.cancel_scope.cancel()

        assert threads != [threading.get_ident()]

    async def test_a_plain_function_may_return_an_awaitable(self, source):
        source.decides("one", "approved", after=0)
        done = anyio.Event()

        async def finish() -> None:
            done.set()

        poller = ResultPoller(source)
        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, lambda _: finish())
            await poller.watch("one", deadline=0)
            with anyio.fail_after(10):
                await done.wait()
            tasks.cancel_scope.cancel()

        assert done.is_set()
