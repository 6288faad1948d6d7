"""Outages, slowness and faults without sockets, on time that jumps."""

import json

import anyio
import httpx
import pytest
from tenacity import wait_none

from identomat_async import IdentomatClient, Media, ResultPoller, RetryPolicy, Settled
from identomat_async.errors import ConfigurationError, ConnectionFailedError, RequestTimeoutError
from identomat_async.sandbox import FAULTS, Sandbox, Script

ONCE = RetryPolicy(attempts=1)


@pytest.fixture
async def sandbox() -> Sandbox:
    sandbox = Sandbox("k")
    for token in ("token-one", "token-two"):
        sandbox.plant(token, Script.of("approved"))
    return sandbox


def client_of(sandbox: Sandbox, **keywords: object) -> IdentomatClient:
    given = {"retry": ONCE, **keywords}
    return IdentomatClient("k", base_url=sandbox.base_url, transport=sandbox.transport, **given)  # type: ignore[arg-type]


def http_of(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=sandbox.base_url, transport=sandbox.transport(), timeout=3, trust_env=False
    )


async def number(http: httpx.AsyncClient, token: str = "token-one") -> str:  # noqa: S107
    answer = await http.post("result/", json={"company_key": "k", "session_token": token})
    told: str = answer.json()["person"]["personal_number"]
    return told


async def test_an_outage_ends_when_it_was_said_to(sandbox: Sandbox) -> None:
    sandbox.outage(100)
    async with client_of(sandbox) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.result("token-one")
        await anyio.sleep(100)
        result = await client.result("token-one")

    assert not caught.value.maybe_applied
    assert result.status.is_approved


async def test_an_outage_closes_the_connections_there_are(sandbox: Sandbox) -> None:
    async with http_of(sandbox) as http:
        await number(http)
        sandbox.outage(1)
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            await number(http)


async def test_a_poller_gets_through_an_outage(sandbox: Sandbox) -> None:
    sandbox.plant("late", Script.of("rejected", after=200))
    async with client_of(sandbox) as client, ResultPoller(client) as poller:
        await poller.watch("late", deadline=3600)
        await anyio.sleep(50)
        sandbox.outage(300)
        outcomes = [outcome async for outcome in poller]

    assert [type(outcome) for outcome in outcomes] == [Settled]
    assert outcomes[0].waited > 350


async def test_who_reads_for_less_time_than_it_takes_is_cut_off(sandbox: Sandbox) -> None:
    sandbox.slow(5)
    async with http_of(sandbox) as http:
        start = anyio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await number(http)

    assert anyio.current_time() - start == pytest.approx(3)


async def test_answers_take_their_time_while_it_is_slow(sandbox: Sandbox) -> None:
    sandbox.slow(2, lasting=10)
    async with http_of(sandbox) as http:
        started = anyio.current_time()
        await number(http)
        slow = anyio.current_time() - started
        await anyio.sleep(10)
        started = anyio.current_time()
        await number(http)
        usual = anyio.current_time() - started

    assert slow == pytest.approx(2, abs=0.01)
    assert usual == pytest.approx(0, abs=0.01)


async def test_slowness_ends_when_it_is_taken_back(sandbox: Sandbox) -> None:
    sandbox.slow(50)
    sandbox.slow(0)
    async with http_of(sandbox) as http:
        with anyio.fail_after(1):
            await number(http)


async def test_a_client_waits_for_a_slow_answer_no_longer_than_its_timeout(
    sandbox: Sandbox,
) -> None:
    sandbox.slow(60)
    async with client_of(sandbox, timeout=5) as client:
        started = anyio.current_time()
        with pytest.raises(RequestTimeoutError):
            await client.result("token-one")

    assert anyio.current_time() - started == pytest.approx(5, abs=0.01)


async def test_so_many_requests_fail_and_the_next_does_not(sandbox: Sandbox) -> None:
    sandbox.fail(2, "F39-500")
    async with client_of(sandbox, retry=RetryPolicy(wait=wait_none())) as client:
        result = await client.result("token-one")

    assert result.status.is_approved
    assert sandbox.truth("token-one").polls == 3


async def test_variants_of_a_row_take_turns(sandbox: Sandbox) -> None:
    sandbox.fail(3, "F9")
    seen: list[str] = []
    for _ in range(3):
        async with http_of(sandbox) as http:
            try:
                await number(http)
            except httpx.TransportError as error:
                seen.append(type(error).__name__)

    assert seen == ["RemoteProtocolError", "ReadError", "RemoteProtocolError"]


