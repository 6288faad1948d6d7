"""A source of results without a wire, for what a poller itself costs."""

from collections.abc import Iterator

import anyio

from identomat_async import RetryPolicy, SessionResult, SessionStatus
from identomat_async._budget import RateBudget
from identomat_async._home import Home
from identomat_async._pause import Pause


class InMemory:
    """
    A `ResultSource` whose sessions are all in progress, and a client of it.

    Args:
        sessions: How many there are.
        latency: Seconds that an answer takes; 0 for no turn of the event loop.

    Attributes:
        looks: How many looks have ended.
        missing: How many sessions have not been looked at.
    """

    def __init__(self, sessions: int, *, latency: float = 0.0) -> None:
        self.timeout = 15.0
        self.retry_wait = RetryPolicy().wait
        self.budget: RateBudget | None = None
        self.pause = Pause()
        self.home = Home("client")
        self.guards: set[anyio.CancelScope] = set()
        self.source = self
        self.looks = 0
        self.missing = sessions
        self._latency = latency
        self._is_seen = bytearray(sessions)

    def tokens(self) -> Iterator[str]:
        """Make a token of 40 characters for each session, one after the other."""
        return (f"{number:040}" for number in range(len(self._is_seen)))

    def token_hash(self, token: str) -> str:
        """Return what stands for *token*."""
        return token[-12:]

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """Answer: in progress."""
        assert not fresh
        if self._latency:
            await anyio.sleep(self._latency)
        self.looks += 1
        number = int(token)
        self.missing -= not self._is_seen[number]
        self._is_seen[number] = True
        return SessionStatus.IN_PROGRESS

    async def all_seen(self) -> None:
        """Wait until every session was looked at."""
        while self.missing:  # noqa: ASYNC110 - an event at every look would be measured too
            await anyio.sleep(0.1)
