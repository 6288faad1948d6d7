"""The poller with a journal: what a restart, a stand-by and a failing disk do to it."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import (
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    JournalError,
    MemoryJournal,
    PollFailed,
    PollState,
    ResultPoller,
    SessionGone,
    SessionInvalidError,
    SessionNotFoundError,
    SessionStatus,
    Settled,
    Until,
    WaitTimeoutError,
    Watch,
    events,
)
from tests._handlers import Handler


async def stuck(_: Delivery) -> None:
    await anyio.sleep_forever()


class Faltering(MemoryJournal):
    """A journal on a disk that is full now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    def _do(self, work):
        if self.is_full:
            raise JournalError("the disk is full", reason="full", retryable=True)
        return super()._do(work)


@asynccontextmanager
async def running(poller: ResultPoller, handler: object) -> AsyncGenerator[None]:
    """Run a poller for the length of a block, and then end it as a cancel does."""
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        yield
        tasks.cancel_scope.cancel()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def poller_of(source, journal, **keywords) -> ResultPoller:
    return ResultPoller(source, journal=journal, wait=wait_fixed(1), **keywords)


# Written down


async def test_everything_is_handed_over_once_and_nothing_is_left(source, journal):
    names = [f"session-{number}" for number in range(50)]
    for name in names:
        source.decides(name, "approved", after=3)
    handler = Handler()
    poller = poller_of(source, journal)

    async with running(poller, handler):
        await poller.watch_many(Watch(name, reference=f"user of {name}") for name in names)
        assert len(poller) == 50
        await anyio.sleep(100)
        assert len(poller) == 0

    assert Counter(handler.tokens) == Counter(names)
    assert handler.taken[0].reference == f"user of {handler.taken[0].token}"
    assert not any(delivery.redelivered for delivery in handler.taken)
    assert await journal.live() == []


async def test_what_is_watched_before_the_run_is_polled_in_it(source, journal):
    source.decides("one", "approved", after=0)
    handler = Handler()
    poller = poller_of(source, journal)
    await poller.watch("one", reference="user:7")
    assert "one" in poller
    assert len(poller) == 1

    async with running(poller, handler):
        await anyio.sleep(10)

    assert [delivery.reference for delivery in handler.taken] == ["user:7"]


async def test_a_watch_goes_on_in_the_next_process_on_its_own_terms(source, journal):
    source.says("one", "manual_check")
    first = poller_of(source, journal)
    async with running(first, stuck):
        await first.watch("one", until=Until.DECIDED, review=100, reference="user:7")
        await anyio.sleep(30)
    (entry,) = await journal.live()
    handler = Handler()

    async with running(poller_of(source, journal), handler):
        await anyio.sleep(120)

    assert entry.state.status is SessionStatus.MANUAL_CHECK
    (delivery,) = handler.taken
    assert isinstance(delivery.outcome, DeadlinePassed)
    assert delivery.reference == "user:7"
    # Counted from the review's beginning, which was in the first.
    assert delivery.outcome.waited == pytest.approx(100, abs=3)


async def test_nothing_is_written_for_a_look_that_changes_nothing(source):
    written = []

    class Counting(MemoryJournal):
        async def _write(self, work):
            written.append(work)
            return await super()._write(work)

        async def _read(self, work):
            return self._do(work)

    source.says("one", "in_progress")
    poller = poller_of(source, Counting())
    async with running(poller, stuck):
        await poller.watch("one")
        before = len(written)
        await anyio.sleep(300)

    assert len(source.looks) > 250
    assert len(written) == before


# Delivered again


