"""The poller that people use: words and defaults around the engine."""

import asyncio
import math
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, cast

import anyio
from anyio.abc import TaskStatus
from docket import Docket
from redis.asyncio import Redis
from tenacity.wait import wait_base

from identomat_async._budget import RateBudget, whole
from identomat_async._clock import Clock, Deadline, Seconds, seconds
from identomat_async._edge import refusing
from identomat_async._model._token import checked_token
from identomat_async._polling._core import GRACE
from identomat_async._polling._courier import Handler, checked_handler
from identomat_async._polling._many import checked_many, each_of
from identomat_async._polling._policy import NO_LOAD
from identomat_async._polling._schedule import first_gap
from identomat_async._polling._source import HasSource, source_of
from identomat_async._polling._stats import PollerStats
from identomat_async._polling._tally import Tally
from identomat_async._polling._tasks import task_group
from identomat_async._polling._terms import Terms, policy_of
from identomat_async._polling._watch import Until, Watch
from identomat_async.contrib.docket._errand import Errand
from identomat_async.contrib.docket._link import Link
from identomat_async.contrib.docket._rate import SharedRate
from identomat_async.contrib.docket._relay import Relay
from identomat_async.contrib.docket._rounds import LEAD, Rounds, Then, handled_here, lead_of
from identomat_async.contrib.docket._server import check_pool
from identomat_async.contrib.docket._shift import Shift, engine_lease, task_of
from identomat_async.contrib.docket._standing import stats_of
from identomat_async.errors import ConfigurationError

# For how long the server knows that a run has ended.
_REMEMBERED = timedelta(minutes=5)
# So many are handed to the server in one go.
_BATCH = 1000


