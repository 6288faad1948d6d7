"""Which connection a request gets."""

import asyncio

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identomat_async._wire._lanes import LONGEST_IDLE, LONGEST_LIFE, MOST_ANSWERS, Lane, Lanes
from identomat_async.errors import ClientClosedError


class Carrier:
    """Counts how many of its kind are open."""

    def __init__(self, street: "Street") -> None:
        self.street = street
        self.is_open = True
        self.was_asked = False
        street.made += 1
        street.open += 1
        street.peak = max(street.peak, street.open)

    async def aclose(self) -> None:
        self.was_asked = True
        await anyio.sleep(self.street.closing)
        if self.is_open:
            self.street.open -= 1
        self.is_open = False
        if self.street.fails:
            raise OSError("it does not close")


class Street:
    """Where the carriers are."""

    def __init__(self) -> None:
        self.made = self.open = self.peak = 0
        self.closing = 0.0
        self.fails = False

    def make(self) -> Carrier:
        return Carrier(self)


async def test_the_last_used_lane_is_taken_first() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=3)
    first, second = await lanes.acquire(), await lanes.acquire()
    lanes.release(first)
    lanes.release(second)

    assert await lanes.acquire() is second
    assert await lanes.acquire() is first
    assert repr(lanes) == "<Lanes 2 busy, 0 free of 3>"


async def test_a_fresh_lane_is_new_and_pushes_out_the_idle_one() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=1)
    kept = await lanes.acquire()
    lanes.release(kept)

    fresh = await lanes.acquire(fresh=True)

    assert fresh is not kept
    assert fresh.answers == 0
    assert not kept.carrier.is_open
    assert street.peak == 1


async def test_a_lane_that_was_dropped_is_closed_and_never_used_again() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=1)
    lane = await lanes.acquire()
    await lanes.drop(lane)

    assert (street.open, lanes.busy, lanes.free) == (0, 0, 0)
    assert await lanes.acquire() is not lane


@pytest.mark.parametrize("fails", [False, True])
async def test_a_lane_that_does_not_close_holds_up_nobody(fails: bool) -> None:
    street = Street()
    street.closing, street.fails = (0, True) if fails else (3600, False)
    lanes = Lanes(street.make, limit=1)
    began = anyio.current_time()
    await lanes.drop(await lanes.acquire())

    assert anyio.current_time() - began < 0.25
    assert lanes.busy == 0


async def test_a_lane_wears_out_by_answers_and_by_age() -> None:
    lanes = Lanes(Street().make, limit=1)
    lane = await lanes.acquire()
    lane.answers = MOST_ANSWERS - 1
    assert not lanes.release(lane)
    await lanes.drop(lane)

    lane = await lanes.acquire()
    await anyio.sleep(LONGEST_LIFE)
    assert not lanes.release(lane)


async def test_a_lane_that_is_too_old_by_now_is_not_used_again() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=1)
    ages = list[float]()
    for _ in range(4):
        lane = await lanes.acquire()
        ages.append(anyio.current_time() - lane.born)
        lanes.release(lane)
        await anyio.sleep(LONGEST_IDLE - 1)

    assert max(ages) < LONGEST_LIFE
    assert (street.made, street.open, street.peak) == (2, 1, 1)


async def test_what_nobody_used_for_a_while_is_closed_bit_by_bit() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=10)
    crowd = [await lanes.acquire() for _ in range(5)]
    for lane in crowd:
        lanes.release(lane)
    hot = crowd[-1]
    opened = list[int]()
    for _ in range(6):
        await anyio.sleep(LONGEST_IDLE / 5)
        assert await lanes.acquire() is hot
        lanes.release(hot)
        hot.born = anyio.current_time()
        opened.append(street.open)

    assert opened == [5, 5, 5, 5, 4, 3]


async def test_a_lane_that_stood_idle_for_long_is_not_used_again() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=4)
    for lane in [await lanes.acquire() for _ in range(4)]:
        lanes.release(lane)
    await anyio.sleep(LONGEST_IDLE)
    taken = await lanes.acquire()

    assert (taken.answers, street.made, street.peak) == (0, 5, 4)
    assert lanes.free == 3


async def test_lanes_that_do_not_close_do_not_add_up() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=100)
    crowd = [await lanes.acquire() for _ in range(100)]
    for lane in crowd:
        lanes.release(lane)
    street.closing, began = 0.15, anyio.current_time()
    with anyio.CancelScope() as scope:
        scope.cancel()  # whoever closes may be in a hurry
        await lanes.aclose()

    assert anyio.current_time() - began < 0.5
    assert (lanes.free, lanes.busy) == (0, 0)
    assert all(lane.carrier.was_asked for lane in crowd)


