"""The programs in the documentation run; their fixtures' page has tests of its own."""

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

import identomat_async
from identomat_async import (
    DeadlinePassed,
    Outcome,
    SessionResult,
    SessionStatus,
    Settled,
)
from identomat_async._polling._stats import LimitedBy
from identomat_async.sandbox import Sandbox, Script
from tests._docs_ground import DOCS, ROOT, blocks_of, run_code, sandbox_client

PACKAGE = Path(identomat_async.__file__).parent
PAGES = ("tutorial", "outcomes", "how-to", "on-call")
PROGRAMS = [
    pytest.param(code, id=f"{page}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks_of(DOCS / f"{page}.md"))
]
SAID = {
    "approved": "settled as APPROVED",
    "rejected": "settled as REJECTED",
    "abandoned": "the deadline passed",
}


async def run(code: str, sandbox: Sandbox) -> None:
    assert code.count("IdentomatClient.from_env()") == 1
    assert code.endswith("anyio.run(main)\n")
    await run_code(code, own_client=sandbox_client(sandbox))["main"]()


def fill_a_shop(sandbox: Sandbox, file: Path) -> None:
    """Leave sessions of the last hour in the table that the pages read."""
    now = datetime.now(UTC)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE checks (user TEXT, token TEXT, begun TEXT, verdict TEXT)")
        for number in range(100):
            sandbox.plant(f"token-{number}", Script.of("approved", after=60))
            begun = (now - timedelta(seconds=36 * number)).isoformat()
            row = (f"user:{number}", f"token-{number}", begun, None)
            db.execute("INSERT INTO checks VALUES (?, ?, ?, ?)", row)


@pytest.mark.parametrize("code", PROGRAMS)
async def test_every_program_comes_to_its_end(
    code: str, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = Sandbox("key")
    sandbox.script("approved", after=60)
    fill_a_shop(sandbox, tmp_path / "shop.sqlite")
    monkeypatch.chdir(tmp_path)

    await run(code, sandbox)

    assert "APPROVED" in capsys.readouterr().out


async def test_the_tutorial_takes_hardly_longer_than_its_person(capsys: Any) -> None:
    sandbox = Sandbox("key")
    sandbox.script("approved", after=5)
    (code,) = blocks_of(DOCS / "tutorial.md")

    began = anyio.current_time()
    await run(code, sandbox)

    assert "APPROVED" in capsys.readouterr().out
    assert anyio.current_time() - began < 5 + 3


@pytest.mark.parametrize(
    ("status", "stored"),
    [("approved", "verified"), ("rejected", "refused"), ("abandoned", "not verified")],
)
async def test_each_outcome_is_recorded_as_the_table_says(
    status: str, stored: str, capsys: Any
) -> None:
    sandbox = Sandbox("key")
    sandbox.script(status, after=60)
    (code,) = blocks_of(DOCS / "outcomes.md")

    await run(code, sandbox)

    said = capsys.readouterr().out
    assert said.startswith(f"customer:7 {stored} - ")
    assert SAID[status] in said


INVENTED = [None, "IN_PROGRESS", "MANUAL_CHECK", "APPROVED", "REJECTED", "DISAGREED", "paused"]


def ended(kind: type[Outcome], status: str | None) -> Outcome:
    seen = None if status is None else SessionStatus(status)
    if kind is not Settled:
        return kind(token="t", status=seen)
    document = SessionResult.from_json(json.dumps({"result": status}).encode())
    return Settled(token="t", status=seen, result=document)


def means(kind: type[Outcome], status: str | None, row: list[str]) -> bool:
    """Tell whether a row of the table is about such an outcome."""
    named, statuses, *_ = row
    if named != f"`{kind.__name__}`":
        return False
    if status == "paused":
        return statuses.startswith("any")
    return statuses == "any or none" or (f"`{status}`" if status else "none") in statuses


@pytest.mark.parametrize("status", INVENTED)
@pytest.mark.parametrize("kind", get_args(Outcome))
def test_every_outcome_with_every_status_has_one_row_and_the_code_stores_what_it_says(
    kind: type[Outcome], status: str | None
) -> None:
    page = DOCS / "outcomes.md"
    table = [line[2:-2].split(" | ") for line in page.read_text().splitlines() if "| `" in line]
    (code,) = blocks_of(page)
    record = run_code(code)["record"]

    found = [row[2] for row in table if means(kind, status, row)]

    if kind is Settled and (status is None or not SessionStatus(status).is_terminal):
        assert found == []  # there is no such outcome
    elif kind is DeadlinePassed and status in {"APPROVED", "REJECTED", "DISAGREED"}:
        assert found == []  # a verdict that was there has been found
    else:
        (stored,) = found
        assert re.split("[,:;]", stored)[0] == record(ended(kind, status))


async def test_a_review_is_pending_until_it_is_decided(capsys: Any) -> None:
    sandbox = Sandbox("key")
    sandbox.script("manual_check", after=60).then("rejected", after=7200)
    (code,) = blocks_of(DOCS / "outcomes.md")

    await run(code, sandbox)

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["customer:7 pending", "customer:7 refused"]


def test_every_reason_for_not_looking_sooner_is_explained_to_who_is_on_call() -> None:
    header, *rows = re.findall(
        r"^\| `([a-z_]+)` \|", (DOCS / "on-call.md").read_text(), re.MULTILINE
    )

    assert header == "limited_by"
    assert tuple(rows) == get_args(LimitedBy)


def test_every_page_is_on_the_way_from_the_first() -> None:
    index = (DOCS / "index.md").read_text()

    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", index))

    assert linked == {path.name for path in DOCS.glob("*.md")} - {"index.md"}


def test_where_to_look_is_there() -> None:
    text = (DOCS / "architecture.md").read_text()
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert "_polling/_step.py" in named
    assert [name for name in named if not list(PACKAGE.rglob(name))] == []


def test_no_module_is_longer_than_contributing_allows() -> None:
    (most,) = re.findall(r"has at most (\d+) lines", (ROOT / "CONTRIBUTING.md").read_text())
    lines = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > int(most)} == {}
