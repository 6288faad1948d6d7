"""What a poller says of itself and of one session when it is asked."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import PollerStats, ResultPoller, SessionStatus, errors
from identomat_async._polling._agenda import TICK, Agenda
from identomat_async._polling._entry import Entry
from identomat_async._polling._state import PollState
from identomat_async._polling._tally import Tally


async def test_a_session_is_shown_as_it_stands(source) -> None:
    source.says("a", "in_progress")
    begun = datetime.now(UTC) - timedelta(minutes=2)
    async with ResultPoller(source, wait=wait_fixed(10)) as poller:
        await poller.watch("a", reference="user:1", begun=begun, deadline=600)
        await anyio.sleep(11)
        shown = poller.session("a")

    assert shown is not None
    assert (shown.token, shown.reference) == ("a", "user:1")
    assert (shown.status, shown.last_error) == (SessionStatus.IN_PROGRESS, None)
    assert shown.polls in {1, 2}
    assert 0 < shown.next_look < 12
    assert abs(shown.begun - begun) < timedelta(seconds=1)
    assert shown.deadline is not None
    assert "user:1" not in repr(shown)


async def test_what_failed_and_what_is_under_way_can_be_seen(source) -> None:
    source.says("a", errors.ServerError("no"))
    source.latency = 1.0
    async with ResultPoller(source, wait=wait_fixed(10), deadline=None) as poller:
        await poller.watch("a")
        poller.nudge("a")
        await anyio.sleep(0.5)
        during = poller.session("a")
        await anyio.sleep(1)
        after = poller.session("a")

    assert during is not None
    assert (during.next_look, during.polls, during.deadline) == (0.0, 0, None)
    assert after is not None
    assert (after.status, after.polls) == (None, 1)
    assert isinstance(after.last_error, errors.ServerError)


async def test_nobody_is_shown_who_is_not_looked_at(source) -> None:
    source.says("a", "approved")
    async with ResultPoller(source) as poller:
        assert poller.session("a") is None
        await poller.watch("a")
        assert poller.session("a") is not None
        assert [outcome.token async for outcome in poller] == ["a"]
        assert poller.session("a") is None


async def test_another_thread_sees_the_figures_that_the_event_loop_sees(source) -> None:
    source.decides("a", "approved", after=5)
    source.says("b", errors.RateLimitedError("later", retry_after=600))
    poller = ResultPoller(source, wait=wait_fixed(2))

    def elsewhere() -> PollerStats:
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(poller.stats).result()

    async def refuse(_: object) -> None:
        raise LookupError

    assert elsewhere() == poller.stats()
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, refuse)
        await poller.watch_many(["a", "b"])
        await anyio.sleep(60)
        source.pause.heed(600)
        await anyio.sleep(10)
        stats = elsewhere()
        assert stats == poller.stats()
        assert (stats.watched, stats.unacked, stats.limited_by) == (1, 1, "paused")
        assert stats.oldest_unacked is not None
        assert stats.oldest_unacked > 10
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_where_no_event_loop_is_the_figures_are_there(backend, source, virtual_clock) -> None:
    poller = ResultPoller(source)
    source.says("a", "in_progress")

    async def use() -> None:
        async with poller:
            await poller.watch("a")
            poller.nudge("a")
            await anyio.sleep(1)

    assert (poller.stats().role, poller.stats().watched) == ("idle", 0)
    anyio.run(use, backend=backend, backend_options=virtual_clock.backend_options(backend))
    assert (poller.stats().role, poller.stats().watched) == ("idle", 1)
    assert poller.stats().last_answer_age is not None


def test_figures_may_be_asked_for_while_the_event_loop_changes_what_is_counted() -> None:
    tally, agenda = Tally(), Agenda[Entry]()
    entry = Entry(PollState(token="a", begun=0.0, watched=0.0, deadline=0.0))
    usual = sys.getswitchinterval()

    def ask() -> int:
        times = 0
        while entry.due < 4000:
            tally.figures(entry.due)
            agenda.due(entry.due)
            times += 1
        return times

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as executor:
            asked = executor.submit(ask)
            try:
                for number in range(4001):
                    tally.began(float(number), 0.0, fresh=False)
                    tally.ended(type(f"E{number}", (errors.IdentomatError,), {})(), number)
                    agenda.put(entry, number * TICK)
                    agenda.pop(number * TICK)
                    entry.due = float(number)
            finally:
                entry.due = 4000.0
            assert asked.result() > 0
    finally:
        sys.setswitchinterval(usual)
