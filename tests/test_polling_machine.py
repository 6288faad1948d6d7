"""Whatever is done to the live set, in whatever order: one outcome each, and the true one."""

import asyncio
import functools
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import anyio
import attrs
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from trio.testing import MockClock

from identomat_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlinePassed,
    Delivery,
    IdentomatError,
    Outcome,
    PollFailed,
    RateBudget,
    RequestTimeoutError,
    ResultPoller,
    ServerError,
    SessionGone,
    SessionNotFoundError,
    SessionResult,
    SessionStatus,
    Settled,
    Until,
    WaitTimeoutError,
)

EXAMPLES, STEPS = 100, 30
RATE, PLACES, BUFFER = 10, 3, 2
TOKENS = [f"session-{number}" for number in range(6)]
GONE = "unheard-of"
DOWN = ServerError("down", status_code=500, retryable=True)
REFUSED = AuthenticationError("the key", status_code=401)
HOUR = 3600.0
# Within so many seconds after a fault looks are what they were: the probe of an account that
# was refused may be so far off.
RECOVERY = 400.0


class Stepper:
    """An event loop on virtual time that turns only while something is done in it."""

    tasks: anyio.abc.TaskGroup

    async def _live(self) -> None:
        async with anyio.create_task_group() as self.tasks:
            await anyio.sleep_forever()


class OnAsyncio(Stepper):
    def __init__(self, loop_factory: Callable[[], Any]) -> None:
        self._loop = loop_factory()
        self._life = self._loop.create_task(self._live())
        self.do(anyio.lowlevel.checkpoint)

    def do(self, function: Callable[[], Awaitable[Any]]) -> Any:
        return self._loop.run_until_complete(function())

    def time(self) -> float:
        return self._loop.time()

    def jump(self, span: float) -> None:
        self._loop._idle.clock.stall(span)

    def close(self) -> None:
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._life)
        self._loop.close()


class OnTrio(Stepper):
    """Trio as the guest of a loop that is nothing but a queue of callbacks."""

    def __init__(self) -> None:
        self._clock = MockClock(autojump_threshold=0)
        self._callbacks: deque[Callable[[], object]] = deque()
        self._ends: list[Any] = []
        trio.lowlevel.start_guest_run(
            self._live,
            run_sync_soon_threadsafe=self._callbacks.append,
            done_callback=self._ends.append,
            host_uses_signal_set_wakeup_fd=True,
            clock=self._clock,
        )
        while not hasattr(self, "_token"):
            self._callbacks.popleft()()

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        await super()._live()

    def do(self, function: Callable[[], Awaitable[Any]]) -> Any:
        results: list[Any] = []

        async def call() -> None:
            try:
                results.append((await function(), None))
            except Exception as error:  # noqa: BLE001 - raised again below
                results.append((None, error))

        self._token.run_sync_soon(lambda: self.tasks.start_soon(call))
        self._turn_until(results)
        result, error = results[0]
        if error is not None:
            raise error
        return result

    def time(self) -> float:
        return self._clock.current_time()

    def jump(self, span: float) -> None:
        self._clock.jump(span)

    def close(self) -> None:
        self._token.run_sync_soon(self.tasks.cancel_scope.cancel)
        self._turn_until(self._ends)
        self._ends[0].unwrap()

    def _turn_until(self, done: list[Any]) -> None:
        while not done and not self._ends:
            self._callbacks.popleft()()


@attrs.define
class Terms:
    """On what terms the model believes a session to be watched."""

    untils: set[Until]
    deadline: float
    references: str


