"""The poller on Docket, with a real server."""

import asyncio
import logging
import math
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from docket import Worker
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from tenacity import wait_fixed

from identomat_async import (
    AuthenticationError,
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    JournalError,
    ServerError,
    SessionGone,
    SessionNotFoundError,
    SessionStatus,
    Settled,
    Until,
    Watch,
)
from identomat_async._polling._state import PollState
from identomat_async.contrib.docket import DocketResultPoller
from identomat_async.contrib.docket._errand import Errand, key_of
from identomat_async.contrib.docket._link import _DISCARD, TASK, Link
from identomat_async.contrib.docket._rate import Place, SharedRate, gaps
from identomat_async.contrib.docket._rounds import lead_of
from identomat_async.contrib.docket._server import lacks
from identomat_async.contrib.docket._shift import task_of, turn
from tests._docket_server import Server
from tests.conftest import FakeSource

MakePoller = Callable[..., DocketResultPoller]


@pytest.fixture
def anyio_backend() -> str:
    # Real time, and the one backend that Docket has.
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def name() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def make(server: Server, name: str, source: FakeSource) -> MakePoller:
    source.timeout = 2.0

    def poller(**options: Any) -> DocketResultPoller:
        said = {"name": name, "wait": wait_fixed(0.5), "concurrency": 30, "lease": 10.0}
        return DocketResultPoller(source, server.url, **(said | {"handler_timeout": 2.0} | options))

    return poller


def errand_of(token: str) -> Errand:
    return Errand.begin(PollState(token=token, begun=time.time(), watched=time.time()))


class Handler:
    """Keeps what it is given, and raises the first so many times."""

    def __init__(self, *, refusing: int = 0) -> None:
        self.refusing = refusing
        self.given: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.given.append(delivery)
        if len(self.given) <= self.refusing:
            raise OSError("Anna Example is not in the database")

    async def has(self, count: int) -> list[Delivery]:
        with anyio.fail_after(20):
            while len(self.given) < count:
                await anyio.sleep(0.02)
        return self.given


@pytest.fixture
def run_beside():
    """Have a worker run for the length of a block."""

    class Running:
        def __init__(self, poller: DocketResultPoller, handler: Any) -> None:
            self.poller, self.handler = poller, handler
            self.tasks = anyio.create_task_group()

        async def __aenter__(self) -> DocketResultPoller:
            await self.tasks.__aenter__()
            await self.tasks.start(self.poller.run, self.handler)
            return self.poller

        async def __aexit__(self, *error: object) -> bool | None:
            self.tasks.cancel_scope.cancel()
            return await self.tasks.__aexit__(*error)

    return Running


async def test_a_session_watched_twice_is_delivered_once(make, source, run_beside):
    source.decides("one", "approved", after=1.0)
    source.says("other", "rejected")
    handler = Handler()

    async with run_beside(make(), handler) as poller:
        await poller.watch("one", reference="user:1")
        await poller.watch("one", reference="user:2")
        await poller.watch_many(["one", Watch("other", reference="user:3")])
        await handler.has(2)
        await anyio.sleep(1)

    given = {each.token: each for each in handler.given}
    assert len(handler.given) == 2
    assert given["one"].reference == "user:1"
    assert given["other"].reference == "user:3"
    assert all(isinstance(each.outcome, Settled) for each in handler.given)
    assert given["one"].outcome.result.person.personal_number == "of one"
    assert not given["one"].redelivered
    assert [fresh for _, token, fresh in source.looks if token == "one"][-2:] == [False, True]


async def test_another_process_watches_what_a_worker_delivers(make, source, run_beside):
    source.says("one", "approved")
    handler = Handler()

    async with run_beside(make(), handler), make() as elsewhere:
        await elsewhere.watch("one")
        await handler.has(1)
        await anyio.sleep(0.3)
        assert await elsewhere.reconcile(["one"]) == 1
        await handler.has(2)

    first, second = handler.given
    assert first.id != second.id


async def test_a_handler_that_raises_is_given_the_same_delivery_again(make, source, run_beside):
    source.says("one", "approved")
    handler = Handler(refusing=2)

    async with run_beside(make(), handler) as poller:
        await poller.watch("one")
        await handler.has(3)
        await anyio.sleep(0.5)
        assert poller.stats().handler_errors == 2

    assert len({each.id for each in handler.given}) == 1
    assert [each.attempt for each in handler.given] == [1, 2, 3]
    assert [each.redelivered for each in handler.given] == [False, True, True]


