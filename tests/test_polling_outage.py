"""A service that is down is left alone, and comes back to a few looks first."""

import logging
import math

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import Delivery, ResultPoller, SessionStatus
from identomat_async._polling._failures import FailureLog
from identomat_async._polling._outage import Outage
from identomat_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    RequestTimeoutError,
    ServerError,
    SessionNotFoundError,
    SignatureError,
)
from identomat_async.events import Paused, Resumed

OPEN = SessionStatus.IN_PROGRESS
DOWN = ServerError("down", status_code=503)


def outage() -> Outage:
    return Outage(random=lambda: 0.5)


def ends(one: Outage, now: float, *, failed: bool, elapsed: float = 0.1) -> str | None:
    return one.ended(now, failed=failed, elapsed=elapsed, usual=lambda: 1000.0)


def down() -> Outage:
    """Return a service that is down since second 0."""
    one = outage()
    changes = [ends(one, -1.0 + number / 19, failed=True) for number in range(20)]
    assert changes == [None] * 19 + ["down"]
    return one


def test_nineteen_failures_are_no_outage_and_twenty_are() -> None:
    assert down().is_down


@pytest.mark.parametrize(("good", "is_down"), [(2, True), (3, False)])
def test_nine_failures_of_ten_are_an_outage_and_fewer_are_not(good: int, is_down: bool) -> None:
    one = outage()
    for number in range(20):
        ends(one, number / 10, failed=number >= good)

    assert one.is_down is is_down


@pytest.mark.parametrize(
    ("latency", "until", "is_down"),
    [(0.1, 0.9, False), (0.1, 1.1, True), (2.0, 3.0, False), (2.0, 4.5, True), (9.0, 5.5, True)],
)
def test_failures_that_only_come_sooner_than_good_answers_are_no_outage(
    latency: float, until: float, is_down: bool
) -> None:
    one = outage()
    for _ in range(100):
        ends(one, -100.0, failed=False, elapsed=latency)
    for number in range(200):
        ends(one, number * until / 200, failed=True)

    assert one.is_down is is_down


def test_what_failed_more_than_ten_seconds_ago_does_not_count() -> None:
    one = outage()
    for second in range(100):
        assert ends(one, float(second), failed=True) is None

    assert one.opens_at == -math.inf


def test_a_good_look_never_begins_an_outage() -> None:
    one = outage()
    for _ in range(30):
        assert ends(one, 0.0, failed=False) is None


def test_a_good_look_counts_unless_the_service_is_down() -> None:
    assert outage().answered(0.0, 0.1)
    assert not down().answered(0.5, 0.1)


def test_probes_come_after_one_two_four_and_then_five_seconds() -> None:
    one, waits, now = down(), [], 0.0
    for _ in range(5):
        waits.append(one.opens_at - now)
        now = one.opens_at
        one.began(now)
        assert ends(one, now, failed=True) is None

    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(("random", "wait"), [(0.0, 0.8), (1.0, 1.2)])
def test_a_probe_comes_a_little_sooner_or_later(random: float, wait: float) -> None:
    one = Outage(random=lambda: random)
    for number in range(20):
        ends(one, -1.0 + number / 19, failed=True)

    assert one.opens_at == pytest.approx(wait)


def begun(one: Outage, start: float, seconds: float) -> int:
    """Count the looks that begin when everybody is due all the time."""
    count, now = 0, max(start, one.opens_at)
    while now < start + seconds:
        one.began(now)
        count, now = count + 1, max(now, one.opens_at)
        if one.opens_at == -math.inf:
            return count
    return count


def test_looks_come_back_slowly_and_stay_near_the_usual_rate() -> None:
    one = down()
    assert ends(one, 100.0, failed=False) == "up"

    # 5 % of 1,000 a second, doubling each second.
    first, second = begun(one, 100.0, 1.0), begun(one, 101.0, 1.0)
    begun(one, 102.0, 8.0)
    later = begun(one, 110.0, 10.0)

    assert first == pytest.approx(72, rel=0.1)
    assert second == pytest.approx(144, rel=0.1)
    assert later == pytest.approx(12_000, rel=0.01)


