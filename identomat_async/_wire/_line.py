"""One connection: how it is cut, and whether anything is left on it."""

# ruff: noqa: SLF001 - the names that the library keeps to itself, all in this file; a test
# says when one of them is gone

import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol


class Transport(Protocol):
    """What carries requests: a transport of httpx or httpx2."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send a request of the library and return its response."""

    async def aclose(self) -> None:
        """Close every connection."""


class Carrier:
    """What holds the connection of a lane: a transport of which nothing else is known."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request*."""
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()

    def is_clean(self) -> bool:
        """Tell whether nothing has come beyond the last answer, as far as can be known."""
        return True


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
        self._pool: Any = getattr(transport, "_pool", None)
        self._plug = _plugged_into(self._pool)
        self._stream: Any = None
        self._tls: ssl.SSLObject | None = None

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request*."""
        response = await super().handle_async_request(request)
        stream = response.extensions.get("network_stream")
        if stream is not self._stream and stream is not None:
            self._stream = stream
            self._tls = stream.get_extra_info("ssl_object")
        return response

    async def aclose(self) -> None:
        """Close the connection, without waiting for anything."""
        if self._plug is None:
            await super().aclose()
        else:
            self._plug.pull()

    def is_clean(self) -> bool:
        """Tell whether the connection is open, and nothing has come beyond the last answer."""
        try:
            (connection,) = self._pool.connections
            while not hasattr(connection, "_h11_state"):
                connection = connection._connection  # inside of a proxy's, and of a pool's
            left_over, _ = connection._h11_state.trailing_data
        except (AttributeError, TypeError, ValueError):
            return False
        return bool(connection.is_idle()) and not left_over and not _has_more(self._tls)


class _Plug:
    """A network backend of the library that can pull what it has plugged in."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._stream: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def connect_tcp(self, *args: Any, **keywords: Any) -> Any:
        """Connect, and remember the socket below TLS."""
        self.pull()
        self._stream = await self._backend.connect_tcp(*args, **keywords)
        return self._stream

    def pull(self) -> None:
        """Close the socket now."""
        stream, self._stream = self._stream, None
        if stream is not None:
            closing: Coroutine[object, object, object] = stream.aclose()
            # It closes first, and only then lets others run. That it raises when it is
            # not waited for, or because the other side has gone, makes no difference.
            with suppress(Exception):
                closing.send(None)
            closing.close()


def _plugged_into(pool: Any) -> _Plug | None:
    if not hasattr(pool, "_network_backend"):
        return None
    pool._network_backend = _Plug(pool._network_backend)
    plug: _Plug = pool._network_backend
    return plug


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