async def test_what_is_under_way_on_the_server_names_nobody(
    make, source, server, caplog, run_beside
):
    caplog.set_level(logging.DEBUG)
    source.says("token-of-anna", "approved")
    handler = Handler(refusing=1)

    async with run_beside(make(), handler) as poller:
        await poller.watch("token-of-anna", reference="user:1")
        await handler.has(1)
        await anyio.sleep(0.3)
        kept = server.everything()
        await handler.has(2)

    assert b"token-of-anna" in kept
    assert b"of token-of-anna" not in kept
    assert b"Anna Example" not in kept
    assert "token-of-anna" not in caplog.text
    assert "Anna" not in caplog.text


async def test_an_approval_that_was_not_accepted_is_not_taken_back(make, source, run_beside):
    source.says("one", "approved", "approved", "in_progress", "in_progress", "approved")
    handler = Handler(refusing=1)

    async with run_beside(make(), handler) as poller:
        await poller.watch("one", deadline=1.0)
        first, second = await handler.has(2)

    assert first.id == second.id
    assert second.outcome.result.status.is_approved


async def test_what_needs_no_document_is_given_again_without_another_look(make, source, run_beside):
    source.says("open", "in_progress")
    handler = Handler(refusing=1)

    async with run_beside(make(), handler) as poller:
        await poller.watch("open", deadline=0.5)
        await handler.has(1)
        seen = len(source.looks)
        first, second = await handler.has(2)
        assert poller.stats().deadlines_passed == 1

    assert len(source.looks) == seen
    assert (first.id, second.redelivered) == (second.id, True)
    assert isinstance(second.outcome, DeadlinePassed)


async def test_a_session_that_the_service_does_not_know(make, source, run_beside):
    source.says("gone", SessionNotFoundError("no", verified=True))
    handler = Handler(refusing=1)

    async with run_beside(make(gone_window=1.0), handler) as poller:
        await poller.watch("gone")
        _, again = await handler.has(2)

    assert isinstance(again.outcome, SessionGone)
    assert again.outcome.verified


async def test_watching_again_in_the_handler_is_a_watch_of_its_own(make, source, run_beside):
    source.says("one", *["manual_check"] * 3, "approved")
    given: list[Delivery] = []
    poller = make()

    async def handle(delivery: Delivery) -> None:
        given.append(delivery)
        if not delivery.outcome.final:
            await poller.watch("one", until=Until.DECIDED, reference="second")

    async with run_beside(poller, handle):
        await poller.watch("one", reference="first")
        with anyio.fail_after(20):
            while len(given) < 2:
                await anyio.sleep(0.02)

    assert [each.reference for each in given] == ["first", "second"]
    assert given[0].id != given[1].id
    assert given[1].outcome.result.status.is_approved


async def test_a_handler_watches_again_with_a_poller_of_its_own(make, source, run_beside):
    source.says("one", *["manual_check"] * 3, "approved")
    source.says("another", "in_progress")
    given: list[Delivery] = []

    async with make() as own:

        async def handle(delivery: Delivery) -> None:
            given.append(delivery)
            if not delivery.outcome.final:
                await own.watch("another")
                await own.watch("one", until=Until.DECIDED, reference="second")

        async with run_beside(make(), handle):
            await own.watch("one", reference="first")
            with anyio.fail_after(20):
                while len(given) < 2:
                    await anyio.sleep(0.02)

    assert [(each.reference, each.attempt) for each in given] == [("first", 1), ("second", 1)]


@pytest.fixture
def watched_in_between(monkeypatch):
    """Have a session watched just before the engine tells the record of its last run to expire."""

    class Between:
        def __init__(self) -> None:
            self.watch: Callable[[], Any] | None = None

    between, expire = Between(), Redis.expire

    def expire_later(self: Any, key: Any, *arguments: Any, **options: Any) -> Any:
        async def step() -> Any:
            watch, between.watch = between.watch, None
            if watch is not None:
                await watch()
            return await expire(self, key, *arguments, **options)

        is_run = b":runs:" in (key if isinstance(key, bytes) else key.encode())
        return step() if is_run else expire(self, key, *arguments, **options)

    monkeypatch.setattr(Redis, "expire", expire_later)
    return between


async def test_who_is_watched_again_at_the_very_end_is_not_forgotten(
    make, source, server, name, run_beside, watched_in_between
):
    source.says("one", "approved")
    handler = Handler()

    async with run_beside(make(), handler), make() as elsewhere:

        async def again() -> None:
            source.says("one", "in_progress")
            await elsewhere.watch("one", reference="second")

        watched_in_between.watch = again
        await elsewhere.watch("one", reference="first")
        await handler.has(1)
        await anyio.sleep(0.5)
        if watched_in_between.watch is not None:
            await again()
        assert server.ask("TTL", f"{name}:runs:{key_of('one')}") == -1


