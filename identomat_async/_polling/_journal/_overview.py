"""What an operator wants to know of a journal's file; it is only read."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from identomat_async._polling._journal._file import journal_error
from identomat_async._polling._journal._lock import is_locked
from identomat_async._polling._journal._sql import KEPT, MIGRATIONS, checked_version
from identomat_async._polling._journal._sqlite import lock_path
from identomat_async.errors import JournalError

# Up to how many seconds, and what that is called.
_AGES = (
    (60.0, "under 1 min"),
    (600.0, "under 10 min"),
    (3600.0, "under 1 h"),
    (86400.0, "under 1 d"),
)
_OLDER = "older"


@attrs.frozen(kw_only=True)
class Unacked:
    """
    An outcome that the handler has not accepted.

    Attributes:
        delivery: The id of its delivery.
        outcome: The name of the outcome's class.
        status: The status, None if none is known.
        age: Seconds since the outcome is known.
        attempts: How often the handler has refused it.
        handler_error: The class of the error that the handler raised last, if any.
    """

    delivery: str
    outcome: str
    status: str | None
    age: float
    attempts: int
    handler_error: str | None


@attrs.frozen(kw_only=True)
class Overview:
    """
    How a journal stands.

    Attributes:
        is_held: Whether a poller polls what is in it.
        holder: The process that held it last.
        since: Since when, in seconds since the epoch.
        live: How many sessions are watched, by the age of the watch.
        unacked: The outcomes that were not accepted, the oldest first.
        undeleted: How many were accepted, and the session is yet to be deleted.
        finished: How many were accepted in the last week, and all is done.
    """

    is_held: bool
    holder: int | None
    since: float | None
    live: Mapping[str, int]
    unacked: Sequence[Unacked]
    undeleted: int
    finished: int


def overview(path: Path, now: float) -> Overview:
    """
    Read how the journal at *path* stands at the time *now*.

    Raises:
        JournalError: It is not there, or cannot be read.
    """
    path = path.resolve()
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}", reason="open")
    failure: sqlite3.Error
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            # Everything as of one moment.
            connection.execute("BEGIN")
            return _read(connection, now, is_held=is_locked(lock_path(path)))
        finally:
            connection.close()
    except sqlite3.Error as error:
        failure = error
    raise journal_error(failure, path)


def _read(connection: sqlite3.Connection, now: float, *, is_held: bool) -> Overview:
    if checked_version(connection) < len(MIGRATIONS):
        raise JournalError("the journal is empty, or an older library's", reason="older")
    holder, since = connection.execute("SELECT pid, since FROM holder").fetchone() or (None, None)
    watched = connection.execute("SELECT watched FROM session WHERE known IS NULL")
    live = dict.fromkeys([name for _, name in _AGES] + [_OLDER], 0)
    for (at,) in watched:
        live[_age_name(now - at)] += 1
    unacked = connection.execute(
        "SELECT delivery, outcome, status, ? - known, attempts, handler_error FROM session "
        "WHERE known IS NOT NULL AND handed IS NULL AND accepted IS NULL ORDER BY known",
        [now],
    )
    undeleted = connection.execute(
        "SELECT count(*) FROM session WHERE accepted IS NOT NULL AND handed IS NULL"
    )
    names = list(attrs.fields_dict(Unacked))
    handed = connection.execute("SELECT count(*) FROM session WHERE handed >= ?", [now - KEPT])
    return Overview(
        is_held=is_held,
        holder=holder,
        since=since,
        live=live,
        unacked=[Unacked(**dict(zip(names, row, strict=True))) for row in unacked],
        undeleted=undeleted.fetchone()[0],
        finished=handed.fetchone()[0],
    )


def _age_name(age: float) -> str:
    return next((name for most, name in _AGES if age < most), _OLDER)
