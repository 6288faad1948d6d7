"""Sessions are deleted at the service when their results have been accepted, and no others."""

import copy
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import (
    AuthenticationError,
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    IdentomatClient,
    MemoryJournal,
    PollFailed,
    RateBudget,
    ResultPoller,
    Settled,
    SignatureError,
    Until,
    sweep,
)
from identomat_async.sandbox import Sandbox, Script
from tests._handlers import Handler
from tests.test_client import client_of
from tests.test_journal_poller import running


def poller_of(client: IdentomatClient, **keywords: Any) -> ResultPoller:
    keywords = {"purge": "after_delivery", "wait": wait_fixed(5), **keywords}
    return ResultPoller(client, **keywords)


def kept(sandbox: Sandbox) -> tuple[str, ...]:
    """The sessions that the service still has."""
    return tuple(token for token in sandbox.tokens if not sandbox.truth(token).deleted)


def accepted_together(
    sandbox: Sandbox, *, count: int, outage: float
) -> Callable[[Delivery], Awaitable[None]]:
    """A handler that accepts so many at one moment, from which on the service is down."""
    handler, all_are_there = Handler(), anyio.Event()

    async def together(delivery: Delivery) -> None:
        await handler(delivery)
        if len(handler.taken) == count:
            sandbox.outage(outage)
            all_are_there.set()
        await all_are_there.wait()

    return together


# What is deleted


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize("secret", [None, "s"])
async def test_what_the_handler_has_accepted_is_deleted(with_journal, secret):
    sandbox = Sandbox("k", secret, life=Script.of("approved", after=60))
    there: list[bool] = []
    async with client_of(sandbox, secret_key=secret) as client:

        async def handler(delivery: Delivery) -> None:
            there.append(delivery.token in kept(sandbox))

        journal = MemoryJournal() if with_journal else None
        poller = poller_of(client, journal=journal)
        async with running(poller, handler):
            for _ in range(20):
                await poller.watch(await client.begin())
            await anyio.sleep(120)

        assert there == [True] * 20
        assert kept(sandbox) == ()
        assert (poller.undeleted, poller.stats().undeleted) == ({}, 0)
        assert journal is None or await journal.live() == []


async def test_what_the_iteration_has_gone_beyond_is_deleted():
    sandbox = Sandbox("k", life=Script.of("rejected", after=60))
    left: list[int] = []
    async with client_of(sandbox) as client, poller_of(client) as poller:
        for _ in range(3):
            await poller.watch(await client.begin())
        async for outcome in poller:
            await anyio.sleep(5)
            assert outcome.token in kept(sandbox)
            left.append(len(kept(sandbox)))
    assert left == [3, 2, 1]
    assert kept(sandbox) == ()


async def test_so_is_the_last_one_of_a_block_that_is_left_and_no_one_if_it_raises():
    sandbox = Sandbox("k", life=Script.of("approved", after=60))
    async with client_of(sandbox) as client:
        async with poller_of(client) as poller:
            await poller.watch(await client.begin())
            await anext(poller)
        assert kept(sandbox) == ()

        async def fail(poller: ResultPoller) -> None:
            async with poller:
                await poller.watch(await client.begin())
                await anext(poller)
                raise LookupError

        poller = poller_of(client)
        with pytest.raises(LookupError):
            await fail(poller)
        assert len(kept(sandbox)) == 1
        async with poller:
            await anyio.sleep(60)
        assert len(kept(sandbox)) == 1
        assert poller.undeleted == {}


async def test_those_who_delete_and_those_who_confirm_do_not_wait_for_one_another():
    sandbox = Sandbox("k", life=Script.of("approved", after=60))
    account = RateBudget(20, max_in_flight=1)
    async with client_of(sandbox, rate=account) as client:
        poller = poller_of(client, rate=RateBudget(50, max_in_flight=1), wait=wait_fixed(1))

        async def handler(_: Delivery) -> None:
            await anyio.sleep(0.07)  # then the next one waits for the rate, to be confirmed

        async with running(poller, handler):
            for _ in range(20):
                await poller.watch(await client.begin())
            await anyio.sleep(75)
        assert kept(sandbox) == ()
        assert poller.undeleted == {}


# What is not


async def test_a_session_under_review_stays_until_it_is_decided():
    sandbox = Sandbox("k", life=Script.of("manual_check", after=30).then("approved", after=7200))
    seen: list[tuple[bool, bool]] = []
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def handler(delivery: Delivery) -> None:
            assert isinstance(delivery.outcome, Settled)
            if not delivery.outcome.final:
                await poller.watch(delivery.token, until=Until.DECIDED)
            seen.append((delivery.outcome.final, delivery.token in kept(sandbox)))

        async with running(poller, handler):
            await poller.watch(await client.begin())
            await anyio.sleep(3600)
            assert len(kept(sandbox)) == 1
            await anyio.sleep(7200)

    assert seen == [(False, True), (True, True)]
    assert kept(sandbox) == ()


