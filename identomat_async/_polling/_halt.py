"""Whether it is the account that fails, and not a session."""

import math
from collections import deque

from identomat_async.errors import (
    AuthenticationError,
    ClientClosedError,
    IdentomatError,
    SignatureError,
)

# So many refusals of the key, this close together.
_REFUSALS = 2
_REFUSED_WITHIN = 10.0
# So many bad signatures in a row. Where a good one has been seen they may be faults that
# met by chance, as they do in many looks: then the next are made one at a time.
_BAD_SIGNATURES = 3
_AFTER_A_GOOD_ONE = 6
_SUSPICION = 1.0
_FIRST_PROBE = 30.0
_LAST_PROBE = 300.0


class Halt:
    """
    Stops all polling when the account is refused, or the client was closed.

    Halted, it lets one look through from time to time (30 s, doubling to 5 min) if
    *probes* is set, and none otherwise.
    """

    __slots__ = (
        "_forgeries",
        "_gap",
        "_is_proven",
        "_next",
        "_refusals",
        "error",
        "is_calm",
        "probes",
    )

    def __init__(self) -> None:
        # Whether a good answer would change nothing: asked at every look, so it is kept.
        self.is_calm: bool = False
        self.error: IdentomatError | None = None
        self.probes: bool = False
        self._refusals: deque[float] = deque(maxlen=_REFUSALS)
        self._forgeries = 0
        self._is_proven = False
        self._gap = _FIRST_PROBE
        self._next = math.inf

    def failed(self, error: IdentomatError, now: float) -> bool:
        """Count a failed look; True if with this one the account is halted."""
        if isinstance(error, AuthenticationError):
            self._refusals.append(now)
            self.is_calm = False
        elif isinstance(error, SignatureError):
            self._forgeries += 1
            self.is_calm = False
            if self.error is None and self._forgeries == _BAD_SIGNATURES:
                self._next = now
        is_closed = isinstance(error, ClientClosedError)
        is_refused = len(self._refusals) == _REFUSALS and now - self._refusals[0] <= _REFUSED_WITHIN
        most = _AFTER_A_GOOD_ONE if self._is_proven else _BAD_SIGNATURES
        # What is halted may go on again, but not after the client was closed.
        is_news = self.error is None or (
            is_closed and not isinstance(self.error, ClientClosedError)
        )
        if not is_news or not (is_closed or is_refused or self._forgeries >= most):
            return False
        self.error = error
        self.is_calm = False
        self._gap = _FIRST_PROBE
        self._next = now + self._gap if self.probes and not is_closed else math.inf
        return True

    def answered(self) -> bool:
        """Count an answered look; True if with this one the account is accepted again."""
        was_halted = self.error is not None
        if not self.is_calm:
            self._is_proven = True
            self.reset()
        return was_halted

    def reset(self) -> None:
        """Begin anew."""
        self.error = None
        self._refusals.clear()
        self._forgeries = 0
        self.is_calm = self._is_proven

    @property
    def opens_at(self) -> float:
        """The time from which a look may be made."""
        is_open = self.error is None and self._forgeries < _BAD_SIGNATURES
        return -math.inf if is_open else self._next

    def probe(self, now: float) -> None:
        """Let a look through *now*, if any at all."""
        if self._next < math.inf:
            self._next = now

    def probing(self, now: float) -> None:
        """Note that a look is made *now*."""
        if self.error is not None:
            self._gap = min(2 * self._gap, _LAST_PROBE)
            self._next = now + self._gap
        elif self._forgeries >= _BAD_SIGNATURES:
            self._next = now + _SUSPICION