@pytest.fixture
def just_after(monkeypatch):
    """Have something happen when the server has discarded a session, and nobody knows yet."""

    class After:
        act: Callable[[], Any] | None = None

    after, evaluate = After(), Redis.eval

    async def evaluate_and_act(self: Any, script: str, *arguments: Any) -> Any:
        answer = await evaluate(self, script, *arguments)
        if script is _DISCARD and after.act is not None:
            act, after.act = after.act, None
            await act()
        return answer

    monkeypatch.setattr(Redis, "eval", evaluate_and_act)
    return after


async def test_who_is_watched_again_while_it_is_discarded_is_not_forgotten(
    make, server, name, just_after
):
    # What is due at once would be in the stream, and not in the queue.
    later = {"wait": wait_fixed(60)}
    async with make(**later) as poller, make(**later) as elsewhere:
        await poller.watch("one")
        just_after.act = lambda: elsewhere.watch("one")
        assert await poller.discard("one")

    assert server.ask("ZSCORE", f"{name}:queue", key_of("one")) is not None
    assert server.ask("TTL", f"{name}:runs:{key_of('one')}") == -1


async def test_a_look_at_who_is_discarded_is_called_off_and_not_the_next_watch(
    make, source, run_beside, just_after
):
    source.says("one", "approved")
    source.latency = 2.0
    handler = Handler()

    async with run_beside(make(), handler), make() as poller, make() as elsewhere:
        await poller.watch("one", reference="first")
        with anyio.fail_after(20):
            while not source.in_flight:
                await anyio.sleep(0.01)

        async def again() -> None:
            source.latency = 0.0
            await elsewhere.watch("one", reference="second")

        just_after.act = again
        assert await poller.discard("one")
        await handler.has(1)
        assert source.in_flight == 0

    assert [each.reference for each in handler.given] == ["second"]


@pytest.mark.parametrize("delay", [0.0, 600.0])
async def test_a_discard_that_is_cut_off_leaves_a_session_that_can_be_watched(
    make, server, name, just_after, delay
):
    async with make() as poller:
        await poller._link.add([(errand_of("one"), delay)])
        with anyio.CancelScope() as scope:

            async def cut_off() -> None:
                scope.cancel()
                await anyio.lowlevel.checkpoint()

            just_after.act = cut_off
            await poller.discard("one")
        assert scope.cancelled_caught
        left = [server.ask("ZCARD", f"{name}:queue"), server.ask("XLEN", f"{name}:stream")]
        assert left == [0, 0]
        assert not server.ask("EXISTS", f"{name}:{key_of('one')}")
        assert not await poller.discard("one")
        await poller.watch("one")
        assert await poller.discard("one")


async def test_a_discard_that_the_worker_has_not_heard_of_counts(
    make, source, monkeypatch, run_beside
):
    source.decides("one", "approved", after=2.0)
    source.latency = 0.5
    handler = Handler()

    async with run_beside(make(), handler), make() as elsewhere:
        monkeypatch.setattr(elsewhere._docket, "cancel_channel", lambda _: "to nobody")
        await elsewhere.watch("one")
        with anyio.fail_after(20):
            while not source.in_flight:
                await anyio.sleep(0.01)
        assert await elsewhere.discard("one")
        await anyio.sleep(3)
        assert len(source.looks) == 1
        await elsewhere.watch("one", reference="again")
        await handler.has(1)

    assert [each.reference for each in handler.given] == ["again"]


async def test_who_watches_again_while_it_is_handed_over_is_heard(make, source, run_beside):
    tokens = [f"session-{number}" for number in range(30)]
    for token in tokens:
        source.says(token, "approved")
    given: dict[str, list[str | None]] = {}
    asked = {token: anyio.Event() for token in tokens}

    async def handle(delivery: Delivery) -> None:
        given.setdefault(delivery.token, []).append(delivery.reference)
        await asked[delivery.token].wait()
        await anyio.sleep(0.01 * len(given))

    worker = make(rate=None, concurrency=60)
    async with run_beside(worker, handle), make() as elsewhere:
        await elsewhere.watch_many(Watch(token, reference="first") for token in tokens)

        async def again(token: str, poller: DocketResultPoller) -> None:
            while token not in given:
                await anyio.sleep(0.005)
            assert await poller.reconcile([token]) == 0
            asked[token].set()
            await poller.watch(token, reference="second")

        async with anyio.create_task_group() as tasks:
            for number, token in enumerate(tokens):
                tasks.start_soon(again, token, worker if number % 2 else elsewhere)
        with anyio.fail_after(20):
            while not all(given[token] == ["first", "second"] for token in tokens):
                await anyio.sleep(0.05)


