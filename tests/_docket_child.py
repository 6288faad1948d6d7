"""A worker in a process of its own, which the tests of Docket kill."""

import argparse
import signal
import sys
from pathlib import Path

import anyio
from tenacity import wait_fixed

from identomat_async import Delivery, SessionResult, SessionStatus
from identomat_async.contrib.docket import DocketResultPoller
from tests._journal_child import Log, Source


class SlowSource(Source):
    """Each look takes a while, so that there are some under way at any time."""

    def __init__(self, log: Log, latency: float) -> None:
        super().__init__(log)
        self.timeout = 2.0
        self._log, self._latency = log, latency

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        answer = await super().look(token, fresh=fresh)
        await anyio.sleep(self._latency)
        self._log("looked", token=token)
        return answer


class Service:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.log = Log(asked.log)
        self.poller = DocketResultPoller(
            SlowSource(self.log, asked.latency),
            f"{asked.url}?max_connections={asked.concurrency + 10}",
            wait=wait_fixed(asked.interval),
            rate=asked.rate or None,
            concurrency=asked.concurrency,
            lease=asked.lease,
            handler_timeout=0.5,
        )

    async def handle(self, delivery: Delivery) -> None:
        self.log("given", id=delivery.id, token=delivery.token, redelivered=delivery.redelivered)
        if delivery.attempt <= self.asked.refuse:
            raise OSError("the database is away")
        await anyio.sleep(self.asked.linger)

    async def run(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.poller.run, self.handle)
                self.log("ready")
                async for _ in signals:
                    break
                self.log("ending")
                await self.poller.drain()
                tasks.cancel_scope.cancel()
        self.log("done")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--latency", type=float, default=0.01)
    parser.add_argument("--lease", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--concurrency", type=int, default=60)
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--linger", type=float, default=0.0)
    asked = parser.parse_args()
    anyio.run(Service(asked).run)


if __name__ == "__main__":
    sys.exit(main())
