"""The journal in a file."""

import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from identomat_async._polling import _journal_sql as sql
from identomat_async._polling._journal_lock import FileLock
from identomat_async._polling._journal_tables import TableJournal
from identomat_async._polling._journal_thread import JournalThread

T = TypeVar("T")


class SqliteJournal(TableJournal):
    """
    A journal in a file on a local disk, which survives a crash of process and machine.

    What is written has reached the disk when the call returns; what many tasks write at
    the same time shares the wait for it. One thread does all of that. Several processes
    may use the same file: one polls, and the others stand by. The file can be read by its
    owner only, and holds tokens, references, times and known statuses, and nothing of a
    person; of a session that was handed over, only the hash of its token and times are
    left, for a week.

    Beside it lie SQLite's two files, ``-wal`` and ``-shm``, and ``-lock``; leave them alone.

    Args:
        path: The file; it is made if it is not there, its folder is not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._lock = FileLock(lock_path(self.path))
        self._thread = JournalThread(self.path)

    def __repr__(self) -> str:
        return f"<SqliteJournal {self.path}>"

    async def acquire(self) -> bool:
        """Hold the journal; False if another poller holds it, in this process or another."""
        # The file first, so that what is wrong with it is said by whoever opens it.
        await self._read(sql.has_notes)
        if not self._lock.acquire():
            return False
        try:
            await self._write(partial(sql.hold, pid=os.getpid(), at=time.time()))
        except BaseException:
            self._lock.release()
            raise
        return True

    async def release(self) -> None:
        """Hold it no more, and close the file."""
        try:
            await self._thread.close()
        finally:
            self._lock.release()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._thread.write(work)

    def _post(self, work: Callable[[sqlite3.Connection], object]) -> None:
        self._thread.post(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._thread.read(work)


def lock_path(path: Path) -> Path:
    """Return the file whose lock says who holds the journal at *path*."""
    return path.with_name(path.name + "-lock")