async def test_a_server_that_neither_takes_nor_has_a_session_is_said(make, source, monkeypatch):
    async def no_states(*_: object) -> list[None]:
        return [None]

    monkeypatch.setattr(Link, "_states", no_states)
    monkeypatch.setattr("identomat_async.contrib.docket._link._TRIES", 3)
    async with make() as poller:
        await poller.watch("one")
        with pytest.raises(JournalError, match="neither takes nor has"):
            await poller.watch("one")


async def test_a_handler_that_awaits_something_cancelled_has_raised(make, source, run_beside):
    source.says("one", "approved")
    given: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        given.append(delivery)
        if len(given) == 1:
            cancelled = asyncio.ensure_future(asyncio.sleep(60))
            cancelled.cancel()
            await cancelled

    async with run_beside(make(), handle) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while len(given) < 2:
                await anyio.sleep(0.02)
        assert poller.stats().handler_errors == 1

    assert [each.redelivered for each in given] == [False, True]
    assert given[0].id == given[1].id


async def test_an_approval_that_is_reversed_is_told(make, source, caplog, run_beside):
    source.says("one", "approved", "approved", "rejected")
    handler = Handler(refusing=1)

    async with run_beside(make(), handler) as poller:
        await poller.watch("one")
        _, second = await handler.has(2)

    assert not second.outcome.result.status.is_approved
    assert "hash-of-one was approved, and is no longer" in caplog.text


async def test_what_the_service_calls_a_status_stays_here(make, source, server, run_beside):
    source.says("one", "Anna Canary")

    async with run_beside(make(), Handler()) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while len(source.looks) < 3:
                await anyio.sleep(0.02)
        assert b"Anna Canary" not in server.everything()


async def test_a_clock_that_was_set_back_stops_nobody(server, name):
    rate, held = SharedRate(f"{name}-rate", 10.0), 0
    hour = 3_600_000_000
    async with Redis.from_url(server.url) as redis:
        for _ in range(3):
            held = (await rate.reserve(redis, f"{name}-nudge", held=None, urgent=False)).at
        for field in ("polls", "now"):
            await redis.hincrby(rate.key, field, hour)
        await redis.hset(rate.key, "urgent", held + hour)
        kept = await rate.reserve(redis, f"{name}-nudge", held=held + hour, urgent=False)
        urgent = await rate.reserve(redis, f"{name}-nudge", held=None, urgent=True)

    assert 0 < kept.wait < 1
    assert urgent.wait < 2


async def test_who_has_lost_a_place_does_not_go_to_the_end_of_the_queue(server, name):
    rate = SharedRate(f"{name}-rate", 10.0)
    async with Redis.from_url(server.url) as redis:
        held = (await rate.reserve(redis, f"{name}-nudge", held=None, urgent=False)).at
        for _ in range(20):
            last = await rate.reserve(redis, f"{name}-nudge", held=None, urgent=False)
        await anyio.sleep(0.15)
        again = await rate.reserve(redis, f"{name}-nudge", held=held, urgent=False)

    assert last.wait > 1.5
    assert again.at != held
    assert again.wait < 0.1


async def test_a_confirming_read_does_not_queue_behind_those_who_have_lost_their_places(
    server, name
):
    rate, long_ago = SharedRate(f"{name}-rate", 50.0), 1
    async with Redis.from_url(server.url) as redis:
        for _ in range(200):
            last = await rate.reserve(redis, f"{name}-nudge", held=long_ago, urgent=False)
        urgent = await rate.reserve(redis, f"{name}-nudge", held=None, urgent=True)

    assert last.wait > 3
    assert urgent.wait < 0.3