class Model:
    """What a poller promises, without any of how it does it."""

    def __init__(self) -> None:
        self.live: dict[str, Terms] = {}
        self.unacked: dict[str, Delivery] = {}

    def __len__(self) -> int:
        return len(self.live) + len(self.unacked)

    def __contains__(self, token: str) -> bool:
        return token in self.live or any(one.token == token for one in self.unacked.values())

    def watch(self, token: str, until: Until, deadline: float, reference: str) -> None:
        terms = self.live.setdefault(token, Terms(set(), deadline, reference))
        terms.untils.add(until)
        terms.deadline = max(terms.deadline, deadline)
        terms.references = reference

    def discard(self, token: str) -> bool:
        was_watched = token in self
        self.live.pop(token, None)
        self.unacked = {name: one for name, one in self.unacked.items() if one.token != token}
        return was_watched

    def iterated(self, outcome: Outcome) -> Terms | None:
        """Take a refused one from the handler, or else the first sight of an outcome."""
        for name, delivery in self.unacked.items():
            if delivery.outcome is outcome:
                del self.unacked[name]
                return None
        return self._ended(outcome)

    def handed_over(self, delivery: Delivery) -> Terms | None:
        known = self.unacked.get(delivery.id)
        assert delivery.redelivered == (known is not None)
        self.unacked[delivery.id] = delivery
        if known is None:
            return self._ended(delivery.outcome)
        assert known.outcome is delivery.outcome
        assert delivery.attempt > known.attempt
        return None

    def accepted(self, delivery: Delivery) -> None:
        self.unacked.pop(delivery.id, None)

    def _ended(self, outcome: Outcome) -> Terms:
        assert outcome.token in self.live, "a second outcome, or one after a discard"
        return self.live.pop(outcome.token)


class ConsumerError(Exception):
    """What the application raises in its own loop."""


@attrs.define(eq=False)
class Wait:
    """One call of `wait`."""

    token: str
    until: Until
    began: float
    deadline: float
    scope: anyio.CancelScope | None = None
    answers: list[SessionResult | IdentomatError] = attrs.field(factory=list)
    ended: float | None = None


tokens = st.sampled_from([*TOKENS, *TOKENS, GONE])
untils = st.sampled_from(Until)
deadlines = st.sampled_from([0.0, 20.0, 300.0, 2000.0])


