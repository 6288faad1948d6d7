"""The only place where the rooms meet: the client."""

import os
import ssl
import time
import warnings
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

import anyio

from identomat_async._budget import RateBudget
from identomat_async._clock import Deadline, Seconds, deadline_at, seconds
from identomat_async._model._codec import decode_screening_person
from identomat_async._model._encode import encode_flags, encode_steps
from identomat_async._model._flags import Flags
from identomat_async._model._json import strict_json
from identomat_async._model._media import Media, MediaContent
from identomat_async._model._result import SessionResult
from identomat_async._model._screening import ScreeningPerson
from identomat_async._model._steps import AnyStep
from identomat_async._model._token import checked_token
from identomat_async._polling._outcomes import Outcome, Until
from identomat_async._polling._poller import ResultPoller
from identomat_async._wire._call import Call, Caller, result_in
from identomat_async._wire._files import AtomicFile
from identomat_async._wire._protocol import (
    BEGIN,
    DEFAULT_BASE_URL,
    DELETE,
    RESULT,
    SCREENING,
    Encoding,
    Endpoint,
    checked_base_url,
    checked_text,
    media_operation,
    origin_of,
    other_operation,
    widget_url,
)
from identomat_async._wire._replies import Reply, content_type_of, decode_token, read
from identomat_async._wire._retry import RetryPolicy
from identomat_async._wire._secret import Secret
from identomat_async._wire._transport import (
    LaneTransport,
    Transport,
    default_ssl_context,
    direct_lane,
)
from identomat_async.errors import ConfigurationError, SessionNotFoundError
from identomat_async.events import Observer

AnyTransport = Transport | Callable[[], Transport]


class ClientOptions(TypedDict, total=False):
    """The keywords of `IdentomatClient`, but for those that the environment gives."""

    widget_origin: str | None
    timeout: Seconds
    deadline: Seconds | None
    encoding: Encoding
    retry: RetryPolicy
    rate: float | RateBudget | None
    max_connections: int
    ssl_context: ssl.SSLContext | None
    transport: AnyTransport | None
    observers: Iterable[Observer]