def test_after_a_minute_nothing_holds_the_looks_back() -> None:
    one = down()
    ends(one, 100.0, failed=False)
    one.began(161.0)

    assert one.opens_at == -math.inf
    one.began(161.0)
    assert one.opens_at == -math.inf


def test_few_sessions_come_back_within_seconds() -> None:
    one = outage()
    one.keep_in_mind(0.1, -10.0)
    one.go_on(0.0)

    assert begun(one, 0.0, 5.0) >= 15


def test_pauses_one_after_the_other_do_not_make_the_usual_less() -> None:
    one = outage()
    assert one.keep_in_mind(2000.0, 0.0)
    one.go_on(1.0)
    begun(one, 1.0, 2.0)
    assert not one.keep_in_mind(150.0, 2.0)
    one.go_on(3.0)

    # 5 % of 2,000 a second, doubling each second.
    assert begun(one, 3.0, 1.0) == pytest.approx(144, rel=0.1)
    assert begun(one, 4.0, 5.0) > 3000


def test_an_answer_tells_that_a_pause_is_over_if_its_look_began_after_it() -> None:
    one = outage()
    one.keep_in_mind(100.0, 10.0)

    assert not one.answered(10.2, 0.5)
    assert ends(one, 10.2, failed=False, elapsed=0.5) is None
    one.go_on(20.0)
    assert ends(one, 20.5, failed=False, elapsed=0.5) == "up"
    assert one.answered(20.6, 0.5)


def test_the_end_of_a_pause_is_no_sign_that_the_service_is_up() -> None:
    one = down()
    opens_at = one.opens_at
    assert not one.keep_in_mind(1.0, opens_at - 0.5)
    one.go_on(opens_at - 0.1)

    assert one.is_down
    assert one.opens_at == opens_at


def test_the_first_failure_is_logged_and_then_a_sum_a_minute() -> None:
    log = FailureLog()

    assert log.failed("ServerError", 0.0) is not None
    assert [log.failed("ServerError", 1.0 + number / 10) for number in range(100)] == [None] * 100
    assert log.failed("RequestTimeoutError", 61.0) == (
        "more looks failed: 100 with ServerError, 1 with RequestTimeoutError"
    )
    assert log.failed("ServerError", 62.0) is None
    assert "a look failed" in str(log.failed("ServerError", 500.0))


async def watch_through_an_outage(source, error, *, poller_keywords=None):
    """Let 200 sessions be looked at 40 times a second; the service is down from 30 to 100 s."""
    for number in range(200):
        source.lives(f"t{number}", lambda age: error if 30 <= age < 100 else OPEN)
    poller = ResultPoller(source, rate=100, deadline=None, **(poller_keywords or {}))
    started = anyio.current_time()
    async with poller:
        await poller.watch_many(f"t{number}" for number in range(200))
        await anyio.sleep(165)
    return [at - started for at, _, _ in source.looks]


@pytest.mark.thorough
@pytest.mark.parametrize("error", [DOWN, ConnectionFailedError(""), RequestTimeoutError("")])
async def test_a_service_that_is_down_is_left_alone(source, error, collect):
    source.latency = 0.05
    seen = collect()
    looks = await watch_through_an_outage(
        source, error, poller_keywords={"observers": [seen], "wait": wait_fixed(5)}
    )

    normal = sum(10 <= at < 30 for at in looks) / 20
    meanwhile = sum(50 <= at < 95 for at in looks) / 45
    # Over five seconds, the interval of every session; two hundred make for odd seconds.
    first = [sum(second <= at < second + 5 for at in looks) / 5 for second in range(100, 160)]
    assert normal == pytest.approx(40, rel=0.05)
    assert meanwhile <= 0.02 * normal
    assert max(first) <= 1.3 * normal
    assert [event.reason for event in seen.of(Paused)] == ["outage"]
    assert len(seen.of(Resumed)) == 1


