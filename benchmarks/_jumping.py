"""An event loop whose time jumps from timer to timer, unless it is told to pass."""

import asyncio
import selectors
import time
from typing import Any


class JumpingLoop(asyncio.SelectorEventLoop):
    """
    An event loop on which hours take as long as what happens in them.

    Time stands still while anything is to be done, and jumps when nothing is. Between
    `land` and `take_off` it passes as everybody's does.
    """

    def __init__(self) -> None:
        self.skipped = 1000.0
        self.landed: float | None = None
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the seconds that have been jumped, and those since the landing."""
        if self.landed is None:
            return self.skipped
        return self.skipped + time.monotonic() - self.landed

    def land(self) -> None:
        """Let time pass from here on."""
        self.landed = time.monotonic()

    def take_off(self) -> None:
        """Let time jump again."""
        self.skipped, self.landed = self.time(), None


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or self._loop.landed is not None:
            return super().select(timeout)
        ready: list[Any] = super().select(0)
        if not ready:
            self._loop.skipped += timeout
        return ready
