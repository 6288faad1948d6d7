"""A request over one of 10 or 100 busy connections: what it costs, beside stock httpx."""

import asyncio
from collections.abc import Sequence
from statistics import median

import attrs

from benchmarks._busy_origin import Habits, busy
from benchmarks._load import cost, many, ours, ratio, stock, using, with_engine
from benchmarks._report import Gate, judge, options, show

MOST_AT_100 = 1 / 20
_FEW, _MANY = 10, 100


@attrs.frozen(kw_only=True)
class Measured:
    """
    Microseconds of CPU per request, round by round.

    Attributes:
        at_once: How many requests were under way at any time, one per connection.
        ours: This library.
        stock: `httpx.AsyncClient` with room for as many connections.
    """

    at_once: int
    ours: Sequence[float]
    stock: Sequence[float]

    @property
    def ratio(self) -> float:
        """What ours cost as a share of the other."""
        return ratio(self.ours, self.stock)


def gates(measured: Sequence[Measured]) -> list[Gate]:
    """Say what is promised; with few connections the ratio is information."""
    return [
        Gate(
            f"CPU of a request / stock httpx, {each.at_once} at once", each.ratio, most=MOST_AT_100
        )
        for each in measured
        if each.at_once >= _MANY
    ]


async def measure(base_url: str, at_once: int, *, requests: int, rounds: int) -> Measured:
    """Let both ask in turn; *requests* are ours, and stock httpx gets fewer of the dear ones."""
    fewer = max(2 * at_once, requests // at_once)
    figures: list[tuple[float, float]] = []
    for _ in range(rounds):
        # New clients each time: connections that were idle for a minute would be gone.
        async with ours(base_url, connections=at_once) as ask:
            await many(ask, requests=at_once, workers=at_once)
            cost_of_ours = await cost(ask, requests=requests, workers=at_once)
        async with stock(base_url, connections=at_once) as ask:
            await many(ask, requests=at_once, workers=at_once)
            cost_of_stock = await cost(ask, requests=fewer, workers=at_once)
        figures.append((cost_of_ours, cost_of_stock))
    of_ours, of_stock = zip(*figures, strict=True)
    return Measured(at_once=at_once, ours=of_ours, stock=of_stock)


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = with_engine(options("lanes", __doc__, rounds=3))
    parser.add_argument("--requests", type=int, default=2000, help="of ours per round (2000)")
    parser.add_argument(
        "--at-once", type=int, nargs="+", default=(_FEW, _MANY), help="connections (10 100)"
    )
    asked = parser.parse_args(arguments)
    measured: list[Measured] = []
    with using(asked.engine), busy(Habits()) as base_url:
        for at_once in asked.at_once:
            one = measure(base_url, at_once, requests=asked.requests, rounds=asked.rounds)
            measured.append(asyncio.run(one))
    rows = [
        {
            "at once": each.at_once,
            "ours, us": median(each.ours),
            "stock httpx, us": median(each.stock),
            "ours / stock": each.ratio,
            "stock / ours": 1 / each.ratio,
        }
        for each in measured
    ]
    show(rows, as_json=asked.json)
    return judge(gates(measured), asked)
