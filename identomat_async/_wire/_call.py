"""One call of the API, whole: admission, attempts, deadline, and the error it ends with."""

import hmac
import math
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
import attrs
from tenacity import AsyncRetrying, RetryCallState
from tenacity.wait import wait_base

from identomat_async._budget import RateBudget
from identomat_async._clock import Deadline, LoopTime, deadline_at
from identomat_async._home import Home
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._pause import JITTER, Pause
from identomat_async._wire._bare import bare, without_frames
from identomat_async._wire._documents import result_of, status_in
from identomat_async._wire._exchange import exchange
from identomat_async._wire._files import Sink
from identomat_async._wire._line import Transport
from identomat_async._wire._protocol import RESULT, Endpoint, Operation, WireRequest
from identomat_async._wire._replies import Reply, exhausted
from identomat_async._wire._retry import (
    LONGEST_ASKED_WAIT,
    Quota,
    RetryPolicy,
    asked_wait,
    may_repeat,
    sound_wait,
)
from identomat_async._wire._transport import Library, Progress
from identomat_async.errors import (
    ClientClosedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
)

T = TypeVar("T")

# Calls that are cut off leave at once, but for a transport that will not let go.
_CLOSING_TIME = 1.0


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """
    What is called.

    Attributes:
        operation: The method.
        params: Its own parameters.
        decode: Makes the value of a reply that has been checked.
        sink: Takes the body of a success piece by piece.
    """

    operation: Operation
    params: Mapping[str, object] = attrs.field(repr=False)
    decode: Callable[[Reply], T] = attrs.field(repr=False)
    sink: Sink | None = attrs.field(default=None, repr=False)


