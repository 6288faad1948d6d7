"""How often and when a call is repeated, on time that jumps."""

import base64
import hmac
import math
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tenacity import wait_fixed, wait_none
from tenacity.wait import wait_base

from identomat_async import IdentomatClient, RetryPolicy
from identomat_async._wire._transport import library
from identomat_async.errors import (
    ApiError,
    ClientClosedError,
    ConnectionFailedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http

Said = tuple[int, bytes, dict[str, str]] | Exception

OK: tuple[int, bytes, dict[str, str]] = (200, b'{"result":"approved"}', {})
DOWN: Said = (500, b"", {})
UNREACHABLE = httpx.ConnectError("no")


class Service(httpx.AsyncBaseTransport):
    """Says one thing after the other, the last for ever, and notes when it was asked."""

    def __init__(self, *said: Said) -> None:
        self.said = said
        self.times: list[float] = []
        self.closed = 0

    def __call__(self) -> "Service":
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        self.times.append(anyio.current_time())
        said = self.said[min(len(self.times), len(self.said)) - 1]
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said[0], content=said[1], headers=said[2])

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def client(self, *, secret_key: str | None = None, **policy: Any) -> IdentomatClient:
        return IdentomatClient(
            "k", secret_key=secret_key, transport=lambda: self, retry=RetryPolicy(**policy)
        )


def later(seconds: float | str, status: int = 429) -> Said:
    return (status, b"", {"retry-after": str(seconds)})


async def failure(call: Callable[[], Any], kind: type[Exception] = IdentomatError) -> Any:
    with pytest.raises(kind) as caught:
        await call()
    return caught.value


@pytest.mark.parametrize(
    ("method", "said", "requests"),
    [
        ("result", DOWN, 3),
        ("delete", DOWN, 5),
        ("begin", DOWN, 1),
        ("begin", UNREACHABLE, 3),
        ("begin", httpx.ConnectTimeout("no"), 3),
        ("begin", httpx.ReadTimeout("no"), 1),
        ("begin", RuntimeError("a bug of the transport"), 1),
        ("result", RuntimeError("a bug of the transport"), 3),
        ("result", (409, b"", {}), 2),
        ("delete", (409, b"", {}), 5),
        ("result", (400, b"", {}), 1),
        ("result", (501, b"", {}), 1),
        ("delete", (200, b"", {"content-length": "99999999"}), 1),
    ],
)
async def test_each_method_has_its_number_of_attempts(
    method: str, said: Said, requests: int
) -> None:
    service = Service(said)
    async with service.client() as client:
        arguments = () if method == "begin" else ("t",)
        error = await failure(lambda: getattr(client, method)(*arguments))

    assert len(service.times) == error.attempts == requests
    assert type(error).__module__ == "identomat_async.errors"


async def test_one_attempt_means_one_for_everything() -> None:
    service = Service(DOWN)
    async with service.client(attempts=1) as client:
        await failure(lambda: client.delete("t"))

    assert len(service.times) == 1


async def test_a_repeat_that_succeeds_is_all_the_caller_sees() -> None:
    service = Service(DOWN, UNREACHABLE, OK)
    async with service.client(wait=wait_fixed(2)) as client:
        result = await client.result("t")

    assert result.status.is_approved
    assert service.gaps == pytest.approx([2, 2], abs=0.05)


async def test_what_may_have_worked_once_is_not_forgotten_over_a_later_failure() -> None:
    service = Service(DOWN, UNREACHABLE)
    async with service.client() as client:
        error = await failure(lambda: client.delete("t"), ConnectionFailedError)

    assert error.maybe_applied


GONE: Said = (404, b'"SESSION_NOT_FOUND"', {})


async def test_a_deletion_that_is_asked_for_twice_is_one_call() -> None:
    service = Service(httpx.ReadTimeout("late"), GONE, UNREACHABLE)
    async with service.client(secret_key="s", wait=wait_fixed(1)) as client:
        error = await failure(lambda: client.delete("t"), ConnectionFailedError)

    assert error.maybe_applied
    assert error.attempts == len(service.times) == 7
    assert error.elapsed == pytest.approx(5)


