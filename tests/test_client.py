"""The client's methods against the sandbox, and what it refuses."""

import os
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from identomat_async import (
    Flags,
    IdentomatClient,
    Media,
    RateBudget,
    ResultPoller,
    RetryPolicy,
    SessionStatus,
    Settled,
    Until,
)
from identomat_async._wire._transport import library
from identomat_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    MediaNotFoundError,
    RequestTimeoutError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
    WaitTimeoutError,
)
from identomat_async.sandbox import Sandbox, Script

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http

ONCE = RetryPolicy(attempts=1)


def client_of(sandbox: Sandbox, **keywords: Any) -> IdentomatClient:
    keywords = {"base_url": sandbox.base_url, "transport": sandbox.transport, **keywords}
    return IdentomatClient("k", **keywords)


# --- methods ---------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "s"])
async def test_a_session_from_begin_to_delete(secret: str | None) -> None:
    sandbox = Sandbox("k", secret, life=Script.of("approved", after=60))
    async with client_of(sandbox, secret_key=secret) as client:
        token = await client.begin(Flags(liveness=True))
        assert (await client.result(token)).status is SessionStatus.IN_PROGRESS
        await anyio.sleep(60)
        assert (await client.result(token)).status is SessionStatus.APPROVED
        image = await client.media(token, Media.FACE)
        deleted = await client.delete(token)

        assert image.content
        assert image.content_type.startswith("image/")
        assert deleted is not None
        assert deleted.status is SessionStatus.APPROVED
        assert await client.delete(token) is None


@pytest.mark.parametrize(("secret", "said"), [(None, 1), ("s", 2)])
@pytest.mark.parametrize("status", [200, 404])
async def test_what_is_gone_already_is_none(secret: str | None, said: int, status: int) -> None:
    sandbox = Sandbox("k", secret, not_found_status=status)
    async with client_of(sandbox, secret_key=secret) as client:
        assert await client.delete("unknown") is None

    assert sandbox.requests["delete"] == said


async def test_a_deletion_that_is_signed_as_gone_needs_no_second_word() -> None:
    asked = list[httpx.Request]()
    body = b'"SESSION_NOT_FOUND"'

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        code = "XPolrg698l2lnK05BPGBSzjnN+9hhhKGoVF9IF80no8="
        return httpx.Response(200, content=body, headers={"authorization": f'signature="{code}"'})

    client = IdentomatClient(
        "k", secret_key="test-secret", transport=lambda: httpx.MockTransport(answer)
    )
    async with client:
        assert await client.delete("t") is None
        with pytest.raises(SessionNotFoundError) as caught:
            await client.result("t")

    assert caught.value.verified
    assert len(asked) == 2


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_unsigned_word_is_never_a_signature_error(status: int) -> None:
    sandbox = Sandbox("k", "s", not_found_status=status, invalid_status=status)
    sandbox.plant("t")
    sandbox.invalidate("t")
    async with client_of(sandbox, secret_key="s") as client:
        with pytest.raises(SessionNotFoundError) as missing:
            await client.result("unknown")
        with pytest.raises(SessionInvalidError) as invalid:
            await client.delete("t")

    assert not missing.value.verified
    assert not invalid.value.verified
    assert sandbox.requests == {"result": 1, "delete": 1}


async def test_a_success_without_a_signature_is_not_read() -> None:
    sandbox = Sandbox("k")
    sandbox.plant("t", "approved")
    async with client_of(sandbox, secret_key="s") as client:
        with pytest.raises(SignatureError) as caught:
            await client.result("t")
        with pytest.raises(SignatureError):
            await client.source.look("t", fresh=False)

    assert caught.value.attempts == 3


async def test_a_missing_medium_is_an_error() -> None:
    sandbox = Sandbox()
    sandbox.plant("t")
    async with client_of(sandbox) as client:
        with pytest.raises(MediaNotFoundError):
            await client.media("t", Media.PASSPORT)


async def test_a_screening_person_and_any_other_method() -> None:
    sandbox = Sandbox(screening=1, life=Script.of("approved"))
    async with client_of(sandbox) as client:
        token = await client.begin()
        match = (await client.result(token)).screening_matches[0]
        assert match.person_id is not None
        person = await client.screening_person(match.person_id)
        raw = await client.call("get-screening-person-details", {"personId": match.person_id})

    assert isinstance(raw, dict)
    assert person.raw == raw


