"""The only place where the rooms meet: the client."""

import ssl
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Self, Unpack

import anyio

from identomat_async._budget import RateBudget, budget_of, whole
from identomat_async._clock import Deadline, Seconds, seconds
from identomat_async._edge import refusing
from identomat_async._model._result import SessionResult
from identomat_async._polling._hub import checked_observers
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._poller import ResultPoller
from identomat_async._polling._watch import Until
from identomat_async._wire._call import Caller
from identomat_async._wire._methods import Methods
from identomat_async._wire._protocol import (
    DEFAULT_BASE_URL,
    Encoding,
    Endpoint,
    checked_base_url,
    origin_of,
)
from identomat_async._wire._proxy import checked_proxy
from identomat_async._wire._retry import RetryPolicy
from identomat_async._wire._secret import Secret
from identomat_async._wire._setup import (
    AnyTransport,
    ClientOptions,
    account_of_environment,
    checked_retry,
    checked_timeout,
    transport_of,
)
from identomat_async._wire._transport import Engine, library
from identomat_async.events import Observer


class IdentomatClient(Methods):
    """
    The Identomat API, for asyncio and trio.

    Whatever a method returns was read as the first answer on a new connection, so it
    cannot be a stray answer to somebody else's question. With a *secret_key* every
    request is signed, and no success is read whose signature is missing or wrong.

    Args:
        company_key: The company's key, from the vendor's dashboard.
        secret_key: The HMAC key that belongs to it, if requests are to be signed.
        base_url: Where the API is; ``http://`` is accepted for this machine only.
        widget_origin: Where the widget is; the origin of *base_url* unless given.
        timeout: Seconds that one HTTP attempt may take, from connecting (5 s of it at most) and
            writing (10 s) to the last byte. Of an image or video it bounds each read, for
            as long as 16 KiB come per second.
        deadline: Everything one call may take, in seconds; each method has its own
            default (30 s, `delete` 60 s, media 300 s). Waiting has its own deadlines.
        encoding: How parameters travel: ``"json"``, ``"form"``, or ``"query"``. The last
            is GET and puts the company key into the URL, where proxies and access logs
            see it.
        retry: How failed calls are repeated.
        rate: A ceiling on requests, in requests per second, which a `RateBudget` may
            share with other clients and pollers. None: no ceiling.
        max_connections: The most connections at a time.
        ssl_context: For TLS; by default certificates are checked against certifi's list,
            TLS 1.2 or later. One that checks no certificate or name is refused.
        proxy: The URL of a proxy, with user and password if it wants them; nothing in the
            environment makes a client use one. ``https://`` speaks TLS with it, and
            ``socks5://`` needs the package socksio.
        engine: The HTTP library: ``"httpx"``, or ``"httpx2"`` with the extra of that name.
        transport: A transport of that library, or a function that makes one and is called
            once per connection: it must make another one each time, with connections of its
            own if it has any. A single transport cannot give fresh connections; one warning
            says so. It takes the place of *ssl_context* and *proxy*.
        observers: Functions that are called with every event of the pollers that
            `wait` and `wait_all` use.

    Raises:
        ConfigurationError: An argument cannot work. Nothing has been sent.
    """

    def __init__(
        self,
        company_key: str,
        *,
        secret_key: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        widget_origin: str | None = None,
        timeout: Seconds = 15.0,
        deadline: Seconds | None = None,
        encoding: Encoding = "json",
        retry: RetryPolicy | None = None,
        rate: float | RateBudget | None = None,
        max_connections: int = 100,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        engine: Engine = "httpx",
        transport: AnyTransport | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        key = Secret(company_key)
        secret = None if secret_key is None else Secret(secret_key)
        way = None if proxy is None else Secret(proxy)
        place = Secret(base_url)
        page = place if widget_origin is None else Secret(widget_origin)
        # An error below keeps this frame, and an error tracker sends what is in it.
        del company_key, secret_key, proxy, base_url, widget_origin
        endpoint = Endpoint(
            company_key=key,
            secret_key=secret,
            base_url=checked_base_url(place.reveal()),
            encoding=encoding,
        )
        limit = whole(max_connections, name="max_connections")
        http = library(engine)
        caller = Caller(
            library=http,
            endpoint=endpoint,
            timeout=checked_timeout(timeout),
            deadline=None if deadline is None else seconds(deadline, name="deadline"),
            retry=checked_retry(retry),
            budget=None if rate is None else budget_of(rate, max_in_flight=limit),
            max_connections=limit,
            transport=transport_of(
                transport,
                library=http,
                ssl_context=ssl_context,
                proxy=None if way is None else checked_proxy(way),
                endpoint=endpoint,
                max_connections=limit,
            ),
        )
        origin = origin_of(checked_base_url(page.reveal(), name="widget_origin"))
        super().__init__(caller, widget_origin=origin)
        self._observers = checked_observers(observers)
        self._waiting: ResultPoller | None = None

    def __repr__(self) -> str:
        # Error trackers show it half made too, when an argument was refused.
        made = hasattr(self, "_caller")
        return f"<IdentomatClient of {self._caller.endpoint.base_url if made else 'nothing'}>"

    @classmethod
    def from_env(cls, **keywords: Unpack[ClientOptions]) -> Self:
        """
        Make a client from the environment; *keywords* are those of the class.

        ``IDENTOMAT_COMPANY_KEY`` is needed; ``IDENTOMAT_SECRET_KEY`` and
        ``IDENTOMAT_BASE_URL`` are read if they are there. No other variable is, and
        nothing else in this library reads the environment.

        Raises:
            ConfigurationError: The company key is missing, the secret key is set but empty,
                or a value cannot work.
        """
        return cls(**account_of_environment(), **keywords)

    @property
    def source(self) -> Caller:
        """What a `ResultPoller` asks."""
        return self._caller

    async def __aenter__(self) -> Self:
        self._caller.check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close every connection; what is under way and every later call raises.

        Raises:
            ConfigurationError: The client belongs to another event loop, thread or process.
        """
        with anyio.CancelScope(shield=True):
            await self._caller.aclose()

    async def wait(
        self, token: str, *, deadline: Deadline = 1800.0, until: Until = Until.TERMINAL
    ) -> SessionResult:
        """
        Wait until a session is settled.

        All waits of a client share one poller, and waits for the same token its polls.
        Cancelling a wait loses nothing.

        Args:
            token: What `begin` returned.
            deadline: When to give up: seconds, timedelta or aware datetime.
            until: Whether MANUAL_CHECK ends the wait.

        Raises:
            WaitTimeoutError: The deadline passed; ``last`` is the status last seen.
            SessionNotFoundError: The service says so again and again.
            SessionInvalidError: The service says, again and again, that it is invalid.
            AuthenticationError: The service refuses the company key.
            SignatureError: Answer after answer is not signed.
            IdentomatError: No verdict could be read; it is the error of the last look.
            ConfigurationError: An argument cannot work.
            ClientClosedError: The client is closed.
        """
        self._caller.check_usable()
        if self._waiting is None:
            self._waiting = ResultPoller(self, observers=self._observers)
        waiting = self._waiting.wait(token, deadline=deadline, until=until)
        del token  # or whoever is cancelled here would show it
        return await waiting

    @refusing
    async def wait_all(
        self,
        tokens: Iterable[str] | AsyncIterable[str],
        *,
        deadline: Deadline = 1800.0,
        until: Until = Until.TERMINAL,
        rate: float | RateBudget | None = 50.0,
    ) -> dict[str, Outcome]:
        """
        Wait until every session of a set is settled, given up or gone.

        Args:
            tokens: What `begin` returned, each once or more often.
            deadline: When to give up: seconds, timedelta or aware datetime.
            until: Whether MANUAL_CHECK settles a session.
            rate: The most requests per second; None for no limit but the connections.

        Returns:
            What became of each token, in the order in which they were given. One bad
            session never raises for the others.

        Raises:
            ConfigurationError: A token or argument cannot work; nothing was asked.
            AuthenticationError: The service refuses the company key.
            SignatureError: Answer after answer is not signed.
            ClientClosedError: The client is closed.
        """
        self._caller.check_usable()
        limit = self._caller.max_connections
        poller = ResultPoller(self, rate=rate, max_in_flight=limit, observers=self._observers)
        return await poller.wait_all(tokens, deadline=deadline, until=until)
