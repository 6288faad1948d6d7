"""One pass over what a journal has due: for cron, and for functions that nobody runs long."""

import logging
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import anyio
import attrs

from identomat_async._budget import RateBudget, budget_of, whole
from identomat_async._clock import Clock
from identomat_async._polling._asking import asked
from identomat_async._polling._courier import Handler, refusal
from identomat_async._polling._gates import Gates
from identomat_async._polling._halt import Halt
from identomat_async._polling._journal._facts import Journal, JournalEntry
from identomat_async._polling._outage import Outage
from identomat_async._polling._outcomes import Delivery, Outcome
from identomat_async._polling._policy import Pending, PollPolicy
from identomat_async._polling._purge import by_acceptance
from identomat_async._polling._redelivery import (
    is_reversed,
    outcome_without_document,
    read_again,
    redelivery,
)
from identomat_async._polling._removal import Remover, remover_of
from identomat_async._polling._source import HasSource, ResultSource
from identomat_async._polling._state import PollState
from identomat_async._polling._step import Answer, poll_step
from identomat_async._polling._tasks import task_group
from identomat_async.errors import IdentomatError

# When so many looks in a row have failed, the service is down; the next pass will see.
_DOWN = 20

_logger = logging.getLogger("identomat_async")


async def sweep(
    client: HasSource,
    journal: Journal,
    on_delivery: Handler,
    *,
    policy: PollPolicy | None = None,
    rate: float | RateBudget | None = 50.0,
    concurrency: int = 8,
) -> int:
    """
    Look once at every session of a journal that is due, and hand over what is settled.

    Call it again and again, from cron for example. What a pass finds out, and when each
    session is due next, is kept in the journal. A delivery that the handler does not
    accept comes again in the next pass, with the same id. What a poller with ``purge=`` has
    left to be deleted at the service is deleted if it is still settled, or tried again in the
    next pass; nothing else is.

    Args:
        client: An `IdentomatClient`.
        journal: What is watched; `ResultPoller.watch` writes it there.
        on_delivery: Takes a `Delivery`: an async function, or a plain one, which is called
            in a worker thread.
        policy: How the watches are conducted.
        rate: The most requests per second, or a `RateBudget` to share; None for no limit.
        concurrency: How many sessions are looked at and handed over at a time.

    Returns:
        How many deliveries were accepted. 0 if a poller or another pass has the journal:
        then this one has nothing to do.

    Raises:
        AuthenticationError: The service refuses the company key.
        SignatureError: Answer after answer is not signed.
        ConfigurationError: An argument cannot work.
        JournalError: The journal cannot be read or written.
        ClientClosedError: The client is closed.
    """
    budget = budget_of(rate, max_in_flight=whole(concurrency, name="concurrency"))
    policy = policy or PollPolicy(retry_wait=client.source.retry_wait)
    return await sweep_at(
        Clock(),
        client.source,
        journal,
        on_delivery,
        policy=policy,
        rate=budget,
        concurrency=concurrency,
        remover=remover_of(client, budget=budget, token_hash=client.source.token_hash),
    )


async def sweep_at(
    clock: Clock,
    source: ResultSource,
    journal: Journal,
    on_delivery: Handler,
    *,
    policy: PollPolicy,
    rate: RateBudget,
    concurrency: int,
    remover: Remover | None = None,
) -> int:
    """Do what `sweep` does, by *clock*; *remover* deletes sessions at the service."""
    source.home.check()
    if not await journal.acquire():
        _logger.info("another process polls what is in the journal; there is nothing to sweep")
        return 0
    try:
        broom = _Broom(
            source=source,
            journal=journal,
            handler=on_delivery,
            policy=policy,
            clock=clock,
            gates=Gates(source=source, budget=rate, outage=Outage(), halt=Halt()),
            remover=remover,
        )
        return await broom.sweep(concurrency)
    finally:
        with anyio.CancelScope(shield=True):
            await journal.release()


