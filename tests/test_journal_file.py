"""The journal's file: durable, private, empty of anything personal, and clear about trouble."""

import logging
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from identomat_async import (
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    JournalError,
    MemoryJournal,
    PollState,
    ResultPoller,
    ServerError,
    SessionResult,
    SessionStatus,
    Settled,
    SqliteJournal,
    Until,
)
from identomat_async._polling._journal import _sql as journal_sql
from identomat_async._polling._journal import _thread as journal_thread
from identomat_async._polling._journal._file import file_system_of, journal_error, opened
from identomat_async._polling._journal._lock import FileLock, _let_go_in_child, is_locked
from identomat_async._polling._journal._sql import APPLICATION, MIGRATIONS, live
from identomat_async._polling._journal._thread import _Job
from tests._journal_syncs import Syncs

PERSON = "Anna Example"


@pytest.fixture
def anyio_backend(real_time):
    return real_time


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def state_of(token: str, **facts) -> PollState:
    return PollState(token=token, begun=1.0, watched=1.0, **facts)


def settled(token: str, status: str = "approved", reference: str | None = None) -> Settled:
    body = f'{{"result": "{status}", "person": {{"first_name": "{PERSON}"}}}}'.encode()
    result = SessionResult.from_json(body)
    return Settled(token=token, reference=reference, status=result.status, result=result)


async def wrote(journal: SqliteJournal, *tokens: str) -> None:
    await journal.watched([state_of(token) for token in tokens], leave_notes=False)