async def test_the_next_place_is_taken_ahead_only_in_a_long_queue(server, name):
    rate, nudge = SharedRate(f"{name}-rate", 10.0), f"{name}-nudge"
    async with Redis.from_url(server.url) as redis:
        early = await rate.reserve(redis, nudge, held=None, urgent=False, after=1.0)
        for _ in range(20):
            last = await rate.reserve(redis, nudge, held=None, urgent=False)
        urgent = await rate.reserve(redis, nudge, held=None, urgent=True, after=1.0)
        ahead = await rate.reserve(redis, nudge, held=None, urgent=False, after=1.0)
        await redis.set(nudge, b"1")
        nudged = await rate.reserve(redis, nudge, held=None, urgent=False, after=1.0)
        endless = await SharedRate(f"{name}-none", None).reserve(
            redis, nudge, held=None, urgent=False, after=1.0
        )

    assert [each.at for each in (early, urgent, nudged, endless)] == [0, 0, 0, 0]
    assert [each.is_nudged for each in (early, urgent, nudged, endless)] == [
        False,
        False,
        True,
        False,
    ]
    assert ahead.at > last.at
    assert ahead.wait > 1.0


@pytest.mark.parametrize("rate", [0.5, 1, 1.5, 2, 2.5, 3, 5, 9, 10, 11, 12.5, 15, 50, 99])
def test_in_no_second_more_looks_begin_than_the_rate_allows(rate):
    # Each may begin a tenth of a second after its place.
    most = sum(math.ceil(1_100_000 / gap) for gap in gaps(rate) if gap)

    assert most <= max(1, rate)
    assert most >= min(2, math.floor(rate)), "and not many fewer"


@pytest.mark.parametrize(
    ("late", "rate", "concurrency", "lead"),
    [
        (0.0, 50.0, 60, 0.5),
        (0.3, 50.0, 60, 0.8),
        (5.0, 50.0, 60, 0.96),
        (5.0, 100.0, 50, 0.5),
        (5.0, 10.0, 60, 2.0),
        (math.inf, 10.0, 60, 2.0),
        (5.0, None, 60, 0.5),
    ],
)
def test_where_turns_come_late_they_are_called_for_earlier(late, rate, concurrency, lead):
    assert lead_of(late, rate, concurrency) == pytest.approx(lead)


async def test_a_standstill_does_not_have_everybody_called_for_earlier(make, source, run_beside):
    source.says("one", "in_progress")
    of_an_hour_ago = datetime.fromtimestamp(time.time() - 3600, UTC)
    execution = SimpleNamespace(redelivered=False, when=of_an_hour_ago)

    async with run_beside(make(rate=10), Handler()) as poller:
        await turn(poller._shift, errand_of("one").to_json(), execution)
        assert poller._shift.rounds._lead() <= 0.61


async def test_a_plain_function_is_called_in_a_thread(make, source, run_beside):
    source.says("one", "approved")
    given: list[Delivery] = []

    async with run_beside(make(), given.append) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while not given:
                await anyio.sleep(0.02)


async def test_a_handler_that_takes_too_long_counts_as_one_that_raised(make, source, run_beside):
    source.says("one", "approved")
    given: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        given.append(delivery)
        await anyio.sleep(30 if len(given) == 1 else 0)

    async with run_beside(make(handler_timeout=0.2), handle) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while len(given) < 2:
                await anyio.sleep(0.02)

    assert given[0].id == given[1].id


async def test_nobody_is_given_what_was_discarded(make, source, run_beside):
    source.decides("one", "approved", after=2.0)
    handler = Handler()

    async with run_beside(make(), handler) as poller:
        await poller.watch("one")
        await anyio.sleep(1)
        assert await poller.discard("one")
        assert not await poller.discard("one")
        assert not await poller.discard("nobody")
        await anyio.sleep(2.5)

    assert handler.given == []


async def test_who_comes_back_is_looked_at_now_and_soon_again(make, source, run_beside):
    source.says("one", "in_progress")

    async with run_beside(make(wait=wait_fixed(600)), Handler()) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while not source.looks:
                await anyio.sleep(0.02)
        await anyio.sleep(0.5)
        seen, nudged_at = len(source.looks), anyio.current_time()
        assert poller.nudge("one")
        await anyio.sleep(3)
        looks = [at - nudged_at for at, _, _ in source.looks[seen:]]

    assert len(looks) == 2
    assert looks[0] <= 1
    assert 1.5 <= looks[1] - looks[0] <= 2.8


@pytest.mark.parametrize("rate", [50.0, None])
async def test_who_comes_back_during_a_look_is_looked_at_again(make, source, run_beside, rate):
    source.says("one", "in_progress")
    source.latency = 1.0

    async with run_beside(make(wait=wait_fixed(600), rate=rate), Handler()) as poller:
        await poller.watch("one")
        with anyio.fail_after(20):
            while not source.in_flight:
                await anyio.sleep(0.02)
        assert poller.nudge("one")
        with anyio.fail_after(5):
            while len(source.looks) < 2:
                await anyio.sleep(0.02)


