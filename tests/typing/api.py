"""What a type checker knows of the public API; it is read by mypy and basedpyright, and not run."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import assert_never, assert_type

import anyio
from tenacity import wait_exponential_jitter, wait_fixed

from identomat_async import (
    DeadlinePassed,
    Delivery,
    Flags,
    IdentomatClient,
    IdentomatError,
    Media,
    MediaContent,
    MemoryJournal,
    Option,
    Outcome,
    Pending,
    PollerStats,
    PollFailed,
    PollPolicy,
    PollState,
    Question,
    QuestionType,
    RateBudget,
    RateLimitedError,
    ResultPoller,
    RetryPolicy,
    ScreeningPerson,
    SessionGone,
    SessionResult,
    SessionStatus,
    Settled,
    SqliteJournal,
    Until,
    UserQuestionnaire,
    WaitTimeoutError,
    Watch,
    WatchedSession,
    events,
    poll_step,
    sweep,
    wait_learned,
    wait_person,
)
from identomat_async.contrib.docket import DocketResultPoller
from identomat_async.contrib.otel import OtelResultPoller
from identomat_async.sandbox import Sandbox


async def the_client(client: IdentomatClient) -> None:
    steps = [
        UserQuestionnaire(
            "about",
            questions=[
                Question(
                    "why",
                    title={"en": "Why?"},
                    type=QuestionType.OPTIONS,
                    options=[Option("a", title="A")],
                )
            ],
        )
    ]
    token = await client.begin(Flags(liveness=True, return_url="https://shop.example"), steps=steps)
    assert_type(token, str)
    assert_type(await client.begin({"liveness": True}), str)
    assert_type(client.widget_url(token), str)
    assert_type(await client.result(token), SessionResult)
    assert_type(await client.delete(token), SessionResult | None)
    assert_type(await client.media(token, Media.FACE), MediaContent)
    assert_type(await client.save_media(token, Media.FACE, "face.jpg"), Path)
    assert_type(await client.screening_person("person"), ScreeningPerson)
    assert_type(await client.call("other/", {"x": 1}), object)
    assert_type(await client.wait(token, deadline=timedelta(hours=1)), SessionResult)
    assert_type(await client.wait_all([token], until=Until.DECIDED), dict[str, Outcome])
    async with client.scoped(keep=lambda result: result.status.is_approved) as scoped:
        assert_type(scoped, str)
    assert_type(IdentomatClient.from_env(timeout=5), IdentomatClient)
    async with client as entered:
        assert_type(entered, IdentomatClient)


def a_result(result: SessionResult) -> None:
    assert_type(result.status, SessionStatus)
    assert_type(result.status.is_approved, bool)
    assert_type(result.raw, Mapping[str, object])
    assert_type(result.raw_bytes, bytes)
    if result.person is not None:
        assert_type(result.person.first_name, str | None)
        assert_type(result.person.birthday_date, date | None)
    assert_type(SessionResult.from_json(b"{}"), SessionResult)


async def the_poller(client: IdentomatClient) -> None:
    poller = ResultPoller(client, wait=wait_fixed(1) + wait_person(), rate=RateBudget(10, burst=2))
    async with poller as entered:
        assert_type(entered, ResultPoller)
        await poller.watch("token", reference="user:1", deadline=datetime.now(UTC))
        await poller.watch_many(["token", Watch("other", until=Until.DECIDED)])
        async for outcome in poller:
            an_outcome(outcome)
    assert_type(await poller.wait("token"), SessionResult)
    assert_type(await poller.wait_all(["token"]), dict[str, Outcome])
    assert_type(await poller.discard("token"), bool)
    assert_type(await poller.reconcile(["token"]), int)
    assert_type(poller.nudge("token"), bool)
    assert_type(poller.stats(), PollerStats)
    assert_type(poller.session("token"), WatchedSession | None)
    assert_type(poller.undeleted, dict[str, str | None])
    assert_type(len(poller), int)
    learned = ResultPoller(client, wait=wait_learned(poller.stats().durations))
    async with anyio.create_task_group() as tasks:
        await tasks.start(learned.run, on_delivery)
        await tasks.start(learned.run, on_delivery_in_a_thread)


def an_outcome(outcome: Outcome) -> str:
    match outcome:
        case Settled():
            assert_type(outcome.result, SessionResult)
            assert_type(outcome.final, bool)
        case DeadlinePassed() | PollFailed():
            assert_type(outcome.last_error, IdentomatError | None)
        case SessionGone():
            assert_type(outcome.verified, bool)
        case _:
            assert_never(outcome)
    return outcome.explain()


async def on_delivery(delivery: Delivery) -> None:
    assert_type(delivery.id, str)
    assert_type(delivery.reference, str | None)
    assert_type(delivery.outcome, Outcome)


def on_delivery_in_a_thread(delivery: Delivery) -> None:
    assert_type(delivery.redelivered, bool)


async def restarts(client: IdentomatClient, on_event: events.Observer) -> None:
    ResultPoller(client, journal=SqliteJournal("identomat.db"), purge="after_delivery")
    ResultPoller(client, journal=MemoryJournal(), observers=[on_event])
    assert_type(await sweep(client, SqliteJournal(Path("identomat.db")), on_delivery), int)


def the_core(state: PollState, policy: PollPolicy) -> None:
    step = poll_step(state, SessionStatus.APPROVED, policy=policy, now=datetime.now(UTC))
    if isinstance(step, Pending):
        assert_type(step.delay, float)
    else:
        assert_type(step, Outcome)
    assert_type(PollState.from_json(state.to_json()), PollState)


def errors(error: IdentomatError) -> None:
    assert_type(error.retryable, bool)
    assert_type(error.maybe_applied, bool)
    if isinstance(error, RateLimitedError):
        assert_type(error.retry_after, float | None)
    if isinstance(error, WaitTimeoutError):
        assert_type(error.last, SessionStatus | None)


def settings() -> None:
    RetryPolicy(attempts=4, wait=wait_exponential_jitter(), quota=None)
    IdentomatClient("key", secret_key=None, retry=RetryPolicy(), rate=5)


async def elsewhere(client: IdentomatClient) -> None:
    OtelResultPoller(client, rate=10, purge=None)
    async with DocketResultPoller(client, "redis://localhost") as worker:
        await worker.watch("token")
    with Sandbox("key").serve() as server:
        assert_type(server.base_url, str)