@attrs.define(eq=False, repr=False, kw_only=True)
class _Broom:
    """One pass."""

    source: ResultSource
    journal: Journal
    handler: Handler
    policy: PollPolicy
    gates: Gates
    clock: Clock
    remover: Remover | None
    _accepted: int = 0
    _failures: int = 0
    _error: IdentomatError | None = None

    async def sweep(self, workers: int) -> int:
        """Look at what is due; return how many deliveries were accepted."""
        nudged = {note.token for note in await self.journal.notes() if note.kind == "nudge"}
        now = self.clock.now()
        accepted, watched = by_acceptance(await self.journal.live())
        due = iter(
            [
                entry
                for entry in watched
                if entry.due is None or entry.due <= now or entry.state.token in nudged
            ]
        )
        async with task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(self._work, due, tasks.cancel_scope)
        if self._error is None:
            await self._delete_all(accepted, {entry.state.token for entry in watched})
        if self._error is not None:
            raise self._error
        return self._accepted

    async def _delete_all(self, accepted: Sequence[JournalEntry], watched: set[str]) -> None:
        for entry in accepted:
            token = entry.state.token
            if token in watched or await self._is_wanted(token):
                continue  # until the watch has ended, which may come to nothing
            if await self._removed(token):
                await self._finish(entry.delivery or "", token)

    async def _is_wanted(self, token: str) -> bool:
        # Others watch while a pass goes on, and so may the handler.
        return any(not entry.accepted for entry in await self.journal.live([token]))

    async def _removed(self, token: str) -> bool:
        if self.remover is None or not self._may_ask():
            return False
        try:
            # It was accepted some time ago, and who knows what an operator has done since.
            await self.remover.remove(token, is_settled=False)
        except IdentomatError as error:
            self._failures += 1
            if self.gates.halt.failed(error, self.clock.now()):
                self._error = error.with_traceback(None)  # whose frames hold the token
                return False
            name, said = self.source.token_hash(token), type(error).__name__
            _logger.warning("session %s could not be deleted (%s)", name, said)
            return False
        self._failures = 0
        return True

    async def _work(self, due: Iterator[JournalEntry], scope: anyio.CancelScope) -> None:
        try:
            for entry in due:
                if (outcome := await self._looked_at(entry)) is not None:
                    await self._deliver(entry, outcome)
        except IdentomatError as error:
            # One error for all, and not a group of them.
            self._error = self._error or error
            scope.cancel()

    async def _looked_at(self, entry: JournalEntry) -> Outcome | None:
        state = entry.state
        if entry.delivery is not None:
            if (outcome := outcome_without_document(entry)) is not None:
                return outcome
            state = read_again(entry, until=self.clock.now() + self.policy.grace)
        while self._may_ask():
            answer, now = await self._look(state)
            then = poll_step(
                state, answer, policy=self.policy, now=datetime.fromtimestamp(now, UTC)
            )
            if not isinstance(then, Pending):
                return then
            state = then.state
            if then.delay > 0:
                if entry.delivery is None:
                    await self.journal.seen([(state, now + then.delay)])
                return None
        return None

    def _may_ask(self) -> bool:
        return self._error is None and self._failures < _DOWN and not self.source.pause.remaining()

    async def _look(self, state: PollState) -> tuple[Answer, float]:
        await self.gates.claim()
        now = self.clock.now()
        try:
            answer = await asked(self.source, state)
        finally:
            self.gates.give_back()
        if not isinstance(answer, IdentomatError):
            self._failures = 0
            self.gates.halt.answered()
            return answer, now
        self._failures += answer.retryable
        if self.gates.halt.failed(answer, now):
            raise answer
        return answer, now

    async def _deliver(self, entry: JournalEntry, outcome: Outcome) -> None:
        if entry.delivery is None:
            delivery = Delivery(id=uuid.uuid4().hex, outcome=outcome)
        else:
            delivery = redelivery(entry, outcome)
        if is_reversed(entry, outcome):
            token_hash = self.source.token_hash(delivery.token)
            _logger.warning("session %s was approved, and is no longer", token_hash)
        (stands,) = await self.journal.known([delivery], at=self.clock.now())
        if not stands:
            return
        if (name := await refusal(self.handler, delivery)) is not None:
            _logger.warning("the delivery handler raised %s for delivery %s", name, delivery.id)
            await self.journal.refused(delivery.id, attempts=delivery.attempt, error=name)
            return
        await self._finish(delivery.id, delivery.token)
        self._accepted += 1

    async def _finish(self, name: str, token: str) -> None:
        hashes = {name: self.source.token_hash(token)}
        await self.journal.finished(hashes, at=self.clock.now())
