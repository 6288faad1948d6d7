"""Two clients that ask the same service for the same thing, and what that costs them."""

import argparse
import asyncio
import gc
import itertools
import resource
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from statistics import median

import httpx

from identomat_async import IdentomatClient, SessionStatus

Ask = Callable[[], Awaitable[object]]

TOKEN = "0" * 40
_KEEPALIVE = 55.0


def with_engine(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the option that says which HTTP library ours uses."""
    parser.add_argument("--engine", choices=("httpx", "httpx2"), default="httpx", help="of ours")
    return parser


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Let our clients use this HTTP library for a while."""
    defaults = IdentomatClient.__init__.__kwdefaults__
    usual, defaults["engine"] = defaults["engine"], engine
    try:
        yield
    finally:
        defaults["engine"] = usual


@asynccontextmanager
async def ours(base_url: str, *, connections: int) -> AsyncGenerator[Ask]:
    """Open this library's client; gives what looks once at a session on a kept connection."""
    async with IdentomatClient(
        "benchmark", base_url=base_url, max_connections=connections
    ) as client:

        async def ask() -> None:
            status = await client.source.look(TOKEN, fresh=False)
            assert status is SessionStatus.IN_PROGRESS

        yield ask


@asynccontextmanager
async def stock(base_url: str, *, connections: int | None) -> AsyncGenerator[Ask]:
    """Open httpx's client, with its own limits for None; gives the same as code by hand."""
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=_KEEPALIVE,
    )
    client = httpx.AsyncClient(limits=limits) if connections else httpx.AsyncClient()
    async with client:

        async def ask() -> None:
            sent = {"company_key": "benchmark", "session_token": TOKEN}
            response = await client.post(f"{base_url}result/", json=sent)
            assert response.raise_for_status().json()["result"] == "in_progress"

        yield ask


async def many(ask: Ask, *, requests: int, workers: int) -> None:
    """Ask so often, and always so many at a time."""
    left = itertools.repeat(None, requests)

    async def work() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(work() for _ in range(workers)))


async def cost(ask: Ask, *, requests: int, workers: int) -> float:
    """Return the microseconds of CPU that this process spends on one request."""
    gc.collect()
    spent = time.process_time()
    await many(ask, requests=requests, workers=workers)
    return (time.process_time() - spent) / requests * 1e6


def ratio(figures: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of what was measured in the same round."""
    return median(one / other for one, other in zip(figures, others, strict=True))


def allow_descriptors(count: int) -> None:
    """See to it that so many connections can be open, in this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
