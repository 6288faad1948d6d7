"""
Everything that can go wrong, as one tree of plain classes.

::

    IdentomatError
      ConfigurationError
      ClientClosedError
      JournalError
      TransportError
        ConnectionFailedError
        RequestTimeoutError        (also a TimeoutError)
      ApiError
        AuthenticationError
        RateLimitedError
        SessionNotFoundError
        SessionInvalidError
        MediaNotFoundError
        ServerError
        UnexpectedRedirectError
      ResponseDecodeError
        ResponseTooLargeError
      SignatureError
      WaitTimeoutError             (also a TimeoutError)

Every error holds scalars only: never a body, a request, a key, a token or a personal
datum. It may be logged, pickled, copied and sent to an error tracker as it is.
"""

from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from identomat_async._model._status import SessionStatus


class Facts(TypedDict, total=False):
    """What every error may be told when it is made; see `IdentomatError`."""

    operation: str | None
    attempts: int
    elapsed: float
    retryable: bool
    maybe_applied: bool
    reason: str | None


class IdentomatError(Exception):
    """
    The root of every error this library raises.

    Args:
        message: What happened and what to do, in words.
        facts: The attributes, by name; those of a class of its own come beside them.

    Attributes:
        operation: The API method that was called, such as ``"result"``; None when
            nothing was called.
        attempts: How many HTTP requests were made for it.
        elapsed: Seconds from the start of the call.
        retryable: Whether the same call may succeed later without any change.
        maybe_applied: Whether the service may have acted on the request although the
            call failed. After a `begin` it means that a session may exist.
        reason: A short fixed word for the cause, such as ``"content-type"``; never text
            that came from the service.
    """

    def __init__(
        self,
        message: str = "",
        *,
        operation: str | None = None,
        attempts: int = 0,
        elapsed: float = 0.0,
        retryable: bool = False,
        maybe_applied: bool = False,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.attempts = attempts
        self.elapsed = elapsed
        self.retryable = retryable
        self.maybe_applied = maybe_applied
        self.reason = reason


class ConfigurationError(IdentomatError):
    """The library was asked for what cannot work; nothing was sent unless *maybe_applied*."""


class ClientClosedError(IdentomatError):
    """The client or poller is closed, or was closed while the call was under way."""


class JournalError(IdentomatError):
    """
    The journal cannot be read or written; nothing was acknowledged, nothing is lost.

    `reason` says why: ``"busy"``, ``"full"``, ``"io"``, ``"read-only"``, ``"open"`` (the path or
    its folder), ``"corrupt"``, ``"foreign"`` (no journal), ``"newer"`` or ``"older"`` (another
    version's), ``"network"`` (a file system that is not this machine's), ``"locks"``,
    ``"sqlite"`` (anything else), or None where a server and not a file is the journal.
    """


class TransportError(IdentomatError):
    """No answer arrived."""


class ConnectionFailedError(TransportError):
    """
    A connection could not be made, or broke; `reason` is ``"proxy"`` where the proxy's is meant.

    Attributes:
        errno: The operating system's error number, if there was one.
        tls: Whether TLS was the reason: a certificate, a host name, a version.
    """

    def __init__(
        self,
        message: str = "",
        *,
        errno: int | None = None,
        tls: bool = False,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.errno = errno
        self.tls = tls


class RequestTimeoutError(TransportError, TimeoutError):
    """
    The answer did not arrive within `timeout`, or the call not within its `deadline`.

    `reason` is ``"deadline"`` for the latter, and ``"too-slow"`` where a medium comes so slowly
    that it would take for ever.
    """


class ApiError(IdentomatError):
    """
    The service answered, and its answer is an error.

    Attributes:
        status_code: The HTTP status.
        code: The vendor's error code if it is one this version knows, else None; unknown
            text is never repeated, since anybody could have put a name into it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 0,
        code: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.status_code = status_code
        self.code = code


class AuthenticationError(ApiError):
    """The service refuses the company key (HTTP 401, 403, 407)."""


class _LaterError(ApiError):
    """What the service may say together with a time to wait."""

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        status_code: int = 0,
        code: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, status_code=status_code, code=code, **facts)
        self.retry_after = retry_after


class _SessionError(ApiError):
    """What the service says about a session instead of answering for it."""

    def __init__(
        self,
        message: str = "",
        *,
        verified: bool = False,
        status_code: int = 0,
        code: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, status_code=status_code, code=code, **facts)
        self.verified = verified


class SessionNotFoundError(_SessionError):
    """
    The service says that it does not know the session.

    Attributes:
        verified: Whether the answer carried a valid signature. The service does not sign
            its errors, so this is usually False, and one such answer proves nothing.
    """


class SessionInvalidError(_SessionError):
    """
    The service says that the session is invalid; it does not explain what that means.

    Attributes:
        verified: As for `SessionNotFoundError`.
    """


class MediaNotFoundError(ApiError):
    """The session has no such image or video (HTTP 404)."""


class RateLimitedError(_LaterError):
    """
    The service asks for fewer requests (HTTP 429).

    Attributes:
        retry_after: Seconds the service asked to wait; None when it did not say.
    """


class ServerError(_LaterError):
    """
    The service failed (HTTP 5xx, 425).

    Attributes:
        retry_after: Seconds the service asked to wait; None when it did not say.
    """


class UnexpectedRedirectError(ApiError):
    """The service answered with a redirect (HTTP 3xx), which is never followed."""


class ResponseDecodeError(IdentomatError):
    """
    An answer arrived and cannot be read.

    `reason` says what is wrong with it: ``"http"``, ``"headers"``, ``"encoding"``,
    ``"content-type"``, ``"empty"``, ``"json"``, ``"shape"``, ``"too-large"``, ``"cached"``
    (from a cache on the way), ``"partial"`` (HTTP 206), ``"length"`` (a medium that does not
    say where it ends, so that it may have been cut short), ``"other-session"`` (it names another
    session).
    """


class ResponseTooLargeError(ResponseDecodeError):
    """The answer's body is larger than is accepted; the rest of it was not read."""


class SignatureError(IdentomatError):
    """An answer that must be signed is not, or its signature is wrong; it was not read."""


class WaitTimeoutError(IdentomatError, TimeoutError):
    """
    The deadline of a wait passed before the session was settled.

    Attributes:
        last: The status last seen, None if none was.
        polls: How often the session was looked at.
        waited: Seconds from the start of the wait.
    """

    def __init__(
        self,
        message: str = "",
        *,
        last: "SessionStatus | None" = None,
        polls: int = 0,
        waited: float = 0.0,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.last = last
        self.polls = polls
        self.waited = waited
