"""A request while 300 connections are idle: what it costs, beside stock httpx; and with 1,000."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median

import attrs

from benchmarks._busy_origin import Habits, busy, counted
from benchmarks._load import (
    Ask,
    allow_descriptors,
    cost,
    many,
    ours,
    ratio,
    stock,
    using,
    with_engine,
)
from benchmarks._report import Gate, judge, options, show

MOST_OF_STOCK = 1 / 40
MOST_OF_ONE = 1.1


@attrs.frozen(kw_only=True)
class Measured:
    """
    Microseconds of CPU per request, one at a time, round by round.

    Attributes:
        contender: Who asked.
        idle: How many idle connections it had.
        figures: The microseconds.
    """

    contender: str
    idle: int
    figures: Sequence[float]


def gates(one: Measured, most: Measured, some: Measured, of_stock: Measured) -> list[Gate]:
    """Say what is promised."""
    share, growth = ratio(some.figures, of_stock.figures), ratio(most.figures, one.figures)
    return [
        Gate(f"CPU of a request / stock httpx, {some.idle} idle", share, most=MOST_OF_STOCK),
        Gate(f"CPU of a request, {most.idle} idle / 1", growth, most=MOST_OF_ONE),
    ]


async def opened(stack: AsyncExitStack, base_url: str, idle: int) -> Ask:
    """Open a client of ours with so many idle connections."""
    ask = await stack.enter_async_context(ours(base_url, connections=idle))
    await many(ask, requests=idle, workers=idle)
    return ask


async def opened_stock(stack: AsyncExitStack, base_url: str, idle: int) -> Ask:
    """Open httpx's client with so many idle connections."""
    ask = await stack.enter_async_context(stock(base_url, connections=idle))
    await many(ask, requests=idle, workers=idle)
    return ask


def see_that_open(base_url: str, least: int) -> None:
    """Refuse to go on if the connections are not there that the figures are about."""
    there = counted(base_url)["open"]
    # Now and then one is used again before the last ones are opened.
    if there < 0.95 * least:
        raise RuntimeError(f"{there} connections are open, and not {least}")


async def flatness(base_url: str, idle: int, *, requests: int, rounds: int) -> list[Measured]:
    """Ask one at a time with one connection and with many."""
    figures: list[tuple[float, float]] = []
    async with AsyncExitStack() as stack:
        one = await opened(stack, base_url, 1)
        for number in range(rounds):
            async with AsyncExitStack() as inner:
                most = await opened(inner, base_url, idle)
                see_that_open(base_url, idle)
                pair = [most, one] if number % 2 else [one, most]
                costs = {ask: await cost(ask, requests=requests, workers=1) for ask in pair}
                figures.append((costs[one], costs[most]))
    of_one, of_most = zip(*figures, strict=True)
    return [
        Measured(contender="ours", idle=1, figures=of_one),
        Measured(contender="ours", idle=idle, figures=of_most),
    ]


async def beside_stock(base_url: str, idle: int, *, requests: int, rounds: int) -> list[Measured]:
    """Ask one at a time with many idle connections, ours and theirs."""
    figures: list[tuple[float, float]] = []
    fewer = max(10, requests // 20)
    async with AsyncExitStack() as stack:
        # Opening theirs takes long, and idle connections do not last for ever.
        ask_stock = await opened_stock(stack, base_url, idle)
        ask = await opened(stack, base_url, idle)
        for _ in range(rounds):
            see_that_open(base_url, 2 * idle)
            cost_of_stock = await cost(ask_stock, requests=fewer, workers=1)
            cost_of_ours = await cost(ask, requests=requests, workers=1)
            figures.append((cost_of_ours, cost_of_stock))
    of_ours, of_stock = zip(*figures, strict=True)
    return [
        Measured(contender="ours", idle=idle, figures=of_ours),
        Measured(contender="stock httpx", idle=idle, figures=of_stock),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = with_engine(options("idle", __doc__, rounds=3))
    parser.add_argument("--requests", type=int, default=400, help="of ours per round (400)")
    parser.add_argument("--idle", type=int, default=300, help="beside stock httpx (300)")
    parser.add_argument("--most", type=int, default=1000, help="beside a single one (1000)")
    asked = parser.parse_args(arguments)
    allow_descriptors(3 * asked.most)
    with using(asked.engine), busy(Habits()) as base_url:
        some, of_stock = asyncio.run(
            beside_stock(base_url, asked.idle, requests=asked.requests, rounds=asked.rounds)
        )
    with using(asked.engine), busy(Habits()) as base_url:
        one, most = asyncio.run(
            flatness(base_url, asked.most, requests=asked.requests, rounds=asked.rounds)
        )
    rows = [
        {"client": each.contender, "idle": each.idle, "CPU, us": median(each.figures)}
        for each in (one, most, some, of_stock)
    ]
    show(rows, as_json=asked.json)
    return judge(gates(one, most, some, of_stock), asked)
