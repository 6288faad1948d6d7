"""A journal in tables, wherever these are."""

import sqlite3
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from anyio.lowlevel import checkpoint

from identomat_async._polling._journal import _sql as sql
from identomat_async._polling._journal._facts import JournalEntry, Note
from identomat_async._polling._journal._file import prepare
from identomat_async._polling._outcomes import Delivery
from identomat_async._polling._state import PollState

T = TypeVar("T")


class TableJournal(ABC):
    """
    A `Journal` in the tables of a database.

    Subclasses know how a function is called with a connection to it, and who holds it.
    """

    def __init__(self) -> None:
        # What was taken from the table and not returned: whoever is told that it failed, or
        # is cut off, does not know whether it is still there.
        self._taken: dict[tuple[int, Note], None] = {}

    @abstractmethod
    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have *work* done as a whole or not at all, and made durable."""

    @abstractmethod
    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have *work* done, which writes nothing."""

    @abstractmethod
    def _post(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Have *work* done some time soon."""

    async def watched(self, states: Sequence[PollState], *, leave_notes: bool) -> None:
        """Write down that sessions are watched; see `Journal`."""
        await self._write(partial(sql.watched, states=states, leave_notes=leave_notes))

    async def reconcile(self, states: Sequence[PollState], *, leave_notes: bool) -> Sequence[bool]:
        """Do the same for those that are not there; see `Journal`."""
        return await self._write(partial(sql.reconcile, states=states, leave_notes=leave_notes))

    async def seen(self, looks: Sequence[tuple[PollState, float | None]]) -> None:
        """Keep what is known of sessions that are looked at again; see `Journal`."""
        await self._write(partial(sql.seen, looks=looks))

    async def known(self, deliveries: Sequence[Delivery], *, at: float) -> Sequence[bool]:
        """Write down what watches have come to; see `Journal`."""
        return await self._write(partial(sql.known, deliveries=deliveries, at=at))

    async def reopen(self, delivery: str) -> None:
        """Make a watch again of an outcome; see `Journal`."""
        await self._write(partial(sql.reopen, delivery=delivery))

    async def refer(self, delivery: str, reference: str) -> None:
        """Give an outcome another reference; see `Journal`."""
        await self._write(partial(sql.refer, delivery=delivery, reference=reference))

    async def accepted(self, delivery: str, *, at: float) -> None:
        """Write down that a delivery is accepted, its session not deleted; see `Journal`."""
        await self._write(partial(sql.accepted, delivery=delivery, at=at))

    async def finished(self, deliveries: Mapping[str, str], *, at: float) -> None:
        """Write down that all is done about deliveries; see `Journal`."""
        await self._write(partial(sql.finished, deliveries=deliveries, at=at))

    async def refused(self, delivery: str, *, attempts: int, error: str) -> None:
        """Write down that the handler raised; see `Journal`."""
        await self._write(partial(sql.refused, delivery=delivery, attempts=attempts, error=error))

    async def discard(self, token: str, *, leave_notes: bool) -> bool:
        """Forget a session; see `Journal`."""
        return await self._write(partial(sql.discard, token=token, leave_notes=leave_notes))

    def nudge(self, token: str) -> None:
        """Tell whoever holds the journal to look at a session; see `Journal`."""
        self._post(partial(sql.nudge, token=token))

    async def live(self, tokens: Sequence[str] | None = None) -> Sequence[JournalEntry]:
        """Return what is not finished; see `Journal`."""
        return await self._read(partial(sql.live, tokens=tokens))

    async def watching(self, tokens: Sequence[str]) -> set[str]:
        """Return those of *tokens* whose outcome is not known; see `Journal`."""
        return await self._read(partial(sql.watching, tokens=tokens))

    async def notes(self) -> Sequence[Note]:
        """Take the notes that others have left; see `Journal`."""
        if not self._taken and not await self._read(sql.has_notes):
            return ()
        await self._write(partial(sql.take_notes, taken=self._taken))
        taken, self._taken = self._taken, {}
        return [note for _, note in taken]


class MemoryJournal(TableJournal):
    """
    A journal that lasts as long as this object: for tests.

    A poller that is given the journal of another goes on where that one ended, as after a
    restart. Unlike `SqliteJournal` it starts no thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_held = False
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return "<MemoryJournal>"

    async def acquire(self) -> bool:
        """Hold the journal; False if another poller holds it."""
        await checkpoint()
        if self._is_held:
            return False
        self._is_held = True
        return True

    async def release(self) -> None:
        """Hold it no more."""
        self._is_held = False

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result = self._do(work)
        await checkpoint()
        return result

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._write(work)

    def _post(self, work: Callable[[sqlite3.Connection], object]) -> None:
        self._do(work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            # Also where both are garbage at the same time, and no order is certain.
            weakref.finalize(self, self._connection.close)
            prepare(self._connection)
        return work(self._connection)
