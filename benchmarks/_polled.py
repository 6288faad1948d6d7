"""
What e2e.py measures, one contender at a time in a process of its own.

`python -m benchmarks._polled CONTENDER BASE_URL LANES SESSIONS SECONDS` prints a line when its
connections are warm. For each line that it reads it then lets some seconds pass and prints the
CPU microseconds per poll. In between it stands still.
"""

import asyncio
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NoReturn

import anyio
import attrs
import cattrs
import httpx
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from benchmarks._jumping import JumpingLoop
from identomat_async import IdentomatClient, ResultPoller, wait_person

# So soon again that, with enough sessions, there is always somebody due.
_GAP = 0.5
_SCHEDULE = wait_person(every=_GAP, quiet=_GAP, tail=1.0, floor=_GAP)
# So many polls over each connection before.
_WARM = 10
# The answers that came while it stood still are read first.
_WARM_UP = 0.15
_NEW_CLIENTS = 15
# The library's own, so that the same bytes travel.
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-store",
    "User-Agent": "identomat-async",
    "Content-Type": "application/json",
}
_DECIDED = ("approved", "rejected", "manual_check")


@attrs.frozen(kw_only=True)
class Stage:
    """What the contenders share: *lanes* requests are under way at any time."""

    base_url: str
    lanes: int
    sessions: int
    seconds: float

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[IdentomatClient]:
        """Open a client with as many connections as there are lanes."""
        async with IdentomatClient(
            "benchmark", base_url=self.base_url, max_connections=self.lanes
        ) as client:
            yield client

    @property
    def url(self) -> str:
        """Where results are."""
        return f"{self.base_url}result/"

    def tokens(self) -> Iterator[str]:
        """Return the tokens of all sessions."""
        return (f"{number:040}" for number in range(self.sessions))

    def request(self, token: str) -> httpx.Request:
        """Build what the library sends."""
        return httpx.Request(
            "POST",
            self.url,
            content=_asked(token),
            headers=_HEADERS,
            extensions={"timeout": {"connect": 5, "write": 10, "read": 15, "pool": 15}},
        )

    async def measure(self, polls: Callable[[], int]) -> NoReturn:
        """Measure what goes on whenever it is asked for, until there is nobody to ask."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        # To make a connection takes as long as several polls over it.
        while polls() < _WARM * self.lanes:  # noqa: ASYNC110 - it is others who poll
            await asyncio.sleep(_WARM_UP)
        gc.collect()
        print("ready", flush=True)
        while _stand_still(loop):
            await asyncio.sleep(_WARM_UP)
            before, spent = polls(), time.process_time()
            await asyncio.sleep(self.seconds)
            print((time.process_time() - spent) / (polls() - before) * 1e6, flush=True)
        # Taking thousands of tasks down takes longer than all this.
        os._exit(0)


@attrs.define(eq=False)
class Count:
    """How many polls have ended."""

    polls: int = 0


@attrs.define
class Person:
    """A person, as anybody would write it down."""

    first_name: str | None = None
    last_name: str | None = None
    birthday: str | None = None
    citizenship: str | None = None
    personal_number: str | None = None
    address: str | None = None


@attrs.define
class Document:
    """A result, as anybody would write it down."""

    result: str
    live: bool | None = None
    similarity: float | None = None
    document_type: str | None = None
    person: Person | None = None


async def poller(stage: Stage) -> None:
    """Measure the library."""
    async with (
        stage.client() as client,
        ResultPoller(client, wait=_SCHEDULE, rate=None, max_in_flight=stage.lanes) as watching,
    ):
        await watching.watch_many(stage.tokens())
        await stage.measure(lambda: watching.stats().polls)


async def bare(stage: Stage) -> None:
    """Measure the library's transport, with requests made beforehand."""
    async with stage.client() as client:
        transport = client.source.transport

        async def exchange(request: httpx.Request) -> None:
            response = await transport.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for _ in response.stream:
                pass
            await response.aclose()

        await _workers(stage, exchange)


async def look(stage: Stage) -> None:
    """Measure what the poller asks, without the poller."""
    async with stage.client() as client:
        token = next(stage.tokens())

        async def exchange(_: httpx.Request) -> None:
            await client.source.look(token, fresh=False)

        await _workers(stage, exchange)


async def send(stage: Stage) -> None:
    """Measure httpx's client over the library's transport."""
    async with stage.client() as client:
        http = httpx.AsyncClient(transport=client.source.transport)

        async def exchange(request: httpx.Request) -> None:
            await http.send(request)

        await _workers(stage, exchange)


async def obvious(stage: Stage) -> None:
    """Measure what comes to mind first, over the library's transport."""
    limiter, count = anyio.CapacityLimiter(stage.lanes), Count()

    async with stage.client() as client, anyio.create_task_group() as tasks:
        http = httpx.AsyncClient(transport=client.source.transport)

        async def ask(token: str) -> Document:
            async with limiter:
                sent = {"company_key": "benchmark", "session_token": token}
                response = await http.post(stage.url, json=sent)
            count.polls += 1
            return cattrs.structure(response.raise_for_status().json(), Document)

        async def watch(token: str) -> None:
            retrying = AsyncRetrying(
                wait=wait_fixed(_GAP),
                retry=retry_if_result(lambda answer: answer.result not in _DECIDED),
                sleep=anyio.sleep,
            )
            await retrying(ask, token)

        for token in stage.tokens():
            tasks.start_soon(watch, token)
        await stage.measure(lambda: count.polls)


async def new_client(stage: Stage) -> None:
    """Measure the simplest way: a client for each poll."""
    print("ready", flush=True)
    while sys.stdin.readline():
        spent = time.process_time()
        for token in itertools.islice(stage.tokens(), _NEW_CLIENTS):
            async with httpx.AsyncClient() as http:
                sent = {"company_key": "benchmark", "session_token": token}
                (await http.post(stage.url, json=sent)).raise_for_status().json()
        print((time.process_time() - spent) / _NEW_CLIENTS * 1e6, flush=True)


async def _workers(stage: Stage, exchange: Callable[[httpx.Request], Awaitable[None]]) -> None:
    count = Count()

    async def work(request: httpx.Request) -> None:
        while True:
            await exchange(request)
            count.polls += 1

    async with anyio.create_task_group() as tasks:
        for token in itertools.islice(stage.tokens(), stage.lanes):
            tasks.start_soon(work, stage.request(token))
        await stage.measure(lambda: count.polls)


def _passing() -> JumpingLoop:
    loop = JumpingLoop()
    loop.land()
    return loop


def _stand_still(loop: JumpingLoop) -> bool:
    # Until somebody asks; nobody's time is up meanwhile.
    loop.take_off()
    asked = sys.stdin.readline()
    loop.land()
    return bool(asked)


def _asked(token: str) -> bytes:
    asked = {"company_key": "benchmark", "session_token": token}
    return json.dumps(asked, separators=(",", ":")).encode()


CONTENDERS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "poller": poller,
    "bare": bare,
    "look": look,
    "send": send,
    "obvious": obvious,
    "new-client": new_client,
}


def main(contender: str, base_url: str, lanes: int, sessions: int, seconds: float) -> None:
    """Measure *contender*."""
    stage = Stage(base_url=base_url, lanes=lanes, sessions=sessions, seconds=seconds)
    anyio.run(CONTENDERS[contender], stage, backend_options={"loop_factory": _passing})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
