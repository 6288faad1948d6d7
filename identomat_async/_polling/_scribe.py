"""Writes down what watches come to, before anybody is told, and insists on it."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import attrs

from identomat_async._polling._hub import Hub
from identomat_async._polling._journal._facts import Journal
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import Delivery
from identomat_async._polling._state import PollState
from identomat_async.errors import JournalError
from identomat_async.events import JournalFailed

T = TypeVar("T")

# After a failure it is tried again after so many seconds, and then twice as many.
_FIRST_RETRY = 0.5
_LAST_RETRY = 30.0

_logger = logging.getLogger("identomat_async")


@attrs.define(eq=False, repr=False, kw_only=True)
class Scribe:
    """
    Puts deliveries into the outbox once they are written down.

    Much may come up while the disk is busy; it is written together. What cannot be
    written is kept and tried again: nothing is lost, and nobody is told meanwhile.
    *pending* are the deliveries on their way, by token.
    """

    journal: Journal
    outbox: Outbox
    hub: Hub
    token_hash: Callable[[str], str]
    now: Callable[[], float]
    pending: dict[str, Delivery] = attrs.field(factory=dict)
    _reviewed: dict[str, PollState] = attrs.field(factory=dict)
    _refused: dict[str, Delivery] = attrs.field(factory=dict)
    _errors: dict[str, str] = attrs.field(factory=dict)
    _come: anyio.Event = attrs.field(factory=anyio.Event)
    _failing: set[str] = attrs.field(factory=set)

    def add(self, delivery: Delivery) -> None:
        """Write down what a watch has come to, and then put it into the outbox."""
        self.pending[delivery.token] = delivery
        self.outbox.expect(len(self.pending))
        self._come.set()

    def reviewed(self, state: PollState) -> None:
        """Write down since when an operator is deciding."""
        self._reviewed[state.token] = attrs.evolve(state)
        self._come.set()

    def refused(self, delivery: Delivery, error: str) -> None:
        """Write down for the operator that the handler raised *error*."""
        self._refused[delivery.id] = delivery
        self._errors[delivery.id] = error
        self._come.set()

    async def accepted(self, delivery: Delivery) -> None:
        """Return when it is written down that the handler has accepted *delivery*."""
        await self.finished(delivery.id, delivery.token)

    async def finished(self, name: str, token: str) -> None:
        """Return when it is written down that all is done about the delivery *name*."""
        hashes = {name: self.token_hash(token)}
        await self._insist(lambda: self.journal.finished(hashes, at=self.now()))

    async def deleting(self, delivery: Delivery) -> None:
        """Return when it is written down that *delivery* is accepted, its session not deleted."""
        await self._insist(lambda: self.journal.accepted(delivery.id, at=self.now()))

    def forget(self, token: str) -> None:
        """Leave out what has not been written down of a session."""
        self.pending.pop(token, None)
        self.outbox.expect(len(self.pending))
        self.outbox.notify()

    def clear(self) -> None:
        """Leave out everything."""
        for kept in (self.pending, self._reviewed, self._refused, self._errors):
            kept.clear()
        self.outbox.expect(0)

    async def run(self) -> None:
        """Write down what comes up, until cancelled."""
        while True:
            self._come = anyio.Event()
            if not (self.pending or self._reviewed or self._refused):
                await self._come.wait()
            await self._write()

    async def settled(self) -> None:
        """Wait until everything is written down."""
        while self.pending:
            await self.outbox.listen().wait()

    async def _write(self) -> None:
        reviewed, self._reviewed = list(self._reviewed.values()), {}
        if reviewed:
            await self._insist(lambda: self.journal.seen([(state, None) for state in reviewed]))
        deliveries = list(self.pending.values())
        if deliveries:
            stand = await self._insist(lambda: self.journal.known(deliveries, at=self.now()))
            for delivery, stands in zip(deliveries, stand, strict=True):
                await self._written(delivery, stands=stands)
            self.outbox.notify()
        refused, self._refused = list(self._refused.values()), {}
        for delivery in refused:
            await self._note_refusal(delivery, self._errors.pop(delivery.id))

    async def _written(self, delivery: Delivery, *, stands: bool) -> None:
        if self.pending.get(delivery.token) is not delivery:
            return  # discarded, or there is a newer one already
        older = self.outbox.waiting(delivery.token)
        if stands and older is not None:
            # There is one watch of a session, and this is what it has come to.
            await self.accepted(older)
            self.outbox.withdraw(delivery.token)
        del self.pending[delivery.token]
        if stands:
            self.outbox.put(delivery)
        self.outbox.expect(len(self.pending))

    async def _note_refusal(self, delivery: Delivery, error: str) -> None:
        await self._insist(
            lambda: self.journal.refused(delivery.id, attempts=delivery.attempt, error=error)
        )

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        delay = _FIRST_RETRY
        while True:
            try:
                result = await write()
            except JournalError as error:
                self.failed("to write", error)
            else:
                self.worked("to write")
                return result
            await anyio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY)

    def failed(self, what: str, error: JournalError) -> None:
        """Tell, once, that the journal cannot do *what*."""
        if not self._failing:
            _logger.error("%s; it is tried again, and nothing is handed over meanwhile", error)
            self.hub.tell(JournalFailed(reason=error.reason))
        self._failing.add(what)

    def worked(self, what: str) -> None:
        """Note that it can; what else it cannot is told first."""
        if what in self._failing:
            self._failing.discard(what)
            if not self._failing:
                _logger.warning("the journal can be read and written again")
