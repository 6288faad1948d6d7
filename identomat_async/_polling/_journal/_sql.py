"""The journal's tables, and what is said to them. No thread, no file, no await."""

import json
import logging
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, cast

from identomat_async._model._status import SessionStatus
from identomat_async._polling._journal._facts import JournalEntry, Note
from identomat_async._polling._outcomes import DeadlinePassed, Delivery, SessionGone, Settled
from identomat_async._polling._state import PollState, state_of
from identomat_async._polling._watch import Until, ends
from identomat_async.errors import ConfigurationError, JournalError

_logger = logging.getLogger("identomat_async")

# "IDMT": whose file this is.
APPLICATION = 0x49444D54
# For so many seconds it can be seen that a session is finished.
KEPT = 7 * 86400.0
# A clock that was set by less moves nobody's deadline.
_SLACK = 1.0
_AT_A_TIME = 500

# Each brings a file from the version that is its place in the list to the next. What has the
# time `handed` is finished.
MIGRATIONS = (
    """
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        token TEXT,
        reference TEXT,
        begun REAL NOT NULL,
        watched REAL NOT NULL,
        deadline REAL,
        until TEXT,
        review REAL,
        status TEXT,
        reviewed REAL,
        rest TEXT,
        due REAL,
        known REAL,
        delivery TEXT,
        outcome TEXT,
        verified INTEGER,
        waited REAL,
        last_error TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        handler_error TEXT,
        handed REAL,
        token_hash TEXT
    );
    CREATE UNIQUE INDEX watching ON session (token) WHERE known IS NULL;
    CREATE INDEX unacked ON session (token) WHERE known IS NOT NULL AND handed IS NULL;
    CREATE UNIQUE INDEX deliveries ON session (delivery) WHERE known IS NOT NULL AND handed IS NULL;
    CREATE INDEX handed ON session (handed) WHERE handed IS NOT NULL;
    CREATE TABLE note (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, token TEXT NOT NULL);
    CREATE TABLE holder (one INTEGER PRIMARY KEY CHECK (one = 1), pid INTEGER, since REAL);
    """,
    "ALTER TABLE session ADD COLUMN accepted REAL",
)

_TERMS = "token, reference, begun, watched, deadline, until, review"
_WATCHED = f"""
    INSERT INTO session ({_TERMS}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (token) WHERE known IS NULL DO UPDATE SET
        reference = coalesce(excluded.reference, reference),
        deadline = max(deadline, excluded.deadline),
        until = CASE 'decided' WHEN excluded.until THEN 'decided' ELSE until END,
        review = max(review, excluded.review),
        due = NULL
"""  # noqa: S608 - our own words
_RECONCILE = f"""
    INSERT INTO session ({_TERMS}) SELECT ?, ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM session WHERE token = ? AND known IS NULL)
    AND NOT EXISTS
        (SELECT 1 FROM session WHERE token = ? AND known IS NOT NULL AND handed IS NULL)
"""  # noqa: S608 - our own words
_SEEN = """
    UPDATE session SET status = ?, reviewed = ?, rest = ?, due = ?
    WHERE token = ? AND known IS NULL
"""
_OUTCOME = "outcome = ?, verified = ?, status = ?, waited = ?, last_error = ?, rest = ?"
_KNOWN = f"""
    UPDATE session SET known = ?, delivery = ?, {_OUTCOME} WHERE token = ? AND known IS NULL
"""  # noqa: S608 - our own words
_KNOWN_AGAIN = f"""
    UPDATE session SET known = ?, delivery = ?, {_OUTCOME}
    WHERE delivery = ? AND known IS NOT NULL AND handed IS NULL
"""  # noqa: S608 - our own words
_UNACKED = "WHERE delivery = ? AND known IS NOT NULL AND handed IS NULL"
_REOPEN = f"""
    UPDATE OR IGNORE session SET known = NULL, delivery = NULL, outcome = NULL, verified = NULL,
        waited = NULL, last_error = NULL, rest = NULL, due = NULL {_UNACKED}
"""  # noqa: S608 - our own words
_FINISHED = f"""
    UPDATE session SET handed = ?, token_hash = ?, token = NULL, reference = NULL, status = NULL,
        rest = NULL, delivery = NULL, outcome = NULL, verified = NULL, last_error = NULL,
        handler_error = NULL {_UNACKED}
"""  # noqa: S608 - our own words
_LIVE_COLUMNS = (
    f"{_TERMS}, status, reviewed, rest, due, delivery, outcome, verified, waited, "
    "last_error, attempts, handler_error, accepted IS NOT NULL"
)
# What `discard` forgets; none of it is decoded, since that may not go.
_THERE = tuple(
    f"FROM session WHERE token = ? AND {which}"
    for which in ("known IS NULL", "known IS NOT NULL AND handed IS NULL AND accepted IS NULL")
)
# Each by the index that has no row that is finished, of which there may be a week's.
_LIVE = tuple(
    f"SELECT id, {_LIVE_COLUMNS} FROM session INDEXED BY {index} WHERE {which}"  # noqa: S608
    for index, which in (
        ("watching", "known IS NULL"),
        ("unacked", "known IS NOT NULL AND handed IS NULL"),
    )
)