async def test_what_was_not_accepted_comes_again_with_the_same_id(source, journal):
    source.decides("one", "approved", after=0)
    first = poller_of(source, journal)
    given = []

    async def keep(delivery: Delivery) -> None:
        given.append(delivery)
        await anyio.sleep_forever()

    async with running(first, keep):
        await first.watch("one", reference="user:7")
        await anyio.sleep(10)
        looks = len(source.looks)
    handler = Handler()
    async with running(poller_of(source, journal), handler):
        await anyio.sleep(10)

    (again,) = handler.taken
    assert not given[0].redelivered
    assert (again.id, again.redelivered, again.attempt) == (given[0].id, True, 2)
    assert again.reference == "user:7"
    assert isinstance(again.outcome, Settled)
    assert again.outcome.result.person.personal_number == "of one"
    assert [fresh for _, _, fresh in source.looks[looks:]] == [True]
    assert await journal.live() == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("in_progress", DeadlinePassed),
        (SessionNotFoundError(verified=False), SessionGone),
        (SessionInvalidError(verified=False), PollFailed),
    ],
)
async def test_an_outcome_without_a_document_comes_again_without_a_look(
    source, journal, answer, kind
):
    source.says("one", answer)
    first, given = poller_of(source, journal), []

    async def keep(delivery: Delivery) -> None:
        given.append(delivery)
        await anyio.sleep_forever()

    async with running(first, keep):
        await first.watch("one", deadline=10)
        await anyio.sleep(200)
        looks = len(source.looks)
    handler = Handler()
    async with running(poller_of(source, journal), handler):
        await anyio.sleep(10)

    (again,) = handler.taken
    assert isinstance(again.outcome, kind)
    assert again.id == given[0].id
    before, after = given[0].outcome, again.outcome
    assert (after.polls, after.waited, after.status) == (
        before.polls,
        before.waited,
        before.status,
    )
    assert type(after.last_error) is type(before.last_error)
    assert len(source.looks) == looks


async def test_attempts_are_counted_over_restarts(source, journal):
    source.decides("one", "approved", after=0)
    first = poller_of(source, journal)
    async with running(first, Handler(failures=100)):
        await first.watch("one")
        await anyio.sleep(10)
    (entry,) = await journal.live()
    handler = Handler(failures=1)

    async with running(poller_of(source, journal), handler):
        await anyio.sleep(100)

    assert entry.handler_error == "LookupError"
    assert entry.attempts >= 3
    assert [delivery.attempt for delivery in handler.taken] == [
        entry.attempts + 1,
        entry.attempts + 2,
    ]
    assert len({delivery.id for delivery in handler.taken}) == 1


async def test_an_approval_never_silently_goes_back(source, journal, collect, caplog):
    source.decides("one", "approved", after=0)
    first = poller_of(source, journal)
    async with running(first, stuck):
        await first.watch("one")
        await anyio.sleep(10)
    source.says("one", "in_progress", "in_progress", "rejected")
    handler, seen = Handler(), collect()

    async with running(poller_of(source, journal, observers=[seen]), handler):
        await anyio.sleep(10)

    (delivery,) = handler.taken
    assert delivery.outcome.status is SessionStatus.REJECTED
    (told,) = seen.of(events.ResultReversed)
    assert (told.outcome, told.status) == ("Settled", "REJECTED")
    assert "was approved" in caplog.text


async def test_a_decided_session_is_not_given_up_for_its_old_deadline(source, journal):
    source.decides("one", "approved", after=0)
    first = poller_of(source, journal)
    async with running(first, stuck):
        await first.watch("one", deadline=20)
        await anyio.sleep(100)
    source.says("one", "in_progress", "in_progress", "in_progress", "approved")
    handler = Handler()

    async with running(poller_of(source, journal), handler):
        await anyio.sleep(60)

    assert [type(delivery.outcome) for delivery in handler.taken] == [Settled]


# Watching again


async def test_watching_again_inside_the_handler_is_not_ended_by_the_old_ack(source, journal):
    source.says("one", "manual_check")
    taken = []

    async def handle(delivery: Delivery) -> None:
        taken.append(delivery)
        if not delivery.outcome.final:
            await poller.watch("one", until=Until.DECIDED, reference="again")

    poller = poller_of(source, journal)
    async with running(poller, handle):
        await poller.watch("one", reference="first")
        await anyio.sleep(10)
        (entry,) = await journal.live()
        source.says("one", "approved")
        await anyio.sleep(400)

    assert entry.delivery is None
    assert [delivery.reference for delivery in taken] == ["first", "again"]
    assert len({delivery.id for delivery in taken}) == 2
    assert await journal.live() == []


