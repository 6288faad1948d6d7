"""Who is due next, and nothing about how to ask."""

import heapq
import math
from typing import Generic, Protocol, TypeVar

# Sessions that come due within the same fiftieth of a second are taken together: looks
# are seconds apart, and every waking of the event loop costs more than a look's own work.
TICK = 0.02
NOWHERE = -1


class Dated(Protocol):
    """What stands on an agenda: *slot* is where, and belongs to the agenda."""

    slot: int


D = TypeVar("D", bound=Dated)


class Agenda(Generic[D]):
    """
    A calendar of ticks: entries in lists by tick, and a heap of the ticks in use.

    Nobody is taken before the time is due. An entry stands in one place at a time; what
    is moved or taken off stays behind as a shadow and is passed over when its tick comes.
    """

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._entries: dict[int, list[D]] = {}
        self._current: list[D] = []
        self._now = NOWHERE

    def put(self, entry: D, due: float) -> None:
        """Have *entry* come up at *due*, and at no other time."""
        slot = math.ceil(due / TICK)
        if slot == entry.slot:
            return
        entry.slot = slot
        entries = self._entries.get(slot)
        if entries is None:
            heapq.heappush(self._ticks, slot)
            self._entries[slot] = [entry]
        else:
            entries.append(entry)

    def remove(self, entry: D) -> None:
        """Have *entry* not come up at all."""
        entry.slot = NOWHERE

    def pop(self, now: float) -> D | None:
        """Take off the first entry that is due, None if nobody is."""
        while self._turn_to(now):
            entry = self._current.pop()
            if entry.slot == self._now:
                entry.slot = NOWHERE
                return entry
        return None

    def next_due(self) -> float:
        """Return when there may be something to do; infinity if never."""
        if self._current:
            return self._now * TICK
        return self._ticks[0] * TICK if self._ticks else math.inf

    def _turn_to(self, now: float) -> bool:
        while not self._current and self._ticks and self._ticks[0] * TICK <= now:
            self._now = heapq.heappop(self._ticks)
            self._current = self._entries.pop(self._now)
            self._current.reverse()
        return bool(self._current)
