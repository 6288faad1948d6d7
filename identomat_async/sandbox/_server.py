"""How the sandbox is reached over real sockets: a server in a thread of its own."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import anyio
import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox._asgi import ROOT
from identomat_async.sandbox._listening import is_loopback, listen_on

_KEEP_ALIVE = 75  # seconds
_PATIENCE = 10.0  # seconds for a start or a stop


class Runs(Protocol):
    """What serves, in a thread of its own."""

    def run(self, listener: socket.socket, ready: threading.Event) -> None:
        """Serve until `stop` is called; sets *ready* when it listens."""

    def stop(self) -> None:
        """End `run`, from any thread."""


Serve: TypeAlias = Callable[[], Runs]


class SandboxServer:
    """
    The sandbox on a port of this machine, for as long as the block lasts.

    Works as a plain ``with`` and as an ``async with`` on asyncio and trio; the server
    itself always runs in its own thread with its own event loop. A stop waits at most one
    second for requests that are under way.

    Attributes:
        host: Where it listens.
        port: Where it listens.
        base_url: What to give to a client.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        host: str,
        port: int,
        public: bool,
        tls: bool = False,
        on_start: Callable[[], None],
    ) -> None:
        if not public and not is_loopback(host):
            raise ConfigurationError(
                f"{host!r} is not a loopback address; say public=True to let others in"
            )
        self._serve = serve
        self._scheme = "https" if tls else "http"
        self._address = (host, port)
        self._on_start = on_start
        self._ready = threading.Event()
        self._end: Future[None] = Future()
        self.host = host
        self.port: int = port

    @property
    def base_url(self) -> str:
        """Where the methods of the API are, with a trailing slash."""
        return f"{self._origin}{ROOT}"

    @property
    def sessions_url(self) -> str:
        """Where a browser sees all sessions, and decides them."""
        return f"{self._origin}/sessions"

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return is_loopback(self.host)

    @property
    def _origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"<SandboxServer {self.base_url}>"

    def __enter__(self) -> Self:
        self._launch()
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._end.result(0)

    async def __aenter__(self) -> Self:
        self._launch()
        try:
            await anyio.to_thread.run_sync(self._wait_until_ready)
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stop)
        self._end.result(0)

    def _launch(self) -> None:
        if self._ready.is_set():
            raise ConfigurationError("a server runs once; call serve() again for another one")
        listener = listen_on(self._address)
        self.port = listener.getsockname()[1]
        try:
            self._server = self._serve()
        except BaseException:
            listener.close()
            raise
        self._on_start()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="identomat-sandbox", daemon=True
        )
        self._thread.start()

    def _run(self, listener: socket.socket) -> None:
        with listener:
            try:
                self._server.run(listener, self._ready)
            except BaseException as error:  # noqa: BLE001  # raised again where the block is
                self._end.set_exception(error)
            else:
                self._end.set_result(None)
            finally:
                self._ready.set()

    def _wait_until_ready(self) -> None:
        self._ready.wait(_PATIENCE)
        if self._end.done():
            raise ConfigurationError(
                f"the server did not start: {type(self._end.exception()).__name__}"
            )

    def _stop(self) -> None:
        self._server.stop()
        self._thread.join(_PATIENCE)


class PlainServer:
    """
    Serves an ASGI application with uvicorn.

    Args:
        app: The application.
        hang_up: Lets it end what would otherwise go on for ever.
    """

    def __init__(self, app: ASGIApp, *, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        self._server = _Uvicorn(app)

    def run(self, listener: socket.socket, ready: threading.Event) -> None:
        """Serve until `stop` is called; sets *ready* when it listens."""
        self._server.ready = ready
        self._server.run(sockets=[listener])

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._hang_up()
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """A uvicorn server that tells when it is ready."""

    ready: threading.Event

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
