"""Looks at every session that is due: one scheduler, and workers that pull."""

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import attrs
from anyio.abc import TaskGroup

from identomat_async._budget import RateBudget
from identomat_async._clock import Clock
from identomat_async._polling._agenda import TICK, Agenda
from identomat_async._polling._entry import ASKED, Entry
from identomat_async._polling._gates import Gates, HeldUpBy
from identomat_async._polling._learner import Learner
from identomat_async._polling._patience import Patience
from identomat_async._polling._planner import WEIGHING, Planner
from identomat_async._polling._roster import Roster
from identomat_async._polling._source import ResultSource
from identomat_async._polling._step import Answer
from identomat_async._polling._tasks import task_group
from identomat_async._polling._waiters import Lone
from identomat_async._polling._worker import Worker, closed, too_slow
from identomat_async.errors import IdentomatError

# Timers of some event loops are rounded down to the millisecond; less would spin.
_LEAST_SLEEP = 0.001
# So many that were held back are let go at a time.
_UNHELD = 1000
# Who is due for longer than so many seconds is held up by something.
_BEHIND = 1.0


@attrs.define(eq=False, repr=False, kw_only=True)
class Engine:
    """
    Does the looking: asks the source, and lets the learner decide what it means.

    While nobody runs the engine nothing is asked. *vacated* is called when it stops,
    *after_weighing* each time the demand was weighed. *parked* are the tokens of those whom
    another process polls.
    """

    source: ResultSource
    roster: Roster
    learner: Learner
    budget: RateBudget
    is_blocked: Callable[[], bool]
    vacated: Callable[[], None] = attrs.field(default=lambda: None)
    after_weighing: Callable[[], None] = attrs.field(default=lambda: None)
    parked: set[str] = attrs.field(factory=set)
    limits: Agenda[Lone] = attrs.field(factory=Agenda[Lone])
    is_running: bool = False
    stopped: anyio.Event = attrs.field(factory=anyio.Event)
    gates: Gates = attrs.field(init=False)
    planner: Planner = attrs.field(init=False)
    _tasks: TaskGroup | None = None
    # Those at work in the order in which they began to look.
    _idle: dict[Worker, None] = attrs.field(factory=dict)
    _busy: dict[Worker, None] = attrs.field(factory=dict)
    _clock: Clock | None = None
    _changed: anyio.Event = attrs.field(factory=anyio.Event)
    _scope: anyio.CancelScope | None = None
    _patience: Patience = attrs.field(init=False)
    _held_up_by: HeldUpBy | None = None
    _is_roused: bool = False
    _is_ending: bool = False
    _alarm: float = math.inf
    _is_paused_for: bool = False

    def __attrs_post_init__(self) -> None:
        self.gates = Gates(
            source=self.source,
            budget=self.budget,
            outage=self.learner.outage,
            halt=self.learner.halt,
            wake=self.look_around,
        )
        self.planner = Planner(
            roster=self.roster,
            learner=self.learner,
            gates=self.gates,
            is_elsewhere=self.parked.__contains__,
        )
        self._patience = Patience(self.learner.policy.grace)

    @property
    def clock(self) -> Clock:
        """The time, which begins to count when it is first asked for."""
        if self._clock is None:
            self._clock = Clock()
        return self._clock

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        # At every look: without the property, but for the first time.
        return (self._clock or self.clock).now()

    def glance(self) -> float:
        """Return the time in any thread; it does not begin to count for that."""
        return time.time() if self._clock is None else self._clock.now()

    @property
    def in_flight(self) -> int:
        """How many looks are under way."""
        return len(self._busy)

    def weigh(self) -> None:
        """Weigh the demand against the rate."""
        was_asleep, now = self.clock.wake(), self.now()
        self.planner.weigh(now)
        if was_asleep:
            self._patience.begin_anew()
            self.planner.spread(now)
            self._changed.set()  # the scheduler does it, a few at a time

    def look_around(self) -> None:
        """Have the scheduler see what may go on: the consumer has room, or a place is free."""
        self._changed.set()

    def wake(self) -> None:
        """Have the scheduler look again if somebody comes up before it means to."""
        # Who is due already has a worker on the way, or has to wait for what the scheduler
        # waits for.
        if self._is_roused or self._held_up_by is not None:
            return
        if self.roster.agenda.next_due() < self._alarm:
            self._changed.set()

    @asynccontextmanager
    async def hosted(self) -> AsyncGenerator[TaskGroup]:
        """Look at sessions as they come due for the length of a block."""
        self.is_running, self.stopped = True, anyio.Event()
        self._is_ending = False
        self._scope = anyio.CancelScope()
        self.learner.halt.reset()
        self._patience.begin_anew()
        self.gates.join()
        try:
            async with task_group() as tasks:
                tasks.start_soon(self._run, self._scope)
                try:
                    yield tasks
                finally:
                    self._is_ending = True
                    tasks.cancel_scope.cancel()
        finally:
            self.is_running = False
            self.gates.leave()
            self.stopped.set()
            self.vacated()

    def let_go_at(self, waiter: Lone, limit: float) -> None:
        """End a wait at *limit* at the latest, however it stands."""
        if limit < math.inf:
            self.limits.put(waiter, limit)
            if limit < self._alarm:
                self._changed.set()

    def stop(self) -> None:
        """Look at nothing more in this block."""
        if self._scope is not None:
            self._is_ending = True
            self._scope.cancel()

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                async with task_group() as self._tasks:
                    with anyio.CancelScope() as guard:
                        self.source.guards.add(guard)
                        try:
                            await self._schedule()
                        finally:
                            self.source.guards.discard(guard)
                    self.learner.lost(closed(), self.now())
            finally:
                self.gates.step_out()
                self._is_roused = False
                self._idle.clear()
                self._busy.clear()

    async def _schedule(self) -> None:
        if self.now() >= self.planner.weighed_at + WEIGHING:
            self.weigh()
        self.planner.spread(self.now())
        while True:
            self._changed = anyio.Event()
            now = self.now()
            if now >= self.planner.weighed_at + WEIGHING:
                self.weigh()
                now = self.now()  # the machine may have been suspended
                self.planner.notice()
                self.after_weighing()
            self.planner.go_on(now)
            self._cut_off(now)
            while (waiter := self.limits.pop(now)) is not None:
                self.learner.let_go(waiter, now)
            self._mind_pauses(now)
            if self.roster.held and not self.is_blocked():
                # A few at a time: a hundred thousand would hold the event loop up.
                self.roster.unhold(_UNHELD)
            if self._patience.is_over(now - self.clock.offset, is_behind=self._is_behind(now)):
                self.learner.give_up(now)
            self._rouse(now)
            self._alarm = max(self._next(now), now + _LEAST_SLEEP)
            with anyio.move_on_after(self._alarm - now):
                await self._changed.wait()

    def _is_behind(self, now: float) -> bool:
        # The account's troubles end no watch.
        is_halted = self.learner.halt.error is not None
        return not is_halted and self.roster.agenda.next_due() < now - _BEHIND

    def _next(self, now: float) -> float:
        due, self._held_up_by = self.roster.agenda.next_due(), None
        if due > now or self.planner.is_spreading:
            self.gates.step_out()
        elif self._is_roused:
            # The workers take those who are due; the next come with the next tick.
            due = (now // TICK + 1) * TICK
        else:
            # Somebody is due and was not taken: what is it that holds everybody up?
            opening = self.gates.opening(now, self.clock, ours=len(self._busy))
            due, self._held_up_by = opening
        if self.planner.is_planning or (self.roster.held and not self.is_blocked()):
            return now
        limits = [due, self.limits.next_due(), self.planner.weighs_at]
        if self._busy:
            # Or nobody would be there to cut off a look that begins in between.
            glance = min(WEIGHING, self.source.timeout)
            limits += [next(iter(self._busy)).began + self.source.timeout, now + glance]
        return min(limits)

    def _cut_off(self, now: float) -> None:
        for worker in self._busy:
            if worker.began == math.inf:
                continue  # it stands in line for the document
            if worker.began + self.source.timeout > now:
                return
            worker.is_late = True
            worker.scope.cancel()

    def _take(self, now: float) -> Entry | None:
        agenda = self.roster.agenda
        if agenda.next_due() > now or self.planner.is_spreading:
            self.gates.step_out()
            return None
        clock = self.clock
        if not self.gates.are_open(now, clock):
            return None
        while (entry := agenda.pop(now)) is not None:
            if self.is_blocked() and entry.waiter is None:
                self.roster.hold(entry)
                continue
            self.gates.take(now, clock)
            entry.place = ASKED
            return entry
        return None

    def _rouse(self, now: float) -> None:
        """Have one more worker look if somebody is due; it will rouse the next."""
        if (
            self._is_roused
            or self._is_ending
            or self.planner.is_spreading
            or self.roster.agenda.next_due() > now
            or not self.gates.are_open(now, self.clock)
        ):
            return
        self._is_roused = True
        if self._idle:
            worker, _ = self._idle.popitem()
            self._busy[worker] = None
            worker.event.set()
        else:
            assert self._tasks is not None  # noqa: S101 - for types
            worker = Worker()
            self._busy[worker] = None
            self._tasks.start_soon(self._work, worker)

    async def _work(self, worker: Worker) -> None:
        while True:
            self._is_roused = worker.is_late = False
            with anyio.CancelScope() as worker.scope:
                self.source.guards.add(worker.scope)
                try:
                    await self._serve(worker)
                finally:
                    self.source.guards.discard(worker.scope)
            # The look took too long, or the source was closed.
            entry, worker.entry = worker.entry, None
            if entry is not None:
                error = too_slow() if worker.is_late else closed()
                self.roster.ask(entry)  # it was put back
                self.learner.learn(entry, error, worker.asked, elapsed=self.now() - worker.asked)
                self.wake()

    async def _serve(self, worker: Worker) -> None:
        now = self.now()
        while True:
            is_ending = self._is_ending or worker.scope.cancel_called
            entry = None if is_ending else self._take(now)
            if entry is None:
                await self._rest(worker)
                now = self.now()
                continue
            worker.entry = entry
            if not self._is_roused and self._held_up_by is None:
                self._rouse(now)
                self.wake()
            await self._look(worker, entry, now)
            worker.entry, now = None, worker.ended

    async def _rest(self, worker: Worker) -> None:
        worker.event = anyio.Event()
        self._busy.pop(worker, None)
        self._idle[worker] = None
        if self._held_up_by == "places":
            self._changed.set()
        self.wake()
        try:
            await worker.event.wait()
        finally:
            self._is_roused = False
            self._idle.pop(worker, None)

    async def _look(self, worker: Worker, entry: Entry, now: float) -> None:
        # One frame: an exchange is resumed several times, through every frame above it.
        answer: Answer
        try:
            while True:
                self._begin(worker, entry, now)
                try:
                    answer = await self.source.look(entry.state.token, fresh=entry.state.fresh)
                except IdentomatError as error:
                    # Its traceback holds frames, and those hold what was sent and received.
                    answer = error.with_traceback(None)
                finally:
                    worker.began = math.inf
                    self.gates.give_back()
                if not self._end(worker, entry, answer, now):
                    return
                # It would end: the document is read at once, before other polls.
                await self.gates.claim()
                now = self.now()
                if self._is_held_up(entry, now):
                    return
        except BaseException:
            # Cancelled: the session stays due. If all are, nobody is to be roused for it.
            self._is_ending |= not worker.scope.cancel_called
            self._put_back(entry)
            raise

    def _begin(self, worker: Worker, entry: Entry, now: float) -> None:
        worker.began = worker.asked = now
        # The last to begin is the last to be cut off.
        self._busy.pop(worker, None)
        self._busy[worker] = None
        self.learner.tally.began(now, now - entry.due, fresh=entry.state.fresh)

    def _end(self, worker: Worker, entry: Entry, answer: Answer, now: float) -> bool:
        worker.ended = self.now()
        again = self.learner.learn(entry, answer, now, elapsed=worker.ended - now)
        if self._held_up_by == "service":
            self._changed.set()
        self.wake()
        return again

    def _is_held_up(self, entry: Entry, now: float) -> bool:
        # While this one stood in the queue the service asked for a pause, or it was discarded.
        if self.source.pause.until <= now - self.clock.offset and self.roster.has(entry):
            return False
        self.gates.give_back()
        self._put_back(entry)
        return True

    def _put_back(self, entry: Entry) -> None:
        entry.place = None
        if self.roster.has(entry):
            # Before the crowd, if it is to be read once more for its verdict.
            self.roster.put(entry, self.now(), first=entry.state.fresh)

    def _mind_pauses(self, now: float) -> None:
        remaining = self.source.pause.remaining()
        if remaining and not self._is_paused_for:
            self.learner.paused(remaining, now, is_cut=self.source.pause.is_cut)
        elif self._is_paused_for and not remaining:
            self.learner.outage.go_on(now)
        self._is_paused_for = remaining > 0

    def resume(self) -> None:
        """Lift whatever pause there is, and let the next look find out."""
        self.gates.lift(self.now())
        # Nor do looks come back slowly after it.
        self._is_paused_for = False
        self._changed.set()
