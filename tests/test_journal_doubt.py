"""A journal that says it failed and did not, and what begins while something else is under way."""

import anyio
import pytest

from identomat_async import (
    Delivery,
    JournalError,
    MemoryJournal,
    ResultPoller,
    SessionResult,
    SessionStatus,
    Until,
    Watch,
    events,
)
from identomat_async._polling._journal import _sql as sql
from identomat_async._polling._journal._facts import Note
from identomat_async.testing._journal_ground import NOW, delivery_of, settled, state_of
from tests._handlers import Handler
from tests.conftest import document
from tests.test_journal_poller import poller_of, running, stuck
from tests.test_journal_races import one_at_a_time


def failure() -> JournalError:
    return JournalError("the disk cannot be written", reason="io", retryable=True)


class Doubtful(MemoryJournal):
    """A journal whose next writes take effect, and are reported as failures."""

    doubtful = ""
    full = False
    failures = 0

    async def _write(self, work):
        if self.full:
            raise failure()
        result = await super()._write(work)
        if self.doubtful and self.doubtful in str(work):
            self.doubtful = ""
            self.failures += 1
            raise failure()
        return result

    async def _read(self, work):
        return self._do(work)


async def test_a_verdict_whose_writing_was_said_to_have_failed_is_given(source):
    source.decides("one", "approved", after=5)
    journal, handler = Doubtful(), Handler()
    poller = poller_of(source, journal)

    async with running(poller, handler):
        await poller.watch("one")
        journal.doubtful = "function known"
        await anyio.sleep(20)
        assert len(poller) == 0

    assert journal.failures == 1
    assert handler.tokens == ["one"]
    assert await journal.live() == []


async def test_a_verdict_in_doubt_is_not_that_of_a_later_watch(source):
    source.decides("one", "approved", after=5)
    journal, handler = Doubtful(), Handler()
    poller, other = poller_of(source, journal), poller_of(source, journal)

    async with running(poller, handler):
        await poller.watch("one", reference="first")
        journal.doubtful = "function known"
        while not journal.failures:
            await anyio.sleep(0.01)
        await other.watch("one", reference="second")
        await anyio.sleep(60)

    assert [each.reference for each in handler.taken] == ["first", "second"]
    assert await journal.live() == []


async def test_notes_whose_taking_was_said_to_have_failed_are_followed(source):
    for name in ("one", "two"):
        source.says(name, "in_progress")
    journal = Doubtful()
    active, stand_by = poller_of(source, journal), poller_of(source, journal)

    async with running(active, stuck), running(stand_by, stuck):
        journal.doubtful = "function take_notes"
        await stand_by.watch("one")
        while not journal.failures:
            await anyio.sleep(0.01)
        # It gets the number of the note that is gone.
        await stand_by.watch("two")
        await anyio.sleep(0.25)
        assert len(active) == 2


async def test_only_what_failed_can_say_that_it_works_again(source, collect, caplog):
    source.decides("one", "approved", after=1)
    journal, handler, seen = Doubtful(), Handler(), collect()
    poller = poller_of(source, journal, observers=[seen])

    async with running(poller, handler):
        await poller.watch("one")
        journal.full = True
        await anyio.sleep(60)
        # All that time it could be read.
        assert "can be read and written again" not in caplog.text
        journal.full = False
        await anyio.sleep(31)

    assert handler.tokens == ["one"]
    assert len(seen.of(events.JournalFailed)) == 1
    assert caplog.text.count("can be read and written again") == 1


async def test_an_outcome_of_before_is_not_replaced_by_that_of_a_later_watch(source):
    source.says("one", "manual_check")
    journal = Doubtful()
    first = poller_of(source, journal)

    async def again_and_hang(_: Delivery) -> None:
        await first.watch("one", until=Until.DECIDED, reference="second")
        await anyio.sleep_forever()

    async with running(first, again_and_hang):
        await first.watch("one", reference="first")
        await anyio.sleep(10)
    assert len(await journal.live()) == 2
    source.says("one", "approved")
    handler, second = Handler(), poller_of(source, journal)

    async with running(second, handler):
        journal.full = True
        await anyio.sleep(3)
        journal.full = False
        # And whoever watches now waits for its turn.
        await second.watch("one", reference="third")
        await anyio.sleep(60)

    assert [each.reference for each in handler.taken] == ["first", "third"]
    assert [each.redelivered for each in handler.taken] == [True, False]
    assert await journal.live() == []


class Reopening(MemoryJournal):
    """A journal that fails, or hangs, at the second outcome that is to be a watch again."""

    count = 0
    hangs = False

    async def reopen(self, delivery):
        self.count += 1
        if self.count == 2:
            if not self.hangs:
                raise failure()
            await anyio.sleep_forever()
        await super().reopen(delivery)