def everything_in(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


# Durable


async def test_every_commit_waits_for_the_disk(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")

    def settings(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "secure_delete", "user_version", "application_id")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await journal._read(settings) == ["wal", 2, 1, len(MIGRATIONS), APPLICATION]
    await journal.release()


async def test_every_write_alone_is_one_sync_of_the_disk_and_a_look_is_none(path):
    journal = SqliteJournal(path)
    await wrote(journal, "first")
    syncs = await journal._read(Syncs)

    for number in range(20):
        await wrote(journal, f"session-{number}")
    assert syncs.count == 20
    await journal.live()
    await journal.notes()
    assert syncs.count == 20
    await journal.release()


async def test_what_many_tasks_write_at_once_is_committed_together(path):
    journal = SqliteJournal(path)
    await wrote(journal, "first")
    before, syncs = journal._thread.commits, await journal._read(Syncs)

    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(wrote, journal, f"session-{number}")

    assert syncs.count == journal._thread.commits - before <= 10
    assert len(await journal.live()) == 301
    await journal.release()


async def test_what_is_read_back_is_what_was_written(path):
    journal = SqliteJournal(path)
    state = PollState(
        token="one",
        reference="user:7",
        begun=10.5,
        watched=20.5,
        deadline=1000.25,
        until=Until.DECIDED,
        review=300.0,
    )
    await journal.watched([state, state_of("two")], leave_notes=False)
    await journal.release()

    again = SqliteJournal(path)
    assert [entry.state for entry in await again.live()] == [state, state_of("two")]
    assert await again.watching(["one", "three"]) == {"one"}
    await again.release()


async def test_many_tokens_are_asked_for_at_once(path):
    journal = SqliteJournal(path)
    names = [f"session-{number}" for number in range(1200)]
    await wrote(journal, *names)

    assert await journal.watching(names) == set(names)
    assert len(await journal.live(names)) == 1200
    await journal.release()


async def test_the_file_is_opened_again_after_a_while_without_work(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    with anyio.fail_after(10):
        while journal._thread._thread is not None:
            await anyio.sleep(0.05)

    assert len(await journal.live()) == 1
    await journal.release()
    await journal.release()


async def test_a_cancelled_write_is_done_all_the_same_and_disturbs_nobody(path):
    journal = SqliteJournal(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await wrote(journal, "one")

    await wrote(journal, "two")
    assert await journal.watching(["one", "two"]) == {"one", "two"}
    await journal.release()


async def test_a_piece_of_work_that_fails_does_not_undo_the_others(path):
    journal = SqliteJournal(path)
    raised = []

    async def bad() -> None:
        try:
            await journal._write(
                lambda connection: connection.execute("DELETE FROM session") and 1 // 0
            )
        except ZeroDivisionError as error:
            raised.append(error)

    await wrote(journal, "zero")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wrote, journal, "one")
        tasks.start_soon(bad)
        tasks.start_soon(wrote, journal, "two")

    assert len(raised) == 1
    assert await journal.watching(["zero", "one", "two"]) == {"zero", "one", "two"}
    await journal.release()


@asynccontextmanager
async def at_once(journal):
    """Have everything that is asked of a journal in this block be one batch."""
    go_on = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal._read, lambda _: go_on.wait(10))
        while not journal._thread._jobs.empty():
            await anyio.sleep(0.001)
        yield tasks
        await anyio.wait_all_tasks_blocked()
        go_on.set()


async def test_in_one_batch_too_it_undoes_nothing_of_the_others(path):
    journal, failed = SqliteJournal(path), []

    def fail(connection):
        connection.execute("DELETE FROM session")
        raise LookupError

    async def bad() -> None:
        with pytest.raises(LookupError) as caught:
            await journal._write(fail)
        failed.append(caught.value)

    await wrote(journal, "zero")
    before = journal._thread.commits
    async with at_once(journal) as tasks:
        tasks.start_soon(wrote, journal, "one")
        tasks.start_soon(bad)
        tasks.start_soon(wrote, journal, "two")

    assert journal._thread.commits == before + 1
    assert len(failed) == 1
    assert await journal.watching(["zero", "one", "two"]) == {"zero", "one", "two"}
    await journal.release()


async def test_an_event_loop_is_woken_once_for_all_that_was_committed(path, monkeypatch):
    journal, posts = SqliteJournal(path), []
    post = journal_thread._poster()

    def counting(function):
        posts.append(function)
        post(function)

    def gone(_):
        raise RuntimeError("the event loop is closed")

    async with at_once(journal) as tasks:
        monkeypatch.setattr(journal_thread, "_poster", lambda: gone)
        journal.nudge("nobody")  # of an event loop that is no longer there
        monkeypatch.setattr(journal_thread, "_poster", lambda: counting)
        for number in range(20):
            tasks.start_soon(wrote, journal, f"session-{number}")

    assert len(posts) == 1
    assert len(await journal.live()) == 20
    await journal.release()


# Private


async def test_nobody_else_can_read_the_files(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    assert await journal.acquire()

    names = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert set(names) == {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db-lock"}
    assert set(names.values()) == {0o600}
    await journal.release()


async def test_a_file_that_others_could_read_is_closed_to_them(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    await journal.release()
    # As one that was killed has left them.
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    for each in files:
        with each.open("ab") as file:
            file.write(b"" if each == path else b"broken off")
        each.chmod(0o644)

    again = SqliteJournal(path)
    await wrote(again, "two")

    assert [stat.S_IMODE(each.stat().st_mode) for each in files] == [0o600] * 3
    await again.release()


async def test_of_a_finished_session_only_hash_and_times_are_left(path):
    journal = SqliteJournal(path)
    await journal.watched([state_of("secret-token", reference="user:4711")], leave_notes=False)
    delivery = Delivery(id="d" * 32, outcome=settled("secret-token"))
    assert await journal.known([delivery], at=50.0) == [True]
    await journal.refused(delivery.id, attempts=1, error="LookupError")
    await journal.finished({delivery.id: "0123456789ab"}, at=60.0)

    (row,) = await journal._read(
        lambda connection: connection.execute("SELECT * FROM session").fetchall()
    )
    assert {value for value in row if isinstance(value, str)} == {"0123456789ab", "terminal"}
    assert await journal.live() == []
    await journal.release()
    # In the file, and not only in the table.
    assert b"secret-token" not in everything_in(path)
    assert b"user:4711" not in everything_in(path)


async def test_what_is_finished_does_not_stay_in_the_log_of_a_poller_that_goes_on(path):
    journal = SqliteJournal(path)
    assert await journal.acquire()
    await journal.watched([state_of("secret-token", reference="user:4711")], leave_notes=False)
    await journal.known([Delivery(id="d" * 32, outcome=settled("secret-token"))], at=50.0)
    await journal.finished({"d" * 32: "0123456789ab"}, at=60.0)
    assert b"secret-token" in everything_in(path)

    with anyio.fail_after(5):
        while b"secret-token" in everything_in(path) or b"user:4711" in everything_in(path):
            await anyio.sleep(0.05)

    assert b"0123456789ab" in everything_in(path)
    # And whoever is in the way is waited for again.
    assert await journal._read(
        lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()
    ) == (5000,)
    await journal.release()


async def test_a_log_that_somebody_reads_is_emptied_later(path):
    journal = SqliteJournal(path)
    assert await journal.acquire()
    await wrote(journal, "first")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM session").fetchall()
    await wrote(journal, "second")
    log = path.with_name("journal.db-wal")

    await anyio.sleep(1.2)
    assert log.stat().st_size > 0
    reader.close()
    await wrote(journal, "third")
    with anyio.fail_after(5):
        while log.stat().st_size:
            await anyio.sleep(0.05)

    assert len(await journal.live()) == 3
    # After a look there is nothing to empty.
    await anyio.sleep(1.1)
    assert log.stat().st_size == 0
    await journal.release()


async def test_a_log_that_somebody_reads_is_emptied_though_nothing_else_is_written(path):
    journal = SqliteJournal(path)
    assert await journal.acquire()
    await wrote(journal, "first")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM session").fetchall()
    await wrote(journal, "second")
    log = path.with_name("journal.db-wal")

    await anyio.sleep(1.5)
    assert log.stat().st_size > 0
    reader.close()
    with anyio.fail_after(5):
        while log.stat().st_size:
            await anyio.sleep(0.05)
    await journal.release()


async def test_a_failure_that_nobody_expected_is_told_and_holds_up_nothing(path, monkeypatch):
    journal = SqliteJournal(path)
    with monkeypatch.context() as patch:
        patch.setattr(journal_thread, "opened", dict[object, object]().pop)
        with anyio.fail_after(5), pytest.raises(JournalError, match="KeyError") as raised:
            await journal.live()
    assert raised.value.reason == "sqlite"
    await wrote(journal, "one")
    assert await journal.watching(["one"]) == {"one"}
    await journal.release()


async def test_nothing_of_a_person_is_in_any_file_at_any_time(path):
    journal = SqliteJournal(path)
    unknown = SessionStatus(f"decided by {PERSON}")
    failed = ServerError("down", status_code=500)
    await wrote(journal, "one", "two", "three")
    await journal.seen([(state_of("one", status=unknown), 5.0)])
    outcomes = [
        settled("one"),
        DeadlinePassed(token="two", status=unknown, last_error=failed),
    ]
    deliveries = [Delivery(id=each.token * 10, outcome=each) for each in outcomes]
    await journal.known(deliveries, at=50.0)

    assert PERSON.encode() not in everything_in(path)
    statuses = {entry.state.token: entry.state.status for entry in await journal.live()}
    assert statuses == {"one": SessionStatus.APPROVED, "two": None, "three": None}
    await journal.release()
    assert PERSON.encode() not in everything_in(path)


async def test_what_was_finished_long_ago_is_cleared_out(path):
    journal = SqliteJournal(path)
    await wrote(journal, "old", "new")
    ago = {"old": 8 * 86400, "new": 86400}
    for token, seconds in ago.items():
        delivery = Delivery(id=token, outcome=settled(token))
        await journal.known([delivery], at=1.0)
        await journal.finished({token: f"hash-of-{token}"}, at=time.time() - seconds)

    assert await journal.acquire()

    rows = await journal._read(
        lambda connection: connection.execute("SELECT token_hash FROM session").fetchall()
    )
    assert rows == [("hash-of-new",)]
    await journal.release()


# Held by one


async def test_one_at_a_time_holds_the_file(path):
    one, other = SqliteJournal(path), SqliteJournal(path)

    assert await one.acquire()
    assert not await one.acquire()
    assert not await other.acquire()
    assert is_locked(path.with_name("journal.db-lock"))
    await one.release()
    assert not is_locked(path.with_name("journal.db-lock"))
    assert await other.acquire()
    await other.release()


FORKING = """
import os, sys
from pathlib import Path
from identomat_async._polling._journal._lock import FileLock

lock = FileLock(Path(sys.argv[1]))
assert lock.acquire()
ready, go_on = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(ready[1], b"x")
    os.read(go_on[0], 1)
    os._exit(0)
os.read(ready[0], 1)
lock.release()
taken = FileLock(Path(sys.argv[1])).acquire()
os.write(go_on[1], b"x")
os.wait()
sys.exit(0 if taken else "the child has kept it")
"""


def test_a_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    command = [sys.executable, "-c", FORKING, str(tmp_path / "lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - our own code

    assert (done.returncode, done.stderr) == (0, "")


async def test_a_child_lets_go_of_the_locks_of_its_parent(path):
    first, second = SqliteJournal(path), SqliteJournal(path)
    assert await first.acquire()

    _let_go_in_child()

    assert await second.acquire()
    await first.release()
    await second.release()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("None", "this system has no file locks"),
        ("types.SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=no_locks)", "No locks available"),
    ],
)
def test_without_file_locks_there_is_no_journal(tmp_path, module, said):
    code = f"""
import errno, pathlib, sys, types
from identomat_async import JournalError
from identomat_async._polling._journal._lock import FileLock

def no_locks(*_):
    raise OSError(errno.ENOLCK, "none")

sys.modules["fcntl"] = {module}
try:
    FileLock(pathlib.Path({str(tmp_path / "lock")!r})).acquire()
except JournalError as error:
    print(error.reason, error)
"""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("locks ")
    assert said in done.stdout


async def test_nobody_is_told_of_a_nudge_for_what_is_not_there(path):
    journal = SqliteJournal(path)
    assert await journal.notes() == ()
    journal.nudge("nobody")

    assert await journal.notes() == ()
    await journal.release()
    await journal.release()


async def test_what_comes_while_the_file_is_closed_is_done(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    thread, job = journal._thread, _Job(live, kind="read")

    class Closing:
        """A connection during whose end there is more to do."""

        def close(self) -> None:
            connection.close()
            thread._put(job)

    connection, thread._connection = thread._connection, Closing()
    with anyio.fail_after(10):
        (entry,) = await job.outcome()

    assert entry.state.token == "one"
    await journal.release()


async def test_one_at_a_time_holds_it_by_whatever_name_it_goes(path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    first, second = SqliteJournal(path), SqliteJournal(link)

    assert await first.acquire()
    assert not await second.acquire()

    await first.release()
    assert await second.acquire()
    await second.release()


def test_a_lock_that_cannot_be_made_says_so(tmp_path):
    with pytest.raises(JournalError, match="cannot be locked: Is a directory"):
        FileLock(tmp_path).acquire()
    assert not is_locked(tmp_path / "nothing")


async def test_a_child_process_is_told_to_make_its_own(path):
    journal = SqliteJournal(path)
    journal._thread._pid = -1

    with pytest.raises(ConfigurationError, match="make one in each"):
        await journal.live()


# Trouble


async def raises(path: Path, reason: str) -> str:
    journal = SqliteJournal(path)
    with pytest.raises(JournalError) as caught:
        await journal.acquire()
    assert caught.value.reason == reason
    assert caught.value.__cause__ is caught.value.__context__ is None
    await journal.release()
    return str(caught.value)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    before = path.read_bytes()

    assert "damaged" in await raises(path, "corrupt")
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    assert "not a journal's" in await raises(path, "foreign")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


async def test_a_journal_of_a_newer_library_is_refused(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    await journal.release()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert "install a newer one" in await raises(path, "newer")


async def test_a_damaged_journal_is_refused(path):
    journal = SqliteJournal(path)
    await wrote(journal, *(f"session-{number}" for number in range(500)))
    await journal.release()
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(content)

    assert "damaged" in await raises(path, "corrupt")


async def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert "does not exist" in await raises(tmp_path / "nowhere" / "journal.db", "open")


@pytest.mark.parametrize("kind", ["folder", "socket"])
async def test_what_is_no_file_is_refused_and_left_alone(path, kind):
    if kind == "folder":
        path.mkdir(mode=0o755)
    else:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(path))
    before = path.stat().st_mode if kind == "folder" else None

    await raises(path, "open")

    assert before in (None, path.stat().st_mode)


async def test_a_link_to_itself_is_refused(path):
    path.symlink_to(path)

    assert "symbolic links" in await raises(path, "open")


async def test_a_file_that_cannot_be_made_says_why(tmp_path):
    path = tmp_path / ("x" * 300)

    assert "File name too long" in await raises(path, "read-only")


async def test_a_file_that_can_only_be_read_is_a_clear_error_and_changes_nothing(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    await journal.release()

    # As root one may write to any file, so it is the connection that only reads.
    only_read = SqliteJournal(path)
    await only_read.live()
    await only_read._read(lambda connection: connection.execute("PRAGMA query_only = 1"))
    with pytest.raises(JournalError, match="can only be read") as caught:
        await wrote(only_read, "two")
    assert caught.value.reason == "read-only"
    # What failed is opened afresh.
    assert await only_read.watching(["one", "two"]) == {"one"}
    await only_read.release()


async def test_a_full_disk_is_a_clear_error_and_loses_nothing(path):
    journal = SqliteJournal(path)
    await wrote(journal, "one")
    await journal._read(lambda connection: connection.execute("PRAGMA max_page_count = 1"))

    with pytest.raises(JournalError, match="the disk is full") as caught:
        await wrote(journal, *(f"session-{number}" for number in range(1000)))
    assert (caught.value.reason, caught.value.retryable) == ("full", True)
    await wrote(journal, "two")
    assert [entry.state.token for entry in await journal.live()] == ["one", "two"]
    await journal.release()


def test_what_sqlite_says_otherwise_is_named_by_its_code(path):
    error = journal_error(sqlite3.OperationalError("no such table: person"), path)

    assert "SQLite failed with code 1" in str(error)
    assert "person" not in str(error)


async def test_a_nudge_that_cannot_be_written_is_logged(path, caplog):
    caplog.set_level(logging.WARNING, "identomat_async")
    journal = SqliteJournal(path.parent / "nowhere" / "journal.db")

    journal.nudge("one")
    with anyio.fail_after(10):
        while "the journal was not written" not in caplog.text:
            await anyio.sleep(0.01)


async def test_a_lock_is_not_kept_if_the_journal_cannot_be_written(path):
    class Full(SqliteJournal):
        async def _write(self, work):
            raise JournalError("full")

    journal = Full(path)
    with pytest.raises(JournalError):
        await journal.acquire()
    other = SqliteJournal(path)
    assert await other.acquire()
    await other.release()
    await journal.release()


MOUNTS = """\
22 27 0:21 / /proc rw - proc proc rw
27 0 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:40 / /srv/shared rw - nfs4 host:/export rw
29 28 0:41 / /srv/shared/local rw - tmpfs tmpfs rw
30 27 0:42 / /srv/with\\040space rw - cifs //host/share rw
31 27 0:43 / /over rw - ext4 /dev/vdb rw
32 31 0:44 / /over rw - nfs host:/over rw
33 27 0:45 / /srv/données rw - nfs4 host:/données rw
34 27 0:46 / /srv/bucket rw - fuse.gcsfuse bucket rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv/shared/x", "nfs4"),
        ("/srv/sharedness", "ext4"),
        ("/srv/shared/local/x", "tmpfs"),
        ("/srv/with space", "cifs"),
        ("/over", "nfs"),
        ("/srv/données/x", "nfs4"),
        ("/srv/bucket", "fuse.gcsfuse"),
    ],
)
def test_the_file_system_of_a_folder_is_the_nearest_mount(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind
    assert file_system_of(Path(path), "") == ""


def test_a_mount_whose_name_is_no_text_disturbs_nobody(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_bytes(MOUNTS.encode() + b"35 27 0:47 / /srv/\xff\xfe rw - nfs4 host:/x rw\n")
    connection = opened(tmp_path / "journal.db", mounts=mounts)
    connection.close()


async def test_what_others_left_is_seen_after_a_failure(path, monkeypatch):
    journal, other = SqliteJournal(path), SqliteJournal(path)
    assert await journal.acquire()
    await wrote(journal, "one")
    await other.discard("one", leave_notes=True)
    os.utime(path.with_name("journal.db-wal"), (1.0, 1.0))  # written long ago
    take, failures = journal_sql.take_notes, [1]

    def failing(connection, taken):
        if failures.pop() if failures else False:
            raise JournalError("busy")
        return take(connection, taken)

    monkeypatch.setattr(journal_sql, "take_notes", failing)
    with pytest.raises(JournalError):
        await journal.notes()
    assert [note.token for note in await journal.notes()] == ["one"]
    await journal.release()
    await other.release()


async def test_what_is_finished_is_cleared_out_while_it_runs(path):
    journal = SqliteJournal(path)
    assert await journal.acquire()
    await wrote(journal, "old", "new")
    await journal.known([Delivery(id=name, outcome=settled(name)) for name in ("old", "new")], at=1)
    for name, at in (("old", 1.0), ("new", time.time())):
        await journal.finished({name: f"hash-of-{name}"}, at=at)

    def kept(connection):
        return connection.execute("SELECT token_hash FROM session").fetchall()

    assert await journal._read(kept) == [("hash-of-new",)]
    await journal.release()


@pytest.mark.parametrize("kind", ["nfs4", "fuse.ceph-fuse", "virtiofs"])
def test_a_network_file_system_is_refused(tmp_path, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 0 0:1 / {tmp_path} rw - {kind} host:/export rw\n")

    with pytest.raises(JournalError, match=rf"network file system \({kind}\)") as caught:
        opened(tmp_path / "journal.db", mounts=mounts)
    assert caught.value.reason == "network"
    opened(tmp_path / "journal.db", mounts=tmp_path / "nothing").close()


def test_a_link_to_a_network_file_system_is_refused(tmp_path):
    far, mounts = tmp_path / "far", tmp_path / "mounts"
    far.mkdir()
    mounts.write_text(f"1 0 0:1 / {far} rw - cifs //host/share rw\n")
    (tmp_path / "journal.db").symlink_to(far / "journal.db")

    with pytest.raises(JournalError, match="network file system"):
        opened(tmp_path / "journal.db", mounts=mounts)
    assert not list(far.iterdir())


# The poller on it


async def test_a_poller_hands_over_everything_once_from_a_file(path, source):
    names = [f"session-{number}" for number in range(40)]
    for name in names:
        source.decides(name, "approved", after=0)
    taken: list[Delivery] = []
    journal = SqliteJournal(path)
    poller = ResultPoller(source, journal=journal, rate=None)

    async def take(delivery: Delivery) -> None:
        taken.append(delivery)

    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, take)
        await poller.watch_many(names)
        for name in names:
            assert poller.nudge(name)
        with anyio.fail_after(20):
            while len(poller):
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()

    assert sorted(delivery.token for delivery in taken) == sorted(names)
    assert await journal.live() == []
    await journal.release()


async def test_a_stand_by_in_the_same_process_takes_over_from_a_file(path, source):
    source.says("one", "in_progress")
    pollers = [ResultPoller(source, journal=SqliteJournal(path)) for _ in range(2)]
    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as tasks:
            await tasks.start(pollers[0].run, print)
            await outer.start(pollers[1].run, print)
            assert [poller.stats().role for poller in pollers] == ["active", "stand_by"]
            await pollers[1].watch("one")
            with anyio.fail_after(0.25):
                while "one" not in pollers[0]:
                    await anyio.sleep(0.01)
            assert pollers[1].nudge("one")
            with anyio.fail_after(0.25):
                while not source.looks:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(1):
            while pollers[1].stats().role != "active" or "one" not in pollers[1]:
                await anyio.sleep(0.01)
        outer.cancel_scope.cancel()


def test_reprs_say_where_it_is_and_nothing_else(path):
    assert repr(SqliteJournal(path)) == f"<SqliteJournal {path}>"
    assert repr(MemoryJournal()) == "<MemoryJournal>"


@pytest.mark.parametrize("number", range(len(MIGRATIONS) + 1))
def test_every_older_version_is_brought_up_to_date(path, number):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("".join(MIGRATIONS[:number]))
    if number:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {number}")
    connection.close()

    for _ in range(2):
        again = opened(path)
        assert again.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        again.close()


async def test_what_was_never_opened_can_be_released(path):
    await SqliteJournal(path).release()

    assert not path.exists()