class IdentomatClient:
    """
    The Identomat API, for asyncio and trio.

    Whatever a method returns was read as the first answer on a new connection, so it
    cannot be a stray answer to somebody else's question. With a *secret_key* every
    request is signed, and no success is read whose signature is missing or wrong.

    Args:
        company_key: The company's key, from the vendor's dashboard.
        secret_key: The HMAC key that belongs to it, if requests are to be signed.
        base_url: Where the API is; ``http://`` goes for this machine only.
        widget_origin: Where the widget is; the origin of *base_url* unless given.
        timeout: For one HTTP attempt: seconds for each read, and an upper bound for
            connecting (5 s) and writing (10 s).
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
            TLS 1.2 or later.
        transport: An httpx transport, or a function that makes one and is called once per
            connection. A single transport cannot give fresh connections; one warning
            says so.
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
        transport: AnyTransport | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        if max_connections < 1:
            raise ConfigurationError("max_connections must be 1 or more")
        endpoint = Endpoint(
            company_key=Secret(company_key),
            secret_key=None if secret_key is None else Secret(secret_key),
            base_url=checked_base_url(base_url),
            encoding=encoding,
        )
        origin = checked_base_url(widget_origin or endpoint.base_url, name="widget_origin")
        self._widget_origin = origin_of(origin)
        self._observers = tuple(observers)
        self._caller = Caller(
            endpoint=endpoint,
            transport=_transport(transport, ssl_context, endpoint, max_connections),
            timeout=_above_zero(timeout, name="timeout"),
            deadline=None if deadline is None else seconds(deadline, name="deadline"),
            retry=RetryPolicy() if retry is None else retry,
            budget=_budget(rate, max_connections),
            max_connections=max_connections,
        )
        self._waiting: ResultPoller | None = None

    def __repr__(self) -> str:
        return f"<IdentomatClient of {self._caller.endpoint.base_url}>"

    @classmethod
    def from_env(cls, **keywords: Unpack[ClientOptions]) -> Self:
        """
        Make a client from the environment.

        ``IDENTOMAT_COMPANY_KEY`` is needed; ``IDENTOMAT_SECRET_KEY`` and
        ``IDENTOMAT_BASE_URL`` are read if they are there. No other variable is, and
        nothing else in this library reads the environment.

        Raises:
            ConfigurationError: The company key is missing, or a value cannot work.
        """
        company_key = os.environ.get("IDENTOMAT_COMPANY_KEY")
        if not company_key:
            raise ConfigurationError("set IDENTOMAT_COMPANY_KEY to the company's key")
        return cls(
            company_key,
            secret_key=os.environ.get("IDENTOMAT_SECRET_KEY") or None,
            base_url=os.environ.get("IDENTOMAT_BASE_URL") or DEFAULT_BASE_URL,
            **keywords,
        )

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
        """Close every connection; every later call raises `ClientClosedError`."""
        with anyio.CancelScope(shield=True):
            await self._caller.aclose()

    def widget_url(self, token: str) -> str:
        """
        Return the page to which the person is sent.

        Raises:
            ConfigurationError: *token* cannot be a session token.
        """
        return widget_url(self._widget_origin, checked_token(token))

    def token_hash(self, token: str) -> str:
        """
        Return what stands for *token* in logs, events and errors: 12 hex digits.

        It is keyed with the company key, and the same in every process that has it.

        Raises:
            ConfigurationError: *token* cannot be a session token.
        """
        return self._caller.token_hash(checked_token(token))

    async def begin(
        self,
        flags: Flags | Mapping[str, object] | None = None,
        *,
        steps: Iterable[AnyStep] | None = None,
        config_id: str | None = None,
        parent_session: str | None = None,
        deadline: Deadline | None = None,
    ) -> str:
        """
        Begin a session and return its token (method ``begin/``).

        The service has no key against doubles: a call that ends unclear is never
        repeated, and its error says ``maybe_applied=True``.

        Args:
            flags: How the person is identified.
            steps: The steps of the identification; with *config_id* they override the
                saved ones.
            config_id: A configuration saved in the vendor's dashboard.
            parent_session: The token of the session to which this one belongs.
            deadline: Everything the call may take: seconds, timedelta or aware datetime.

        Returns:
            The session token, valid for the person for 15 minutes by default.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            IdentomatError: See the class that is raised.
        """
        params: dict[str, object] = {}
        if flags is not None:
            params["flags"] = encode_flags(flags)
        if steps is not None:
            params["steps"] = encode_steps(steps)
        if config_id is not None:
            params["config_id"] = checked_text(config_id, name="config_id")
        if parent_session is not None:
            params["parent_session_id"] = checked_token(parent_session)
        call = Call(
            operation=BEGIN,
            params=params,
            decode=lambda reply: read(reply.body, BEGIN, decode_token),
        )
        return await self._caller.call(call, deadline=_span(deadline))

    async def result(self, token: str, *, deadline: Deadline | None = None) -> SessionResult:
        """
        Read how a session stands now (method ``result/``).

        Args:
            token: What `begin` returned.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *token* cannot be a session token.
            SessionNotFoundError: The service says that it does not know the session; one
                such answer is no proof, see `SessionNotFoundError.verified`.
            IdentomatError: See the class that is raised.
        """
        params = {"session_token": checked_token(token)}
        call = Call(operation=RESULT, params=params, decode=result_in)
        return await self._caller.call(call, deadline=_span(deadline))

    async def delete(self, token: str, *, deadline: Deadline | None = None) -> SessionResult | None:
        """
        Delete a session at the service (method ``delete/``).

        Args:
            token: What `begin` returned.
            deadline: Everything the call may take.

        Returns:
            The document of the deleted session; None when it was gone already. With a
            secret key the service has to say so twice, since it does not sign it.

        Raises:
            ConfigurationError: *token* cannot be a session token.
            SessionInvalidError: The service calls the session invalid.
            IdentomatError: See the class that is raised; the session may still exist.
        """
        params = {"session_token": checked_token(token)}
        call = Call(operation=DELETE, params=params, decode=result_in)
        span = _span(deadline)
        for _ in range(1 if self._caller.secret is None else 2):
            try:
                return await self._caller.call(call, deadline=span)
            except SessionNotFoundError as error:
                if error.verified:
                    return None
        return None

    async def media(
        self, token: str, media: Media, *, deadline: Deadline | None = None
    ) -> MediaContent:
        """
        Read an image or video of a session into memory (methods ``result/<media>/``).

        Args:
            token: What `begin` returned.
            media: Which one.
            deadline: Everything the call may take.

        Returns:
            The bytes, 64 MiB at most, and their content type.

        Raises:
            ConfigurationError: *token* cannot be a session token.
            MediaNotFoundError: The session has no such medium.
            ResponseTooLargeError: It is larger than 64 MiB.
            IdentomatError: See the class that is raised.
        """
        call = Call(
            operation=media_operation(Media(media)),
            params={"session_token": checked_token(token)},
            decode=_media_content,
        )
        return await self._caller.call(call, deadline=_span(deadline))

    async def save_media(
        self,
        token: str,
        media: Media,
        path: str | os.PathLike[str],
        *,
        deadline: Deadline | None = None,
    ) -> Path:
        """
        Write an image or video of a session to a file, without holding it in memory.

        The file appears whole or not at all, with mode 0600; one that was there before is
        replaced.

        Args:
            token: What `begin` returned.
            media: Which one.
            path: The file.
            deadline: Everything the call may take.

        Returns:
            The path of the file.

        Raises:
            OSError: The file cannot be written.
            IdentomatError: As for `media`.
        """
        params = {"session_token": checked_token(token)}
        async with AtomicFile(path) as file:
            call = Call(
                operation=media_operation(Media(media)),
                params=params,
                decode=lambda _: None,
                sink=file,
            )
            await self._caller.call(call, deadline=_span(deadline))
            await file.commit()
        return file.path

    async def screening_person(
        self, person_id: str, *, deadline: Deadline | None = None
    ) -> ScreeningPerson:
        """
        Read the details behind a screening match (``get-screening-person-details/``).

        Args:
            person_id: `ScreeningMatch.person_id`.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *person_id* is empty or has unprintable characters.
            IdentomatError: See the class that is raised.
        """
        call = Call(
            operation=SCREENING,
            params={"personId": checked_text(person_id, name="person_id")},
            decode=lambda reply: read(reply.body, SCREENING, decode_screening_person),
        )
        return await self._caller.call(call, deadline=_span(deadline))

    async def call(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> object:
        """
        Call a method of the API that this version does not know: JSON in, JSON out.

        It is never repeated once the service may have acted on it.

        Args:
            method: Its path below the base URL, such as ``"compare-faces/"``.
            params: Its parameters; the company key is added.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *method* is not a relative path, or a parameter cannot be
                said in JSON.
            IdentomatError: See the class that is raised.
        """
        operation = other_operation(method)
        call = Call(
            operation=operation,
            params=dict(params or {}),
            decode=lambda reply: read(reply.body, operation, strict_json),
        )
        return await self._caller.call(call, deadline=_span(deadline))

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
            SessionInvalidError: The same.
            AuthenticationError: The service refuses the company key.
            IdentomatError: See the class that is raised.
        """
        if self._waiting is None:
            self._waiting = ResultPoller(self, observers=self._observers)
        return await self._waiting.wait(token, deadline=deadline, until=until)

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
            AuthenticationError: The service refuses the company key.
        """
        in_flight = self._caller.max_connections
        budget = RateBudget(rate, max_in_flight=in_flight) if rate is None else rate
        poller = ResultPoller(self, rate=budget, max_in_flight=in_flight, observers=self._observers)
        return await poller.wait_all(tokens, deadline=deadline, until=until)


def _media_content(reply: Reply) -> MediaContent:
    return MediaContent(content=reply.body, content_type=content_type_of(reply))


def _span(deadline: Deadline | None) -> float | None:
    if deadline is None:
        return None
    now = time.time()
    return max(0.0, deadline_at(deadline, now=now) - now)


def _above_zero(value: Seconds, *, name: str) -> float:
    number = seconds(value, name=name)
    if not number:
        raise ConfigurationError(f"{name} must be above 0 seconds")
    return number


def _budget(rate: float | RateBudget | None, max_connections: int) -> RateBudget | None:
    if rate is None or isinstance(rate, RateBudget):
        return rate
    return RateBudget(rate, max_in_flight=max_connections)


def _transport(
    given: AnyTransport | None,
    ssl_context: ssl.SSLContext | None,
    endpoint: Endpoint,
    max_connections: int,
) -> Transport:
    if isinstance(given, Transport):
        warnings.warn(
            "a single transport cannot give fresh connections: what you act on may be a "
            "stray answer. Pass a function that makes a transport",
            UserWarning,
            stacklevel=3,
        )
        return given
    return LaneTransport(given or _lane_maker(ssl_context, endpoint), limit=max_connections)


def _lane_maker(ssl_context: ssl.SSLContext | None, endpoint: Endpoint) -> Callable[[], Transport]:
    if ssl_context is None:
        # A context that trusts nobody costs nothing, and http:// needs none.
        is_plain = endpoint.base_url.startswith("http://")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else default_ssl_context()
    else:
        context = ssl_context
    return lambda: direct_lane(context)
