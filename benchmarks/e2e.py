"""A poll from end to end: what the poller adds to a bare exchange, in CPU time."""

import gc
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import attrs
import cattrs
import httpx
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from benchmarks._origin import running
from benchmarks._picture import draw_bars
from benchmarks._report import Gate, judge, options, plottable, show
from benchmarks._rounds import Round, ratio, take_turns, typical
from identomat_async import IdentomatClient, ResultPoller, wait_person

POLLER, BARE, SEND = "ResultPoller", "lane transport", "client.send"
LOOK = "a look without the poller"
OBVIOUS, NEW = "a task and AsyncRetrying each", "a new client per poll"
LANES = (10, 50)
MOST_OF_BARE = 1.15
MOST_OF_OBVIOUS = 0.65
_LATENCY = 0.002
# So soon again that, with enough sessions, there is always somebody due.
_GAP = 0.5
_SCHEDULE = wait_person(every=_GAP, quiet=_GAP, tail=1.0, floor=_GAP)
_WARM_UP = 0.3
# So many polls over each connection before.
_WARM = 10
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

    async def cost(self, polls: Callable[[], int]) -> float:
        """Return the CPU microseconds per poll of what goes on at this time."""
        # To make a connection takes as long as several polls over it.
        while polls() < _WARM * self.lanes:  # noqa: ASYNC110 - it is others who poll
            await anyio.sleep(_WARM_UP)
        gc.collect()
        before, spent = polls(), time.process_time()
        await anyio.sleep(self.seconds)
        return (time.process_time() - spent) / (polls() - before) * 1e6

    def request(self, token: str) -> httpx.Request:
        """Build what the library sends."""
        return httpx.Request(
            "POST",
            self.url,
            content=_asked(token),
            headers=_HEADERS,
            extensions={"timeout": {"connect": 5, "write": 10, "read": 15, "pool": 15}},
        )


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


async def poller(stage: Stage) -> float:
    """Measure the library."""
    async with (
        stage.client() as client,
        ResultPoller(client, wait=_SCHEDULE, rate=None, max_in_flight=stage.lanes) as watching,
    ):
        await watching.watch_many(stage.tokens())
        return await stage.cost(lambda: watching.stats().polls)


async def bare(stage: Stage) -> float:
    """Measure the library's transport, with requests made beforehand."""
    async with stage.client() as client:
        transport = client.source.transport

        async def exchange(request: httpx.Request) -> None:
            response = await transport.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for _ in response.stream:
                pass
            await response.aclose()

        return await _workers(stage, exchange)


async def look(stage: Stage) -> float:
    """Measure what the poller asks, without the poller."""
    async with stage.client() as client:
        token = next(stage.tokens())

        async def exchange(_: httpx.Request) -> None:
            await client.source.look(token, fresh=False)

        return await _workers(stage, exchange)


async def send(stage: Stage) -> float:
    """Measure httpx's client over the library's transport."""
    async with stage.client() as client:
        http = httpx.AsyncClient(transport=client.source.transport)

        async def exchange(request: httpx.Request) -> None:
            await http.send(request)

        return await _workers(stage, exchange)


async def obvious(stage: Stage) -> float:
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
        cost = await stage.cost(lambda: count.polls)
        tasks.cancel_scope.cancel()
    return cost


async def new_client(stage: Stage) -> float:
    """Measure the simplest way: a client for each poll."""
    spent = time.process_time()
    for token in itertools.islice(stage.tokens(), _NEW_CLIENTS):
        async with httpx.AsyncClient() as http:
            sent = {"company_key": "benchmark", "session_token": token}
            (await http.post(stage.url, json=sent)).raise_for_status().json()
    return (time.process_time() - spent) / _NEW_CLIENTS * 1e6


async def _workers(stage: Stage, exchange: Callable[[httpx.Request], Awaitable[None]]) -> float:
    count = Count()

    async def work(request: httpx.Request) -> None:
        while True:
            await exchange(request)
            count.polls += 1

    async with anyio.create_task_group() as tasks:
        for token in itertools.islice(stage.tokens(), stage.lanes):
            tasks.start_soon(work, stage.request(token))
        cost = await stage.cost(lambda: count.polls)
        tasks.cancel_scope.cancel()
    return cost


def _asked(token: str) -> bytes:
    asked = {"company_key": "benchmark", "session_token": token}
    return json.dumps(asked, separators=(",", ":")).encode()


CONTENDERS = {
    BARE: bare,
    LOOK: look,
    POLLER: poller,
    SEND: send,
    OBVIOUS: obvious,
    NEW: new_client,
}


def rows(rounds: Sequence[Round], *, lanes: int) -> list[dict[str, object]]:
    """Return what was measured with so many *lanes*, for people."""
    return [
        {
            "lanes": lanes,
            "contender": name,
            "CPU us per poll": round(typical(rounds, name), 1),
            "x bare": round(ratio(rounds, name, BARE), 3),
        }
        for name in rounds[0]
    ]


def gates(rounds: Sequence[Round], *, lanes: int) -> list[Gate]:
    """Return what is promised of so many *lanes*."""
    return [
        Gate(
            f"CPU per poll / bare exchange, {lanes} lanes",
            ratio(rounds, POLLER, BARE),
            most=MOST_OF_BARE,
        ),
        Gate(
            f"CPU per poll / the obvious way, {lanes} lanes",
            ratio(rounds, POLLER, OBVIOUS),
            most=MOST_OF_OBVIOUS,
        ),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = plottable(options("e2e", __doc__, rounds=5))
    parser.add_argument("--sessions", type=int, default=5000, help="how many (5000)")
    parser.add_argument("--seconds", type=float, default=1.2, help="of each measurement (1.2)")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES, help="(10 50)")
    asked = parser.parse_args(arguments)
    table, promised = list[dict[str, object]](), list[Gate]()
    with running(_LATENCY, result="in_progress") as base_url:
        for lanes in asked.lanes:
            stage = Stage(
                base_url=base_url, lanes=lanes, sessions=asked.sessions, seconds=asked.seconds
            )
            contenders = {
                name: partial(anyio.run, measure, stage) for name, measure in CONTENDERS.items()
            }
            rounds = take_turns(contenders, rounds=asked.rounds)
            table += rows(rounds, lanes=lanes)
            promised += gates(rounds, lanes=lanes)
    show(table, as_json=asked.json)
    if asked.plot is not None:
        # Beside the dearest by far the others would all look alike.
        bars = {name: typical(rounds, name) for name in CONTENDERS if name != NEW}
        title = f"One poll, {lanes} connections"
        draw_bars(bars, asked.plot, title=title, unit="microseconds of CPU time")
    return judge(promised, asked)
