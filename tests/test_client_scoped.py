"""A session that is deleted when its block is left."""

import asyncio
from collections.abc import Generator
from typing import Any

import anyio
import pytest

from identomat_async import Flags, IdentomatClient, RetryPolicy, SessionResult, SessionStatus
from identomat_async._wire._transport import library
from identomat_async.errors import (
    AuthenticationError,
    ConfigurationError,
    IdentomatError,
    SessionNotFoundError,
)
from identomat_async.sandbox import Sandbox, Script
from tests.test_client import client_of
from tests.test_sandbox_http import sign

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http


async def is_there(client: IdentomatClient, token: str) -> bool:
    try:
        await client.result(token)
    except SessionNotFoundError:
        return False
    return True


@pytest.mark.parametrize("secret", [None, "s"])
async def test_a_session_is_deleted_when_its_block_is_left(secret):
    sandbox = Sandbox("k", secret, life=Script.of("approved", after=60))
    async with client_of(sandbox, secret_key=secret) as client:
        async with client.scoped(Flags(liveness=True)) as token:
            result = await client.wait(token)
            assert result.status is SessionStatus.APPROVED
        assert not await is_there(client, token)


@pytest.mark.parametrize("secret", [None, "s"])
@pytest.mark.parametrize("deadline", [60, 0.4])
async def test_what_was_deleted_in_the_block_is_no_error(secret, deadline, caplog):
    sandbox = Sandbox("k", secret)
    async with client_of(sandbox, secret_key=secret) as client:
        async with client.scoped(deadline=deadline) as token:
            await client.delete(token)
            left = anyio.current_time()
        assert anyio.current_time() - left < 2
        assert f"session {client.token_hash(token)} was not deleted: the service" in caplog.text
        assert sandbox.requests["result"] == (3 if deadline == 60 else 1)


@pytest.mark.parametrize("denials", [1, 2, 3, 30])
@pytest.mark.parametrize("secret", [None, "s"])
async def test_a_session_that_is_denied_is_not_deleted_before_it_was_seen(secret, denials, caplog):
    sandbox = Sandbox("k", secret, life=Script.of("manual_check", after=0))
    seen: list[SessionStatus] = []

    def keep(result: SessionResult) -> bool:
        seen.append(result.status)
        return True

    async def check(client: IdentomatClient) -> None:
        async with client.scoped(keep=keep):
            sandbox.fail(denials, "F29-404", operation="result")
            raise LookupError

    async with client_of(sandbox, secret_key=secret) as client:
        with pytest.raises(LookupError):
            await check(client)
        (token,) = sandbox.tokens
        assert not sandbox.truth(token).deleted
    assert seen == ([SessionStatus.MANUAL_CHECK] if denials < 3 else [])
    assert ("was not deleted" in caplog.text) is (denials >= 3)


async def test_a_session_that_was_denied_once_is_deleted():
    sandbox = Sandbox("k", life=Script.of("approved", after=0))
    async with client_of(sandbox) as client:
        async with client.scoped() as token:
            sandbox.fail(1, "F29-200", operation="result")
        assert sandbox.truth(token).deleted


async def test_a_deletion_that_has_worked_unseen_is_found_to_be_done(caplog):
    sandbox = Sandbox("k", life=Script.of("approved", after=0))
    async with client_of(sandbox, retry=RetryPolicy(attempts=1)) as client:
        async with client.scoped() as token:
            sandbox.fail(3, "F9-close", operation="delete")
        assert sandbox.truth(token).deleted
    assert "was not deleted" not in caplog.text


async def test_a_denial_that_is_signed_is_believed_at_once(caplog):
    asked = []

    def answer(request: Any) -> Any:
        asked.append(request)
        body = b'"token"' if request.url.path.endswith("/begin/") else b'"SESSION_NOT_FOUND"'
        return httpx.Response(200, content=body, headers={"authorization": sign(body)})

    transport = lambda: httpx.MockTransport(answer)  # noqa: E731
    client = IdentomatClient("k", secret_key="test-secret", transport=transport)
    async with client, client.scoped():
        pass
    assert len(asked) == 2
    assert "was not deleted" not in caplog.text


@pytest.mark.parametrize(("status", "kept"), [("manual_check", True), ("on_hold", True)])
async def test_a_session_that_may_be_under_review_is_kept(status, kept):
    sandbox = Sandbox("k", life=Script.of(status, after=0))
    async with client_of(sandbox) as client:
        async with client.scoped() as token:
            await anyio.sleep(1)
        assert await is_there(client, token) is kept


async def test_the_caller_says_what_is_kept():
    seen: list[SessionStatus] = []

    def keep(result: SessionResult) -> bool:
        seen.append(result.status)
        return len(seen) == 1

    sandbox = Sandbox("k", life=Script.of("manual_check", after=0))
    async with client_of(sandbox) as client:
        there = []
        for _ in range(2):
            async with client.scoped(keep=keep) as token:
                await anyio.sleep(1)
            there.append(await is_there(client, token))

    assert seen == [SessionStatus.MANUAL_CHECK] * 2
    assert there == [True, False]


