"""What can go wrong, and what comes of it: the table is true, on every event loop."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio.lowlevel
import pytest
import trio
import uvloop

from identomat_async.sandbox import ELSEWHERE, FAULTS
from tests._conformance_ground import BookLoop, BookResolver
from tests._conformance_play import play
from tests._conformance_table import Row, table

ROWS = table()


class Loop(BookLoop, asyncio.SelectorEventLoop):
    """The event loop of asyncio."""


class Uvloop(BookLoop, uvloop.Loop):
    """That of uvloop."""


def eager() -> Loop:
    loop = Loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


LOOPS: dict[str, tuple[str, dict[str, object]]] = {
    "asyncio": ("asyncio", {"loop_factory": Loop}),
    "debug": ("asyncio", {"loop_factory": Loop, "debug": True}),
    "uvloop": ("asyncio", {"loop_factory": Uvloop}),
    "trio": ("trio", {}),
}
if hasattr(asyncio, "eager_task_factory"):  # since Python 3.12
    LOOPS["eager"] = ("asyncio", {"loop_factory": eager})


# Where an answer is read whole and only says the wrong thing, an event loop has little part
# in it: by day these are played on two of them.
SAID = {"content", "status"}


def by_day(row: Row) -> list[str]:
    return ["asyncio", "trio"] if row.part in SAID else list(LOOPS)


def marks_of(row: Row, name: str, way: str) -> Sequence[pytest.MarkDecorator]:
    if way not in ways_by_day(row, name):
        return [pytest.mark.nightly]
    return [] if name in {"asyncio", "trio"} else [pytest.mark.thorough]


def cases() -> Iterator[object]:
    """Play each row on its loops, and each of its ways on one of them; at night all on all."""
    for row in ROWS:
        for name, backend in LOOPS.items():
            for way in row.ways:
                told = f"{name}-{row.id}" + f"-{way}" * (len(row.ways) > 1)
                marks = marks_of(row, name, way)
                yield pytest.param(backend, row, way, id=told, marks=marks)


def ways_by_day(row: Row, name: str) -> Sequence[str]:
    loops = by_day(row)
    if name not in loops:
        return ()
    turn = loops.index(name)
    return row.ways[turn :: len(loops)] or [row.ways[turn % len(row.ways)]]


@pytest.mark.parametrize(("anyio_backend", "row", "way"), list(cases()))
async def test_a_client_does_what_the_table_says(
    anyio_backend: tuple[str, dict[str, object]], row: Row, way: str
) -> None:
    if anyio_backend[0] == "trio":
        trio.socket.set_custom_hostname_resolver(BookResolver())
    if anyio_backend[1].get("debug"):
        row = row.in_slow_motion(2)
    living, open_before = tasks(), descriptors()

    came = await play(row, way)

    assert came == row.due()
    await settles(tasks, living)
    await settles(descriptors, open_before)


def tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


def descriptors() -> int:
    # Uvloop keeps one of the null device for itself, from its first connection on.
    return sum(not is_null(path) for path in Path("/proc/self/fd").iterdir())


def is_null(path: Path) -> bool:
    try:
        return path.readlink() == Path(os.devnull)
    except FileNotFoundError:  # it was the one with which they are listed
        return True


async def settles(figure: Callable[[], int], expected: int) -> None:
    """Give what is closed a moment to be gone: a few turns of the event loop."""
    for _ in range(10):
        if figure() <= expected:
            return
        await anyio.lowlevel.checkpoint()
    assert figure() == expected


def test_every_row_of_the_matrix_is_in_the_table_once() -> None:
    ids = [row.id for row in ROWS]

    assert len(ids) == len(set(ids))
    assert {name.partition("-")[0] for name in ids} == {f"F{n}" for n in range(1, 50)}


def test_every_fault_of_the_front_is_in_the_table_and_no_other() -> None:
    struck = [(way, row.signed) for row in ROWS if row.cause == "fault" for way in row.ways]

    assert {way for way, _ in struck} == set(FAULTS)
    assert len(struck) == len(set(struck))
    for row in ROWS:
        for way in row.ways:
            assert (row.cause == "fault") == (way in FAULTS)
            assert (row.id.partition("-")[0] in ELSEWHERE) == (way not in FAULTS)


@pytest.mark.parametrize("row", [row for row in ROWS if row.cause == "fault"], ids=str)
def test_a_row_says_what_comes_of_every_operation_that_its_faults_can_strike(row: Row) -> None:
    for way in row.ways:
        struck = FAULTS[way].operations - {"other"}
        polled = {"poll"} & ({"poll"} if "result" in struck else set())

        assert set(row.comes) == struck | polled


def test_every_fault_of_a_signature_is_played_with_signatures() -> None:
    for row in ROWS:
        assert row.signed or not any(FAULTS[way].is_signing for way in row.ways if way in FAULTS)
