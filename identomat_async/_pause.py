"""When the service has asked to be left alone."""

import math
import random

import anyio

from identomat_async._clock import LoopTime

# Longer than this no service is believed; the poller says so with an event.
LONGEST_PAUSE = 3600.0
# A pause is longer than asked by up to this share, so that not everybody returns at once.
JITTER = 0.1
# How soon it is noticed that a pause was lifted.
_GLANCE = 1.0


class Pause:
    """The service's word (``Retry-After``), kept by everything that shares a client."""

    __slots__ = ("_time", "is_cut", "until")

    def __init__(self) -> None:
        # The time of the event loop at which it is over.
        self.until: float = -math.inf
        # Whether the service has asked for more.
        self.is_cut: bool = False
        # Not `anyio.current_time`: how long it lasts is also asked outside the event loop.
        self._time = LoopTime()

    def __repr__(self) -> str:
        return f"<Pause until {self.until}>"

    def heed(self, asked: float) -> None:
        """Send nothing for *asked* seconds (0 for nothing asked), an hour at most."""
        if asked > 0:
            span = min(asked * (1 + JITTER * random.random()), LONGEST_PAUSE)  # noqa: S311
            until = self._time() + span
            if until >= self.until:
                self.until, self.is_cut = until, asked > LONGEST_PAUSE

    def lift(self) -> None:
        """End it now."""
        self.until = -math.inf

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when there is no pause."""
        if self.until == -math.inf:  # nearly always
            return 0.0
        return max(0.0, self.until - self._time())

    async def passed(self) -> None:
        """Wait until it is over."""
        while remaining := self.remaining():  # noqa: ASYNC110 - time ends it, nearly always
            await anyio.sleep(min(remaining, _GLANCE))
