"""A session that is there for a block."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

import anyio

from identomat_async._edge import is_async
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
# What nobody has signed is believed when it is said again and again, on new connections.
_DENIALS = 3

_PLAIN = "keep must be a plain function of a SessionResult"

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
        if not callable(keep) or is_async(keep):
            raise ConfigurationError(_PLAIN)
        self._begin = begin
        self._result = result
        self._delete = delete
        self._token_hash = token_hash
        self._keep = keep
        self._span = span
        self._token = ""
        # Whether the service was asked to delete it, which may have worked.
        self._is_asked_for = False

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
        denials = 0
        while True:
            try:
                await self._delete_unless_kept(until)
            except SessionNotFoundError as error:
                denials += 1
                is_believed = error.verified or denials == _DENIALS
                if is_believed or anyio.current_time() + delay >= until:
                    if not (error.verified or (is_believed and self._is_asked_for)):
                        self._tell_denied()
                    return None
            except IdentomatError as error:
                if not error.retryable or anyio.current_time() + delay >= until:
                    return error
            else:
                return None
            await anyio.sleep(delay)
            delay *= 2

    def _tell_denied(self) -> None:
        # Nor is it deleted blindly: nobody has seen whether it is to be kept.
        name = self._token_hash(self._token)
        _logger.warning("session %s was not deleted: the service does not know it", name)

    async def _delete_unless_kept(self, until: float) -> None:
        result = await self._result(self._token, deadline=_left(until))
        if not self._keeps(result):
            self._is_asked_for = True
            await self._delete(self._token, deadline=_left(until))

    def _keeps(self, result: SessionResult) -> bool:
        answer: object = self._keep(result)
        if inspect.isawaitable(answer):
            # True, whatever it would come to.
            if inspect.iscoroutine(answer):
                answer.close()
            raise ConfigurationError(_PLAIN)
        return bool(answer)


def _left(until: float) -> float:
    return max(0.0, until - anyio.current_time())
