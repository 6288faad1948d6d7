"""The only module that knows the HTTP library, whichever of the two it is."""

import math
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

import anyio
import attrs

from identomat_async._wire._line import EACH_ITS_OWN, Carrier, Line, Transport
from identomat_async._wire._once import Once
from identomat_async._wire._protocol import Operation, WireRequest
from identomat_async._wire._proxy import Proxy
from identomat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    TransportError,
)

if TYPE_CHECKING:  # what is said of httpx goes for httpx2 as well
    import httpx

T = TypeVar("T")
Engine = Literal["httpx", "httpx2"]
ENGINES: Final[tuple[Engine, ...]] = ("httpx", "httpx2")

# Servers and load balancers close an idle connection after 60 s at the earliest.
KEEPALIVE: Final = 55.0
# A handshake that is cut off, or was waiting when it was, is an SSLError too, and may go
# better the next time.
_UNFINISHED = (
    ssl.SSLEOFError,
    ssl.SSLSyscallError,
    ssl.SSLZeroReturnError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
_HEADERS = (
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("Cache-Control", "no-store"),
    ("User-Agent", "identomat-async"),
)


class _Unseen(tuple[bytes, ...]):
    """What is not to be read in a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(***)"


@attrs.define(eq=False)
class Progress:
    """
    How far a request has come, for the error of a call that is cut off.

    Attributes:
        is_sent: Whether the service may have it.
        scope: What ends the request when its time is up, if anything does.
        timeout: Seconds that it may take from when it leaves.
    """

    is_sent: bool = False
    scope: anyio.CancelScope | None = None
    timeout: float = math.inf

    def stand_in_line(self) -> None:
        """Take note that the request waits for a connection, which is not its own time."""
        self.is_sent = False
        if self.scope is not None:
            self.scope.deadline = math.inf

    def leave(self) -> None:
        """Take note that it leaves now."""
        self.is_sent = True
        if self.scope is not None:
            self.scope.deadline = anyio.current_time() + self.timeout

    async def follow(self, step: str, facts: dict[str, Any]) -> None:
        """Take note of a step of the HTTP library (its ``trace`` extension)."""
        if not step.endswith(".started"):
            # What came of it: headers, or an error that quotes the answer. The library
            # logs it next, at level DEBUG, with what it finds in here.
            facts.clear()
        elif facts.get("auth"):
            # The user and password of a SOCKS proxy, logged as well, and needed after that.
            facts["auth"] = _Unseen(facts["auth"])
        if step == "connection.connect_tcp.started":
            self.is_sent = False
        elif step == "http11.send_request_headers.started":
            # What is said to a proxy is not the request yet.
            self.is_sent = facts["request"].method != b"CONNECT"


class Library:
    """
    httpx or httpx2: one interface in two namespaces.

    Args:
        name: Which one.

    Attributes:
        http: The package.

    Raises:
        ConfigurationError: It is neither, or not installed.
    """

    def __init__(self, name: Engine) -> None:
        self.name = name
        self.http: Any = _imported(name)
        self._body = self.derived(_Body, "AsyncByteStream")

    def __repr__(self) -> str:
        return f"<Library {self.name}>"

    def derived(self, ours: type[T], base: str) -> type[T]:
        """Return *ours* as a class that is also derived from the library's class *base*."""
        made: type[T] = type(ours.__name__, (ours, getattr(self.http, base)), {})
        return made

    def request(self, said: WireRequest, extensions: dict[str, object]) -> "httpx.Request":
        """Return *said* as the library's own request."""
        # Only what is for everybody is kept: neither a URL with a key in it nor a signature.
        is_common = "?" not in said.url and len(said.headers) == 1
        headers_for = _kept_headers if is_common else _headers
        request: httpx.Request = self.http.Request(
            said.method,
            _url(self.http, said.url),
            headers=headers_for(self.http, said.url, said.headers, len(said.body)),
            stream=self._body(said.body),
            extensions=extensions,
        )
        return request

    def direct(self, ssl_context: ssl.SSLContext, proxy: Proxy | None = None) -> Transport:
        """Return a transport that holds one connection, and asks no environment variable."""
        limits = self.http.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE
        )
        through = None if proxy is None else self._through(proxy, ssl_context)
        made: Transport = self.http.AsyncHTTPTransport(
            verify=ssl_context, limits=limits, trust_env=False, proxy=through
        )
        return made

    def _through(self, proxy: Proxy, ssl_context: ssl.SSLContext) -> "httpx.Proxy":
        context = ssl_context if proxy.is_tls else None
        through: httpx.Proxy = self.http.Proxy(proxy.url.reveal(), ssl_context=context)
        return through

    def carrier(
        self, make: Callable[[], Transport], *, made_before: Once, streams: Once
    ) -> Carrier:
        """
        Return what *make* makes, ready to be a lane.

        Args:
            make: The function.
            made_before: Knows what it made for other lanes.
            streams: Knows their connections.

        Raises:
            ConfigurationError: It makes no transport, or one of the other library, or the
                library's own again, which holds the connections of another lane.
        """
        failure = "something else"
        try:
            made = make()
        except Exception as error:  # noqa: BLE001 - it is the caller's function, anything may come
            failure = type(error).__name__
        else:
            if self.is_transport(made):
                if not isinstance(made, self.http.AsyncHTTPTransport):
                    return Carrier(made, streams=streams)
                if made_before.is_new(made):
                    return Line(made)
                raise ConfigurationError(f"transport= came twice: {EACH_ITS_OWN}")
        raise ConfigurationError(
            f"transport= must make an {self.name} transport; it came to {failure}"
        )

    def is_transport(self, given: object) -> bool:
        """
        Tell whether *given* carries requests of this library.

        Raises:
            ConfigurationError: It carries those of the other one.
        """
        if isinstance(given, type):
            return False
        family = [kind for kind in type(given).__mro__ if "handle_async_request" in vars(kind)]
        author = family[0].__module__.partition(".")[0] if family else None
        if author in ENGINES and author != self.name:
            raise ConfigurationError(f'transport= is of {author}: say engine="{author}" with it')
        return author is not None and hasattr(given, "aclose")