async def test_two_generations_survive_a_restart_one_after_the_other(source, journal):
    source.says("one", "manual_check")
    first = poller_of(source, journal)

    async def watch_again_and_hang(_: Delivery) -> None:
        await first.watch("one", until=Until.DECIDED, reference="again")
        await anyio.sleep_forever()

    async with running(first, watch_again_and_hang):
        await first.watch("one", reference="first")
        await anyio.sleep(10)
    assert len(await journal.live()) == 2
    handler = Handler()
    second = poller_of(source, journal)
    async with running(second, handler):
        await anyio.sleep(10)
        assert [delivery.reference for delivery in handler.taken] == ["first"]
        source.says("one", "rejected")
        await anyio.sleep(400)

    assert [delivery.reference for delivery in handler.taken] == ["first", "again"]
    assert [delivery.redelivered for delivery in handler.taken] == [True, False]
    assert await journal.live() == []


async def test_the_same_session_watched_twice_is_one_row_with_the_wider_terms(source, journal):
    poller = poller_of(source, journal)
    await poller.watch("one", deadline=100, reference="first", review=10)
    await poller.watch("one", deadline=50, until=Until.DECIDED, review=5)

    (entry,) = await journal.live()
    assert entry.state.until is Until.DECIDED
    assert entry.state.reference == "first"
    assert entry.state.review == 10
    assert entry.state.deadline - entry.state.watched == pytest.approx(100)


async def full_outbox(poller: ResultPoller, source, names: list[str]) -> None:
    # The first is in the handler's hand, the others nobody has taken.
    for name in names:
        source.says(name, "manual_check")
        await poller.watch(name, reference="old")
        await anyio.sleep(5)


async def test_an_outcome_that_nobody_has_taken_gets_the_new_reference(source, journal):
    handed, go_on = [], anyio.Event()

    async def slow(delivery: Delivery) -> None:
        await go_on.wait()
        handed.append(delivery)

    poller = poller_of(source, journal)
    async with anyio.create_task_group() as tasks:
        await tasks.start(
            lambda task_status: poller.run(slow, concurrency=1, task_status=task_status)
        )
        await full_outbox(poller, source, ["one", "two"])
        await poller.watch("two", reference="new")
        await poller.watch("two")
        entries = await journal.live()
        go_on.set()
        await anyio.sleep(10)
        tasks.cancel_scope.cancel()

    assert [entry.state.reference for entry in entries] == ["old", "new"]
    assert [delivery.reference for delivery in handed] == ["old", "new"]


async def test_an_outcome_that_nobody_has_taken_gives_way_to_a_stricter_watch(source, journal):
    handed, go_on = [], anyio.Event()

    async def slow(delivery: Delivery) -> None:
        await go_on.wait()
        handed.append(delivery)

    poller = poller_of(source, journal)
    async with anyio.create_task_group() as tasks:
        await tasks.start(
            lambda task_status: poller.run(slow, concurrency=1, task_status=task_status)
        )
        await full_outbox(poller, source, ["one", "two"])
        await poller.watch("two", until=Until.DECIDED)
        entries = await journal.live()
        go_on.set()
        await anyio.sleep(10)
        assert len(handed) == 1
        source.says("two", "approved")
        await anyio.sleep(400)
        tasks.cancel_scope.cancel()

    assert [entry.outcome for entry in entries] == ["Settled", None]
    assert [delivery.outcome.status for delivery in handed] == ["MANUAL_CHECK", "APPROVED"]
    assert handed[1].reference == "old"


# Discarding


async def test_nothing_of_a_discarded_session_is_left_anywhere(source, journal):
    source.says("one", "in_progress")
    source.decides("two", "approved", after=0)
    handler = Handler(failures=100)
    poller = poller_of(source, journal)
    async with running(poller, handler):
        await poller.watch_many(["one", "two"])
        await anyio.sleep(0.9)
        assert await poller.discard("one")
        await anyio.sleep(1)
        assert await poller.discard("two")
        assert not await poller.discard("two")
        await anyio.sleep(100)

    assert set(handler.tokens) == {"two"}
    assert len(handler.taken) <= 2
    assert await journal.live() == []
    assert len(poller) == 0


# Reconciling


