"""Time that stands still, leaps or passes by as much as was said."""

import asyncio
import math
import socket
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from identomat_async import Until
from identomat_async.errors import ConfigurationError
from identomat_async.testing import Account, VirtualClock
from identomat_async.testing._idle import ThreadWatch
from identomat_async.testing._install import installed_clock

# Real seconds, for what must be waited for in earnest.
BRIEF = 0.05


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(patience=BRIEF)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(
    request: pytest.FixtureRequest, clock: VirtualClock
) -> tuple[str, dict[str, object]]:
    return request.param, clock.backend_options(request.param)


async def note_at(clock: VirtualClock, notes: list[float], *moments: float) -> None:
    begun = clock.now()
    for moment in moments:
        await anyio.sleep_until(begun + moment)
        notes.append(clock.now() - begun)


async def test_what_falls_into_a_span_happens_at_its_moment(clock: VirtualClock) -> None:
    notes: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(note_at, clock, notes, 1, 5, 90)
        group.start_soon(note_at, clock, notes, 2, 60, 61)

        await clock.advance(60)
        assert notes == [1, 2, 5, 60]
        await clock.advance(0.5)
        assert notes == [1, 2, 5, 60]
        await clock.advance(29.5)
        assert notes == [1, 2, 5, 60, 61, 90]


async def test_what_follows_from_it_is_done_too_when_it_returns(clock: VirtualClock) -> None:
    done: list[str] = []
    send, receive = anyio.create_memory_object_stream[str]()

    async def tell() -> None:
        await anyio.sleep(10)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        await send.send("told")

    async def hear() -> None:
        done.append(await receive.receive())

    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            group.start_soon(hear)
            await clock.advance(10)
            assert done == ["told"]


async def test_two_may_advance_it_at_once(clock: VirtualClock) -> None:
    begun = clock.now()
    async with anyio.create_task_group() as group:
        for span in (3, 4):
            group.start_soon(lambda span=span: advance(clock, span))

    assert clock.now() - begun == 7


async def advance(clock: VirtualClock, span: float) -> None:
    await clock.advance(span)


async def test_a_span_passes_once_however_often_it_is_awaited(clock: VirtualClock) -> None:
    begun = clock.now()
    passing = clock.advance(5)
    await passing
    await passing

    assert clock.now() - begun == 5


async def test_no_time_passes_unless_it_is_let(clock: VirtualClock) -> None:
    begun = clock.now()
    for _ in range(100):
        await anyio.lowlevel.checkpoint()
    await clock.advance(0)

    assert clock.now() == begun


async def test_a_jump_ends_every_wait_at_once_and_nothing_after_it(clock: VirtualClock) -> None:
    begun = clock.now()
    with clock.jump():
        await anyio.sleep(86400 * 3)
        with anyio.move_on_after(5) as scope:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert clock.now() - begun == 86400 * 3 + 5

    with anyio.move_on_after(3):
        await clock.advance(2)
        assert clock.now() - begun == 86400 * 3 + 7


async def test_after_a_stall_everything_is_late(clock: VirtualClock) -> None:
    notes: list[float] = []
    async with anyio.create_task_group() as group:
        group.start_soon(note_at, clock, notes, 1, 5, 90)
        await clock.advance(0.5)
        clock.stall(60)
        await clock.advance(1)
        assert notes == [60.5, 60.5]
        await clock.advance(30)


async def test_it_can_be_advanced_while_it_jumps(clock: VirtualClock) -> None:
    begun = clock.now()
    clock.jump()
    await clock.advance(10)

    assert clock.now() - begun == 10


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_in_another_thread_is_waited_for(backend: str) -> None:
    clock = VirtualClock()
    notes: list[float] = []
    options = clock.backend_options(backend)
    with anyio.from_thread.start_blocking_portal(backend, options) as portal:
        future = portal.start_task_soon(note_at, clock, notes, 5, 10)
        portal.call(anyio.lowlevel.checkpoint)
        clock.advance(5)
        assert notes == [5]
        with clock.jump():
            future.result()
        assert notes == [5, 10]
    clock.advance(5)

    assert clock.now() == 1015


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_never_rests_is_not_waited_for(clock: VirtualClock, backend: str) -> None:
    async def circle() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    options = clock.backend_options(backend)
    with anyio.from_thread.start_blocking_portal(backend, options) as portal:
        future = portal.start_task_soon(circle)
        with pytest.raises(ConfigurationError, match="has not come to rest"):
            clock.advance(5)
        future.cancel()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_has_ended_is_not_waited_for(clock: VirtualClock, backend: str) -> None:
    options = clock.backend_options(backend)
    clock.advance(1)
    anyio.run(anyio.sleep, 0, backend=backend, backend_options=options)
    clock.advance(1)

    assert clock.now() == 1002


