"""Times as users give them, and where an object may be used."""

import multiprocessing
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from identomat_async._clock import Clock, deadline_at, moment, seconds, suspended, timestamp
from identomat_async._home import Home
from identomat_async.errors import ConfigurationError, IdentomatError


@pytest.mark.parametrize("value", [2, 2.0, timedelta(seconds=2)])
def test_seconds_come_as_numbers_or_timedelta(value: float | timedelta) -> None:
    assert seconds(value, name="timeout") == 2.0


@pytest.mark.parametrize("value", [None, "5", True, [1], datetime.now(UTC)])
def test_what_is_no_time_is_refused_by_name(value: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be seconds or a timedelta"):
        seconds(value, name="timeout")


@pytest.mark.parametrize(
    "value", [-1, float("nan"), float("inf"), 10**400, -(10**400), timedelta(seconds=-1)]
)
def test_a_time_that_cannot_pass_is_refused(value: float | timedelta) -> None:
    with pytest.raises(ConfigurationError, match="deadline must be finite and not negative"):
        seconds(value, name="deadline")


def test_a_deadline_counts_from_now_or_stands_for_itself() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    assert deadline_at(5, now=100) == 105
    assert deadline_at(at, now=100) - 100 == pytest.approx(at.timestamp() - time.time(), abs=1)


def test_a_datetime_without_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="begun must be an aware datetime"):
        timestamp(datetime(2026, 1, 1), name="begun")  # noqa: DTZ001 - the point of it


def test_a_moment_is_aware_and_never_is_none() -> None:
    assert moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(float("inf")) is None


async def test_the_clock_begins_at_the_wall_clock_and_runs_with_the_loop() -> None:
    clock, wall = Clock(), time.time()
    began = clock.now()
    await anyio.sleep(100)

    assert began == pytest.approx(wall, abs=1)
    assert clock.now() - began == pytest.approx(100, abs=1)


def refusal(home: Home) -> str:
    """What *home* says where this is called, which is another event loop."""

    async def check() -> None:
        home.check()

    try:
        anyio.run(check)
    except IdentomatError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_a_home_is_one_event_loop(first: str) -> None:
    home = Home("client")

    async def check() -> None:
        home.check()
        home.check()

    anyio.run(check, backend=first)

    assert refusal(home) == (
        "this client was first used in another event loop: make one in each event loop"
    )


def test_a_home_is_one_thread() -> None:
    home, said = Home("client"), list[str]()
    assert refusal(home) == ""

    thread = threading.Thread(target=lambda: said.append(refusal(home)))
    thread.start()
    thread.join()

    assert said == ["this client was first used in another thread: make one in each thread"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons, with threads
def test_a_home_is_one_process() -> None:
    home = Home("client")
    assert refusal(home) == ""
    reader, writer = os.pipe()

    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: os.write(writer, refusal(home).encode()))
    child.start()
    child.join()

    assert b"first used in another process" in os.read(reader, 1000)
    os.close(reader)
    os.close(writer)


def test_a_process_is_known_by_its_number() -> None:
    home = Home("client")
    assert refusal(home) == ""
    home._pid += 1

    assert "first used in another process" in refusal(home)


def test_a_home_that_was_never_used_may_be_forked() -> None:
    assert refusal(Home("client")) == ""


async def test_what_the_machine_slept_is_added(anyio_backend) -> None:
    slept = [100.0]
    clock = Clock(lambda: slept[0])
    before = clock.now()
    slept[0] += 0.5  # two clocks are never read at the same moment
    clock.wake()
    awake = clock.now()
    slept[0] += 7200
    clock.wake()
    clock.wake()

    assert awake - before < 0.4
    assert 7200 <= clock.now() - before < 7201


def test_a_machine_has_slept_for_no_less_than_no_time() -> None:
    assert suspended() >= 0
