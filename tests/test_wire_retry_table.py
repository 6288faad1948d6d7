"""The retry policy as a table: what is answered, and what a call makes of it."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from importlib import import_module
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from identomat_async import IdentomatClient, Media, RetryPolicy
from identomat_async._wire._retry import Quota, wait_fault
from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    IdentomatError,
    MediaNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    ServerError,
    SessionNotFoundError,
    UnexpectedRedirectError,
)

# The library that a client uses in this run.
httpx: Any = import_module((IdentomatClient.__init__.__kwdefaults__ or {}).get("engine") or "httpx")

QUOTA, POINTS = 500, 100
LONGEST = RetryPolicy(wait=wait_fault(random=lambda: 1.0), quota=QUOTA)

CALLS: dict[str, Callable[[IdentomatClient], Awaitable[object]]] = {
    "begin": lambda client: client.begin(),
    "result": lambda client: client.result("t"),
    "delete": lambda client: client.delete("t"),
    "media": lambda client: client.media("t", Media.FACE),
}
GOOD = {
    "begin/": b'"a1b2"',
    "result/": b'{"result":"approved"}',
    "delete/": b'{"result":"approved"}',
    "face/": b"\xff\xd8",
}
RAISED: dict[str, Exception] = {
    "unreachable": httpx.ConnectError("no"),
    "no-connection": httpx.ConnectTimeout("no"),
    "pool": httpx.PoolTimeout("no"),
    "reset": httpx.ReadError("no"),
    "unsent": httpx.WriteError("no"),
    "closed": httpx.RemoteProtocolError("Server disconnected without sending a response."),
    "garbage": httpx.RemoteProtocolError("illegal status line"),
    "silence": httpx.ReadTimeout("no"),
}
BODIES = {
    "cut": b'{"resu',
    "page": b"<html>",
    "empty": b"",
    "unknown": b'"SESSION_NOT_FOUND"',
    "argument": b'{"argumentError":"x"}',
}


class Service(httpx.AsyncBaseTransport):
    """Gives one answer after the other, the last for ever, and notes when."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.times: list[float] = []

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times)]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        said = self.answers[min(len(self.times), len(self.answers) - 1)]
        self.times.append(anyio.current_time())
        if said in RAISED:
            raise RAISED[said]
        if said == "ok":
            path = request.url.path
            return httpx.Response(200, content=GOOD[path[path.rindex("/", 0, -1) + 1 :]])
        if said in BODIES:
            return httpx.Response(200, content=BODIES[said])
        if said == "large":
            return httpx.Response(200, headers={"content-length": "99999999"})
        status, _, later = said.partition("+")
        return httpx.Response(int(status), headers={"retry-after": later} if later else {})


@attrs.frozen
class Row:
    """What a call comes to: waits, points left of 100, class, whether it may have worked."""

    method: str
    answers: str
    waits: list[float]
    points: int
    error: type[IdentomatError] | None = None
    applied: bool = False

    def __str__(self) -> str:
        return f"{self.method}: {self.answers}"