def test_nor_is_one_that_ends_meanwhile(clock: VirtualClock) -> None:
    options = clock.backend_options("trio")
    anyio.run(anyio.sleep, 0, backend="trio", backend_options=options)

    assert options["clock"].wake() is False
    options["clock"].settle(clock.now() + 1)


def test_without_an_event_loop_time_simply_passes(clock: VirtualClock) -> None:
    loop = clock.new_event_loop()
    begun = clock.now()
    clock.advance(5)
    loop.close()
    clock.advance(5)

    assert clock.now() - begun == 10
    assert loop.wake() is False
    assert repr(clock) == "<VirtualClock at 10 s>"


@pytest.mark.parametrize("span", [-1, math.nan, math.inf, "5"])
def test_a_span_that_is_none_is_refused(clock: VirtualClock, span: float) -> None:
    with pytest.raises(ConfigurationError, match="span must be"):
        clock.advance(span)


def test_a_back_end_that_is_none_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ConfigurationError, match="'asyncio' or 'trio'"):
        clock.backend_options("curio")


async def test_another_clocks_event_loop_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="another clock"):
        VirtualClock().advance(5)


async def test_what_is_not_awaited_is_noticed(clock: VirtualClock) -> None:
    begun = clock.now()
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        clock.advance(5)

    assert clock.now() == begun


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_worker_thread_gets_its_time(backend: str) -> None:
    clock = VirtualClock()
    clock.jump()

    async def main() -> bool:
        with anyio.move_on_after(1) as scope:
            for _ in range(3):
                await anyio.to_thread.run_sync(time.sleep, BRIEF)
        return scope.cancelled_caught

    options = clock.backend_options(backend)
    assert anyio.run(main, backend=backend, backend_options=options) is False


async def test_one_that_waits_for_time_to_pass_gets_it(clock: VirtualClock) -> None:
    begun = clock.now()
    clock.jump()
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 60))

    assert clock.now() - begun == 60


def test_executors_have_worker_threads_too() -> None:
    clock = VirtualClock()
    clock.jump()

    async def main() -> str:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(None, lambda: time.sleep(BRIEF) or "back")
        return await asyncio.wait_for(call, 0.01)

    with asyncio.Runner(loop_factory=clock.new_event_loop) as runner:
        assert runner.run(main()) == "back"


def test_who_waits_in_vain_is_told_so_on_asyncio(clock: VirtualClock) -> None:
    with (
        asyncio.Runner(loop_factory=clock.new_event_loop) as runner,
        pytest.raises(ConfigurationError, match="time stands still"),
    ):
        runner.run(asyncio.sleep(30))


def test_but_not_where_something_may_still_come_in(clock: VirtualClock) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003

    async def main() -> bytes:
        with ours:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 9), 30)

    timer = threading.Timer(BRIEF * 3, theirs.send, [b"late"])
    timer.start()
    with asyncio.Runner(loop_factory=clock.new_event_loop) as runner, theirs:
        assert runner.run(main()) == b"late"
    timer.join()


def test_a_watch_of_threads_gives_each_its_grace_once() -> None:
    busy, now = [0], [0.0]
    watch = ThreadWatch(lambda: busy[0], grace=1.0, now=lambda: now[0])

    def after(seconds: float, threads: int) -> float:
        now[0] += seconds
        busy[0] = threads
        return watch.grace()

    assert after(0, 0) == 0
    assert after(5, 1) == 1  # one begins
    assert after(0.2, 1) == 1  # one ends, the next begins
    assert after(0.9, 1) == 1
    assert after(1.0, 1) == 0  # it has not come back
    assert after(5, 1) == 0
    assert after(5, 2) == 1  # but another may
    assert after(0.1, 1) == 0
    assert after(0.1, 0) == 0
    assert after(0.1, 1) == 1


def test_clocks_may_be_installed_inside_of_one_another() -> None:
    def made() -> tuple[str, float]:
        loop = asyncio.new_event_loop()
        loop.close()
        return type(loop).__name__, loop.time()

    with installed_clock() as outer:
        outer.advance(5)
        with installed_clock():
            assert made() == ("VirtualLoop", 1000)
        assert made() == ("VirtualLoop", 1005)
    assert made()[0] != "VirtualLoop"


async def test_two_hours_pass_in_milliseconds_where_nothing_is_patched(
    clock: VirtualClock,
) -> None:
    sandbox = Account().sandbox(clock.now)
    sandbox.script("manual_check", after=20).then("approved", after=7200)
    client = Account().client(sandbox)
    token = await client.begin()
    with clock.jump():
        result = await client.wait(token, deadline=10800, until=Until.DECIDED)

    assert result.status.is_approved
    assert 7220 < clock.now() - sandbox.truth(token).begun_at < 7220 + 400
