"""One pass over a journal: state in, state out, and nothing in memory in between."""

import asyncio
from collections import Counter

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    JournalError,
    MemoryJournal,
    PollPolicy,
    RateBudget,
    ResultPoller,
    ServerError,
    SessionGone,
    SessionNotFoundError,
    SessionResult,
    SessionStatus,
    Until,
    sweep,
)
from identomat_async._budget import ceilings
from identomat_async._clock import Clock
from identomat_async._places import acquire_all
from identomat_async._polling._sweep import sweep_at
from identomat_async.testing._journal_ground import NOW, delivery_of, settled, state_of
from tests._handlers import Handler
from tests.conftest import document

POLICY = PollPolicy(wait=wait_fixed(60), jitter=0)
DOWN = ServerError("down", status_code=500, retryable=True)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


async def every_minute(source, journal, handler, *, passes: int) -> list[int]:
    # By one clock, since time that jumps does not show on the wall.
    accepted, clock = [], Clock()
    for _ in range(passes):
        done = await sweep_at(
            clock, source, journal, handler, policy=POLICY, rate=RateBudget(50), concurrency=8
        )
        accepted.append(done)
        await anyio.sleep(60.5)
    return accepted


async def test_passes_come_to_what_a_poller_comes_to(source, journal):
    for number in range(30):
        source.decides(f"session-{number}", "approved", after=number * 10)
    handler = Handler()
    await ResultPoller(source, journal=journal).watch_many(f"session-{n}" for n in range(30))

    accepted = await every_minute(source, journal, handler, passes=7)

    assert sum(accepted) == 30
    assert Counter(each.token for each in handler.taken).most_common(1)[0][1] == 1
    assert all(
        each.outcome.result.person.personal_number == f"of {each.token}" for each in handler.taken
    )
    assert await journal.live() == []


async def test_only_what_is_due_is_looked_at(source, journal):
    source.says("one", "in_progress")
    await ResultPoller(source, journal=journal).watch("one")
    await sweep(source, journal, Handler(), policy=POLICY)
    await anyio.sleep(30)

    await sweep(source, journal, Handler(), policy=POLICY)
    assert len(source.looks) == 1

    ResultPoller(source, journal=journal).nudge("one")
    await sweep(source, journal, Handler(), policy=POLICY)
    assert len(source.looks) == 2


async def test_what_a_pass_has_found_out_is_known_in_the_next(source, journal):
    source.says("gone", SessionNotFoundError(verified=False))
    source.says("late", "manual_check", "manual_check", "in_progress")
    handler, poller = Handler(), ResultPoller(source, journal=journal)
    await poller.watch("gone")
    await poller.watch("late", until=Until.DECIDED, deadline=100)

    await every_minute(source, journal, handler, passes=1)
    states = {entry.state.token: entry.state for entry in await journal.live()}
    await every_minute(source, journal, handler, passes=10)

    assert states["gone"].doubt is not None
    assert states["late"].status is SessionStatus.MANUAL_CHECK
    assert states["late"].reviewed is not None
    assert {each.token: type(each.outcome) for each in handler.taken} == {
        "gone": SessionGone,
        "late": DeadlinePassed,
    }


async def test_a_delivery_that_is_refused_comes_again_in_the_next_pass(source, journal):
    source.says("one", "approved")
    source.says("two", "in_progress")
    handler, poller = Handler(failures=2), ResultPoller(source, journal=journal)
    await poller.watch("one")
    await poller.watch("two", deadline=0)

    accepted = await every_minute(source, journal, handler, passes=3)

    assert accepted == [0, 2, 0]
    by_token = {token: [d for d in handler.taken if d.token == token] for token in ("one", "two")}
    for deliveries in by_token.values():
        assert len({each.id for each in deliveries}) == 1
        assert [(each.attempt, each.redelivered) for each in deliveries[:2]] == [
            (1, False),
            (2, True),
        ]


async def test_an_approval_that_is_reversed_is_told(source, journal, caplog):
    source.says("one", "approved", "approved", "rejected")
    handler = Handler(failures=1)
    await ResultPoller(source, journal=journal).watch("one")

    await every_minute(source, journal, handler, passes=2)

    assert [each.outcome.status for each in handler.taken] == ["APPROVED", "REJECTED"]
    assert caplog.text.count("was approved, and is no longer") == 1


