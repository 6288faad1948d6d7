"""A poller's side of its journal: what it writes there, and what it takes up from there."""

import logging
import uuid
from collections.abc import Generator, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

import anyio
import attrs
from anyio.lowlevel import checkpoint

from identomat_async._polling._agenda import TICK
from identomat_async._polling._desk import Desk
from identomat_async._polling._elsewhere import Elsewhere
from identomat_async._polling._engine import Engine
from identomat_async._polling._hub import known
from identomat_async._polling._journal._facts import Journal, JournalEntry
from identomat_async._polling._many import check_writable
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import Delivery, Outcome
from identomat_async._polling._purge import Purger, by_acceptance, leave_to
from identomat_async._polling._redelivery import (
    is_reversed,
    outcome_without_document,
    read_again,
    redelivery,
)
from identomat_async._polling._scribe import Scribe
from identomat_async._polling._state import PollState
from identomat_async._polling._tasks import task_group
from identomat_async._polling._watch import Watch, ends
from identomat_async.errors import JournalError
from identomat_async.events import ResultReversed, Role, RoleChanged

# How often is looked for what other processes have left, and for the death of the one
# that polls.
_TICK = 0.1
# After a restart everybody is looked at within so many seconds, if the rate allows it.
_RESUMED_WITHIN = 1.5
# So many are taken up before other tasks get a turn.
_BATCH = 500

_logger = logging.getLogger("identomat_async")


