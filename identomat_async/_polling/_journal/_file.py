"""How a journal's file is opened, and what its failures are called."""

import errno
import os
import re
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from identomat_async._polling._journal._sql import migrate
from identomat_async.errors import JournalError

# Where file locks or shared memory do not reach everybody who has the file open.
_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "virtiofs",
    }
)
_MOUNTS = Path("/proc/self/mountinfo")
# For so many seconds others are waited for.
BUSY = 5.0

_REASONS = {
    sqlite3.SQLITE_BUSY: ("busy", "others have kept it locked for too long"),
    sqlite3.SQLITE_LOCKED: ("busy", "others have kept it locked for too long"),
    sqlite3.SQLITE_FULL: ("full", "the disk is full"),
    sqlite3.SQLITE_IOERR: ("io", "the disk cannot be read or written, or is full"),
    sqlite3.SQLITE_READONLY: ("read-only", "it can only be read"),
    sqlite3.SQLITE_PERM: ("read-only", "it may not be opened"),
    sqlite3.SQLITE_CANTOPEN: ("open", "it cannot be opened"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "it is damaged"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "it is damaged, or no database"),
}
_PASSING = frozenset({"busy", "full", "io"})


def opened(path: Path, *, mounts: Path = _MOUNTS) -> sqlite3.Connection:
    """
    Open a journal, and make it if it is not there.

    Raises:
        JournalError: It cannot be, or it is on a file system that cannot bear it.
    """
    _check_file_system(path, mounts)
    _make(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY, check_same_thread=False
        )
        prepare(connection)
    except sqlite3.Error as error:
        failure = journal_error(error, path)
    except JournalError as error:
        failure = error
    else:
        return connection
    if connection is not None:
        connection.close()
    raise failure


def prepare(connection: sqlite3.Connection) -> None:
    """
    Have everything that is committed be durable, and nothing that is deleted remain.

    Raises:
        JournalError: It is another program's database, or a newer one's.
    """
    # A watch changes two pages, which have to reach the disk: with a quarter of SQLite's own size
    # a commit takes a fifth less. It counts in a new file only, whose log may be as long as usual.
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    migrate(connection)


def journal_error(error: sqlite3.Error, path: Path) -> JournalError:
    """Return what *error* is to whoever uses a journal; without what was to be written."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    reason, said = _REASONS.get(code, ("sqlite", f"SQLite failed with code {code}"))
    return JournalError(f"the journal {path}: {said}", reason=reason, retryable=reason in _PASSING)


def file_system_of(path: Path, mounts: str) -> str:
    """
    Return the type of the file system that *path* is on, empty if nobody knows.

    Args:
        path: An absolute path.
        mounts: What ``/proc/self/mountinfo`` says.
    """
    best, found = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        # A blank in a name stands there as \\040.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        # Of several at the same place the last is on top.
        if path.is_relative_to(point) and len(point) >= best:
            best, found = len(point), after.split()[0]
    return found


def _check_file_system(path: Path, mounts: Path) -> None:
    if not mounts.exists():
        return  # only Linux has this list
    # As names of files are read, which may be any bytes.
    listed = os.fsdecode(mounts.read_bytes())
    kind = file_system_of(Path(os.path.realpath(path)).parent, listed)
    if kind in _NETWORK:
        raise JournalError(
            f"the journal {path} is on a network file system ({kind}), which does not keep "
            "two machines from writing at once: put it on a local disk",
            reason="network",
        )


def _make(path: Path) -> None:
    # Not opened if it is there: to close it again would lift the locks that SQLite has on
    # it in this process.
    if not path.parent.is_dir():
        raise JournalError(f"the journal's folder {path.parent} does not exist", reason="open")
    failure: OSError | None = None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        _keep_private(path)
    except OSError as error:
        failure = error
    if failure is not None:
        raise JournalError(
            f"the journal {path} cannot be made: {os.strerror(failure.errno or 0)}",
            reason="full" if failure.errno == errno.ENOSPC else "read-only",
        )


def _keep_private(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise JournalError(f"the journal {path} is a folder: name a file", reason="open")
    # SQLite makes the two others like the file, and leaves those that are there as they are.
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        # Somebody else's file, who may have reasons; or none, where nobody has it open.
        with suppress(PermissionError, FileNotFoundError):
            if each.stat().st_mode & 0o077:
                each.chmod(0o600)