@attrs.define(eq=False, repr=False, kw_only=True)
class Caller:
    """
    Calls the API: what the methods of a client have in common.

    It is also what a poller asks: `look` is one request and is never repeated.
    """

    endpoint: Endpoint
    library: Library
    transport: Transport
    timeout: float
    deadline: float | None
    retry: RetryPolicy
    budget: RateBudget | None
    max_connections: int
    home: Home = attrs.field(factory=lambda: Home("client"), init=False)
    pause: Pause = attrs.field(factory=Pause, init=False)
    quota: Quota = attrs.field(init=False)
    is_closed: bool = attrs.field(default=False, init=False)
    guards: set[anyio.CancelScope] = attrs.field(factory=set, init=False)
    _looks: int = attrs.field(default=0, init=False)
    _time: LoopTime = attrs.field(factory=LoopTime, init=False)
    _under_way: set[anyio.CancelScope] = attrs.field(factory=set, init=False)
    _settled: anyio.Event | None = attrs.field(default=None, init=False)
    _exchange: Callable[..., Coroutine[Any, Any, Reply]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.quota = Quota(self.retry.quota)
        self._exchange = partial(exchange, self.library, self.transport, pause=self.pause)

    def __repr__(self) -> str:
        return f"<Caller of {self.endpoint.base_url}>"

    @property
    def retry_wait(self) -> wait_base:
        """The least wait of a poller after a look that failed."""
        return self.retry.wait

    @property
    def secret(self) -> bytes | None:
        """The bytes of the secret key, None without one."""
        key = self.endpoint.secret_key
        return None if key is None else key.reveal().encode()

    def token_hash(self, token: str) -> str:
        """Return twelve hex digits that stand for *token* wherever people read."""
        key = self.endpoint.company_key.reveal().encode()
        return hmac.digest(key, token.encode(), "sha256").hex()[:12]

    def check_usable(self) -> None:
        """
        See to it that a request may be made here and now.

        Raises:
            ClientClosedError: The client is closed.
            ConfigurationError: It belongs to another event loop, thread or process.
        """
        if self.is_closed:
            raise ClientClosedError("the client is closed: make another one")
        self.home.check()

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """
        Ask once how a session stands; no repeat, and no deadline but for each step.

        The caller has taken a place in `budget`, and looks inside one of the `guards`.

        Args:
            token: The session.
            fresh: Read the whole document as the first answer of a new connection;
                otherwise only the status, on a kept one.

        Raises:
            IdentomatError: See the class that is raised.
        """
        if self.is_closed:
            raise _closed()
        request = self.endpoint.look(token)
        decode = result_of(token, RESULT) if fresh else status_in
        del token
        started = self._time()
        self._looks += 1
        try:
            # The reply gets no name: an error keeps this frame and all that it names. And
            # the exchange is resumed several times, through every frame above it.
            return decode(
                self._heeded(
                    await self._exchange(
                        request, RESULT, fresh=fresh, timeout=self.timeout, secret=self.secret
                    )
                )
            )
        except IdentomatError as error:
            self.pause.heed(asked_wait(error))
            failure = error
        except anyio.get_cancelled_exc_class() as error:
            without_frames(error)
            raise
        finally:
            self._looks -= 1
            self._tell_settled()
        raise bare(failure, RESULT, attempts=1, since=started)

    async def call(self, call: Call[T], *, deadline: Deadline | None = None) -> T:
        """
        Call a method on fresh connections, and repeat what may be repeated.

        Args:
            call: What is called.
            deadline: When to give up; None means the client's default, or the method's.

        Raises:
            IdentomatError: See the class that is raised.
        """
        self.check_usable()
        attempts = _Attempts(self, call, self.span(deadline, call.operation))
        failure: IdentomatError | None = None
        handled = sys.exception()
        with self._until_closed(attempts.span):
            try:
                return await attempts.run()
            except IdentomatError as error:
                failure = error
            except anyio.get_cancelled_exc_class() as error:
                without_frames(error, until=handled)
                raise
        failure = failure or attempts.cut_off()
        failure.maybe_applied |= attempts.may_have_worked
        raise bare(failure, call.operation, attempts=attempts.count, since=attempts.started)

    def span(self, deadline: Deadline | None, operation: Operation) -> float:
        """
        Return the seconds that a call may take.

        Raises:
            ConfigurationError: *deadline* cannot be one.
        """
        if deadline is None:
            return operation.deadline if self.deadline is None else self.deadline
        now = time.time()
        return max(0.0, deadline_at(deadline, now=now) - now)

    async def attempt(
        self,
        operation: Operation,
        request: WireRequest,
        *,
        sink: Sink | None = None,
        progress: Progress | None = None,
    ) -> Reply:
        """Make one request on a fresh connection; return its reply if it is a success."""
        try:
            reply = await self._exchange(
                request,
                operation,
                fresh=True,
                timeout=self.timeout,
                secret=self.secret,
                sink=sink,
                progress=progress,
            )
        except IdentomatError as error:
            self.pause.heed(asked_wait(error))
            raise
        return self._heeded(reply)

    def _heeded(self, reply: Reply) -> Reply:
        self.pause.heed(exhausted(reply))
        return reply

    @asynccontextmanager
    async def admitted(self, operation: Operation) -> AsyncGenerator[None]:
        """Hold a place in the budget, taken when the service does not ask for a pause."""
        await self.pause.passed()
        if self.budget is None:
            yield
            return
        await self.budget.acquire(urgent=operation.urgent)
        try:
            # Others may have been told to pause while this one stood in the queue.
            await self.pause.passed()
            yield
        finally:
            self.budget.release()

    async def aclose(self) -> None:
        """
        Cut off what is under way, which raises `ClientClosedError`; close every connection.

        Raises:
            ConfigurationError: The client belongs to another event loop, thread or process.
        """
        if self.is_closed:
            return
        self.home.check()
        self.is_closed = True
        try:
            await self._cut_off()
        finally:
            with suppress(Exception):  # what fails to close is not used again
                await self.transport.aclose()

    async def _cut_off(self) -> None:
        for scope in (*self._under_way, *self.guards):
            scope.cancel()
        if self._under_way or self._looks:
            self._settled = anyio.Event()
            with anyio.move_on_after(_CLOSING_TIME):
                await self._settled.wait()

    @contextmanager
    def _until_closed(self, span: float = math.inf) -> Generator[None]:
        with anyio.move_on_after(span) as scope:
            self._under_way.add(scope)
            try:
                yield
            finally:
                self._under_way.discard(scope)
                self._tell_settled()

    def _tell_settled(self) -> None:
        if self._settled is not None and not self._under_way and not self._looks:
            self._settled.set()


def _closed() -> ClientClosedError:
    return ClientClosedError("the client was closed while the call was under way")


class _Attempts(Generic[T]):
    """The attempts of one call, and what they cost."""

    def __init__(self, caller: Caller, call: Call[T], span: float) -> None:
        self.span = span
        self.started = anyio.current_time()
        self.count = 0
        self._caller = caller
        self._call = call
        self._progress = Progress()
        self._was_applied = False
        self._spent = 0

    @property
    def may_have_worked(self) -> bool:
        """Whether the service may have acted on any of them."""
        return self._was_applied or self._progress.is_sent

    async def run(self) -> T:
        policy = self._caller.retry
        request = self._caller.endpoint.request(self._call.operation, self._call.params)
        if not self.span:
            raise self.cut_off()
        retrying = AsyncRetrying(
            retry=self._again, wait=self._wait, stop=self._stop, sleep=anyio.sleep, reraise=True
        )
        value: T = await retrying(self._once, request)
        self._caller.quota.earn(self._spent if policy.attempts > 1 else 0)
        return value

    def cut_off(self) -> IdentomatError:
        """Return the error of a call that was ended from outside."""
        if self._caller.is_closed:
            return _closed()
        return RequestTimeoutError(
            f"no answer within the deadline of {self.span:g} s", retryable=True, reason="deadline"
        )

    async def _once(self, request: WireRequest) -> T:
        self._refuse_if_paused_for_long()
        async with self._caller.admitted(self._call.operation):
            if self._call.sink is not None:
                await self._call.sink.rewind()
            self.count += 1
            reply = await self._caller.attempt(
                self._call.operation, request, sink=self._call.sink, progress=self._progress
            )
        return self._call.decode(reply)

    def _refuse_if_paused_for_long(self) -> None:
        remaining = self._caller.pause.remaining()
        if remaining > min(self._left(), LONGEST_ASKED_WAIT * (1 + JITTER)):
            raise RateLimitedError(
                "the service asked this client to wait longer than this call may take",
                retry_after=remaining,
                retryable=True,
                reason="paused",
            )

    def _left(self) -> float:
        return self.started + self.span - anyio.current_time()

    def _again(self, state: RetryCallState) -> bool:
        error = None if state.outcome is None else state.outcome.exception()
        if isinstance(error, IdentomatError):
            # The error knows better than the wire whether it can have had an effect.
            self._was_applied |= error.maybe_applied
            self._progress.is_sent = False
        return may_repeat(error, self._call.operation, tries=state.attempt_number)

    def _wait(self, state: RetryCallState) -> float:
        # What the service asked for has become a pause of the whole client.
        return max(sound_wait(self._caller.retry.wait(state)), self._caller.pause.remaining())

    def _stop(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if state.attempt_number >= self._caller.retry.attempts_for(self._call.operation):
            return True
        if asked_wait(error) > LONGEST_ASKED_WAIT or state.upcoming_sleep >= self._left():
            return True
        cost = self._caller.quota.spend(error)
        if cost is None:
            error.reason = error.reason or "quota"
        self._spent += cost or 0
        return cost is None


def _error_of(state: RetryCallState) -> IdentomatError:
    error = None if state.outcome is None else state.outcome.exception()
    assert isinstance(error, IdentomatError)  # noqa: S101 - nothing else is tried again
    return error