async def test_a_service_that_asks_for_one_pause_after_the_other_fills_no_log(
    source, collect, caplog
):
    caplog.set_level("INFO", logger="identomat_async")
    state, seen, names = {"up": True}, collect(), [f"t{number}" for number in range(200)]
    source.latency = 0.05

    def life(_: float) -> object:
        if not state["up"]:
            source.pause.heed(1)
        return OPEN if state["up"] else DOWN

    for name in names:
        source.lives(name, life)
    keywords = {"rate": None, "deadline": None, "wait": wait_fixed(5), "observers": [seen]}
    async with ResultPoller(source, **keywords) as poller:
        await poller.watch_many(names)
        await anyio.sleep(60)
        usual = len(source.looks)
        state["up"] = False
        await anyio.sleep(60)
        asked = len(source.looks) - usual
        told = [type(event) for event in seen if isinstance(event, Paused | Resumed)]
        state["up"] = True
        await anyio.sleep(15)
        back = {token for at, token, _ in source.looks[usual + asked :]}

    assert asked <= 0.05 * 60 * 40
    assert back == set(names)
    assert set(told) == {Paused}
    assert len(seen.of(Resumed)) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert sum("asked for" in line for line in lines) == 1
    assert sum("goes on" in line for line in lines) == 1
    assert len(lines) <= 6


@pytest.mark.parametrize("error", [SessionNotFoundError("", reason="gone")])
async def test_a_session_that_is_unknown_is_no_outage(source, error):
    for number in range(100):
        source.lives(f"t{number}", lambda _: error)
    async with ResultPoller(source, rate=None, gone_window=600) as poller:
        await poller.watch_many(f"t{number}" for number in range(100))
        await anyio.sleep(60)

        assert poller.stats().limited_by == "nothing"


async def test_stats_tell_of_a_pause_and_resume_lifts_it(source, collect):
    state = {"up": False}
    seen = collect()
    for number in range(50):
        source.lives(f"t{number}", lambda _: "approved" if state["up"] else DOWN)
    async with ResultPoller(source, rate=None, wait=wait_fixed(5), observers=[seen]) as poller:
        await poller.watch_many(f"t{number}" for number in range(50))
        await anyio.sleep(30)
        paused = poller.stats()
        state["up"] = True
        looks = len(source.looks)
        poller.resume()
        await anyio.sleep(10)
        settled = poller.stats()

    assert (paused.limited_by, paused.role) == ("paused", "active")
    assert paused.due > 0
    assert paused.errors == {"ServerError": paused.polls}
    assert len(source.looks) - looks == 100
    assert settled.buffered == 50


@pytest.mark.parametrize(("asked", "is_cut"), [(3500, False), (99_999_999, True)])
async def test_a_pause_of_which_more_than_an_hour_is_cut_is_told_as_such(
    source, collect, caplog, asked, is_cut
):
    seen = collect()
    source.says("t", OPEN)
    async with ResultPoller(source, observers=[seen]) as poller:
        source.pause.heed(asked)
        await poller.watch("t")
        await anyio.sleep(5)

    (event,) = seen.of(Paused)
    assert 3490 <= event.seconds <= 3600
    assert event.is_cut is is_cut
    assert ("more than is believed" in caplog.text) is is_cut


async def test_resume_lifts_what_the_service_asked_for(source, collect):
    seen = collect()
    source.decides("t", "approved", after=0)
    async with ResultPoller(source, observers=[seen]) as poller:
        source.pause.heed(600)
        await poller.watch("t", deadline=0)
        await anyio.sleep(30)
        assert poller.stats().limited_by == "paused"
        assert not source.looks
        poller.resume()
        await anyio.sleep(2)

        assert poller.stats().buffered == 1
    assert [type(event) for event in seen if isinstance(event, Paused | Resumed)] == [
        Paused,
        Resumed,
    ]


async def test_after_resume_looks_do_not_come_back_slowly(source, collect):
    seen, names = collect(), [f"t{number}" for number in range(200)]
    for name in names:
        source.says(name, OPEN)
    keywords = {"rate": None, "deadline": None, "wait": wait_fixed(5), "observers": [seen]}
    async with ResultPoller(source, **keywords) as poller:
        await poller.watch_many(names)
        await anyio.sleep(60)
        source.pause.heed(600)
        await anyio.sleep(30)
        looks = len(source.looks)
        assert not seen.of(Resumed)
        poller.resume()
        await anyio.sleep(1)

    assert {token for _, token, _ in source.looks[looks:]} == set(names)
    assert [type(event) for event in seen if isinstance(event, Paused | Resumed)] == [
        Paused,
        Resumed,
    ]


