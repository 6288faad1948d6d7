"""Time that stands still until a test lets it pass."""

import asyncio
import math
import threading
import warnings
from collections.abc import Awaitable, Callable, Generator
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, Self
from weakref import WeakSet

from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from identomat_async._clock import Seconds, seconds
from identomat_async.errors import ConfigurationError
from identomat_async.testing._loop import VirtualLoop

# Not 0, so that nobody gets away with taking a reading for a span of time.
_START = 1000.0

_ELSEWHERE = (
    "this event loop runs on another clock: it was made before identomat_clock, or by a factory "
    "of its own. Make it with identomat_clock.new_event_loop, or let the fixture anyio_backend "
    "return (name, identomat_clock.backend_options(name))"
)


class Follower(Protocol):
    """An event loop on this clock."""

    @property
    def native_token(self) -> object:
        """What anyio knows it by."""
        ...

    def wake(self) -> bool:
        """Let it look at the clock again, from any thread; False if it runs no more."""
        ...

    async def settled(self, moment: float) -> None:
        """Wait, in this loop, until everything that is due by *moment* has been done."""

    def settle(self, moment: float) -> None:
        """Wait as `settled` does, in another thread."""


class VirtualClock:
    """
    A clock for event loops, that stands still unless a test moves it.

    `advance` lets a span of time pass, and everything happens in it that would have,
    in its order and at its time. `jump` lets any wait be over at once.

    Times are exact for one event loop at a time. The wall clock is left alone: a deadline
    that is a datetime is as far away as it is for everybody.

    Args:
        patience: Real seconds after which a test is told that it waits in vain (on
            asyncio); a fifth of them is what worker threads get.
    """

    def __init__(self, *, patience: float = 5.0) -> None:
        self.patience = patience
        self._now = self._until = _START
        self._jumps = 0
        self._lock = threading.Lock()
        self._followers: WeakSet[Follower] = WeakSet()
        self._thread = threading.get_ident()

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now - _START:.9g} s>"

    def now(self) -> float:
        """Return the time in seconds, which is that of every event loop on this clock."""
        return self._now

    def advance(self, span: Seconds) -> "Advanced":
        """
        Let time pass.

        Whatever is due in the span is done at its moment, and then what follows from it;
        worker threads get a real second for what they have at hand.

        In a coroutine this must be awaited. Elsewhere, such as beside an app in
        starlette's ``TestClient``, it returns when it is done, and need not be.

        Args:
            span: How much time, in seconds or as a timedelta.

        Raises:
            ConfigurationError: *span* is none; or the running event loop has another clock.
        """
        length = seconds(span, name="span")
        here = self._follower_here()
        if here is not None:
            return Advanced(lambda: self._pass(here, length))
        moment = self._allow(length)
        for follower in tuple(self._followers):
            if follower.wake():
                follower.settle(moment)
        with self._lock:
            self._now = max(self._now, moment)
        return Advanced(None)

    def jump(self) -> "Jumping":
        """
        Let every wait be over as soon as nothing else is left to do, from now on.

        As the context of a ``with`` it ends with the block, otherwise with the test. What
        waits in circles for ever makes time race: await something that ends.
        """
        with self._lock:
            self._jumps += 1
        self._wake()
        return Jumping(self._halt)

    def stall(self, span: Seconds) -> None:
        """
        Let time pass while nothing is done, as on a machine that is late.

        What is due in the span is done afterwards, all at once and too late.

        Args:
            span: How much time, in seconds or as a timedelta.

        Raises:
            ConfigurationError: *span* is none.
        """
        length = seconds(span, name="span")
        with self._lock:
            self._now += length
            self._until = max(self._until, self._now)
        self._wake()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make an asyncio event loop on this clock; a ``loop_factory`` as others take it."""
        loop = VirtualLoop(self, self._followers.discard)
        self._followers.add(loop)
        return loop

    def backend_options(self, name: str = "asyncio") -> dict[str, Any]:
        """
        Return what puts an event loop of anyio's on this clock.

        For ``anyio.run``, ``TestClient`` (both ``backend_options=``) and the fixture
        ``anyio_backend``.

        Args:
            name: ``"asyncio"`` or ``"trio"``.

        Raises:
            ConfigurationError: There is no such back end.
        """
        if name == "asyncio":
            return {"loop_factory": self.new_event_loop}
        if name == "trio":
            # Whoever does without trio need not have it.
            follower = import_module("identomat_async.testing._trio").TrioClock(self)
            self._followers.add(follower)
            return {"clock": follower}
        raise ConfigurationError("the back end is 'asyncio' or 'trio'")

    def has_come_to(self, due: float) -> bool:
        """
        Move on as far as is allowed, at most to *due*; called by a loop that is idle.

        Returns:
            Whether *due* has come.
        """
        with self._lock:
            limit = due if self._jumps and due < math.inf else min(due, self._until)
            self._now = max(self._now, limit)
            return due <= self._now

    @property
    def stands(self) -> bool:
        """Whether no time passes until somebody in this thread says so."""
        return not self._jumps and threading.get_ident() == self._thread

    def _allow(self, length: float) -> float:
        with self._lock:
            self._until = max(self._until, self._now) + length
            return self._until

    async def _pass(self, here: Follower, length: float) -> None:
        moment = self._allow(length)
        self._wake()
        await here.settled(moment)

    def _halt(self) -> None:
        with self._lock:
            self._jumps -= 1
            self._until = max(self._until, self._now)

    def _wake(self) -> None:
        for follower in tuple(self._followers):
            follower.wake()

    def _follower_here(self) -> Follower | None:
        try:
            token = current_token().native_token
        except NoEventLoopError:
            return None
        here = [each for each in tuple(self._followers) if each.native_token is token]
        if not here:
            raise ConfigurationError(_ELSEWHERE)
        return here[0]


class Advanced:
    """The time that `VirtualClock.advance` lets pass; in a coroutine it is awaited."""

    def __init__(self, wait: Callable[[], Awaitable[None]] | None) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until it has passed."""
        wait, self._wait = self._wait, None
        if wait is not None:
            yield from wait().__await__()

    def __del__(self) -> None:
        if self._wait is not None:
            warnings.warn("clock.advance() was never awaited", RuntimeWarning, stacklevel=2)


class Jumping:
    """What `VirtualClock.jump` has begun; a ``with`` ends it."""

    def __init__(self, halt: Callable[[], None]) -> None:
        self._halt = halt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._halt()