class Ledger:
    """
    Keeps a poller and its journal in step.

    *role* says whether this poller polls what is in the journal (``"active"``), waits for
    another one to end (``"stand_by"``), or has nobody who runs it (``"idle"``).
    """

    def __init__(
        self,
        journal: Journal,
        *,
        engine: Engine,
        desk: Desk,
        outbox: Outbox,
        purger: Purger | None,
    ) -> None:
        self.role: Role = "idle"
        self.journal = journal
        self._purger = purger
        self.scribe: Scribe = Scribe(
            journal=journal,
            outbox=outbox,
            hub=engine.learner.hub,
            token_hash=engine.source.token_hash,
            now=engine.now,
        )
        self._engine = engine
        self._desk = desk
        self._outbox = outbox
        self._hub = engine.learner.hub
        self._elsewhere = Elsewhere(journal, engine)
        # What is read again to be delivered again, by token; and what is to be done next
        # for a session of which that was delivered.
        self._again: dict[str, JournalEntry] = {}
        self._next: set[str] = set()
        self._nudged: list[str] = []
        # The deliveries that are known here.
        self._ours: set[str] = set()
        self._holds = False
        engine.roster.in_review = self._reviewed

    def has(self, token: str) -> bool:
        """Tell whether a session is written down here and not in the desk's hands."""
        return token in self.scribe.pending or token in self._elsewhere.tokens

    def __len__(self) -> int:
        return len(self.scribe.pending) + len(self._elsewhere.tokens)

    # What the application asks for

    async def watch(self, watches: Sequence[str | Watch]) -> None:
        """
        Watch sessions; return when that is durable.

        Raises:
            ConfigurationError: One cannot work; none is watched.
            JournalError: They cannot be written down; none is watched.
        """
        states = self._states(watches)
        if self.role == "active":
            with self._looking_again(states):
                await self._watch_here(states)
        else:
            await self.journal.watched(states, leave_notes=True)
            await self._pass_on(states)

    async def reconcile(self, watches: Sequence[str | Watch]) -> int:
        """Watch those that the journal does not have; return how many these are."""
        states = self._states(watches)
        is_active = self.role == "active"
        with self._looking_again(states):
            added = await self.journal.reconcile(states, leave_notes=not is_active)
        new = [state for state, is_added in zip(states, added, strict=True) if is_added]
        if is_active:
            await self._admit(new)
        else:
            await self._pass_on(new)
        return len(new)

    async def discard(self, token: str) -> bool:
        """Watch a session no more, and forget its outcome; False if there was nothing."""
        was_there = await self.journal.discard(token, leave_notes=self.role != "active")
        return self._forget(token) or was_there

    def nudge(self, token: str) -> bool:
        """Have a session looked at now, here or by the one that polls."""
        if self.role == "active":
            return self._desk.nudge(token) or token in self._again
        self.journal.nudge(token)
        return True

    async def left_to_another(self, tokens: Sequence[str]) -> AbstractSet[str]:
        """Return those of *tokens* that another process polls, so that this one need not."""
        if self.role != "stand_by":
            return frozenset()
        return await self._elsewhere.left(tokens)

    # What the poller tells

    def came(self, outcome: Outcome) -> bool:
        """Write down what a watch has come to, and have it handed over; True if that is again."""
        entry = self._again.pop(outcome.token, None)
        if entry is None:
            delivery = Delivery(id=uuid.uuid4().hex, outcome=outcome)
        else:
            delivery = redelivery(entry, outcome)
            self._next.add(outcome.token)
            self._mind_reversal(entry, outcome)
        self._ours.add(delivery.id)
        self.scribe.add(delivery)
        return delivery.redelivered

    async def accepted(self, delivery: Delivery) -> None:
        """Return when it is durable that a delivery was accepted."""
        await self.scribe.accepted(delivery)
        self._ours.discard(delivery.id)

    async def deleting(self, delivery: Delivery) -> None:
        """Return when it is durable that a delivery was accepted, its session not deleted."""
        await self.scribe.deleting(delivery)
        self._ours.discard(delivery.id)

    async def finished(self, name: str, token: str) -> None:
        """Return when it is durable that all is done about the delivery *name*."""
        await self.scribe.finished(name, token)

    def refused(self, delivery: Delivery, error: str) -> None:
        """Note that the handler raised *error*."""
        self.scribe.refused(delivery, error)

    # Running

    async def open(self) -> None:
        """
        Begin to poll what is in the journal, or to stand by.

        Raises:
            JournalError: The journal cannot be used.
        """
        if not await self._took_over():
            self._be("stand_by")

    async def run(self) -> None:
        """Keep in step, until cancelled."""
        async with task_group() as tasks:
            tasks.start_soon(self.scribe.run)
            while True:
                await anyio.sleep(_until_tick(self._engine.now()))
                try:
                    await self._keep_up()
                except JournalError as error:
                    self.scribe.failed("to keep up", error)
                else:
                    self.scribe.worked("to keep up")

    async def close(self) -> None:
        """Leave the journal to others; what is not finished stays there."""
        self._be("idle")
        self._desk.clear()
        self._outbox.clear()
        self.scribe.clear()
        for kept in (self._again, self._next, self._ours, self._nudged, self._elsewhere):
            kept.clear()
        if self._purger is not None:
            self._purger.clear()
        if self._holds:
            # Somebody else may hold it by the same object.
            self._holds = False
            with anyio.CancelScope(shield=True):
                await self.journal.release()

    async def _keep_up(self) -> None:
        if self.role != "stand_by":
            await self._catch_up()
        elif not await self._took_over():
            await self._elsewhere.keep_up()

    async def _took_over(self) -> bool:
        if not await self.journal.acquire():
            return False
        try:
            entries = await self.journal.live()
        except BaseException:
            # Or nobody could hold it, and nobody would poll.
            with anyio.CancelScope(shield=True):
                await self.journal.release()
            raise
        self._holds = True
        accepted, rest = by_acceptance(entries)
        await self._take_over(rest)
        # Only now: who is watched again is not deleted, and is known.
        leave_to(self._purger, accepted)
        return True

    async def _take_over(self, entries: Sequence[JournalEntry]) -> None:
        self._be("active")
        self._elsewhere.take_over()
        rate = self._engine.gates.rate
        at_rate = 0.0 if rate is None else len(entries) / rate
        self._desk.expect(len(entries))
        await self._take_up(entries, within=max(_RESUMED_WITHIN, at_rate))
        self._desk.expect(0)
        if entries:
            _logger.info("resuming %d sessions from the journal", len(entries))

    async def _catch_up(self) -> None:
        for note in await self.journal.notes():
            if note.kind == "nudge":
                self._nudged.append(note.token)
                continue
            if note.kind == "discard":
                self._forget(note.token)
            # Here it may have been watched again since: the journal knows.
            self._next.add(note.token)
        if following := self._next - self.scribe.pending.keys():
            self._next -= following
            try:
                entries = await self.journal.live(list(following))
            except JournalError:
                self._next |= following
                raise
            await self._take_up(entries, within=None)
        # Only now: who was watched just before is nudged as well, and who has to wait later.
        for token in self._nudged:
            self._desk.nudge(token)
        self._nudged = [token for token in self._nudged if token in self._next]

    async def _take_up(self, entries: Sequence[JournalEntry], *, within: float | None) -> None:
        for number, entry in enumerate(entries):
            if self._comes_again(entry.state.token):
                continue  # one after the other
            if entry.delivery is None:
                self._desk.admit(entry.state, resumed=True, within=within)
            elif entry.delivery not in self._ours and not entry.accepted:
                self._take_up_again(entry)
            if number % _BATCH == _BATCH - 1:
                await checkpoint()

    def _take_up_again(self, entry: JournalEntry) -> None:
        state = entry.state
        self._again[state.token] = entry
        self._ours.add(entry.delivery or "")
        outcome = outcome_without_document(entry)
        if outcome is not None:
            self.came(outcome)
        else:
            grace = self._engine.now() + self._engine.learner.policy.grace
            state = read_again(entry, until=grace)
            self._desk.admit(state, resumed=True, within=_RESUMED_WITHIN)

    async def _pass_on(self, states: Sequence[PollState]) -> None:
        if self.role == "active":
            # It has taken over in the meantime.
            await self._admit(states)
            return
        self._elsewhere.add(state.token for state in states)
        if self.role == "idle":
            await self._elsewhere.forget_ended()

    async def _after_outcome(self, state: PollState) -> PollState | None:
        # An outcome that nobody has taken is still the outcome of the one watch; unless
        # the new one waits for more, and then there will be a later outcome instead.
        held = self._outbox.waiting(state.token)
        if held is None:
            return state
        status, reference = held.outcome.status, held.outcome.reference
        if status is None or not ends(status, state.until):
            self._outbox.withdraw(state.token)
            self._ours.discard(held.id)
            await self.journal.reopen(held.id)
            return state if state.reference else attrs.evolve(state, reference=reference)
        if state.reference is not None:
            await self.journal.refer(held.id, state.reference)
            if self._outbox.waiting(state.token) is held:
                self._outbox.refer(state.token, state.reference)
        return None

    async def _watch_here(self, states: Sequence[PollState]) -> None:
        later = [await self._after_outcome(state) for state in states]
        new = [state for state in later if state is not None]
        if new:
            await self.journal.watched(new, leave_notes=False)
            await self._admit(new)

    @contextmanager
    def _looking_again(self, states: Iterable[PollState]) -> Generator[None]:
        # Whoever is cut off while it is written down does not know whether it was.
        try:
            yield
        except BaseException:
            self._next.update(state.token for state in states)
            raise

    async def _admit(self, states: Sequence[PollState]) -> None:
        if self.role != "active":
            # It has ended in the meantime: whoever polls now has to be told.
            await self.journal.watched(states, leave_notes=True)
            return
        for state in states:
            if self._comes_again(state.token):
                self._next.add(state.token)
            else:
                self._desk.admit(state)

    def _comes_again(self, token: str) -> bool:
        # An outcome of before, which must not be replaced by that of a later watch.
        pending = self.scribe.pending.get(token)
        return token in self._again or (pending is not None and pending.redelivered)

    def _states(self, watches: Sequence[str | Watch]) -> list[PollState]:
        now = self._engine.clock.stamp()
        states = [self._desk.terms.state_of(watch, now) for watch in watches]
        for state in states:
            check_writable(state.reference)
        return states

    def _forget(self, token: str) -> bool:
        held = self._outbox.waiting(token)
        if held is not None:
            self._ours.discard(held.id)
        was_known = token in self._again or self.has(token)
        self._elsewhere.discard(token)
        self._again.pop(token, None)
        self.scribe.forget(token)
        return self._desk.discard(token) or was_known

    def _reviewed(self, state: PollState) -> None:
        if self.role == "active":
            self.scribe.reviewed(state)

    def _mind_reversal(self, entry: JournalEntry, outcome: Outcome) -> None:
        if not is_reversed(entry, outcome):
            return
        name = self._engine.source.token_hash(outcome.token)
        _logger.warning("session %s was approved, and is no longer", name)
        self._hub.tell(
            ResultReversed(
                token_hash=name, outcome=type(outcome).__name__, status=known(outcome.status)
            )
        )

    def _be(self, role: Role) -> None:
        if role != self.role:
            self.role = role
            self._hub.tell(RoleChanged(role=role))
            if role == "stand_by":
                _logger.info("another process polls; this one stands by")


def _until_tick(now: float) -> float:
    # When looks may come up, too: to wake the event loop another time costs more than all that
    # is then to be done here.
    return (now + _TICK) // TICK * TICK - now
