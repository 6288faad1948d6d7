"""Those who wait for sessions, alone or for many at once."""

import asyncio
import copy
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import current_token

from identomat_async._model._result import SessionResult
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._raising import result_of
from identomat_async._polling._watch import Until
from identomat_async.errors import IdentomatError

if TYPE_CHECKING:
    from identomat_async._polling._entry import Entry


class _Event:
    """An event of any backend, to be awaited as it is."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()

    def set(self) -> None:
        self._event.set()


class Signal:
    """Wakes one task, time and again, and weighs next to nothing while it waits."""

    __slots__ = ("_awaited",)

    def __init__(self) -> None:
        self._awaited: asyncio.Future[None] | _Event | None = None

    def listen(self) -> Awaitable[object]:
        """Return what is awaited until the next `wake`."""
        loop = current_token().native_token
        if isinstance(loop, asyncio.AbstractEventLoop):
            # An event of asyncio's keeps a deque, which is larger than a session is.
            self._awaited = loop.create_future()
        else:
            self._awaited = _Event()
        return self._awaited

    def wake(self) -> None:
        """Wake the task that listens, if one does."""
        awaited, self._awaited = self._awaited, None
        if isinstance(awaited, asyncio.Future):
            if not awaited.done():  # it may be cancelled
                awaited.set_result(None)
        elif awaited is not None:
            awaited.set()


class Group(Signal):
    """
    Somebody who waits for several sessions.

    *outcomes* fills up by token; *error* ends the wait for all of them.
    """

    __slots__ = ("error", "missing", "outcomes")

    def __init__(self, missing: int) -> None:
        super().__init__()
        self.missing: int = missing
        self.outcomes: dict[str, Outcome] = {}
        self.error: IdentomatError | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return not self.missing or self.error is not None


class Member:
    """
    One session of a group.

    *until* and *deadline* are its own, *since* is when it began; *entry* is the session
    as the engine holds it, and *next* another who waits for it.
    """

    __slots__ = ("deadline", "entry", "group", "next", "since", "until")

    def __init__(
        self, entry: "Entry", group: Group, *, until: Until, deadline: float, since: float
    ) -> None:
        self.entry: Entry = entry
        self.next: Waiter | None = None
        self.group: Group = group
        self.until: Until = until
        self.deadline: float = deadline
        self.since: float = since

    def give(self, outcome: Outcome) -> None:
        """Hand over what became of the session."""
        self.group.outcomes[outcome.token] = outcome
        self.group.missing -= 1
        if not self.group.missing:
            self.group.wake()

    def fail(self, error: IdentomatError) -> None:
        """End the wait, and that for all the others, unless it is over."""
        if not self.group.is_over:
            self.group.error = error
            self.group.wake()

    def wake(self) -> None:
        """Have the group see how things are."""
        self.group.wake()


class Lone(Signal):
    """
    Somebody who waits for one session; there may be very many.

    The same as a member, and *place* on the agenda of those who are let go in the end.
    """

    __slots__ = ("came_to", "deadline", "entry", "next", "place", "since", "until")

    def __init__(self, entry: "Entry", *, until: Until, deadline: float, since: float) -> None:
        super().__init__()
        self.entry: Entry = entry
        self.until: Until = until
        self.deadline: float = deadline
        self.since: float = since
        self.next: Waiter | None = None
        self.place: object = None
        self.came_to: Outcome | IdentomatError | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.came_to is not None

    def give(self, outcome: Outcome) -> None:
        """Hand over what became of the session."""
        self.came_to = outcome
        self.wake()

    def fail(self, error: IdentomatError) -> None:
        """End the wait, unless it is over."""
        if not self.is_over:
            self.came_to = error
            self.wake()

    def result(self) -> SessionResult:
        """
        Return the result when the wait is over.

        Raises:
            IdentomatError: Whatever happened instead.
        """
        assert self.came_to is not None  # noqa: S101 - for types
        if isinstance(self.came_to, IdentomatError):
            raise copy.copy(self.came_to)
        return result_of(self.came_to)


Waiter = Member | Lone
