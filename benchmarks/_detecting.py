"""People who are done when they are done, and a poller that finds out, in virtual time."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import anyio
import attrs
from tenacity.wait import wait_base

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from benchmarks._people import LIFE, Law
from identomat_async import RateBudget, ResultPoller, SessionResult, SessionStatus, Settled

Seconds = float

ARRIVALS = 2.0
# Before anybody is counted a poller settles down.
_SETTLING = 60.0
_DOCUMENTS = {
    status: SessionResult.from_json(f'{{"result": "{status}"}}'.encode())
    for status in (SessionStatus.APPROVED, SessionStatus.IN_PROGRESS)
}


@attrs.frozen(kw_only=True)
class Plan:
    """
    Who is watched, how, and for how long.

    Attributes:
        law: How long people take.
        wait: The schedule.
        rate: The most requests per second.
        span: Seconds in which those begin who are counted.
        seed: What chance begins with.
        evenly: Whether people are drawn evenly from the law, see `Law.people`.
    """

    law: Law
    wait: wait_base
    rate: float
    span: Seconds
    seed: int = 3
    evenly: bool = True


@attrs.define(eq=False)
class Person:
    """Somebody who identifies themselves; times are the event loop's."""

    begun: Seconds
    done: Seconds
    looks: list[Seconds] = attrs.field(factory=list)
    kept: int = 0
    fresh: int = 0
    told: Seconds | None = None


@attrs.frozen(kw_only=True)
class Record:
    """
    What a poller found out about those who are counted, and what it took.

    Attributes:
        delay: Mean seconds from a decision until the poller told of it, as expected from
            when everybody was looked at.
        delays: The same seconds as they happened, for each who was decided.
        polls: Looks per session on kept connections, first looks apart.
        first: First looks per session: those made before hardly anybody is done, which
            tell that there is such a session.
        confirming: Confirming reads per session, those at the deadline included.
        times: When requests began, from when the poller had settled down, in seconds from
            then.
        past: How long those of the first sessions took, as the poller has learned it, and
            how long those were watched who came to nothing.
    """

    delay: Seconds
    delays: list[Seconds]
    polls: float
    first: float
    confirming: float
    times: list[Seconds]
    past: tuple[tuple[Seconds, ...], tuple[Seconds, ...]]

    @property
    def requests(self) -> float:
        """All requests per session."""
        return self.polls + self.first + self.confirming

    @property
    def rate(self) -> float:
        """The requests per second."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


class Peopled(InMemory):
    """A source whose sessions are people, and which writes down who was asked for when."""

    def __init__(self) -> None:
        super().__init__(0)
        self.people: dict[str, Person] = {}
        self.times: list[Seconds] = []

    def add(self, begun: Seconds, takes: Seconds) -> str:
        """Let somebody begin; return the token."""
        token = f"{len(self.people):08}"
        self.people[token] = Person(begun, begun + takes)
        return token

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """Answer at once whether somebody is done."""
        now, person = anyio.current_time(), self.people[token]
        self.times.append(now)
        person.fresh += fresh
        person.kept += not fresh
        if not (person.looks and person.looks[-1] >= person.done):
            person.looks.append(now)
        status = SessionStatus.APPROVED if now >= person.done else SessionStatus.IN_PROGRESS
        return _DOCUMENTS[status] if fresh else status


@attrs.define(eq=False)
class Crowd:
    """Those who come, and a poller that watches them."""

    plan: Plan
    source: Peopled
    poller: ResultPoller
    start: Seconds
    chance: random.Random
    takes: Iterator[Seconds]

    async def be_there(self) -> None:
        """Let those be watched who have begun before."""
        at = self.start - LIFE
        while (at := at + self.chance.expovariate(ARRIVALS)) < self.start:
            age, takes = self.start - at, next(self.takes)
            if age < takes:
                token = self.source.add(at, takes)
                begun = datetime.now(UTC) - timedelta(seconds=age)
                await self.poller.watch(token, begun=begun, deadline=LIFE - age)

    async def come(self) -> None:
        """Let one after the other begin."""
        at = self.start
        while True:
            at += self.chance.expovariate(ARRIVALS)
            await anyio.sleep(at - anyio.current_time())
            await self.poller.watch(self.source.add(anyio.current_time(), next(self.takes)))

    async def be_told(self) -> None:
        """Write down when the poller tells of somebody."""
        async for outcome in self.poller:
            if isinstance(outcome, Settled):
                self.source.people[outcome.token].told = anyio.current_time()


async def _carry_out(plan: Plan) -> Record:
    source, chance = Peopled(), random.Random(plan.seed)
    budget, start = RateBudget(plan.rate), anyio.current_time()
    async with (
        ResultPoller(source, wait=plan.wait, rate=budget, deadline=LIFE, forever=True) as poller,
        anyio.create_task_group() as tasks,
    ):
        crowd = Crowd(
            plan, source, poller, start, chance, plan.law.people(chance, evenly=plan.evenly)
        )
        await crowd.be_there()
        tasks.start_soon(crowd.come)
        with anyio.move_on_after(_SETTLING + plan.span + LIFE + 1):
            await crowd.be_told()
        tasks.cancel_scope.cancel()
    durations = poller.stats().durations
    return _record(plan, source, start + _SETTLING, (tuple(durations), durations.censored))


def _record(
    plan: Plan,
    source: Peopled,
    start: Seconds,
    past: tuple[tuple[Seconds, ...], tuple[Seconds, ...]],
) -> Record:
    counted = [one for one in source.people.values() if start <= one.begun < start + plan.span]
    told = [(one, one.told) for one in counted if one.told is not None]
    law, everybody = plan.law, len(counted)
    # What lies between the look that finds out and the telling: the confirming read.
    between = sum(told - one.looks[-1] for one, told in told) / len(told)
    late = sum(law.delay([at - one.begun for at in one.looks]) for one in counted)
    first = sum(law.is_early(one.looks[0] - one.begun) for one in counted)
    kept = sum(one.kept for one in counted)
    return Record(
        delay=late / everybody + between,
        delays=[told - one.done for one, told in told],
        polls=(kept - first) / everybody,
        first=first / everybody,
        confirming=sum(one.fresh for one in counted) / everybody,
        times=[at - start for at in source.times if at >= start],
        past=past,
    )


def carry_out(plan: Plan) -> Record:
    """Return what a poller finds out if *plan* happens to it."""
    random.seed(plan.seed)
    return anyio.run(_carry_out, plan, backend_options={"loop_factory": JumpingLoop})


def excess(times: list[Seconds], rate: float, *, burst: int = 1, least: Seconds = 1.0) -> float:
    """
    Return by how many requests a span exceeds *rate*, *burst* allowed for; negative: by none.

    The span is the one of all, *least* seconds long or longer, that exceeds it most.
    """
    worst, start, fewest = -math.inf, 0, math.inf
    for count, at in enumerate(times, 1):
        while times[start] <= at - least:
            fewest = min(fewest, start - rate * times[start])
            start += 1
        # Those within the last *least* seconds, and those since any moment before.
        worst = max(worst, count - start - rate * least, count - rate * at - fewest)
    return worst - burst
