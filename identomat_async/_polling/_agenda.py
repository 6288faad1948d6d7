"""Who is due next, and nothing about how to ask."""

import heapq
import math
from typing import Generic, Protocol, TypeVar

# Sessions that come due within the same fiftieth of a second are taken together: looks
# are seconds apart, and every waking of the event loop costs more than a look's own work.
TICK = 0.02
NOWHERE = -1
# So many shadows are not worth a sweep.
_FEW = 100


class Dated(Protocol):
    """What stands on an agenda: *slot* is where, and belongs to the agenda."""

    slot: int


D = TypeVar("D", bound=Dated)


class Agenda(Generic[D]):
    """
    A calendar of ticks: entries in lists by tick, and a heap of the ticks in use.

    Nobody is taken before the time is due. An entry stands in one place at a time; what
    is moved or taken off stays behind as a shadow and is passed over when its tick comes.
    When most are shadows they are swept out.
    """

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._entries: dict[int, list[D]] = {}
        self._current: list[D] = []
        self._now = NOWHERE
        self._standing = 0
        self._shadows = 0

    def put(self, entry: D, due: float) -> None:
        """Have *entry* come up at *due*, and at no other time."""
        slot = math.ceil(due / TICK)
        if slot == entry.slot:
            return
        if entry.slot != NOWHERE:
            self.remove(entry)
        entry.slot = slot
        self._standing += 1
        entries = self._entries.get(slot)
        if entries is None:
            heapq.heappush(self._ticks, slot)
            self._entries[slot] = [entry]
        else:
            entries.append(entry)

    def remove(self, entry: D) -> None:
        """Have *entry* not come up at all."""
        if entry.slot == NOWHERE:
            return
        entry.slot = NOWHERE
        self._standing -= 1
        self._shadows += 1
        if self._shadows > max(self._standing, _FEW):
            self._sweep()

    def pop(self, now: float) -> D | None:
        """Take off the first entry that is due, None if nobody is."""
        while self._turn_to(now):
            entry = self._current.pop()
            if entry.slot == self._now:
                entry.slot = NOWHERE
                self._standing -= 1
                return entry
            self._shadows -= 1
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

    def _sweep(self) -> None:
        swept = {slot: _standing_at(slot, entries) for slot, entries in self._entries.items()}
        self._entries = {slot: entries for slot, entries in swept.items() if entries}
        self._ticks = sorted(self._entries)
        self._current = _standing_at(self._now, self._current)
        kept = len(self._current) + sum(map(len, self._entries.values()))
        self._shadows = kept - self._standing


def _standing_at(slot: int, entries: list[D]) -> list[D]:
    # One that was moved away and back is in the list twice.
    return list(dict.fromkeys(entry for entry in entries if entry.slot == slot))
