"""Connections that close and break, polls that are cancelled: is anything lost or left behind?"""

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import attrs
from tenacity import wait_fixed

from benchmarks._busy_origin import Habits, busy, counted, verdict_of
from benchmarks._load import allow_descriptors, using, with_engine
from benchmarks._report import Gate, judge, options, show
from identomat_async import IdentomatClient, ResultPoller, SessionResult, SessionStatus
from identomat_async.errors import IdentomatError

LANES = 200
HABITS = Habits(delay=0.05, settles=4, closes=5, drops=200)
_CANCELLED = 0.1
# The last of the connections need a moment to be seen closed on the other side.
_PATIENCE = 5.0


@attrs.frozen(kw_only=True)
class Figures:
    """
    What was left at the end.

    Attributes:
        sessions: How many there were.
        missing: Sessions whose verdict nobody saw.
        doubled: Sessions whose verdict was seen twice.
        wrong: Sessions with somebody else's verdict.
        polls: How often a session was looked at by hand, the others being the poller's.
        cancelled: How many of these looks were cancelled.
        failed: How many failed.
        busy: Lanes that are taken although nobody uses them.
        tasks: Tasks that were not there before.
        descriptors: Descriptors that were not there before.
        sockets: Connections that the service still has open.
        seconds: Wall time.
    """

    sessions: int
    missing: int
    doubled: int
    wrong: int
    polls: int
    cancelled: int
    failed: int
    busy: int
    tasks: int
    descriptors: int
    sockets: int
    seconds: float


def gates(figures: Figures) -> list[Gate]:
    """Say what is promised: none of it."""
    least = _CANCELLED * figures.polls * 0.8
    names = ("missing", "doubled", "wrong", "busy", "tasks", "descriptors", "sockets")
    return [
        *(Gate(name, float(getattr(figures, name)), most=0) for name in names),
        Gate("cancelled polls", float(figures.cancelled), least=least),
    ]


@attrs.define
class Crowd:
    """Workers that ask for one session after the other, and often lose patience."""

    client: IdentomatClient
    luck: random.Random
    seen: list[tuple[str, str]] = attrs.field(factory=list)
    polls: int = 0
    cancelled: int = 0
    failed: int = 0

    async def work(self, tokens: Iterable[str]) -> None:
        """See each session through."""
        for token in tokens:
            is_settled = False
            while not is_settled:
                status = await self.poll(token, fresh=False)
                is_settled = status is not None and status.is_terminal
            # What counts is read on a connection of its own, until somebody has it.
            while (verdict := await self.poll(token, fresh=True)) is None:
                pass
            self.seen.append((token, verdict.lower()))

    async def watch(self, tokens: Sequence[str], lanes: int) -> None:
        """See sessions through with a poller, beside waits that are cancelled."""
        async with ResultPoller(
            self.client, rate=None, max_in_flight=lanes, wait=wait_fixed(0.5)
        ) as poller:
            await poller.watch_many(tokens)
            some = self.luck.sample(tokens, int(_CANCELLED * len(tokens)))
            waits = [asyncio.ensure_future(self.lose_patience(poller, token)) for token in some]
            async for outcome in poller:
                self.seen.append((outcome.token, str(outcome.status).lower()))
            await asyncio.gather(*waits)

    async def lose_patience(self, poller: ResultPoller, token: str) -> None:
        """Wait for a session, and leave again before long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(poller.wait(token), self.luck.random())

    async def poll(self, token: str, *, fresh: bool) -> SessionStatus | None:
        """Look once, and perhaps be cancelled on the way; None if nothing came of it."""
        self.polls += 1
        look = self._look(token, fresh=fresh)
        if self.luck.random() >= _CANCELLED:
            return await look
        patience = self.luck.random() * 0.9 * HABITS.delay
        self.cancelled += 1
        if self.luck.random() < 0.5:
            with anyio.move_on_after(patience):
                await look
            return None
        task = asyncio.ensure_future(look)
        await asyncio.sleep(patience)
        task.cancel()
        if self.luck.random() < 0.5:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        return None

    async def _look(self, token: str, *, fresh: bool) -> SessionStatus | None:
        try:
            answer = await self.client.source.look(token, fresh=fresh)
        except IdentomatError:
            self.failed += 1
            return None
        return answer.status if isinstance(answer, SessionResult) else answer


async def measure(base_url: str, *, sessions: int, lanes: int, seed: int) -> Figures:
    """See so many sessions through over so many lanes; count what is left."""
    tokens = [f"{number:040}" for number in range(sessions)]
    by_hand, by_poller = tokens[: sessions // 2], tokens[sessions // 2 :]
    left = iter(by_hand)
    tasks, began = len(asyncio.all_tasks()), time.perf_counter()
    async with IdentomatClient("benchmark", base_url=base_url, max_connections=lanes) as client:
        before = _descriptors()
        crowd = Crowd(client, random.Random(seed))
        await asyncio.gather(*(crowd.work(left) for _ in range(lanes)))
        await crowd.watch(by_poller, lanes)
        taken = client.source.transport.lanes.busy  # type: ignore[attr-defined]
    seconds = time.perf_counter() - began
    await asyncio.sleep(0.1)
    gc.collect()
    times = Counter(token for token, _ in crowd.seen)
    return Figures(
        sessions=sessions,
        missing=sum(token not in times for token in tokens),
        doubled=sum(count > 1 for count in times.values()),
        wrong=sum(verdict != verdict_of(token) for token, verdict in crowd.seen),
        polls=crowd.polls,
        cancelled=crowd.cancelled,
        failed=crowd.failed,
        busy=taken,
        tasks=len(asyncio.all_tasks()) - tasks,
        descriptors=_descriptors() - before,
        sockets=await asyncio.to_thread(_sockets, base_url),
        seconds=seconds,
    )


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _sockets(base_url: str) -> int:
    ends = time.monotonic() + _PATIENCE
    while (still := counted(base_url)["open"]) and time.monotonic() < ends:
        time.sleep(0.1)
    return still


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = with_engine(options("churn", __doc__))
    parser.add_argument("--sessions", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--lanes", type=int, default=LANES, help=f"connections ({LANES})")
    parser.add_argument("--seed", type=int, default=1, help="of what is cancelled, and when (1)")
    asked = parser.parse_args(arguments)
    allow_descriptors(8 * asked.lanes)
    with using(asked.engine), busy(HABITS) as base_url:
        figures = asyncio.run(
            measure(base_url, sessions=asked.sessions, lanes=asked.lanes, seed=asked.seed)
        )
    rows = [{"figure": name, "value": value} for name, value in attrs.asdict(figures).items()]
    show([attrs.asdict(figures)] if asked.json else rows, as_json=asked.json)
    return judge(gates(figures), asked)