async def test_what_a_poller_has_left_to_be_deleted_is_deleted(source, journal, caplog):
    deleted, failures = [], [DOWN]

    async def delete(token: str) -> SessionResult:
        if failures:
            raise failures.pop()
        deleted.append(token)
        return document(token, "approved")

    await left_to_be_deleted(journal, "one", "two", "again")
    await journal.watched([state_of("again")], leave_notes=False)
    source.says("again", "in_progress")

    # A client that cannot delete leaves them there.
    await sweep(source, journal, Handler(), policy=POLICY)
    assert len(await journal.live(["one", "two"])) == 2
    source.delete = delete
    await sweep(source, journal, Handler(), policy=POLICY)
    assert deleted == ["two"]
    assert "hash-of-one could not be deleted (ServerError)" in caplog.text
    await sweep(source, journal, Handler(), policy=POLICY)

    assert deleted == ["two", "one"]
    assert [(entry.state.token, entry.delivery) for entry in await journal.live()] == [
        ("again", "id-of-again"),
        ("again", None),
    ]
    assert await journal.discard("again", leave_notes=False)
    source.says("again", "approved")
    await sweep(source, journal, Handler(), policy=POLICY)
    assert deleted == ["two", "one", "again"]
    assert await journal.live() == []


async def left_to_be_deleted(journal, *tokens: str) -> None:
    states = [state_of(token) for token in tokens]
    await journal.watched(states, leave_notes=False)
    await journal.known([delivery_of(settled(token)) for token in tokens], at=NOW)
    for token in tokens:
        await journal.accepted(f"id-of-{token}", at=NOW)


@pytest.mark.parametrize("status", ["manual_check", "in_progress", "on_hold"])
async def test_what_is_open_again_is_not_deleted(source, journal, status, caplog):
    deleted: list[str] = []

    async def delete(token: str) -> SessionResult:
        deleted.append(token)
        return document(token, "approved")

    source.delete = delete
    source.says("one", status)
    await left_to_be_deleted(journal, "one", "two")

    await sweep(source, journal, Handler(), policy=POLICY)

    assert deleted == ["two"]
    assert await journal.live() == []
    assert "session hash-of-one is open or under review again" in caplog.text


@pytest.mark.parametrize(("verified", "asked"), [(True, 1), (False, 2)])
async def test_what_is_gone_is_done_with(source, journal, verified, asked):
    read: list[str] = []

    async def result(token: str) -> SessionResult:
        read.append(token)
        raise SessionNotFoundError("gone", verified=verified, status_code=200)

    async def delete(_: str) -> SessionResult:
        raise AssertionError

    source.result, source.delete = result, delete
    await left_to_be_deleted(journal, "one")

    await sweep(source, journal, Handler(), policy=POLICY)

    assert read == ["one"] * asked
    assert await journal.live() == []


async def test_what_is_watched_again_while_a_pass_goes_on_is_not_deleted(source, journal):
    deleted: list[str] = []

    async def delete(token: str) -> SessionResult:
        deleted.append(token)
        await poller.watch("three")
        return document(token, "approved")

    async def handle(_: Delivery) -> None:
        await poller.watch("one")

    source.delete = delete
    source.says("other", "approved")
    poller = ResultPoller(source, journal=journal)
    await left_to_be_deleted(journal, "one", "two", "three")
    await poller.watch("other")

    assert await sweep(source, journal, handle, policy=POLICY) == 1

    assert deleted == ["two"]
    assert {(entry.state.token, entry.delivery) for entry in await journal.live()} == {
        ("one", "id-of-one"),
        ("one", None),
        ("three", "id-of-three"),
        ("three", None),
    }


@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_deletion_takes_one_place_in_each_budget(source, journal, is_shared):
    own = RateBudget(50, max_in_flight=1)
    rate = own if is_shared else RateBudget(50, max_in_flight=1)
    taken: list[tuple[int, int]] = []

    async def delete(token: str) -> SessionResult:
        places = ceilings(own)  # as a client's call does
        await acquire_all(places, urgent=True)
        taken.append((own.in_flight, rate.in_flight))
        for each in places:
            each.release()
        return document(token, "approved")

    source.budget, source.result, source.delete = own, delete, delete
    await left_to_be_deleted(journal, "one", "two")

    with anyio.fail_after(10):
        await sweep(source, journal, Handler(), policy=POLICY, rate=rate)

    assert taken == [(1, 1)] * 4
    assert (own.in_flight, rate.in_flight) == (0, 0)
    assert await journal.live() == []


@pytest.mark.parametrize(("every", "tried"), [(2, 60), (1, 20)])
async def test_deletions_end_when_so_many_in_a_row_fail(source, journal, every, tried):
    tokens: list[str] = []

    async def delete(token: str) -> SessionResult:
        tokens.append(token)
        if len(tokens) % every == 0:
            raise DOWN
        return document(token, "approved")

    source.delete = delete
    await left_to_be_deleted(journal, *(f"session-{number}" for number in range(60)))

    await sweep(source, journal, Handler(), policy=POLICY, rate=None)

    assert len(tokens) == tried


async def test_a_refused_account_ends_the_deletions(source, journal):
    tokens: list[str] = []

    async def delete(token: str) -> SessionResult:
        tokens.append(token)
        raise AuthenticationError("the key", status_code=401)

    source.delete = delete
    await left_to_be_deleted(journal, *(f"session-{number}" for number in range(60)))

    with pytest.raises(AuthenticationError):
        await sweep(source, journal, Handler(), policy=POLICY)

    assert len(tokens) == 2
    assert len(await journal.live()) == 60
    assert await journal.acquire()


