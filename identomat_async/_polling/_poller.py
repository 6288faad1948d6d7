"""The poller that people use: words and defaults around its core."""

from collections.abc import AsyncIterable, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import islice
from operator import length_hint
from typing import get_args

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint
from tenacity.wait import wait_base

from identomat_async._budget import RateBudget, budget_of, whole
from identomat_async._clock import Deadline, Seconds, seconds
from identomat_async._edge import refusing, result_or_refusal
from identomat_async._model._result import SessionResult
from identomat_async._polling._block import Block
from identomat_async._polling._core import BATCH, GRACE, Core, OnAccountError
from identomat_async._polling._courier import Handler, checked_handler
from identomat_async._polling._hub import Hub
from identomat_async._polling._journal._facts import Journal
from identomat_async._polling._many import checked_many, each_of, unique_tokens
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._purge import Purge, purger_of
from identomat_async._polling._source import HasSource, source_of
from identomat_async._polling._terms import Terms, policy_of
from identomat_async._polling._watch import Until, Watch
from identomat_async.errors import ConfigurationError
from identomat_async.events import Observer


class ResultPoller(Block):
    """
    Awaits the results of very many sessions at once.

    As a block it polls while the block lasts, and is iterated for outcomes. As a service, `run`
    polls and hands outcomes to a function. `wait` and `wait_all` work in either, and by themselves.

    Args:
        client: An `IdentomatClient`.
        wait: When to look at a session next: any tenacity wait strategy; by default
            `wait_person()`; `wait_learned` knows better, once there are sessions to learn from.
            After a look that failed the client's `RetryPolicy.wait` counts if it is longer.
        until: Whether MANUAL_CHECK ends a watch.
        deadline: How long the person may take, from when the watch begins: seconds,
            timedelta or aware datetime; None for ever.
        review: Seconds that an operator may take, from the first MANUAL_CHECK seen; None for ever.
        grace: Seconds that a watch outlives its deadline while the service does not answer.
        rate: The most requests per second, confirming reads included, or a `RateBudget`
            to share; None for no limit. The schedule stretches to fit.
        max_in_flight: The most requests at a time; a `RateBudget` brings its own.
        buffer: So many outcomes may wait to be taken, those that the handler has refused
            included; then sessions are looked at only if somebody awaits them.
        forever: Whether iteration goes on when no watch is left.
        journal: Where it is written down what is watched, such as a `SqliteJournal`: then a
            restart loses nothing, and `run` delivers everything at least once.
        purge: ``"after_delivery"`` deletes a session at the service once what it came to is
            accepted: when the handler of `run` has returned, or the iteration has asked for the
            next. Only a `Settled` that is final: never one under MANUAL_CHECK, none that is
            watched again. `undeleted` lists what is not deleted yet. With None nothing is deleted.
        gone_window: Seconds over which the service must deny a session three times.
        observers: Functions that are called with every event.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        client: HasSource,
        *,
        wait: wait_base | None = None,
        until: Until = Until.TERMINAL,
        deadline: Deadline | None = 1800.0,
        review: Seconds | None = timedelta(days=3),
        grace: Seconds = 3600.0,
        rate: float | RateBudget | None = 50.0,
        max_in_flight: int = 20,
        buffer: int = 1000,
        forever: bool = False,
        journal: Journal | None = None,
        purge: Purge | None = None,
        gone_window: Seconds = 60.0,
        observers: Iterable[Observer] = (),
    ) -> None:
        source = source_of(client)
        budget = budget_of(rate, max_in_flight=max_in_flight)
        purger = purger_of(
            client,
            purge,
            budget=budget,
            is_watched=self.__contains__,
            token_hash=source.token_hash,
        )
        core = Core(
            source,
            policy=policy_of(source, wait=wait, grace=grace, gone_window=gone_window),
            terms=Terms.of(until, deadline, review),
            budget=budget,
            hub=Hub(observers),
            buffer=whole(buffer, name="buffer"),
            forever=forever,
            journal=journal,
            purger=purger,
        )
        super().__init__(core)

    @refusing
    async def watch(
        self,
        token: str,
        *,
        reference: str | None = None,
        deadline: Deadline | None = None,
        until: Until | None = None,
        review: Seconds | None = None,
        begun: datetime | None = None,
    ) -> None:
        """
        Watch a session; its outcome comes to the iteration, or to the handler of `run`.

        With a journal the watch is durable when this returns.

        The same session watched twice is one watch, with the later deadline, the stricter
        *until* and the last reference. What is None is the poller's own.

        A session that has just been begun is first looked at within about 50 s, since hardly
        anybody is done sooner; `nudge` says that the person is back.

        Args:
            token: What `begin` returned.
            reference: What the application calls it; it comes back with the outcome.
            deadline: When the person's time is up.
            until: Whether MANUAL_CHECK ends the watch.
            review: Seconds that an operator may take.
            begun: When the session was begun (an aware datetime), if not just now.

        Raises:
            ConfigurationError: An argument cannot work.
            JournalError: It could not be written down; nothing is watched.
            ClientClosedError: The poller is closed.
        """
        self._core.check()
        watch = Watch(
            token, reference=reference, deadline=deadline, until=until, review=review, begun=begun
        )
        await self._core.watch([watch])

    @refusing
    async def watch_many(self, watches: Iterable[str | Watch] | AsyncIterable[str | Watch]) -> None:
        """
        Watch many sessions.

        Args:
            watches: Tokens or `Watch` values, from an iterable or async iterable.

        Raises:
            ConfigurationError: One cannot work; those before it are watched.
            JournalError: They could not all be written down; those that could are watched.
            ClientClosedError: The poller is closed.
        """
        self._core.check()
        checked_many(watches, of="tokens and watches")
        if isinstance(watches, AsyncIterable):
            async with aclosing(each_of(watches)) as each:
                await self._core.watch_each(each)
            return
        remaining = iter(watches)
        try:
            while batch := list(islice(remaining, BATCH)):
                await self._core.watch(batch, more=length_hint(remaining))
        finally:
            self._core.desk.expect(0)

    @refusing
    async def reconcile(self, watches: Iterable[str | Watch] | AsyncIterable[str | Watch]) -> int:
        """
        Watch those of the sessions that the application calls open that are not watched.

        What is watched, or is on its way to the handler, stays as it is.

        Args:
            watches: Tokens or `Watch` values, from an iterable or async iterable.

        Returns:
            How many were added.

        Raises:
            ConfigurationError: One cannot work.
            JournalError: They could not be written down.
            ClientClosedError: The poller is closed.
        """
        self._core.check()
        checked_many(watches, of="tokens and watches")
        async with aclosing(each_of(watches)) as each:
            return await self._core.reconcile_each(each)

    @refusing
    async def discard(self, token: str) -> bool:
        """
        Watch a session no more; no outcome of it is handed over after this returns.

        Those who `wait` for it go on waiting.

        Returns:
            Whether it was watched.

        Raises:
            JournalError: That could not be written down; it is watched as before.
            ClientClosedError: The poller is closed.
        """
        self._core.check()
        return await self._core.discard(token)

    @refusing
    def nudge(self, token: str) -> bool:
        """
        Look at a session now: the person has come back to `return_url`.

        Looks follow 2, 5, 10, 20 and 40 s later, then the schedule goes on. If another
        process polls it is told so, and True says no more than that.

        However often this is called, no session is looked at for it more than every 2 s.

        Returns:
            False if the session is neither watched nor awaited.

        Raises:
            ConfigurationError: This is not the thread of the poller's event loop.
        """
        self._core.source.home.check_thread()
        return self._core.nudge(token)

    async def wait(
        self, token: str, *, deadline: Deadline | None = None, until: Until | None = None
    ) -> SessionResult:
        """
        Wait until a session is settled; if it is watched as well, share its polls.

        Cancelling a wait leaves a watch in place.

        Args:
            token: What `begin` returned.
            deadline: When to give up: seconds from now, timedelta or aware datetime.
            until: Whether MANUAL_CHECK ends the wait.

        Raises:
            WaitTimeoutError: The deadline passed; ``last`` is the status last seen.
            SessionNotFoundError: The service says so again and again.
            SessionInvalidError: The service says, again and again, that it is invalid.
            AuthenticationError: The service refuses the company key.
            SignatureError: Answer after answer is not signed.
            IdentomatError: No verdict could be read; it is the error of the last look.
            ConfigurationError: An argument cannot work.
            JournalError: Another process may poll, and the journal cannot be asked.
            ClientClosedError: The poller is closed.
        """
        # One frame and no timer: a hundred thousand tasks may stand here.
        self._core.check()
        joining = self._core.join(token, deadline=deadline, until=until)
        del token  # or whoever is cancelled here, or refused, would show it
        waiter = await result_or_refusal(joining)
        del joining  # it is over, and weighs as much as the session
        if isinstance(waiter, ConfigurationError):
            raise waiter
        try:
            while not waiter.is_over:
                await self._core.waits.over(waiter)
        finally:
            self._core.waits.leave(waiter)
        return waiter.result()

    @refusing
    async def wait_all(
        self,
        tokens: Iterable[str] | AsyncIterable[str],
        *,
        deadline: Deadline | None = None,
        until: Until | None = None,
    ) -> dict[str, Outcome]:
        """
        Wait until every session of a set is settled, given up or gone.

        Args:
            tokens: What `begin` returned, each once or more often.
            deadline: When to give up: seconds from now, timedelta or aware datetime.
            until: Whether MANUAL_CHECK settles a session.

        Returns:
            What became of each, in the order in which they were given. One bad session
            never raises for the others.

        Raises:
            ConfigurationError: A token or argument cannot work; nothing was asked.
            AuthenticationError: The service refuses the company key.
            SignatureError: Answer after answer is not signed.
            JournalError: Another process may poll, and the journal cannot be asked.
            ClientClosedError: The poller is closed.
        """
        self._core.check()
        named = await unique_tokens(tokens)
        self._core.check()  # it may have been closed while they came
        return await self._core.wait_all(named, deadline=deadline, until=until)

    async def run(
        self,
        on_delivery: Handler,
        *,
        concurrency: int = 8,
        on_account_error: OnAccountError = "pause",
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """
        Poll, and hand each outcome to a function, until cancelled or drained.

        A delivery is accepted when the function returns. If it raises, the delivery comes again by
        itself after 1 s, doubling to 5 min, with the same id; it is never dropped and holds no
        other up. What was not accepted when `run` ends comes again in the next.

        Args:
            on_delivery: Takes a `Delivery`: an async function, or a plain one, which is
                called in a worker thread.
            concurrency: How many deliveries are handed over at a time.
            on_account_error: What to do when the service refuses the account: pause, and
                look every 30 s to 5 min whether it is accepted again; or raise.
            task_status: For `TaskGroup.start`, which returns when polling has begun.

        Raises:
            AuthenticationError: The service refuses the company key; only if asked for.
            SignatureError: Answer after answer is not signed; only if asked for.
            ConfigurationError: An argument cannot work, or the poller is in use already.
            JournalError: The journal cannot be used as this begins.
            ClientClosedError: The poller is closed.
        """
        if on_account_error not in get_args(OnAccountError):
            raise ConfigurationError("on_account_error must be 'pause' or 'raise'")
        await self._core.run(
            checked_handler(on_delivery),
            concurrency=whole(concurrency, name="concurrency"),
            on_account_error=on_account_error,
            started=task_status.started,
        )

    async def drain(self, grace: Seconds = GRACE) -> None:
        """
        Have `run` poll no more; return once the handler has what there is, and deletions are tried.

        This returns when `run` does; called inside the handler, which `run` waits for, it
        returns at once. Where nothing runs there is nothing to drain.

        Args:
            grace: The most seconds to wait for the handler and for deletions, together.

        Raises:
            ConfigurationError: *grace* is no time.
        """
        await self._core.drain(seconds(grace, name="grace"))

    async def aclose(self) -> None:
        """End polling and waiting for good; those who wait get `ClientClosedError`."""
        self._core.close()
        await checkpoint()

    def resume(self) -> None:
        """
        Lift a pause: the service has asked for it, is down, or refuses the account.

        The next look finds out whether that was wise. A pause that the service asked for
        is lifted for the whole client. A block whose iteration has raised because the account
        was refused can be iterated again.

        Raises:
            ConfigurationError: This is not the thread of the poller's event loop.
        """
        self._core.source.home.check_thread()
        self._core.resume()
