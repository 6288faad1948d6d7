"""Both backends, on time that jumps instead of passing."""

import asyncio
import selectors
from typing import Any

import pytest
from trio.testing import MockClock


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.skipped = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return super().time() + self.skipped


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready: list[Any] = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self._loop.skipped += timeout
        return ready


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": JumpingLoop}
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture(params=["asyncio", "trio"])
def real_time(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """The backends on the real clock, for real sockets and worker threads."""
    return request.param, {}
