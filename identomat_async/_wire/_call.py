"""What every call of the API goes through: lanes, budget, pause, deadline and the way to close."""

import hmac
import math
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import anyio
import attrs
from tenacity.wait import wait_base

from identomat_async._budget import RateBudget, ceilings
from identomat_async._clock import Deadline, LoopTime, deadline_at
from identomat_async._home import Home
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._pause import Pause
from identomat_async._places import acquire_all
from identomat_async._wire._attempts import Attempts, Call, closed
from identomat_async._wire._bare import bare, without_frames
from identomat_async._wire._documents import result_of, status_in
from identomat_async._wire._exchange import exchange
from identomat_async._wire._files import Sink
from identomat_async._wire._hints import exhausted
from identomat_async._wire._line import Transport
from identomat_async._wire._protocol import RESULT, Endpoint, Operation, WireRequest
from identomat_async._wire._reply import Reply
from identomat_async._wire._retry import (
    Quota,
    RetryPolicy,
    asked_wait,
)
from identomat_async._wire._transport import Library, Progress, too_late
from identomat_async.errors import (
    ClientClosedError,
    IdentomatError,
)

T = TypeVar("T")

# Calls that are cut off leave at once, but for a transport that will not let go.
_CLOSING_TIME = 1.0


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
            raise closed()
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
        attempts = Attempts(self, call, self.span(deadline, call.operation))
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
        progress: Progress,
    ) -> Reply:
        """
        Make one request on a fresh connection; return its reply if it is a success.

        All of it may take the timeout; but a medium that comes is held to a pace instead.
        """
        reply: Reply | None = None
        progress.timeout = math.inf if operation.is_media else self.timeout
        try:
            with anyio.CancelScope() as progress.scope:
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
        finally:
            progress.scope = None  # it knows the task, and that everything
        if reply is None:
            raise too_late(operation, is_sent=progress.is_sent)
        return self._heeded(reply)

    def _heeded(self, reply: Reply) -> Reply:
        self.pause.heed(exhausted(reply))
        return reply

    @asynccontextmanager
    async def admitted(self, operation: Operation) -> AsyncGenerator[None]:
        """Hold a place in each budget, taken when the service does not ask for a pause."""
        await self.pause.passed()
        places = ceilings(self.budget)
        await acquire_all(places, urgent=operation.urgent)
        try:
            # Others may have been told to pause while this one stood in the queue.
            await self.pause.passed()
            yield
        finally:
            for each in places:
                each.release()

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
        # Who is yet to ask learns of it now, and not when the service may be asked again.
        self.pause.lift()
        try:
            await self._cut_off()
        finally:
            # What fails to close, or does not in time, is not used again.
            with anyio.move_on_after(4 * _CLOSING_TIME), suppress(Exception):
                await self.transport.aclose()

    async def _cut_off(self) -> None:
        for scope in (*self._under_way, *self.guards):
            scope.cancel()
        if self._under_way or self._looks:
            self._settled = anyio.Event()
            with anyio.move_on_after(_CLOSING_TIME):
                await self._settled.wait()

    @contextmanager
    def _until_closed(self, span: float) -> Generator[None]:
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