async def test_the_account_being_refused_pauses_the_worker_and_ends_no_watch(
    make, source, caplog, run_beside
):
    refused = AuthenticationError("no", status_code=401)
    for number in range(5):
        source.says(f"s{number}", refused)
    handler = Handler()

    poller = make()
    poller.resume()
    async with run_beside(poller, handler):
        await poller.watch_many(f"s{number}" for number in range(5))
        with anyio.fail_after(20):
            while poller.stats().limited_by != "paused":
                await anyio.sleep(0.05)
        await anyio.sleep(0.5)
        seen = len(source.looks)
        await anyio.sleep(2)
        assert len(source.looks) == seen
        assert poller.stats().watched == 5
        assert handler.given == []
        for number in range(5):
            source.says(f"s{number}", "approved")
        for number in range(5):
            poller.nudge(f"s{number}")
        poller.resume()
        await handler.has(1)
        poller.resume()

    assert "polling pauses: AuthenticationError" in caplog.text
    assert "accepts the account again" in caplog.text


async def test_a_service_that_is_down_is_left_alone(make, source, caplog, run_beside):
    down = ServerError("down", status_code=503, retryable=True)
    for number in range(60):
        source.says(f"s{number}", down)

    async with run_beside(make(rate=None), Handler()) as poller:
        await poller.watch_many(f"s{number}" for number in range(60))
        with anyio.fail_after(30):
            while "the service is down" not in caplog.text:
                await anyio.sleep(0.05)
        await anyio.sleep(0.3)  # for those that were on their way
        seen = len(source.looks)
        await anyio.sleep(2)
        assert len(source.looks) - seen <= 4
        # While one is put back it counts twice for a moment.
        with anyio.fail_after(20):
            while poller.stats().watched != 60:
                await anyio.sleep(0.1)


async def test_a_service_that_fails_ends_no_watch(make, source, run_beside):
    down = ServerError("down", status_code=503, retryable=True)
    source.says("one", down, down, "approved")
    handler = Handler()

    async with run_beside(make(), handler) as poller:
        await poller.watch("one")
        await handler.has(1)
        assert poller.stats().errors == {"ServerError": 2}


async def test_the_rate_is_kept_by_two_workers_together(make, source, run_beside):
    for number in range(60):
        source.says(f"s{number}", "in_progress")

    async with run_beside(make(rate=10), Handler()) as one, run_beside(make(rate=10), Handler()):
        await one.watch_many(f"s{number}" for number in range(60))
        await anyio.sleep(5)

    times = [at for at, _, _ in source.looks]
    for at in times:
        assert sum(at <= other < at + 1 for other in times) <= 10
    assert len(times) >= 25


async def test_a_place_that_was_slept_through_is_not_made_up_for(make, source, run_beside):
    for number in range(30):
        source.says(f"s{number}", "in_progress")

    async with run_beside(make(rate=20), Handler()) as poller:
        await poller.watch_many(f"s{number}" for number in range(30))
        for _ in range(6):
            await anyio.sleep(0.3)
            time.sleep(0.3)  # noqa: ASYNC251 - the event loop stands still
        await anyio.sleep(1)

    times = [at for at, _, _ in source.looks]
    for at in times:
        assert sum(at <= other < at + 1 for other in times) <= 20
    assert len(times) >= 20


async def test_thousands_are_watched_in_one_call(make, source):
    async def each():
        for number in range(2001):
            yield f"s{number}"

    async with make() as poller:
        assert await poller.reconcile(each()) == 2001
        assert await poller.reconcile(f"s{number}" for number in range(2002)) == 1


async def test_watching_a_session_that_is_being_looked_at_changes_nothing(make, source, run_beside):
    source.says("one", "in_progress")
    source.latency = 1.0

    async with run_beside(make(), Handler()) as poller, make() as elsewhere:
        await poller.watch("one")
        with anyio.fail_after(20):
            while not source.in_flight:
                await anyio.sleep(0.01)
        assert await elsewhere.reconcile(["one"]) == 0
        assert source.in_flight == 1
        # It may be the last look.
        await elsewhere.watch("one")
        assert source.in_flight == 0


async def test_a_worker_that_was_lost_may_have_delivered(make, source, run_beside):
    source.says("one", "approved")
    handler = Handler()
    errand = errand_of("one")
    lost = SimpleNamespace(redelivered=True, when=datetime.now(UTC))

    async with run_beside(make(), handler) as poller:
        assert await turn(poller._shift, errand.to_json(), lost) is None
        assert await turn(poller._shift, "from a later version", lost) == (
            "from a later version",
            10.0,
        )

    assert handler.given[0].redelivered
    assert await turn(None, errand.to_json(), lost) == (errand.seen_perhaps().to_json(), 10.0)