def test_what_is_left_is_closed_although_asyncio_cancels_the_closing() -> None:
    async def main() -> tuple[int, int]:
        street = Street()
        street.closing = 0.01
        lanes = Lanes(street.make, limit=3)
        for lane in [await lanes.acquire() for _ in range(3)]:
            lanes.release(lane)
        closing = asyncio.create_task(lanes.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        return street.open, lanes.free

    assert asyncio.run(main()) == (1, 0)  # the one whose close was interrupted


async def test_a_lane_that_cannot_be_made_takes_no_place() -> None:
    def fail() -> Carrier:
        raise OSError("no more descriptors")

    lanes = Lanes(fail, limit=1)
    for _ in range(2):
        with pytest.raises(OSError, match="descriptors"):
            await lanes.acquire()

    assert lanes.busy == 0


async def test_who_comes_first_is_served_first() -> None:
    lanes, order = Lanes(Street().make, limit=1), list[int]()
    held = await lanes.acquire()

    async def use(number: int) -> None:
        lane = await lanes.acquire()
        order.append(number)
        lanes.release(lane)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(use, number)
            await anyio.wait_all_tasks_blocked()
        lanes.release(held)

    assert order == [0, 1, 2, 3, 4]


async def test_who_is_cancelled_with_the_place_in_hand_passes_it_on() -> None:
    lanes = Lanes(Street().make, limit=1)
    held, scope = await lanes.acquire(), anyio.CancelScope()

    async def wait() -> None:
        with scope:
            lane = await lanes.acquire()
            lanes.release(lane)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        lanes.release(held)
        scope.cancel()

    assert (lanes.busy, lanes.free) == (0, 1)


def test_who_is_cancelled_as_asyncio_does_it_passes_the_place_on() -> None:
    async def main() -> tuple[int, int]:
        lanes = Lanes(Street().make, limit=1)
        held = await lanes.acquire()
        waiter = asyncio.create_task(lanes.acquire())
        await asyncio.sleep(0)
        lanes.release(held)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        return lanes.busy, lanes.free

    assert asyncio.run(main()) == (0, 1)


async def test_a_deadline_is_obeyed_in_the_line() -> None:
    lanes = Lanes(Street().make, limit=1)
    held, began = await lanes.acquire(), anyio.current_time()

    with anyio.move_on_after(3) as scope:
        await lanes.acquire()

    assert scope.cancelled_caught
    assert anyio.current_time() - began == pytest.approx(3, abs=0.1)
    lanes.release(held)
    assert await lanes.acquire() is held


async def test_closing_turns_away_those_in_line_and_those_to_come() -> None:
    street = Street()
    lanes = Lanes(street.make, limit=1)
    busy = await lanes.acquire()
    refused = list[int]()

    async def wait(number: int) -> None:
        with pytest.raises(ClientClosedError):
            await lanes.acquire()
        refused.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(wait, number)
        await anyio.wait_all_tasks_blocked()
        await lanes.aclose()

    assert sorted(refused) == [0, 1, 2]
    with pytest.raises(ClientClosedError):
        await lanes.acquire()
    assert not lanes.release(busy)
    await lanes.drop(busy)
    assert (street.open, lanes.busy) == (0, 0)


User = tuple[float, bool, bool, float, float]
USERS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.5, 1.0]),  # when it comes
        st.booleans(),  # whether it needs a fresh lane
        st.booleans(),  # whether its exchange fails
        st.sampled_from([0.0, 0.1, 0.3, 0.7]),  # how long the exchange takes
        st.sampled_from([0.05, 0.1, 0.4, 0.6, 1.1, 9.0]),  # when it is cancelled
    ),
    max_size=12,
)


async def crowd(lanes: Lanes[Carrier], users: list[User], closes: float) -> None:
    async def use(user: User) -> None:
        comes, fresh, fails, takes, cancelled = user
        await anyio.sleep(comes)
        with anyio.move_on_after(cancelled):
            try:
                lane = await lanes.acquire(fresh=fresh)
            except ClientClosedError:
                return
            await exchange(lane, takes, fails=fails)

    async def exchange(lane: Lane[Carrier], takes: float, *, fails: bool) -> None:
        assert lane.carrier.is_open
        is_sound = False
        try:
            await anyio.sleep(takes)
            is_sound = not fails
        finally:
            if not (is_sound and lanes.release(lane)):
                await lanes.drop(lane)

    async with anyio.create_task_group() as group:
        for user in users:
            group.start_soon(use, user)
        await anyio.sleep(closes)
        await lanes.aclose()


@given(
    users=USERS,
    limit=st.integers(1, 3),
    closes=st.sampled_from([0.3, 100.0]),
    closing=st.sampled_from([0.0, 0.05]),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_whatever_is_cancelled_no_place_is_lost_and_the_limit_holds(
    users: list[User], limit: int, closes: float, closing: float
) -> None:
    street = Street()
    street.closing = closing
    lanes = Lanes(street.make, limit=limit)

    await crowd(lanes, users, closes)

    assert (lanes.busy, lanes.free, len(lanes._line)) == (0, 0, 0)
    assert street.open == 0
    assert street.peak <= limit
