"""How each row of the conformance table is brought about, and how it passes."""

import os
import resource
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any, Self

import anyio
from tenacity import wait_none

from identomat_async import IdentomatClient, RetryPolicy
from identomat_async.sandbox import Front, Mode, Sandbox, Script
from tests._conformance_ground import BOOK, shown, trusting
from tests._conformance_table import Row

KEY, SECRET = "company-key", "secret-key"
# What faults ask to wait, in seconds.
ASKED = 0.02
# The client's timeout where none has to pass, in seconds.
_PATIENT = 5.0
_ELSEWHERE = "127.0.0.2"


class Stage:
    """
    A service of its own that is well, is struck in one *way* of a *row*, and is well again.

    Attributes:
        is_warm: Whether what strikes it strikes connections that were kept as well.
        counts: Whether requests come to it all the same, so that they can be counted.
        interrupt: Ends a call from outside; None where nothing does.
    """

    is_warm = True
    counts = False
    interrupt: Callable[[Any, anyio.CancelScope], Awaitable[None]] | None = None

    def __init__(self, row: Row, way: str) -> None:
        self.row = row
        self.way = way
        self.sandbox = Sandbox(KEY, SECRET if row.signed else None, life=Script.of("approved"))
        self.front = Front(retry_after=ASKED, **self.of_front())
        long_ago = time.monotonic() - 60
        self.sandbox.plant("other", Script.of("approved", after=1), begun=long_ago)
        for name in ("result", "media", "delete", "next"):
            self.sandbox.plant(name, Script.of("approved", after=1), begun=long_ago)
        self.sandbox.plant("poll")
        self.planted = self.sandbox.tokens
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.server = self._stack.enter_context(self.sandbox.serve(front=self.front))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of_front(self) -> dict[str, Any]:
        return {}

    @property
    def base_url(self) -> str:
        return self.server.base_url

    def strike(self) -> None:
        """Let it begin."""

    def heal(self) -> None:
        """Let it pass."""

    def client(self) -> IdentomatClient:
        return IdentomatClient(
            KEY,
            secret_key=SECRET if self.row.signed else None,
            base_url=self.base_url,
            timeout=_PATIENT,
            retry=RetryPolicy(attempts=self.row.attempts, wait=wait_none()),
            max_connections=1,
            ssl_context=trusting() if self.base_url.startswith("https") else None,
        )

    def hurry(self, client: IdentomatClient) -> None:
        """Let *client* have no more time than the row gives it."""
        client.source.timeout = self.row.timeout or _PATIENT
        client.source.deadline = self.row.deadline

    def relax(self, client: IdentomatClient) -> None:
        """Let it have enough."""
        client.source.timeout, client.source.deadline = _PATIENT, None

    def requests(self, operation: str) -> int:
        """Count the requests that came."""
        if operation == "begin":
            return sum(each.operation == "begin" for each in self.front.exchanges())
        return len(self.front.exchanges(operation))


class FaultStage(Stage):
    """A fault strikes every single request."""

    counts = True

    def of_front(self) -> dict[str, Any]:
        return {"kinds": [self.way], "most": None}

    def strike(self) -> None:
        self.front.faults = 1.0

    def heal(self) -> None:
        self.front.faults = 0.0


class ModeStage(Stage):
    """The service as a whole is down."""

    def strike(self) -> None:
        self._turn(Mode.of(self.way))

    def heal(self) -> None:
        self._turn(Mode.up())

    def _turn(self, mode: Mode) -> None:
        self.front.mode = mode
        shut = "silent" if mode.how == "unreachable" else "refused"
        for _ in range(500):
            if self._port() == ("open" if mode.is_open else shut):
                return
            time.sleep(0.002)
        raise AssertionError(self.way)

    def _port(self) -> str:
        try:
            with socket.create_connection((self.server.host, self.server.port), timeout=0.02):
                return "open"
        except TimeoutError:
            return "silent"
        except OSError:
            return "refused"


class HandshakeStage(ModeStage):
    """The service is down before it has said a word of TLS."""

    def of_front(self) -> dict[str, Any]:
        return {"ssl_context": shown()}


class CertificateStage(Stage):
    """The service shows a certificate that cannot be trusted."""

    is_warm = False

    def of_front(self) -> dict[str, Any]:
        return {"ssl_context": shown()}

    def strike(self) -> None:
        self.front.ssl_context = shown(self.way)

    def heal(self) -> None:
        self.front.ssl_context = shown()


class OldStage(HandshakeStage):
    """The service speaks no TLS that is new enough."""

    is_warm = False

    def strike(self) -> None:
        self._turn(Mode.down())
        self._listener = socket.create_server((self.server.host, self.server.port))
        self._thread = threading.Thread(target=self._refuse, daemon=True)
        self._thread.start()

    def heal(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._turn(Mode.up())

    def _refuse(self) -> None:
        # In a thread: asyncio hangs up without saying why.
        context = shown("old-version")
        while True:
            try:
                plug, _ = self._listener.accept()
            except OSError:
                return
            with plug, suppress(OSError):
                context.wrap_socket(plug, server_side=True)


class NameStage(Stage):
    """The service's name cannot be looked up."""

    is_warm = False

    @property
    def base_url(self) -> str:
        return self.server.base_url.replace("127.0.0.1", "localhost")

    def __enter__(self) -> Self:
        super().__enter__()
        BOOK[self.server.port] = "127.0.0.1"
        self._stack.callback(BOOK.pop, self.server.port)
        return self

    def strike(self) -> None:
        BOOK[self.server.port] = self.way

    def heal(self) -> None:
        BOOK[self.server.port] = "127.0.0.1"


class MoveStage(NameStage):
    """The service moves to another address, and the old one falls silent."""

    is_warm = True

    def __enter__(self) -> Self:
        super().__enter__()
        self.new = Front()
        other = self.sandbox.serve(front=self.new, host=_ELSEWHERE, port=self.server.port)
        self._stack.enter_context(other)
        return self

    def strike(self) -> None:
        BOOK[self.server.port] = _ELSEWHERE
        self.front.mode = Mode.down("silent")

    def heal(self) -> None:
        pass

    def requests(self, operation: str) -> int:
        old, self.front = self.front, self.new
        try:
            return super().requests(operation)
        finally:
            self.front = old


class DescriptorStage(Stage):
    """This process has no descriptor left."""

    is_warm = False

    def strike(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._stack.callback(self.heal)
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, self._limits[1]))

    def heal(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


class CallerStage(FaultStage):
    """Nothing is answered, and who called closes the client or is cancelled."""

    def of_front(self) -> dict[str, Any]:
        return {"kinds": ["F11-answer"], "most": None}

    async def interrupt(self, call: Any, scope: anyio.CancelScope) -> None:
        """End a call when its request is there."""
        sent = self.requests(call.name)
        while self.requests(call.name) == sent:
            await anyio.sleep(0.002)
        if self.way == "closes":
            await call.client.aclose()
        else:
            scope.cancel()


STAGES: dict[str, type[Stage]] = {
    "fault": FaultStage,
    "mode": ModeStage,
    "handshake": HandshakeStage,
    "certificate": CertificateStage,
    "old-tls": OldStage,
    "name": NameStage,
    "move": MoveStage,
    "descriptors": DescriptorStage,
    "caller": CallerStage,
}