async def test_only_requests_of_one_kind_may_be_meant(sandbox: Sandbox) -> None:
    sandbox.fail(1, "F39-500", operation="delete")
    async with client_of(sandbox, retry=RetryPolicy(wait=wait_none())) as client:
        await client.result("token-one")
        await client.media("token-one", Media.FACE)
        await client.delete("token-one")

    assert sandbox.requests == {"result": 1, "result/face": 1, "delete": 2}


async def test_a_fault_waits_for_a_request_that_it_can_strike(sandbox: Sandbox) -> None:
    sandbox.fail(1, "F35")
    async with http_of(sandbox) as http:
        await number(http)
        answers = [
            await http.post("result/face/", json={"company_key": "k", "session_token": "token-one"})
            for _ in range(2)
        ]

    assert [answer.status_code for answer in answers] == [404, 200]


async def test_a_stray_answer_is_what_the_next_request_reads(sandbox: Sandbox) -> None:
    for kind in ("F18", "F19"):
        sandbox.fail(1, kind)
        async with http_of(sandbox) as http:
            told = [await number(http) for _ in range(3)]

        one, two = (sandbox.truth(token).person_number for token in ("token-one", "token-two"))
        assert told == [one, two, one]


async def test_a_connection_that_is_over_fails_the_next_request(sandbox: Sandbox) -> None:
    for kind in ("F8", "F44-close"):
        sandbox.fail(1, kind)
        async with http_of(sandbox) as http:
            await number(http)
            with pytest.raises(httpx.RemoteProtocolError):
                await number(http)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("F6", httpx.ReadError),
        ("F7", httpx.RemoteProtocolError),
        ("F10-headers", httpx.RemoteProtocolError),
        ("F11-answer", httpx.ReadTimeout),
        ("F11-body", httpx.ReadTimeout),
        ("F14-short", httpx.RemoteProtocolError),
        ("F14-reset", httpx.ReadError),
        ("F15-garbage", httpx.RemoteProtocolError),
        ("F20", httpx.RemoteProtocolError),
    ],
)
async def test_what_an_http_client_meets(
    sandbox: Sandbox, kind: str, error: type[Exception]
) -> None:
    sandbox.fail(1, kind)
    async with http_of(sandbox) as http:
        with anyio.fail_after(5), pytest.raises(error):
            await number(http)


@pytest.mark.parametrize("kind", ["F12", "F13"])
async def test_what_never_ends_is_cut_off(sandbox: Sandbox, kind: str) -> None:
    sandbox.fail(1, kind)
    async with http_of(sandbox) as http:
        with anyio.move_on_after(30) as scope:
            await http.post("begin/", json={"company_key": "k"})

    assert scope.cancelled_caught


async def test_nothing_is_awaited_for_ever_by_who_set_a_timeout_for_nothing(
    sandbox: Sandbox,
) -> None:
    sandbox.fail(1, "F11-answer")
    async with httpx.AsyncClient(transport=sandbox.transport(), timeout=None) as http:  # noqa: S113
        with anyio.move_on_after(1000) as scope:
            await http.get(f"{sandbox.base_url}result/?company_key=k&session_token=token-one")

    assert scope.cancelled_caught


async def test_every_fault_ends_a_call_in_an_answer_or_an_error_of_ours(sandbox: Sandbox) -> None:
    async with client_of(sandbox, timeout=1, deadline=5) as client:
        for fault in FAULTS.values():
            if fault.halts or "result" not in fault.operations or fault.is_signing:
                continue
            sandbox.fail(1, fault.id, operation="result")
            result = None
            try:
                result = await client.result("token-one")
            except Exception as error:  # noqa: BLE001 - its module is what is tested
                assert type(error).__module__ == "identomat_async.errors", fault.id  # noqa: PT017
            else:
                person = json.loads(result.raw_bytes)["person"]
                assert person["personal_number"] == sandbox.truth("token-one").person_number
        client_result = await client.result("token-one")

    assert client_result.status.is_approved


@pytest.mark.parametrize("operation", ["face", "begin"])
async def test_a_fault_that_cannot_strike_is_refused(sandbox: Sandbox, operation: str) -> None:
    with pytest.raises(ConfigurationError):
        sandbox.fail(1, "F35", operation=operation)


async def test_what_cannot_be_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError):
        sandbox.outage(-1)
    with pytest.raises(ConfigurationError):
        sandbox.slow(float("inf"))
    with pytest.raises(ConfigurationError):
        sandbox.slow(1, lasting=-1)
    with pytest.raises(ConfigurationError):
        sandbox.fail(0, "F7")
    with pytest.raises(ConfigurationError, match="down"):
        sandbox.fail(1, "F1")
