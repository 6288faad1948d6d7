"""
What memory.py measures, one at a time in a process of its own.

`python -m benchmarks._parked KIND SESSIONS` prints one number; with `explain` at the end
it also tells which lines of code hold the memory.
"""

import asyncio
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import anyio
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from identomat_async import RateBudget, ResultPoller, SessionStatus

# So that all are looked at before anybody is a second time.
_RATE = 5000.0
_LATER = 1000.0
_FRAMES, _LINES = 1, 15
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Scale:
    """Weighs what is added between two moments, per session."""

    def __init__(self, sessions: int) -> None:
        self._sessions = sessions
        self._before = resident()

    def per_session(self) -> float:
        """Return the kilobytes for each session."""
        return (resident() - self._before) / self._sessions / 1024


class Ledger(Scale):
    """A scale that also tells what it is that weighs; for the count of bytes it is exact."""

    def __init__(self, sessions: int) -> None:
        super().__init__(sessions)
        tracemalloc.start(_FRAMES)

    def per_session(self) -> float:
        """Return the kilobytes for each session, after the lines that hold most of them."""
        gc.collect()
        found = tracemalloc.take_snapshot().statistics("lineno")
        tracemalloc.stop()
        for line in found[:_LINES]:
            size, blocks = line.size / self._sessions, line.count / self._sessions
            where = line.traceback[0]
            name = "/".join(Path(where.filename).parts[-2:])
            print(
                f"{size:8.1f} bytes in {blocks:5.2f} blocks  {name}:{where.lineno}",
                file=sys.stderr,
            )
        return sum(line.size for line in found) / self._sessions / 1024


Weigh = Callable[[int], Scale]


@asynccontextmanager
async def polling(source: InMemory) -> AsyncGenerator[ResultPoller]:
    """Poll with everything on: schedule, deadline, review and rate."""
    budget = RateBudget(_RATE, max_in_flight=100)
    async with ResultPoller(source, rate=budget) as poller:
        await anyio.sleep(0.01)
        yield poller


def done(figure: float) -> NoReturn:
    """Print what was measured, and end without taking down what was built up."""
    print(figure, flush=True)
    os._exit(0)


async def watched(sessions: int, weigh: Weigh) -> None:
    """Weigh a session that is watched and was looked at."""
    source = InMemory(sessions)
    async with polling(source) as poller:
        scale = weigh(sessions)
        await poller.watch_many(source.tokens())
        await source.all_seen()
        done(scale.per_session())


async def watched_singly(sessions: int, weigh: Weigh) -> None:
    """Weigh the same where each watch has a moment of its own."""
    source = InMemory(sessions)
    async with polling(source) as poller:
        scale = weigh(sessions)
        for token in source.tokens():
            await poller.watch(token)
        await source.all_seen()
        done(scale.per_session())


async def awaited(sessions: int, weigh: Weigh) -> None:
    """Weigh a session that is awaited by one `wait_all` for all."""
    source = InMemory(sessions)
    async with polling(source) as poller, anyio.create_task_group() as tasks:
        scale = weigh(sessions)
        tasks.start_soon(poller.wait_all, source.tokens())
        await source.all_seen()
        done(scale.per_session())


async def with_a_task(sessions: int, weigh: Weigh) -> None:
    """Weigh a session that a task of the caller's awaits."""
    source = InMemory(sessions)
    async with polling(source) as poller:
        scale = weigh(sessions)
        _tasks = [asyncio.create_task(poller.wait(token)) for token in source.tokens()]
        await source.all_seen()
        done(scale.per_session())


async def bare_task(sessions: int, weigh: Weigh) -> None:
    """Weigh an asyncio task that looks and sleeps."""
    source = InMemory(sessions)

    async def watch(token: str) -> None:
        while True:
            await source.look(token, fresh=False)
            await asyncio.sleep(_LATER)

    scale = weigh(sessions)
    _tasks = [asyncio.create_task(watch(token)) for token in source.tokens()]
    await source.all_seen()
    done(scale.per_session())


async def retrying_task(sessions: int, weigh: Weigh) -> None:
    """Weigh an anyio task with an `AsyncRetrying`."""
    source = InMemory(sessions)

    async def look(token: str) -> object:
        return await source.look(token, fresh=False)

    async def watch(token: str) -> None:
        retry = retry_if_result(lambda status: status is SessionStatus.IN_PROGRESS)
        await AsyncRetrying(wait=wait_fixed(_LATER), retry=retry, sleep=anyio.sleep)(look, token)

    async with anyio.create_task_group() as tasks:
        scale = weigh(sessions)
        for token in source.tokens():
            tasks.start_soon(watch, token)
        await source.all_seen()
        done(scale.per_session())


async def start_watching(sessions: int) -> None:
    """Take the CPU seconds until all are watched."""
    source = InMemory(sessions)
    tokens = list(source.tokens())
    async with polling(source) as poller:
        gc.collect()
        spent = time.process_time()
        await poller.watch_many(tokens)
        done(time.process_time() - spent)


async def start_tasks(sessions: int) -> None:
    """Take the CPU seconds until each of so many anyio tasks has begun."""
    begun = anyio.Event()
    count = 0

    async def begin() -> None:
        nonlocal count
        count += 1
        if count == sessions:
            begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        gc.collect()
        spent = time.process_time()
        for _ in range(sessions):
            tasks.start_soon(begin)
        await begun.wait()
        done(time.process_time() - spent)


PARKED: dict[str, Callable[[int, Weigh], Awaitable[None]]] = {
    "watched": watched,
    "watched-singly": watched_singly,
    "awaited": awaited,
    "with-a-task": with_a_task,
    "bare-task": bare_task,
    "retrying-task": retrying_task,
}
STARTED: dict[str, Callable[[int], Awaitable[None]]] = {
    "start-watching": start_watching,
    "start-tasks": start_tasks,
}


def main(kind: str, sessions: int, *, explain: bool) -> None:
    """Measure *kind* on time that jumps."""
    options = {"loop_factory": JumpingLoop}
    if kind in STARTED:
        anyio.run(STARTED[kind], sessions, backend_options=options)
    weigh = Ledger if explain else Scale
    anyio.run(PARKED[kind], sessions, weigh, backend_options=options)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), explain="explain" in sys.argv[3:])
