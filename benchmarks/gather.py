"""Waiting for thousands at once: no failure where gathered requests all fail."""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import anyio
import attrs
import httpx

from benchmarks._origin import running
from identomat_async import IdentomatClient, Outcome, Settled

DELAY = 0.1
LANES = 100
SIZES = (1000, 5000)
_STOCK_SIZE = 1000
_STOCK_PATIENCE = 90.0
_ALLOWANCE = 1.3


@attrs.frozen(kw_only=True)
class Figures:
    """
    What one contender did once.

    Attributes:
        contender: Who.
        tokens: How many sessions were asked for at once.
        failures: How many of them came to nothing.
        failed_as: The same, by the name of the class.
        seconds: Wall time.
        cpu: Seconds of CPU of this process.
        bound: Seconds that 1.3 times the least possible time is; None where not judged.
    """

    contender: str
    tokens: int
    failures: int
    failed_as: dict[str, int]
    seconds: float
    cpu: float
    bound: float | None = None


def least_seconds(tokens: int, *, lanes: int, delay: float, cpu: float) -> float:
    """
    Return the least wall time for waiting for *tokens* sessions that are all settled.

    Each is asked for twice, since a verdict counts only when it was read on a fresh
    connection; *cpu* is what all of that costs one core.
    """
    return max(2 * tokens / lanes * delay, cpu)


def failed_as(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count the outcomes that are no verdict by the name of their class."""
    return dict(Counter(type(each).__name__ for each in outcomes if not isinstance(each, Settled)))


def passes(figures: Iterable[Figures]) -> bool:
    """Tell whether ours lost nobody: the gate."""
    return not any(each.failures for each in figures if each.contender == "wait_all")


async def wait_all(base_url: str, tokens: Sequence[str]) -> Figures:
    """Wait for all of them with the library."""
    async with IdentomatClient("benchmark", base_url=base_url, max_connections=LANES) as client:
        started, spent = time.perf_counter(), time.process_time()
        outcomes = await client.wait_all(tokens, rate=None, deadline=600)
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    failed = failed_as(outcomes.values())
    missing = len(tokens) - len(outcomes)
    return Figures(
        contender="wait_all",
        tokens=len(tokens),
        failures=sum(failed.values()) + missing,
        failed_as=failed,
        seconds=seconds,
        cpu=cpu,
        bound=_ALLOWANCE * least_seconds(len(tokens), lanes=LANES, delay=DELAY, cpu=cpu),
    )


async def stock(base_url: str, tokens: Sequence[str]) -> Figures:
    """Ask for all of them at once with a client as httpx makes it, for 90 s at most."""
    async with httpx.AsyncClient() as client:

        async def ask(token: str) -> None:
            sent = {"company_key": "benchmark", "session_token": token}
            (await client.post(base_url + "result/", json=sent)).raise_for_status()

        started, spent = time.perf_counter(), time.process_time()
        tasks = [asyncio.create_task(ask(token)) for token in tokens]
        await asyncio.wait(tasks, timeout=_STOCK_PATIENCE)
        for task in tasks:
            task.cancel()
        came_to = await asyncio.gather(*tasks, return_exceptions=True)
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    # Those that were cancelled had not come to an end within the time.
    failed = Counter(type(each).__name__ for each in came_to if each is not None)
    return Figures(
        contender="httpx.AsyncClient + gather",
        tokens=len(tokens),
        failures=failed.total(),
        failed_as=dict(failed),
        seconds=seconds,
        cpu=cpu,
    )


def as_line(figures: Figures) -> str:
    """Write figures for people."""
    failed = ", ".join(f"{count} {name}" for name, count in figures.failed_as.items())
    line = (
        f"{figures.contender:<26} {figures.tokens:>5} tokens: {figures.failures} failures"
        f"{f' ({failed})' if failed else ''}, {figures.seconds:.1f} s, CPU {figures.cpu:.1f} s"
    )
    return line if figures.bound is None else f"{line}; 1.3 x the least is {figures.bound:.1f} s"


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = _parser().parse_args(arguments)
    figures: list[Figures] = []

    def note(measured: Figures) -> None:
        figures.append(measured)
        line = json.dumps(attrs.asdict(measured)) if asked.json else as_line(measured)
        print(line, flush=True)

    with running(DELAY) as base_url:
        for _ in range(asked.rounds):
            for size in asked.sessions:
                note(anyio.run(wait_all, base_url, _tokens(size)))
            if not asked.quick:
                note(anyio.run(stock, base_url, _tokens(_STOCK_SIZE)))
    return 1 if asked.check and not passes(figures) else 0


def _tokens(count: int) -> list[str]:
    return [f"{number:040}" for number in range(count)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gather", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if one of ours failed")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--quick", action="store_true", help="leave the stock client out")
    parser.add_argument("--rounds", type=int, default=1, help="how often (1)")
    parser.add_argument(
        "--sessions", type=int, nargs="+", default=SIZES, help="how many at once (1000 5000)"
    )
    return parser
