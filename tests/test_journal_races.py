"""What happens while the journal is being written, and comes first all the same."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio.abc import TaskGroup
from tenacity import wait_fixed

from identomat_async import (
    Delivery,
    JournalError,
    MemoryJournal,
    PollPolicy,
    RateBudget,
    ResultPoller,
    ServerError,
    SessionStatus,
    Settled,
    Until,
    WaitTimeoutError,
    sweep,
)
from tests.test_journal_poller import Handler, poller_of, running, stuck

DOWN = ServerError("down", status_code=500, retryable=True)


class Slow(MemoryJournal):
    """A journal on a disk that takes its time over one thing."""

    def __init__(self, slow: str) -> None:
        super().__init__()
        self._slow = slow
        self.began = anyio.Event()
        self.may_end = anyio.Event()

    async def watched(self, states, *, leave_notes):
        await super().watched(states, leave_notes=leave_notes)
        await self._end("watched")

    async def known(self, deliveries, *, at):
        await self._end("known")
        return await super().known(deliveries, at=at)

    async def refer(self, delivery, reference):
        await super().refer(delivery, reference)
        await self._end("refer")

    async def _end(self, what: str) -> None:
        if what == self._slow:
            self.began.set()
            await self.may_end.wait()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@asynccontextmanager
async def one_at_a_time(poller: ResultPoller, handler: object) -> AsyncGenerator[TaskGroup]:
    """Run a poller that hands over one at a time, and then end it as a cancel does."""
    run = partial(poller.run, handler, concurrency=1)
    async with anyio.create_task_group() as tasks:
        await tasks.start(run)
        yield tasks
        tasks.cancel_scope.cancel()


async def known_before(source, journal: MemoryJournal) -> str:
    """Let a session be decided and not accepted; return the id of its delivery."""
    source.decides("one", "approved", after=0)
    poller = poller_of(source, journal)
    async with running(poller, stuck):
        await poller.watch("one")
        await anyio.sleep(10)
    (entry,) = await journal.live()
    assert entry.delivery is not None
    return entry.delivery


@pytest.mark.parametrize("is_kept", [True, False])
async def test_watches_come_from_wherever_they_come(source, journal, is_kept):
    names = [f"session-{number}" for number in range(600)]

    async def people() -> AsyncGenerator[str]:
        for name in names:
            yield name

    poller = poller_of(source, journal if is_kept else None)
    await poller.watch_many(people())

    assert len(poller) == 600
    assert len(await journal.live()) == (600 if is_kept else 0)


async def test_a_wait_where_it_is_polled_is_resolved_there(source, journal):
    source.decides("one", "approved", after=5)
    poller = poller_of(source, journal)
    async with running(poller, stuck):
        assert (await poller.wait("one")).status is SessionStatus.APPROVED


async def test_a_review_that_only_a_wait_has_seen_is_not_written(source, journal):
    source.says("one", "manual_check")
    poller = poller_of(source, journal)
    with pytest.raises(WaitTimeoutError):
        await poller.wait("one", until=Until.DECIDED, deadline=5)

    assert await journal.live() == []


async def test_a_watch_written_in_the_moment_of_the_end_is_left_for_the_next(source):
    journal = Slow("watched")
    source.says("one", "in_progress")
    poller, following = poller_of(source, journal), poller_of(source, journal)
    async with anyio.create_task_group() as tasks:
        async with running(poller, stuck):
            tasks.start_soon(poller.watch, "one")
            await journal.began.wait()
        async with running(following, stuck):
            journal.may_end.set()
            await anyio.sleep(1)
            assert "one" in following
            assert len(following) == 1


async def test_a_session_watched_while_it_is_read_again_is_watched_after_that(source, journal):
    name, handler = await known_before(source, journal), Handler()
    source.says("one", DOWN, DOWN, DOWN, "approved")
    poller = poller_of(source, journal)
    async with running(poller, handler):
        await anyio.sleep(1.6)
        await poller.watch("one", reference="again")
        await anyio.sleep(60)

    assert [each.id == name for each in handler.taken] == [True, False]
    assert [each.reference for each in handler.taken] == [None, "again"]


async def test_notes_that_cannot_be_followed_now_are_followed_later(source):
    class Blind(MemoryJournal):
        failures = 3

        async def live(self, tokens=None):
            if tokens is not None and self.failures:
                self.failures -= 1
                raise JournalError("the disk cannot be read", reason="io", retryable=True)
            return await super().live(tokens)

    journal = Blind()
    source.says("one", "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    async with running(active, stuck), running(stand_by, stuck):
        await stand_by.watch("one")
        await anyio.sleep(1)
        assert "one" in active


async def test_who_has_left_is_not_polled_for_after_a_takeover(source, journal):
    source.says("one", "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    async with anyio.create_task_group() as outer:
        async with running(active, stuck):
            await outer.start(stand_by.run, stuck)
            await active.watch("one")
            with anyio.move_on_after(0.01):
                await stand_by.wait("one")
        await journal.discard("one", leave_notes=False)
        looks = len(source.looks)
        await anyio.sleep(10)
        assert stand_by.stats().role == "active"
        outer.cancel_scope.cancel()

    assert len(source.looks) == looks


async def test_what_waits_for_the_handler_can_be_discarded(source, journal):
    for name in ("one", "two"):
        source.decides(name, "approved", after=0)
    poller = poller_of(source, journal)
    async with one_at_a_time(poller, stuck):
        await poller.watch_many(["one", "two"])
        await anyio.sleep(5)
        (waiting,) = {entry.state.token for entry in await journal.live()} - {
            delivery.token for delivery in poller._core.outbox.unacked.values()
        }
        assert await poller.discard(waiting)
        assert len(poller) == 1

    assert waiting not in [entry.state.token for entry in await journal.live()]


async def test_what_is_discarded_while_it_is_written_is_not_handed_over(source):
    journal, handler = Slow("known"), Handler()
    source.decides("one", "approved", after=0)
    poller = poller_of(source, journal)
    async with running(poller, handler):
        await poller.watch("one")
        await journal.began.wait()
        assert await poller.discard("one")
        journal.may_end.set()
        await anyio.sleep(10)

    assert not handler.taken
    assert await journal.live() == []


async def test_what_another_has_discarded_meanwhile_is_not_handed_over(source):
    journal, handler = Slow("known"), Handler()
    source.decides("one", "approved", after=0)
    poller = poller_of(source, journal)
    async with running(poller, handler):
        await poller.watch("one")
        await journal.began.wait()
        await journal.discard("one", leave_notes=False)
        journal.may_end.set()
        await anyio.sleep(1)
        assert len(poller) == 0

    assert not handler.taken


async def test_a_drain_waits_for_what_is_being_written(source):
    journal, handler = Slow("known"), Handler()
    source.decides("one", "approved", after=0)
    poller = poller_of(source, journal)
    async with running(poller, handler), anyio.create_task_group() as tasks:
        await poller.watch("one")
        await journal.began.wait()
        tasks.start_soon(poller.drain)
        await anyio.sleep(1)
        assert not handler.taken
        journal.may_end.set()

    assert handler.tokens == ["one"]


async def test_an_outcome_taken_while_its_reference_is_written_keeps_the_old_one(source):
    journal, free, taken = Slow("refer"), anyio.Event(), []
    for name in ("first", "one"):
        source.decides(name, "approved", after=0)

    async def handle(delivery):
        taken.append((delivery.token, delivery.reference))
        await free.wait()

    poller = poller_of(source, journal)
    async with one_at_a_time(poller, handle) as tasks:
        await poller.watch("first")
        await anyio.sleep(5)
        await poller.watch("one", reference="old")
        await anyio.sleep(5)
        tasks.start_soon(lambda: poller.watch("one", reference="new"))
        await journal.began.wait()
        free.set()
        await anyio.sleep(1)
        journal.may_end.set()
        await anyio.sleep(1)

    assert taken == [("first", None), ("one", "old")]


async def test_a_pass_that_cannot_read_a_document_again_leaves_it_to_the_next(source, journal):
    name, handler = await known_before(source, journal), Handler()
    policy, rate = PollPolicy(wait=wait_fixed(60)), RateBudget(50)
    source.says("one", DOWN)
    assert await sweep(source, journal, handler, policy=policy, rate=rate) == 0
    source.says("one", "approved")
    assert await sweep(source, journal, handler, policy=policy, rate=rate) == 1

    (delivery,) = handler.taken
    assert (delivery.id, delivery.redelivered) == (name, True)
    assert isinstance(delivery.outcome, Settled)


async def test_a_pass_takes_a_rate_as_a_number(source, journal):
    await known_before(source, journal)

    assert await sweep(source, journal, Handler(), rate=None) == 1


async def test_of_two_outcomes_that_nobody_has_taken_the_last_is_handed_over(source, journal):
    source.decides("first", "approved", after=0)
    source.decides("one", "approved", after=0)
    free, taken = anyio.Event(), []

    async def handle(delivery):
        taken.append(delivery.token)
        await free.wait()

    poller = poller_of(source, journal)
    other = ResultPoller(source, journal=journal)
    async with one_at_a_time(poller, handle):
        await poller.watch("first")
        await anyio.sleep(5)
        await poller.watch("one")
        await anyio.sleep(5)
        # Another process begins a second watch, before anybody has taken the first outcome.
        await other.watch("one")
        await anyio.sleep(60)
        free.set()
        await anyio.sleep(5)

    assert taken == ["first", "one"]
    assert await journal.live() == []


# What is cut off, or fails, between the journal and the poller


class Flaky(MemoryJournal):
    """A journal of which something fails once."""

    failing = ""

    def _check(self, name: str) -> None:
        if self.failing == name:
            self.failing = ""
            raise JournalError("the disk cannot be read for a moment", reason="io", retryable=True)

    async def live(self, tokens=None):
        if tokens is None:
            self._check("live")
        return await super().live(tokens)

    async def reopen(self, delivery):
        self._check("reopen")
        await super().reopen(delivery)


async def test_who_cannot_read_what_it_would_take_over_does_not_hold_it(source):
    journal = Flaky()
    source.decides("one", "approved", after=30)
    handler = Handler()
    first, second = poller_of(source, journal), poller_of(source, journal)

    async with anyio.create_task_group() as tasks:
        async with running(first, stuck):
            await tasks.start(second.run, handler)
            await first.watch("one")
            await anyio.sleep(5)
            journal.failing = "live"
        await anyio.sleep(60)
        assert second.stats().role == "active"
        tasks.cancel_scope.cancel()

    assert handler.tokens == ["one"]


async def test_a_run_that_cannot_read_its_journal_leaves_it_to_others(source):
    journal = Flaky()
    journal.failing = "live"
    with pytest.raises(JournalError):
        await poller_of(source, journal).run(stuck)
    assert await journal.acquire()


async def test_a_watch_after_somebody_elses_discard_stands(source, journal):
    source.says("one", "in_progress")
    first, second = poller_of(source, journal), poller_of(source, journal)

    async with running(first, stuck), running(second, stuck):
        await first.watch("one")
        await anyio.sleep(5)
        assert await second.discard("one")
        await first.watch("one")
        await anyio.sleep(1)
        seen = len(source.looks)
        await anyio.sleep(10)
        assert "one" in first

    assert len(source.looks) - seen >= 5


@pytest.mark.parametrize("how", ["watch", "reconcile"])
async def test_a_call_that_is_cut_off_leaves_nobody_unwatched(source, journal, how):
    source.decides("one", "approved", after=0)
    handler = Handler()
    poller = poller_of(source, journal)

    async with running(poller, handler):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await (poller.watch("one") if how == "watch" else poller.reconcile(["one"]))
        assert len(await journal.live()) == 1
        await anyio.sleep(10)

    assert handler.tokens == ["one"]


async def test_an_outcome_that_cannot_be_taken_back_is_given(source):
    journal, given = Flaky(), list[Delivery]()
    for name in ("first", "one"):
        source.says(name, "manual_check")
    gate = anyio.Event()

    async def slow(delivery: Delivery) -> None:
        given.append(delivery)
        await gate.wait()

    poller = poller_of(source, journal)
    async with one_at_a_time(poller, slow):
        await poller.watch("first")
        await anyio.sleep(10)
        await poller.watch("one")
        await anyio.sleep(10)
        assert poller.stats().buffered == 1
        journal.failing = "reopen"
        with pytest.raises(JournalError):
            await poller.watch("one", until=Until.DECIDED)
        gate.set()
        await anyio.sleep(10)

    assert [each.token for each in given] == ["first", "one"]
    assert given[1].redelivered


async def test_who_is_watched_again_and_nudged_while_it_is_read_again_is_looked_at_then(source):
    journal = Slow("")
    await known_before(source, journal)
    journal._slow = "known"
    source.says("one", "approved", "in_progress")
    active, stand_by = (
        ResultPoller(source, journal=journal, wait=wait_fixed(1000), deadline=None) for _ in "ab"
    )
    before = len(source.looks)
    async with running(active, Handler()):
        await journal.began.wait()
        await stand_by.watch("one")
        stand_by.nudge("one")
        await anyio.sleep(1)
        looks = len(source.looks)
        journal.may_end.set()
        await anyio.sleep(60)

    assert looks - before == 1
    # The first look comes soon anyway; those after it are the nudge's.
    assert len(source.looks) - looks > 1