async def test_waiting_for_one_and_for_many() -> None:
    sandbox = Sandbox(life=Script.of("manual_check", after=30).then("approved", after=600))
    async with client_of(sandbox) as client:
        token = await client.begin()
        assert (await client.wait(token)).status is SessionStatus.MANUAL_CHECK
        decided = await client.wait(token, deadline=3000, until=Until.DECIDED)
        assert decided.status is SessionStatus.APPROVED

        sandbox.plant("left")
        outcomes = await client.wait_all([token, "left"], deadline=60)
        unlimited = await client.wait_all([token], rate=None)
        with pytest.raises(WaitTimeoutError):
            await client.wait("left", deadline=10)

    assert list(outcomes) == [token, "left"]
    assert isinstance(outcomes[token], Settled)
    assert not isinstance(outcomes["left"], Settled)
    assert isinstance(unlimited[token], Settled)


async def test_a_wrong_key_is_refused_once() -> None:
    sandbox = Sandbox("another")
    async with client_of(sandbox) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.begin()

    assert (sandbox.request_count, caught.value.attempts) == (1, 1)


async def test_the_rate_holds_for_every_request() -> None:
    sandbox = Sandbox(life=Script.of("approved"))
    async with client_of(sandbox, rate=2) as client:
        began = anyio.current_time()
        token = await client.begin()
        for _ in range(4):
            await client.result(token)

    assert anyio.current_time() - began == pytest.approx(2.0, abs=0.1)


def test_names_and_addresses() -> None:
    client = IdentomatClient("k", widget_origin="https://id.shop.example/x/")
    same, other = IdentomatClient("k"), IdentomatClient("l")

    assert client.widget_url("a-b") == "https://id.shop.example/?session_token=a-b"
    assert same.widget_url("t") == "https://widget.identomat.com/?session_token=t"
    assert client.token_hash("t") == same.token_hash("t") != other.token_hash("t")
    assert len(client.token_hash("t")) == 12
    assert repr(client) == "<IdentomatClient of https://widget.identomat.com/external-api/>"
    assert repr(client.source) == "<Caller of https://widget.identomat.com/external-api/>"


# --- deadlines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deadline", [0, timedelta(0), datetime(2020, 1, 1, tzinfo=UTC)], ids=["0", "delta", "past"]
)
async def test_a_deadline_that_has_passed_ends_the_call(deadline: Any) -> None:
    async with client_of(Sandbox(), retry=ONCE) as client:
        with pytest.raises(RequestTimeoutError) as caught:
            await client.begin(deadline=deadline)

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.reason == "deadline"