@pytest.mark.parametrize("hangs", [False, True])
async def test_watches_of_which_some_were_taken_on_are_all_polled(source, hangs):
    names = ["first", "one", "two"]
    journal, given, gate = Reopening(), list[Delivery](), anyio.Event()
    journal.hangs = hangs
    for name in names:
        source.says(name, "manual_check")

    async def slow(delivery: Delivery) -> None:
        given.append(delivery)
        await gate.wait()

    poller = poller_of(source, journal)
    async with one_at_a_time(poller, slow):
        for name in names:
            await poller.watch(name)
            await anyio.sleep(10)
        with anyio.move_on_after(1) as scope:
            try:
                await poller.watch_many([Watch(each, until=Until.DECIDED) for each in names[1:]])
            except JournalError:
                assert not hangs
        assert scope.cancelled_caught == hangs
        gate.set()
        for name in names:
            source.says(name, "approved")
        await anyio.sleep(400)

    status = {each.token: each.outcome.status for each in given}
    assert status.keys() == set(names)
    assert status["one"] is SessionStatus.APPROVED


class Slow(MemoryJournal):
    """A big journal on a slow disk."""

    async def live(self, tokens=None):
        found = await super().live(tokens)
        if tokens is None:
            await anyio.sleep(0.3)
        return found

    async def watched(self, states, *, leave_notes):
        await super().watched(states, leave_notes=leave_notes)
        if leave_notes:
            await anyio.sleep(0.4)


async def test_what_is_watched_while_a_run_begins_is_deleted_after_its_delivery(source):
    deleted = []

    async def delete(token: str) -> SessionResult:
        deleted.append(token)
        return document(token, "approved")

    source.delete = delete
    source.decides("one", "approved", after=0)
    journal, handler = Slow(), Handler()
    poller = poller_of(source, journal, purge="after_delivery")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.run, handler)
        await anyio.sleep(0.1)
        await poller.watch("one")
        assert poller.stats().role == "active"
        assert "one" in poller
        await anyio.sleep(10)
        assert len(poller) == 0
        tasks.cancel_scope.cancel()

    assert handler.tokens == deleted == ["one"]
    assert await journal.live() == []


async def test_who_is_watched_again_is_not_deleted_for_the_watch_of_before(source):
    deleted = []

    async def delete(token: str) -> SessionResult:
        deleted.append(token)
        return document(token, "approved")

    source.delete = delete
    names = ["one", *(f"session-{number}" for number in range(1000))]
    for name in names:
        source.says(name, "in_progress")
    journal = MemoryJournal()
    first = poller_of(source, journal)
    second = poller_of(source, journal, purge="after_delivery")

    async with anyio.create_task_group() as tasks:
        async with running(first, stuck):
            await tasks.start(second.run, stuck)
            await journal.watched([state_of("one")], leave_notes=False)
            await journal.known([delivery_of(settled("one"))], at=NOW)
            await journal.accepted("id-of-one", at=NOW)
            # Far behind the others.
            later = [state_of(name) for name in [*names[1:], "one"]]
            await journal.watched(later, leave_notes=False)
        await anyio.sleep(5)
        assert second.stats().role == "active"
        tasks.cancel_scope.cancel()

    assert deleted == []
    assert [entry.accepted for entry in await journal.live(["one"])] == [True, False]


async def test_who_stands_by_and_ends_leaves_the_journal_to_the_one_that_polls(source):
    journal = MemoryJournal()
    async with running(poller_of(source, journal), stuck):
        async with running(poller_of(source, journal), stuck):
            pass
        assert not await journal.acquire()
    assert await journal.acquire()


async def test_who_is_watched_and_nudged_by_a_stand_by_is_looked_at_now(source):
    source.says("one", "in_progress")
    journal = MemoryJournal()
    active = ResultPoller(source, journal=journal)
    async with running(active, stuck):
        stand_by = poller_of(source, journal)
        await stand_by.watch("one")
        assert stand_by.nudge("one")
        await anyio.sleep(0.25)

    assert len(source.times("one")) == 1


@pytest.mark.parametrize(
    "damage", ["until = 'never'", "rest = '{'", "deadline = NULL", "token = 'no token!'"]
)
async def test_a_row_that_cannot_be_read_holds_up_nobody(source, caplog, damage):
    source.decides("two", "approved", after=0)
    journal, handler = MemoryJournal(), Handler()
    await poller_of(source, journal).watch_many(["one", "two"])
    assert journal._connection is not None
    journal._connection.execute(f"UPDATE session SET {damage} WHERE token = 'one'")  # noqa: S608

    async with running(poller_of(source, journal), handler):
        await anyio.sleep(10)

    assert handler.tokens == ["two"]
    assert "row 1 of the journal cannot be read" in caplog.text


async def test_a_row_that_cannot_be_read_is_discarded_and_nudged_as_others():
    journal = MemoryJournal()
    await journal.watched([state_of("one")], leave_notes=False)
    assert journal._connection is not None
    journal._connection.execute("UPDATE session SET until = 'never'")

    journal.nudge("one")
    assert await journal.discard("one", leave_notes=True)
    assert not await journal.discard("one", leave_notes=True)

    assert await journal.notes() == [Note("nudge", "one"), Note("discard", "one")]


@pytest.mark.parametrize("select", sql._LIVE)
async def test_what_is_finished_is_not_gone_through_for_what_is_live(select):
    journal = MemoryJournal()
    await journal.live()
    assert journal._connection is not None
    ((*_, plan),) = journal._connection.execute(f"EXPLAIN QUERY PLAN {select}")

    assert plan in ("SCAN session USING INDEX watching", "SCAN session USING INDEX unacked")
