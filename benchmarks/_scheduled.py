"""
What schedule.py measures, one contender at a time in a process of its own.

`python -m benchmarks._scheduled CONTENDER SESSIONS PER_SECOND SECONDS` prints a line when
every session is watched. For each line that it reads it then lets some seconds pass and
prints JSON: the CPU microseconds per look, the looks per second, and how late looks were.
In between time stands still; but before it answers ``later`` for the first time, every
session has had its first look.
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
from tenacity import AsyncRetrying, retry_if_result, wait_random

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from identomat_async import RateBudget, ResultPoller, SessionStatus, wait_person
from identomat_async.events import Event, PollFinished

# The ceiling is above what is asked for, so that it is there and stretches nothing.
_HEADROOM = 1.5
_WARM_UP = 0.5
# As many gaps blur where the first round ends and the second begins.
_BLUR = 1.2
LATER = "later"


class Window:
    """Measures what goes on, for some *seconds* of real time."""

    def __init__(self, source: InMemory, seconds: float, *, gap: float) -> None:
        self.late: list[float] = []
        self._source = source
        self._gap = gap
        self._seconds = seconds

    async def measure(self) -> NoReturn:
        """Measure whenever it is asked for, until there is nobody to ask."""
        gc.enable()
        gc.collect()
        print("ready", flush=True)
        is_warm = False
        while asked := sys.stdin.readline():
            if asked.strip() == LATER and not is_warm:
                await asyncio.sleep(_BLUR * self._gap)
                assert not self._source.missing
                is_warm = True
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
        wait=wait_person(every=gap, quiet=gap, tail=1.0, floor=0, cap=2 * gap),
        rate=RateBudget(_HEADROOM * sessions / gap, max_in_flight=100),
        observers=[note] if observe else [],
    ) as watching:
        await watching.watch_many(source.tokens())
        await window.measure()


async def observed_poller(source: InMemory, window: Window, gap: float) -> None:
    """Measure the library with an observer, who learns how late each look was."""
    await poller(source, window, gap, observe=True)


async def bare_task(source: InMemory, window: Window, gap: float) -> None:
    """Measure an asyncio task per session that looks and sleeps."""
    loop = asyncio.get_running_loop()

    async def watch(token: str) -> None:
        due = loop.time() + gap * random.random()
        while True:
            await asyncio.sleep(due - loop.time())
            window.late.append(loop.time() - due)
            await source.look(token, fresh=False)
            due += gap * random.uniform(0.9, 1.1)

    _tasks = {asyncio.create_task(watch(token)) for token in source.tokens()}
    await window.measure()


async def retrying_task(source: InMemory, window: Window, gap: float) -> None:
    """Measure an anyio task and an `AsyncRetrying` per session."""
    wait = wait_random(0.9 * gap, 1.1 * gap)

    async def look(token: str) -> SessionStatus:
        status = await source.look(token, fresh=False)
        assert isinstance(status, SessionStatus)
        return status

    async def watch(token: str) -> None:
        await anyio.sleep(gap * random.random())
        retry = retry_if_result(lambda status: status is SessionStatus.IN_PROGRESS)
        await AsyncRetrying(wait=wait, retry=retry, sleep=anyio.sleep)(look, token)

    async with anyio.create_task_group() as tasks:
        for token in source.tokens():
            tasks.start_soon(watch, token)
        await window.measure()


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
    source, gap = InMemory(sessions), sessions / per_second
    window = Window(source, seconds, gap=gap)
    options = {"loop_factory": JumpingLoop}
    anyio.run(CONTENDERS[contender], source, window, gap, backend_options=options)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
