"""What a poller says and asks beside its calls: nudges, and how many sessions there are."""

import logging

import anyio

from identomat_async.contrib.docket._link import Link
from identomat_async.errors import JournalError

_EVERY = 1.0

_logger = logging.getLogger("identomat_async")


class Relay:
    """
    Passes nudges on, and keeps count.

    Attributes:
        standing: How many sessions are watched, and how many of them are due.
    """

    def __init__(self, link: Link) -> None:
        self.standing = (0, 0)
        self._link = link
        self._nudges: dict[str, None] = {}
        self._nudged = anyio.Event()

    def nudge(self, token: str) -> None:
        """Have a session looked at now."""
        self._nudges[token] = None
        self._nudged.set()

    async def pass_on(self) -> None:
        """Tell the server of nudges as they come."""
        while True:
            await self._nudged.wait()
            self._nudged = anyio.Event()
            while self._nudges:
                token, _ = self._nudges.popitem()
                try:
                    await self._link.nudge(token)
                except JournalError as error:
                    _logger.warning("a nudge was lost: %s", error)

    async def keep_count(self) -> None:
        """Ask the server for figures again and again."""
        while True:
            try:
                self.standing = await self._link.standing()
            except JournalError as error:
                _logger.debug("no figures: %s", error)
            await anyio.sleep(_EVERY)
