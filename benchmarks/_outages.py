"""A service that goes down for a while, and what a poller makes of it, in virtual time."""

import asyncio
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Literal

import anyio
import attrs

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from identomat_async import (
    ConnectionFailedError,
    IdentomatError,
    RateBudget,
    ResultPoller,
    ServerError,
    SessionResult,
    SessionStatus,
    Watch,
)

Fault = Literal["refused", "503", "503, asks for 1 s", "stalled"]
Seconds = float

# Long enough ago that all are in the busy time of the schedule from first to last.
_AGE = 60.0
_LATENCY = 0.05
# A refusal comes from the first machine on the way.
_REFUSAL = 0.01
# Answers come in steps of so many seconds, which makes virtual time pass quicker.
_STEP = 0.01
_IN_FLIGHT = 200
# What a service that says when it wants to be asked again says.
_RETRY_AFTER = 1.0
_SEED = 3


@attrs.frozen(kw_only=True)
class Plan:
    """
    What happens to the service, in seconds from when the watches are taken on.

    Attributes:
        sessions: How many are watched.
        ceiling: The most looks per second.
        down: From when to when every look fails.
        fault: How looks fail.
        share: How many looks fail at any other time, at random.
        until: When it is over.
    """

    sessions: int
    ceiling: float
    down: tuple[Seconds, Seconds] = (math.inf, math.inf)
    fault: Fault = "refused"
    share: float = 0.0
    until: Seconds


@attrs.define(eq=False)
class Record:
    """
    What reached the service.

    Attributes:
        asked: Looks begun, by second.
        answered: Looks answered, by second.
        back: When each session was first answered again after the end of the outage, in
            seconds from then.
    """

    asked: Counter[int] = attrs.field(factory=Counter)
    answered: Counter[int] = attrs.field(factory=Counter)
    back: dict[str, Seconds] = attrs.field(factory=dict)

    def load(self, start: Seconds, end: Seconds) -> list[int]:
        """Return the looks begun in each second from *start* to *end*."""
        return [self.asked[second] for second in range(int(start), int(end))]

    def good(self, start: Seconds, end: Seconds) -> float:
        """Return the answers per second from *start* to *end*."""
        return sum(self.answered[each] for each in range(int(start), int(end))) / (end - start)


class Unwell(InMemory):
    """A source that is down when *plan* says so, and writes down what reaches it."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.sessions)
        self.record = Record()
        self.began = anyio.current_time()
        self._plan = plan

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """Answer, unless the service is down."""
        plan, now = self._plan, anyio.current_time() - self.began
        self.record.asked[int(now)] += 1
        start, end = plan.down
        if start <= now < end or random.random() < plan.share:
            await self._fail(plan.fault)
        await _pass(_LATENCY)
        status = await super().look(token, fresh=fresh)
        self.record.answered[int(now)] += 1
        if now >= end:
            self.record.back.setdefault(token, now - end)
        return status

    async def _fail(self, fault: Fault) -> None:
        if fault == "stalled":
            await anyio.sleep(math.inf)
        await _pass(_REFUSAL if fault == "refused" else _LATENCY)
        if fault == "503, asks for 1 s":
            self.pause.heed(_RETRY_AFTER)
        raise _error(fault)


async def _pass(seconds: Seconds) -> None:
    now = anyio.current_time()
    await asyncio.sleep(math.ceil((now + seconds) / _STEP) * _STEP - now)


def _error(fault: Fault) -> IdentomatError:
    if fault != "refused":
        return ServerError("invented", status_code=503, operation="result", retryable=True)
    return ConnectionFailedError("invented", operation="result", retryable=True)


async def _carry_out(plan: Plan) -> Record:
    source = Unwell(plan)
    budget = RateBudget(plan.ceiling, max_in_flight=_IN_FLIGHT)
    begun = datetime.now(UTC) - timedelta(seconds=_AGE)
    async with ResultPoller(source, rate=budget) as poller:
        source.began = anyio.current_time()
        await poller.watch_many(Watch(token, begun=begun) for token in source.tokens())
        await anyio.sleep(plan.until)
    return source.record


def carry_out(plan: Plan) -> Record:
    """Return what reaches the service if *plan* happens to it."""
    random.seed(_SEED)
    return anyio.run(_carry_out, plan, backend_options={"loop_factory": JumpingLoop})