class Silence(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError


async def test_each_method_has_its_deadline_and_the_client_may_set_another() -> None:
    async def lasts(client: IdentomatClient, name: str, *arguments: Any) -> float:
        began = anyio.current_time()
        with pytest.raises(RequestTimeoutError) as caught:
            await getattr(client, name)(*arguments)
        assert caught.value.maybe_applied
        return round(anyio.current_time() - began)

    async with IdentomatClient("k", timeout=999, transport=Silence) as client:
        assert await lasts(client, "begin") == 30
        assert await lasts(client, "delete", "t") == 60
        assert await lasts(client, "media", "t", Media.FACE) == 300
    async with IdentomatClient("k", transport=Silence, deadline=timedelta(seconds=7)) as client:
        assert await lasts(client, "delete", "t") == 7


async def test_both_words_of_a_deletion_come_within_one_deadline() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(3)
        return httpx.Response(200, content=b'"SESSION_NOT_FOUND"')

    client = IdentomatClient("k", secret_key="s", transport=lambda: httpx.MockTransport(answer))
    async with client:
        began = anyio.current_time()
        with pytest.raises(RequestTimeoutError, match="within the deadline of 5 s") as caught:
            await client.delete("t", deadline=5)

    assert anyio.current_time() - began == pytest.approx(5, abs=0.1)
    assert caught.value.attempts == 2
    assert caught.value.elapsed == pytest.approx(5, abs=0.1)


# --- bad input -------------------------------------------------------------------------

CANARY = "canary"


@pytest.mark.parametrize(
    ("keywords", "why"),
    [
        ({"company_key": ""}, "company_key must be"),
        ({"company_key": f"{CANARY}\r\n"}, "company_key must be"),
        ({"company_key": None}, "company_key must be"),
        ({"company_key": CANARY.encode()}, "company_key must be"),
        ({"secret_key": ""}, "secret_key must be"),
        ({"secret_key": f"{CANARY} "}, "secret_key must be"),
        ({"secret_key": 5}, "secret_key must be"),
        ({"base_url": f"http://{CANARY}.example/"}, "base_url must be https"),
        ({"base_url": f"https://u:{CANARY}@x.example/"}, "base_url must have no user"),
        ({"base_url": f"https://x.example/?{CANARY}"}, "base_url must have no user"),
        ({"base_url": None}, "base_url must be"),
        ({"widget_origin": f"http://{CANARY}.example"}, "widget_origin must be https"),
        ({"widget_origin": ""}, "widget_origin must be"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": "5"}, "timeout must be seconds"),
        ({"timeout": None}, "timeout must be seconds"),
        ({"deadline": -1}, "deadline must be finite"),
        ({"deadline": float("nan")}, "deadline must be finite"),
        ({"deadline": True}, "deadline must be seconds"),
        ({"encoding": CANARY}, 'encoding must be "json"'),
        ({"encoding": ["json"]}, 'encoding must be "json"'),
        ({"secret_key": "s", "encoding": "form"}, "leave encoding out"),
        ({"secret_key": "s", "encoding": "query"}, "leave encoding out"),
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"rate": 0}, "rate must be requests per second"),
        ({"rate": -1}, "rate must be requests per second"),
        ({"rate": True}, "rate must be requests per second"),
        ({"rate": "5"}, "rate must be requests per second"),
        ({"rate": float("nan")}, "rate must be requests per second"),
        ({"max_connections": 0}, "max_connections must be a whole number"),
        ({"max_connections": True}, "max_connections must be a whole number"),
        ({"max_connections": 2.5}, "max_connections must be a whole number"),
        ({"ssl_context": True}, "ssl_context must be an ssl.SSLContext"),
        ({"transport": CANARY}, "transport must be an httpx2? transport"),
        ({"observers": [CANARY]}, "observers must be a list of functions"),
        ({"observers": print}, "observers must be a list of functions"),
        ({"observers": [anyio.sleep]}, "observers must be plain functions"),
    ],
)
def test_a_client_that_cannot_work_is_not_made(keywords: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        IdentomatClient(**{"company_key": "k", **keywords})

    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("method", "arguments", "keywords"),
    [
        ("result", (f"{CANARY} x",), {}),
        ("result", (f"{CANARY}\r\n",), {}),
        ("result", ("",), {}),
        ("result", (None,), {}),
        ("result", ("x" * 257,), {}),
        ("result", ("../delete",), {}),
        ("result", ("t",), {"deadline": -1}),
        ("result", ("t",), {"deadline": "soon"}),
        ("result", ("t",), {"deadline": datetime(2030, 1, 1)}),  # noqa: DTZ001 - the point
        ("delete", ("t é",), {}),
        ("delete", ("t",), {"deadline": -1}),
        ("media", ("t", CANARY), {}),
        ("media", ("t", None), {}),
        ("media", ("t", []), {}),
        ("media", ("a/b", Media.FACE), {}),
        ("save_media", ("t", Media.FACE, None), {}),
        ("save_media", ("t", Media.FACE, "a\0b"), {}),
        ("save_media", ("t", CANARY, "face"), {}),
        ("screening_person", (f"{CANARY} x",), {}),
        ("screening_person", (5,), {}),
        ("call", (f"../{CANARY}",), {}),
        ("call", (5,), {}),
        ("call", ("x", [CANARY]), {}),
        ("call", ("x", {5: CANARY}), {}),
        ("call", ("x", {"y": {CANARY}}), {}),
        ("call", ("x", {"company_key": CANARY}), {}),
        ("begin", (), {"config_id": f"{CANARY} x"}),
        ("begin", (), {"config_id": 5}),
        ("begin", (), {"parent_session": f"{CANARY} x"}),
        ("begin", (5,), {}),
        ("begin", ({"general_document_types": [CANARY]},), {}),
        ("begin", ({"x": float("nan")},), {}),
        ("begin", (), {"steps": 5}),
        ("begin", (), {"steps": [5]}),
    ],
)
async def test_a_call_that_cannot_work_sends_nothing(
    method: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    sandbox = Sandbox()
    async with client_of(sandbox) as client:
        with pytest.raises(ConfigurationError) as caught:
            await getattr(client, method)(*arguments, **keywords)

    assert sandbox.request_count == 0
    assert str(caught.value)
    assert CANARY not in str(caught.value)
    assert (caught.value.attempts, caught.value.__context__) == (0, None)


@pytest.mark.parametrize("token", ["a b", "", None])
def test_a_token_is_checked_without_a_call_too(token: str) -> None:
    client = IdentomatClient("k")
    for use in (client.widget_url, client.token_hash):
        with pytest.raises(ConfigurationError, match="a session token is"):
            use(token)


# --- transports ------------------------------------------------------------------------


async def test_a_single_transport_works_and_one_warning_says_what_it_cannot_do() -> None:
    sandbox = Sandbox(life=Script.of("approved"))
    with pytest.warns(UserWarning, match="cannot give fresh connections") as caught:
        client = client_of(sandbox, transport=sandbox.transport())
    async with client:
        token = await client.begin()
        assert (await client.result(token)).status is SessionStatus.APPROVED
        assert await client.source.look(token, fresh=False) is SessionStatus.APPROVED

    assert len(caught) == 1
    assert caught[0].filename == client_of.__code__.co_filename
    with pytest.raises(ClientClosedError):
        await client.begin()


def test_a_factory_is_taken_without_a_word() -> None:
    with warnings.catch_warnings(record=True) as caught:
        client_of(Sandbox())

    assert caught == []


@pytest.mark.parametrize(
    "make", [lambda: 5, lambda: 1 / 0, httpx.Request], ids=["5", "1/0", "request"]
)
async def test_a_factory_that_makes_no_transport_is_told_so(make: Any) -> None:
    async with IdentomatClient("k", transport=make) as client:
        with pytest.raises(ConfigurationError, match=r"must make an httpx2? transport"):
            await client.begin()


def test_a_tls_context_is_checked_strictly_and_may_be_given() -> None:
    from identomat_async._wire._tls import default_ssl_context  # noqa: PLC0415

    context = default_ssl_context()
    IdentomatClient("k", ssl_context=ssl.create_default_context())

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.get_ca_certs()


# --- environment -----------------------------------------------------------------------


def test_from_env_reads_three_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTOMAT_COMPANY_KEY", "from-env")
    monkeypatch.setenv("IDENTOMAT_SECRET_KEY", "s")
    monkeypatch.setenv("IDENTOMAT_BASE_URL", "https://kyc.example/api")

    client = IdentomatClient.from_env(timeout=3, rate=RateBudget(5))

    assert client.token_hash("t") == IdentomatClient("from-env").token_hash("t")
    assert client.source.endpoint.base_url == "https://kyc.example/api/"
    assert client.source.secret == b"s"
    assert client.source.timeout == 3


def test_from_env_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDENTOMAT_COMPANY_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="set IDENTOMAT_COMPANY_KEY"):
        IdentomatClient.from_env()

    monkeypatch.setenv("IDENTOMAT_COMPANY_KEY", "k")
    monkeypatch.setenv("IDENTOMAT_SECRET_KEY", "")
    with pytest.raises(ConfigurationError, match="set but empty: set it to the secret key, or"):
        IdentomatClient.from_env()

    monkeypatch.delenv("IDENTOMAT_SECRET_KEY")
    assert IdentomatClient.from_env().source.secret is None


