"""A session that is there for a block."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

import anyio

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async.errors import ConfigurationError, IdentomatError, SessionNotFoundError

Keep = Callable[[SessionResult], bool]


class Reads(Protocol):
    async def __call__(self, token: str, *, deadline: float) -> SessionResult: ...


class Deletes(Protocol):
    async def __call__(self, token: str, *, deadline: float) -> object: ...


# A failure that may pass is tried again after so many seconds, and then twice as many.
_FIRST_RETRY = 0.5

_logger = logging.getLogger("identomat_async")


def may_be_under_review(result: SessionResult) -> bool:
    """Tell whether an operator may have yet to decide: so with any status that is not known."""
    return result.status is SessionStatus.MANUAL_CHECK or not result.status.is_known


class ScopedSession(AbstractAsyncContextManager[str, None]):
    """
    Begins a session when entered; deletes it when left, however that comes about.

    A class, not a generator: an exception on its way out of the block keeps no frame of
    ours that holds the token.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[str]],
        *,
        result: Reads,
        delete: Deletes,
        token_hash: Callable[[str], str],
        keep: Keep,
        span: float,
    ) -> None:
        if not callable(keep) or inspect.iscoroutinefunction(keep):
            # What a coroutine function returns is true, whatever it would come to.
            raise ConfigurationError("keep must be a plain function of a SessionResult")
        self._begin = begin
        self._result = result
        self._delete = delete
        self._token_hash = token_hash
        self._keep = keep
        self._span = span
        self._token = ""

    def __repr__(self) -> str:
        return "<ScopedSession>"

    async def __aenter__(self) -> str:
        if self._token:
            raise ConfigurationError("a scoped session is entered once")
        self._token = await self._begin()
        return self._token

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failure: Exception | None = None
        # Whoever cancels the block wants its session gone, too.
        with anyio.CancelScope(shield=True):
            try:
                failure = await self._end()
            except Exception as other:  # noqa: BLE001 - keep's own, anything may come
                failure = other
            except BaseException as other:
                # Whoever cancels an asyncio task twice does not want to wait.
                self._tell(other)
                raise
        if failure is not None:
            self._tell(failure)
            if error is None:
                raise failure

    def _tell(self, failure: BaseException) -> None:
        name = self._token_hash(self._token)
        _logger.error("session %s was not deleted (%s)", name, type(failure).__name__)

    async def _end(self) -> IdentomatError | None:
        until = anyio.current_time() + self._span
        delay = _FIRST_RETRY
        while True:
            try:
                await self._delete_unless_kept(until)
            except IdentomatError as error:
                if not error.retryable or anyio.current_time() + delay >= until:
                    return error
            else:
                return None
            await anyio.sleep(delay)
            delay *= 2

    async def _delete_unless_kept(self, until: float) -> None:
        try:
            result = await self._result(self._token, deadline=_left(until))
        except SessionNotFoundError:
            pass  # no proof; whoever deletes it finds out
        else:
            if self._keep(result):
                return
        await self._delete(self._token, deadline=_left(until))


def _left(until: float) -> float:
    return max(0.0, until - anyio.current_time())
