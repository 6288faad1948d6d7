"""The only module that knows the HTTP library, and the only place where a byte moves."""

import hmac
import logging
import ssl
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Final, cast

import attrs

# With itself httpx imports its command line if rich and click are there: 90 modules that
# a library has no use for. Left out here; whoever imports `httpx._main` later gets it.
_is_first = "httpx" not in sys.modules
if _is_first:
    sys.modules["httpx._main"] = None  # type: ignore[assignment] # it means "not there"
import httpx

if _is_first:
    del sys.modules["httpx._main"]

from identomat_async._pause import Pause
from identomat_async._wire._files import Sink
from identomat_async._wire._lanes import Lane, Lanes
from identomat_async._wire._protocol import JSON_CAP, Operation, WireRequest
from identomat_async._wire._replies import PAGE_MARKS, Reply, is_text
from identomat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    IdentomatError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    TransportError,
)

Transport = httpx.AsyncBaseTransport


@attrs.define(eq=False)
class Progress:
    """How far a request has come, for the error of a call that is cut off."""

    is_sent: bool = False

    async def follow(self, step: str, facts: dict[str, object]) -> None:
        """Take note of a step of the HTTP library (its ``trace`` extension)."""
        if not step.endswith(".started"):
            # What came of it: headers, or an error that quotes the answer. The library
            # logs it next, at level DEBUG, with what it finds in here.
            facts.clear()
        if step == "connection.connect_tcp.started":
            self.is_sent = False
        elif step == "http11.send_request_headers.started":
            self.is_sent = True