async def test_a_session_without_a_verdict_stays():
    sandbox = Sandbox("k", life=Script.of("abandoned"))
    handler = Handler()
    async with client_of(sandbox) as client:
        poller = poller_of(client, deadline=60)
        async with running(poller, handler):
            await poller.watch(await client.begin())
            await anyio.sleep(120)
    assert isinstance(handler.taken[0].outcome, DeadlinePassed)
    assert len(kept(sandbox)) == 1


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_session_stays_until_its_handler_accepts_it(with_journal):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    handler = Handler(failures=3)
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=MemoryJournal() if with_journal else None)
        async with running(poller, handler):
            await poller.watch(await client.begin())
            while handler.failures:
                assert len(kept(sandbox)) == 1
                await anyio.sleep(1)
            await anyio.sleep(60)
    assert len(handler.taken) == 4
    assert kept(sandbox) == ()


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_session_that_is_watched_again_stays_for_that_watch(with_journal):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    handler = Handler()
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=MemoryJournal() if with_journal else None)

        async def again(delivery: Delivery) -> None:
            if not handler.taken:
                await poller.watch(delivery.token)
            await handler(delivery)

        async with running(poller, again):
            await poller.watch(await client.begin())
            await anyio.sleep(300)

    assert [type(each.outcome) for each in handler.taken] == [Settled, Settled]
    assert handler.taken[0].id != handler.taken[1].id
    assert kept(sandbox) == ()


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_session_that_was_watched_again_is_deleted_if_that_is_discarded(with_journal):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal = MemoryJournal() if with_journal else None
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=journal)

        async def again(delivery: Delivery) -> None:
            sandbox.decide(delivery.token, "in_progress")
            await poller.watch(delivery.token)

        async with running(poller, again):
            await poller.watch(token := await client.begin())
            await anyio.sleep(300)
            assert token in poller
            assert poller.undeleted == {token: None}
            sandbox.decide(token, "approved", after=1)
            assert await poller.discard(token)
            await anyio.sleep(70)
        assert kept(sandbox) == ()
        assert poller.undeleted == {}
        assert journal is None or await journal.live() == []


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_session_that_was_watched_again_is_deleted_if_that_fails(with_journal):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal, handler = MemoryJournal() if with_journal else None, Handler()
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=journal, grace=30)

        async def again(delivery: Delivery) -> None:
            if not handler.taken:
                sandbox.outage(400)
                await poller.watch(delivery.token, deadline=60)
            await handler(delivery)

        async with running(poller, again):
            await poller.watch(await client.begin())
            await anyio.sleep(600)
        assert [type(each.outcome) for each in handler.taken] == [Settled, PollFailed]
        assert kept(sandbox) == ()
        assert poller.undeleted == {}


async def test_draining_does_not_wait_for_a_session_that_is_watched_again():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def again(delivery: Delivery) -> None:
            sandbox.decide(delivery.token, "in_progress")
            await poller.watch(delivery.token)

        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, again)
            await poller.watch(token := await client.begin())
            await anyio.sleep(60)
            started = anyio.current_time()
            await poller.drain(grace=300)
            assert anyio.current_time() - started < 1
        assert poller.undeleted == {token: None}


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize("status", ["manual_check", "in_progress"])
async def test_a_session_that_is_open_again_when_it_is_tried_again_stays(
    with_journal, status, caplog
):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal = MemoryJournal() if with_journal else None
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=journal)

        async def handler(_: Delivery) -> None:
            sandbox.fail(1, "F30-code", operation="delete")

        async with running(poller, handler):
            await poller.watch(token := await client.begin())
            await anyio.sleep(60)
            assert poller.undeleted == {token: "ApiError"}
            sandbox.decide(token, status)
            await anyio.sleep(400)
        assert kept(sandbox) == (token,)
        assert poller.undeleted == {}
        assert journal is None or await journal.live() == []
        told = f"session {client.token_hash(token)} is open or under review again"
    assert caplog.text.count(told) == 1


async def test_a_session_that_is_open_again_after_a_restart_stays():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal = MemoryJournal()

    async def handler(_: Delivery) -> None:
        sandbox.outage(60)

    async with client_of(sandbox) as client:
        async with running(poller_of(client, journal=journal), handler):
            await poller_of(client, journal=journal).watch(token := await client.begin())
            await anyio.sleep(60)
        await anyio.sleep(60)
        sandbox.decide(token, "manual_check")
        async with running(poller_of(client, journal=journal), handler):
            await anyio.sleep(60)
        assert kept(sandbox) == (token,)
        assert await journal.live() == []


