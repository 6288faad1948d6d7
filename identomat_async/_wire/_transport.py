"""The only module that knows the HTTP library, and the only place where a byte moves."""

import hmac
import ssl
import time
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Final, Protocol

import attrs
import httpx

from identomat_async._wire._lanes import Lane, Lanes
from identomat_async._wire._protocol import Operation, WireRequest
from identomat_async._wire._replies import Reply, is_text
from identomat_async.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    TransportError,
)

Transport = httpx.AsyncBaseTransport


class Sink(Protocol):
    """Where the bytes of a medium go."""

    async def write(self, chunk: bytes) -> None:
        """Take the next piece."""

    async def rewind(self) -> None:
        """Begin anew: what came so far does not count."""


MOST_HEADERS: Final = 200
# Servers and load balancers close an idle connection after 60 s at the earliest.
_KEEPALIVE = 55.0
_FRESH = "identomat_fresh"
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
        self.lanes = Lanes(make, limit=limit)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* on a lane, which comes back when the response is closed."""
        is_fresh = request.extensions.get(_FRESH, False)
        lane = await self.lanes.acquire(fresh=is_fresh)
        was_kept = lane.answers > 0
        try:
            return await self._send(request, lane)
        except _BROKEN:
            # The idle close race: the other side gave up this connection just now.
            if not was_kept:
                raise
        return await self._send(request, await self.lanes.acquire(fresh=True))

    async def aclose(self) -> None:
        """Close every lane."""
        await self.lanes.aclose()

    async def _send(self, request: httpx.Request, lane: Lane[Transport]) -> httpx.Response:
        try:
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
        self._chunks = aiter(self._inner)
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
        try:
            await _close_quietly(self._chunks)
            await self._inner.aclose()
        except BaseException:
            await self._lanes.drop(lane)
            raise
        if not self._is_complete or not self._lanes.release(lane):
            await self._lanes.drop(lane)


async def _close_quietly(chunks: AsyncIterator[bytes] | None) -> None:
    # An async generator that is left half read would be finalised who knows when.
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


@lru_cache(maxsize=1)
def default_ssl_context() -> ssl.SSLContext:
    """Return the one TLS context of this process; making one takes 20 ms."""
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python takes it from SSLKEYLOGFILE; no environment variable decrypts our traffic.
    context.keylog_filename = None  # type: ignore[assignment] # typeshed knows only str
    return context


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
    extensions = {"timeout": steps, _FRESH: fresh}
    try:
        response = await transport.handle_async_request(_to_httpx(request, extensions))
        return await _read(response, operation, secret, sink)
    except (httpx.TransportError, httpx.StreamError) as error:
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
    try:
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        _check_headers(headers, operation)
        reply = Reply(status=response.status_code, headers=headers, received=time.time())
        if sink is None or not response.is_success or is_text(reply):
            return attrs.evolve(reply, body=await _collect(stream, operation))
        digest, head = await _drain(stream, operation, secret or b"", sink)
        return attrs.evolve(reply, digest=digest, head=head)
    finally:
        await stream.aclose()


def _check_headers(headers: list[tuple[bytes, bytes]], operation: Operation) -> None:
    if len(headers) > MOST_HEADERS:
        raise _undecodable("the answer has too many headers", "headers", operation)
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise _undecodable("the answer is compressed, unasked", "encoding", operation)
        if name == b"content-length" and value.isdigit() and int(value[:20]) > operation.cap:
            raise _too_large(operation)


async def _collect(stream: httpx.AsyncByteStream, operation: Operation) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > operation.cap:
            raise _too_large(operation)
        chunks.append(chunk)
    return b"".join(chunks)


async def _drain(
    stream: httpx.AsyncByteStream, operation: Operation, secret: bytes, sink: Sink
) -> tuple[bytes, bytes]:
    size, head = 0, b""
    code = hmac.new(secret, digestmod="sha256")
    async for chunk in stream:
        size += len(chunk)
        if size > operation.cap:
            raise _too_large(operation)
        head = head or chunk[:1]
        code.update(chunk)
        await sink.write(chunk)
    return code.digest(), head


def _too_large(operation: Operation) -> ResponseTooLargeError:
    return ResponseTooLargeError(
        f"the answer is larger than {operation.cap} bytes; the rest was not read",
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
    causes = list(_causes(error))
    tls = any(isinstance(cause, ssl.SSLError) for cause in causes)
    return ConnectionFailedError(
        "TLS refuses the other side" if tls and is_unsent else "the connection failed",
        errno=next((c.errno for c in causes if isinstance(c, OSError) and c.errno), None),
        tls=tls and is_unsent,
        operation=operation.name,
        retryable=not (tls and is_unsent),
        maybe_applied=not is_unsent,
    )


def _is_disconnect(error: httpx.RemoteProtocolError) -> bool:
    text = str(error)
    return "disconnected" in text or "closed connection" in text


def _causes(error: BaseException | None) -> "list[BaseException]":
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