# A repeat costs 14 (5 when throttled), comes back with success; a plain success gives 1.
TABLE = [
    *[Row(method, "ok", [], 101) for method in CALLS],
    # begin: only what cannot have been processed.
    Row("begin", "unreachable ok", [0.25], 100),
    Row("begin", "unreachable", [0.25, 0.5], 72, ConnectionFailedError),
    Row("begin", "no-connection", [0.25, 0.5], 72, RequestTimeoutError),
    Row("begin", "pool", [0.25, 0.5], 72, RequestTimeoutError),
    Row("begin", "429", [1, 2], 90, RateLimitedError),
    Row("begin", "429 unreachable ok", [1, 0.5], 100),
    Row("begin", "425", [0.25, 0.5], 72, ServerError),
    Row("begin", "503", [], 100, ServerError, applied=True),
    Row("begin", "unreachable 500", [0.25], 86, ServerError, applied=True),
    Row("begin", "500", [], 100, ServerError, applied=True),
    Row("begin", "502", [], 100, ServerError, applied=True),
    Row("begin", "408", [], 100, RequestTimeoutError, applied=True),
    Row("begin", "409", [], 100, ApiError),
    Row("begin", "closed", [], 100, ConnectionFailedError, applied=True),
    Row("begin", "reset", [], 100, ConnectionFailedError, applied=True),
    Row("begin", "unsent", [], 100, ConnectionFailedError, applied=True),
    Row("begin", "silence", [], 100, RequestTimeoutError, applied=True),
    Row("begin", "garbage", [], 100, ResponseDecodeError, applied=True),
    Row("begin", "cut", [], 100, ResponseDecodeError, applied=True),
    Row("begin", "page", [], 100, ResponseDecodeError, applied=True),
    Row("begin", "empty", [], 100, ResponseDecodeError, applied=True),
    Row("begin", "large", [], 100, ResponseTooLargeError, applied=True),
    Row("begin", "argument", [], 100, ApiError),
    # result: every passing fault, three requests.
    Row("result", "500 ok", [0.25], 100),
    Row("result", "500 500 ok", [0.25, 0.5], 100),
    Row("result", "500", [0.25, 0.5], 72, ServerError, applied=True),
    Row("result", "500 unreachable", [0.25, 0.5], 72, ConnectionFailedError, applied=True),
    Row("result", "unreachable", [0.25, 0.5], 72, ConnectionFailedError),
    Row("result", "reset closed ok", [0.25, 0.5], 100),
    Row("result", "silence", [0.25, 0.5], 72, RequestTimeoutError, applied=True),
    Row("result", "garbage", [0.25, 0.5], 72, ResponseDecodeError, applied=True),
    Row("result", "cut page ok", [0.25, 0.5], 100),
    Row("result", "empty", [0.25, 0.5], 72, ResponseDecodeError, applied=True),
    Row("result", "large", [0.25, 0.5], 72, ResponseTooLargeError, applied=True),
    Row("result", "408", [0.25, 0.5], 72, RequestTimeoutError, applied=True),
    Row("result", "429", [1, 2], 90, RateLimitedError),
    Row("result", "500 429 ok", [0.25, 2], 100),
    Row("result", "409", [0.25], 86, ApiError),
    Row("result", "423 ok", [0.25], 100),
    Row("result", "503", [0.25, 0.5], 72, ServerError, applied=True),
    Row("result", "522 ok", [0.25], 100),
    Row("result", "501", [], 100, ServerError, applied=True),
    Row("result", "505", [], 100, ServerError, applied=True),
    Row("result", "400", [], 100, ApiError),
    Row("result", "401", [], 100, AuthenticationError),
    Row("result", "403", [], 100, AuthenticationError),
    Row("result", "404", [], 100, ApiError),
    Row("result", "413", [], 100, ApiError),
    Row("result", "307", [], 100, UnexpectedRedirectError),
    Row("result", "unknown", [], 100, SessionNotFoundError),
    # delete: five requests, and a conflict is waited out.
    Row("delete", "500", [0.25, 0.5, 1, 2], 44, ServerError, applied=True),
    Row("delete", "500 500 500 500 ok", [0.25, 0.5, 1, 2], 100),
    Row("delete", "409", [0.25, 0.5, 1, 2], 44, ApiError),
    Row("delete", "429", [1, 2, 4, 8], 80, RateLimitedError),
    Row("delete", "unknown", [], 100),
    Row("delete", "500 unknown", [0.25], 86),
    Row("delete", "large", [], 100, ResponseTooLargeError, applied=True),
    Row("delete", "401", [], 100, AuthenticationError),
    # media: as result, and one that is not there is not looked for again.
    Row("media", "reset ok", [0.25], 100),
    Row("media", "500", [0.25, 0.5], 72, ServerError, applied=True),
    Row("media", "429", [1, 2], 90, RateLimitedError),
    Row("media", "page", [0.25, 0.5], 72, ResponseDecodeError, applied=True),
    Row("media", "404", [], 100, MediaNotFoundError),
    Row("media", "unknown", [], 100, SessionNotFoundError),
]


