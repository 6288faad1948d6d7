"""One request and its reply: what is sent, how much is read, and how long that may take."""

import hmac
import logging
import time
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs

from identomat_async._pause import Pause
from identomat_async._wire._documents import check_named, may_name_session
from identomat_async._wire._files import Sink
from identomat_async._wire._lane_transport import FRESH, PAUSE, PROGRESS, distrust, unwind
from identomat_async._wire._line import Transport
from identomat_async._wire._protocol import JSON_CAP, Operation, WireRequest
from identomat_async._wire._replies import check
from identomat_async._wire._reply import PAGE_MARKS, Reply, is_text
from identomat_async._wire._transport import Library, Progress, translate
from identomat_async.errors import (
    IdentomatError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    SignatureError,
)

MOST_HEADERS: Final = 200
# At level DEBUG they say what came, unless somebody follows the progress and wipes it out.
_LOGGERS: Final = {
    name: tuple(
        logging.getLogger(f"{below}.{part}") for part in ("connection", "http11", "proxy", "socks")
    )
    for name, below in {"httpx": "httpcore", "httpx2": "httpcore2"}.items()
}
# What has arrived is read without waiting for anything, in pieces as small as a byte: after
# so many of them others have their turn, and the deadline is looked at.
_LONGEST_TURN: Final = 100
# A medium may begin slowly, but then it has to come: bytes per second, on average from its
# first byte on.
_SLOW_START: Final = 10.0
_LEAST_PACE: Final = 16 * 1024


async def exchange(
    library: Library,
    transport: Transport,
    request: WireRequest,
    operation: Operation,
    *,
    timeout: float,  # noqa: ASYNC109 - of a step
    fresh: bool,
    secret: bytes | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
    pause: Pause | None = None,
) -> Reply:
    """
    Send one request and return its reply if it is a success.

    Args:
        library: The HTTP library of *transport*.
        transport: What carries it.
        request: What is sent.
        operation: What is asked; it says how large the body may be.
        timeout: Seconds for each step: connecting, writing, each read. The caller bounds
            the whole.
        fresh: The reply is the first one on its connection.
        secret: The key with which a success must be signed, None if it need not be.
        sink: Takes the body of a success piece by piece instead of the reply.
        progress: Learns whether the request has left.
        pause: Holds the request back where it stands in line for a connection.

    Raises:
        TransportError: No reply arrived, or not all of it.
        ResponseDecodeError: The reply breaks HTTP, or our limits.
        IdentomatError: It is no success; see `check`.
    """
    extensions: dict[str, object] = {"timeout": _steps(timeout), FRESH: fresh, PAUSE: pause}
    if progress is None and _is_overheard(library):
        progress = Progress()
    if progress is not None:
        progress.leave()
        extensions |= {"trace": progress.follow, PROGRESS: progress}
    failure: IdentomatError
    try:
        response = await transport.handle_async_request(library.request(request, extensions))
        return await _read(response, operation, secret, sink, request.session)
    except IdentomatError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever a transport raises is a failed request
        failure = translate(error, operation)
    # Raised out here, so that no object of the HTTP library hangs on it: those carry the
    # request, and the request carries the company key.
    raise failure


def _is_overheard(library: Library) -> bool:
    for logger in _LOGGERS[library.name]:  # noqa: SIM110 - at every look, where `any` costs thrice as much
        if logger.isEnabledFor(logging.DEBUG):
            return True
    return False


@lru_cache(maxsize=8)
def _steps(timeout: float) -> Mapping[str, float]:
    connect, write = min(timeout, 5.0), min(timeout, 10.0)
    return {"connect": connect, "write": write, "read": timeout, "pool": timeout}


