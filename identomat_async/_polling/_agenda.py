"""Who is due next, and nothing about how to ask."""

import heapq
import math
from typing import Generic, Protocol, TypeVar

# Sessions that come due within the same fiftieth of a second are taken together: looks
# are seconds apart, and every waking of the event loop costs more than a look's own work.
TICK = 0.02
# So many shadows are borne before they are swept out, when they are the most of what
# there is.
_SHADOWS = 100


class Dated(Protocol):
    """What stands on an agenda: *place* is where, and belongs to the agenda."""

    place: object


D = TypeVar("D", bound=Dated)


class Agenda(Generic[D]):
    """
    A calendar of ticks: entries in lists by tick, and a heap of the ticks in use.

    Nobody is taken before the time is due. An entry stands in one list at a time; what
    is moved or taken off stays behind as a shadow, and is passed over when its tick comes
    or swept out when there are too many.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._ticks: dict[int, list[D]] = {}
        self._current: list[D] = []
        self._now = 0
        self._standing = 0
        self._shadows = 0

    def put(self, entry: D, due: float) -> None:
        """Have *entry* come up at *due*, and at no other time."""
        number = math.ceil(due / TICK)
        tick = self._ticks.get(number)
        if tick is None:
            tick = self._ticks[number] = []
            heapq.heappush(self._numbers, number)
        elif entry.place is tick:
            return
        if entry.place is not None:
            self.remove(entry)
        entry.place = tick
        tick.append(entry)
        self._standing += 1

    def remove(self, entry: D) -> None:
        """Have *entry* not come up at all."""
        if isinstance(entry.place, list):
            self._standing -= 1
            self._shadows += 1
        entry.place = None
        if self._shadows > max(_SHADOWS, self._standing):
            self._sweep()

    def pop(self, now: float) -> D | None:
        """Take off the first entry that is due, None if nobody is."""
        while self._turn_to(now):
            current = self._current
            entry = current.pop()
            if entry.place is current:
                entry.place = None
                self._standing -= 1
                return entry
            self._shadows -= 1
        return None

    def next_due(self) -> float:
        """Return when there may be something to do; infinity if never."""
        if self._current:
            return self._now * TICK
        return self._numbers[0] * TICK if self._numbers else math.inf

    def due(self, now: float) -> int:
        """Count the entries that are due."""
        ticks = [tick for number, tick in self._ticks.items() if number * TICK <= now]
        return sum(entry.place is tick for tick in (self._current, *ticks) for entry in tick)

    def _turn_to(self, now: float) -> bool:
        while not self._current and self._numbers and self._numbers[0] * TICK <= now:
            self._now = heapq.heappop(self._numbers)
            self._current = self._ticks.pop(self._now)
            self._current.reverse()
        return bool(self._current)

    def _sweep(self) -> None:
        for tick in (self._current, *self._ticks.values()):
            tick[:] = [entry for entry in dict.fromkeys(tick) if entry.place is tick]
        self._ticks = {number: tick for number, tick in self._ticks.items() if tick}
        self._numbers = sorted(self._ticks)
        self._shadows = 0
