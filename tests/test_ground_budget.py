"""The ceiling on requests, and the pause that a service asks for."""

from functools import partial

import anyio
import pytest

from identomat_async import RateBudget
from identomat_async._budget import budget_of, places_of
from identomat_async._pause import LONGEST_PAUSE, Pause
from identomat_async._places import Places, acquire_all, in_order
from identomat_async.errors import ConfigurationError


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), True, "5", 10**400])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="per_second must be a finite number above 0"):
        RateBudget(rate)


@pytest.mark.parametrize("name", ["burst", "max_in_flight"])
@pytest.mark.parametrize("figure", [0, -1, 1.5, True, None, "1"])
def test_a_count_must_be_whole_and_above_zero(name: str, figure: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number, 1 or more"):
        RateBudget(5, **{name: figure})


@pytest.mark.parametrize("rate", [0, -1, True, "5"])
def test_what_is_no_ceiling_is_refused_in_words_that_say_what_is_one(rate: float) -> None:
    said = "rate must be requests per second, above 0; or a RateBudget; or None for no ceiling"
    with pytest.raises(ConfigurationError, match=f"^{said}$"):
        budget_of(rate, max_in_flight=7)


def test_a_rate_stands_for_a_budget_with_so_many_in_flight() -> None:
    assert repr(budget_of(5, max_in_flight=7)) == "RateBudget(5, burst=1, max_in_flight=7)"
    assert budget_of(None, max_in_flight=7).per_second is None


def test_its_repr_shows_its_figures() -> None:
    assert repr(RateBudget(5)) == "RateBudget(5, burst=1, max_in_flight=20)"


def test_everybody_takes_from_the_stricter_ceiling_first_and_once_from_each() -> None:
    free, fast, slow = (Places(rate, burst=1, max_in_flight=1) for rate in (None, 50.0, 5.0))

    assert in_order([free, fast, slow, fast]) == (slow, fast, free)
    twin = Places(50.0, burst=1, max_in_flight=1)
    assert in_order([twin, fast]) == in_order([fast, twin])


async def test_urgent_requests_overtake_wherever_they_take_from() -> None:
    places, order = [Places(None, burst=1, max_in_flight=1)], list[bool]()

    async def request(urgent: bool) -> None:
        await acquire_all(places, urgent=urgent)
        order.append(urgent)
        places[0].release()

    await acquire_all(places, urgent=False)
    async with anyio.create_task_group() as group:
        for urgent in (False, True):
            group.start_soon(request, urgent)
            await anyio.sleep(1)
        places[0].release()
    assert order == [True, False]


async def test_a_planner_stands_behind_those_who_queue() -> None:
    places, planner = Places(None, burst=1, max_in_flight=1), object()
    assert places.try_acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(places.acquire)
        await anyio.sleep(1)
        places.line_up(planner, lambda: None)
        assert places.is_queueing_before(planner)
        places.release()
        await anyio.sleep(1)
        assert not places.is_queueing_before(planner)


async def test_requests_are_not_urgent_unless_they_say_so() -> None:
    budget, order = RateBudget(5, max_in_flight=1), list[str]()

    async def request(name: str, *, urgent: bool | None = None) -> None:
        await (budget.acquire() if urgent is None else budget.acquire(urgent=urgent))
        order.append(name)
        budget.release()

    await budget.acquire()
    async with anyio.create_task_group() as group:
        for name, urgent in (("not", False), ("neither", None), ("urgent", True)):
            group.start_soon(partial(request, name, urgent=urgent))
            await anyio.sleep(1)
        budget.release()
    assert order == ["urgent", "not", "neither"]


async def starts(budget: RateBudget, requests: int, *, took: float = 0.0) -> list[float]:
    """When each of so many requests at once was let through."""
    began = anyio.current_time()
    times: list[float] = []

    async def request() -> None:
        await budget.acquire()
        times.append(anyio.current_time() - began)
        await anyio.sleep(took)
        budget.release()

    async with anyio.create_task_group() as group:
        for _ in range(requests):
            group.start_soon(request)
    return times


@pytest.mark.parametrize("burst", [1, 4])
async def test_no_span_has_more_starts_than_rate_and_burst_allow(burst: int) -> None:
    times = await starts(RateBudget(100, burst=burst, max_in_flight=500), 300)

    for first, start in enumerate(times):
        for last in range(first, len(times)):
            span = max(1.0, times[last] - start)
            assert last - first + 1 <= span * 100 + burst
    assert times[-1] == pytest.approx((300 - burst) / 100, rel=0.03)


async def test_a_late_event_loop_loses_no_places() -> None:
    budget, times = RateBudget(50, max_in_flight=500), list[float]()
    while len(times) < 100:
        await anyio.sleep(budget.delay() + 0.012)
        assert budget.try_acquire()
        times.append(anyio.current_time())

    assert 99 / (times[-1] - times[0]) == pytest.approx(50, rel=0.03)


async def test_no_more_are_under_way_than_may_be() -> None:
    times = await starts(RateBudget(None, max_in_flight=2), 6, took=1)

    assert [round(time) for time in times] == [0, 0, 1, 1, 2, 2]


async def test_urgent_requests_overtake_the_others_and_not_each_other() -> None:
    budget, order = RateBudget(1), list[str]()
    await budget.acquire()

    async def request(name: str, *, urgent: bool) -> None:
        await budget.acquire(urgent=urgent)
        order.append(name)
        budget.release()

    async with anyio.create_task_group() as group:
        for name in ["poll 1", "poll 2", "begin 1", "begin 2"]:
            group.start_soon(lambda name: request(name, urgent="begin" in name), name)
            await anyio.sleep(0.01)

    assert order == ["begin 1", "begin 2", "poll 1", "poll 2"]


async def test_whoever_is_cancelled_in_the_queue_blocks_nobody() -> None:
    budget = RateBudget(None, max_in_flight=1)
    await budget.acquire()
    scopes = [anyio.CancelScope() for _ in range(3)]
    passed = list[int]()

    async def request(number: int) -> None:
        with scopes[number]:
            await budget.acquire()
            passed.append(number)
            budget.release()

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(request, number)
        await anyio.sleep(1)
        scopes[1].cancel()
        scopes[0].cancel()
        await anyio.sleep(1)
        budget.release()

    assert passed == [2]
    assert budget.in_flight == 0
    assert budget.try_acquire()


async def test_nobody_is_let_past_those_who_queue() -> None:
    budget = RateBudget(1)
    assert budget.try_acquire()

    async with anyio.create_task_group() as group:
        group.start_soon(budget.acquire)
        await anyio.sleep(0.5)
        assert budget.delay() == pytest.approx(0.5, abs=0.02)
        assert not budget.try_acquire()

    assert budget.in_flight == 2


async def test_a_pause_lasts_at_least_as_long_as_asked_and_a_tenth_more_at_most() -> None:
    for asked in [1, 30, 600]:
        pause, began = Pause(), anyio.current_time()
        pause.heed(asked)
        await pause.passed()

        assert asked <= anyio.current_time() - began <= asked * 1.1 + 0.1
        assert pause.remaining() == 0


async def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pause = Pause()
    pause.heed(100)
    pause.heed(1)
    pause.heed(0)

    assert pause.remaining() > 99
    assert repr(pause).startswith("<Pause until ")


async def test_no_service_is_believed_for_more_than_an_hour() -> None:
    pause = Pause()
    pause.heed(3590)
    assert 3590 <= pause.remaining() <= LONGEST_PAUSE
    assert not pause.is_cut
    pause.heed(99_999_999)
    pause.heed(10)

    assert pause.remaining() == pytest.approx(LONGEST_PAUSE, abs=1)
    assert pause.is_cut


async def test_a_pause_that_grows_while_somebody_waits_is_waited_out() -> None:
    pause = Pause()
    pause.heed(1)

    async with anyio.create_task_group() as group:
        group.start_soon(pause.passed)
        await anyio.sleep(0.5)
        pause.heed(5)
        began = anyio.current_time()

    assert anyio.current_time() - began >= 5


async def test_a_pause_that_is_lifted_is_over() -> None:
    pause, began = Pause(), anyio.current_time()
    pause.heed(600)

    async with anyio.create_task_group() as group:
        group.start_soon(pause.passed)
        await anyio.sleep(5)
        pause.lift()

    assert anyio.current_time() - began < 7
    assert pause.remaining() == 0


def places(per_second: float | None, *, max_in_flight: int = 20) -> Places:
    return places_of(RateBudget(per_second, max_in_flight=max_in_flight))


def test_all_who_plan_with_a_rate_are_cut_by_the_same_share() -> None:
    budget, one, other = places(20), object(), object()
    assert budget.share(one, 100.0) == 20
    budget.join(one)
    budget.join(other)
    assert budget.is_shared

    budget.share(other, 30.0)

    assert budget.share(one, 10.0) == 5
    assert budget.share(other, 30.0) == 15
    assert budget.share(object(), 40.0) == 10
    budget.leave(other)
    budget.leave(other)
    assert not budget.is_shared
    assert budget.share(one, 10.0) == 20


def test_who_cannot_use_its_share_leaves_it_to_the_others() -> None:
    budget, slow, one, other = places(50), object(), object(), object()
    for planner in (slow, one, other):
        budget.join(planner)
    assert budget.share(slow, 40.0, most=1.0) == 1.0

    assert budget.share(one, 200.0, most=80.0) == 49.0
    assert budget.share(other, 200.0, most=20.0) == 20.0
    assert budget.share(one, 200.0, most=80.0) == 29.0
    assert budget.share(slow, 40.0, most=1.0) == 1.0


def test_without_a_rate_there_is_nothing_to_share() -> None:
    assert places(None).share(object(), 10.0) is None


async def test_who_is_not_there_to_wait_is_kept_a_place() -> None:
    budget, planner, woken = places(None, max_in_flight=1), object(), []
    budget.take(0.0, object())

    budget.line_up(planner, lambda: woken.append("planner"))
    budget.line_up(planner, lambda: woken.append("planner again"))
    assert budget.is_queueing_before(object())
    assert not budget.is_queueing_before(planner)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(budget.acquire)
        await anyio.sleep(1)
        budget.release()
        await anyio.sleep(1)
        assert woken == ["planner"]
        assert budget.in_flight == 0
        assert budget.is_open_at(10.0, planner)
        budget.take(10.0, planner)
        budget.release()

    assert budget.in_flight == 1
    assert woken == ["planner"]


async def test_a_place_that_is_not_wanted_any_more_is_the_next_ones() -> None:
    budget, one, other, woken = places(None, max_in_flight=1), object(), object(), []
    budget.take(0.0, object())
    budget.line_up(one, lambda: woken.append("one"))
    budget.line_up(other, lambda: woken.append("other"))

    budget.step_out(one)
    budget.step_out(object())
    assert woken == ["other"]
    budget.release()

    assert woken == ["other", "other"]
    assert budget.is_open_at(0.0, other)
    assert not budget.is_open_at(0.0, one)
