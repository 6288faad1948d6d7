"""Workers on several machines, and their server, killed at bad moments: nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from tenacity import wait_fixed

from identomat_async.contrib.docket import DocketResultPoller
from identomat_async.contrib.docket._errand import key_of
from tests._docket_server import Server
from tests._journal_child import PERSON, Log, Source

pytestmark = [pytest.mark.durability, pytest.mark.timeout(200)]

CHILD = Path(__file__).with_name("_docket_child.py")
STREAM = "identomat:stream"
LEASE = 4.0
# On a machine that is busy with all of this at once.
SLACK = 1.0


class Stage:
    """A server, workers, and what they say of themselves in one file."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        kept = folder / "kept"
        kept.mkdir()
        self.server = Server(kept, *settings)
        self.log = folder / "log"
        self.log.touch()
        self._read = 0
        self._lines = list[dict[str, Any]]()

    @contextmanager
    def worker(self, **options: object) -> Iterator[subprocess.Popen[bytes]]:
        said = {"lease": LEASE, **options}
        command = [sys.executable, str(CHILD), self.server.url, str(self.log)]
        command += [str(part) for name, value in said.items() for part in (f"--{name}", value)]
        environment = os.environ | {"PYTHONPATH": str(CHILD.parent.parent), "PYTHONHASHSEED": "0"}
        with subprocess.Popen(command, env=environment) as process:  # noqa: S603 - our own code
            go_first(process.pid)
            try:
                self.until(lambda: self.lines("ready", process.pid))
                yield process
            finally:
                process.kill()

    def lines(self, what: str, pid: int | None = None) -> list[dict[str, Any]]:
        # Each is read once: the workers need the machine. The last may be half written.
        with self.log.open("rb") as log:
            log.seek(self._read)
            whole, _, _ = log.read().rpartition(b"\n")
        if whole:
            self._read += len(whole) + 1
            self._lines += map(json.loads, whole.split(b"\n"))
        return [each for each in self._lines if each["what"] == what and pid in (None, each["pid"])]

    def until(self, look: Any, seconds: float = 30) -> Any:
        limit = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < limit, "it did not happen"
            time.sleep(0.05)
        return seen

    def looks(self, what: str = "look") -> dict[str, list[float]]:
        times = defaultdict[str, list[float]](list)
        for line in self.lines(what):
            times[line["token"]].append(line["at"])
        return {token: sorted(each) for token, each in times.items()}

    def has_looked(self, pid: int, tokens: set[str]) -> bool:
        return tokens <= {line["token"] for line in self.lines("look", pid)}

    def held(self, pid: int) -> set[str]:
        """Return the keys of what a process that is gone has in hand, as the server knows it."""
        keys, before = self._held(pid), None
        while keys != before:
            # What it has asked for may be given to it after its death.
            time.sleep(0.2)
            keys, before = self._held(pid), keys
        return keys

    def _held(self, pid: int) -> set[str]:
        keys = set[str]()
        with redis.Redis(port=self.server.port) as client:
            for each in client.xpending_range(STREAM, "docket-workers", "-", "+", 10_000):
                name, only = each["message_id"], each["consumer"].startswith(f"{pid}-".encode())
                for _, said in client.xrange(STREAM, name, name) if only else ():
                    # What it has scheduled anew already is not for others to look at.
                    run = f"identomat:runs:{said[b'key'].decode()}"
                    if client.hget(run, "generation") == said[b"generation"]:
                        keys.add(said[b"key"].decode())
        return keys

    def in_hand(self, pid: int) -> set[str]:
        """Which sessions a process is looking at, as far as it has said so."""
        began, ended = self.lines("look", pid), self.lines("looked", pid)
        counts = defaultdict[str, int](int)
        for line in began:
            counts[line["token"]] += 1
        for line in ended:
            counts[line["token"]] -= 1
        return {token for token, count in counts.items() if count}

    def given(self) -> dict[str, list[dict[str, Any]]]:
        by_token = defaultdict[str, list[dict[str, Any]]](list)
        for line in self.lines("given"):
            by_token[line["token"]].append(line)
        return by_token

    def watch(self, tokens: Iterable[str]) -> int:
        return anyio.run(self._watch, tokens)

    async def _watch(self, tokens: Iterable[str]) -> int:
        source = Source(Log(self.folder / "elsewhere"))
        async with DocketResultPoller(source, self.server.url, wait=wait_fixed(1)) as poller:
            return await poller.reconcile(tokens)


# Where the server stays and many looks are made, nobody waits for the disk at each step.
on_a_quick_server = pytest.mark.parametrize("stage", [("--appendfsync", "everysec")], indirect=True)


