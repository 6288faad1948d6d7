"""The journal in a file."""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from identomat_async._polling._journal import _sql as sql
from identomat_async._polling._journal._facts import Note
from identomat_async._polling._journal._lock import FileLock
from identomat_async._polling._journal._tables import TableJournal
from identomat_async._polling._journal._thread import JournalThread

T = TypeVar("T")

# A file's time is known that exactly, and a clock may be a little off.
_SETTLED = 0.2


class SqliteJournal(TableJournal):
    """
    A journal in a file on a local disk, which survives a crash of process and machine.

    What is written has reached the disk when the call returns; what many tasks write at
    the same time shares the wait for it. One thread does all of that. Several processes
    may use the same file: one polls, and the others stand by. The file can be read by its
    owner only, and holds tokens, references, times and known statuses, and nothing of a
    person; of a session that is finished, only the hash of its token and times are
    left, for a week.

    Beside it lie SQLite's two files, ``-wal`` and ``-shm``, and ``-lock``; leave them alone.

    Args:
        path: The file; it is made if it is not there, its folder is not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        # By whatever name it goes, there is one lock on it.
        self.path: Path = Path(os.path.realpath(path))
        self._lock = FileLock(lock_path(self.path))
        self._thread = JournalThread(self.path)
        self._log = self.path.with_name(self.path.name + "-wal")
        self._looked_at: tuple[int, int] | None = None
        self._is_sound = False

    def __repr__(self) -> str:
        return f"<SqliteJournal {self.path}>"

    async def acquire(self) -> bool:
        """Hold the journal; False if another poller holds it, in this process or another."""
        # The file first, so that what is wrong with it is said by whoever opens it.
        if not self._is_sound:
            await self._read(sql.has_notes)
            self._is_sound = True
        if not self._lock.acquire():
            return False
        self._thread.stays = True
        try:
            await self._write(partial(sql.hold, pid=os.getpid(), at=time.time()))
        except BaseException:
            self._thread.stays = False
            self._lock.release()
            raise
        return True

    async def release(self) -> None:
        """Hold it no more, and close the file."""
        self._thread.stays = self._is_sound = False
        try:
            await self._thread.close()
        finally:
            self._lock.release()

    async def notes(self) -> Sequence[Note]:
        """Take the notes that others have left; nothing is read if nothing was written."""
        written = self._written()
        if written is not None and written == self._looked_at:
            return ()
        notes = await super().notes()
        self._looked_at = written  # only now: if it failed there is still something to see
        return notes

    def _written(self) -> tuple[int, int] | None:
        # What everybody writes goes there first. Asked ten times a second, and the thread
        # would be dear for that. None if it may be written again at the same time.
        try:
            log = self._log.stat()
        except OSError:
            return None
        is_settled = time.time() - log.st_mtime > _SETTLED
        return (log.st_mtime_ns, log.st_size) if is_settled else None

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._thread.write(work)

    def _post(self, work: Callable[[sqlite3.Connection], object]) -> None:
        self._thread.post(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._thread.read(work)


def lock_path(path: Path) -> Path:
    """Return the file whose lock says who holds the journal at *path*."""
    return path.with_name(path.name + "-lock")
