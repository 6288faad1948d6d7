"""Looks at every session that is due: one scheduler, and workers that pull."""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import attrs
from anyio.abc import TaskGroup

from identomat_async._budget import RateBudget
from identomat_async._clock import Clock
from identomat_async._polling._entry import Entry, Group
from identomat_async._polling._learner import Learner
from identomat_async._polling._roster import Roster
from identomat_async._polling._source import ResultSource
from identomat_async._polling._step import Answer
from identomat_async._polling._tasks import task_group
from identomat_async.errors import IdentomatError, RequestTimeoutError

# How long to look away when places are taken by somebody who will not tell.
_BUSY_WAIT = 0.05
# Timers of some event loops are rounded down to the millisecond; less would spin.
_LEAST_SLEEP = 0.001
# How often the demand is weighed against the rate.
_WEIGHING = 1.0


class _Worker:
    """A task that looks at one session after the other."""

    __slots__ = ("asked", "began", "entry", "event", "scope")

    def __init__(self, entry: Entry) -> None:
        self.entry: Entry | None = entry
        self.asked = math.inf
        self.began = math.inf
        self.event = anyio.Event()
        self.scope = anyio.CancelScope()


@attrs.define(eq=False, repr=False, kw_only=True)
class Engine:
    """
    Does the looking: asks the source, and lets the learner decide what it means.

    While nobody runs the engine nothing is asked. *groups* are told when it stops.
    """

    source: ResultSource
    roster: Roster
    learner: Learner
    budget: RateBudget
    is_blocked: Callable[[], bool]
    groups: set[Group] = attrs.field(factory=set)
    is_running: bool = False
    stopped: anyio.Event = attrs.field(factory=anyio.Event)
    _idle: dict[_Worker, None] = attrs.field(factory=dict)
    _busy: set[_Worker] = attrs.field(factory=set)
    _clock: Clock | None = None
    _changed: anyio.Event = attrs.field(factory=anyio.Event)
    _scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    _weighed: float = -math.inf
    _alarm: float = math.inf

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        if self._clock is None:
            self._clock = Clock()
        return self._clock.now()

    @property
    def in_flight(self) -> int:
        """How many looks are under way."""
        return len(self._busy)

    @property
    def budgets(self) -> list[RateBudget]:
        """The ceilings that a look obeys."""
        other = self.source.budget
        return [self.budget] if other is None or other is self.budget else [self.budget, other]

    @property
    def rate(self) -> float | None:
        """The strictest ceiling, in requests per second; None for no limit."""
        rates = [budget.per_second for budget in self.budgets]
        return min((rate for rate in rates if rate is not None), default=None)

    def weigh(self) -> None:
        """Weigh the demand against the rate."""
        self._weighed = self.now()
        demand, policy = self.roster.demand, self.learner.policy
        self.learner.load = demand.load(policy.wait, self.rate, self._weighed)

    def is_crowded(self, now: float) -> bool:
        """Tell whether somebody is due for whom there is no place."""
        is_full = any(budget.is_full for budget in self.budgets)
        return is_full and self.roster.agenda.next_due() <= now

    def unblock(self) -> None:
        """Go on with the sessions that were held back for a slow consumer."""
        self.roster.unhold()
        self.wake()

    def wake(self) -> None:
        """Have the scheduler look again if somebody comes up before it means to."""
        if self.roster.agenda.next_due() < self._alarm:
            self._changed.set()

    @asynccontextmanager
    async def hosted(self) -> AsyncGenerator[TaskGroup]:
        """Look at sessions as they come due for the length of a block."""
        self.is_running, self.stopped = True, anyio.Event()
        self._scope = anyio.CancelScope()
        self.learner.halt.reset()
        try:
            async with task_group() as tasks:
                tasks.start_soon(self._run)
                try:
                    yield tasks
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            self.is_running = False
            self.stopped.set()
            self.tell_groups()

    def tell_groups(self) -> None:
        """Have everybody who waits see whether to host the polling from now on."""
        for group in self.groups:
            group.event.set()

    def stop(self) -> None:
        """Look at nothing more in this block."""
        self._scope.cancel()

    async def _run(self) -> None:
        with self._scope:
            try:
                async with task_group() as tasks:
                    await self._schedule(tasks)
            finally:
                self._idle.clear()
                self._busy.clear()

    async def _schedule(self, tasks: TaskGroup) -> None:
        while True:
            self._changed = anyio.Event()
            now = self.now()
            if now - self._weighed >= _WEIGHING:
                self.weigh()
            self._cut_off(now)
            while (entry := self._take()) is not None:
                self._assign(entry, tasks)
            delay = max(self._delay(now), _LEAST_SLEEP)
            self._alarm = now + delay
            with anyio.move_on_after(delay):
                await self._changed.wait()

    def _delay(self, now: float) -> float:
        delay = self.roster.agenda.next_due() - now
        if delay <= 0:
            # Somebody is due and was not taken: what is it that holds everybody up?
            held_up = max(map(self._held_up, self.budgets))
            halted = self.learner.halt.delay(now)
            delay = max(held_up, self.source.pause.remaining(), halted)
        oldest = min((worker.began for worker in self._busy), default=math.inf)
        return min(delay, oldest + self.source.timeout - now)

    def _held_up(self, budget: RateBudget) -> float:
        # Our own looks tell when they are done; others that share the budget do not.
        is_ours = budget.is_full and budget.in_flight <= len(self._busy)
        return math.inf if is_ours else budget.delay() or (0.0 if budget.is_open else _BUSY_WAIT)

    def _cut_off(self, now: float) -> None:
        for worker in self._busy:
            if worker.began + self.source.timeout <= now:
                worker.scope.cancel()

    def _take(self) -> Entry | None:
        now = self.now()
        if self.roster.agenda.next_due() > now or self.source.pause.remaining() > 0:
            return None
        is_open = all(budget.is_open for budget in self.budgets)
        if not is_open or self.learner.halt.delay(now) > 0:
            return None
        while (entry := self.roster.agenda.pop(now)) is not None:
            if self.is_blocked() and not entry.waiters:
                self.roster.hold(entry)
                continue
            self.learner.halt.probing(now)
            for budget in self.budgets:
                budget.try_acquire()
            entry.is_asked = True
            return entry
        return None

    def _assign(self, entry: Entry, tasks: TaskGroup) -> None:
        if self._idle:
            worker, _ = self._idle.popitem()
            worker.entry = entry
            worker.event.set()
        else:
            worker = _Worker(entry)
            tasks.start_soon(self._work, worker)
        self._busy.add(worker)

    async def _work(self, worker: _Worker) -> None:
        while True:
            with anyio.CancelScope() as worker.scope:
                await self._serve(worker)
            # Only the scheduler cancels this scope: the look took too long.
            self._idle.pop(worker, None)
            entry, worker.entry = worker.entry, None
            if entry is not None:
                self.learner.learn(entry, _too_slow(), worker.asked, elapsed=self.source.timeout)
                self.wake()

    async def _serve(self, worker: _Worker) -> None:
        while True:
            if worker.entry is None and not worker.scope.cancel_called:
                worker.entry = self._take()
            if worker.entry is None:
                await self._rest(worker)
            else:
                await self._look(worker, worker.entry)
                worker.entry = None

    async def _rest(self, worker: _Worker) -> None:
        worker.event = anyio.Event()
        self._busy.discard(worker)
        self._idle[worker] = None
        self.wake()
        try:
            await worker.event.wait()
        except BaseException:
            # Cancelled, perhaps in the very moment in which it was given a session.
            self._idle.pop(worker, None)
            if worker.entry is not None:
                entry, worker.entry = worker.entry, None
                self._give_places_back()
                self._put_back(entry)
            raise

    async def _look(self, worker: _Worker, entry: Entry) -> None:
        try:
            while await self._ask(worker, entry):
                # It would end: the document is read at once, before other polls.
                await self._claim_places()
                if self._is_paused(entry):
                    break
        except BaseException:
            # Cancelled: the session stays due.
            self._put_back(entry)
            raise

    async def _ask(self, worker: _Worker, entry: Entry) -> bool:
        worker.began = worker.asked = now = self.now()
        if now + self.source.timeout < self._alarm:
            self._changed.set()  # or nobody would be there to cut this look off
        fresh = entry.state.fresh
        self.learner.tally.began(now - entry.due, fresh=fresh)
        answer: Answer
        try:
            answer = await self.source.look(entry.state.token, fresh=fresh)
        except IdentomatError as error:
            # Its traceback holds frames, and those hold what was sent and received.
            answer = error.with_traceback(None)
        finally:
            worker.began = math.inf
            self._give_places_back()
        again = self.learner.learn(entry, answer, now, elapsed=self.now() - now)
        self.wake()
        return again

    def _is_paused(self, entry: Entry) -> bool:
        # The service asked for a pause while this one stood in the queue.
        if not self.source.pause.remaining():
            return False
        self._give_places_back()
        self._put_back(entry)
        return True

    def _put_back(self, entry: Entry) -> None:
        entry.is_asked = False
        if self.roster.has(entry):
            self.roster.put(entry, self.now())

    async def _claim_places(self) -> None:
        claimed: list[RateBudget] = []
        try:
            for budget in self.budgets:
                await budget.acquire(urgent=True)
                claimed.append(budget)
        except BaseException:
            for budget in claimed:
                budget.release()
            raise

    def _give_places_back(self) -> None:
        for budget in self.budgets:
            budget.release()


def _too_slow() -> RequestTimeoutError:
    return RequestTimeoutError(
        "no answer in time",
        operation="result",
        attempts=1,
        retryable=True,
        maybe_applied=True,
    )
