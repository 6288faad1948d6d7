"""People who finish when they finish, and a poller that finds out, in virtual time."""

import math
import random
from itertools import islice

import anyio
import attrs
from tenacity.wait import wait_base

from benchmarks._inmemory import InMemory
from benchmarks._jumping import JumpingLoop
from benchmarks._people import LIFE, Law
from identomat_async import RateBudget, ResultPoller, SessionResult, SessionStatus, Settled
from identomat_async._polling._durations import Durations

Seconds = float

ARRIVALS = 2.0
# Before it and after it others are watched as well, so that nobody is counted to whom the
# rate is not as scarce as to everybody.
_EDGE = LIFE
_APPROVED = SessionResult.from_json(b'{"result": "approved"}')
_IN_PROGRESS = SessionResult.from_json(b'{"result": "in_progress"}')


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
    """

    law: Law
    wait: wait_base
    rate: float
    span: Seconds
    seed: int = 3


@attrs.define(eq=False)
class Person:
    """Somebody who identifies themselves: when they began, and when they are done."""

    begun: Seconds
    done: Seconds
    polls: int = 0
    fresh: int = 0
    delay: Seconds | None = None


@attrs.frozen(kw_only=True)
class Record:
    """
    What a poller found out, and what it took.

    Attributes:
        delays: Seconds from each decision until the poller handed it over.
        polls: Looks per session on kept connections.
        requests: All looks per session, confirming reads and those at the deadline too.
        times: When each request began while people were counted.
        durations: What the poller itself has learned.
    """

    delays: list[Seconds]
    polls: float
    requests: float
    times: list[Seconds]
    durations: Durations

    @property
    def delay(self) -> Seconds:
        """The mean delay."""
        return sum(self.delays) / len(self.delays)

    def excess(self, rate: float, *, burst: int = 1, least: Seconds = 1.0) -> float:
        """Return by how many requests any span of *least* seconds or more exceeds *rate*."""
        worst, start, fewest = -math.inf, 0, math.inf
        for count, at in enumerate(self.times, 1):
            while self.times[start] <= at - least:
                fewest = min(fewest, start - rate * self.times[start])
                start += 1
            inside = count - start - rate * least
            worst = max(worst, inside, count - rate * at - fewest)
        return worst - burst

    def per_second(self, span: Seconds) -> float:
        """Return the requests per second in *span* seconds."""
        return len(self.times) / span


class Peopled(InMemory):
    """A source whose sessions are people, and which writes down who was asked for when."""

    def __init__(self) -> None:
        super().__init__(0)
        self.people: dict[str, Person] = {}
        self.times: list[Seconds] = []

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """Answer at once, whether somebody is done."""
        now, person = anyio.current_time(), self.people[token]
        self.times.append(now)
        person.polls += not fresh
        person.fresh += fresh
        is_done = now >= person.done
        if fresh:
            return _APPROVED if is_done else _IN_PROGRESS
        return SessionStatus.APPROVED if is_done else SessionStatus.IN_PROGRESS


async def _arrive(plan: Plan, source: Peopled, poller: ResultPoller) -> None:
    chance = random.Random(plan.seed)
    at = start = anyio.current_time()
    while (at := at + chance.expovariate(ARRIVALS)) < start + plan.span + 2 * _EDGE:
        person = Person(begun=at - start, done=at + plan.law.draw(chance))
        await anyio.sleep(at - anyio.current_time())
        token = f"{len(source.people):08}"
        source.people[token] = person
        await poller.watch(token)


async def _find_out(plan: Plan, source: Peopled, poller: ResultPoller) -> None:
    async for outcome in poller:
        person = source.people[outcome.token]
        if isinstance(outcome, Settled):
            person.delay = anyio.current_time() - person.done


async def _carry_out(plan: Plan) -> Record:
    source = Peopled()
    budget = RateBudget(plan.rate)
    start = anyio.current_time()
    async with (
        ResultPoller(source, wait=plan.wait, rate=budget, deadline=LIFE, forever=True) as poller,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_arrive, plan, source, poller)
        with anyio.move_on_after(plan.span + 2 * _EDGE):
            await _find_out(plan, source, poller)
        tasks.cancel_scope.cancel()
    return _record(plan, source, start, poller.stats().durations)


def _record(plan: Plan, source: Peopled, start: Seconds, durations: Durations) -> Record:
    counted = [
        person
        for person in source.people.values()
        if _EDGE <= person.begun < _EDGE + plan.span
    ]
    polls = sum(person.polls for person in counted)
    fresh = sum(person.fresh for person in counted)
    return Record(
        delays=[person.delay for person in counted if person.delay is not None],
        polls=polls / len(counted),
        requests=(polls + fresh) / len(counted),
        times=[at for at in source.times if _EDGE <= at - start < _EDGE + plan.span],
        durations=durations,
    )


def carry_out(plan: Plan) -> Record:
    """Return what a poller finds out if *plan* happens to it."""
    random.seed(plan.seed)
    return anyio.run(_carry_out, plan, backend_options={"loop_factory": JumpingLoop})
