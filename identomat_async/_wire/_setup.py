"""What a client is made of: its keywords, checked, and what they come to."""

import os
import ssl
import warnings
from collections.abc import Callable, Iterable
from typing import TypedDict, cast
from urllib.parse import urlsplit

from identomat_async._budget import RateBudget
from identomat_async._clock import Seconds, seconds
from identomat_async._wire._lane_transport import LaneTransport
from identomat_async._wire._line import Transport
from identomat_async._wire._protocol import DEFAULT_BASE_URL, Encoding, Endpoint
from identomat_async._wire._proxy import Proxy
from identomat_async._wire._retry import RetryPolicy
from identomat_async._wire._tls import checked_ssl_context, default_ssl_context
from identomat_async._wire._transport import Engine, Library
from identomat_async.errors import ConfigurationError
from identomat_async.events import Observer

AnyTransport = Transport | Callable[[], Transport]


class ClientOptions(TypedDict, total=False):
    """The keywords of `IdentomatClient`, but for those that the environment gives."""

    widget_origin: str | None
    timeout: Seconds
    deadline: Seconds | None
    encoding: Encoding
    retry: RetryPolicy | None
    rate: float | RateBudget | None
    max_connections: int
    ssl_context: ssl.SSLContext | None
    proxy: str | None
    engine: Engine
    transport: AnyTransport | None
    observers: Iterable[Observer]


class Account(TypedDict):
    """Where a client goes, and as whom."""

    company_key: str
    secret_key: str | None
    base_url: str


def account_of_environment() -> Account:
    """
    Read the three variables that this library knows; nothing else in it reads any.

    Raises:
        ConfigurationError: There is no company key, or a secret key that is empty.
    """
    if not os.environ.get("IDENTOMAT_COMPANY_KEY"):
        raise ConfigurationError("set IDENTOMAT_COMPANY_KEY to the company's key")
    return Account(
        company_key=os.environ["IDENTOMAT_COMPANY_KEY"],
        secret_key=secret_of_environment(),
        base_url=os.environ.get("IDENTOMAT_BASE_URL") or DEFAULT_BASE_URL,
    )


def secret_of_environment() -> str | None:
    """
    Read the secret key, None if its variable is not set.

    Raises:
        ConfigurationError: It is set and empty, as when a deployment has lost the secret:
            no reason to believe answers that are not signed.
    """
    secret = os.environ.get("IDENTOMAT_SECRET_KEY")
    if secret == "":
        raise ConfigurationError(
            "IDENTOMAT_SECRET_KEY is set but empty: set it to the secret key, or unset it if "
            "requests are not signed"
        )
    return secret


def checked_timeout(timeout: Seconds) -> float:
    """Return *timeout* in seconds if it is above 0."""
    number = seconds(timeout, name="timeout")
    if not number:
        raise ConfigurationError("timeout must be above 0 seconds")
    return number


def checked_retry(retry: object) -> RetryPolicy:
    """Return *retry*, or the default for None."""
    if retry is None:
        return RetryPolicy()
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError("retry must be a RetryPolicy(...) or None")
    return retry


def transport_of(
    given: AnyTransport | None,
    *,
    library: Library,
    ssl_context: ssl.SSLContext | None,
    proxy: Proxy | None,
    endpoint: Endpoint,
    max_connections: int,
) -> Transport:
    """
    Return what carries the requests.

    Args:
        given: A transport, a function that makes one, or None for our own.
        library: The HTTP library.
        ssl_context: For TLS, if our own is not good enough.
        proxy: What to go through.
        endpoint: Where it will go.
        max_connections: The most lanes.

    Raises:
        ConfigurationError: They do not go together.
    """
    if given is None:
        make = _lane_maker(library, ssl_context, proxy, endpoint)
        return _lanes(library, make, max_connections)
    if ssl_context is not None or proxy is not None:
        raise ConfigurationError(
            "transport= says itself how to connect: give ssl_context and proxy to the "
            "transport that you make"
        )
    if library.is_transport(given):
        warnings.warn(
            "a single transport cannot give fresh connections: what you act on may be a "
            "stray answer. Pass a function that makes a transport",
            UserWarning,
            stacklevel=3,
        )
        return cast("Transport", given)
    if not callable(given):
        raise ConfigurationError(
            f"transport must be an {library.name} transport or a function making one"
        )
    return _lanes(library, given, max_connections)


def _lanes(library: Library, make: Callable[[], Transport], limit: int) -> LaneTransport:
    # As a transport of the library too: somebody may want a client of its own over it.
    kind = library.derived(LaneTransport, "AsyncBaseTransport")
    return kind(library, make, limit=limit)


def _lane_maker(
    library: Library, ssl_context: object, proxy: Proxy | None, endpoint: Endpoint
) -> Callable[[], Transport]:
    is_plain = urlsplit(endpoint.base_url).scheme == "http"
    if is_plain and proxy is not None and not proxy.is_here:
        raise ConfigurationError(
            "base_url must be https where a proxy is used: http would show it the company key"
        )
    if ssl_context is not None:
        # To a proxy on another machine 127.0.0.1 is that machine.
        is_here = endpoint.is_here and (proxy is None or proxy.is_here)
        context = checked_ssl_context(ssl_context, is_here=is_here)
    elif is_plain and (proxy is None or not proxy.is_tls):
        # A context that trusts nobody costs nothing, and http:// needs none.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = default_ssl_context()
    return lambda: library.direct(context, proxy)