async def test_a_plain_function_will_do(source, journal, real_time):
    source.says("one", "approved")
    taken: list[Delivery] = []
    await ResultPoller(source, journal=journal).watch("one")

    assert await sweep(source, journal, taken.append) == 1
    assert [each.token for each in taken] == ["one"]


async def test_there_is_nothing_to_sweep_while_a_poller_runs(source, journal):
    source.says("one", "in_progress")
    poller = ResultPoller(source, journal=journal)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, Handler())
        await poller.watch("one")

        assert await sweep(source, journal, Handler()) == 0
        tasks.cancel_scope.cancel()

    assert not source.looks


async def test_a_refused_account_ends_the_pass(source, journal):
    for number in range(30):
        source.says(f"session-{number}", AuthenticationError("the key", status_code=401))
    await ResultPoller(source, journal=journal).watch_many(f"session-{n}" for n in range(30))

    with pytest.raises(AuthenticationError):
        await sweep(source, journal, Handler(), policy=POLICY)

    assert len(source.looks) < 15
    assert await journal.acquire()


async def test_a_service_that_is_down_is_left_for_the_next_pass(source, journal):
    for number in range(100):
        source.says(f"session-{number}", DOWN)
    await ResultPoller(source, journal=journal).watch_many(f"session-{n}" for n in range(100))

    assert await sweep(source, journal, Handler(), policy=POLICY, rate=None) == 0

    assert 20 <= len(source.looks) < 30
    assert len(await journal.live()) == 100


async def test_a_look_that_takes_too_long_is_a_failed_one(source, journal):
    source.says("slow", 1000.0)
    await ResultPoller(source, journal=journal).watch("slow")

    await sweep(source, journal, Handler(), policy=POLICY)

    (entry,) = await journal.live()
    assert type(entry.state.last_error).__name__ == "RequestTimeoutError"


async def test_a_client_that_is_closed_ends_the_pass(source, journal):
    source.says("slow", 1000.0)
    await ResultPoller(source, journal=journal).watch("slow")

    async def close() -> None:
        await anyio.sleep(1)
        for guard in source.guards:
            guard.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        with pytest.raises(ClientClosedError):
            await sweep(source, journal, Handler(), policy=POLICY)


async def test_what_is_discarded_during_the_look_is_not_handed_over(source, journal):
    source.latency = 5.0
    source.says("one", "approved")
    poller, handler = ResultPoller(source, journal=journal), Handler()
    await poller.watch("one")

    async def discard() -> None:
        await anyio.sleep(1)
        await poller.discard("one")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(discard)
        assert await sweep(source, journal, handler) == 0
    assert not handler.taken


async def test_a_journal_that_fails_in_the_middle_ends_the_pass_with_one_error(source):
    class Breaking(MemoryJournal):
        async def known(self, deliveries, *, at):
            raise JournalError("the disk is full", reason="full")

    journal = Breaking()
    for number in range(10):
        source.says(f"session-{number}", "approved")
    await ResultPoller(source, journal=journal).watch_many(f"session-{n}" for n in range(10))

    with pytest.raises(JournalError):
        await sweep(source, journal, Handler(), rate=None)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number"),
        ({"concurrency": 1.5}, "concurrency must be a whole number"),
        ({"rate": "50"}, "rate must be requests per second"),
    ],
)
async def test_a_pass_that_cannot_work_is_refused(source, journal, keywords, said):
    with pytest.raises(ConfigurationError, match=said):
        await sweep(source, journal, Handler(), **keywords)


async def test_a_pass_that_is_cut_off_keeps_no_place_in_a_budget(source, journal):
    await ResultPoller(source, journal=journal).watch("one")
    ours, source.budget = RateBudget(None, max_in_flight=1), RateBudget(None, max_in_flight=1)
    await source.budget.acquire()

    with anyio.move_on_after(5):
        await sweep(source, journal, Handler(), rate=ours)

    assert (ours.in_flight, source.budget.in_flight) == (0, 1)


async def test_a_handler_that_awaits_something_cancelled_ends_no_worker(
    source, journal, anyio_backend_name
):
    for number in range(5):
        source.decides(f"session-{number}", "approved", after=0)
    await ResultPoller(source, journal=journal).watch_many(f"session-{n}" for n in range(5))
    given = []

    async def handle(delivery: Delivery) -> None:
        given.append(delivery.token)
        if anyio_backend_name == "asyncio" and delivery.token == "session-0":
            cancelled = asyncio.ensure_future(asyncio.sleep(60))
            cancelled.cancel()
            await cancelled

    accepted = await sweep(source, journal, handle, concurrency=1)

    assert sorted(given) == [f"session-{n}" for n in range(5)]
    assert accepted == (4 if anyio_backend_name == "asyncio" else 5)