async def test_a_session_that_is_open_again_while_nothing_could_be_tried_stays():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    together = accepted_together(sandbox, count=80, outage=300)

    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: poller.run(together, concurrency=80))
            await anyio.sleep(0.1)
            for _ in range(80):
                await poller.watch(await client.begin())
            await anyio.sleep(250)
            untried = [token for token, error in poller.undeleted.items() if error is None]
            for token in sandbox.tokens:
                sandbox.decide(token, "manual_check")
            await anyio.sleep(600)
            tasks.cancel_scope.cancel()
    assert untried
    assert set(kept(sandbox)) == set(sandbox.tokens)


async def test_a_session_that_was_accepted_late_is_read_before_it_is_deleted():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    handler = Handler(failures=1)

    async def reopen(delivery: Delivery) -> None:
        try:
            await handler(delivery)
        finally:
            sandbox.decide(delivery.token, "manual_check")

    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with running(poller, reopen):
            await poller.watch(token := await client.begin())
            await anyio.sleep(60)
    assert [each.attempt for each in handler.taken] == [1, 2]
    assert kept(sandbox) == (token,)


async def test_nothing_is_deleted_unless_asked_for():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        async with running(poller := poller_of(client, purge=None), Handler()):
            await poller.watch(await client.begin())
            await anyio.sleep(300)
        assert poller.undeleted == {}
    assert len(kept(sandbox)) == 1


# What cannot be deleted