async def outcome_of(call: Awaitable[object]) -> IdentomatError | None:
    try:
        await call
    except IdentomatError as error:
        return error
    return None


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_each_sequence_of_answers_comes_to_what_the_table_says(row: Row) -> None:
    service = Service(*row.answers.split())
    async with IdentomatClient("k", transport=lambda: service, retry=LONGEST) as client:
        client.source.quota.points = POINTS
        error = await outcome_of(CALLS[row.method](client))

    assert service.gaps == pytest.approx(row.waits, abs=0.01)
    assert client.source.quota.points == row.points
    assert type(error) is (row.error or type(None))
    if error is not None:
        assert error.attempts == len(service.times) == len(row.waits) + 1
        assert error.maybe_applied is row.applied


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "5"])
def test_a_quota_is_a_whole_number_or_none(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"whole number; None means no quota$"):
        RetryPolicy(quota=wrong)
    assert RetryPolicy(quota=0).quota == 0


def test_without_a_quota_repeats_cost_nothing() -> None:
    quota = Quota(None)

    assert (quota.points, quota.spend(IdentomatError("no")), quota.points) == (0, 0, 0)
    assert Quota(7).points == 7


@pytest.mark.parametrize(
    ("points", "answers", "requests", "left"),
    [(13, "500", 1, 13), (14, "500", 2, 0), (27, "500", 2, 13), (4, "429", 1, 4), (9, "429", 2, 4)],
)
async def test_without_the_points_for_it_nothing_is_repeated(
    points: int, answers: str, requests: int, left: int
) -> None:
    service = Service(answers)
    async with IdentomatClient("k", transport=lambda: service, retry=LONGEST) as client:
        client.source.quota.points = points
        error = await outcome_of(client.result("t"))

    assert isinstance(error, ServerError | RateLimitedError)
    assert (len(service.times), client.source.quota.points) == (requests, left)
    assert (error.reason, error.retryable) == ("quota", True)


async def test_the_reason_that_an_error_has_stays() -> None:
    service = Service("page")
    async with IdentomatClient("k", transport=lambda: service, retry=LONGEST) as client:
        client.source.quota.points = 0
        error = await outcome_of(client.result("t"))

    assert error is not None
    assert error.reason == "content-type"


# --- what the service asks for ---------------------------------------------------------

NOW = 1_700_000_000


def date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


ASKED: dict[str, tuple[Mapping[str, str] | list[tuple[str, str]], float, float]] = {
    "whole": ({"retry-after": "3"}, 3, 3.3),
    "fraction": ({"retry-after": "2.5"}, 2.5, 2.75),
    "least": ({"retry-after": "0.000001"}, 1, 1),
    "longest": ({"retry-after": "60"}, 60, 66),
    "date": ({"retry-after": date(NOW + 7), "date": date(NOW)}, 7, 7.7),
    "date-of-a-wrong-clock": ({"retry-after": date(7), "date": date(0)}, 7, 7.7),
    "date-in-the-past": ({"retry-after": date(NOW - 7), "date": date(NOW)}, 1, 1),
    "two-headers": ([("retry-after", "2"), ("retry-after", "5")], 5, 5.5),
    "two-in-one": ({"retry-after": "5, 2"}, 5, 5.5),
    "one-of-two-is-junk": ([("retry-after", "soon"), ("retry-after", "5")], 5, 5.5),
    "zero": ({"retry-after": "0"}, 1, 1),
    "negative": ({"retry-after": "-5"}, 1, 1),
    "nan": ({"retry-after": "NaN"}, 1, 1),
    "too-large-a-power": ({"retry-after": "1e309"}, 1, 1),
    "infinity": ({"retry-after": "Infinity"}, 1, 1),
    "eleven-digits": ({"retry-after": "12345678901"}, 1, 1),
    "hex": ({"retry-after": "0x10"}, 1, 1),
    "other-digits": ([("retry-after", "٣")], 1, 1),
    "junk": ({"retry-after": "soon"}, 1, 1),
    "nothing": ({"retry-after": ""}, 1, 1),
}


def asking(*answers: httpx.Response) -> tuple[list[float], IdentomatClient]:
    times = list[float]()

    async def answer(_: httpx.Request) -> httpx.Response:
        times.append(anyio.current_time())
        return answers[min(len(times), len(answers)) - 1]

    return times, IdentomatClient("k", transport=lambda: httpx.MockTransport(answer), retry=LONGEST)


