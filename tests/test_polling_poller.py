"""The poller as a block: watching, iterating, waiting; on a fake source and virtual time."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlinePassed,
    PollFailed,
    RateBudget,
    RequestTimeoutError,
    ResultPoller,
    ServerError,
    SessionGone,
    SessionInvalidError,
    SessionNotFoundError,
    SessionStatus,
    Settled,
    Until,
    WaitTimeoutError,
    Watch,
    events,
    wait_person,
)

REFUSED = AuthenticationError("the key", status_code=401)
DOWN = ServerError("down", status_code=500, retryable=True)


def tokens(count: int) -> list[str]:
    return [f"session-{number}" for number in range(count)]


async def drained(poller: ResultPoller) -> list[Any]:
    return [outcome async for outcome in poller]


# Looking


async def test_each_watched_session_comes_out_once_with_its_own_document(source):
    for number, token in enumerate(tokens(50)):
        source.decides(token, "approved" if number % 2 else "rejected", after=60 + number)

    async with ResultPoller(source) as poller:
        await poller.watch_many(tokens(50))
        outcomes = await drained(poller)

    assert Counter(outcome.token for outcome in outcomes) == Counter(tokens(50))
    for outcome in outcomes:
        assert isinstance(outcome, Settled)
        assert outcome.result.person.personal_number == f"of {outcome.token}"


async def test_outcomes_come_in_order_of_completion(source):
    source.decides("late", "approved", after=300)
    source.decides("soon", "rejected", after=60)

    async with ResultPoller(source) as poller:
        await poller.watch_many(["late", Watch("soon", reference="user:7")])
        outcomes = await drained(poller)

    assert [outcome.token for outcome in outcomes] == ["soon", "late"]
    assert outcomes[0].reference == "user:7"


async def test_a_burst_is_spread_over_time(source):
    for token in tokens(10_000):
        source.says(token, "in_progress")

    async with ResultPoller(source, rate=None, max_in_flight=500) as poller:
        await poller.watch_many(tokens(10_000))
        await anyio.sleep(10)

    start = source.looks[0][0]
    slots = Counter(int((at - start) * 10) for at, _, _ in source.looks)
    assert max(slots.values()) <= 3 * sum(slots.values()) / 100


async def test_looks_never_go_over_the_rate_and_use_it(source):
    for token in tokens(200):
        source.decides(token, "approved", after=100)

    async with ResultPoller(source, rate=20, deadline=600) as poller:
        a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
        await poller.watch_many(Watch(token, begun=a_minute_ago) for token in tokens(200))
        await anyio.sleep(100)

    at = [at for at, _, _ in source.looks]
    windows = [sum(1 for other in at[i : i + 40] if other < at[i] + 1) for i in range(len(at))]
    assert max(windows) <= 21
    assert len(at) / (at[-1] - at[0]) == pytest.approx(20, rel=0.1)


async def test_no_more_looks_at_a_time_than_allowed(source):
    source.latency = 5.0
    for token in tokens(40):
        source.decides(token, "approved", after=0)

    async with ResultPoller(source, rate=None, max_in_flight=3) as poller:
        await poller.watch_many(tokens(40))
        outcomes = await drained(poller)

    assert len(outcomes) == 40
    assert source.peak == 3


@pytest.mark.thorough
async def test_the_schedule_stretches_instead_of_queueing(source):
    for token in tokens(150):
        source.says(token, "in_progress")

    async with ResultPoller(source, rate=5, deadline=900) as poller:
        await poller.watch_many(tokens(150))
        await anyio.sleep(600)
        stats = poller.stats()

    assert stats.limited_by == "rate"
    assert stats.stretch > 2.5
    assert stats.lateness_p50 < 2
    assert stats.lateness_p99 < 5


async def test_a_tenacity_strategy_is_the_schedule(source):
    source.says("slow", "in_progress")

    async with ResultPoller(source, wait=wait_fixed(30), deadline=300) as poller:
        await poller.watch("slow")
        await drained(poller)

    times = source.times("slow")
    gaps = [later - sooner for sooner, later in pairwise(times[:-1])]
    assert gaps
    assert all(27 <= gap <= 33.1 for gap in gaps)


async def test_other_strategies_are_stretched_by_the_rate(source):
    for token in tokens(100):
        source.says(token, "in_progress")

    async with ResultPoller(source, wait=wait_fixed(1), rate=10, deadline=120) as poller:
        await poller.watch_many(tokens(100))
        await anyio.sleep(100)

    times = source.times("session-7")
    gaps = [later - sooner for sooner, later in pairwise(times[1:])]
    assert min(gaps) >= 9


async def test_a_strategy_without_sense_is_told_once_and_polled_at_the_floor(source, collect):
    source.decides("odd", "approved", after=10)
    seen = collect()

    async with ResultPoller(source, wait=wait_fixed(-1), observers=[seen]) as poller:
        await poller.watch("odd")
        await drained(poller)

    assert len(seen.of(events.UnsoundSchedule)) == 1
    assert 15 <= len(source.looks) <= 25


async def test_a_look_that_hangs_is_cut_off_and_made_again(source):
    source.says("stuck", 1e9, "approved")

    async with ResultPoller(source, deadline=3600) as poller:
        await poller.watch("stuck", begun=datetime.now(UTC) - timedelta(minutes=2))
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], Settled)
    assert outcomes[0].polls == 3
    assert 15 <= source.times("stuck")[1] <= 15 + 10


async def test_a_cut_that_comes_too_late_changes_nothing(source):
    source.decides("one", "approved", after=100)

    async with ResultPoller(source) as poller:
        await poller.watch("one", deadline=0)
        await poller.wait("one", deadline=1000)
        (worker,) = poller._core.engine._idle
        worker.scope.cancel()
        await anyio.sleep(1)
        await poller.watch("one")
        outcomes = await drained(poller)

    assert [type(outcome) for outcome in outcomes] == [Settled]
    assert poller.stats().errors == {}


async def test_after_a_failed_look_the_longer_wait_counts(source):
    source.says("one", DOWN, "approved", "approved")
    source.retry_wait = wait_fixed(200)

    async with ResultPoller(source) as poller:
        await poller.watch("one")
        await drained(poller)

    assert 180 <= source.times("one")[1] <= 220


# What counts


async def test_only_a_fresh_answer_is_delivered(source, collect):
    answers = iter([SessionStatus.APPROVED, "in_progress", SessionStatus.APPROVED, "rejected"])
    source.lives("fickle", lambda _: next(answers))
    seen = collect()

    async with ResultPoller(source, observers=[seen]) as poller:
        await poller.watch("fickle")
        outcomes = await drained(poller)

    assert [fresh for _, _, fresh in source.looks] == [False, True, False, True]
    assert outcomes[0].status is SessionStatus.REJECTED
    conflicts = [(event.kept, event.fresh) for event in seen.of(events.AnswerConflict)]
    assert conflicts == [("APPROVED", "IN_PROGRESS"), ("APPROVED", "REJECTED")]


async def test_an_unknown_status_is_polled_until_the_deadline(source, collect):
    source.says("new", "on_hold")
    seen = collect()

    async with ResultPoller(source, deadline=60, observers=[seen]) as poller:
        await poller.watch("new")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], DeadlinePassed)
    assert len(seen.of(events.UnknownStatus)) == 1
    assert "on_hold" not in outcomes[0].explain()


async def test_a_decided_watch_goes_on_after_manual_check(source):
    source.lives("hard", lambda age: "manual_check" if age < 3000 else "approved")

    async with ResultPoller(source, until=Until.DECIDED, deadline=600) as poller:
        await poller.watch("hard")
        outcomes = await drained(poller)

    assert outcomes[0].status is SessionStatus.APPROVED
    assert len(source.looks) <= 15


async def test_the_operators_time_is_up_after_review(source):
    source.says("hard", "manual_check")

    async with ResultPoller(source, until=Until.DECIDED, deadline=600) as poller:
        await poller.watch("hard", review=timedelta(hours=2))
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], DeadlinePassed)
    assert 7200 <= outcomes[0].waited <= 7201 + wait_person().gap(0)


async def test_a_wait_outlives_the_watch_beside_it(source):
    source.lives("hard", lambda age: "manual_check" if age < 9000 else "approved")
    poller = ResultPoller(source, until=Until.DECIDED, deadline=600, review=3600)
    results: list[object] = []

    async def wait() -> None:
        results.append(await poller.wait("hard", deadline=20_000))

    async with anyio.create_task_group() as tasks, poller:
        await poller.watch("hard")
        tasks.start_soon(wait)
        outcomes = await drained(poller)
        await anyio.sleep(10_000)

    assert isinstance(outcomes[0], DeadlinePassed)
    assert results[0].status is SessionStatus.APPROVED


async def test_a_session_is_gone_only_when_said_three_times_over_a_minute(source):
    source.says("lost", SessionNotFoundError("?", status_code=200))

    async with ResultPoller(source) as poller:
        await poller.watch("lost")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], SessionGone)
    assert source.times("lost")[-1] >= 60
    assert len(source.looks) == 3


# Deadlines


async def test_a_verdict_that_is_there_at_the_deadline_is_found(source):
    source.decides("close", "approved", after=99.9)

    async with ResultPoller(source, wait=wait_fixed(60), deadline=100) as poller:
        await poller.watch("close")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], Settled | DeadlinePassed)
    assert outcomes[0].waited >= 100
    assert source.looks[-1][0] - source.looks[0][0] >= 99


async def test_a_watch_ends_at_the_first_look_after_its_deadline(source):
    source.says("never", "in_progress")

    async with ResultPoller(source, deadline=100) as poller:
        await poller.watch("never")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], DeadlinePassed)
    assert 100 <= outcomes[0].waited <= 100.1
    assert outcomes[0].status is SessionStatus.IN_PROGRESS


async def test_a_deadline_of_nothing_still_looks_once(source):
    source.decides("done", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("done", deadline=0)
        outcomes = await drained(poller)
        result = await poller.wait("done", deadline=0)

    assert isinstance(outcomes[0], Settled)
    assert result.status is SessionStatus.APPROVED


async def test_an_outage_at_the_deadline_does_not_end_a_watch(source):
    source.lives("patient", lambda age: DOWN if age < 600 else "approved")

    async with ResultPoller(source, deadline=300) as poller:
        await poller.watch("patient")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], Settled)
    assert outcomes[0].waited >= 600


async def test_an_outage_beyond_the_grace_fails_a_watch(source):
    source.says("patient", DOWN)

    async with ResultPoller(source, deadline=300, grace=900) as poller:
        await poller.watch("patient")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], PollFailed)
    assert 1200 <= outcomes[0].waited <= 1270
    assert isinstance(outcomes[0].last_error, ServerError)


async def test_a_watch_for_ever_has_no_deadline(source):
    source.decides("slow", "approved", after=20_000)

    async with ResultPoller(source, deadline=None, review=None) as poller:
        await poller.watch("slow")
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], Settled)


# Watching twice, discarding, nudging


async def test_the_same_session_watched_twice_is_one_watch(source):
    source.lives("twice", lambda age: "manual_check" if age < 2000 else "approved")

    async with ResultPoller(source) as poller:
        await poller.watch("twice", reference="old", deadline=60)
        await poller.watch("twice", until=Until.DECIDED, deadline=900)
        await poller.watch("twice", reference="new")
        await poller.watch("twice")
        assert len(poller) == 1
        outcomes = await drained(poller)

    assert [outcome.reference for outcome in outcomes] == ["new"]
    assert outcomes[0].status is SessionStatus.APPROVED


async def test_an_outcome_not_taken_yet_is_still_the_one_watch(source):
    source.decides("done", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("done")
        await anyio.sleep(100)
        await poller.watch("done")
        assert "done" in poller
        outcomes = await drained(poller)

    assert len(outcomes) == 1


async def test_an_outcome_not_taken_yet_takes_the_last_reference(source):
    source.lives("hard", lambda age: "manual_check" if age < 600 else "rejected")
    source.decides("done", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch_many([Watch("hard", reference="user:1"), "done"])
        await anyio.sleep(100)
        await poller.watch("hard", until=Until.DECIDED)
        await poller.watch("done", reference="user:2")
        outcomes = await drained(poller)

    assert {outcome.reference for outcome in outcomes} == {"user:1", "user:2"}


async def test_waiting_for_more_replaces_an_outcome_not_taken_yet(source):
    source.lives("hard", lambda age: "manual_check" if age < 600 else "rejected")

    async with ResultPoller(source) as poller:
        await poller.watch("hard")
        await anyio.sleep(100)
        await poller.watch("hard", until=Until.DECIDED)
        outcomes = await drained(poller)

    assert [outcome.status for outcome in outcomes] == [SessionStatus.REJECTED]


async def test_nothing_comes_after_a_discard(source):
    source.latency = 1.0
    source.decides("unwanted", "approved", after=0)
    source.decides("taken", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("unwanted")
        await poller.watch("taken")
        while not source.in_flight:
            await anyio.sleep(0.5)
        assert await poller.discard("unwanted")
        assert not await poller.discard("unwanted")
        outcomes = await drained(poller)
        await poller.watch("unwanted")
        await anyio.sleep(100)
        assert await poller.discard("unwanted")
        assert "unwanted" not in poller
        assert await drained(poller) == []

    assert [outcome.token for outcome in outcomes] == ["taken"]


async def test_a_session_discarded_while_asked_is_forgotten_when_the_block_ends(source):
    source.latency = 100.0
    source.says("one", "in_progress")
    poller = ResultPoller(source)

    async with poller:
        await poller.watch("one", deadline=0)
        await anyio.sleep(1)
        assert source.in_flight
        await poller.discard("one")

    assert not source.in_flight
    assert not poller._core.engine.roster.live


async def test_a_session_may_be_awaited_first_and_watched_then(source):
    source.decides("one", "approved", after=100)

    async with anyio.create_task_group() as tasks, ResultPoller(source) as poller:
        tasks.start_soon(poller.wait, "one")
        await anyio.sleep(10)
        await poller.watch("one", reference="user:1")
        outcomes = await drained(poller)

    assert [outcome.reference for outcome in outcomes] == ["user:1"]


async def test_discarding_the_last_watch_ends_the_iteration(source):
    source.says("only", "in_progress")

    async with anyio.create_task_group() as tasks, ResultPoller(source) as poller:
        await poller.watch("only")
        tasks.start_soon(poller.discard, "only")
        assert await drained(poller) == []


async def test_a_nudge_looks_at_once_and_soon_again(source):
    source.says("back", "in_progress")

    async with ResultPoller(source, wait=wait_fixed(1000), deadline=3000) as poller:
        await poller.watch("back")
        await anyio.sleep(500)
        before = len(source.looks)
        assert poller.nudge("back")
        await anyio.sleep(60)
        times = source.times("back")[before:]

    assert [round(at - times[0]) for at in times] == [0, 2, 5, 10, 20, 40]
    assert not poller.nudge("unknown")


# Waiting


async def test_a_single_wait_looks_at_once(source):
    source.decides("done", "approved", after=0)

    before = anyio.current_time()
    result = await ResultPoller(source).wait("done")

    assert result.status is SessionStatus.APPROVED
    assert anyio.current_time() - before < 0.2


async def test_waits_do_not_fill_the_iteration(source):
    source.decides("shared", "approved", after=30)
    source.decides("awaited", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("shared")
        outcomes = await poller.wait_all(["shared", "awaited", "shared"])
        iterated = await drained(poller)

    assert list(outcomes) == ["shared", "awaited"]
    assert [outcome.token for outcome in iterated] == ["shared"]


async def test_each_wait_keeps_its_own_deadline_and_until(source):
    source.lives("hard", lambda age: "manual_check" if age < 1000 else "approved")
    poller = ResultPoller(source)
    ended: list[tuple[str, float, object]] = []
    start = anyio.current_time()

    async def wait(name: str, **terms: Any) -> None:
        try:
            result = await poller.wait("hard", **terms)
        except WaitTimeoutError as error:
            ended.append((name, anyio.current_time() - start, error.last))
        else:
            ended.append((name, anyio.current_time() - start, result.status))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: wait("terminal"))
        tasks.start_soon(lambda: wait("short", until=Until.DECIDED, deadline=500))
        tasks.start_soon(lambda: wait("long", until=Until.DECIDED, deadline=5000))

    assert [name for name, _, _ in ended] == ["terminal", "short", "long"]
    assert ended[0][1] < 1
    assert 500 <= ended[1][1] < 500.2
    assert ended[1][2] is SessionStatus.MANUAL_CHECK
    assert ended[2][2] is SessionStatus.APPROVED
    assert not poller._core.engine.roster.live


async def test_a_wait_is_released_at_its_deadline_even_if_nobody_answers(source):
    source.says("stuck", 1e9)
    start = anyio.current_time()

    with pytest.raises(WaitTimeoutError) as caught:
        await ResultPoller(source).wait("stuck", deadline=100)

    assert 100 <= anyio.current_time() - start <= 100 + source.timeout + 0.1
    assert isinstance(caught.value, TimeoutError)


async def test_a_wait_whose_deadline_has_long_passed_still_looks(source):
    source.decides("done", "approved", after=0)

    result = await ResultPoller(source).wait(
        "done", deadline=datetime.now(UTC) - timedelta(hours=1)
    )

    assert result.status is SessionStatus.APPROVED


async def test_a_fault_after_a_long_absence_ends_nothing(source):
    source.says("old", DOWN, "approved", "approved")

    async with ResultPoller(source) as poller:
        await poller.watch("old", deadline=datetime.now(UTC) - timedelta(hours=2))
        outcomes = await drained(poller)

    assert isinstance(outcomes[0], Settled)


async def test_no_wait_gives_up_on_the_word_of_a_kept_connection(source):
    said: list[bool] = []

    def life(_: float) -> str:
        said.append(source.looks[-1][2])
        return "approved" if said[-1] else "in_progress"

    source.lives("one", life)

    async with ResultPoller(source) as poller:
        await poller.watch("one", deadline=3600)
        result = await poller.wait("one", deadline=30)

    assert result.status is SessionStatus.APPROVED


async def test_a_wait_after_the_account_was_refused_says_so_at_once(source):
    source.says("one", REFUSED)
    source.decides("two", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("one", deadline=0)
        with pytest.raises(AuthenticationError):
            await drained(poller)
        before = anyio.current_time()
        with pytest.raises(AuthenticationError):
            await poller.wait("two", deadline=600)

    assert anyio.current_time() - before < 1


async def test_a_wait_raises_what_happened(source):
    source.says("gone", SessionNotFoundError("?"))
    source.says("invalid", SessionInvalidError("?"))
    source.says("open", "in_progress")
    poller = ResultPoller(source)

    with pytest.raises(SessionNotFoundError):
        await poller.wait("gone")
    with pytest.raises(SessionInvalidError):
        await poller.wait("invalid")
    with pytest.raises(WaitTimeoutError) as caught:
        await poller.wait("open", deadline=10)

    assert caught.value.last is SessionStatus.IN_PROGRESS
    assert caught.value.polls >= 1


async def test_one_bad_session_does_not_stop_the_others(source):
    source.says("bad", DOWN)
    source.decides("good", "approved", after=5)

    outcomes = await ResultPoller(source).wait_all(["bad", "good"], deadline=60)

    assert isinstance(outcomes["good"], Settled)
    assert isinstance(outcomes["bad"], DeadlinePassed)


async def test_waiting_for_nobody_returns_at_once(source):
    assert await ResultPoller(source).wait_all([]) == {}


async def test_an_async_iterable_of_sessions_will_do(source):
    async def arriving() -> Any:
        for token in tokens(3):
            yield token

    for token in tokens(3):
        source.decides(token, "approved", after=0)
    poller = ResultPoller(source)

    outcomes = await poller.wait_all(arriving())
    async with poller:
        await poller.watch_many(arriving())
        iterated = await drained(poller)

    assert set(outcomes) == {outcome.token for outcome in iterated} == set(tokens(3))


async def test_when_the_hosting_wait_is_cancelled_another_takes_over(source):
    source.decides("one", "approved", after=1000)
    source.decides("two", "approved", after=60)
    poller = ResultPoller(source)
    ended: list[str] = []

    async def wait(token: str) -> None:
        await poller.wait(token)
        ended.append(token)

    async with anyio.create_task_group() as tasks:
        hosting = anyio.CancelScope()

        async def host() -> None:
            with hosting:
                await wait("one")

        tasks.start_soon(host)
        await anyio.sleep(10)
        tasks.start_soon(wait, "two")
        await anyio.sleep(10)
        hosting.cancel()

    assert ended == ["two"]
    assert not poller._core.engine.roster.live


async def test_a_wait_started_before_the_block_is_served_by_it(source):
    source.decides("one", "approved", after=100)
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.wait, "one")
        await anyio.sleep(1)
        with pytest.raises(ConfigurationError):
            async with poller, poller:
                pass  # pragma: no cover
        async with poller:
            await anyio.sleep(200)
            assert not list(poller._core.engine.roster.waiters())


async def test_a_cancelled_wait_leaves_the_watch_in_place(source):
    source.decides("kept", "approved", after=60)

    async with ResultPoller(source) as poller:
        await poller.watch("kept")
        with anyio.move_on_after(5):
            await poller.wait("kept", until=Until.DECIDED, deadline=9000)
        outcomes = await drained(poller)

    assert [outcome.token for outcome in outcomes] == ["kept"]


# The block


async def test_nobody_looks_before_the_block_is_entered(source):
    source.decides("early", "approved", after=0)
    poller = ResultPoller(source)

    await poller.watch("early")
    await anyio.sleep(1000)
    assert not source.looks
    async with poller:
        assert len(await drained(poller)) == 1


async def test_leaving_and_entering_again_loses_nothing(source):
    source.latency = 3.0
    for token in tokens(20):
        source.decides(token, "approved", after=0)
    poller = ResultPoller(source)
    outcomes: list[Any] = []

    await poller.watch_many(tokens(20))
    while len(outcomes) < 20:
        async with poller:
            with anyio.move_on_after(7):
                async for outcome in poller:
                    outcomes.append(outcome)
                    break

    assert Counter(outcome.token for outcome in outcomes) == Counter(tokens(20))
    assert not poller._core.engine.in_flight


async def test_an_exception_in_the_block_leaves_it_as_itself(source):
    source.says("open", "in_progress")
    error = KeyError("mine")

    async def use() -> None:
        async with ResultPoller(source) as poller:
            await poller.watch("open")
            await anyio.sleep(50)
            raise error

    with pytest.raises(KeyError) as caught:
        await use()

    assert caught.value is error
    assert caught.value.__cause__ is None


async def test_an_exception_group_in_the_block_leaves_it_as_itself(source):
    error = ExceptionGroup("mine", [KeyError("a"), ValueError("b")])

    with pytest.raises(ExceptionGroup) as caught:
        async with ResultPoller(source):
            raise error

    assert caught.value is error


async def test_a_poller_is_true_even_when_it_watches_nobody(source):
    poller = ResultPoller(source)

    assert poller
    assert len(poller) == 0
    assert 5 not in poller
    assert repr(poller) == "<ResultPoller of 0 sessions>"


async def test_only_one_task_iterates(source):
    source.says("open", "in_progress")

    async with anyio.create_task_group() as tasks, ResultPoller(source) as poller:
        await poller.watch("open")

        async def iterate_elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="task"):
                await anext(poller)
            tasks.cancel_scope.cancel()

        tasks.start_soon(iterate_elsewhere)
        await drained(poller)


async def test_iterating_outside_the_block_says_what_to_do(source):
    with pytest.raises(ConfigurationError, match="async with poller"):
        await anext(ResultPoller(source))


async def test_for_ever_goes_on_without_a_watch(source):
    source.decides("later", "approved", after=0)
    seen: list[str] = []

    async with anyio.create_task_group() as tasks, ResultPoller(source, forever=True) as poller:

        async def add() -> None:
            await anyio.sleep(1000)
            await poller.watch("later")

        tasks.start_soon(add)
        async for outcome in poller:
            seen.append(outcome.token)
            break

    assert seen == ["later"]


async def test_a_slow_consumer_stops_looking_but_not_waiting(source):
    for token in tokens(30):
        source.decides(token, "approved", after=0)
    source.decides("awaited", "approved", after=0)

    async with ResultPoller(source, buffer=5, rate=None, max_in_flight=1) as poller:
        await poller.watch_many(tokens(30))
        await anyio.sleep(200)
        looked = len({token for _, token, _ in source.looks})
        limited_by = poller.stats().limited_by
        assert poller.nudge("session-29") in (True, False)
        result = await poller.wait("awaited", deadline=10)
        outcomes = await drained(poller)

    assert looked <= 6
    assert limited_by == "consumer"
    assert result.status is SessionStatus.APPROVED
    assert len(outcomes) == 30


async def test_a_refused_account_is_raised_once_and_the_watches_are_kept(source):
    accepted: list[bool] = []
    for token in tokens(20):
        source.lives(token, lambda _: "approved" if accepted else REFUSED)
    poller = ResultPoller(source)

    await poller.watch_many(tokens(20))
    async with poller:
        with pytest.raises(AuthenticationError):
            await drained(poller)
        assert poller.stats().limited_by == "halted"
        looks = len(source.looks)
        with pytest.raises(AuthenticationError):
            await anext(poller)
        await anyio.sleep(500)
        assert len(source.looks) == looks
    assert len(poller) == 20
    accepted.append(True)
    async with poller:
        assert len(await drained(poller)) == 20


async def test_a_refused_account_is_raised_to_those_who_wait(source):
    source.says("one", REFUSED)
    poller = ResultPoller(source)
    caught: list[AuthenticationError] = []

    async def wait() -> None:
        with pytest.raises(AuthenticationError) as info:
            await poller.wait("one")
        caught.append(info.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)

    assert caught[0] is not caught[1]
    assert len(source.looks) == 2


async def test_a_closed_client_ends_waits_iteration_and_service(source):
    source.says("one", ClientClosedError("closed"))
    poller = ResultPoller(source)

    with pytest.raises(ClientClosedError):
        await poller.wait("one")
    await poller.watch("one", deadline=0)
    async with poller:
        with pytest.raises(ClientClosedError):
            await drained(poller)
    with pytest.raises(ClientClosedError):
        await poller.run(print)

    assert len(poller) == 1


async def test_a_pause_asked_for_is_kept(source):
    source.says("one", "in_progress", "approved", "approved")
    poller = ResultPoller(source, wait=wait_fixed(100))

    async with poller:
        await poller.watch("one")
        await anyio.sleep(50)
        source.pause.heed(600)
        asked = anyio.current_time()
        looks = len(source.looks)
        await anyio.sleep(1)
        assert poller.stats().limited_by == "paused"
        await drained(poller)

    assert source.looks[looks][0] - asked >= 600


async def test_a_pause_that_begins_before_the_confirming_read_holds_it_back(source):
    def life(_: float) -> str:
        if len(source.looks) == 1:
            source.pause.heed(100)
        return "approved"

    source.lives("one", life)

    result = await ResultPoller(source).wait("one")

    assert result.status is SessionStatus.APPROVED
    assert source.times("one")[1] >= 100
    assert [fresh for _, _, fresh in source.looks] == [False, True]


@pytest.mark.parametrize("own", [False, True], ids=["the-clients", "and-its-own"])
async def test_a_shared_budget_bounds_two_pollers_together(source, own):
    source.latency = 0.3
    for token in tokens(100):
        source.decides(token, "approved", after=60)
    source.budget = RateBudget(10, max_in_flight=2)
    one = ResultPoller(source, rate=50 if own else source.budget)
    two = ResultPoller(source, rate=50 if own else source.budget)

    async with one, two:
        await one.watch_many(tokens(50))
        await two.watch_many(tokens(100)[50:])
        outcomes = [*await drained(one), *await drained(two)]

    at = [at for at, _, _ in source.looks]
    assert {outcome.token for outcome in outcomes} == set(tokens(100))
    assert source.peak == 2
    assert len(at) <= 10 * (at[-1] - at[0]) + 1.1


async def test_many_who_are_waited_for_need_no_share_of_the_rate_to_be_looked_at(source):
    shared = RateBudget(20)
    for token in tokens(600):
        source.says(token, "in_progress")
    for number in range(20):
        source.says(f"waited-for-{number}", "approved")

    async with (
        ResultPoller(source, rate=shared, wait=wait_fixed(10)) as crowd,
        # It has nothing to look at, so nearly all of the rate is the other's.
        ResultPoller(source, rate=shared) as idle,
    ):
        await crowd.watch_many(tokens(600))
        await anyio.sleep(5)
        began = anyio.current_time()
        outcomes = await idle.wait_all(f"waited-for-{number}" for number in range(20))
        spent = anyio.current_time() - began

    assert {outcome.status for outcome in outcomes.values()} == {SessionStatus.APPROVED}
    # Two looks each, in turn with the other's.
    assert spent <= 2 * (2 * 20) / 20 + 1


@pytest.mark.parametrize(("busy", "watched", "is_starved"), [(600, 1, False), (5000, 100, True)])
async def test_who_starves_of_a_shared_rate_is_seen_before_they_want_to_be_looked_at(
    source, collect, busy, watched, is_starved
):
    shared, heard = RateBudget(20), collect()
    for token in tokens(busy + watched):
        source.says(token, "in_progress")

    async with (
        ResultPoller(source, rate=shared, wait=wait_fixed(10)) as crowd,
        ResultPoller(source, rate=shared, deadline=180, observers=[heard]) as small,
    ):
        await crowd.watch_many(tokens(busy))
        await anyio.sleep(5)
        await small.watch_many(tokens(busy + watched)[busy:])

        assert [event.watched for event in heard.of(events.Starved)] == [watched] * is_starved
        await anyio.sleep(60)

    assert len(heard.of(events.Starved)) == is_starved


async def test_sharing_the_clients_budget_costs_nobody_a_verdict(source):
    for token in tokens(300):
        source.decides(token, "approved", after=0)
    source.budget = RateBudget(5, max_in_flight=5)

    async with ResultPoller(source, rate=source.budget, grace=60) as poller:
        await poller.watch_many(Watch(token, deadline=10) for token in tokens(300))
        outcomes = await drained(poller)
        workers = len(poller._core.engine._idle) + poller.stats().in_flight

    assert {type(outcome) for outcome in outcomes} == {Settled}
    assert len(outcomes) == 300
    assert workers <= 5
    assert source.budget.in_flight == 0


async def test_a_confirming_read_waits_out_a_pause_that_began_in_the_queue(source):
    source.budget = RateBudget(1, max_in_flight=5)
    source.lives("one", lambda _: "approved")

    async def pause() -> None:
        await anyio.sleep(0.5)
        source.pause.heed(100)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pause)
        result = await ResultPoller(source).wait("one", deadline=1000)

    assert result.status is SessionStatus.APPROVED
    assert source.times("one")[1] >= 100
    assert source.budget.in_flight == 0


async def test_a_cancel_in_the_queue_for_a_confirming_read_leaves_no_place_taken(source):
    source.lives("one", lambda _: "approved")
    source.budget = RateBudget(0.01, max_in_flight=5)
    poller = ResultPoller(source, rate=RateBudget(50))

    with anyio.move_on_after(5):
        await poller.wait("one", deadline=1000)

    assert len(source.looks) == 1
    assert source.budget.in_flight == poller._core.engine.budget.in_flight == 0


async def test_a_full_budget_of_ones_own_needs_no_looking_at_the_clock(source):
    source.latency = 10.0
    for token in tokens(20):
        source.decides(token, "approved", after=0)
    poller = ResultPoller(source, rate=None, max_in_flight=1)

    async with poller:
        await poller.watch_many(Watch(token, deadline=0) for token in tokens(20))
        await anyio.sleep(50)
        limited_by = poller.stats().limited_by
        engine = poller._core.engine
        crowded, _ = engine.gates.opening(engine.now(), engine.clock, ours=engine.in_flight)
        assert len(await drained(poller)) == 20

    assert limited_by == "in_flight"
    assert crowded == float("inf")


async def test_starving_is_told_once(source, collect):
    seen = collect()
    poller = ResultPoller(source, rate=1, deadline=100, observers=[seen])

    await poller.watch_many(tokens(600))

    assert [event.watched for event in seen.of(events.Starved)] == [500]
    assert poller.stats().limited_by == "rate"


async def test_without_a_rate_or_a_deadline_nobody_starves(source, collect):
    seen = collect()

    await ResultPoller(source, rate=None, observers=[seen]).watch_many(tokens(600))
    await ResultPoller(source, rate=1, deadline=None, observers=[seen]).watch_many(tokens(600))

    assert {type(event) for event in seen} == {events.WatchBegun}


async def test_a_closed_poller_says_so(source):
    source.says("open", "in_progress")
    poller = ResultPoller(source)

    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ClientClosedError):
                await poller.wait("open")

        tasks.start_soon(wait)
        await anyio.sleep(1)
        await poller.aclose()
    with pytest.raises(ClientClosedError):
        await poller.watch("open")


async def test_a_poller_closed_before_it_has_begun_looks_at_nothing(source):
    source.says("open", "in_progress")
    poller = ResultPoller(source)

    await poller.watch("open")
    async with poller:
        await poller.aclose()
        await anyio.sleep(1000)

    assert not source.looks


async def test_closing_while_tokens_still_arrive_asks_for_none(source):
    source.decides("one", "approved", after=0)
    poller = ResultPoller(source)

    async def arriving() -> Any:
        yield "one"
        await poller.aclose()

    with pytest.raises(ClientClosedError):
        await poller.wait_all(arriving())

    assert not source.looks


async def test_closing_ends_the_iteration(source):
    source.says("open", "in_progress")

    async with anyio.create_task_group() as tasks, ResultPoller(source) as poller:
        await poller.watch("open")
        tasks.start_soon(poller.aclose)
        with pytest.raises(ClientClosedError):
            await drained(poller)


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({"buffer": 0}, id="no-buffer"),
        pytest.param({"deadline": -1}, id="negative-deadline"),
        pytest.param({"deadline": datetime(2026, 1, 1)}, id="naive-deadline"),  # noqa: DTZ001
        pytest.param({"review": -1}, id="negative-review"),
        pytest.param({"grace": float("nan")}, id="no-grace"),
        pytest.param({"until": "whenever"}, id="unknown-until"),
        pytest.param({"rate": 0}, id="no-rate"),
        pytest.param({"rate": -5}, id="negative-rate"),
        pytest.param({"max_in_flight": 0}, id="nothing-in-flight"),
        pytest.param({"gone_window": -1}, id="negative-window"),
    ],
)
async def test_what_cannot_work_is_refused(source, keywords):
    with pytest.raises(ConfigurationError):
        ResultPoller(source, **keywords)


@pytest.mark.parametrize(
    "watch",
    [
        pytest.param(Watch("has space"), id="token"),
        pytest.param(Watch("ok", deadline=-1), id="deadline"),
        pytest.param(Watch("ok", until="whenever"), id="until"),
        pytest.param(Watch("ok", review=-1), id="review"),
        pytest.param(Watch("ok", begun=datetime(2026, 1, 1)), id="begun"),  # noqa: DTZ001
    ],
)
async def test_a_watch_that_cannot_work_changes_nothing(source, watch):
    poller = ResultPoller(source)

    with pytest.raises(ConfigurationError):
        await poller.watch_many([watch])

    assert len(poller) == 0


async def test_a_session_begun_long_ago_is_looked_at_soon(source):
    source.decides("old", "approved", after=0)

    async with ResultPoller(source) as poller:
        await poller.watch("old", begun=datetime.now(UTC) - timedelta(minutes=3))
        outcomes = await drained(poller)

    assert outcomes[0].waited <= 6


async def test_a_poller_takes_a_schedule_in_the_manner_of_people(source):
    source.says("person", "in_progress")

    async with ResultPoller(source, wait=wait_person(every=10), deadline=400) as poller:
        await poller.watch("person")
        await drained(poller)

    assert 30 <= len(source.looks) <= 48


async def test_errors_are_counted_by_class(source):
    source.says("one", DOWN, RequestTimeoutError("slow", retryable=True), "approved", "approved")

    async with ResultPoller(source) as poller:
        await poller.watch("one")
        await drained(poller)
        stats = poller.stats()

    assert stats.errors == {"ServerError": 1, "RequestTimeoutError": 1}
    assert stats.polls == 4
    assert stats.confirmations == 1
    assert stats.last_answer_age is not None
