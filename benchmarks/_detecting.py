"""People who are done when they are done, and a poller that finds out, in virtual time."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import fmean

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
        span: Seconds for which looks are counted.
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
    """
    Somebody who identifies themselves. Times are the event loop's.

    Attributes:
        begun: When they began.
        done: When they are done.
        looked: When they were looked at last, or watched first.
        is_new: Whether they have not been looked at.
    """

    begun: Seconds
    done: Seconds
    looked: Seconds
    is_new: bool = True


@attrs.frozen(kw_only=True)
class Record:
    """
    What a poller found out, and what it took.

    Everybody who is looked at tells of all the gaps between looks, and not of the one alone
    in which they happened to be done: each gap counts with those who might have been, as
    the law says. So *delay* and the number of sessions are what is to be expected of the
    looks that were made, and a few thousand people tell what else a hundred thousand would.

    Attributes:
        delay: Mean seconds from a decision until the poller told of it.
        delays: The same as it happened, for each who was decided.
        polls: Looks per session on kept connections, first looks apart.
        first: First looks per session: those made before hardly anybody is done, which
            tell that there is such a session.
        confirming: Confirming reads per session, those at the deadline included.
        times: When requests began.
        past: How long people took, as the poller has learned it, and how long those were
            watched who came to nothing.
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
    """
    A source whose sessions are people, and which writes down how they are looked at.

    Args:
        since: From when on.
    """

    def __init__(self, since: Seconds) -> None:
        super().__init__(0)
        self.people: dict[str, Person] = {}
        self.times: list[Seconds] = []
        self.gaps: list[tuple[Seconds, Seconds]] = []
        self.delays: list[Seconds] = []
        self.told_after: list[Seconds] = []
        self.first: list[Seconds] = []
        self.fresh = 0
        self._since = since

    def add(self, begun: Seconds, takes: Seconds) -> str:
        """Let somebody begin, whom somebody watches now; return the token."""
        token = f"{len(self.people):08}"
        self.people[token] = Person(begun, begun + takes, anyio.current_time())
        return token

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """Answer at once whether somebody is done."""
        now, person = anyio.current_time(), self.people[token]
        if now >= self._since:
            self._note(person, now, fresh=fresh)
        if person.looked < person.done:
            person.looked = now
        person.is_new = False
        status = SessionStatus.APPROVED if now >= person.done else SessionStatus.IN_PROGRESS
        return _DOCUMENTS[status] if fresh else status

    def _note(self, person: Person, now: Seconds, *, fresh: bool) -> None:
        self.times.append(now)
        self.fresh += fresh
        if person.is_new and not fresh:
            self.first.append(now - person.begun)
        if person.looked < person.done:
            self.gaps.append((person.looked - person.begun, now - person.begun))

    def tell(self, token: str) -> None:
        """Write down that a poller has told of somebody's decision."""
        now, person = anyio.current_time(), self.people[token]
        if now >= self._since:
            self.delays.append(now - person.done)
            # It is told when a confirming read has confirmed it.
            self.told_after.append(now - person.looked)


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
                self.source.tell(outcome.token)


async def _carry_out(plan: Plan) -> Record:
    start, chance = anyio.current_time(), random.Random(plan.seed)
    source, budget = Peopled(start + _SETTLING), RateBudget(plan.rate)
    takes = plan.law.people(chance, evenly=plan.evenly)
    async with (
        ResultPoller(source, wait=plan.wait, rate=budget, deadline=LIFE, forever=True) as poller,
        anyio.create_task_group() as tasks,
    ):
        crowd = Crowd(plan, source, poller, start, chance, takes)
        await crowd.be_there()
        tasks.start_soon(crowd.come)
        with anyio.move_on_after(_SETTLING + plan.span):
            await crowd.be_told()
        tasks.cancel_scope.cancel()
    durations = poller.stats().durations
    return _record(plan.law, source, (tuple(durations), durations.censored))


def _record(
    law: Law, source: Peopled, past: tuple[tuple[Seconds, ...], tuple[Seconds, ...]]
) -> Record:
    expected = [law.expected(before, look) for before, look in source.gaps]
    late, found = (sum(each) for each in zip(*expected, strict=True))
    sessions = found / law.done_by(LIFE)
    first = sum(map(law.is_early, source.first))
    return Record(
        delay=late / found + fmean(source.told_after),
        delays=source.delays,
        polls=(len(source.times) - source.fresh - first) / sessions,
        first=first / sessions,
        confirming=source.fresh / sessions,
        times=source.times,
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
