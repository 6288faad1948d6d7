"""Outcomes that nobody has taken yet, and those that were taken and not accepted."""

import uuid
from collections import Counter
from collections.abc import Callable, KeysView

import anyio
import attrs

from identomat_async._clock import LoopTime
from identomat_async._polling._outcomes import Delivery, Outcome

# Whoever was held back is gone through again each time that there is room: not for every
# outcome taken from a full outbox, but for an eighth of them.
_ROOM = 8


class Outbox:
    """
    Outcomes in the order in which they came, one per session.

    *unacked* are those that a handler has been given and has not accepted, by the id of
    their delivery. Those that it has refused fill the outbox as much as those that nobody
    has taken: they are kept as well. *has_room* is called when it was full and there is
    some room again.
    """

    def __init__(self, size: int, *, has_room: Callable[[], object]) -> None:
        self.is_full: bool = False
        self.unacked: dict[str, Delivery] = {}
        # How many of the unacked there are of each session.
        self._unacked_of: Counter[str] = Counter()
        self._in_hand: set[str] = set()
        self._since: dict[str, float] = {}
        self._time = LoopTime()
        self._has_room = has_room
        self._size = size
        self._coming = 0
        self._waiting: dict[str, Delivery] = {}
        self._event: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, token: object) -> bool:
        return token in self._waiting or token in self._unacked_of

    @property
    def tokens(self) -> KeysView[str]:
        """The sessions whose outcome nobody has taken, as a view."""
        return self._waiting.keys()

    @property
    def oldest_unacked(self) -> float | None:
        """Seconds since the first of the unacked was handed over, None if there is none."""
        first = next(iter(self._since.copy().values()), None)
        return None if first is None else self._time() - first

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome until somebody takes it."""
        self.put(Delivery(id=uuid.uuid4().hex, outcome=outcome))

    def put(self, delivery: Delivery) -> None:
        """Keep a delivery until somebody takes it."""
        self._waiting[delivery.token] = delivery
        self._weigh()
        self.notify()

    def expect(self, coming: int) -> None:
        """Reckon with so many outcomes that are on their way."""
        self._coming = coming
        self._weigh()

    def get(self, token: str) -> Outcome | None:
        """Return the outcome of a session that waits here, None if none does."""
        delivery = self.waiting(token)
        return None if delivery is None else delivery.outcome

    def waiting(self, token: str) -> Delivery | None:
        """Return the delivery of a session that nobody has taken, None if there is none."""
        return self._waiting.get(token)

    def take(self) -> Delivery | None:
        """Take the first, None if there is none."""
        if not self._waiting:
            return None
        delivery = self._waiting.pop(next(iter(self._waiting)))
        self._weigh()
        return delivery

    def take_any(self) -> Outcome | None:
        """Take the first, or one that a handler has not accepted; None if there is none."""
        if delivery := self.take():
            return delivery.outcome
        if not self.unacked:
            return None
        name, delivery = next(iter(self.unacked.items()))
        self.accepted(name)
        return delivery.outcome

    def hand_over(self, delivery: Delivery) -> None:
        """Keep a delivery, as the next attempt at it, while the handler has it in hand."""
        again = attrs.evolve(delivery, attempt=delivery.attempt + 1, redelivered=True)
        if delivery.id not in self.unacked:
            self._unacked_of[delivery.token] += 1
        self.unacked[delivery.id] = again
        self._in_hand.add(delivery.id)
        self._since.setdefault(delivery.id, self._time())

    def accepted(self, name: str) -> None:
        """Forget the delivery with this id."""
        self._drop(name)
        self._weigh()

    def put_down(self, name: str) -> None:
        """Have the delivery with this id in hand no more, whether it was accepted or not."""
        self._in_hand.discard(name)
        self._weigh()

    def withdraw(self, token: str) -> None:
        """Take back an outcome that nobody has taken."""
        self._waiting.pop(token, None)
        self._weigh()

    def refer(self, token: str, reference: str) -> None:
        """Give an outcome that nobody has taken another reference."""
        delivery = self._waiting[token]
        outcome = attrs.evolve(delivery.outcome, reference=reference)
        self._waiting[token] = attrs.evolve(delivery, outcome=outcome)

    def discard(self, token: str) -> bool:
        """Forget what there is of a session; True if there was anything."""
        names = list[str]()
        if token in self._unacked_of:
            names = [name for name, held in self.unacked.items() if held.token == token]
        for name in names:
            self._drop(name)
        is_waiting = self._waiting.pop(token, None) is not None
        self._weigh()
        return is_waiting or bool(names)

    def clear(self) -> None:
        """Forget everything, which is written down elsewhere."""
        for kept in (self._waiting, self.unacked, self._unacked_of, self._since, self._in_hand):
            kept.clear()
        self._weigh()

    def listen(self) -> anyio.Event:
        """Return an event that is set at the next change."""
        if self._event is None or self._event.is_set():
            self._event = anyio.Event()
        return self._event

    def notify(self) -> None:
        """Tell those who listen that something changed."""
        if self._event is not None:
            self._event.set()

    def _drop(self, name: str) -> None:
        delivery = self.unacked.pop(name, None)
        if delivery is not None:
            self._unacked_of[delivery.token] -= 1
            if not self._unacked_of[delivery.token]:
                del self._unacked_of[delivery.token]
        self._since.pop(name, None)
        self._in_hand.discard(name)

    def _weigh(self) -> None:
        # Not weighed when a refused one is handed over again: it may well come back.
        kept = len(self._waiting) + len(self.unacked) - len(self._in_hand) + self._coming
        if kept >= self._size:
            self.is_full = True
        elif self.is_full and kept < self._size - self._size // _ROOM:
            self.is_full = False
            self._has_room()