def go_first(process: int) -> None:
    """Let a process be judged by what it does, and not by what else the machine has to do."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process, -10)


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(tmp_path, *getattr(request, "param", ()))
    stage.server.start()
    go_first(stage.server.pid)
    try:
        yield stage
    finally:
        stage.server.stop()


def decided_in(seconds: Iterable[float], *, name: str = "session") -> list[str]:
    now = time.time()
    return [f"{name}{n}-{int((now + each) * 1000)}" for n, each in enumerate(seconds)]


def most_in_a_second(times: Iterable[float]) -> int:
    ordered = sorted(times)
    return max(bisect_left(ordered, at + 1.0) - n for n, at in enumerate(ordered))


def test_redeploys_and_crashes_lose_no_session_and_resume_within_the_lease(stage):
    tokens = decided_in(8 + n * 0.5 for n in range(90))
    assert stage.watch(tokens) == 90

    for word in (signal.SIGINT, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        with stage.worker(latency=0.3) as process:
            time.sleep(3)
            stage.until(lambda pid=process.pid: len(stage.in_hand(pid)) >= 5)
            process.send_signal(word)
            process.wait(timeout=10)
        killed_at, held = time.time(), stage.held(process.pid)
        assert bool(stage.in_hand(process.pid)) == (word == signal.SIGKILL)
        # What it was given and has not begun is in nobody's hand for as long.
        in_hand = {token for token in tokens if key_of(token) in held}
        with stage.worker(latency=0.3) as following:
            ready_at = time.time()
            left = in_hand - stage.given().keys()
            stage.until(partial(stage.has_looked, following.pid, left))
            resumed = [stage.looks()[token] for token in left]
            after = [min(at for at in times if at > killed_at) for times in resumed]
            assert max(after, default=0.0) <= max(killed_at + LEASE + 3, ready_at + SLACK)
            following.send_signal(signal.SIGINT)
            following.wait(timeout=10)
    with stage.worker():
        stage.until(lambda: len(stage.given()) == 90, seconds=60)

    ids = {token: {line["id"] for line in lines} for token, lines in stage.given().items()}
    assert ids.keys() == set(tokens)
    assert all(len(each) == 1 for each in ids.values())
    assert all(line["redelivered"] for lines in stage.given().values() for line in lines[1:])
    assert not any(word.encode() in stage.server.everything() for word in PERSON.split())


@on_a_quick_server
def test_a_worker_that_dies_with_sessions_in_hand_is_stood_in_for(stage):
    tokens = decided_in([3600.0] * 1000)
    # Two of them can carry what three do, with room to spare.
    interval, options = 12.0, {"interval": 12.0, "latency": 1.5, "concurrency": 100}

    with ExitStack() as workers:
        processes = [workers.enter_context(stage.worker(**options)) for _ in range(3)]
        assert stage.watch(tokens) == 1000
        stage.until(lambda: len(stage.looks()) == 1000, seconds=60)
        first = time.time()
        time.sleep(30)
        victim = processes[0]
        # Some are done before it is dead.
        stage.until(lambda: len(stage.in_hand(victim.pid)) >= 36)
        victim.kill()
        victim.wait()
        killed_at, begun = time.time(), stage.in_hand(victim.pid)
        held = stage.held(victim.pid)
        time.sleep(36)
    looks = stage.looks()

    assert len(begun) >= 30
    # Some it has taken and not begun to look at; some are looked at and scheduled anew.
    in_hand = {token for token in tokens if key_of(token) in held}
    again = {token: [at for at in looks[token] if at > killed_at] for token in in_hand}
    assert max(min(each) for each in again.values()) <= killed_at + LEASE + 3
    gaps = {
        token: [(before, after) for before, after in pairwise(times) if before >= first]
        for token, times in looks.items()
    }
    untouched = [
        after - before
        for token, each in gaps.items()
        if token not in in_hand
        for before, after in each
    ]
    assert len(untouched) >= 3000
    assert max(untouched) <= 1.5 * interval
    # No look is made twice: but what was cut off comes again sooner than at the interval.
    whole = [
        after - before
        for token, each in gaps.items()
        for before, after in each
        if token not in in_hand or not before <= killed_at <= after
    ]
    assert min(whole) >= 0.9 * interval


@on_a_quick_server
def test_workers_share_one_rate_and_nobody_starves(stage):
    live, rate = 200, 50
    tokens = decided_in([3600.0] * live)

    with stage.worker(rate=rate), stage.worker(rate=rate):
        assert stage.watch(tokens) == live
        stage.until(lambda: len(stage.looks()) == live)
        time.sleep(30)
        ended = time.time()
    times = stage.looks()

    assert most_in_a_second(at for each in times.values() for at in each) <= rate
    gaps = [after - before for each in times.values() for before, after in pairwise([*each, ended])]
    assert max(gaps) <= 2 * live / rate
    assert sum(len(each) for each in times.values()) >= 0.75 * rate * 30


def test_a_server_that_crashes_has_kept_what_it_was_told(stage):
    tokens = decided_in(5 + n * 0.1 for n in range(100))
    assert stage.watch(tokens) == 100

    with stage.worker(), stage.worker():
        time.sleep(7)
        stage.server.kill()
        time.sleep(2)
        stage.server.start()
        stage.until(lambda: len(stage.given()) == 100, seconds=60)

    given = stage.given()
    assert all(len({line["id"] for line in lines}) == 1 for lines in given.values())


def test_what_a_server_forgot_is_added_again_from_the_application(stage):
    # Late enough that none is decided, and forgotten on purpose, before it is added again.
    tokens = decided_in(25 + n * 0.05 for n in range(100))
    assert stage.watch(tokens) == 100

    with stage.worker(), stage.worker():
        time.sleep(4)
        stage.server.ask("FLUSHALL")
        time.sleep(1)
        added = stage.watch(tokens)
        assert stage.watch(tokens) == 0
        stage.until(lambda: len(stage.given()) == 100, seconds=60)

    assert added >= 50
    assert stage.given().keys() == set(tokens)


def test_a_worker_that_dies_in_the_handler_delivers_again_under_the_same_id(stage):
    (token,) = decided_in([0.0])
    assert stage.watch([token]) == 1

    with stage.worker(linger=30) as process:
        stage.until(stage.given)
        process.kill()
    with stage.worker():
        stage.until(lambda: len(stage.given()[token]) == 2)

    first, second = stage.given()[token]
    assert first["id"] == second["id"]
    assert (first["redelivered"], second["redelivered"]) == (False, True)