async def test_a_service_that_is_down_is_asked_again_and_not_much(caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        handler = Handler()

        async def first(delivery: Delivery) -> None:
            if not handler.taken:
                sandbox.outage(600)
            await handler(delivery)

        async with running(poller, first):
            for _ in range(30):
                await poller.watch(await client.begin())
            await anyio.sleep(300)
            undeleted, asked = poller.undeleted, sandbox.requests.get("delete", 0)
            stats = poller.stats()
            await anyio.sleep(600)

    assert stats.undeleted == len(undeleted)
    assert set(undeleted) == {token for token in undeleted if token}
    assert "ConnectionFailedError" in set(undeleted.values())
    assert asked == 0
    assert kept(sandbox) == ()
    assert poller.undeleted == {}
    told = [record for record in caplog.records if "could not be deleted" in record.getMessage()]
    assert 1 <= len(told) <= 30
    assert not any(token in caplog.text for token in undeleted)


async def test_many_that_fail_at_once_are_one_pause():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    handler, all_are_there = Handler(), anyio.Event()

    async def together(delivery: Delivery) -> None:
        await handler(delivery)
        if len(handler.taken) == 8:
            sandbox.outage(60)
            all_are_there.set()
        await all_are_there.wait()

    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with running(poller, together):
            for _ in range(8):
                await poller.watch(await client.begin())
            await anyio.sleep(50)
            assert list(poller.undeleted.values()) == ["ConnectionFailedError"] * 8
            await anyio.sleep(150)
            assert poller.undeleted == {}
    assert kept(sandbox) == ()


@pytest.mark.parametrize("is_resumed", [True, False])
@pytest.mark.parametrize(
    "error", [AuthenticationError("the key", status_code=401), SignatureError("none")]
)
async def test_a_refused_account_is_one_pause_and_one_line(error, is_resumed, caplog, monkeypatch):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    tries: list[float] = []

    async def refuse(token: str) -> None:
        tries.append(anyio.current_time())
        await anyio.sleep(1)  # while others are refused
        raise copy.copy(error)

    name = type(error).__name__
    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with running(poller, Handler()):
            with monkeypatch.context() as account:
                for method in ("delete", "result"):
                    account.setattr(client, method, refuse)
                for _ in range(100):
                    await poller.watch(await client.begin())
                await anyio.sleep(5000)
            assert len(kept(sandbox)) == len(poller.undeleted) == 100
            assert set(poller.undeleted.values()) == {None, name}
            if is_resumed:
                poller.resume()
            await anyio.sleep(20 if is_resumed else 310)
        assert kept(sandbox) == ()
        assert poller.undeleted == {}
    first = tries[0]
    pauses = [round(at - first) for at in tries if at > first + 1]
    assert pauses[:5] == [31, 92, 213, 454, 755]
    assert len(tries) - len(pauses) <= 8
    assert 15 <= len(pauses) <= 20
    (told,) = [each for each in caplog.records if "delet" in each.getMessage()]
    assert told.levelno == logging.ERROR
    assert f"refuses the account ({name})" in told.getMessage()


async def test_what_will_not_pass_is_listed_and_holds_nobody_up():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with running(poller, Handler()):
            sandbox.fail(1, "F30-code", operation="delete")
            for _ in range(5):
                await poller.watch(await client.begin())
            await anyio.sleep(200)
            assert list(poller.undeleted.values()) == ["ApiError"]
            assert kept(sandbox) == tuple(poller.undeleted)
            await anyio.sleep(300)
            assert poller.undeleted == {}


@pytest.mark.parametrize("failing", ["F39-500", "F10-status"])
async def test_a_session_that_cannot_be_read_is_tried_again(failing):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def handler(_: Delivery) -> None:
            sandbox.fail(1, "F30-code", operation="delete")
            sandbox.fail(3, failing, operation="result")

        async with running(poller, handler):
            await poller.watch(await client.begin())
            await anyio.sleep(500)
        assert kept(sandbox) == ()
        assert poller.undeleted == {}


@pytest.mark.parametrize("secret", [None, "s"])
@pytest.mark.parametrize("said", ["F29-200", "F29-404"])
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_session_that_is_denied_once_is_deleted_all_the_same(secret, said, is_first):
    sandbox = Sandbox("k", secret, life=Script.of("approved", after=10))
    async with client_of(sandbox, secret_key=secret) as client:
        poller = poller_of(client)

        async def handler(_: Delivery) -> None:
            if is_first:
                sandbox.fail(1, said, operation="delete")
            else:
                sandbox.fail(1, "F30-code", operation="delete")
                sandbox.fail(1, said, operation="result")

        async with running(poller, handler):
            await poller.watch(await client.begin())
            await anyio.sleep(400)
        assert kept(sandbox) == ()
        assert poller.undeleted == {}


async def test_a_session_that_is_gone_when_it_is_tried_again_is_done_with():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def handler(delivery: Delivery) -> None:
            sandbox.fail(1, "F30-code", operation="delete")
            tokens.append(delivery.token)

        tokens: list[str] = []
        async with running(poller, handler):
            await poller.watch(await client.begin())
            await anyio.sleep(60)
            before = sandbox.requests["result"]
            sandbox.delete(tokens[0])
            await anyio.sleep(300)
        assert poller.undeleted == {}
    assert sandbox.requests["result"] == before + 2
    assert sandbox.requests["delete"] == 1


async def test_a_second_delivery_of_a_session_that_is_yet_to_be_deleted():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal, handler = MemoryJournal(), Handler()
    async with client_of(sandbox) as client:
        poller = poller_of(client, journal=journal)
        async with running(poller, handler):
            sandbox.fail(1, "F30-code", operation="delete")
            await poller.watch(token := await client.begin())
            await anyio.sleep(100)
            await poller.watch(token)
            await anyio.sleep(100)
            assert kept(sandbox) == (token,)
            assert len(handler.taken) == 2
            await anyio.sleep(300)
        assert kept(sandbox) == ()
        assert await journal.live() == []


async def test_what_a_run_was_cut_off_in_is_deleted_in_the_next():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def handler(_: Delivery) -> None:
            sandbox.outage(60)

        async with running(poller, handler):
            await poller.watch(token := await client.begin())
            await anyio.sleep(30)
        assert poller.undeleted == {token: "ConnectionFailedError"}
        await anyio.sleep(60)
        async with running(poller, handler):
            await anyio.sleep(100)
        assert kept(sandbox) == ()


@pytest.mark.parametrize("is_run", [True, False])
async def test_what_is_accepted_and_not_deleted_is_counted_in_the_log(is_run, caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    sandbox.fail(99, "F30-code", operation="delete")

    async def iterate(poller: ResultPoller) -> None:
        async with poller:
            for _ in range(8):
                await anext(poller)
            raise LookupError

    async with client_of(sandbox) as client:
        poller = poller_of(client)
        await poller.watch_many([await client.begin() for _ in range(8 - is_run)])
        if is_run:
            async with running(poller, Handler()):
                await anyio.sleep(60)
        else:
            with pytest.raises(LookupError):
                await iterate(poller)
        assert len(poller.undeleted) == 7
    (told,) = [each for each in caplog.records if "no longer tried" in each.getMessage()]
    assert told.levelno == logging.WARNING
    assert told.getMessage().startswith("7 sessions that were accepted are not deleted")
    assert not any(token in caplog.text for token in sandbox.tokens)


async def test_a_run_that_leaves_nothing_says_nothing(caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client, running(poller := poller_of(client), Handler()):
        await poller.watch(await client.begin())
        await anyio.sleep(60)
    assert "deleted" not in caplog.text


async def test_what_another_process_deletes_is_not_listed_by_one_that_has_ended(caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal = MemoryJournal()

    async def handler(_: Delivery) -> None:
        sandbox.outage(60)

    async with client_of(sandbox) as client:
        first, second = (poller_of(client, journal=journal) for _ in range(2))
        async with running(first, handler):
            await first.watch(token := await client.begin())
            await anyio.sleep(60)
            assert list(first.undeleted) == [token]
        assert (first.undeleted, first.stats().undeleted) == ({}, 0)
        assert "1 sessions that were accepted are not deleted" in caplog.text
        async with running(second, handler):
            await anyio.sleep(100)
        assert kept(sandbox) == ()
        assert first.undeleted == second.undeleted == {}


async def test_draining_waits_for_what_is_to_be_deleted():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    async with client_of(sandbox) as client:
        poller = poller_of(client)

        async def handler(_: Delivery) -> None:
            sandbox.slow(1, lasting=100)

        async with anyio.create_task_group() as tasks:
            await tasks.start(poller.run, handler)
            await poller.watch(await client.begin())
            while len(poller):
                await anyio.sleep(0.1)
            await poller.drain(grace=30)
        assert kept(sandbox) == ()


async def test_draining_ends_when_what_was_put_off_is_deleted():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    together = accepted_together(sandbox, count=30, outage=3)

    async with client_of(sandbox) as client:
        poller = poller_of(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: poller.run(together, concurrency=50))
            await anyio.sleep(0.1)
            for _ in range(30):
                await poller.watch(await client.begin())
            while not any(poller.undeleted.values()):
                await anyio.sleep(0.01)
            started = anyio.current_time()
            await poller.drain(grace=300)
            assert anyio.current_time() - started < 30
        assert kept(sandbox) == ()


# With a journal


async def test_after_a_restart_it_is_deleted_and_not_delivered_again():
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal, handler = MemoryJournal(), Handler()

    async def first(delivery: Delivery) -> None:
        await handler(delivery)
        sandbox.outage(60)

    async with client_of(sandbox) as client:
        async with running(poller := poller_of(client, journal=journal), first):
            await poller.watch(token := await client.begin())
            await anyio.sleep(30)
        (entry,) = await journal.live()
        assert entry.accepted
        assert not await journal.discard(token, leave_notes=False)
        assert await journal.reconcile([entry.state], leave_notes=False) == [False]
        await anyio.sleep(60)

        assert await sweep(client, journal, handler) == 0
        async with running(poller_of(client, journal=journal), handler):
            await anyio.sleep(60)

    assert len(handler.taken) == 1
    assert kept(sandbox) == ()
    assert await journal.live() == []


async def test_a_poller_that_deletes_nothing_leaves_it_and_says_so(caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    journal, handler = MemoryJournal(), Handler()

    async def first(delivery: Delivery) -> None:
        await handler(delivery)
        sandbox.outage(60)

    async with client_of(sandbox) as client:
        async with running(poller := poller_of(client, journal=journal), first):
            await poller.watch(await client.begin())
            await anyio.sleep(30)
        with caplog.at_level(logging.WARNING):
            async with running(poller_of(client, journal=journal, purge=None), handler):
                await anyio.sleep(60)

    assert "1 sessions were to be deleted, and stay" in caplog.text
    assert len(handler.taken) == 1
    assert len(kept(sandbox)) == 1


# Arguments and the rate


@pytest.mark.parametrize("shared", [False, True])
async def test_deleting_goes_by_the_rate_even_with_one_place(shared):
    sandbox = Sandbox("k", life=Script.of("approved", after=10))
    budget = RateBudget(2, max_in_flight=1)
    async with client_of(sandbox, rate=budget if shared else None) as client:
        poller = poller_of(client, rate=budget)
        async with running(poller, Handler()):
            for _ in range(20):
                await poller.watch(await client.begin())
            await anyio.sleep(20)
            before, started = sandbox.request_count, anyio.current_time()
            with anyio.fail_after(600):
                while kept(sandbox):
                    await anyio.sleep(0.5)
            asked = sandbox.request_count - before
            assert asked <= 2 * (anyio.current_time() - started) + 2


async def test_what_cannot_work_is_refused(source):
    async with client_of(Sandbox("k")) as client:
        with pytest.raises(ConfigurationError, match="'after_delivery'"):
            ResultPoller(client, purge="now")
    with pytest.raises(ConfigurationError, match="IdentomatClient"):
        ResultPoller(source, purge="after_delivery")