async def test_a_deletion_whose_first_word_was_untrue_returns_the_document() -> None:
    code = base64.b64encode(hmac.digest(b"s", OK[1], "sha256")).decode()
    service = Service(GONE, (200, OK[1], {"authorization": f'signature="{code}"'}))
    async with service.client(secret_key="s") as client:
        deleted = await client.delete("t")

    assert deleted is not None
    assert deleted.status.is_approved
    assert len(service.times) == 2


class Dripping(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(1)
            yield b" "


async def test_an_answer_that_drips_takes_no_attempt_longer_than_the_timeout() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        times.append(anyio.current_time())
        return httpx.Response(200, stream=Dripping())

    times: list[float] = []
    client = IdentomatClient(
        "k",
        timeout=3.5,
        transport=lambda: httpx.MockTransport(answer),
        retry=RetryPolicy(wait=wait_none()),
    )
    async with client:
        error = await failure(lambda: client.result("t"), RequestTimeoutError)

    assert [round(time - times[0], 1) for time in times] == [0, 3.5, 7]
    assert (str(error), error.reason, error.maybe_applied) == ("no answer in time", None, True)
    assert error.elapsed == pytest.approx(10.5)


async def test_standing_in_line_for_a_connection_is_no_part_of_an_attempt() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(3)
        return httpx.Response(200, content=OK[1])

    transport = httpx.MockTransport(answer)
    client = IdentomatClient("k", timeout=3.5, max_connections=1, transport=lambda: transport)
    async with client, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(client.result, "t")


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    service = Service(DOWN)
    async with service.client(wait=wait_fixed(10)) as client:
        began = anyio.current_time()
        error = await failure(lambda: client.result("t", deadline=15), ServerError)

    assert anyio.current_time() - began == pytest.approx(10, abs=0.1)
    assert error.attempts == 2
    assert error.elapsed == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(("asked", "status"), [(1.5, 429), (59, 429), (60, 429), (20, 503)])
async def test_the_service_is_left_alone_as_long_as_it_asks(asked: float, status: int) -> None:
    service = Service(later(asked, status), OK)
    async with service.client(wait=wait_fixed(0)) as client:
        await client.result("t", deadline=100)

    assert asked <= service.gaps[0] <= asked * 1.1 + 0.1


@pytest.mark.parametrize(("asked", "deadline"), [(61, 1000), (3600, None), (20, 15)])
async def test_more_than_can_be_waited_is_an_error_at_once(
    asked: float, deadline: float | None
) -> None:
    service = Service(later(asked), OK)
    async with service.client() as client:
        error = await failure(lambda: client.result("t", deadline=deadline), RateLimitedError)
        assert (error.retry_after, error.attempts, error.retryable) == (asked, 1, True)
        assert error.elapsed < 0.1

        again = await failure(lambda: client.result("t", deadline=5), RateLimitedError)
        assert (again.reason, again.attempts, again.maybe_applied) == ("paused", 0, False)
        assert asked < again.retry_after + 0.2

    assert len(service.times) == 1


@pytest.mark.parametrize("value", ["0", "-5", "NaN", "1e309", "soon"])
async def test_a_senseless_time_is_our_own(value: str) -> None:
    service = Service(later(value), OK)
    async with service.client(wait=wait_fixed(3)) as client:
        await client.result("t")

    assert service.gaps == pytest.approx([3], abs=0.05)


async def test_everybody_who_shares_the_client_waits() -> None:
    service = Service(later(10), OK)
    async with service.client() as client:
        await failure(lambda: client.source.look("t", fresh=False), RateLimitedError)
        await client.result("t")

    assert 10 <= service.gaps[0] <= 11.1


UNSOUND = [-5.0, math.nan, math.inf, None, "1", Decimal(1), timedelta(seconds=1), ValueError("x")]


@pytest.mark.parametrize("said", UNSOUND, ids=repr)
async def test_a_strategy_that_makes_no_sense_hides_no_answer(said: object) -> None:
    class Senseless(wait_base):
        def __call__(self, retry_state: object) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

    service = Service(DOWN, OK, DOWN)
    async with service.client(wait=Senseless(), attempts=2) as client:
        await client.result("t")
        error = await failure(lambda: client.result("t"), ServerError)

    assert service.gaps == pytest.approx([0, 0, 0], abs=0.05)
    assert (error.__cause__, error.__context__) == (None, None)
    assert error.__notes__ == [
        f"RetryPolicy.wait gave no seconds to wait, but {type(said).__name__}"
    ]


async def test_a_quota_limits_the_repeats_of_all_calls_together() -> None:
    service = Service(DOWN)
    async with service.client(quota=30) as client:
        for _ in range(3):
            await failure(lambda: client.result("t"), ServerError)

    assert len(service.times) == 3 + 2


async def test_the_deadline_ends_a_wait_for_the_rate() -> None:
    service = Service(OK)
    client = IdentomatClient("k", transport=lambda: service, rate=0.1)
    async with client:
        await client.result("t")
        error = await failure(lambda: client.result("t", deadline=3), RequestTimeoutError)

    assert (error.reason, error.maybe_applied) == ("deadline", False)
    assert client.source.budget is not None
    assert client.source.budget.in_flight == 0


async def test_closing_ends_the_wait_before_a_repeat() -> None:
    service = Service(UNREACHABLE)
    client = service.client(wait=wait_fixed(10))
    async with anyio.create_task_group() as group:
        group.start_soon(failure, client.begin, ClientClosedError)
        await anyio.sleep(1)
        await client.aclose()

    assert len(service.times) == 1


async def test_a_transport_that_does_not_let_go_cannot_hold_up_closing() -> None:
    class Clinging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            raise httpx.ReadError("closed")

        async def aclose(self) -> None:
            raise OSError("it does not close")

    client = IdentomatClient("k", transport=Clinging)
    async with anyio.create_task_group() as group:
        group.start_soon(failure, lambda: client.result("t"))
        await anyio.sleep(1)
        began = anyio.current_time()
        await client.aclose()
        assert anyio.current_time() - began == pytest.approx(1, abs=0.1)


async def test_two_calls_under_way_are_both_awaited_when_closing() -> None:
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anyio.sleep_forever()
            raise AssertionError

    client, ended = IdentomatClient("k", transport=Slow), list[int]()

    async def call(number: int) -> None:
        await failure(lambda: client.result("t"), ClientClosedError)
        ended.append(number)

    async with anyio.create_task_group() as group:
        for number in range(2):
            group.start_soon(call, number)
        await anyio.sleep(1)
        await client.aclose()
        await anyio.wait_all_tasks_blocked()
        assert sorted(ended) == [0, 1]


async def test_an_unknown_code_is_an_error_of_the_service() -> None:
    async with Service((200, b'"SOME_CODE"', {})).client() as client:
        error = await failure(client.begin, ApiError)

    assert (error.reason, error.maybe_applied) == ("unknown-code", False)


async def test_a_pause_holds_back_those_in_line_for_a_connection() -> None:
    times: list[float] = []

    async def answer(_: httpx.Request) -> httpx.Response:
        times.append(anyio.current_time())
        await anyio.sleep(1)
        if len(times) == 1:
            return httpx.Response(429, headers={"retry-after": "30"})
        return httpx.Response(200, json={"result": "approved"})

    client = IdentomatClient(
        "key",
        base_url="http://localhost/",
        transport=lambda: httpx.MockTransport(answer),
        max_connections=1,
        retry=RetryPolicy(attempts=1),
    )
    ended: list[str] = []

    async def call(deadline: float) -> None:
        try:
            ended.append((await client.result("t", deadline=deadline)).status)
        except IdentomatError as error:
            ended.append(type(error).__name__)

    async with client, anyio.create_task_group() as tasks:
        for deadline in (100, 10, 100, 100):
            tasks.start_soon(call, deadline)
            await anyio.sleep(0.1)

    assert sorted(ended) == ["APPROVED", "APPROVED", "RateLimitedError", "RequestTimeoutError"]
    assert len(times) == 3
    assert times[1] - times[0] >= 31