def test_no_other_variable_has_an_effect(tmp_path: Path) -> None:
    program = """
import sys, anyio
from identomat_async import IdentomatClient, errors

async def main():
    IdentomatClient("k")
    async with IdentomatClient("k", base_url=sys.argv[1]) as client:
        print(await client.begin())
    try:
        async with IdentomatClient("k", base_url=sys.argv[1].replace("http:", "https:")) as client:
            await client.begin()
    except errors.ConnectionFailedError as error:
        print(error.tls)

anyio.run(main)
"""
    (tmp_path / ".netrc").write_text("machine localhost login x password canary\n")
    hostile = {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / ".netrc"),
        "SSLKEYLOGFILE": str(tmp_path / "keys"),
        "SSL_CERT_FILE": str(tmp_path / "no-such-file"),
        "IDENTOMAT_COMPANY_KEY": "other",
        **{f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "all")},
        **{f"{name}_PROXY": "http://127.0.0.1:9" for name in ("HTTP", "HTTPS", "ALL")},
    }
    sandbox = Sandbox("k")
    with sandbox.serve() as server:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", program, server.base_url],
            env={**os.environ, **hostile},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.split() == [sandbox.tokens[0], "True"], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".netrc"]


# --- home ------------------------------------------------------------------------------


def test_a_client_belongs_to_one_event_loop() -> None:
    sandbox = Sandbox(now=lambda: 0.0)
    client = client_of(sandbox)
    anyio.run(client.begin)

    for use in (client.begin, client.aclose, lambda: client.wait("t")):
        with pytest.raises(ConfigurationError, match="first used in another event loop"):
            anyio.run(use)


