"""Where no answer comes, or one that takes a service of its own, no secret comes out either."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import attrs
import pytest

from identomat_async.errors import IdentomatError
from identomat_async.sandbox import Script
from tests import test_canary as canary
from tests._conformance_ground import BookLoop
from tests._conformance_stage import STAGES
from tests._conformance_table import Row, table


class Loop(BookLoop, asyncio.SelectorEventLoop):
    """An event loop whose names mean what a row says."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": Loop}


ROWS = {row.id: row for row in table()}
PLAYED = [f"F{n}" for n in (1, 2, 3, 4, 5, 8, 12, 13, 17, 19, 45, 46, 47, 48, 49)]
# What `canary.FAULTS` calls the others.
SAID = {
    "F6": ["reset"],
    "F7": ["closed"],
    "F9": ["closed", "reset"],
    "F10": ["half-a-status-line", "half-the-headers"],
    "F11": ["silence", "silence-in-the-headers", "silence-in-the-body"],
    "F14": ["short-body", "chunks-cut", "reset-in-the-body"],
    "F15": ["chunk-size", "garbage", "two-lengths"],
    "F16": ["no-http"],
    "F18": ["followed-by-another"],
    "F20": ["long-header"],
    "F21": ["many-headers"],
    "F22": ["endless", "length-alone"],
    "F23": ["compressed"],
    "F24": ["compressed"],
    "F25": ["page"],
    "F26": ["empty"],
    "F27": ["cut-json", "two-documents"],
    "F28": ["shape", "wrong-type"],
    "F29": ["not-found"],
    "F30": ["code", "argument"],
    "F31": ["signature", "two-signatures"],
    "F32": ["redirect"],
    "F33": ["http-400", "http-413"],
    "F34": ["http-401", "http-403"],
    "F35": ["http-404"],
    "F36": ["http-408", "http-425"],
    "F37": ["http-409"],
    "F38": ["far-future", "retry-after"],
    "F39": ["http-500", "http-501"],
    "F40": ["http-502", "http-520"],
    "F41": ["http-503"],
    "F42": ["other-session"],
    "F43": ["cached"],
    "F44": ["sound"],
}
MODES = ["maintenance", "key_revoked", "brownout:0.9", "slow:5", "flap:0.05"]
CALLS = ("begin", "result", "delete", "media", "save_media", "look", "fresh look")


def cases() -> Iterator[object]:
    for row in ROWS.values():
        if row.id.partition("-")[0] in PLAYED:
            for way in row.ways:
                yield pytest.param(row, way, id=f"{row.id}-{way}")
    for mode in MODES:
        yield pytest.param(ROWS["F1"], mode, id=mode)


def test_every_row_of_the_table_is_here_or_in_the_other_test() -> None:
    rows = [row_id.partition("-")[0] for row_id in ROWS]

    assert sorted([*PLAYED, *SAID]) == sorted(set(rows))
    assert {name for names in SAID.values() for name in names} <= set(canary.FAULTS)


@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
@pytest.mark.parametrize(("row", "way"), [*cases()])
async def test_what_goes_wrong_brings_out_no_secret(
    row: Row, way: str, signed: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = attrs.evolve(row, signed=signed, attempts=1, timeout=0.1, deadline=0.3)
    kind = type("Planted", (STAGES[row.cause],), {"key": canary.COMPANY, "secret": canary.SECRET})
    leaks: list[str] = []
    errors: list[IdentomatError] = []

    async def meet(method: str) -> None:
        async with stage.client() as client:
            stage.hurry(client)
            # Where no file can be opened, that is an error of the system's own.
            with anyio.move_on_after(0.5), suppress(OSError):
                error = await canary.failure_of(canary.CALLS[method](client, tmp_path))
                if error is None:  # what comes to light on a connection that was kept
                    error = await canary.failure_of(canary.CALLS[method](client, tmp_path))
                if error is not None:
                    errors.append(error)
                    given = {canary.COMPANY, canary.SECRET, canary.TOKEN}
                    given |= set(canary.SENT.get(method, ()))
                    leaks.extend(canary.answers_in(canary.own_frames(error), sent=given))
                    leaks.extend(canary.channels_of(error))
            leaks.extend(canary.hits("client", repr(client), repr(client.source)))

    with canary.overheard(capfd) as told, kind(row, way) as stage:
        stage.sandbox.plant(canary.TOKEN, Script.of("approved"), begun=0.0)
        stage.strike()
        async with anyio.create_task_group() as group:
            for method in CALLS:
                group.start_soon(meet, method)
        stage.heal()

    assert (leaks, told) == ([], [])
    assert errors or row.id in {"F8", "F17", "F19"}  # nobody is told of these