class _Body:
    """
    The bytes of a request.

    The library's own is an async generator, and one that a cancellation leaves half read is
    left to the garbage collector, of which trio complains.
    """

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        # From the start each time: a request may be sent again.
        return _Body(self._content or b"")

    async def __anext__(self) -> bytes:
        content, self._content = self._content, None
        if content is None:
            raise StopAsyncIteration
        return content


def library(name: Engine) -> Library:
    """
    Return the library of that name, imported once.

    Raises:
        ConfigurationError: There is no such engine, or it is not installed.
    """
    if name not in ENGINES:
        raise ConfigurationError('engine must be "httpx" or "httpx2"')
    return _kept(name)


_kept = lru_cache(maxsize=2)(Library)


def _imported(name: Engine) -> ModuleType:
    # With itself httpx imports its command line if rich and click are there: 90 modules
    # that a library has no use for. Left out here; whoever imports it later gets it.
    command_line = f"{name}._main"
    is_first = name not in sys.modules
    if is_first:
        sys.modules[command_line] = None  # type: ignore[assignment] # it means "not there"
    try:
        return _import_httpx2() if name == "httpx2" else _import_httpx()
    except ModuleNotFoundError:
        pass
    finally:
        if is_first:
            del sys.modules[command_line]
    raise ConfigurationError(
        f'engine="{name}" needs a package that is not installed: '
        f"pip install 'identomat-async[{name}]'"
    )


def _import_httpx() -> ModuleType:
    import httpx  # noqa: PLC0415 - only one of the two is wanted

    return httpx


def _import_httpx2() -> ModuleType:
    import httpx2  # noqa: PLC0415 - only one of the two is wanted, and the other optional

    return httpx2


def _url(http: ModuleType, url: str) -> "httpx.URL":
    return _parsed(http, url) if "?" in url else _kept_url(http, url)


def _parsed(http: ModuleType, url: str) -> "httpx.URL":
    made: httpx.URL = http.URL(url)
    return made


def _headers(
    http: ModuleType, url: str, more: tuple[tuple[str, str], ...], length: int
) -> "httpx.Headers":
    host = _url(http, url).netloc.decode("ascii")
    sent = [("Host", host), *_HEADERS, *more]
    if length:
        sent.append(("Content-Length", str(length)))
    made: httpx.Headers = http.Headers(sent)
    return made


# The library makes a request anew from text at five times the cost.
_kept_url = lru_cache(maxsize=32)(_parsed)
_kept_headers = lru_cache(maxsize=256)(_headers)


# --- errors ----------------------------------------------------------------------------


def translate(error: Exception, operation: Operation) -> TransportError | ResponseDecodeError:
    """Return our own error for one of the library, or of a transport."""
    if _is(error, "ProxyError"):
        return _proxy_refusal(error, operation)
    is_unsent = _is(error, "ConnectError", "ConnectTimeout", "PoolTimeout")
    if _is(error, "TimeoutException"):
        return too_late(operation, is_sent=not is_unsent)
    if _is(error, "RemoteProtocolError") and not _is_disconnect(error):
        return ResponseDecodeError(
            "the answer breaks the rules of HTTP",
            operation=operation.name,
            reason="http",
            retryable=True,
            maybe_applied=True,
        )
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


def too_late(operation: Operation, *, is_sent: bool) -> RequestTimeoutError:
    """Return the error of a request that took longer than it may."""
    return RequestTimeoutError(
        "no answer in time" if is_sent else "no connection in time",
        operation=operation.name,
        retryable=True,
        maybe_applied=is_sent,
    )


def is_hung_up(error: Exception) -> bool:
    """Tell whether the other side gave up the connection without a word."""
    return _is(error, "RemoteProtocolError", "ReadError", "WriteError") and _is_disconnect(error)


def _is(error: Exception, *names: str) -> bool:
    # A transport may raise the errors of either library.
    loaded = [sys.modules[name] for name in ENGINES if name in sys.modules]
    return isinstance(error, tuple(getattr(http, name) for http in loaded for name in names))


def _proxy_refusal(error: Exception, operation: Operation) -> ConnectionFailedError:
    # The library says the proxy's status first; a refusal (4xx) will be the same again.
    return ConnectionFailedError(
        "the proxy makes no connection",
        operation=operation.name,
        reason="proxy",
        retryable=not str(error).startswith("4"),
    )


def _is_disconnect(error: Exception) -> bool:
    # The library has one class for an answer that is cut off and for one that is garbage.
    text = str(error)
    is_garbage = _is(error, "RemoteProtocolError")
    return not is_garbage or "disconnected" in text or "closed connection" in text


def _is_refusal(cause: BaseException) -> bool:
    return isinstance(cause, ssl.SSLError) and not isinstance(cause, _UNFINISHED)


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