def migrate(connection: sqlite3.Connection) -> None:
    """
    Bring the tables to the version of this code.

    Raises:
        JournalError: They are of a newer version, or not a journal's.
    """
    connection.execute("BEGIN EXCLUSIVE")
    version = checked_version(connection)
    for statement in ";".join(MIGRATIONS[version:]).split(";"):
        connection.execute(statement)
    if version < len(MIGRATIONS):
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def checked_version(connection: sqlite3.Connection) -> int:
    """
    Return the version of a journal's tables, 0 if there are none yet.

    Raises:
        JournalError: They are of a newer version, or not a journal's.
    """
    version: int = _one(connection, "PRAGMA user_version")
    owner: int = _one(connection, "PRAGMA application_id")
    is_new = not (version or owner or _one(connection, "SELECT count(*) FROM sqlite_master"))
    if owner != APPLICATION and not is_new:
        raise JournalError("the file is a database, and not a journal's", reason="foreign")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"the journal is of version {version}, and this library knows "
            f"{len(MIGRATIONS)}: install a newer one",
            reason="newer",
        )
    return version


def watched(
    connection: sqlite3.Connection, states: Iterable[PollState], *, leave_notes: bool
) -> None:
    for state in states:
        connection.execute(_WATCHED, _terms(state))
        if leave_notes:
            _leave(connection, "watch", state.token)


def reconcile(
    connection: sqlite3.Connection, states: Iterable[PollState], *, leave_notes: bool
) -> list[bool]:
    added: list[bool] = []
    for state in states:
        values = (*_terms(state), state.token, state.token)
        is_new = connection.execute(_RECONCILE, values).rowcount == 1
        if is_new and leave_notes:
            _leave(connection, "watch", state.token)
        added.append(is_new)
    return added


def seen(connection: sqlite3.Connection, looks: Iterable[tuple[PollState, float | None]]) -> None:
    connection.executemany(
        _SEEN,
        (
            (_known(state.status), state.reviewed, _rest(state), due, state.token)
            for state, due in looks
        ),
    )


def known(
    connection: sqlite3.Connection, deliveries: Iterable[Delivery], *, at: float
) -> list[bool]:
    return [_known_one(connection, delivery, at) for delivery in deliveries]


def _known_one(connection: sqlite3.Connection, delivery: Delivery, at: float) -> bool:
    outcome = delivery.outcome
    facts = [
        at,
        delivery.id,
        type(outcome).__name__,
        isinstance(outcome, SessionGone) and outcome.verified,
        _known(outcome.status),
        outcome.waited,
        None if outcome.last_error is None else type(outcome.last_error).__name__,
        json.dumps({"polls": outcome.polls}),
    ]
    if delivery.redelivered:
        return connection.execute(_KNOWN_AGAIN, [*facts, delivery.id]).rowcount == 1
    if connection.execute(f"SELECT 1 FROM session {_UNACKED}", [delivery.id]).fetchone():  # noqa: S608
        return True  # it was written before, though somebody was told otherwise
    # Somebody else may have asked for more in the meantime, and has left a note of it.
    condition, wants = "", list[object]()
    if isinstance(outcome, Settled) and not ends(outcome.result.status, Until.DECIDED):
        condition = " AND until = 'terminal'"
    elif isinstance(outcome, DeadlinePassed):
        condition, wants = " AND (deadline <= ? OR reviewed + review <= ?)", [at + _SLACK] * 2
    statement = _KNOWN + condition
    return connection.execute(statement, [*facts, outcome.token, *wants]).rowcount == 1


def reopen(connection: sqlite3.Connection, delivery: str) -> None:
    connection.execute(_REOPEN, [delivery])
    # Where it is watched again already, that watch stands for both.
    connection.execute(f"DELETE FROM session {_UNACKED}", [delivery])  # noqa: S608


def refer(connection: sqlite3.Connection, delivery: str, reference: str) -> None:
    connection.execute(f"UPDATE session SET reference = ? {_UNACKED}", [reference, delivery])  # noqa: S608


def accepted(connection: sqlite3.Connection, delivery: str, *, at: float) -> None:
    connection.execute(f"UPDATE session SET accepted = ? {_UNACKED}", [at, delivery])  # noqa: S608


def finished(connection: sqlite3.Connection, deliveries: Mapping[str, str], *, at: float) -> None:
    connection.executemany(
        _FINISHED, [(at, token_hash, name) for name, token_hash in deliveries.items()]
    )
    _prune(connection, at)


def refused(connection: sqlite3.Connection, delivery: str, *, attempts: int, error: str) -> None:
    connection.execute(
        f"UPDATE session SET attempts = ?, handler_error = ? {_UNACKED}",  # noqa: S608
        [attempts, error, delivery],
    )