def headers_of(asked: Any) -> list[tuple[bytes, bytes]]:
    pairs = asked if isinstance(asked, list) else asked.items()
    return [(name.encode(), value.encode()) for name, value in pairs]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("name", ASKED)
async def test_the_wait_is_what_the_service_asks_for_or_else_our_own(
    name: str, status: int
) -> None:
    asked, least, most = ASKED[name]
    ours = 1 if status == 429 else 0.25
    if most == 1:
        least = most = ours
    times, client = asking(
        httpx.Response(status, headers=headers_of(asked)),
        httpx.Response(200, json={"result": "approved"}),
    )
    async with client:
        await client.result("t", deadline=100)

    assert least - 0.001 <= times[1] - times[0] <= most + 0.001


async def test_a_date_without_the_clock_of_the_service_counts_from_ours() -> None:
    later = httpx.Response(429, headers={"retry-after": date(time.time() + 10)})
    times, client = asking(later, httpx.Response(200, json={"result": "approved"}))
    async with client:
        await client.result("t", deadline=100)

    # A date has no fractions of a second, and the real clock went on a little.
    assert 8 <= times[1] - times[0] <= 11.1


@pytest.mark.parametrize("asked", ["61", "99999999", "9999999999", date(NOW + 61)])
async def test_beyond_a_minute_the_caller_is_told_at_once(asked: str) -> None:
    headers = {"retry-after": asked, "date": date(NOW)}
    times, client = asking(httpx.Response(429, headers=headers))
    async with client:
        error = await outcome_of(client.result("t", deadline=10**6))
        paused = client.source.pause.remaining()

    assert isinstance(error, RateLimitedError)
    assert len(times) == error.attempts == 1
    assert error.elapsed == pytest.approx(0, abs=0.01)
    assert error.retry_after == (float(asked) if asked.isdigit() else 61)
    # An hour is the longest that a service is believed.
    assert min(error.retry_after, 3600) <= paused <= min(error.retry_after, 3600) * 1.1


async def test_where_no_request_is_left_the_next_one_waits_although_all_is_well() -> None:
    last = httpx.Response(
        200, json={"result": "approved"}, headers={"RateLimit": '"default";r=0;t=20'}
    )
    times, client = asking(last, httpx.Response(200, json={"result": "approved"}))
    async with client:
        await client.result("t")
        await client.result("t")

    assert 20 <= times[1] - times[0] <= 22.1


# --- ten thousand calls ----------------------------------------------------------------


class Crowd(httpx.AsyncBaseTransport):
    """Answers with *status*, a share of all requests."""

    def __init__(self, status: int, *, share: float = 1.0) -> None:
        self.status = status
        self.share = share
        self.requests = 0
        self._random = random.Random(5)  # noqa: S311 - the same every time

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        self.requests += 1
        if self._random.random() < self.share:
            return httpx.Response(self.status)
        return httpx.Response(200, content=GOOD["result/"])


async def succeeding(service: Crowd, calls: int) -> int:
    """Make so many calls, 50 at a time; return how many succeeded."""
    left = iter(range(calls))
    failures = list[IdentomatError]()

    async def work(client: IdentomatClient) -> None:
        for _ in left:
            if error := await outcome_of(client.result("t")):
                failures.append(error)

    client = IdentomatClient("k", transport=lambda: service)
    async with client, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(work, client)
    assert {type(error) for error in failures} <= {ServerError, RateLimitedError}
    return calls - len(failures)


# What is counted here does not depend on the event loop, and takes a while.
@pytest.mark.thorough
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.parametrize(("status", "calls", "repeats"), [(503, 10_000, 36), (429, 1_000, 101)])
async def test_a_service_that_is_down_is_asked_hardly_more_than_it_is_called(
    status: int, calls: int, repeats: int
) -> None:
    service = Crowd(status)

    assert await succeeding(service, calls) == 0
    assert calls + repeats - 1 == service.requests


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_few_faults_are_hardly_noticed() -> None:
    service = Crowd(503, share=0.05)

    assert await succeeding(service, 2_000) >= 0.999 * 2_000
    assert 2_000 < service.requests <= 1.07 * 2_000
