"""One connection: how it is cut, and whether anything is left on it."""

# ruff: noqa: SLF001 - the names that the library keeps to itself, all in this file; a test
# says when one of them is gone

import ssl
from collections.abc import Awaitable, Coroutine, Sized
from contextlib import suppress
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final, Never, Protocol

import anyio.lowlevel

from identomat_async._wire._once import Once
from identomat_async.errors import ConfigurationError

EACH_ITS_OWN: Final = (
    "the function must make a transport with a connection of its own each time it is called, "
    "or what you act on may be the answer to another question"
)

# Until an answer begins, hints that it will (HTTP 1xx) are read without a pause, however
# many arrive at once: so little of them is taken at a time that others have their turn.
_FEW_BYTES: Final = 8192


class Transport(Protocol):
    """What carries requests: a transport of httpx or httpx2."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send a request of the library and return its response."""

    async def aclose(self) -> None:
        """Close every connection."""


class Carrier:
    """
    What holds the connection of a lane: a transport of which nothing else is known.

    Args:
        transport: The transport.
        streams: Knows the connections of the other lanes; they may share none.
    """

    def __init__(self, transport: Transport, *, streams: Once | None = None) -> None:
        self._transport = transport
        self._streams = streams

    async def handle_async_request(self, request: Any) -> Any:
        """
        Send *request*.

        Raises:
            ConfigurationError: It went over a connection on which something has travelled.
        """
        response = await self._transport.handle_async_request(request)
        streams, self._streams = self._streams, None
        if streams is not None:
            stream = response.extensions.get("network_stream")
            if stream is not None and not streams.is_new(stream):
                await response.stream.aclose()
                raise ConfigurationError(
                    f"transport= shares connections: {EACH_ITS_OWN}", maybe_applied=True
                )
        return response

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()

    def is_clean(self) -> bool:
        """Tell whether nothing has come beyond the last answer, as far as can be known."""
        return True

    def cut(self) -> None:
        """Let the answer that is being read end where it is, if that can be done."""


class Line(Carrier):
    """
    The library's own transport, used for one connection.

    Closing it never waits, so that no cancellation can interrupt it: asyncio's own knows
    no shield. And it knows what has arrived beyond an answer, which would be taken for
    the next one.

    This needs names that the library keeps to itself, here and nowhere else. Without them
    a line is closed as the library does it, and never kept.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        pool: Any = getattr(transport, "_pool", None)
        self._pool: Any = pool
        self._plug = _Plug(getattr(pool, "_network_backend", None))
        self._is_plugged = hasattr(pool, "_network_backend")
        if self._is_plugged:
            pool._network_backend = self._plug
        self._stream: Any = None
        self._tls: ssl.SSLObject | None = None

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request*."""
        self._plug.has_begun = self._plug.has_hints = False
        response = await self._transport.handle_async_request(request)
        self._plug.has_begun = True
        stream = response.extensions.get("network_stream")
        if stream is not self._stream and stream is not None:
            self._stream = stream
            self._tls = stream.get_extra_info("ssl_object")
        return response

    async def aclose(self) -> None:
        """Close the connection, without waiting for anything."""
        if self._is_plugged:
            self._plug.pull()
        else:
            await super().aclose()

    def is_clean(self) -> bool:
        """Tell whether the connection is open, and nothing has come beyond the last answer."""
        try:
            connection = self._connection()
            left_over, _ = connection._h11_state.trailing_data
        except (AttributeError, TypeError, ValueError):
            return False
        if left_over or self._plug.received:
            return False
        return bool(connection.is_idle()) and not _has_more(self._tls)

    def cut(self) -> None:
        """Let the answer that is being read end where it is, however much has arrived of it."""
        with suppress(AttributeError, TypeError, ValueError):
            self._connection()._receive_event = _end

    def _connection(self) -> Any:
        (connection,) = self._pool.connections
        while not hasattr(connection, "_h11_state"):
            connection = connection._connection  # inside of a proxy's, and of a pool's
        return connection


class _Plug:
    """
    A network backend of the library that can pull what it has plugged in.

    Attributes:
        has_begun: Whether the answer that is awaited has begun.
        has_hints: Whether something was read before it did.
        received: What has been received and nobody has read: anyio's on asyncio reads ahead.
    """

    def __init__(self, backend: Any) -> None:
        self.has_begun = self.has_hints = False
        self.received: Sized = ()
        self._backend = backend
        self._stream: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def connect_tcp(self, *args: Any, **keywords: Any) -> Any:
        """Connect, and remember the socket below TLS."""
        self.pull()
        try:
            self._stream = await self._backend.connect_tcp(*args, **keywords)
        except BaseException as error:
            _abort_forgotten(error.__traceback__)
            raise
        protocol = getattr(getattr(self._stream, "_stream", None), "_protocol", None)
        self.received = getattr(protocol, "read_queue", ())
        return _Stream(self._stream, self)

    def pull(self) -> None:
        """Close the socket now."""
        stream, self._stream = self._stream, None
        if stream is not None:
            _abort(getattr(stream, "_stream", None))
            closing: Coroutine[object, object, object] = stream.aclose()
            # It closes first, and only then lets others run. That it raises when it is
            # not waited for, or because the other side has gone, makes no difference.
            with suppress(Exception):
                closing.send(None)
            closing.close()


class _Stream:
    """A network stream of the library that reads little at a time until an answer begins."""

    def __init__(self, inner: Any, plug: _Plug) -> None:
        self._inner = inner
        self._plug = plug
        self._read = inner.read
        self.write = inner.write
        self.aclose = inner.aclose
        self.get_extra_info = inner.get_extra_info

    def read(self, max_bytes: int, timeout: float | None = None) -> Awaitable[bytes]:
        """Read what there is, up to so many bytes."""
        plug = self._plug
        if plug.has_begun:
            body: Awaitable[bytes] = self._read(max_bytes, timeout)
            return body
        if plug.has_hints:
            return self._read_on(timeout)
        plug.has_hints = True
        head: Awaitable[bytes] = self._read(_FEW_BYTES, timeout)
        return head

    async def _read_on(self, timeout: float | None) -> bytes:  # noqa: ASYNC109
        # Reading what TLS has received already lets nobody else have a turn.
        await anyio.lowlevel.checkpoint()
        hints: bytes = await self._read(_FEW_BYTES, timeout)
        return hints

    async def start_tls(self, *args: Any, **keywords: Any) -> "_Stream":
        """Speak TLS from here on."""
        return _Stream(await self._inner.start_tls(*args, **keywords), self._plug)


def _abort(stream: Any) -> None:
    # asyncio keeps a socket until the other side has read what was written, and anyio before
    # 4.16 lets others run before it puts an end to that. On trio there is nothing to do.
    with suppress(AttributeError):
        stream._transport.abort()


def _abort_forgotten(trace: TracebackType | None) -> None:
    # anyio before 4.16 forgets what it has just connected if the task is cancelled. The first
    # frame is our own: before Python 3.13 to look into it would have it keep the error, and
    # the error keeps the frame.
    for frame, _ in walk_tb(trace and trace.tb_next):
        _abort(frame.f_locals.get("connected_stream"))


async def _end(**_: object) -> Never:
    raise EOFError


def _has_more(tls: ssl.SSLObject | None) -> bool:
    if tls is None:
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        pass
    return True
