"""
A service in a process of its own, which the tests of the journal kill.

What it does is written to a file line by line: that is what the application remembers.
"""

import argparse
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
from tenacity import wait_exponential, wait_fixed
from tenacity.wait import wait_base

from identomat_async import (
    Delivery,
    JournalError,
    RateBudget,
    ResultPoller,
    SessionResult,
    SessionStatus,
    SqliteJournal,
)
from identomat_async._home import Home
from identomat_async._pause import Pause

PERSON = "Anna Example 01001012345"
FULL = 400_000


class Log:
    """Lines that are kept whatever becomes of the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, what: str, **facts: object) -> None:
        line = {"what": what, "at": time.time(), "pid": os.getpid(), **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")


def die_if(it_is_time: bool) -> None:
    if it_is_time:
        os.kill(os.getpid(), signal.SIGKILL)


class Source:
    """Sessions whose tokens say when they are decided; the same for every process."""

    def __init__(self, log: Log) -> None:
        self.timeout = 15.0
        self.retry_wait: wait_base = wait_exponential(multiplier=1, max=60)
        self.budget: RateBudget | None = None
        self.pause = Pause()
        self.home = Home("client")
        self.guards: set[anyio.CancelScope] = set()
        self.source = self
        self._log = log

    def token_hash(self, token: str) -> str:
        return f"hash{hash(token) & 0xFFFFFFFF:08x}"

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        await anyio.lowlevel.checkpoint()
        self._log("look", token=token)
        decided = time.time() >= int(token.rpartition("-")[2]) / 1000
        status = "approved" if decided else "in_progress"
        if not fresh:
            return SessionStatus(status)
        body = {"result": status, "person": {"first_name": PERSON}}
        return SessionResult.from_json(json.dumps(body).encode())


class Deadly(SqliteJournal):
    """A journal that is there when the process dies, before or after what it does."""

    def __init__(self, path: Path, moment: str | None) -> None:
        super().__init__(path)
        self._moment = moment

    def _die(self, moment: str) -> None:
        die_if(moment == self._moment)

    async def known(self, deliveries, *, at):
        stand = await super().known(deliveries, at=at)
        self._die("status-known")
        return stand

    async def finished(self, deliveries, *, at):
        self._die("handler-done")
        await super().finished(deliveries, at=at)
        self._die("acked")


class Service:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.log = Log(asked.log)
        self.random = random.Random(asked.seed)  # noqa: S311 - no secret
        self.poller = ResultPoller(
            Source(self.log),
            journal=Deadly(asked.journal, asked.die),
            wait=wait_fixed(0.5),
            rate=None,
            max_in_flight=100,
        )

    async def handle(self, delivery: Delivery) -> None:
        self.log("given", id=delivery.id, token=delivery.token, redelivered=delivery.redelivered)
        if self.asked.again and delivery.reference != "again":
            await self.poller.watch(delivery.token, reference="again")
            self.log("watched again", token=delivery.token)
            die_if(self.asked.die == "watched-again")
        await anyio.sleep(self.random.uniform(0, 0.02))

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.poller.run, self.handle)
            self.log("ready", role=self.poller.stats().role)
            if self.asked.wait:
                tasks.start_soon(self.wait, self.asked.wait)
            for number in range(self.asked.first, self.asked.first + self.asked.sessions):
                await self.watch(number)
                await anyio.sleep(self.asked.pace)
            self.log("all watched")
            while len(self.poller) or self.asked.stay:
                await anyio.sleep(0.02)
                self.log_role()
            tasks.cancel_scope.cancel()
        self.log("done")

    _role = ""

    def log_role(self) -> None:
        if (role := self.poller.stats().role) != self._role:
            self._role = role
            self.log("role", role=role)

    async def wait(self, token: str) -> None:
        result = await self.poller.wait(token)
        self.log("waited", token=token, status=result.status)

    async def watch(self, number: int) -> None:
        decided = time.time() + self.random.uniform(*self.asked.decided)
        token = f"session-{number}-{int(decided * 1000)}"
        while True:
            try:
                await self.poller.watch(token, reference=f"user:{number}")
            except JournalError as error:
                self.log("refused", token=token, reason=error.reason)
                # There is room on the disk again.
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            else:
                break
        self.log("watched", token=token)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("journal", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--decided", type=float, nargs=2, default=(0.0, 0.0))
    parser.add_argument("--die")
    parser.add_argument("--wait")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("--small-disk", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.small_disk:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    run: Callable[[], object] = Service(asked).run
    signal.signal(signal.SIGINT, signal.default_int_handler)
    anyio.run(run, backend=asked.backend)


if __name__ == "__main__":
    main(sys.argv[1:])
