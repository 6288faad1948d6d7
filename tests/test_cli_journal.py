"""`identomat journal`: what an operator sees, and that looking changes nothing."""

import hashlib
import json
import sqlite3
import time
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from identomat_async import (
    DeadlinePassed,
    Delivery,
    PollState,
    SessionResult,
    SessionStatus,
    Settled,
    SqliteJournal,
)
from identomat_async._cli._app import app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def shown(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["journal", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def settled(token: str) -> Settled:
    result = SessionResult.from_json(b'{"result": "approved"}')
    return Settled(token=token, status=SessionStatus.APPROVED, result=result)


async def filled(journal: SqliteJournal) -> None:
    now = time.time()
    ages = {"new": 5, "hour": 1800, "old": 200_000, "known": 700, "refused": 700, "done": 700}
    states = [
        PollState(
            token=f"token-{name}",
            begun=now - age,
            watched=now - age,
            deadline=now - 200,
            reference="user:7",
        )
        for name, age in ages.items()
    ]
    await journal.watched(states, leave_notes=False)
    outcomes = [
        DeadlinePassed(token="token-known"),
        settled("token-refused"),
        settled("token-done"),
    ]
    deliveries = [Delivery(id=f"id-of-{each.token[6:]}", outcome=each) for each in outcomes]
    await journal.known(deliveries, at=now - 130)
    await journal.refused("id-of-refused", attempts=3, error="LookupError")
    await journal.finished({"id-of-done": "0123456789ab"}, at=now)


def test_it_shows_who_holds_it_what_is_watched_and_what_was_refused(path):
    async def look_while_held() -> str:
        journal = SqliteJournal(path)
        await journal.acquire()
        await filled(journal)
        try:
            return await anyio.to_thread.run_sync(shown, path)
        finally:
            await journal.release()

    held = anyio.run(look_while_held)
    free = shown(path)

    assert held.startswith("held by process ")
    assert " s)\n" in held
    assert "watched: 3 (1 under 1 min, 1 under 1 h, 1 older)" in held
    assert "not accepted: 2" in held
    assert "id-of-known: DeadlinePassed, known for 2 min, not refused" in held
    assert (
        "id-of-refused: Settled APPROVED, known for 2 min, refused 3 times, last LookupError"
        in held
    )
    assert "accepted within a week: 1" in held
    assert free.startswith("held by nobody")
    for secret in ("token-", "user:7"):
        assert secret not in held


def test_it_says_the_same_as_json(path):
    journal = SqliteJournal(path)

    async def fill() -> None:
        await filled(journal)
        await journal.release()

    anyio.run(fill)
    found = json.loads(shown(path, "--json"))

    assert not found["is_held"]
    assert found["holder"] is None
    assert found["live"]["older"] == 1
    assert [each["attempts"] for each in found["unacked"]] == [0, 3]


def test_what_is_yet_to_be_deleted_is_not_taken_for_refused(path):
    async def leave() -> None:
        journal = SqliteJournal(path)
        await journal.acquire()
        await filled(journal)
        await journal.accepted("id-of-refused", at=time.time())
        await journal.release()

    anyio.run(leave)
    assert "not accepted: 1\n" in shown(path)
    assert "accepted, and the session not yet deleted: 1\n" in shown(path)
    assert json.loads(shown(path, "--json"))["undeleted"] == 1


def test_looking_changes_nothing(path):
    journal = SqliteJournal(path)

    async def fill() -> None:
        await filled(journal)
        await journal.release()

    anyio.run(fill)
    before = hashlib.sha256(path.read_bytes()).digest()
    shown(path)

    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_long_list_is_cut(path):
    async def fill() -> None:
        journal = SqliteJournal(path)
        states = [PollState(token=f"t-{n}", begun=1.0, watched=1.0) for n in range(25)]
        await journal.watched(states, leave_notes=False)
        await journal.known(
            [Delivery(id=f"d{n}", outcome=settled(f"t-{n}")) for n in range(25)], at=1
        )
        await journal.acquire()
        await journal._write(lambda connection: connection.execute("DELETE FROM holder"))
        nonlocal text
        text = await anyio.to_thread.run_sync(shown, path)
        await journal.release()

    text = ""
    anyio.run(fill)

    assert "and 5 more" in text
    assert "just starting" in text
    assert " d, not refused" in text


@pytest.mark.parametrize("kind", ["missing", "foreign", "damaged", "empty"])
def test_what_is_no_journal_is_said_so_in_one_line(path, kind):
    if kind == "foreign":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.close()
    elif kind != "missing":
        path.write_bytes(b"damaged" * 1000 if kind == "damaged" else b"")

    done = CliRunner().invoke(app, ["journal", str(path)])

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("identomat: ")
    assert done.stderr.count("\n") == 1
