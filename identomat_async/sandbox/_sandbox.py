"""The sandbox as its users see it."""

import time
from collections.abc import Callable, Mapping
from typing import Self

import httpx
from starlette.types import ASGIApp

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox._asgi import ROOT, Desk, ErrorStatuses, build_app
from identomat_async.sandbox._faults_desk import FaultDesk
from identomat_async.sandbox._faults_here import Weather
from identomat_async.sandbox._front import Front
from identomat_async.sandbox._front_server import FrontServer
from identomat_async.sandbox._listening import is_loopback
from identomat_async.sandbox._pages import Pages
from identomat_async.sandbox._pages_asgi import page_routes
from identomat_async.sandbox._refusal import Refusal
from identomat_async.sandbox._script import Life, Script, random_life
from identomat_async.sandbox._server import PlainServer, SandboxServer
from identomat_async.sandbox._service import Service, loop_time
from identomat_async.sandbox._setup import read_setup
from identomat_async.sandbox._transport import InProcessTransport
from identomat_async.sandbox._truth import Truth


class Scripted:
    """What `Sandbox.script` has set, to be continued with `then`."""

    def __init__(self, service: Service, told: Script | Life, token: str | None) -> None:
        self._service = service
        self._told = told
        self._token = token
        if token is not None:
            self._age = service.age(token)
            self._before = service.truth(token).script
        self._apply()

    def then(self, status: str, *, after: float) -> Self:
        """
        Add a further change.

        Args:
            status: What the sessions come to next.
            after: Seconds from the change before.

        Raises:
            ConfigurationError: *status* or *after* make no sense, or there is a function
                that draws the lives, to which nothing can be added.
        """
        if not isinstance(self._told, Script):
            raise ConfigurationError("lives that a function draws cannot be continued by then()")
        self._told = self._told.then(status, after=after)
        self._apply()
        return self

    def _apply(self) -> None:
        if self._token is None:
            self._service.life = _life(self._told)
        else:
            script = (
                self._told if isinstance(self._told, Script) else self._service.draw(self._told)
            )
            self._service.rescript(self._token, self._before.replaced_from(self._age, script))


