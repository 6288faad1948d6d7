"""What a reply means: a body that may be read, or which error. No I/O."""

import hmac
from collections.abc import Callable
from typing import TypeVar

from identomat_async._model._json import json_or_error
from identomat_async._wire._hints import exhausted, is_cached, retry_after
from identomat_async._wire._protocol import Operation
from identomat_async._wire._reply import PAGE_MARKS, Reply, content_type_of, is_text
from identomat_async._wire._signing import matches
from identomat_async._wire._tokens import CODE
from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    IdentomatError,
    MediaNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
    UnexpectedRedirectError,
)

T = TypeVar("T")

# The two words that a body may consist of without being signed, byte for byte.
_UNSIGNED_WORDS = {b'"SESSION_NOT_FOUND"', b'"SESSION_INVALID"'}
_FRAMES = frozenset((b"content-length", b"transfer-encoding"))


def check(reply: Reply, operation: Operation, *, secret: bytes | None) -> None:
    """
    See to it that *reply* is a success whose body may be read.

    Raises:
        SignatureError: A secret is set and a success is not signed with it.
        ApiError: The service answered with an error; its class says which.
        RequestTimeoutError: The service gave up waiting for the request (408).
        ResponseDecodeError: It is a web page where JSON is due, or a part of the answer, or
            an unsigned medium that may have been cut short; or it comes from a cache, which
            may have kept it of another session or another time.
    """
    is_success = reply.is_success
    is_word = reply.body in _UNSIGNED_WORDS
    if (is_success or is_word) and is_cached(reply):
        raise undecodable(operation, "cached", "the answer comes from a cache on the way")
    if is_word:
        verified = secret is not None and _is_signed(reply, secret)
        raise _session_error(reply.status, reply.body.decode()[1:-1], operation, verified=verified)
    if is_success and secret is not None and not _is_signed(reply, secret):
        raise SignatureError(
            "the answer is not signed with the secret key; it was not read",
            operation=operation.name,
            retryable=True,
            maybe_applied=True,
        )
    if reply.status < 200:
        # An answer is only announced, or the connection is to speak something else.
        raise undecodable(operation, "http", f"no answer came, but HTTP {reply.status}")
    if not is_success:
        raise _refusal(reply, operation)
    if reply.status == 206:
        raise undecodable(operation, "partial", "the answer is a part of one, unasked")
    _check_content(reply, operation)
    if operation.is_media and secret is None and not _is_framed(reply):
        raise undecodable(operation, "length", "the medium does not say where it ends")


def _is_framed(reply: Reply) -> bool:
    # Otherwise it ends where the connection does, which can be anywhere.
    return not _FRAMES.isdisjoint(name for name, _ in reply.headers)


def _is_signed(reply: Reply, secret: bytes) -> bool:
    digest = reply.digest or hmac.digest(secret, reply.body, "sha256")
    return matches(digest, reply.values(b"authorization"))


def _check_content(reply: Reply, operation: Operation) -> None:
    head = reply.body[:1] or reply.head
    if not head:
        raise undecodable(operation, "empty")
    if operation.is_media and (is_text(reply) or head in PAGE_MARKS):
        raise vendor_error(reply.body, operation) or undecodable(operation, "content-type")
    if head == b"<" or "html" in content_type_of(reply):
        raise undecodable(operation, "content-type")


def read(body: bytes, operation: Operation, decode: Callable[[bytes], T]) -> T:
    """
    Return what *decode* makes of the body of a success.

    Raises:
        ApiError: The body is one of the vendor's errors, which may come with HTTP 200.
        ResponseDecodeError: It cannot be read.
    """
    try:
        return decode(body)
    except ResponseDecodeError as error:
        failure = error
    failure.operation = operation.name
    failure.retryable = failure.maybe_applied = True
    raise vendor_error(body, operation) or failure


def vendor_error(body: bytes, operation: Operation, status: int = 200) -> ApiError | None:
    """Return the error that a body stands for whatever its HTTP status, None if it is none."""
    value = json_or_error(body)
    if isinstance(value, dict) and "argumentError" in value and "result" not in value:
        return ApiError(
            "the service refuses an argument of the call",
            status_code=status,
            operation=operation.name,
            reason="argument",
        )
    if isinstance(value, str) and CODE.fullmatch(value):
        return _session_error(status, value, operation, verified=False)
    return None


def _session_error(status: int, code: str, operation: Operation, *, verified: bool) -> ApiError:
    if code == "SESSION_NOT_FOUND":
        return SessionNotFoundError(
            "the service does not know this session",
            verified=verified,
            status_code=status,
            code=code,
            operation=operation.name,
        )
    if code == "SESSION_INVALID":
        return SessionInvalidError(
            "the service calls this session invalid",
            verified=verified,
            status_code=status,
            code=code,
            operation=operation.name,
        )
    return ApiError(
        "the service answered with an error code that this version does not know",
        status_code=status,
        operation=operation.name,
        reason="unknown-code",
    )


def _refusal(reply: Reply, operation: Operation) -> IdentomatError:
    status, name = reply.status, operation.name
    if status < 400:
        return UnexpectedRedirectError(
            f"the service redirects (HTTP {status}): check base_url; nothing was followed",
            status_code=status,
            operation=name,
        )
    if status in {401, 403, 407}:
        return AuthenticationError(
            f"the service refuses the company key (HTTP {status})",
            status_code=status,
            operation=name,
        )
    if status == 408:
        return RequestTimeoutError(
            "the service gave up waiting for the request (HTTP 408)",
            operation=name,
            retryable=True,
            maybe_applied=True,
        )
    if status == 429:
        return RateLimitedError(
            "the service asks for fewer requests (HTTP 429)",
            status_code=status,
            retry_after=max(retry_after(reply) or 0.0, exhausted(reply)) or None,
            operation=name,
            retryable=True,
        )
    if status >= 500 or status == 425:
        return _server_error(reply, name)
    return _client_error(reply, operation)


def _server_error(reply: Reply, name: str) -> ServerError:
    later = retry_after(reply)
    says_later = reply.status == 425 or (reply.status == 503 and later is not None)
    return ServerError(
        f"the service failed (HTTP {reply.status})",
        status_code=reply.status,
        retry_after=later,
        operation=name,
        retryable=reply.status not in {501, 505},
        maybe_applied=not says_later,
    )


def _client_error(reply: Reply, operation: Operation) -> ApiError:
    status = reply.status
    if status == 404 and operation.is_media:
        return MediaNotFoundError(
            "the session has no such image or video", status_code=status, operation=operation.name
        )
    if error := vendor_error(reply.body, operation, status):
        return error
    is_conflict = status in {409, 423}
    return ApiError(
        f"the service refuses the request (HTTP {status})",
        status_code=status,
        operation=operation.name,
        reason="conflict" if is_conflict else None,
        retryable=is_conflict,
    )


def undecodable(
    operation: Operation,
    reason: str,
    message: str = "the answer is not what the method returns, a web page perhaps",
) -> ResponseDecodeError:
    """Return the error of a success whose body is not what *operation* returns."""
    return ResponseDecodeError(
        message,
        operation=operation.name,
        reason=reason,
        retryable=True,
        maybe_applied=True,
    )
