"""Every answer is followed by a signed one of somebody else: does anybody get it?"""

import argparse
import asyncio
import time
from collections.abc import Sequence

import anyio
import attrs
from tenacity import wait_fixed, wait_random

from benchmarks._faulty import (
    Figures,
    client_for,
    is_right,
    judged,
    life_within,
    parser_for,
    planted,
    sandbox_for,
    verdict_of,
)
from benchmarks._naive import naive
from benchmarks._report import Gate, judge, options, show
from identomat_async import IdentomatClient, Media, MediaNotFoundError, ResultPoller, RetryPolicy
from identomat_async.sandbox import Front, Sandbox

_BUSY = 40
_RATE = 300.0


@attrs.define
class Wrong:
    """What came to somebody whom it was not about."""

    tokens: int = 0
    verdicts: int = 0
    results: int = 0
    media: int = 0
    deletions: int = 0
    lost: int = 0
    media_read: int = 0


async def ours(asked: argparse.Namespace, span: float) -> tuple[Wrong, Figures]:
    """Begin, wait, read, look at the pictures and delete, with the library."""
    sandbox = sandbox_for(asked, life_within(span))
    front = Front(faults=1, seed=asked.seed, kinds=("F18", "F19"), most=None)
    started, spent = time.perf_counter(), time.process_time()
    wrong = Wrong()
    retry = RetryPolicy(wait=wait_random(0, 0.1), quota=None)
    with sandbox.serve(front=front) as server:
        async with client_for(server.base_url, asked, retry=retry, max_connections=_BUSY) as client:
            tokens = await begun(client, asked.sessions)
            wrong.tokens = len(tokens) - len(set(tokens)) + len(set(tokens) ^ set(sandbox.tokens))
            await waited_for(client, sandbox, tokens, wrong)
            await read(client, sandbox, tokens, wrong)
    figures = Figures(
        contender="identomat_async",
        sessions=len(tokens),
        wrong=wrong.tokens + wrong.verdicts + wrong.results + wrong.media + wrong.deletions,
        lost=wrong.lost,
        requests=sandbox.request_count,
        struck=sum(front.struck.values()),
        seconds=time.perf_counter() - started,
        cpu=time.process_time() - spent,
    )
    return wrong, figures


async def begun(client: IdentomatClient, sessions: int) -> list[str]:
    """Begin sessions; return their tokens, each of which must be new."""
    tokens: list[str] = []
    busy = anyio.CapacityLimiter(_BUSY)

    async def begin() -> None:
        async with busy:
            tokens.append(await client.begin())

    async with anyio.create_task_group() as group:
        for _ in range(sessions):
            group.start_soon(begin)
    return tokens


async def waited_for(
    client: IdentomatClient, sandbox: Sandbox, tokens: Sequence[str], wrong: Wrong
) -> None:
    """Wait for every verdict."""
    poller = ResultPoller(client, wait=wait_fixed(1), rate=_RATE, max_in_flight=_BUSY)
    outcomes = {}
    async with poller:
        await poller.watch_many(tokens)
        for token in tokens:
            if sandbox.truth(token).script.terminal_after is None:
                await poller.discard(token)
        async for outcome in poller:
            outcomes[outcome.token] = [outcome]
    truths = {t: sandbox.truth(t) for t in tokens if sandbox.truth(t).script.steps}
    found = judged(outcomes, truths)
    wrong.verdicts, wrong.lost = found["wrong"], found["lost"]


async def read(
    client: IdentomatClient, sandbox: Sandbox, tokens: Sequence[str], wrong: Wrong
) -> None:
    """Read, and then delete, every session and its picture."""
    busy = anyio.CapacityLimiter(_BUSY)

    async def one(token: str) -> None:
        truth = sandbox.truth(token)
        async with busy:
            wrong.results += not is_right(verdict_of(token, await client.result(token)), truth)
            try:
                picture = await client.media(token, Media.FACE)
            except MediaNotFoundError:
                wrong.media += truth.status != "in_progress"
            else:
                wrong.media_read += 1
                wrong.media += f"face of {truth.person_number}".encode() not in picture.content
            deleted = await client.delete(token)
            is_own = deleted is not None and is_right(verdict_of(token, deleted), truth)
            wrong.deletions += not (is_own and sandbox.truth(token).deleted)

    async with anyio.create_task_group() as group:
        for token in tokens:
            group.start_soon(one, token)


def beside(asked: argparse.Namespace, span: float) -> Figures:
    """Let the naive client poll sessions of such a service."""
    sandbox, tokens = planted(asked, span)
    front = Front(faults=1, seed=asked.seed, kinds=("F18", "F19"), most=None)
    return naive(sandbox, front, tokens, 2 * span, asked)


def gates(wrong: Wrong, sessions: int) -> list[Gate]:
    """Return what is promised of ours."""
    figures = attrs.asdict(wrong)
    figures.pop("media_read")
    return [
        Gate("pictures read", wrong.media_read, least=sessions / 2),
        *(
            Gate(f"{name} wrong" if name != "lost" else name, n, most=0)
            for name, n in figures.items()
        ),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = parser_for(options("stray", __doc__)).parse_args(arguments)
    span = min(6.0, max(0.5, asked.sessions * 0.02))
    wrong, measured = asyncio.run(ours(asked, span))
    rows = [measured] if asked.quick else [measured, beside(asked, span)]
    shown = ("contender", "sessions", "wrong", "lost", "requests", "struck", "seconds", "cpu")
    show(
        [{name: value for name, value in attrs.asdict(r).items() if name in shown} for r in rows],
        as_json=asked.json,
    )
    return judge(gates(wrong, asked.sessions), asked)
