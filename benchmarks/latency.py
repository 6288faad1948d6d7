"""200 workers and a service that takes 100 ms: requests per second, beside a default client."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from statistics import median

import attrs
import httpx

from benchmarks._busy_origin import Habits, busy, counted
from benchmarks._load import Ask, ours, ratio, stock, using, with_engine
from benchmarks._report import Gate, judge, options, show
from identomat_async import errors

DELAY = 0.1
WORKERS = 200
LEAST_OF_STOCK = 8.0
MOST_CONNECTS = 0.02
_WARM_UP = 1.0
_FAILURES = (httpx.HTTPError, errors.IdentomatError)


@attrs.frozen(kw_only=True)
class Measured:
    """
    What one contender did in one round.

    Attributes:
        rate: Answers per second.
        connects: New connections per answer.
        failures: Requests without an answer.
    """

    rate: float
    connects: float
    failures: int


def gates(of_ours: Sequence[Measured], of_stock: Sequence[Measured]) -> list[Gate]:
    """Say what is promised."""
    share = ratio([each.rate for each in of_ours], [each.rate for each in of_stock])
    connects = median(each.connects for each in of_ours)
    return [
        Gate("requests per second / default httpx client", share, least=LEAST_OF_STOCK),
        Gate("connects per request", connects, most=MOST_CONNECTS),
        Gate("failed requests", float(sum(each.failures for each in of_ours)), most=0),
    ]


async def measure(ask: Ask, base_url: str, *, seconds: float, workers: int) -> Measured:
    """Let so many workers ask one thing after the other, and count after the warm-up."""
    answers, failures = itertools.count(), itertools.count()
    ends = time.monotonic() + _WARM_UP + seconds

    async def work() -> None:
        while time.monotonic() < ends:
            try:
                await ask()
            except _FAILURES:
                next(failures)
            else:
                next(answers)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    await asyncio.sleep(_WARM_UP)
    before, began = next(answers), time.monotonic()
    connects = (await asyncio.to_thread(counted, base_url))["connections"]
    await asyncio.sleep(max(0.0, ends - time.monotonic()))
    # This call counts one answer itself, as the one above did.
    done, took = next(answers) - before - 1, time.monotonic() - began
    # Asking the service is a connection too.
    connects = (await asyncio.to_thread(counted, base_url))["connections"] - connects - 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return Measured(rate=done / took, connects=connects / max(done, 1), failures=next(failures))


async def one_round(base_url: str, seconds: float, workers: int) -> tuple[Measured, Measured]:
    """Measure ours and a client as httpx makes it."""
    async with ours(base_url, connections=workers) as ask:
        of_ours = await measure(ask, base_url, seconds=seconds, workers=workers)
    async with stock(base_url, connections=None) as ask:
        of_stock = await measure(ask, base_url, seconds=seconds, workers=workers)
    return of_ours, of_stock


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = with_engine(options("latency", __doc__, rounds=3))
    parser.add_argument("--seconds", type=float, default=4.0, help="for each, each round (4)")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"at once ({WORKERS})")
    asked = parser.parse_args(arguments)
    with using(asked.engine), busy(Habits(delay=DELAY)) as base_url:
        measured = [
            asyncio.run(one_round(base_url, asked.seconds, asked.workers))
            for _ in range(asked.rounds)
        ]
    of_ours, of_stock = zip(*measured, strict=True)
    rows = [
        {
            "client": name,
            "requests/s": median(each.rate for each in figures),
            "connects/request": median(each.connects for each in figures),
            "failures": sum(each.failures for each in figures),
        }
        for name, figures in (("ours", of_ours), ("httpx.AsyncClient()", of_stock))
    ]
    show(rows, as_json=asked.json)
    return judge(gates(of_ours, of_stock), asked)
