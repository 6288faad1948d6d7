"""The poller's inside: desk, engine, outbox and courier, and who runs them."""

import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from identomat_async._budget import RateBudget
from identomat_async._clock import Deadline
from identomat_async._polling._courier import Courier, Handler, is_handling
from identomat_async._polling._desk import Desk
from identomat_async._polling._engine import Engine
from identomat_async._polling._hub import Hub
from identomat_async._polling._journal._facts import Journal
from identomat_async._polling._learner import Learner
from identomat_async._polling._ledger import Ledger
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._policy import PollPolicy
from identomat_async._polling._purge import Purger, may_be_purged
from identomat_async._polling._roster import Roster
from identomat_async._polling._source import ResultSource
from identomat_async._polling._standing import Standing
from identomat_async._polling._terms import Terms
from identomat_async._polling._waiters import Lone
from identomat_async._polling._waits import Waits
from identomat_async._polling._watch import Until, Watch
from identomat_async.errors import ClientClosedError, ConfigurationError, IdentomatError

OnAccountError = Literal["pause", "raise"]

# So many watches are taken on before other tasks get a turn.
BATCH = 500
# Seconds that a handler gets to accept what there is when `run` ends.
GRACE = 5.0

_logger = logging.getLogger("identomat_async")


class Core:
    """Everything that a `ResultPoller` does."""

    def __init__(
        self,
        source: ResultSource,
        *,
        policy: PollPolicy,
        terms: Terms,
        budget: RateBudget,
        hub: Hub,
        buffer: int,
        forever: bool,
        journal: Journal | None,
        purger: Purger | None,
    ) -> None:
        roster = Roster()
        self.source = source
        self.outbox: Outbox = Outbox(buffer, has_room=self._has_room)
        self.learner: Learner = Learner(
            roster=roster,
            policy=policy,
            hub=hub,
            token_hash=source.token_hash,
            deliver=self._deliver,
            halted=self._halted,
        )
        self.engine: Engine = Engine(
            source=source,
            roster=roster,
            learner=self.learner,
            budget=budget,
            is_blocked=lambda: self.outbox.is_full,
        )
        self.desk: Desk = Desk(self.engine, self.outbox, terms)
        self.ledger: Ledger | None = (
            None
            if journal is None
            else Ledger(
                journal, engine=self.engine, desk=self.desk, outbox=self.outbox, purger=purger
            )
        )
        self.purger = purger
        if purger is not None:
            purger.ledger = self.ledger
        self.waits: Waits = Waits(self.engine, self.desk, has_form=lambda: self._form is not None)
        self.standing: Standing = Standing(
            engine=self.engine,
            desk=self.desk,
            outbox=self.outbox,
            ledger=self.ledger,
            purger=purger,
        )
        self._forever = forever
        self._form: Literal["block", "service"] | None = None
        self._owner = 0
        self._is_iterating = False
        self._in_hand: Outcome | None = None
        self._is_closed = False
        self._error: IdentomatError | None = None
        self._grace = GRACE
        self._end = anyio.Event()
        self._ended = anyio.Event()

    @property
    def watched(self) -> int:
        """How many watches there are whose outcome was not taken or not accepted."""
        written = 0 if self.ledger is None else len(self.ledger)
        return self.desk.watching + written + len(self.outbox) + len(self.outbox.unacked)

    def has(self, token: str) -> bool:
        """Tell whether a session is watched, and its outcome not taken or not accepted."""
        return self.desk.has(token) or (self.ledger is not None and self.ledger.has(token))

    def check(self) -> None:
        """
        See to it that the poller may be used here and now.

        Raises:
            ClientClosedError: It is closed.
            ConfigurationError: It belongs to another event loop, thread or process.
        """
        if self._is_closed:
            raise ClientClosedError("the poller is closed: make another one")
        self.source.home.check()

    # Watches

    async def watch(self, watches: Sequence[str | Watch], *, more: int = 0) -> None:
        """
        Watch sessions, *more* of which are about to follow.

        Raises:
            ConfigurationError: One cannot work.
            JournalError: They cannot be written down.
        """
        if self.ledger is not None:
            await self.ledger.watch(watches)
        else:
            self.desk.watch_all(watches, more=more)
            await checkpoint()

    async def watch_each(self, watches: AsyncIterable[str | Watch]) -> None:
        """Watch sessions as they come."""
        taken = 0
        async for watch in watches:
            if self.ledger is not None:
                await self.ledger.watch([watch])
                continue
            self.desk.watch_all([watch])
            taken += 1
            if not taken % BATCH:
                await checkpoint()

    async def reconcile_each(self, watches: AsyncIterable[str | Watch]) -> int:
        """Watch sessions that are not watched yet; return how many these are."""
        batch, added = list[str | Watch](), 0
        async for watch in watches:
            batch.append(watch)
            if len(batch) == BATCH:
                added += await self._reconcile(batch)
                batch = []
        return added + await self._reconcile(batch)

    async def _reconcile(self, watches: Sequence[str | Watch]) -> int:
        if self.ledger is not None:
            return await self.ledger.reconcile(watches)
        tokens = [each if isinstance(each, str) else each.token for each in watches]
        named = dict(zip(tokens, watches, strict=True))
        new = [watch for token, watch in named.items() if not self.desk.has(token)]
        await self.watch(new)
        return len(new)

    async def discard(self, token: str) -> bool:
        """Watch a session no more; False if it was not watched."""
        if self.ledger is not None:
            return await self.ledger.discard(token)
        was_watched = self.desk.discard(token)
        await checkpoint()
        return was_watched

    def nudge(self, token: str) -> bool:
        """Look at a session now; False if that cannot be."""
        return self.desk.nudge(token) if self.ledger is None else self.ledger.nudge(token)

    async def join(self, token: str, *, deadline: Deadline | None, until: Until | None) -> Lone:
        """Wait for a session that another process may poll."""
        left = await self._left_to_another([token])
        return self.waits.join(token, deadline=deadline, until=until, is_left=bool(left))

    async def wait_all(
        self, tokens: Sequence[str], *, deadline: Deadline | None, until: Until | None
    ) -> dict[str, Outcome]:
        """Wait for sessions that another process may poll."""
        left = await self._left_to_another(tokens)
        return await self.waits.wait_all(tokens, deadline=deadline, until=until, left=left)

    async def _left_to_another(self, tokens: Sequence[str]) -> AbstractSet[str]:
        return frozenset() if self.ledger is None else await self.ledger.left_to_another(tokens)

    # The block

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """Poll for the length of a block."""
        with self._form_of("block"):
            self._owner = anyio.get_current_task().id
            await self.waits.take_over()
            async with self.engine.hosted() as tasks, self._purging(tasks):
                yield

    @asynccontextmanager
    async def _purging(self, tasks: TaskGroup) -> AsyncGenerator[None]:
        self._in_hand = None
        if self.purger is None:
            yield
            return
        tasks.start_soon(self.purger.run)
        yield
        # Whoever leaves the block without an exception has taken the last outcome well.
        self._put_down()
        with anyio.move_on_after(GRACE):
            await self.purger.finish()

    def _put_down(self) -> None:
        outcome, self._in_hand = self._in_hand, None
        if self.purger is not None and outcome is not None and may_be_purged(outcome):
            self.purger.add(outcome.token, "", is_news=True)

    async def next_outcome(self) -> Outcome:
        """
        Return the next outcome that comes to the block.

        Raises:
            StopAsyncIteration: No watch is left.
        """
        self._check_iteration()
        self._is_iterating = True
        self._put_down()
        try:
            await checkpoint()
            while (outcome := self._taken()) is None:
                await self.outbox.listen().wait()
        finally:
            self._is_iterating = False
        if self.purger is not None:
            self._in_hand = outcome
        return outcome

    def _taken(self) -> Outcome | None:
        if outcome := self.outbox.take_any():
            return outcome
        if self._is_closed:
            raise ClientClosedError("the poller was closed")
        if self._error is not None:
            raise copy.copy(self._error)
        if not self.desk.watching and not self._forever:
            raise StopAsyncIteration
        return None

    def _check_iteration(self) -> None:
        if self.ledger is not None:
            raise ConfigurationError(
                "with a journal outcomes go to the handler of `run`, which accepts them one "
                "by one; iterate a poller that has none"
            )
        if self._form != "block":
            raise ConfigurationError(
                "iterate inside `async with poller:`; `run` gives outcomes to its handler"
            )
        if self._is_iterating or self._owner != anyio.get_current_task().id:
            raise ConfigurationError(
                "only the task that entered the block iterates, once at a time: hand "
                "outcomes on to other tasks from there (before Python 3.12 asyncio.wait_for "
                "makes a task of its own; asyncio.timeout does not)"
            )

    # The service

    async def run(
        self,
        handler: Handler,
        *,
        concurrency: int,
        on_account_error: OnAccountError,
        started: Callable[[], None],
    ) -> None:
        """Poll, and hand outcomes to *handler*, until cancelled or drained."""
        with self._form_of("service"):
            self._end, self._ended = anyio.Event(), anyio.Event()
            self.learner.halt.probes = on_account_error == "pause"
            courier = Courier(
                handler,
                outbox=self.outbox,
                refused=self.learner.refused,
                concurrency=concurrency,
                acceptance=self.purger or self.ledger,
            )
            try:
                await self.waits.take_over()
                async with self._journaled(), self.engine.hosted() as tasks:
                    if self.ledger is not None:
                        await self.ledger.open()
                        tasks.start_soon(self.ledger.run)
                    tasks.start_soon(courier.run)
                    if self.purger is not None:
                        tasks.start_soon(self.purger.run)
                    started()
                    await self._end.wait()
                    self.engine.stop()
                    with anyio.move_on_after(self._grace):
                        if self.ledger is not None:
                            await self.ledger.scribe.settled()
                        await courier.finish()
                        if self.purger is not None:
                            await self.purger.finish()
            finally:
                self.learner.halt.probes = False
                self._ended.set()
            if self._error is not None:
                raise copy.copy(self._error)

    @asynccontextmanager
    async def _journaled(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if self.ledger is not None:
                await self.ledger.close()

    async def drain(self, grace: float) -> None:
        """Have `run` poll no more, and return when the handler has what there is."""
        if self._form == "service":
            self._grace = grace
            self._end.set()
            if not is_handling(self.outbox):  # which would wait for itself
                await self._ended.wait()

    def close(self) -> None:
        """End everything that goes on."""
        self._is_closed = True
        self.engine.stop()
        self._end.set()
        for waiter in list(self.engine.roster.waiters()):
            waiter.fail(ClientClosedError("the poller was closed"))
        self.outbox.notify()

    @contextmanager
    def _form_of(self, form: Literal["block", "service"]) -> Generator[None]:
        self.check()
        if self._form is not None:
            raise ConfigurationError(
                f"this poller is already used as a {self._form}: one block or one run at a "
                "time; make another poller for another"
            )
        self._form, self._error, self._grace = form, None, GRACE
        try:
            yield
        finally:
            self._form = None
            self.waits.pass_on()

    def resume(self) -> None:
        """Lift whatever pause there is, and let the next look find out."""
        if self._form == "block" and not isinstance(self._error, ClientClosedError):
            # A block has nobody who looks now and then whether the account is accepted again.
            self._error = None
            self.learner.halt.reset()
        if self.purger is not None:
            self.purger.resume()
        self.engine.resume()

    def _has_room(self) -> None:
        self.engine.look_around()

    def _deliver(self, outcome: Outcome) -> bool:
        self.desk.watching -= 1
        if self.ledger is not None:
            return self.ledger.came(outcome)
        self.outbox.add(outcome)
        return False

    def _halted(self, error: IdentomatError) -> None:
        for waiter in list(self.engine.roster.waiters()):
            waiter.fail(error)
        if self.learner.halt.probes and not isinstance(error, ClientClosedError):
            _logger.error(
                "the service refuses the account (%s); polling pauses, with a look every "
                "30 s to 5 min, and goes on by itself when it is accepted again",
                type(error).__name__,
            )
            return
        self._error = error
        self._end.set()
        self.outbox.notify()