class DocketResultPoller:
    """
    Awaits the results of very many sessions on many machines.

    Enter it as a block to watch, discard and nudge sessions; each process in which `run` is
    called besides is a worker that looks at them. What is watched is kept by a Redis or
    Valkey server: tokens, references and times, never a result. It needs asyncio.

    Args:
        client: An `IdentomatClient`.
        url: The server, such as ``redis://localhost:6379/0``; all its pollers and workers
            name the same.
        name: What the keys on the server begin with.
        wait: When to look at a session next: any tenacity wait strategy; by default
            `wait_person()`.
        until: Whether MANUAL_CHECK ends a watch.
        deadline: How long the person may take, from when the watch begins: seconds,
            timedelta or aware datetime; None for ever.
        review: Seconds that an operator may take; None for ever.
        grace: Seconds that a watch outlives its deadline while nobody answers.
        rate: The most requests per second by all workers together, confirming reads
            included; None for no limit. All workers name the same.
        concurrency: How many sessions this process looks at or hands over at a time.
        lease: Seconds after which others look at what a lost worker had in hand.
        handler_timeout: Seconds that the handler may take for a delivery.
        gone_window: Seconds over which the service must deny a session three times.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        client: HasSource,
        url: str,
        *,
        name: str = "identomat",
        wait: wait_base | None = None,
        until: Until = Until.TERMINAL,
        deadline: Deadline | None = 1800.0,
        review: Seconds | None = timedelta(days=3),
        grace: Seconds = 3600.0,
        rate: float | None = 50.0,
        concurrency: int = 60,
        lease: Seconds = 120.0,
        handler_timeout: Seconds = 30.0,
        gone_window: Seconds = 60.0,
    ) -> None:
        self._source = source = source_of(client)
        self._policy = policy_of(source, wait=wait, grace=grace, gone_window=gone_window)
        self._terms = Terms.of(until, deadline, review)
        self._rate = RateBudget(rate).per_second  # which checks it
        self._concurrency = whole(concurrency, name="concurrency")
        if self._rate is not None and self._rate * LEAD > self._concurrency:
            raise ConfigurationError(
                f"a rate of {self._rate:g} needs a concurrency of {self._rate * LEAD:.0f} or more"
            )
        self._handler_timeout = seconds(handler_timeout, name="handler_timeout")
        lead = lead_of(math.inf, self._rate, self._concurrency)
        in_hand = source.timeout + lead + self._handler_timeout
        self._lease = engine_lease(seconds(lease, name="lease"), in_hand)
        check_pool(url, self._concurrency)
        # The handler of a worker may well have a poller of its own.
        self._sessions = url.partition("?")[0], name
        # What an ended run leaves is the number of the next: without it a watch that begins at
        # that moment has the same, and the old run's last word removes it.
        self._docket = Docket(name=name, url=url, execution_ttl=_REMEMBERED)
        self._docket.register(task_of(lambda: self._shift))
        self._link = Link(self._docket)
        self._clock: Clock | None = None
        self._tally = Tally()
        self._relay = Relay(self._link)
        self._shift: Shift | None = None
        self._stack: AsyncExitStack | None = None

    def __repr__(self) -> str:
        return f"<DocketResultPoller of {self._relay.standing[0]} sessions>"

    async def __aenter__(self) -> Self:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("DocketResultPoller needs asyncio") from None
        if self._stack is not None:
            raise ConfigurationError("this DocketResultPoller is in use already")
        self._source.home.check()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._link.connected())
            tasks = await stack.enter_async_context(task_group())
            stack.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._relay.pass_on)
            tasks.start_soon(self._relay.keep_count)
            self._clock = Clock()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._stack is not None  # noqa: S101 - it was entered
        stack, self._stack = self._stack, None
        return await stack.__aexit__(kind, error, traceback)

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
        Watch a session; its outcome comes to the handler of a worker, whichever that is.

        The watch is on the server when this returns; inside the handler that has been given this
        session, when that does. One that is watched already stays as it is, and so does one whose
        outcome the handler has refused until now: watch again inside the handler. While a look or a
        delivery is under way, which may be the last, this waits for the end of that.

        Args:
            token: What `begin` returned.
            reference: What the application calls it; it comes back with the outcome.
            deadline: When the person's time is up.
            until: Whether MANUAL_CHECK ends the watch.
            review: Seconds that an operator may take.
            begun: When the session was begun (an aware datetime), if not just now.

        Raises:
            ConfigurationError: An argument cannot work, or this is not entered.
            JournalError: The server did not take it; nothing is watched.
        """
        watch = Watch(
            token, reference=reference, deadline=deadline, until=until, review=review, begun=begun
        )
        await self._watch([watch], anew=True)

    @refusing
    async def watch_many(self, watches: Iterable[str | Watch] | AsyncIterable[str | Watch]) -> None:
        """
        Watch many sessions.

        Args:
            watches: Tokens or `Watch` values, from an iterable or async iterable.

        Raises:
            ConfigurationError: One cannot work; thousands before it may be watched.
            JournalError: The server did not take them all.
        """
        await self._watch_each(watches, anew=True)

    @refusing
    async def reconcile(self, watches: Iterable[str | Watch] | AsyncIterable[str | Watch]) -> int:
        """
        Watch those of the sessions that the application calls open that are not watched.

        Call it after the server has lost what it knew, and at every start if you like. What
        is being looked at or delivered counts as watched.

        Args:
            watches: Tokens or `Watch` values, from an iterable or async iterable.

        Returns:
            How many were added.

        Raises:
            ConfigurationError: One cannot work; thousands before it may be watched.
            JournalError: The server did not take them all.
        """
        return await self._watch_each(watches, anew=False)

    @refusing
    async def discard(self, token: str) -> bool:
        """
        Watch a session no more.

        A look or a delivery that is under way on another machine is called off as soon as
        that machine hears of it.

        Returns:
            Whether it was watched.

        Raises:
            ConfigurationError: *token* cannot be a session token, or this is not entered.
            JournalError: The server did not do it.
        """
        self._check()
        return await self._link.discard(checked_token(token))

    @refusing
    def nudge(self, token: str) -> bool:
        """
        Look at a session now: the person has come back to `return_url`.

        Looks follow 2, 5, 10, 20 and 40 s later, then the schedule goes on.

        Returns:
            True: the worker is told so, which may find that nobody watches the session.

        Raises:
            ConfigurationError: *token* cannot be one, or this is not the place to call it.
        """
        self._check()
        self._source.home.check_thread()
        self._relay.nudge(checked_token(token))
        return True

    async def run(
        self,
        on_delivery: Handler,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """
        Be a worker: look at sessions, and hand outcomes to a function, until cancelled.

        A delivery is accepted when the function returns. If it raises, or takes longer than
        *handler_timeout*, the delivery comes again after 1 s, doubling to 5 min, with the
        same id, on whichever machine. When this is cancelled or drained it finishes what it
        has in hand, and takes nothing new. A plain function cannot be interrupted: it has the
        session in hand until it returns, and what it returns from is accepted.

        Args:
            on_delivery: Takes a `Delivery`: an async function, or a plain one, which is
                called in a worker thread.
            task_status: For `TaskGroup.start`, which returns when polling has begun.

        Raises:
            ConfigurationError: *on_delivery* is no function, or the poller is in use already.
            JournalError: The server cannot be reached.
        """
        handler = checked_handler(on_delivery)
        if self._shift is not None:
            raise ConfigurationError("this DocketResultPoller runs already")
        async with AsyncExitStack() as stack:
            if self._stack is None:
                await stack.enter_async_context(self)
            server = await stack.enter_async_context(self._docket.redis())
            self._shift = shift = self._shift_with(handler, cast("Redis", server))
            try:
                await shift.work(task_status)
            finally:
                self._shift = None
                shift.over.set()

    async def drain(self, grace: Seconds = GRACE) -> None:
        """
        Have `run` take nothing new, and return once it has finished what it has in hand.

        Args:
            grace: The most seconds to wait for that.

        Raises:
            ConfigurationError: *grace* is no time.
        """
        span = seconds(grace, name="grace")
        if self._shift is not None:
            self._shift.end()
            with anyio.move_on_after(span):
                await self._shift.over.wait()

    def resume(self) -> None:
        """
        Lift this worker's pause: the service has asked for it, is down, or refuses the account.

        The next look finds out whether that was wise.

        Raises:
            ConfigurationError: This is not the thread of the poller's event loop.
        """
        self._source.home.check_thread()
        if self._shift is not None:
            rounds = self._shift.rounds
            rounds.gates.lift(rounds.clock.now())

    def stats(self) -> PollerStats:
        """
        Return how the poller stands.

        *watched* and *due* are those of all machines, as of a second ago, where a session that
        is just put back counts twice; all else is this process's own.
        """
        now = 0.0 if self._clock is None else self._clock.now()
        rounds = None if self._shift is None else self._shift.rounds
        return stats_of(rounds, standing=self._relay.standing, tally=self._tally, now=now)

    def _check(self) -> Clock:
        if self._stack is None or self._clock is None:
            raise ConfigurationError("enter this DocketResultPoller first: async with poller")
        return self._clock

    async def _watch_each(
        self, watches: Iterable[str | Watch] | AsyncIterable[str | Watch], *, anew: bool
    ) -> int:
        self._check()
        checked_many(watches, of="tokens and watches")
        added, batch = 0, list[str | Watch]()
        async with aclosing(each_of(watches)) as each:
            async for watch in each:
                batch.append(watch)
                if len(batch) == _BATCH:
                    added += await self._watch(batch, anew=anew)
                    batch.clear()
        return added + await self._watch(batch, anew=anew)

    async def _watch(self, watches: Sequence[str | Watch], *, anew: bool) -> int:
        now = self._check().now()
        begun = {state.token: state for state in (self._terms.state_of(w, now) for w in watches)}
        errands: list[Then] = []
        for state in begun.values():
            share = self._policy.random()
            gap = first_gap(self._policy.wait, NO_LOAD, age=now - state.begun, share=share)
            then = Errand.begin(state), min(gap, max(0.0, state.deadline - now))
            again = handled_here(self._sessions, state.token)
            if again is not None:
                # When the handler has returned, this is what goes on; and if it raises, it
                # will be called again, and watch again.
                again[state.token] = then
            else:
                errands.append(then)
        added = await self._link.add(errands, anew=anew)
        return added + len(begun) - len(errands)

    def _shift_with(self, handler: Handler, server: Redis) -> Shift:
        rounds = Rounds(
            source=self._source,
            sessions=self._sessions,
            policy=self._policy,
            rate=SharedRate(self._link.rate_key, self._rate),
            concurrency=self._concurrency,
            server=server,
            nudge_key=self._link.nudge_key,
            handler=handler,
            handler_timeout=self._handler_timeout,
            tally=self._tally,
            clock=self._check(),
        )
        return Shift(
            docket=self._docket,
            rounds=rounds,
            concurrency=self._concurrency,
            lease=self._lease,
            grace=self._handler_timeout + self._source.timeout,
        )
