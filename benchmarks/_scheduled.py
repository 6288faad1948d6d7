"""
What schedule.py measures, one contender at a time in a process of its own.

`python -m benchmarks._scheduled CONTENDER SESSIONS PER_SECOND SECONDS` prints a line when
every session has been looked at once. For each line that it reads it then lets some
seconds pass and prints JSON: the CPU microseconds per look, the looks per second, and how
late looks were. In between time stands still.
"""

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_result
from tenacity.wait import wait_base

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from identomat_async import RateBudget, ResultPoller, SessionStatus, wait_person
from identomat_async.events import Event, PollFinished

# The ceiling is above what is asked for, so that it is there and stretches nothing.
_HEADROOM = 1.2
_WARM_UP = 0.5
_BLUR = 0.2


class Window:
    """Measures what goes on, for some *seconds* of real time."""

    def __init__(self, source: InMemory, seconds: float) -> None:
        self.late: list[float] = []
        self._source = source
        self._seconds = seconds

    async def measure(self) -> NoReturn:
        """Measure whenever it is asked for, until there is nobody to ask."""
        gc.enable()
        gc.collect()
        print("ready", flush=True)
        while sys.stdin.readline():
            print(json.dumps(await self._once()), flush=True)
        # Taking a hundred thousand tasks down takes longer than all this.
        os._exit(0)

    async def _once(self) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.land()
        await asyncio.sleep(_WARM_UP)
        self.late.clear()
        looks, spent, begun = self._source.looks, time.process_time(), time.monotonic()
        await asyncio.sleep(self._seconds)
        cpu, passed = time.process_time() - spent, time.monotonic() - begun
        looks = self._source.looks - looks
        loop.take_off()
        return {"us": cpu / looks * 1e6, "rate": looks / passed, "late": self.late.copy()}


async def poller(source: InMemory, window: Window, gap: float, *, observe: bool = False) -> None:
    """Measure the library."""

    def note(event: Event) -> None:
        if isinstance(event, PollFinished):
            window.late.append(event.lateness)

    sessions = source.missing
    async with ResultPoller(
        source,
        wait=wait_person(every=gap, quiet=gap, tail=1.0, cap=2 * gap),
        rate=RateBudget(_HEADROOM * sessions / gap, max_in_flight=100),
        observers=[note] if observe else [],
    ) as watching:
        await watching.watch_many(source.tokens())
        await source.all_seen()
        # Jitter has to blur where the first round ends and the second begins.
        await anyio.sleep(_BLUR * gap)
        await window.measure()


async def observed_poller(source: InMemory, window: Window, gap: float) -> None:
    """Measure the library with an observer, who learns how late each look was."""
    await poller(source, window, gap, observe=True)


async def bare_task(source: InMemory, window: Window, gap: float) -> None:
    """Measure an asyncio task per session that looks and sleeps."""
    loop = asyncio.get_running_loop()

    async def watch(token: str) -> None:
        await source.look(token, fresh=False)
        due = loop.time() + gap * random.random()
        while True:
            await asyncio.sleep(due - loop.time())
            window.late.append(loop.time() - due)
            await source.look(token, fresh=False)
            due += gap * random.uniform(0.9, 1.1)

    _tasks = {asyncio.create_task(watch(token)) for token in source.tokens()}
    await source.all_seen()
    await window.measure()


async def retrying_task(source: InMemory, window: Window, gap: float) -> None:
    """Measure an asyncio task and an `AsyncRetrying` per session."""
    wait = _Spread(gap)

    async def look(token: str) -> SessionStatus:
        status = await source.look(token, fresh=False)
        assert isinstance(status, SessionStatus)
        return status

    async def watch(token: str) -> None:
        retry = retry_if_result(lambda status: status is SessionStatus.IN_PROGRESS)
        await AsyncRetrying(wait=wait, retry=retry)(look, token)

    _tasks = {asyncio.create_task(watch(token)) for token in source.tokens()}
    await source.all_seen()
    await window.measure()


class _Spread(wait_base):
    """The gap, but for the first, which is any part of it."""

    def __init__(self, gap: float) -> None:
        self._gap = gap

    def __call__(self, retry_state: RetryCallState) -> float:
        is_first = retry_state.attempt_number == 1
        return self._gap * (random.random() if is_first else random.uniform(0.9, 1.1))


CONTENDERS: dict[str, Callable[[InMemory, Window, float], Awaitable[None]]] = {
    "poller": poller,
    "observed-poller": observed_poller,
    "bare-task": bare_task,
    "retrying-task": retrying_task,
}


def main(contender: str, sessions: int, per_second: float, seconds: float) -> None:
    """Measure *contender*."""
    # So many objects are quicker made without, and only making them is.
    gc.disable()
    source = InMemory(sessions)
    window = Window(source, seconds)
    options = {"loop_factory": JumpingLoop}
    gap = sessions / per_second
    anyio.run(CONTENDERS[contender], source, window, gap, backend_options=options)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
