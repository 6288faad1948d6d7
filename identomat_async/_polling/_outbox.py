"""Outcomes that nobody has taken yet, and those that were taken and not accepted."""

import uuid
from collections.abc import Callable, KeysView

import anyio
import attrs

from identomat_async._polling._outcomes import Delivery, Outcome


class Outbox:
    """
    Outcomes in the order in which they came, one per session.

    *unacked* are those that a handler has been given and has not accepted. *has_room* is
    called when it was full and is so no more.
    """

    def __init__(self, size: int, *, has_room: Callable[[], object]) -> None:
        self.unacked: dict[str, Delivery] = {}
        self._has_room = has_room
        self._size = size
        self._waiting: dict[str, Delivery] = {}
        self._event: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def tokens(self) -> KeysView[str]:
        """The sessions whose outcome waits here, as a view."""
        return self._waiting.keys()

    @property
    def is_full(self) -> bool:
        """Whether it takes no more for now."""
        return len(self._waiting) >= self._size

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome until somebody takes it."""
        self._waiting[outcome.token] = Delivery(id=uuid.uuid4().hex, outcome=outcome)
        self.notify()

    def get(self, token: str) -> Outcome | None:
        """Return the outcome of a session that waits here, None if none does."""
        delivery = self._waiting.get(token)
        return None if delivery is None else delivery.outcome

    def take(self) -> Delivery | None:
        """Take the first, None if there is none."""
        if not self._waiting:
            return None
        was_full = self.is_full
        delivery = self._waiting.pop(next(iter(self._waiting)))
        if was_full:
            self._has_room()
        return delivery

    def take_any(self) -> Outcome | None:
        """Take the first, or one that a handler has not accepted; None if there is none."""
        if delivery := self.take():
            return delivery.outcome
        if self.unacked:
            return self.unacked.pop(next(iter(self.unacked))).outcome
        return None

    def withdraw(self, token: str) -> None:
        """Take back an outcome that nobody has taken."""
        was_full = self.is_full
        if self._waiting.pop(token, None) is not None and was_full:
            self._has_room()

    def refer(self, token: str, reference: str) -> None:
        """Give an outcome that nobody has taken another reference."""
        delivery = self._waiting[token]
        outcome = attrs.evolve(delivery.outcome, reference=reference)
        self._waiting[token] = attrs.evolve(delivery, outcome=outcome)

    def discard(self, token: str) -> bool:
        """Forget what there is of a session; True if there was anything."""
        was_full = self.is_full
        names = [name for name, held in self.unacked.items() if held.token == token]
        for name in names:
            del self.unacked[name]
        is_waiting = self._waiting.pop(token, None) is not None
        if was_full and not self.is_full:
            self._has_room()
        return is_waiting or bool(names)

    def listen(self) -> anyio.Event:
        """Return an event that is set at the next change."""
        if self._event is None or self._event.is_set():
            self._event = anyio.Event()
        return self._event

    def notify(self) -> None:
        """Tell those who listen that something changed."""
        if self._event is not None:
            self._event.set()