async def test_resume_lets_a_refused_account_be_tried_at_once(source):
    state: dict[str, object] = {"answer": AuthenticationError("no", status_code=401)}
    source.lives("t", lambda _: state["answer"])
    source.lives("u", lambda _: state["answer"])
    delivered = []

    async def take(delivery: Delivery) -> None:
        delivered.append(delivery)

    poller = ResultPoller(source)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, take)
        await poller.watch_many(["t", "u"])
        poller.nudge("t")
        poller.nudge("u")
        await anyio.sleep(5)
        assert poller.stats().limited_by == "halted"
        state["answer"] = "approved"
        poller.resume()
        await anyio.sleep(3)

        assert [delivery.token for delivery in delivered]
        assert poller.stats().limited_by == "nothing"
        tasks.cancel_scope.cancel()


async def test_a_client_without_an_account_pause_is_resumed_without_harm(source):
    source.decides("t", "approved", after=1)
    async with ResultPoller(source) as poller:
        poller.resume()
        await poller.watch("t")

        assert [outcome.status async for outcome in poller] == ["APPROVED"]


async def test_a_newcomer_is_told_when_the_first_look_comes(source, caplog):
    caplog.set_level(logging.INFO, "identomat_async")
    poller = ResultPoller(source)

    await poller.watch("t")
    await poller.watch_many(["a", "b", "c"])
    await poller.watch_many([])

    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("watching hash-of-t: first look in ")
    assert first.endswith(" s; nudge looks now")
    assert second.startswith("watching 3 sessions: first look in ")


async def test_people_s_times_are_kept_for_the_next_schedule(source):
    for number in range(30):
        source.decides(f"t{number}", "approved", after=100 + number)
        source.decides(f"u{number}", "approved", after=1e9)
    source.decides("at-once", "approved", after=0)
    async with ResultPoller(source, deadline=300) as poller:
        await poller.watch_many(f"{kind}{number}" for number in range(30) for kind in "tu")
        await poller.watch("at-once")
        seen = [outcome async for outcome in poller]
        durations = poller.stats().durations

    assert len(seen) == 61
    assert len(durations) == 30
    assert all(100 <= seconds <= 185 for seconds in durations)
    assert len(durations.censored) == 30
    assert all(seconds == pytest.approx(300, abs=5) for seconds in durations.censored)
    assert repr(durations) == "<Durations of 30 sessions, and 30 undecided>"


def test_a_poller_is_made_outside_an_event_loop(source):
    assert len(ResultPoller(source)) == 0


async def test_three_bad_signatures_that_meet_by_chance_lose_nobody(source):
    source.says("good", OPEN, "approved")
    for name in ("one", "two", "three"):
        source.says(name, SignatureError("forged"), OPEN, "approved")

    outcomes = []
    async with ResultPoller(source, wait=wait_fixed(1)) as poller:
        await poller.watch("good")
        outcomes.append(await anext(poller))
        await poller.watch_many(["one", "two", "three"])
        outcomes += [outcome async for outcome in poller]

    assert {outcome.token for outcome in outcomes} == {"good", "one", "two", "three"}
    assert all(outcome.status is SessionStatus.APPROVED for outcome in outcomes)


@pytest.mark.parametrize(("sessions", "most"), [(1, 6), (500, 20 + 3)])
async def test_when_the_secret_is_changed_polling_soon_ends(source, sessions, most):
    names = [f"session-{number}" for number in range(sessions)]
    changed: list[bool] = []
    for name in names:
        source.lives(name, lambda _: SignatureError("forged") if changed else OPEN)

    async with ResultPoller(source, wait=wait_fixed(1), rate=None) as poller:
        await poller.watch_many(names)
        await anyio.sleep(5)
        before = len(source.looks)
        changed.append(True)
        with pytest.raises(SignatureError):
            await anext(poller)

    assert len(source.looks) - before <= most
    assert len(poller) == sessions
