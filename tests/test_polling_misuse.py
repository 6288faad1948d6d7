"""What callers get wrong about a poller, and what they are told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from identomat_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlinePassed,
    ResultPoller,
    Settled,
    Watch,
    events,
)

REFUSED = AuthenticationError("the key", status_code=401)


async def observe(event: object) -> None:
    """Be what an observer must not be."""


class Observer:
    async def __call__(self, event: object) -> None:
        """Be that as an object."""


async def handle(delivery: object) -> None:
    """Accept whatever comes."""


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        pytest.param({"buffer": 0}, "buffer must be a whole number", id="no-buffer"),
        pytest.param({"buffer": "10"}, "buffer must be a whole number", id="text-buffer"),
        pytest.param({"buffer": True}, "buffer must be a whole number", id="true-buffer"),
        pytest.param({"observers": observe}, "list of functions", id="one-observer"),
        pytest.param({"observers": [observe]}, "plain functions", id="async-observer"),
        pytest.param({"observers": [Observer()]}, "plain functions", id="async-object"),
        pytest.param({"observers": ["log"]}, "functions that take an event", id="no-observer"),
        pytest.param({"rate": 1e-300}, "per_second", id="hardly-any-rate"),
        pytest.param({"rate": "50"}, "rate must be requests per second", id="text-rate"),
    ],
)
async def test_a_poller_that_cannot_work_is_refused(
    source: Any, keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ResultPoller(source, **keywords)


@pytest.mark.parametrize("client", ["the company key", None, 7])
async def test_a_poller_of_something_else_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="client must be an IdentomatClient"):
        ResultPoller(client)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        pytest.param({"begun": 30.0}, "begun must be an aware datetime", id="seconds-ago"),
        pytest.param({"begun": timedelta(minutes=1)}, "begun must be", id="a-while-ago"),
        pytest.param({"begun": datetime(2026, 1, 1)}, "time zone", id="naive"),  # noqa: DTZ001
        pytest.param({"reference": 7}, "reference must be text", id="number"),
    ],
)
async def test_a_watch_on_impossible_terms_is_refused(
    source: Any, keywords: dict[str, Any], said: str
) -> None:
    poller = ResultPoller(source)

    with pytest.raises(ConfigurationError, match=said):
        await poller.watch("one", **keywords)
    with pytest.raises(ConfigurationError, match=said):
        await poller.watch_many([Watch("one", **keywords)])

    assert len(poller) == 0


@pytest.mark.parametrize(
    ("handler", "keywords", "said"),
    [
        pytest.param(None, {}, "on_delivery must be a function", id="no-handler"),
        pytest.param(handle, {"concurrency": 0}, "concurrency must be a whole", id="nobody"),
        pytest.param(handle, {"concurrency": 1.5}, "concurrency must be a whole", id="half"),
        pytest.param(handle, {"on_account_error": "rais"}, "'pause' or 'raise'", id="typo"),
    ],
)
async def test_a_service_that_cannot_work_is_refused(
    source: Any, handler: Any, keywords: dict[str, Any], said: str
) -> None:
    poller = ResultPoller(source)

    with pytest.raises(ConfigurationError, match=said):
        await poller.run(handler, **keywords)

    assert poller.stats().role == "idle"


async def test_another_thread_is_told_how_to_nudge(source: Any) -> None:
    source.says("one", "in_progress")
    poller = ResultPoller(source)
    poller.nudge("one")  # nothing lives anywhere yet
    await poller.watch("one")

    for call in (lambda: poller.nudge("one"), poller.resume):
        with pytest.raises(ConfigurationError, match=r"anyio\.from_thread\.run_sync"):
            await anyio.to_thread.run_sync(call)
        call()


async def test_a_block_goes_on_after_the_account_was_refused_once_resumed(source: Any) -> None:
    source.says("one", *[REFUSED] * 2, "approved")

    async with ResultPoller(source) as poller:
        await poller.watch("one")
        with pytest.raises(AuthenticationError):
            await anext(poller)
        with pytest.raises(AuthenticationError):
            await anext(poller)
        poller.resume()
        outcome = await anext(poller)
        assert (await poller.wait("one")).status == "APPROVED"

    assert isinstance(outcome, Settled)


async def test_a_closed_client_is_not_resumed(source: Any) -> None:
    source.says("one", ClientClosedError("closed", operation="result", attempts=1))

    async with ResultPoller(source) as poller:
        await poller.watch("one")
        with pytest.raises(ClientClosedError):
            await anext(poller)
        poller.resume()
        with pytest.raises(ClientClosedError):
            await anext(poller)


async def test_a_second_watch_tells_since_when_the_session_is_open(source: Any) -> None:
    source.says("one", "in_progress")
    began = datetime.now(UTC) - timedelta(minutes=5)
    poller = ResultPoller(source)

    await poller.watch("one")
    await poller.watch("one", begun=began)
    await poller.watch("one")

    session = poller.session("one")
    assert session is not None
    assert abs((session.begun - began).total_seconds()) < 1
    demand = poller._core.engine.roster.demand
    assert demand.live == 1
    assert [round(age / 10) for age, count in demand._census.ages(poller._core.engine.now(), 900)]


async def test_an_observer_may_nudge_and_discard_what_it_hears_of(source: Any) -> None:
    source.says("one", "in_progress")
    source.says("two", "in_progress")
    answers = []

    def observer(event: object) -> None:
        if isinstance(event, events.PollFinished) and not answers:
            answers.append(poller.nudge("one"))

    poller = ResultPoller(source, observers=[observer], deadline=200)
    async with poller:
        await poller.watch("one")
        outcome = await anext(poller)

    assert answers == [True]
    assert isinstance(outcome, DeadlinePassed)
    # The look that was just made is the first of those that a nudge asks for.
    assert source.times("one")[:3] == pytest.approx([0, 2, 5], abs=0.1)


async def test_an_observer_may_discard_a_session_whose_look_it_hears_of(source: Any) -> None:
    source.says("one", "approved")
    reports = []

    def observer(event: object) -> None:
        if isinstance(event, events.PollFinished):
            reports.append(poller.stats().watched)
            poller._core.desk.discard("one")

    poller = ResultPoller(source, observers=[observer], forever=True)
    async with poller:
        await poller.watch("one")
        await anyio.sleep(300)
        assert len(poller) == 0

    assert reports == [1]
    assert len(source.looks) == 1


async def test_nothing_more_is_asked_of_a_session_discarded_before_its_document(
    source: Any,
) -> None:
    source.says("one", "approved")
    source.latency = 1.0

    async with ResultPoller(source, rate=0.1, forever=True) as poller:
        await poller.watch("one")
        while not source.looks:
            await anyio.sleep(0.01)
        await anyio.sleep(2)  # it is answered, and the document is next
        await poller.discard("one")
        await anyio.sleep(60)

    assert source.looks[1:] == []


async def test_a_look_is_cut_off_in_time_while_another_stands_in_line(source: Any) -> None:
    source.timeout = 5.0
    source.says("stuck", 1e9, "in_progress")
    source.says("decided", "approved")
    long_ago = datetime.now(UTC) - timedelta(minutes=3)

    async with ResultPoller(source, rate=0.03, deadline=None, forever=True) as poller:
        await poller.watch("decided", begun=long_ago)
        while not source.looks:
            await anyio.sleep(0.1)
        await poller.watch("stuck", begun=long_ago)
        while len(source.looks) < 3:
            await anyio.sleep(1)
        await anyio.sleep(6)
        errors = poller.stats().errors

    assert errors == {"RequestTimeoutError": 1}


async def test_many_from_a_source_that_never_waits_leave_others_their_turn(source: Any) -> None:
    async def rows() -> Any:
        for number in range(3000):
            yield f"session-{number}"

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await poller.watch_many(rows())
        tasks.cancel_scope.cancel()

    assert len(poller) == 3000
    assert turns >= 5


async def test_who_waits_goes_on_when_nothing_is_watched_any_more(source: Any) -> None:
    source.decides("awaited", "approved", after=100)
    source.says("watched", "in_progress")
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        results: list[Any] = []

        async def wait() -> None:
            results.append(await poller.wait("awaited"))

        tasks.start_soon(wait)
        await poller.watch("watched")
        await anyio.sleep(10)
        poller._core.desk.clear()
        assert "watched" not in poller

    assert [result.status for result in results] == ["APPROVED"]
    assert poller.stats().watched == 0


async def test_the_same_session_as_a_token_and_as_a_watch_is_one(source):
    begun = datetime.now(UTC) - timedelta(minutes=5)
    source.says("one", "approved")
    source.says("other", "approved")

    async with ResultPoller(source) as poller:
        await poller.watch_many(["one", Watch("one", begun=begun, reference="user:1"), "other"])
        outcomes = {(await anext(poller)).token: None for _ in range(2)}
        demand = poller._core.engine.roster.demand.all

    assert outcomes.keys() == {"one", "other"}
    assert demand == 0