MOST_HEADERS: Final = 200
_LOGGERS = tuple(
    logging.getLogger(f"{library}.{part}")
    for library in ("httpcore", "httpcore2")
    for part in ("connection", "http11", "proxy", "socks")
)
# Servers and load balancers close an idle connection after 60 s at the earliest.
_KEEPALIVE = 55.0
# What has arrived and was not read yet comes in no more pieces than this.
_MOST_LEFT_OVER = 100
_FRESH, _PROGRESS, _PAUSE = "identomat_fresh", "identomat_progress", "identomat_pause"
_HEADERS = (
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("Cache-Control", "no-store"),
    ("User-Agent", "identomat-async"),
)
_BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class LaneTransport(httpx.AsyncBaseTransport):
    """
    One-connection transports in a last-in-first-out free list.

    A request whose ``extensions`` say ``identomat_fresh`` travels first on a new
    connection. Any other may be sent twice if a kept connection turns out to be closed
    before a byte of the answer came, so it must be safe to repeat.

    Args:
        make: Called once per lane.
        limit: The most lanes at a time.
    """

    def __init__(self, make: Callable[[], Transport], *, limit: int) -> None:
        self.lanes = Lanes(lambda: _made_by(make), limit=limit)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* on a lane, which comes back when the response is closed."""
        is_fresh = request.extensions.get(_FRESH, False)
        if _PROGRESS in request.extensions:
            request.extensions[_PROGRESS].is_sent = False
        lane = await self.lanes.acquire(fresh=is_fresh)
        was_kept = lane.answers > 0
        try:
            return await self._send(request, lane)
        except _BROKEN as error:
            # The idle close race: the other side gave up this connection just now.
            if not was_kept or not _is_disconnect(error):
                raise
        return await self._send(request, await self.lanes.acquire(fresh=True))

    async def aclose(self) -> None:
        """Close every lane."""
        await self.lanes.aclose()

    async def _send(self, request: httpx.Request, lane: Lane[Transport]) -> httpx.Response:
        progress: Progress = request.extensions.get(_PROGRESS) or Progress()
        try:
            pause: Pause | None = request.extensions.get(_PAUSE)
            if pause is not None:
                # It may have begun while this request stood in line for the lane.
                await pause.passed()
            progress.is_sent = True
            response = await lane.carrier.handle_async_request(request)
        except BaseException:
            await self.lanes.drop(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - for types
        response.stream = _LaneStream(response.stream, self.lanes, lane)
        return response


class _LaneStream(httpx.AsyncByteStream):
    """A body that gives its lane back when it is closed."""

    def __init__(
        self, inner: httpx.AsyncByteStream, lanes: Lanes[Transport], lane: Lane[Transport]
    ) -> None:
        self._inner = inner
        self._lanes = lanes
        self._lane: Lane[Transport] | None = lane
        self._chunks: AsyncIterator[bytes] | None = None
        self._is_complete = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Whoever has read the beginning goes on from there.
        self._chunks = self._chunks or aiter(self._inner)
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None  # noqa: S101 - for types
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._is_complete = True
            raise

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        is_sound = False
        try:
            with suppress(Exception):
                await self._inner.aclose()
                if not self._is_complete:
                    await _unwind(self._chunks)
                is_sound = self._is_complete
        finally:
            if not (is_sound and self._lanes.release(lane)):
                await self._lanes.drop(lane)


async def _unwind(chunks: AsyncIterator[bytes] | None) -> None:
    """
    Let a body end that is half read and whose connection is closed.

    It is a chain of async generators, and closing the first leaves the others to the
    garbage collector, of which trio complains. Reading on ends all of them.
    """
    if not isinstance(chunks, AsyncGenerator):
        return
    body = cast("AsyncGenerator[bytes, None]", chunks)
    with suppress(Exception):
        for _ in range(_MOST_LEFT_OVER):
            await anext(body)
    await body.aclose()


def _made_by(make: Callable[[], Transport]) -> Transport:
    failure = "something else"
    try:
        made = make()
        if isinstance(made, httpx.AsyncBaseTransport):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            return made
    except Exception as error:  # noqa: BLE001 - it is the caller's function, anything may come
        failure = type(error).__name__
    raise ConfigurationError(f"transport= must make an httpx transport; it came to {failure}")


def direct_lane(ssl_context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """Return a transport that holds one connection, and asks no environment variable."""
    limits = httpx.Limits(
        max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEPALIVE
    )
    return httpx.AsyncHTTPTransport(verify=ssl_context, limits=limits, trust_env=False)


async def exchange(
    transport: Transport,
    request: WireRequest,
    operation: Operation,
    *,
    timeout: float,  # noqa: ASYNC109 - of a step; the caller bounds the whole
    fresh: bool,
    secret: bytes | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
    pause: Pause | None = None,
) -> Reply:
    """
    Send one request and read its reply.

    Args:
        transport: What carries it.
        request: What is sent.
        operation: What is asked; it says how large the body may be.
        timeout: Seconds for each step: connecting, writing, each read.
        fresh: The reply is the first one on its connection.
        secret: The key with which a body that goes to *sink* is measured.
        sink: Takes the body of a success piece by piece instead of the reply.
        progress: Learns whether the request has left.
        pause: Holds the request back where it stands in line for a connection.

    Raises:
        TransportError: No reply arrived, or not all of it.
        ResponseDecodeError: The reply breaks HTTP, or our limits.
    """
    steps = {
        "connect": min(timeout, 5.0),
        "write": min(timeout, 10.0),
        "read": timeout,
        "pool": timeout,
    }
    extensions: dict[str, object] = {"timeout": steps, _FRESH: fresh, _PAUSE: pause}
    if progress is None and any(logger.isEnabledFor(logging.DEBUG) for logger in _LOGGERS):
        progress = Progress()
    if progress is not None:
        progress.is_sent = True
        extensions |= {"trace": progress.follow, _PROGRESS: progress}
    failure: IdentomatError
    try:
        response = await transport.handle_async_request(_to_httpx(request, extensions))
        return await _read(response, operation, secret, sink)
    except IdentomatError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever a transport raises is a failed request
        failure = _translate(error, operation)
    # Raised out here, so that no object of the HTTP library hangs on it: those carry the
    # request, and the request carries the company key.
    raise failure


def _to_httpx(request: WireRequest, extensions: dict[str, object]) -> httpx.Request:
    url = httpx.URL(request.url) if "?" in request.url else _kept_url(request.url)
    headers = [*_HEADERS, *request.headers]
    return httpx.Request(
        request.method, url, headers=headers, content=request.body, extensions=extensions
    )


@lru_cache(maxsize=32)
def _kept_url(url: str) -> httpx.URL:
    return httpx.URL(url)


async def _read(
    response: httpx.Response, operation: Operation, secret: bytes | None, sink: Sink | None
) -> Reply:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - for types
    chunks: AsyncIterator[bytes] | None = None
    try:
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        reply = Reply(status=response.status_code, headers=headers, received=time.time())
        _check_headers(headers, operation)
        chunks = aiter(stream)
        if sink is None:
            return attrs.evolve(reply, body=await _collect(chunks, operation, operation.cap))
        first = await _first(chunks)
        if not response.is_success or is_text(reply) or first[:1] in PAGE_MARKS:
            body = await _collect(chunks, operation, JSON_CAP, first)
            return attrs.evolve(reply, body=body)
        digest = await _drain(chunks, operation, secret or b"", sink, first)
        return attrs.evolve(reply, digest=digest, head=first[:1])
    finally:
        await stream.aclose()
        await _unwind(chunks)


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
    body = bytearray(first)
    async for chunk in chunks:
        body += chunk
        if len(body) > cap:
            raise _too_large(operation, cap)
    return bytes(body)


async def _drain(
    chunks: AsyncIterator[bytes], operation: Operation, secret: bytes, sink: Sink, first: bytes
) -> bytes:
    code = hmac.new(secret, first, "sha256")
    size = len(first)
    await sink.write(first)
    async for chunk in chunks:
        size += len(chunk)
        if size > operation.cap:
            raise _too_large(operation, operation.cap)
        code.update(chunk)
        await sink.write(chunk)
    return code.digest()


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


def _translate(error: Exception, operation: Operation) -> TransportError | ResponseDecodeError:
    is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if isinstance(error, httpx.TimeoutException):
        return RequestTimeoutError(
            "no connection in time" if is_unsent else "no answer in time",
            operation=operation.name,
            retryable=True,
            maybe_applied=not is_unsent,
        )
    if isinstance(error, httpx.RemoteProtocolError) and not _is_disconnect(error):
        return _undecodable("the answer breaks the rules of HTTP", "http", operation)
    causes = _causes(error)
    tls = is_unsent and any(_is_refusal(cause) for cause in causes)
    return ConnectionFailedError(
        "TLS refuses the other side" if tls else "the connection failed",
        errno=next((c.errno for c in causes if isinstance(c, OSError) and c.errno), None),
        tls=tls,
        operation=operation.name,
        retryable=not tls,
        maybe_applied=not is_unsent,
    )


def _is_disconnect(error: Exception) -> bool:
    # The library has one class for an answer that is cut off and for one that is garbage.
    text = str(error)
    is_garbage = isinstance(error, httpx.RemoteProtocolError)
    return not is_garbage or "disconnected" in text or "closed connection" in text


def _is_refusal(cause: BaseException) -> bool:
    # A handshake that is cut off is an SSLError too, and may go better the next time.
    is_cut = isinstance(cause, ssl.SSLEOFError | ssl.SSLSyscallError | ssl.SSLZeroReturnError)
    return isinstance(cause, ssl.SSLError) and not is_cut


def _member_of(error: BaseException) -> BaseException | None:
    if not isinstance(error, BaseExceptionGroup):
        return None
    # Several addresses may have been tried at once; one reason is as good as another.
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group.exceptions[0]


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = _member_of(error) or error.__cause__ or error.__context__
    return found
