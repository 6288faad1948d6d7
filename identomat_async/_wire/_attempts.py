"""One call of the API, whole: its attempts, what they cost, and the error it ends with."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

import anyio
import attrs
from tenacity import AsyncRetrying, RetryCallState

from identomat_async._pause import JITTER, Pause
from identomat_async._wire._files import Sink
from identomat_async._wire._protocol import Endpoint, Operation, WireRequest
from identomat_async._wire._reply import Reply
from identomat_async._wire._retry import (
    LONGEST_ASKED_WAIT,
    Quota,
    RetryPolicy,
    asked_wait,
    attempts_for,
    may_repeat,
    sound_wait,
)
from identomat_async._wire._transport import Progress
from identomat_async.errors import (
    ClientClosedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
    SessionNotFoundError,
)

T = TypeVar("T")


class Way(Protocol):
    """What the attempts of all calls of a client go through."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def retry(self) -> RetryPolicy: ...
    @property
    def quota(self) -> Quota: ...
    @property
    def pause(self) -> Pause: ...
    @property
    def is_closed(self) -> bool: ...

    def admitted(self, operation: Operation) -> AbstractAsyncContextManager[None]:
        """Hold a place in each budget."""
        ...

    async def attempt(
        self, operation: Operation, request: WireRequest, *, sink: Sink | None, progress: Progress
    ) -> Reply:
        """Make one request; return its reply if it is a success."""
        ...


@attrs.frozen(kw_only=True)
class Call(Generic[T]):
    """
    What is called.

    Attributes:
        operation: The method.
        params: Its own parameters.
        decode: Makes the value of a reply that has been checked.
        sink: Takes the body of a success piece by piece.
        twice: Whether the service has to say twice that a session is gone, if it does not
            sign it.
    """

    operation: Operation
    params: Mapping[str, object] = attrs.field(repr=False)
    decode: Callable[[Reply], T] = attrs.field(repr=False)
    sink: Sink | None = attrs.field(default=None, repr=False)
    twice: bool = False


class Attempts(Generic[T]):
    """The attempts of one call, and what they cost."""

    def __init__(self, way: Way, call: Call[T], span: float) -> None:
        self.span = span
        self.started = anyio.current_time()
        self.count = 0
        self._way = way
        self._call = call
        self._progress = Progress()
        self._was_applied = False
        self._spent = 0

    @property
    def may_have_worked(self) -> bool:
        """Whether the service may have acted on any of them."""
        return self._was_applied or self._progress.is_sent

    async def run(self) -> T:
        """
        Ask until there is an answer or no more to be hoped for.

        Raises:
            IdentomatError: What the last attempt ended with.
        """
        request = self._way.endpoint.request(self._call.operation, self._call.params)
        if not self.span:
            raise self.cut_off()
        value = await self._answer(request)
        if self._call.sink is not None:
            await self._call.sink.commit()
        self._way.quota.earn(self._spent)
        return value

    def cut_off(self) -> IdentomatError:
        """Return the error of a call that was ended from outside."""
        if self._way.is_closed:
            return closed()
        return RequestTimeoutError(
            f"no answer within the deadline of {self.span:g} s", retryable=True, reason="deadline"
        )

    async def _answer(self, request: WireRequest) -> T:
        retrying = AsyncRetrying(
            retry=self._again, wait=self._wait, stop=self._stop, sleep=anyio.sleep, reraise=True
        )
        try:
            value: T = await retrying(self._once, request)
        except SessionNotFoundError as error:
            if error.verified or not self._call.twice:
                raise
        else:
            return value
        again: T = await retrying(self._once, request)
        return again

    async def _once(self, request: WireRequest) -> T:
        self._refuse_if_paused_for_long()
        async with self._way.admitted(self._call.operation):
            if self._call.sink is not None:
                await self._call.sink.rewind()
            self.count += 1
            reply = await self._way.attempt(
                self._call.operation, request, sink=self._call.sink, progress=self._progress
            )
        return self._call.decode(reply)

    def _refuse_if_paused_for_long(self) -> None:
        remaining = self._way.pause.remaining()
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
        said = sound_wait(self._way.retry.wait, state, _error_of(state))
        return max(said, self._way.pause.remaining())

    def _stop(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if state.attempt_number >= attempts_for(self._call.operation, self._way.retry):
            return True
        if asked_wait(error) > LONGEST_ASKED_WAIT or state.upcoming_sleep >= self._left():
            return True
        cost = self._way.quota.spend(error)
        if cost is None:
            error.reason = error.reason or "quota"
        self._spent += cost or 0
        return cost is None


def _error_of(state: RetryCallState) -> IdentomatError:
    error = None if state.outcome is None else state.outcome.exception()
    assert isinstance(error, IdentomatError)  # noqa: S101 - nothing else is tried again
    return error


def closed() -> ClientClosedError:
    """Return the error of what was under way when the client was closed."""
    return ClientClosedError("the client was closed while the call was under way")
