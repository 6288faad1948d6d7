"""One call of the API, whole: admission, attempts, deadline, and the error it ends with."""

import hmac
import random
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import anyio
import attrs
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from identomat_async._budget import RateBudget
from identomat_async._home import Home
from identomat_async._model._codec import decode_result, read_status
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._pause import Pause
from identomat_async._wire._protocol import POLL, RESULT, Endpoint, Operation
from identomat_async._wire._replies import Reply, check, read
from identomat_async._wire._retry import (
    LONGEST_ASKED_WAIT,
    Quota,
    RetryPolicy,
    asked_wait,
    may_repeat,
)
from identomat_async._wire._transport import Sink, Transport, exchange
from identomat_async.errors import (
    ClientClosedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
)

T = TypeVar("T")


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

    def __attrs_post_init__(self) -> None:
        self.quota = Quota(self.retry.quota)

    def __repr__(self) -> str:
        return f"<Caller of {self.endpoint.base_url}>"

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

        Args:
            token: The session.
            fresh: Read the whole document as the first answer of a new connection;
                otherwise only the status, on a kept one.

        Raises:
            IdentomatError: See the class that is raised.
        """
        operation = RESULT if fresh else POLL
        reply = await self.attempt(operation, {"session_token": token}, fresh=fresh)
        return result_in(reply) if fresh else read(reply.body, operation, read_status)

    async def call(self, call: Call[T], *, deadline: float | None = None) -> T:
        """
        Call a method on fresh connections, and repeat what may be repeated.

        Args:
            call: What is called.
            deadline: Seconds for everything; None means the client's, or the method's.

        Raises:
            IdentomatError: See the class that is raised.
        """
        self.check_usable()
        defaults = (deadline, self.deadline, call.operation.deadline)
        attempts = _Attempts(self, call, next(d for d in defaults if d is not None))
        failure: IdentomatError | None = None
        with anyio.move_on_after(attempts.span) as scope:
            try:
                return await attempts.run()
            except IdentomatError as error:
                failure = error
        if failure is None or scope.cancelled_caught:
            failure = attempts.out_of_time()
        failure.attempts = attempts.count
        failure.elapsed = anyio.current_time() - attempts.started
        # Raised out here and without its traceback: the frames in it hold the request.
        raise failure.with_traceback(None)

    async def attempt(
        self,
        operation: Operation,
        params: Mapping[str, object],
        *,
        fresh: bool = True,
        sink: Sink | None = None,
    ) -> Reply:
        """Make one request, within the budget, and return its reply if it is a success."""
        request = self.endpoint.request(operation, params)
        if self.budget is not None:
            await self.budget.acquire(urgent=operation.urgent)
        try:
            reply = await exchange(
                self.transport,
                request,
                operation,
                timeout=self.timeout,
                fresh=fresh,
                secret=self.secret,
                sink=sink,
            )
            check(reply, operation, secret=self.secret)
        except IdentomatError as error:
            self.pause.heed(asked_wait(error))
            raise
        finally:
            if self.budget is not None:
                self.budget.release()
        return reply

    async def aclose(self) -> None:
        """Close every connection."""
        self.is_closed = True
        await self.transport.aclose()


def result_in(reply: Reply) -> SessionResult:
    """Return the document in *reply*, with its signature as it came."""
    values = reply.values(b"authorization")
    signature = values[0].decode("latin-1") if values else None
    return read(reply.body, RESULT, lambda body: decode_result(body, signature=signature))


class _Attempts(Generic[T]):
    """The attempts of one call, and what they cost."""

    def __init__(self, caller: Caller, call: Call[T], span: float) -> None:
        self.span = span
        self.started = anyio.current_time()
        self.count = 0
        self._caller = caller
        self._call = call
        self._is_sent = False
        self._spent = 0

    async def run(self) -> T:
        policy = self._caller.retry
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: may_repeat(error, self._call.operation)),
            wait=self._wait,
            stop=self._stop,
            sleep=anyio.sleep,
            reraise=True,
        )
        value = await retrying(self._once)
        self._caller.quota.earn(self._spent if policy.attempts > 1 else 0)
        return value

    def out_of_time(self) -> RequestTimeoutError:
        """Return the error of a call whose deadline has passed."""
        return RequestTimeoutError(
            f"no answer within the deadline of {self.span:g} s",
            operation=self._call.operation.name,
            retryable=True,
            maybe_applied=self._is_sent,
            reason="deadline",
        )

    async def _once(self) -> T:
        self._refuse_if_paused_for_long()
        await self._caller.pause.passed()
        if self._call.sink is not None:
            await self._call.sink.rewind()
        self.count += 1
        self._is_sent = True
        reply = await self._caller.attempt(
            self._call.operation, self._call.params, sink=self._call.sink
        )
        return self._call.decode(reply)

    def _refuse_if_paused_for_long(self) -> None:
        remaining = self._caller.pause.remaining()
        if remaining > min(self._left(), LONGEST_ASKED_WAIT):
            raise RateLimitedError(
                "the service asked this client to wait longer than this call may take",
                retry_after=remaining,
                operation=self._call.operation.name,
                reason="paused",
            )

    def _left(self) -> float:
        return self.started + self.span - anyio.current_time()

    def _wait(self, state: RetryCallState) -> float:
        self._is_sent = False
        asked = asked_wait(_error_of(state)) * (1 + random.random() / 10)  # noqa: S311
        return max(self._caller.retry.wait(state), asked)

    def _stop(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if state.attempt_number >= self._caller.retry.attempts_for(self._call.operation):
            return True
        if asked_wait(error) > LONGEST_ASKED_WAIT or state.upcoming_sleep >= self._left():
            return True
        cost = self._caller.quota.spend(error)
        self._spent += cost or 0
        return cost is None


def _error_of(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
