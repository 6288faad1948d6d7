"""What a front has seen: every request, what became of it, and the connections."""

from collections import Counter, deque
from collections.abc import Mapping
from threading import Lock

import attrs

_KEPT = 200_000


@attrs.frozen(kw_only=True)
class Exchange:
    """
    One request and what became of it.

    Attributes:
        at: When it was there whole, by the sandbox's clock.
        operation: The method: ``"begin"``, ``"result"``, ``"result/face"``...
        token: The session; for a `begin` the new one; None where there is none.
        n: The how-manieth request of its method for this session it was; 1 for every `begin`
            without a ``config_id``.
        connection: The number of the connection, from 1 in order of arrival.
        turn: The how-manieth request on that connection it was.
        fault: The id of the fault that struck it, None for none.
        mode: How the service was doing as a whole.
    """

    at: float
    operation: str
    token: str | None = attrs.field(repr=False)
    n: int
    connection: int
    turn: int
    fault: str | None
    mode: str


class Log:
    """The last 200,000 exchanges, and how many connections there are; for any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._exchanges: deque[Exchange] = deque(maxlen=_KEPT)
        self._struck: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str | None]] = Counter()
        self.connections: int = 0
        self.open: int = 0
        self.peak: int = 0

    def connected(self) -> int:
        """Note a connection; returns its number."""
        with self._lock:
            self.connections += 1
            self.open += 1
            self.peak = max(self.peak, self.open)
            return self.connections

    def disconnected(self) -> None:
        """Note that a connection is no more."""
        with self._lock:
            self.open -= 1

    def asked(self, operation: str, name: str | None) -> int:
        """Count a request of a method for a session, or for none; return its number."""
        with self._lock:
            self._asked[operation, name] += 1
            return self._asked[operation, name]

    def note(self, exchange: Exchange) -> None:
        """Keep what became of a request."""
        with self._lock:
            self._exchanges.append(exchange)
            if exchange.fault is not None:
                self._struck[exchange.fault] += 1

    @property
    def struck(self) -> Mapping[str, int]:
        """How often each fault has struck."""
        with self._lock:
            return dict(self._struck)

    def exchanges(self, token: str | None) -> tuple[Exchange, ...]:
        """Return the exchanges about one session, or all, in order."""
        with self._lock:
            kept = tuple(self._exchanges)
        return kept if token is None else tuple(each for each in kept if each.token == token)
