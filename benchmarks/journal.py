"""What a journal costs: watches per second beside bare sqlite3, and what a poll costs more."""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import anyio

from benchmarks._inmemory import InMemory
from benchmarks._report import Gate, judge, options, show
from benchmarks._rounds import Round, ratio, take_turns, typical
from identomat_async import Delivery, ResultPoller, SqliteJournal, wait_person

BARE, SERIAL, CONCURRENT = "bare", "serial", "concurrent"
WITHOUT, WITH = "without", "with"
_WRITERS = 100
_GAP = 0.5
_WARM_UP = 1.0
# Looks per second, within what one core can do.
_RATE = 4000


async def nobody(_: Delivery) -> None:
    """Take a delivery, of which there are none."""


def bare(folder: Path, watches: int) -> float:
    """Return the commits per second of sqlite3 alone: the same row, one after the other."""
    file = folder / f"bare-{next(_names)}.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        # As large as those of a journal.
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE session (id INTEGER PRIMARY KEY, token, a, b, c, d, e)")
        connection.execute("CREATE UNIQUE INDEX watching ON session (token)")
        begun = time.perf_counter()
        for number in range(watches):
            connection.execute("BEGIN IMMEDIATE")
            row = (f"{number:040}", None, 1.0, 1.0, 2.0, "terminal")
            connection.execute("INSERT INTO session VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
            connection.execute("COMMIT")
        return watches / (time.perf_counter() - begun)


def watched(folder: Path, watches: int, writers: int) -> float:
    """Return the watches per second of a poller, asked by so many *writers* at once."""
    return anyio.run(_watched, folder, watches, writers)


async def _watched(folder: Path, watches: int, writers: int) -> float:
    journal = SqliteJournal(folder / f"watched-{next(_names)}.db")
    poller = ResultPoller(InMemory(watches), journal=journal)
    tokens = (f"{number:040}" for number in range(watches))

    async def write(some: Iterator[str]) -> None:
        for token in some:
            await poller.watch(token)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, nobody)
        begun = time.perf_counter()
        async with anyio.create_task_group() as writing:
            for _ in range(writers):
                writing.start_soon(write, tokens)
        spent = time.perf_counter() - begun
        tasks.cancel_scope.cancel()
    return watches / spent


def polled(folder: Path, sessions: int, seconds: float, written: list[int], *, kept: bool) -> float:
    """Return the CPU seconds per look at sessions that stay in progress; note the commits."""
    journal = SqliteJournal(folder / f"polled-{next(_names)}.db") if kept else None
    return anyio.run(_polled, journal, sessions, seconds, written)


async def _polled(
    journal: SqliteJournal | None, sessions: int, seconds: float, written: list[int]
) -> float:
    source = InMemory(sessions)
    poller = ResultPoller(
        source,
        journal=journal,
        rate=None,
        max_in_flight=100,
        wait=wait_person(every=_GAP, quiet=_GAP, tail=1.0, floor=0, cap=2 * _GAP),
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, nobody)
        await poller.watch_many(source.tokens())
        await anyio.sleep(_WARM_UP)
        before = commits(journal)
        looks, spent = source.looks, time.process_time()
        await anyio.sleep(seconds)
        cost = (time.process_time() - spent) / (source.looks - looks)
        written.append(commits(journal) - before)
        tasks.cancel_scope.cancel()
    return cost


def commits(journal: SqliteJournal | None) -> int:
    """Return how often a journal has written."""
    return 0 if journal is None else journal._thread.commits  # noqa: SLF001 - no user needs it


def gates(watches: Sequence[Round], looks: Sequence[Round], written: Sequence[int]) -> list[Gate]:
    """Return what is promised of *watches* per second, the cost of *looks* and their writes."""
    return [
        Gate("watches/s one after another / bare", ratio(watches, SERIAL, BARE), least=0.7),
        Gate("watches/s of many tasks / bare", ratio(watches, CONCURRENT, BARE), least=3),
        Gate("writes while sessions stay in progress", sum(written), most=0),
        Gate("CPU per look / without a journal", ratio(looks, WITH, WITHOUT), most=1.05),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = _parser().parse_args(arguments)
    written: list[int] = []
    # Not in a folder for temporary files, which may be in memory alone.
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        watches = take_turns(
            {
                BARE: partial(bare, folder, asked.watches),
                SERIAL: partial(watched, folder, asked.watches, 1),
                CONCURRENT: partial(watched, folder, asked.watches * 5, _WRITERS),
            },
            rounds=asked.rounds,
        )
        measure = partial(polled, folder, asked.sessions, asked.seconds, written)
        looks = take_turns(
            {WITHOUT: partial(measure, kept=False), WITH: partial(measure, kept=True)},
            rounds=asked.rounds,
        )
    rows = [
        {"what": f"{name}, watches/s", "typical": round(typical(watches, name))}
        for name in (BARE, SERIAL, CONCURRENT)
    ]
    rows += [
        {"what": f"{name} a journal, CPU us per look", "typical": typical(looks, name) * 1e6}
        for name in (WITHOUT, WITH)
    ]
    show(rows, as_json=asked.json)
    return judge(gates(watches, looks, written), asked)


_names = count()


def _parser() -> argparse.ArgumentParser:
    parser = options("journal", __doc__, rounds=7)
    parser.add_argument("--watches", type=int, default=500, help="how many per round (500)")
    parser.add_argument(
        "--sessions", type=int, default=int(_RATE * _GAP), help="how many are polled (2000)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for how long, per round (2)")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="on the disk to measure (the current folder)"
    )
    return parser
