"""A thousand sessions while three requests of ten go wrong: is any verdict wrong or lost?"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

import anyio
import attrs
from tenacity import wait_fixed, wait_random

from benchmarks._faulty import (
    Figures,
    client_for,
    descriptors,
    judged,
    life_within,
    parser_for,
    planted,
    sandbox_for,
    until_it_works,
)
from benchmarks._naive import naive
from benchmarks._report import Gate, judge, options, show
from identomat_async import IdentomatClient, Outcome, ResultPoller, RetryPolicy
from identomat_async.sandbox import FAULTS, Front, Sandbox

_BUSY = 20
_RATE = 200.0
_RETRY_AFTER = 0.05
_TIMEOUT = 1.0
# So many times as long as it can take are those watched who come to a verdict.
_PATIENCE = 10
# Against these a client without deadline and size limit never comes to an end.
_ENDLESS = frozenset({"F12", "F13", "F22", "F23"})
# What asks every client to wait stops all polling for a while, rightly; with it the run
# measures patience and nothing else.
_PAUSING = frozenset({"F38-later", "F41-later", "F47-date", "F47-two"})


@attrs.define
class Run:
    """One run of ours, while it goes on."""

    sandbox: Sandbox
    front: Front
    client: IdentomatClient
    poller: ResultPoller
    span: float
    begun: list[str] = attrs.field(factory=list)
    begin_calls: int = 0
    outcomes: dict[str, list[Outcome]] = attrs.field(factory=lambda: defaultdict(list))
    deleted: list[str] = attrs.field(factory=list)

    async def begin(self, busy: anyio.CapacityLimiter) -> None:
        """Begin a session and watch it."""
        async with busy:
            token, calls = await until_it_works(lambda: self.client.begin(deadline=2))
        self.begin_calls += calls
        self.begun.append(token)
        is_abandoned = self.sandbox.truth(token).script.terminal_after is None
        await self.poller.watch(token, deadline=watched_for(self.span, is_abandoned=is_abandoned))

    async def delete(self, token: str, busy: anyio.CapacityLimiter) -> None:
        """Delete a session that has come to its end."""
        async with busy:
            await until_it_works(lambda: self.client.delete(token, deadline=2))
        self.deleted.append(token)

    async def go(self, sessions: int) -> None:
        """Begin them all, take every outcome, delete them all."""
        busy = anyio.CapacityLimiter(_BUSY)
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as beginning:
                for _ in range(sessions):
                    beginning.start_soon(self.begin, busy)
            async for outcome in self.poller:
                self.outcomes[outcome.token].append(outcome)
                group.start_soon(self.delete, outcome.token, busy)

    def undeleted(self) -> int:
        """Count what is there although it was deleted, and nobody denied its existence."""
        denied = {
            each.token
            for each in self.front.exchanges()
            if each.operation == "delete" and each.fault in {"F29-200", "F29-404"}
        }
        return sum(
            not self.sandbox.truth(token).deleted for token in self.deleted if token not in denied
        )


async def ours(asked: argparse.Namespace, span: float) -> Figures:
    """Let the library do it."""
    sandbox = sandbox_for(asked, life_within(span))
    front = front_for(asked)
    tasks, open_before = len(asyncio.all_tasks()), descriptors()
    started, spent = time.perf_counter(), time.process_time()
    retry = RetryPolicy(wait=wait_random(0, 0.1), quota=None)
    with sandbox.serve(front=front) as server:
        async with client_for(server.base_url, asked, timeout=_TIMEOUT, retry=retry) as client:
            poller = ResultPoller(
                client, wait=wait_fixed(1), rate=_RATE, max_in_flight=_BUSY, gone_window=2
            )
            async with poller:
                run = Run(sandbox, front, client, poller, span)
                await run.go(asked.sessions)
        await asyncio.sleep(0.1)
        tasks_left = len(asyncio.all_tasks()) - tasks
    return figures(run, tasks_left, descriptors() - open_before, (started, spent))


def figures(run: Run, tasks: int, left: int, since: tuple[float, float]) -> Figures:
    """Say what a run has come to."""
    started, spent = since
    truths = {token: run.sandbox.truth(token) for token in run.begun}
    found = judged(run.outcomes, truths)
    return Figures(
        contender="identomat_async",
        sessions=len(run.begun),
        wrong=found["wrong"],
        lost=found["lost"],
        doubled=found["doubled"] + len(run.begun) - len(truths),
        surplus=max(0, len(run.sandbox.tokens) - run.begin_calls),
        undeleted=run.undeleted(),
        tasks=max(0, tasks),
        descriptors=max(0, left),
        requests=run.sandbox.request_count,
        struck=sum(run.front.struck.values()),
        seconds=time.perf_counter() - started,
        cpu=time.process_time() - spent,
    )


def front_for(asked: argparse.Namespace, *, without: frozenset[str] = frozenset()) -> Front:
    """Return a front whose faults pass."""
    left_out = without if asked.pauses else without | _PAUSING
    kinds = [
        fault.id
        for fault in FAULTS.values()
        if not fault.halts and not {fault.id, fault.row} & left_out
    ]
    return Front(faults=asked.faults, seed=asked.seed, kinds=kinds, retry_after=_RETRY_AFTER)


def beside(asked: argparse.Namespace, span: float) -> Figures:
    """Let the naive client do it, with faults that it can get over."""
    sandbox, tokens = planted(asked, span)
    front = front_for(asked, without=_ENDLESS)
    return naive(sandbox, front, tokens, watched_for(span, is_abandoned=True), asked)


def watched_for(span: float, *, is_abandoned: bool) -> float:
    """
    Return the deadline of a session that is settled within *span* seconds, or never.

    Those that are settled never come to theirs: an older answer of the session's own,
    replayed just then, is an untruth that nothing in the protocol tells from the truth.
    """
    usual = span + min(20.0, span + 2)
    return usual if is_abandoned else _PATIENCE * usual


def gates(measured: Figures, sessions: int) -> list[Gate]:
    """Return what is promised of ours."""
    zero = ("wrong", "lost", "doubled", "surplus", "undeleted", "tasks", "descriptors")
    figures = attrs.asdict(measured)
    return [
        Gate("sessions judged", measured.sessions, least=sessions),
        *(Gate(name, figures[name], most=0) for name in zero),
    ]


def parser() -> argparse.ArgumentParser:
    """Return what reads the options."""
    reader = parser_for(options("soak", __doc__))
    reader.add_argument("--faults", type=float, default=0.3, help="share of requests hit (0.3)")
    reader.add_argument("--pauses", action="store_true", help="with answers that ask to wait")
    return reader


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = parser().parse_args(arguments)
    # About fifty requests a second for the polls alone, however many sessions there are.
    span = max(0.5, asked.sessions * 0.02)
    measured = [asyncio.run(ours(asked, span))]
    if not asked.quick:
        measured.append(beside(asked, span))
    show([attrs.asdict(each) for each in measured], as_json=asked.json)
    return judge(gates(measured[0], asked.sessions), asked)
