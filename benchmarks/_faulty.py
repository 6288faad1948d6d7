"""Sessions behind a faulty front, and a judge that knows the truth of each."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import TypeVar

import attrs

from identomat_async import DeadlinePassed, IdentomatClient, Outcome, SessionResult, Settled
from identomat_async.errors import IdentomatError
from identomat_async.sandbox import Sandbox, Script, Truth

T = TypeVar("T")

COMPANY, SECRET = "benchmark", "a-secret-of-nobody"
# So often a call that failed is made again before the session counts as lost.
_TRIES = 40
_ABANDONED = 0.05
_VERDICTS = ("approved", "rejected", "manual_check")
TERMINAL = frozenset(_VERDICTS)


@attrs.frozen(kw_only=True)
class Verdict:
    """What one contender took for the truth about one session; a number is a person's."""

    token: str
    status: str
    number: str | None


@attrs.frozen(kw_only=True)
class Figures:
    """
    What one contender did.

    Attributes:
        contender: Who.
        sessions: How many there were.
        wrong: How many verdicts were not those of their session.
        lost: How many sessions had a verdict, and none was found.
        doubled: How many had more than one outcome.
        surplus: Sessions that came to be beyond those that were asked for.
        undeleted: Sessions that are there although deleting them succeeded.
        tasks: Tasks left when all was over.
        descriptors: Descriptors left when all was over.
        requests: How many came in at the server.
        struck: How many of them a fault struck.
        seconds: Wall time.
        cpu: Seconds of CPU of this process, the server's included.
    """

    contender: str
    sessions: int
    wrong: int
    lost: int
    doubled: int = 0
    surplus: int = 0
    undeleted: int = 0
    tasks: int = 0
    descriptors: int = 0
    requests: int = 0
    struck: int = 0
    seconds: float = 0.0
    cpu: float = 0.0


def life_within(span: float) -> Callable[[Random], Script]:
    """Return what draws lives that end within *span* seconds; one of twenty never does."""

    def life(rng: Random) -> Script:
        if rng.random() < _ABANDONED:
            return Script()
        status = rng.choices(_VERDICTS, weights=(3, 1, 1))[0]
        return Script.of(status, after=rng.uniform(0, span))

    return life


def is_right(verdict: Verdict, truth: Truth) -> bool:
    """Tell whether a verdict is its own session's."""
    if verdict.status.lower() != truth.status:
        return False
    return verdict.number in {None, truth.person_number}


def verdict_of(token: str, result: SessionResult) -> Verdict:
    """Return what *result* says; its person is known by a number that nobody else has."""
    number = result.raw.get("person", {}).get("personal_number")
    return Verdict(token=token, status=result.status.value, number=number)


def judged(outcomes: Mapping[str, list[Outcome]], truths: Mapping[str, Truth]) -> Counter[str]:
    """
    Count what was wrong, lost and doubled.

    A session that nobody ends is not lost when its deadline has passed.
    """
    found: Counter[str] = Counter()
    for token, truth in truths.items():
        those = outcomes.get(token, [])
        found["doubled"] += len(those) > 1
        settled = [each for each in those if isinstance(each, Settled)]
        found["wrong"] += any(not is_right(verdict_of(token, s.result), truth) for s in settled)
        is_over = any(isinstance(each, DeadlinePassed) for each in those)
        is_open = is_over and truth.status not in TERMINAL
        found["lost"] += not (settled or is_open)
    return found


async def until_it_works(call: Callable[[], Awaitable[T]]) -> tuple[T, int]:
    """
    Repeat a call until it succeeds; return its value and how often it was made.

    Raises:
        IdentomatError: It has failed too often.
    """
    for made in range(1, _TRIES):
        try:
            return await call(), made
        except IdentomatError:
            await asyncio.sleep(0.02)
    return await call(), _TRIES


def client_for(base_url: str, asked: argparse.Namespace, **keywords: object) -> IdentomatClient:
    """Return a client with short timeouts, on the engine that was asked for if one was."""
    if asked.engine:
        keywords["engine"] = asked.engine
    return IdentomatClient(
        COMPANY,
        secret_key=SECRET if asked.signed else None,
        base_url=base_url,
        **keywords,  # type: ignore[arg-type] # they are what is asked for
    )


def sandbox_for(asked: argparse.Namespace, life: Callable[[Random], Script]) -> Sandbox:
    """Return a service of which no answer names its session."""
    return Sandbox(COMPANY, SECRET if asked.signed else None, seed=asked.seed, life=life)


def planted(asked: argparse.Namespace, span: float) -> tuple[Sandbox, list[str]]:
    """Return a service and the sessions that are there without a `begin`."""
    life, lives = life_within(span), Random(asked.seed)
    sandbox = sandbox_for(asked, life)
    tokens = [f"session-{number:033}" for number in range(asked.sessions)]
    for token in tokens:
        sandbox.plant(token, life(lives))
    return sandbox, tokens


def descriptors() -> int:
    """Count the descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def parser_for(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that both have."""
    parser.add_argument("--sessions", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same faults (1)")
    parser.add_argument("--signed", action="store_true", help="sign requests and answers")
    parser.add_argument("--engine", choices=("httpx", "httpx2"), help="the HTTP library")
    parser.add_argument("--quick", action="store_true", help="leave the naive client out")
    return parser