def discard(connection: sqlite3.Connection, token: str, *, leave_notes: bool) -> bool:
    was_there = sum(connection.execute(f"DELETE {each}", [token]).rowcount for each in _THERE) > 0
    if was_there and leave_notes:
        _leave(connection, "discard", token)
    return was_there


def nudge(connection: sqlite3.Connection, token: str) -> None:
    if any(connection.execute(f"SELECT 1 {each}", [token]).fetchone() for each in _THERE):
        _leave(connection, "nudge", token)


def live(connection: sqlite3.Connection, tokens: Sequence[str] | None = None) -> list[JournalEntry]:
    if tokens is None:
        return _entries(row for select in _LIVE for row in connection.execute(select))
    found: list[JournalEntry] = []
    for some in _batches(tokens):
        among = f" AND token IN ({', '.join('?' * len(some))})"
        found += _entries(row for each in _LIVE for row in connection.execute(each + among, some))
    return found


def _entries(rows: Iterable[Sequence[Any]]) -> list[JournalEntry]:
    entries: list[JournalEntry] = []
    for row in sorted(rows, key=itemgetter(0)):  # the oldest first
        try:
            entries.append(_entry(row[1:]))
        except (ConfigurationError, ValueError, TypeError):
            # Not one of many may hold up all the others. Whose it is only the file says.
            _logger.error("row %d of the journal cannot be read, and is left out", row[0])  # noqa: TRY400
    return entries


def watching(connection: sqlite3.Connection, tokens: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in _batches(tokens):
        marks = ", ".join("?" * len(some))
        rows = connection.execute(
            f"SELECT token FROM session WHERE known IS NULL AND token IN ({marks})",  # noqa: S608
            some,
        )
        found.update(token for (token,) in rows)
    return found


def has_notes(connection: sqlite3.Connection) -> bool:
    return bool(_one(connection, "SELECT EXISTS (SELECT 1 FROM note)"))


def take_notes(connection: sqlite3.Connection, taken: dict[tuple[int, Note], None]) -> None:
    """Move the notes to *taken*, each by its number, which is kept if this is tried again."""
    rows = connection.execute("SELECT id, kind, token FROM note ORDER BY id")
    taken.update({(name, Note(kind, token)): None for name, kind, token in rows})
    connection.execute("DELETE FROM note")


def hold(connection: sqlite3.Connection, *, pid: int, at: float) -> None:
    """Write down who holds the journal, and clear out what is long past."""
    connection.execute("INSERT OR REPLACE INTO holder VALUES (1, ?, ?)", [pid, at])
    _prune(connection, at)


def _prune(connection: sqlite3.Connection, at: float) -> None:
    connection.execute("DELETE FROM session WHERE handed IS NOT NULL AND handed < ?", [at - KEPT])


def _one(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


def _terms(state: PollState) -> tuple[object, ...]:
    return (
        state.token,
        state.reference,
        state.begun,
        state.watched,
        state.deadline,
        str(state.until),
        state.review,
    )


def _known(status: SessionStatus | None) -> str | None:
    # What is not known is text from outside, and may be a name.
    return str(status) if status is not None and status.is_known else None


def _leave(connection: sqlite3.Connection, kind: str, token: str) -> None:
    connection.execute("INSERT INTO note (kind, token) VALUES (?, ?)", [kind, token])


def _rest(state: PollState) -> str:
    # What has no column of its own; those that have are written there alone.
    members: dict[str, object] = json.loads(state.to_json())
    return json.dumps({name: members[name] for name in _REST})


_REST = ("polls", "fresh", "early", "trouble")


def _entry(row: Sequence[Any]) -> JournalEntry:
    (token, reference, begun, watched, deadline, until, review) = row[:7]
    (status, reviewed, rest, due, delivery, outcome, verified, waited) = row[7:15]
    (last_error, attempts, handler_error, is_accepted) = row[15:19]
    blank: dict[str, object] = {"polls": 0, "fresh": False, "early": [], "trouble": None}
    members = blank | (cast("dict[str, object]", json.loads(rest)) if rest else {})
    members |= {
        "token": token,
        "reference": reference,
        "begun": begun,
        "watched": watched,
        "deadline": deadline if math.isfinite(deadline) else None,
        "until": until,
        "review": review if math.isfinite(review) else None,
        "reviewed": reviewed,
        "status": status,
    }
    return JournalEntry(
        state=state_of(members),
        due=due,
        delivery=delivery,
        outcome=outcome,
        verified=bool(verified),
        waited=waited or 0.0,
        last_error=last_error,
        attempts=attempts,
        handler_error=handler_error,
        accepted=bool(is_accepted),
    )


def _batches(tokens: Iterable[str]) -> Iterator[list[str]]:
    left = iter(tokens)
    while some := list(islice(left, _AT_A_TIME)):
        yield some
