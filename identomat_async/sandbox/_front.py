"""The front of a sandbox: what goes wrong on the way, as its users see it."""

import math
import ssl
import time
from collections.abc import Callable, Iterable, Mapping

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox._faults import PASSING, Fault, fault_for, faults_named
from identomat_async.sandbox._front_log import Exchange, Log
from identomat_async.sandbox._front_mode import Mode


class Front:
    """
    Everything that can go wrong between a client and the service, on real connections.

    ::

        front = Front(faults=0.3, seed=7)
        with sandbox.serve(front=front) as server:
            ...                          # three requests of ten meet a fault
            front.mode = Mode.down()     # and now nobody is served

    Which fault strikes which request depends on nothing but the seed, the method, the
    session and the how-manieth request of that method for it that is: never on timing, nor
    on what else is asked in between. A `begin` has no session yet; its ``config_id`` stands
    for it, or its number among those that have none.

    It may be asked and told from any thread while it serves.

    Args:
        faults: The share of requests that a fault strikes, 0 to 1.
        seed: The same seed gives the same faults.
        kinds: The faults to choose from: rows (``"F14"``) or single ones
            (``"F14-short"``), see `FAULTS`. None for all that pass, which leaves out
            those after which a client rightly stops asking.
        most: How many may strike each method for one session, so that success stays
            possible; None for no limit. With a limit, faults of many kinds do not prove
            what is not true either, such as that a session is gone: see `fault_for`.
        mode: How the service is doing as a whole.
        retry_after: The seconds for which faults ask clients to wait.
        ssl_context: For TLS; None for plain HTTP.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        *,
        faults: float = 0.0,
        seed: int = 0,
        kinds: Iterable[str] | None = None,
        most: int | None = 6,
        mode: Mode | None = None,
        retry_after: float = 1.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not (_is_number(faults) and 0 <= faults <= 1):
            raise ConfigurationError("faults is a share, between 0 and 1")
        if not (_is_number(retry_after) and 0 <= retry_after < math.inf):
            raise ConfigurationError("retry_after is a number of seconds, 0 or more")
        if most is not None and not (_is_number(most) and most >= 0):
            raise ConfigurationError("most is a number, 0 or more, or None")
        self.faults = faults
        self.seed = seed
        self.kinds: tuple[Fault, ...] = PASSING if kinds is None else faults_named(kinds)
        self.most = most
        self.retry_after = retry_after
        self.ssl_context = ssl_context
        self.log: Log = Log()
        self._mode = mode or Mode.up()
        self._since = time.monotonic()
        self._listener: Callable[[], None] = _nobody

    def __repr__(self) -> str:
        return f"<Front faults={self.faults:g} seed={self.seed} mode={self._mode.kind}>"

    @property
    def mode(self) -> Mode:
        """How the service is doing as a whole; set it at any time."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode, self._since = mode, time.monotonic()
        self._listener()

    @property
    def mode_now(self) -> Mode:
        """What the mode comes to at this moment, which differs for one that flaps."""
        return self._mode.at(self._age())

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return self.log.open

    @property
    def peak_connections(self) -> int:
        """How many connections were open at the same time, at most."""
        return self.log.peak

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        return self.log.connections

    @property
    def struck(self) -> Mapping[str, int]:
        """How often each fault has struck, by its id."""
        return self.log.struck

    def exchanges(self, token: str | None = None) -> tuple[Exchange, ...]:
        """
        Return what was asked and what became of it, in order; the last 200,000.

        Args:
            token: Of one session only.
        """
        return self.log.exchanges(token)

    def fault_for(self, operation: str, name: str, n: int, *, signed: bool) -> Fault | None:
        """
        Say which fault strikes a request.

        Args:
            operation: The method.
            name: What stands for the session.
            n: The how-manieth request of the method for it.
            signed: Whether answers are signed, so that a signature can be at fault.
        """
        kinds = self.kinds
        if not signed:
            kinds = tuple(fault for fault in kinds if not fault.is_signing)
        return fault_for(self.seed, operation, name, n, self.faults, kinds=kinds, most=self.most)

    def listen(self, listener: Callable[[], None] | None) -> None:
        """
        Have *listener* called when the mode is set; None for nobody.

        Raises:
            ConfigurationError: There is one already.
        """
        if listener is not None and self._listener is not _nobody:
            raise ConfigurationError("a front stands before one server: make another one")
        self._listener = listener or _nobody

    def mode_lasts(self) -> float:
        """Return the seconds until the mode changes by itself; infinity for never."""
        return self._mode.lasts(self._age())

    def _age(self) -> float:
        return time.monotonic() - self._since


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nobody() -> None:
    pass