async def _read(
    response: Any,
    operation: Operation,
    secret: bytes | None,
    sink: Sink | None,
    session: str | None,
) -> Reply:
    stream = response.stream
    chunks: AsyncIterator[bytes] = aiter(stream)
    try:
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        _check_headers(headers, operation)
        received = time.time()
        if not operation.is_media:
            body = await _collect(chunks, operation, operation.cap)
            reply = Reply(
                status=response.status_code, headers=headers, body=body, received=received
            )
        else:
            bare = Reply(status=response.status_code, headers=headers, received=received)
            reply = await _medium(bare, chunks, operation, secret, sink)
        check(reply, operation, secret=secret)
        if session is not None and may_name_session(reply.body):
            check_named(reply.body, session, operation)
    except (SignatureError, ResponseDecodeError) as error:
        # Whatever changes what is said, or to whom, may do so to the next answer as well.
        if isinstance(error, SignatureError) or error.reason == "other-session":
            distrust(stream)
        raise
    finally:
        await stream.aclose()
        if chunks is not stream:  # it is that of a transport that is not ours
            await unwind(chunks)
    return reply


async def _medium(
    bare: Reply,
    chunks: AsyncIterator[bytes],
    operation: Operation,
    secret: bytes | None,
    sink: Sink | None,
) -> Reply:
    first = await _first(chunks)
    is_other = not bare.is_success or is_text(bare) or first[:1] in PAGE_MARKS
    if is_other or sink is None:
        cap = JSON_CAP if is_other else operation.cap
        return attrs.evolve(bare, body=await _collect(chunks, operation, cap, first))
    digest = await _drain(chunks, operation, secret, sink, first)
    return attrs.evolve(bare, digest=digest, head=first[:1])


def _check_headers(headers: list[tuple[bytes, bytes]], operation: Operation) -> None:
    if len(headers) > MOST_HEADERS:
        raise _undecodable("the answer has too many headers", "headers", operation)
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise _undecodable("the answer is compressed, unasked", "encoding", operation)
        if name == b"content-length" and value.isdigit() and int(value[:20]) > operation.cap:
            raise _too_large(operation, operation.cap)


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    async for chunk in chunks:
        if chunk:
            return chunk
    return b""


async def _collect(
    chunks: AsyncIterator[bytes], operation: Operation, cap: int, first: bytes = b""
) -> bytes:
    gauge = _Gauge(operation, cap)
    gauge.check(len(first))
    body = bytearray(first)
    turn = 0
    async for chunk in chunks:
        body += chunk
        gauge.check(len(body))
        turn += 1
        if turn % _LONGEST_TURN == 0:
            await anyio.lowlevel.checkpoint()
    return bytes(body)


async def _drain(
    chunks: AsyncIterator[bytes],
    operation: Operation,
    secret: bytes | None,
    sink: Sink,
    first: bytes,
) -> bytes | None:
    gauge = _Gauge(operation, operation.cap)
    code = None if secret is None else hmac.new(secret, first, "sha256")
    size = len(first)
    gauge.check(size)
    turn = 0
    await sink.write(first)
    async for chunk in chunks:
        turn += 1
        if turn % _LONGEST_TURN == 0:
            await anyio.lowlevel.checkpoint()
        size += len(chunk)
        gauge.check(size)
        if code is not None:
            code.update(chunk)
        await sink.write(chunk)
    return None if code is None else code.digest()


class _Gauge:
    """Holds a body to its most bytes, and a medium to its least pace."""

    __slots__ = ("_began", "_cap", "_operation")

    def __init__(self, operation: Operation, cap: int) -> None:
        self._operation = operation
        self._cap = cap
        self._began: float | None = None

    def check(self, size: int) -> None:
        """Raise if a body that has come to *size* bytes by now is not worth waiting for."""
        if size > self._cap:
            raise _too_large(self._operation, self._cap)
        if self._operation.is_media and size < self._due(anyio.current_time()):
            raise RequestTimeoutError(
                f"the medium comes at less than {_LEAST_PACE // 1024} KiB per second",
                operation=self._operation.name,
                reason="too-slow",
                retryable=True,
                maybe_applied=True,
            )

    def _due(self, now: float) -> float:
        if self._began is None:
            self._began = now
        return (now - self._began - _SLOW_START) * _LEAST_PACE


def _too_large(operation: Operation, cap: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(
        f"the answer is larger than {cap} bytes; the rest was not read",
        operation=operation.name,
        reason="too-large",
        retryable=True,
        maybe_applied=True,
    )


def _undecodable(message: str, reason: str, operation: Operation) -> ResponseDecodeError:
    return ResponseDecodeError(
        message, operation=operation.name, reason=reason, retryable=True, maybe_applied=True
    )