def test_a_client_belongs_to_one_thread() -> None:
    client = client_of(Sandbox(now=lambda: 0.0))
    anyio.run(client.begin)
    failures = list[Exception]()

    def use() -> None:
        try:
            anyio.run(client.begin)
        except ConfigurationError as error:
            failures.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert "first used in another thread" in str(failures[0])


async def test_entering_a_closed_client_is_an_error() -> None:
    client = client_of(Sandbox())
    await client.aclose()

    with pytest.raises(ClientClosedError, match="make another one"):
        await client.__aenter__()


async def test_closing_a_client_tells_who_waits_at_once_though_the_service_wants_a_pause() -> None:
    sandbox = Sandbox()
    client, ended = client_of(sandbox), list[float]()

    async def wait(function: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(ClientClosedError):
            await function()
        ended.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        token = await client.begin()
        poller = ResultPoller(client)
        for function in (
            lambda: client.wait(token),
            lambda: client.wait_all([token]),
            lambda: poller.wait(token),
        ):
            tasks.start_soon(wait, function)
        await anyio.sleep(5)
        client.source.pause.heed(600)
        await anyio.sleep(5)
        await client.aclose()
        closed = anyio.current_time()

    assert len(ended) == 3
    assert max(ended) - closed <= 0.1


async def test_a_block_and_a_service_notice_that_the_client_was_closed() -> None:
    client = client_of(Sandbox())
    token = await client.begin()
    client.source.pause.heed(600)

    async with ResultPoller(client) as poller, anyio.create_task_group() as tasks:
        tasks.start_soon(close_later, client)
        await poller.watch(token)
        with pytest.raises(ClientClosedError):
            await anext(poller)
        began = anyio.current_time()
        with pytest.raises(ClientClosedError):
            await poller.wait(token)

    assert anyio.current_time() - began <= 0.1


async def test_a_wait_that_begins_on_a_closed_client_does_not_wait_for_the_end_of_a_pause() -> None:
    client = client_of(Sandbox())
    poller, token = ResultPoller(client), await client.begin()
    client.source.pause.heed(600)
    await client.aclose()
    began = anyio.current_time()

    with pytest.raises(ClientClosedError):
        await poller.wait(token)

    assert anyio.current_time() - began <= 0.1


async def close_later(client: IdentomatClient) -> None:
    await anyio.sleep(5)
    await client.aclose()


async def test_waiting_with_a_closed_client_says_that_it_is_closed() -> None:
    client = IdentomatClient("k")
    await client.aclose()

    for wait in (lambda: client.wait("t"), lambda: client.wait_all(["t"])):
        with pytest.raises(ClientClosedError, match="the client is closed"):
            await wait()