class LiveSet(RuleBasedStateMachine):
    """A poller, those who use it, and the service that it asks."""

    def __init__(
        self, stepper: Callable[[], OnAsyncio | OnTrio], source: Callable[[], Any]
    ) -> None:
        super().__init__()
        self.loop = stepper()
        self.wall_ahead = time.time() - self.loop.time()
        self.environment = pytest.MonkeyPatch()  # what time it is is part of it
        self.environment.setattr(time, "time", lambda: self.loop.time() + self.wall_ahead)
        self.source = source()
        self.budget = RateBudget(RATE, max_in_flight=PLACES)
        self.fault: IdentomatError | None = None
        self.faults: set[type[IdentomatError]] = {SessionNotFoundError}
        self.jumped = 0.0
        self.well_since = -math.inf
        self.history: dict[str, list[str]] = {token: ["in_progress"] for token in TOKENS}
        self.said_since: dict[tuple[str, str], float] = {}
        for token in [*TOKENS, GONE]:
            self.source.lives(token, functools.partial(self.says, token))
        self.waits: list[Wait] = []
        self.references = 0
        self.problems: list[BaseException] = []
        self.do(self.open_poller)

    async def open_poller(self) -> None:
        self.model = Model()
        self.closed = False
        self.form: str | None = None
        self.leaving = False
        self.orders: deque[str] = deque()
        self.mode, self.pace = "accept", 0.0
        self.scope: anyio.CancelScope | None = None
        self.poller = ResultPoller(
            self.source,
            deadline=600,
            review=HOUR,
            grace=HOUR / 2,
            rate=self.budget,
            buffer=BUFFER,
        )

    def do(self, function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        async def bounded() -> Any:
            with anyio.fail_after(24 * HOUR):
                return await function(*arguments)

        result = self.loop.do(bounded)
        if self.problems:
            raise self.problems[0]
        return result

    def spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        async def watched() -> None:
            try:
                await function(*arguments)
            except Exception as error:  # noqa: BLE001 - raised by the next `do`
                self.problems.append(error)

        async def start() -> None:
            self.loop.tasks.start_soon(watched)
            await anyio.sleep(0.001)

        self.do(start)

    # The service

    def says(self, token: str, _: float) -> object:
        if self.fault is not None:
            return self.fault
        return SessionNotFoundError("?") if token == GONE else self.history[token][-1]

    @rule(token=st.sampled_from(TOKENS), status=st.sampled_from(["manual_check", "approved"]))
    def the_service_decides(self, token: str, status: str) -> None:
        if self.history[token][-1] != "approved":
            self.history[token].append(status)
            self.said_since[token, status] = self.loop.time()

    def trouble(self, span: float = 0.0) -> None:
        """Note that for *span* seconds, and a while after them, looks may not come in time."""
        self.well_since = max(self.well_since, self.loop.time() + span + RECOVERY)

    @rule(fault=st.sampled_from([None, None, DOWN, REFUSED]))
    def the_service_fails_or_recovers(self, fault: IdentomatError | None) -> None:
        self.trouble()
        self.fault = fault
        if fault is not None:
            self.faults.add(type(fault))

    @rule(latency=st.sampled_from([0.0, 0.0, 0.3, 5.0, 40.0]))
    def the_service_is_slow_or_quick(self, latency: float) -> None:
        self.trouble()
        self.source.latency = latency
        if latency:
            self.faults.add(RequestTimeoutError)  # if only because the loop is late

    @rule(span=st.sampled_from([5.0, 100.0]))
    def the_service_asks_for_a_pause(self, span: float) -> None:
        async def heed() -> None:
            self.source.pause.heed(span)

        self.do(heed)
        self.trouble(2 * span)

    # Time

    @rule(span=st.sampled_from([0.0, 0.01, 0.5, 3.0, 30.0, 200.0, 2000.0]))
    def time_passes(self, span: float) -> None:
        self.do(anyio.sleep, span)

    @rule(span=st.sampled_from([5.0, 2 * HOUR]))
    def the_event_loop_sleeps_late(self, span: float) -> None:
        self.jumped = self.loop.time() + span
        self.loop.jump(span)
        self.trouble()

    @rule(span=st.sampled_from([-HOUR, HOUR, 2 * HOUR]))
    def the_wall_clock_is_changed(self, span: float) -> None:
        self.wall_ahead += span

    # Watching

    async def watch(self, token: str, until: Until, deadline: float) -> None:
        self.references += 1
        name = f"user:{self.references}"
        self.model.watch(token, until, self.loop.time() + deadline, name)
        await self.poller.watch(token, until=until, deadline=deadline, reference=name)

    @rule(token=tokens, until=untils, deadline=deadlines)
    def a_session_is_watched(self, token: str, until: Until, deadline: float) -> None:
        self.do(self.watch, token, until, deadline)

    @rule(token=tokens)
    def a_session_is_watched_twice(self, token: str) -> None:
        for until in Until:
            self.do(self.watch, token, until, 600.0)

    @rule(token=tokens)
    def a_session_is_discarded(self, token: str) -> None:
        async def discard() -> None:
            expected = self.model.discard(token)
            assert await self.poller.discard(token) == expected

        self.do(discard)

    @rule(token=tokens)
    def the_person_comes_back(self, token: str) -> None:
        async def nudge() -> None:
            self.poller.nudge(token)

        self.do(nudge)

    # Waiting

    @rule(token=tokens, until=untils, deadline=deadlines)
    def somebody_waits(self, token: str, until: Until, deadline: float) -> None:
        now = self.loop.time()
        self.waits.append(Wait(token, until, now, now + deadline))
        self.spawn(self.wait, self.waits[-1])

    async def wait(self, wait: Wait) -> None:
        wait.began = self.loop.time()
        deadline = max(0.0, wait.deadline - wait.began)
        wait.deadline = wait.began + deadline
        with anyio.CancelScope() as wait.scope:
            try:
                answer = await self.poller.wait(wait.token, until=wait.until, deadline=deadline)
            except IdentomatError as error:
                wait.answers.append(error)
            else:
                wait.answers.append(answer)
        wait.ended = self.loop.time()
        if not wait.scope.cancel_called:
            self.judge_answer(wait)

    @rule(which=st.integers(0, 5))
    def somebody_waits_no_more(self, which: int) -> None:
        async def cancel() -> None:
            for wait in [wait for wait in self.waits if wait.ended is None][which : which + 1]:
                wait.scope.cancel()
                await anyio.sleep(0.001)
                assert wait.ended is not None

        self.do(cancel)

    # The block

    # No rule has a precondition, and none draws a number that depends on what happened
    # before: the order in which tasks run is not ours, and draws must not depend on it.

    @rule()
    def the_block_is_entered(self) -> None:
        if self.form is None:
            self.spawn(self.block)

    async def block(self) -> None:
        self.form = "block"
        self.orders.clear()
        self.leaving = False
        expected = (ConsumerError, AuthenticationError, ClientClosedError)
        with suppress(*expected):
            async with self.poller:
                while not self.leaving:
                    await self.consume()
                    await anyio.sleep(1)
        self.form = None

    async def consume(self) -> None:
        with anyio.CancelScope() as self.scope:
            async for outcome in self.poller:
                self.judge(outcome, self.model.iterated(outcome))
                await anyio.sleep(self.pace)
                order = self.orders.popleft() if self.orders else None
                if order == "raise":
                    raise ConsumerError
                if order is not None:
                    break

    @rule(order=st.sampled_from(["raise", "break"]))
    def the_iteration_will_be_left(self, order: str) -> None:
        self.orders.append(order)

    @rule()
    def the_iteration_is_cancelled(self) -> None:
        async def cancel() -> None:
            if self.form == "block":
                self.interrupt()
                await anyio.sleep(0.5)

        self.do(cancel)

    def interrupt(self) -> None:
        if self.scope is not None:
            self.scope.cancel()

    @rule()
    def the_form_is_left(self) -> None:
        self.do(self.leave)

    async def leave(self) -> None:
        self.leaving = True
        while self.form is not None:
            self.interrupt()
            await anyio.sleep(0.1)

    @rule(pace=st.sampled_from([0.0, 10.0, 500.0]))
    def the_consumer_is_slow_or_quick(self, pace: float) -> None:
        self.pace = pace

    # The service form

    @rule()
    def the_service_form_is_run(self) -> None:
        if self.form == "block":
            self.do(self.leave)
        if self.form is None:
            self.spawn(self.run)

    async def run(self) -> None:
        self.form = "run"
        with anyio.CancelScope() as self.scope:
            await self.poller.run(self.handle, concurrency=2)
        self.form = None

    async def handle(self, delivery: Delivery) -> None:
        try:
            self.judge(delivery.outcome, self.model.handed_over(delivery))
        except AssertionError as error:
            self.problems.append(error)
        mode = self.mode
        await anyio.sleep(self.pace)
        if mode == "again":
            await self.watch(delivery.token, Until.DECIDED, 100.0)
        elif mode == "discard":
            self.model.discard(delivery.token)
            await self.poller.discard(delivery.token)
        elif mode == "drain":
            await self.poller.drain(5)
        elif mode == "refuse":
            raise ConsumerError
        self.model.accepted(delivery)

    @rule(mode=st.sampled_from(["accept", "refuse", "again", "discard", "drain"]))
    def the_handler_changes(self, mode: str) -> None:
        self.mode = mode

    @rule(grace=st.sampled_from([0.0, 30.0]))
    def the_run_is_drained(self, grace: float) -> None:
        async def drain() -> None:
            with anyio.fail_after(grace + 1):
                await self.poller.drain(grace)
            await anyio.sleep(0.001)

        self.do(drain)
        assert self.form != "run"

    @rule()
    def a_second_form_is_refused(self) -> None:
        async def intrude() -> None:
            if self.form is None:
                return
            with pytest.raises(ConfigurationError):
                await self.poller.run(self.handle)
            with pytest.raises(ConfigurationError):
                await anext(self.poller)
            with pytest.raises(ConfigurationError):
                await self.poller.__aenter__()

        self.do(intrude)

    # The end

    @rule(chance=st.integers(0, 3))
    def the_poller_is_closed_and_another_opened(self, chance: int) -> None:
        if chance:
            return

        async def close() -> None:
            await self.poller.aclose()
            await anyio.sleep(0.001)
            with pytest.raises(ClientClosedError):
                await self.poller.watch("too-late")
            self.interrupt()  # who is slow does not see at once that it is closed
            await anyio.sleep(2)

        self.closed = True
        self.do(close)
        assert all(wait.ended is not None for wait in self.waits)
        assert self.form is None
        self.do(self.open_poller)

    def teardown(self) -> None:
        try:
            if not self.problems:
                self.do(self.come_to_an_end)
                self.judge_rate()
        finally:
            self.loop.close()
            self.environment.undo()

    async def come_to_an_end(self) -> None:
        self.fault, self.source.latency, self.pace, self.mode = None, 0.0, 0.0, "accept"
        self.leaving = True
        while self.form is not None:
            self.interrupt()
            await anyio.sleep(1)
        for statuses in self.history.values():
            statuses.append("approved")
        self.orders.clear()
        with anyio.fail_after(1000):
            async with self.poller:
                await self.consume()
                while not all(wait.ended is not None for wait in self.waits):
                    await anyio.sleep(1)
        assert not self.model.live
        assert not self.model.unacked
        assert len(self.poller) == 0
        await self.check_nobody_is_left()

    # What must be true

    def judge(self, outcome: Outcome, terms: Terms | None) -> None:
        if terms is None:
            return
        assert outcome.reference == terms.references
        match outcome:
            case Settled(result=result):
                self.judge_result(outcome.token, result, terms.untils)
                assert outcome.status is result.status
            case DeadlinePassed():
                is_in_review = outcome.status is SessionStatus.MANUAL_CHECK
                assert is_in_review or self.loop.time() >= terms.deadline - 0.01
                assert outcome.polls >= 1
            case SessionGone():
                assert outcome.token == GONE
            case PollFailed():
                assert type(outcome.last_error) in self.faults

    def judge_result(self, token: str, result: SessionResult, untils: set[Until]) -> None:
        assert result.person is not None
        assert result.person.personal_number == f"of {token}"
        assert result.status in map(SessionStatus, self.history[token])
        if untils == {Until.DECIDED}:
            assert result.status.is_decided
        assert result.status.is_terminal

    def judge_answer(self, wait: Wait) -> None:
        (answer,) = wait.answers
        now = self.loop.time()
        is_on_time = now <= wait.deadline + self.source.timeout + 0.1
        assert is_on_time or wait.began < self.jumped
        match answer:
            case SessionResult():
                self.judge_result(wait.token, answer, {wait.until})
            case WaitTimeoutError():
                assert now >= wait.deadline - 0.01
                assert not self.was_there_in_time(wait), "a verdict that nobody looked at"
            case SessionNotFoundError():
                assert wait.token == GONE
            case ClientClosedError():
                assert self.closed
            case _:
                assert type(answer) in self.faults

    def was_there_in_time(self, wait: Wait) -> bool:
        """Tell whether a look at the deadline of *wait* was sure to find a verdict."""
        is_well = self.fault is None and not self.source.latency
        if not is_well or wait.deadline < self.well_since:
            return False
        ending = ["approved"] if wait.until is Until.DECIDED else ["approved", "manual_check"]
        said = (self.said_since.get((wait.token, status), math.inf) for status in ending)
        return min(said) < wait.deadline - 0.1

    def judge_rate(self) -> None:
        at = [at for at, _, _ in self.source.looks]
        spans = [later - sooner for sooner, later in zip(at, at[RATE + 1 :], strict=False)]
        assert all(span >= 1 - 1e-6 for span in spans)
        assert all(sooner <= later for sooner, later in pairwise(at))
        assert self.source.peak <= PLACES

    def the_poller_knows_what_the_model_knows(self) -> None:
        assert len(self.poller) == len(self.model)
        for token in [*TOKENS, GONE]:
            assert (token in self.poller) == (token in self.model)

    @invariant()
    def all_agree(self) -> None:
        self.the_poller_knows_what_the_model_knows()
        if self.form is None and all(wait.ended is not None for wait in self.waits):
            self.do(self.check_nobody_is_left)

    async def check_nobody_is_left(self) -> None:
        assert self.source.in_flight == 0
        assert self.budget.in_flight == 0
        assert len(anyio.get_running_tasks()) <= self.idle_tasks

    @property
    def idle_tasks(self) -> int:
        # Those of the stepper, and the one that asks; trio has two of its own.
        return 2 if isinstance(self.loop, OnAsyncio) else 4


# A failure takes longer: it is told in its simplest form.
@pytest.mark.timeout(300)
def test_every_watch_comes_to_one_true_outcome_whatever_happens(anyio_backend, source):
    name, options = anyio_backend
    is_asyncio = name == "asyncio"
    stepper = functools.partial(OnAsyncio, options["loop_factory"]) if is_asyncio else OnTrio

    run_state_machine_as_test(
        functools.partial(LiveSet, stepper, type(source)),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, print_blob=True),
    )