class Sandbox:
    """
    A local Identomat: the same API, invented people, and lives told in advance.

    ::

        sandbox = Sandbox("any-key")
        sandbox.script("approved", after=30)
        client = IdentomatClient(
            "any-key", base_url=sandbox.base_url, transport=sandbox.transport
        )

    It is also the judge of what a client did: `truth` knows of every session what it was,
    when, and how often somebody asked. It may be used from several threads.

    Args:
        company_key: The only company key it accepts; None accepts any that is not empty.
        secret_key: Requests must be signed with it, and answers to them are; errors are
            not. None for no signatures.
        seed: Two sandboxes with the same seed hand out the same tokens and lives.
        life: How sessions go unless `script` says otherwise: a script, or a function that
            draws one.
        screening: Share of people with a screening match, 0 to 1.
        not_found_status: HTTP status of ``"SESSION_NOT_FOUND"``.
        invalid_status: HTTP status of ``"SESSION_INVALID"``.
        media_status: HTTP status for an image or video that there is not.
        argument_status: HTTP status for an argument that is missing or wrong.
        unauthorized_status: HTTP status for a wrong company key or signature.
        now: The clock, in seconds. None takes the running event loop's, so that virtual
            time works; outside of any loop, and as soon as it serves, `time.monotonic`.

    Raises:
        ConfigurationError: A key is empty, or the share is none.
    """

    def __init__(
        self,
        company_key: str | None = None,
        secret_key: str | None = None,
        *,
        seed: int = 0,
        life: Life | Script = random_life,
        screening: float = 0.1,
        not_found_status: int = 200,
        invalid_status: int = 200,
        media_status: int = 404,
        argument_status: int = 400,
        unauthorized_status: int = 401,
        now: Callable[[], float] | None = None,
    ) -> None:
        if company_key == "" or secret_key == "":
            raise ConfigurationError("a key is a text that is not empty, or None")
        if not 0 <= screening <= 1:
            raise ConfigurationError("screening is a share, between 0 and 1")
        self._clock_given = now is not None
        self._service = Service(
            seed=seed, life=_life(life), screening=screening, now=now or loop_time
        )
        self._desk = Desk(
            service=self._service,
            company_key=company_key,
            secret=None if secret_key is None else secret_key.encode(),
            statuses=ErrorStatuses(
                not_found=not_found_status,
                invalid=invalid_status,
                media=media_status,
                argument=argument_status,
                unauthorized=unauthorized_status,
            ),
        )
        self.app: ASGIApp = build_app(self._desk, pages=page_routes(Pages(self._service)))
        self._weather = Weather(self.now)

    def __repr__(self) -> str:
        return f"<Sandbox sessions={len(self._service)} requests={self.request_count}>"

    @property
    def base_url(self) -> str:
        """The base URL for a client that uses `transport`."""
        return f"http://localhost{ROOT}"

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of all sessions, deleted ones included, in order of begin."""
        return self._service.tokens

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests came in, by operation: ``"begin"``, ``"result/face"``..."""
        return self._service.requests

    @property
    def request_count(self) -> int:
        """How many requests came in."""
        return sum(self.requests.values())

    def now(self) -> float:
        """Read the clock that all times of `truth` are readings of, in seconds."""
        return self._service.now()

    def transport(self) -> httpx.AsyncBaseTransport:
        """Open a connection that needs no socket, on asyncio and on trio."""
        return InProcessTransport(self.app, self._weather, FaultDesk(desk=self._desk))

    def outage(self, seconds: float) -> None:
        """
        Serve nobody over `transport` for so long from now.

        New connections are refused, and those that are open turn out to be closed.

        Args:
            seconds: How long it lasts.

        Raises:
            ConfigurationError: *seconds* is no span of time.
        """
        self._weather.out_for(seconds)

    def slow(self, seconds: float, *, lasting: float | None = None) -> None:
        """
        Let every answer over `transport` take its time.

        Args:
            seconds: How long an answer takes; 0 for no time, as before.
            lasting: How many seconds from now it is so; None for ever.

        Raises:
            ConfigurationError: A figure is no span of time.
        """
        self._weather.slow(seconds, lasting)

    def fail(self, n: int, kind: str, *, operation: str | None = None) -> None:
        """
        Let the next requests over `transport` meet a fault.

        Args:
            n: How many.
            kind: Which fault of `FAULTS`, or which row: then its variants take turns.
            operation: Only requests for ``"begin"``, ``"result"``, ``"delete"``,
                ``"media"`` or ``"other"``.

        Raises:
            ConfigurationError: There is no such fault, it cannot strike *operation*, or *n*
                is less than 1.
        """
        self._weather.fail(n, kind, operation)

    def serve(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public: bool = False,
        front: Front | None = None,
    ) -> SandboxServer:
        """
        Serve over real sockets, from a thread, for the length of a block.

        A browser finds the widget there, at the address that a client's `widget_url`
        returns, and all sessions at the server's `sessions_url`. From the moment that
        somebody opens the widget of a session it goes as they decide, and no longer by its
        script.

        Args:
            host: An address of this machine.
            port: The port; 0 takes a free one.
            public: Allows a *host* that others can reach.
            front: What goes wrong on the way; None for nothing.

        Raises:
            ConfigurationError: The host is not a loopback one, or the port is taken; the
                latter when the block is entered.
        """
        pages = Pages(self._service, is_public=not is_loopback(host))

        def served() -> PlainServer | FrontServer:
            if front is not None:
                return FrontServer(self._desk, front, pages)
            app = build_app(self._desk, pages=page_routes(pages))
            return PlainServer(app, hang_up=pages.close)

        return SandboxServer(
            served,
            host=host,
            port=port,
            public=public,
            tls=front is not None and front.ssl_context is not None,
            on_start=self._use_real_time,
        )

    def script(
        self,
        status: str | Script | Life,
        *,
        after: float = 0.0,
        token: str | None = None,
    ) -> "Scripted":
        """
        Set how sessions go that are begun from now on, or how one session goes on.

        Args:
            status: What they come to, ``"abandoned"`` for nothing; or a whole script, or a
                function that draws one for each session.
            after: Seconds from the begin of the session. For a session that is older it
                happens at once: what has happened is never changed.
            token: One session that is begun already; None for those to come.

        Returns:
            An object whose `then` adds a further change.

        Raises:
            ConfigurationError: *token* is not known, or *status* or *after* make no sense.
        """
        told = Script.of(status, after=after) if isinstance(status, str) else status
        return Scripted(self._service, told, token)

    def decide(self, token: str, status: str, *, after: float = 0.0) -> None:
        """
        Decide one session, as an operator does.

        Args:
            token: The session.
            status: What it comes to.
            after: Seconds from now.

        Raises:
            ConfigurationError: *token* is not known, or *status* or *after* make no sense.
        """
        self.script(status, after=self._service.age(token) + after, token=token)

    def plant(
        self,
        token: str,
        script: str | Script = "abandoned",
        *,
        begun: float | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        """
        Put a session there that no call to `begin` has made, such as an old one.

        Args:
            token: Any token.
            script: Its life, or the status it has from the start.
            begun: The time of its begin by `now`; None for this moment.
            parameters: What `begin` would have been called with: flags, steps, config_id.

        Raises:
            ConfigurationError: The token is empty, or `begin` would refuse the parameters.
        """
        if not token:
            raise ConfigurationError("a token is a text that is not empty")
        life = Script.of(script) if isinstance(script, str) else script
        try:
            setup = read_setup(parameters or {})
        except Refusal as refused:
            raise ConfigurationError(f"begin does not take these {refused.argument}") from None
        self._service.plant(token, life, begun=begun, setup=setup)

    def delete(self, token: str) -> None:
        """
        Let a session be gone, as when its record was deleted elsewhere.

        Raises:
            ConfigurationError: *token* is not known.
        """
        self._service.remove(token)

    def invalidate(self, token: str) -> None:
        """
        Let every call for a session be answered with ``"SESSION_INVALID"`` from now on.

        Raises:
            ConfigurationError: *token* is not known.
        """
        self._service.invalidate(token)

    def truth(self, token: str) -> Truth:
        """
        Say what is true about a session at this moment.

        Raises:
            ConfigurationError: *token* is not known.
        """
        return self._service.truth(token)

    def _use_real_time(self) -> None:
        if not self._clock_given:
            self._service.change_clock(time.monotonic)


def _life(told: Script | Life) -> Life:
    if isinstance(told, Script):
        return lambda _: told
    return told