async def test_reconciling_adds_only_what_is_not_there(source, journal):
    for name in ("open", "lost", "held"):
        source.decides(name, "approved", after=0 if name == "held" else 60)
    poller = poller_of(source, journal)
    handler = Handler(failures=3)
    async with running(poller, handler):
        await poller.watch("open", deadline=100, reference="mine")
        await poller.watch("held")
        await anyio.sleep(2)
        added = await poller.reconcile(
            [Watch("open", deadline=500, reference="theirs"), "lost", "held"]
        )
        states = {entry.state.token: entry.state for entry in await journal.live()}
        await anyio.sleep(100)

    assert added == 1
    assert states["open"].reference == "mine"
    assert states["open"].deadline - states["open"].watched == pytest.approx(100)
    assert Counter(handler.tokens) == {"open": 1, "lost": 1, "held": 4}


async def test_reconciling_takes_many_from_wherever_they_come(source, journal):
    names = [f"session-{number}" for number in range(1200)]

    async def table() -> AsyncGenerator[str]:
        for name in [*names, *names]:
            yield name

    poller = poller_of(source, journal)
    assert await poller.reconcile(table()) == 1200
    assert await poller.reconcile(names) == 0
    with pytest.raises(ConfigurationError, match="list"):
        await poller.reconcile("session-1")

    assert len(await journal.live()) == 1200


async def test_reconciling_without_a_journal_adds_what_is_not_watched(source):
    source.says("open", "in_progress")
    poller = ResultPoller(source)
    await poller.watch("open")

    assert await poller.reconcile(["open", Watch("lost"), "lost"]) == 1
    assert len(poller) == 2


async def test_reconciling_before_the_run_is_kept_for_it(source, journal):
    source.decides("lost", "approved", after=0)
    poller, handler = poller_of(source, journal), Handler()

    assert await poller.reconcile(["lost"]) == 1
    async with running(poller, handler):
        await anyio.sleep(10)

    assert handler.tokens == ["lost"]


# Two pollers, one journal


async def test_a_stand_by_leaves_the_polling_to_the_other_and_takes_over(source, journal, collect):
    source.decides("one", "approved", after=200)
    seen = collect()
    first, second = poller_of(source, journal), poller_of(source, journal, observers=[seen])
    handlers = Handler(), Handler()
    async with anyio.create_task_group() as outer:
        async with running(second, handlers[1]):
            assert second.stats().role == "active"
            await outer.start(first.run, handlers[0])
            assert first.stats().role == "stand_by"
            assert first.stats().limited_by == "stand_by"
            await first.watch("one")
            assert "one" in first
            await anyio.sleep(0.25)
            assert "one" in second
        await anyio.sleep(1)
        assert first.stats().role == "active"
        await anyio.sleep(300)
        outer.cancel_scope.cancel()

    assert handlers[0].tokens == ["one"]
    assert not handlers[1].taken
    assert [told.role for told in seen.of(events.RoleChanged)] == ["active", "idle"]


