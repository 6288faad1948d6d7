"""One thread that does the journal's work, and makes it durable many pieces at a time."""

import asyncio
import copy
import logging
import os
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from anyio.lowlevel import current_token

from identomat_async._polling._journal._file import BUSY, journal_error, opened
from identomat_async._polling._waiters import Signal
from identomat_async.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from trio.lowlevel import TrioToken

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Kind = Literal["read", "write", "close"]

# With nothing to do for so many seconds the thread ends and closes the file; it is opened
# again when there is something.
_LINGER = 1.0
_AT_A_TIME = 1000

_logger = logging.getLogger("identomat_async")


class _Job(Generic[T]):
    """A piece of work, and the task that waits for it."""

    __slots__ = (
        "_is_done",
        "_is_waited_for",
        "_result",
        "_signal",
        "_work",
        "error",
        "kind",
        "post",
    )

    def __init__(self, work: Work[T], *, kind: Kind, is_waited_for: bool = True) -> None:
        self.kind: Kind = kind
        self._is_waited_for = is_waited_for
        self.error: Exception | None = None
        self._work = work
        self._is_done = False
        self._result: T | None = None
        self._signal = Signal()
        self.post = _poster()

    def do(self, connection: sqlite3.Connection) -> bool:
        """Do it, perhaps once more; False if it failed; in the thread."""
        self.error = None
        try:
            self._result = self._work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        return self.error is None

    def wake(self) -> None:
        """Wake whoever waits; in the event loop."""
        self._is_done = True
        self._signal.wake()

    def tell(self) -> None:
        """Log a failure that nobody waits to hear of."""
        if self.error is not None and not self._is_waited_for:
            _logger.warning("the journal was not written: %s", type(self.error).__name__)

    async def outcome(self) -> T:
        """
        Wait until it is done, and return what it came to.

        Raises:
            JournalError: It was not done.
        """
        while not self._is_done:
            await self._signal.listen()
        if self.error is not None:
            raise self.error
        return cast("T", self._result)


class JournalThread:
    """
    Works on a journal's file, one piece after the other.

    What has come up while the disk was busy is committed together. Unless it *stays* the
    thread ends when there is nothing to do.
    """

    def __init__(self, path: Path) -> None:
        self.commits = 0
        self.stays = False
        self._path = path
        self._pid = os.getpid()
        self._jobs: queue.SimpleQueue[_Job[Any]] = queue.SimpleQueue()
        self._change = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_untidy = False

    async def write(self, work: Work[T]) -> T:
        """
        Have *work* done, and return its result once that is durable.

        Raises:
            JournalError: It was not done.
        """
        return await self._do(_Job(work, kind="write"))

    async def read(self, work: Work[T]) -> T:
        """Have *work* done, which writes nothing."""
        return await self._do(_Job(work, kind="read"))

    async def close(self) -> None:
        """Close the file when the work that there is was done; it may be opened again."""
        if self._thread is not None and self._pid == os.getpid():
            await self._do(_Job(_nothing, kind="close"))

    def post(self, work: Work[object]) -> None:
        """Have *work* done without waiting for it, and a failure logged."""
        self._put(_Job(work, kind="write", is_waited_for=False))

    async def _do(self, job: _Job[T]) -> T:
        self._put(job)
        return await job.outcome()

    def _put(self, job: _Job[Any]) -> None:
        if self._pid != os.getpid():
            raise ConfigurationError("this journal was made in another process: make one in each")
        with self._change:
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="identomat-journal", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while jobs := self._take():
            self._do_all(jobs)
            if jobs[-1].kind == "close":
                self._close()
            _end(jobs)

    def _take(self) -> list[_Job[Any]]:
        # As many as there are, up to one that closes; none if it is time to end.
        jobs: list[_Job[Any]] = []
        with suppress(queue.Empty):
            jobs.append(self._next())
            while jobs[-1].kind != "close" and len(jobs) < _AT_A_TIME:
                jobs.append(self._jobs.get_nowait())
        if jobs:
            return jobs
        self._close()
        with self._change:
            if self._jobs.empty():
                self._thread = None
                return []
        return self._take()

    def _next(self) -> _Job[Any]:
        while True:
            with suppress(queue.Empty):
                return self._jobs.get(timeout=_LINGER)
            if not self.stays:
                raise queue.Empty
            self._tidy()
            if not self._is_untidy:
                return self._jobs.get()

    def _tidy(self) -> None:
        # What was overwritten is in the log until that is emptied into the file.
        if self._connection is not None and self._is_untidy:
            self._connection.execute("PRAGMA busy_timeout = 0")
            with suppress(sqlite3.Error):  # whoever writes next is told
                is_busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._is_untidy = bool(is_busy)
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY * 1000:.0f}")

    def _do_all(self, jobs: list[_Job[Any]]) -> None:
        try:
            if self._connection is None:
                self._connection = opened(self._path)
            if all(job.kind == "read" for job in jobs):
                for job in jobs:
                    job.do(self._connection)
            else:
                self._commit(self._connection, jobs)
        except sqlite3.Error as error:
            self._failed(jobs, journal_error(error, self._path))
        except JournalError as error:
            self._failed(jobs, error)
        except OSError as error:
            said = os.strerror(error.errno or 0)
            self._failed(jobs, JournalError(f"the journal {self._path}: {said}", reason="open"))
        except Exception as error:  # noqa: BLE001 - without the thread nobody would be told
            said = type(error).__name__
            self._failed(jobs, JournalError(f"the journal {self._path}: {said}", reason="sqlite"))

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if not all(job.do(connection) for job in jobs):
            connection.execute("ROLLBACK")
            if len(jobs) == 1:
                return
            # Rare, and two more statements for each job are not worth it otherwise.
            connection.execute("BEGIN IMMEDIATE")
            self._do_each(connection, jobs)
        connection.execute("COMMIT")
        self.commits += 1
        self._is_untidy = True

    def _do_each(self, connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            # What one has got wrong is no reason to undo the others.
            connection.execute("SAVEPOINT job")
            if not job.do(connection):
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")

    def _failed(self, jobs: list[_Job[Any]], error: JournalError) -> None:
        # A connection that has failed is not asked again: another one starts afresh.
        self._close()
        for job in jobs:
            if job.kind != "close":
                job.error = copy.copy(error)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._is_untidy = False
        if connection is not None:
            connection.close()


def _end(jobs: Sequence[_Job[Any]]) -> None:
    # An event loop is woken once for all that wait there: each time costs a system call.
    ended = defaultdict[Callable[..., object], list[_Job[Any]]](list)
    for job in jobs:
        ended[job.post].append(job)
    for post, theirs in ended.items():
        with suppress(RuntimeError):  # the event loop is gone, and the tasks with it
            post(partial(_wake, theirs))
    for job in jobs:
        job.tell()


def _wake(jobs: Iterable[_Job[Any]]) -> None:
    for job in jobs:
        job.wake()


def _nothing(_: sqlite3.Connection) -> None:
    return None


def _poster() -> Callable[[Callable[[], object]], object]:
    # Of the event loop in which it is called: runs a function there, from any thread.
    loop = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.call_soon_threadsafe
    return cast("TrioToken", loop).run_sync_soon