async def test_what_a_look_has_found_is_kept_when_no_place_can_be_taken_ahead(
    make, source, monkeypatch, run_beside
):
    source.says("one", "manual_check")
    reserve = SharedRate.reserve

    async def away(self: SharedRate, *arguments: Any, **options: Any) -> Place:
        if "after" in options:
            raise RedisConnectionError("away")
        return await reserve(self, *arguments, **options)

    errand = errand_of("one")
    state = attrs.evolve(errand.entry.state, until=Until.DECIDED)
    execution = SimpleNamespace(redelivered=False, when=datetime.now(UTC))
    async with run_beside(make(), Handler()) as poller:
        monkeypatch.setattr(SharedRate, "reserve", away)
        then = await turn(poller._shift, Errand.begin(state).to_json(), execution)

    assert then is not None
    known, delay = then
    assert Errand.from_json(known).entry.state.status is SessionStatus.MANUAL_CHECK
    assert Errand.from_json(known).entry.state.reviewed is not None
    assert delay > 60, "as an operator takes"


async def test_a_full_server_is_said_and_nothing_is_watched(make, server):
    async with make() as poller:
        server.ask("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(JournalError, match="did not take all that is to be watched"):
                await poller.watch("one")
        finally:
            server.ask("CONFIG", "SET", "maxmemory", "0")
        assert await poller.reconcile(["one"]) == 1


async def test_a_server_that_is_away_for_a_while_is_said(tmp_path, source, caplog):
    caplog.set_level(logging.DEBUG, "identomat_async")
    server = Server(tmp_path)
    server.start()
    async with DocketResultPoller(source, server.url) as poller:
        server.kill()
        with pytest.raises(JournalError, match="did not do it"):
            await poller.watch("one")
        poller.nudge("one")
        with anyio.fail_after(20):
            while not ("a nudge was lost" in caplog.text and "no figures" in caplog.text):
                await anyio.sleep(0.05)


async def test_a_server_that_hides_its_settings_is_not_complained_of(tmp_path, source, caplog):
    server = Server(tmp_path, "--rename-command", "CONFIG", "")
    server.start()
    try:
        async with DocketResultPoller(source, server.url):
            pass
    finally:
        server.stop()

    assert "server needs" not in caplog.text


async def test_a_plain_handler_that_hangs_is_waited_for(make, source):
    source.timeout = 0.2
    source.says("one", "approved")
    given: list[Delivery] = []

    def handle(delivery: Delivery) -> None:
        given.append(delivery)
        time.sleep(3)

    async with anyio.create_task_group() as tasks:
        poller = make(handler_timeout=0.2)
        await tasks.start(poller.run, handle)
        await poller.watch("one")
        with anyio.fail_after(20):
            while not given:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()

    assert len(given) == 1


async def test_an_engine_that_fails_is_told(make, monkeypatch):
    async def fail(_: object) -> None:
        raise RuntimeError("the engine")

    monkeypatch.setattr(Worker, "run_forever", fail)

    with pytest.raises(RuntimeError, match="the engine"):
        await make().run(Handler())


async def test_drain_finishes_what_is_in_hand(make, source):
    source.says("one", "approved")
    source.latency = 0.5
    handler, poller = Handler(), make()

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, handler)
        await poller.watch("one")
        with anyio.fail_after(20):
            while not source.looks:
                await anyio.sleep(0.02)
        await poller.drain()
        assert poller.stats().role == "idle"

    assert [each.token for each in handler.given] == ["one"]
    await poller.drain()


async def test_stats_tell_of_all_machines_and_of_this_one(make, source, run_beside):
    source.says("one", "in_progress")
    source.says("other", "approved")
    handler = Handler()

    async with make() as elsewhere:
        assert elsewhere.stats().role == "idle"
        async with run_beside(make(), handler) as poller:
            await poller.watch("one")
            await poller.watch("other")
            await handler.has(1)
            await anyio.sleep(2.5)
            here, there = poller.stats(), elsewhere.stats()

    assert (here.role, here.watched, there.watched) == ("active", 1, 1)
    assert here.polls >= 4
    assert here.confirmations == 1
    assert here.last_answer_age < 2
    assert there.polls == 0
    assert repr(elsewhere) == "<DocketResultPoller of 1 sessions>"