async def test_what_a_stand_by_does_reaches_the_one_that_polls(source, journal):
    for name in ("one", "two"):
        source.says(name, "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    active = ResultPoller(source, journal=journal, wait=wait_fixed(1000))
    async with running(active, stuck), running(stand_by, stuck):
        await stand_by.watch_many(["one", "two"])
        await anyio.sleep(0.25)
        assert len(active) == 2
        await anyio.sleep(1200)
        looks = len(source.looks)

        assert stand_by.nudge("one")
        await anyio.sleep(0.25)
        assert [name for _, name, _ in source.looks[looks:]] == ["one"]

        assert await stand_by.discard("two")
        await anyio.sleep(0.25)
        assert len(active) == 1
        assert not await stand_by.discard("two")
        assert len(stand_by) == 1


async def test_what_is_watched_while_a_stand_by_asks_is_not_forgotten(source):
    class Slow(MemoryJournal):
        async def watching(self, tokens):
            found = await super().watching(tokens)
            await anyio.sleep(0.05)
            return found

    for name in ("one", "two"):
        source.says(name, "in_progress")
    journal = Slow()
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    async with running(active, stuck), running(stand_by, stuck):
        await stand_by.watch("one")
        await anyio.sleep(0.12)
        await stand_by.watch("two")
        await anyio.sleep(1)
        assert len(stand_by) == 2


async def test_a_stand_by_asks_for_a_few_at_a_time_and_forgets_what_has_ended(source):
    asked = []

    class Counting(MemoryJournal):
        async def watching(self, tokens):
            asked.append(len(tokens))
            return await super().watching(tokens)

    names = [f"session-{number}" for number in range(1200)]
    for name in names:
        source.decides(name, "approved", after=5)
    journal, handler = Counting(), Handler()
    active, stand_by = poller_of(source, journal, rate=None), poller_of(source, journal)
    async with running(active, handler), running(stand_by, stuck):
        await stand_by.watch_many(names)
        await anyio.sleep(3)
        assert len(stand_by) == 1200
        await anyio.sleep(60)
        assert len(stand_by) == 0

    assert Counter(handler.tokens) == Counter(names)
    assert max(asked) <= 500


async def test_a_stand_by_that_has_fewer_to_wait_for_leaves_them_to_the_other_still(
    source, journal
):
    names = [f"session-{number}" for number in range(300)]
    elsewhere = type(source)()
    for name in names:
        source.says(name, "in_progress")
        elsewhere.says(name, "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(elsewhere, journal, rate=10)
    async with running(active, stuck), running(stand_by, stuck):
        await stand_by.watch_many(names)
        await anyio.sleep(2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stand_by.wait_all, names[:3])
            with anyio.move_on_after(5):
                await stand_by.wait_all(names)
            await anyio.sleep(20)
            assert not elsewhere.looks
            planned = [stand_by._core.engine.planner.is_elsewhere(name) for name in names]
            assert planned == [True] * 3 + [False] * 297
            tasks.cancel_scope.cancel()


async def test_whoever_only_watches_keeps_nothing_that_has_ended(source, journal):
    names = [f"session-{number}" for number in range(499)]
    for name in names:
        source.decides(name, "approved", after=0)
    source.says("last", "in_progress")
    writer = poller_of(source, journal)
    await writer.watch_many(names)
    async with running(poller_of(source, journal, rate=None), Handler()):
        await anyio.sleep(10)

    await writer.watch("last")

    assert len(writer) == 1
    assert "last" in writer


async def test_a_wait_in_the_stand_by_resolves_without_polls_of_its_own(journal, source):
    source.decides("one", "approved", after=60)
    source.decides("two", "rejected", after=60)
    theirs = type(source)()
    theirs.says("one", "approved")
    theirs.says("two", "rejected")
    active, stand_by = poller_of(source, journal), poller_of(theirs, journal)
    handler = Handler()
    async with running(active, handler), running(stand_by, stuck):
        await stand_by.watch_many(["one", "two"])
        results = []

        async def wait() -> None:
            results.append(await stand_by.wait("one"))

        with anyio.fail_after(100):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                both = await stand_by.wait_all(["one", "two"])

    assert results[0].status is both["one"].status is SessionStatus.APPROVED
    assert both["two"].status is SessionStatus.REJECTED
    assert len(handler.taken) == 2
    # Only the documents were read.
    assert all(fresh for _, _, fresh in theirs.looks)
    assert len(theirs.looks) == 2


async def test_a_wait_in_the_stand_by_keeps_its_own_deadline(journal, source):
    source.says("one", "in_progress")
    theirs = type(source)()
    theirs.says("one", "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(theirs, journal)
    async with running(active, stuck), running(stand_by, stuck):
        await active.watch("one")
        with pytest.raises(WaitTimeoutError):
            await stand_by.wait("one", deadline=30)

    # The status, and then the document, at the deadline.
    assert theirs.times("one") == pytest.approx([0, 0], abs=0.1)


async def test_a_stand_by_that_looks_around_at_a_deadline_misses_it_for_nobody(journal, source):
    source.says("one", "in_progress")
    theirs = type(source)()
    theirs.says("one", "in_progress")
    active, stand_by = poller_of(source, journal), poller_of(theirs, journal)
    async with running(active, stuck), running(stand_by, stuck), anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(WaitTimeoutError):
                await stand_by.wait("one", deadline=30)

        await active.watch("one")
        tasks.start_soon(wait)
        await anyio.sleep(1)
        entry = stand_by._core.engine.roster.live["one"]
        # Half a millisecond before, when the deadline counts as passed already.
        await anyio.sleep(entry.due - 0.0005 - stand_by._core.engine.now())
        await stand_by._core.ledger._elsewhere.keep_up()

    assert len(theirs.looks) == 2


async def test_a_stand_by_polls_for_a_wait_what_nobody_else_does(journal, source):
    source.decides("one", "approved", after=30)
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    async with running(active, stuck), running(stand_by, stuck):
        waited = anyio.Event()

        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                assert (await stand_by.wait("one")).status.is_approved
                waited.set()

            tasks.start_soon(wait)
            await anyio.sleep(5)
            alone = len(source.looks)
            await active.watch("one")
            await anyio.sleep(0.5)
            both = len(source.looks)
            await anyio.sleep(10)
            with anyio.fail_after(60):
                await waited.wait()

    assert alone > 3
    # From then on one of the two looks.
    assert len([at for at in source.times("one") if 6 < at < 15]) <= 10
    assert both >= alone


async def test_a_wait_goes_on_when_the_stand_by_takes_over(journal, source):
    source.decides("one", "approved", after=100)
    active, stand_by = poller_of(source, journal), poller_of(source, journal)
    results = []

    async def wait() -> None:
        results.append(await stand_by.wait("one"))

    async with anyio.create_task_group() as outer:
        async with running(active, stuck):
            await outer.start(stand_by.run, stuck)
            await active.watch("one")
            outer.start_soon(wait)
            await anyio.sleep(10)
        with anyio.fail_after(200):
            while not results:
                await anyio.sleep(1)
        assert stand_by.stats().role == "active"
        outer.cancel_scope.cancel()

    assert results[0].status is SessionStatus.APPROVED


# A disk that is full


async def test_what_cannot_be_written_is_not_watched(source):
    journal = Faltering()
    source.says("one", "in_progress")
    poller = poller_of(source, journal)
    async with running(poller, stuck):
        journal.is_full = True
        with pytest.raises(JournalError, match="full"):
            await poller.watch("one")
        assert "one" not in poller
        journal.is_full = False
        await poller.watch("one")
        assert "one" in poller


async def test_nothing_is_handed_over_that_is_not_written_down(source, collect, caplog):
    journal, handler, seen = Faltering(), Handler(), collect()
    source.decides("one", "approved", after=5)
    poller = poller_of(source, journal, observers=[seen])
    async with running(poller, handler):
        await poller.watch("one")
        await anyio.sleep(2)
        journal.is_full = True
        await anyio.sleep(60)
        assert not handler.taken
        assert "one" in poller
        assert len(poller) == 1
        journal.is_full = False
        await anyio.sleep(31)

    assert handler.tokens == ["one"]
    assert len(seen.of(events.JournalFailed)) == 1
    assert caplog.text.count("nothing is handed over meanwhile") == 1
    assert "can be read and written again" in caplog.text


async def test_an_ack_that_cannot_be_written_is_insisted_on(source):
    journal, taken = Faltering(), []
    source.decides("one", "approved", after=0)

    async def handle(delivery: Delivery) -> None:
        taken.append(delivery)
        journal.is_full = True

    poller = poller_of(source, journal)
    async with running(poller, handle):
        await poller.watch("one")
        await anyio.sleep(60)
        assert len(poller) == 1
        journal.is_full = False
        await anyio.sleep(31)
        assert len(poller) == 0

    assert len(taken) == 1
    assert await journal.live() == []


async def test_a_journal_that_cannot_be_opened_ends_the_run(source):
    journal = Faltering()
    journal.is_full = True

    with pytest.raises(JournalError, match="full"):
        await poller_of(source, journal).run(stuck)


async def test_outcomes_that_pile_up_hold_the_polling_back(source):
    journal = Faltering()
    for number in range(20):
        source.decides(f"session-{number}", "approved", after=5)
    poller = poller_of(source, journal, buffer=5, max_in_flight=1)
    async with running(poller, Handler()):
        await poller.watch_many(f"session-{number}" for number in range(20))
        await anyio.sleep(3)
        journal.is_full = True
        await anyio.sleep(60)
        assert poller.stats().limited_by == "consumer"
        looks = len(source.looks)
        await anyio.sleep(60)
        assert len(source.looks) == looks
        journal.is_full = False
        await anyio.sleep(100)

    assert len(poller) == 0
    assert await journal.live() == []


# The clock, and the rate


@pytest.mark.parametrize("shift", [-3600, 3600])
async def test_a_clock_that_was_set_makes_no_burst_and_loses_nothing(source, journal, shift):
    names = [f"session-{number}" for number in range(100)]
    for name in names:
        source.decides(name, "approved", after=30)
    writer = poller_of(source, journal)
    then = datetime.now(UTC) + timedelta(seconds=shift)
    await writer.watch_many(Watch(name, begun=then, deadline=1800) for name in names)
    handler = Handler()

    async with running(poller_of(source, journal, rate=20), handler):
        await anyio.sleep(120)

    assert Counter(handler.tokens) == Counter(names)
    assert {type(delivery.outcome) for delivery in handler.taken} == {Settled}
    at = [at for at, _, _ in source.looks]
    assert max(sum(1 for later in at if start <= later < start + 1) for start in at) <= 21


@pytest.mark.thorough
@pytest.mark.parametrize("shift", [-3600, 3600])
async def test_a_journal_of_another_time_loses_nothing_and_makes_no_burst(source, journal, shift):
    # As if the machine's clock had been set while nobody ran.
    names = [f"session-{number}" for number in range(100)]
    now = datetime.now(UTC).timestamp() + shift
    for number, name in enumerate(names):
        source.says(name, "approved" if number % 2 else "in_progress")
    await journal.watched(
        [PollState(token=name, begun=now, watched=now, deadline=now + 600) for name in names],
        leave_notes=False,
    )
    handler = Handler()

    poller = ResultPoller(source, journal=journal, wait=wait_fixed(300), rate=20)
    async with running(poller, handler):
        await anyio.sleep(4400)

    assert Counter(handler.tokens) == Counter(names)
    kinds = Counter(type(delivery.outcome) for delivery in handler.taken)
    assert kinds == {Settled: 50, DeadlinePassed: 50}
    at = [at for at, _, _ in source.looks]
    seconds = Counter(int(each - at[0]) for each in at)
    assert max(seconds.values()) <= 21


async def test_a_handler_that_raises_five_times_gets_it_a_sixth_time(source, journal):
    source.decides("one", "approved", after=0)
    source.decides("two", "approved", after=0)
    failing, handler = Handler(failures=5), Handler()

    async def handle(delivery: Delivery) -> None:
        await (failing if delivery.token == "one" else handler)(delivery)

    poller = poller_of(source, journal)
    async with running(poller, handle):
        await poller.watch_many(["one", "two"])
        await anyio.sleep(20)
        assert handler.tokens == ["two"]
        (entry,) = await journal.live()
        await anyio.sleep(40)

    assert (entry.delivery, entry.handler_error) == (failing.taken[0].id, "LookupError")
    assert entry.attempts == 5
    assert [each.attempt for each in failing.taken] == [1, 2, 3, 4, 5, 6]
    assert [each.redelivered for each in failing.taken] == [False, *[True] * 5]
    assert len({each.id for each in failing.taken}) == 1
    # Not one look for a delivery that comes again.
    assert len(source.looks) == 4
    assert await journal.live() == []


async def test_all_that_is_live_is_looked_at_soon_after_a_restart_and_spread(source, journal):
    names = [f"session-{number}" for number in range(90)]
    for name in names:
        source.says(name, "in_progress")
    writer = poller_of(source, journal)
    await writer.watch_many(names)

    async with running(ResultPoller(source, journal=journal, rate=None), stuck):
        await anyio.sleep(2)

    assert {name for _, name, _ in source.looks} == set(names)
    slots = Counter(int((at - source.looks[0][0]) * 5) for at, _, _ in source.looks)
    assert max(slots.values()) <= 30


# Using it wrongly


async def test_a_poller_with_a_journal_is_not_iterated(source, journal):
    async with poller_of(source, journal) as poller:
        with pytest.raises(ConfigurationError, match="handler of `run`"):
            await anext(poller)


async def test_a_reference_that_cannot_be_written_is_refused_before_anything_is(source, journal):
    poller = poller_of(source, journal)

    with pytest.raises(ConfigurationError, match="UTF-8"):
        await poller.watch_many(["one", Watch("two", reference="\ud800")])
    assert await journal.live() == []


async def test_draining_writes_down_what_has_come(source, journal):
    source.decides("one", "approved", after=0)
    handler = Handler()
    poller = poller_of(source, journal)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one")
        while not handler.taken:
            await anyio.sleep(0.001)
        await poller.drain()

    assert await journal.live() == []