async def test_an_exception_of_the_block_leaves_as_itself_and_the_session_is_deleted():
    failure = LookupError("mine")
    async with client_of(Sandbox("k")) as client:
        with pytest.raises(LookupError) as caught:
            async with client.scoped() as token:
                raise failure
        assert caught.value is failure
        assert not await is_there(client, token)


async def test_a_cancelled_block_deletes_its_session():
    async with client_of(Sandbox("k")) as client:
        with anyio.move_on_after(5):
            async with client.scoped() as token:
                await anyio.sleep_forever()
        assert not await is_there(client, token)


async def test_a_second_cancellation_ends_it_and_the_log_says_so(anyio_backend_name, caplog):
    if anyio_backend_name != "asyncio":
        return
    tokens: list[str] = []

    async def check(client: IdentomatClient) -> None:
        async with client.scoped() as token:
            tokens.append(token)
            await asyncio.sleep(3600)

    async with client_of(Sandbox("k")) as client:
        task = asyncio.create_task(check(client))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert f"session {client.token_hash(tokens[0])} was not deleted" in caplog.text


async def test_a_keep_that_raises_keeps_the_session(caplog):
    def keep(result: SessionResult) -> bool:
        raise LookupError(result.status)

    async with client_of(Sandbox("k")) as client:
        with pytest.raises(LookupError):
            async with client.scoped(keep=keep) as token:
                pass
        assert await is_there(client, token)
    assert "was not deleted (LookupError)" in caplog.text


async def test_a_keep_that_raises_replaces_no_exception_of_the_block(caplog):
    def keep(result: SessionResult) -> bool:
        raise LookupError("invented-name")

    block = KeyError("it")
    async with client_of(Sandbox("k")) as client:
        with pytest.raises(KeyError) as caught:
            async with client.scoped(keep=keep):
                raise block

    assert caught.value is block
    assert block.__context__ is None
    assert "was not deleted (LookupError)" in caplog.text
    assert "invented-name" not in caplog.text


async def test_a_service_that_is_down_for_a_while_is_asked_again():
    sandbox = Sandbox("k")
    async with client_of(sandbox) as client:
        with anyio.move_on_after(1):
            async with client.scoped() as token:
                sandbox.outage(20)
                await anyio.sleep_forever()
        assert not await is_there(client, token)


async def fail(client: IdentomatClient, sandbox: Sandbox, tokens: list[str]) -> None:
    async with client.scoped(deadline=5) as token:
        tokens.append(token)
        sandbox.outage(60)
        raise LookupError


async def test_what_could_not_be_deleted_is_told(caplog):
    sandbox = Sandbox("k")
    async with client_of(sandbox) as client:
        with pytest.raises(IdentomatError):
            async with client.scoped(deadline=5) as token:
                sandbox.outage(60)
        left = client.token_hash(token)
        assert f"session {left} was not deleted" in caplog.text
        assert token not in caplog.text

        caplog.clear()
        await anyio.sleep(60)
        tokens: list[str] = []
        with pytest.raises(LookupError):
            await fail(client, sandbox, tokens)
        assert client.token_hash(tokens[0]) in caplog.text


async def test_a_failure_that_will_not_pass_is_told_at_once():
    sandbox = Sandbox("k")
    async with client_of(sandbox) as client:
        started = anyio.current_time()
        with pytest.raises(AuthenticationError):
            async with client.scoped():
                sandbox.fail(9, "F34-401")
        assert anyio.current_time() == started


class Later:
    async def __call__(self, result: SessionResult) -> bool:
        return result.status.is_approved


async def ready() -> bool:
    return False


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_a_keep_that_is_to_be_awaited_after_all_is_refused_and_keeps(is_coroutine):
    class Awaitable:
        def __await__(self) -> Generator[None, None, bool]:
            raise AssertionError

    sandbox = Sandbox("k", life=Script.of("approved", after=0))
    async with client_of(sandbox) as client:
        with pytest.raises(ConfigurationError, match="keep must be a plain function"):
            async with client.scoped(
                keep=lambda _: ready() if is_coroutine else Awaitable()
            ) as token:
                pass
        assert not sandbox.truth(token).deleted


async def test_what_cannot_work_is_refused_and_nothing_begins():
    async def later(result: SessionResult) -> bool:
        return result.status.is_approved

    sandbox = Sandbox("k")
    async with client_of(sandbox) as client:
        for keep in (later, Later(), None):
            with pytest.raises(ConfigurationError, match="keep must be a plain function"):
                client.scoped(keep=keep)
        with pytest.raises(ConfigurationError, match="deadline"):
            client.scoped(deadline=-1)
        scoped = client.scoped()
        assert repr(scoped) == "<ScopedSession>"
        async with scoped:
            with pytest.raises(ConfigurationError, match="entered once"):
                await scoped.__aenter__()