async def test_arguments_that_cannot_work_are_refused(make, source, server):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"lease": 5.0}, "lease must be more than 5 s"),
        ({"lease": 7.0, "rate": 10}, "lease must be more than 8 s"),
        ({"concurrency": 200}, "200 looks at a time need 208 connections, and the pool has 100"),
        ({"rate": 200}, "a rate of 200 needs a concurrency of 100 or more"),
        ({"rate": 0}, "per_second must be a finite number above 0"),
        ({"concurrency": 0}, "concurrency must be a whole number"),
        ({"until": "never"}, "until must be"),
    ]
    for options, words in cases:
        with pytest.raises(ConfigurationError, match=words):
            make(**options)
    with pytest.raises(ConfigurationError, match="client must be an IdentomatClient"):
        DocketResultPoller(object(), server.url)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="url must be that of a server"):
        DocketResultPoller(source, "localhost:6379")

    poller = make()
    for act in (poller.watch("one"), poller.reconcile(["one"]), poller.discard("one")):
        with pytest.raises(ConfigurationError, match="enter this DocketResultPoller first"):
            await act
    with pytest.raises(ConfigurationError, match="enter this DocketResultPoller first"):
        poller.nudge("one")
    with pytest.raises(ConfigurationError, match="on_delivery must be a function"):
        await poller.run(None)  # type: ignore[arg-type]
    async with poller:
        with pytest.raises(ConfigurationError, match="in use already"):
            await poller.__aenter__()


async def test_one_poller_runs_once(make, source, run_beside):
    async with run_beside(make(), Handler()) as poller:
        with pytest.raises(ConfigurationError, match="runs already"):
            await poller.run(Handler())


async def test_a_server_that_is_not_there_is_said(source):
    source.timeout = 2.0
    poller = DocketResultPoller(source, "redis://127.0.0.1:9/0", lease=60)

    with pytest.raises(JournalError, match="server did not do it: ConnectionError"):
        await poller.__aenter__()


async def test_a_server_that_forgets_is_warned_of(tmp_path, source, caplog):
    server = Server(tmp_path, "--appendonly", "no")
    server.start()
    try:
        async with DocketResultPoller(source, server.url):
            pass
    finally:
        server.stop()

    assert "the Redis or Valkey server needs appendonly yes" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, []),
        ({b"appendonly": b"yes", b"appendfsync": b"always", b"maxmemory": b"0"}, []),
        ({"appendonly": "no"}, ["appendonly yes"]),
        ({"appendonly": "yes", "appendfsync": "no"}, ["appendfsync always or everysec"]),
        ({"maxmemory": "1000000", "maxmemory-policy": "allkeys-lru"}, ["maxmemory-policy"]),
        ({"maxmemory": "1000000", "maxmemory-policy": "noeviction"}, []),
    ],
)
def test_what_a_server_lacks(settings: dict[Any, Any], words: list[str]) -> None:
    said = lacks(settings)

    assert len(said) == len(words)
    assert all(text.startswith(word) for text, word in zip(said, words, strict=True))


def test_the_task_has_the_name_by_which_other_workers_know_it() -> None:
    assert task_of(lambda: None).__name__ == TASK


def test_an_errand_comes_back_as_it_went() -> None:
    state = PollState(token="one", begun=1.5, watched=2.5, reference="user:1")
    errand = Errand(entry=Errand.begin(state).entry, place=17).seen_perhaps()
    delivery = errand.delivery_of(DeadlinePassed(token="one", last_error=ServerError("down")))
    refused = errand.refused(delivery, "OSError")

    for each in (errand, refused):
        assert Errand.from_json(each.to_json()) == each
    assert refused.entry.last_error == "ServerError"
    assert refused.delivery_of(delivery.outcome).id == delivery.id
    assert "one" not in key_of("one")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"entry": 1}', '{"entry": {"state": "{}"}}'])
def test_an_errand_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Errand.from_json(text)


def test_trio_is_refused_in_words(make) -> None:
    async def enter() -> None:
        async with make():
            raise AssertionError

    with pytest.raises(ConfigurationError, match="needs asyncio"):
        anyio.run(enter, backend="trio")


@pytest.mark.parametrize("missing", ["docket", "redis"])
def test_without_its_extra_it_says_what_to_install(missing):
    program = f"import sys; sys.modules[{missing!r}] = None\nimport identomat_async.contrib.docket"
    ran = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert f"many machines need {missing}" in ran.stderr
    assert "pip install 'identomat-async[docket]'" in ran.stderr
