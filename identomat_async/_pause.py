"""When the service has asked to be left alone."""

import math
import random

import anyio

# Longer than this no service is believed; the poller says so with an event.
LONGEST_PAUSE = 3600.0
# A pause is longer than asked by up to this share, so that not everybody returns at once.
JITTER = 0.1


class Pause:
    """The service's word (``Retry-After``), kept by everything that shares a client."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = -math.inf

    def __repr__(self) -> str:
        return f"<Pause until {self._until}>"

    def heed(self, asked: float) -> None:
        """Send nothing for *asked* seconds (0 for nothing asked), an hour at most."""
        if asked > 0:
            span = min(asked, LONGEST_PAUSE) * (1 + JITTER * random.random())  # noqa: S311
            self._until = max(self._until, anyio.current_time() + span)

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when there is no pause."""
        return max(0.0, self._until - anyio.current_time())

    async def passed(self) -> None:
        """Wait until it is over."""
        while remaining := self.remaining():  # noqa: ASYNC110 - time alone ends it
            await anyio.sleep(remaining)
