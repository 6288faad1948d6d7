"""Who is due next, and nothing about how to ask."""

import heapq
import math
from collections.abc import Iterable, Sequence
from itertools import chain
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

    Nobody is taken before the time is due. Those put *first* go before all others that are
    due by then, however long these have been. An entry stands in one list at a time; what
    is moved or taken off stays behind as a shadow, and is passed over when its tick comes
    or swept out when there are too many.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._ticks: dict[int, list[D]] = {}
        self._first_numbers: list[int] = []
        self._first_ticks: dict[int, list[D]] = {}
        self._current: list[D] = []
        self._now = 0
        self._standing = 0
        self._shadows = 0

    def put(self, entry: D, due: float, *, first: bool = False) -> None:
        """Have *entry* come up at *due*, and at no other time."""
        number = math.ceil(due / TICK)
        if entry.place is not None:
            if entry.place is (self._first_ticks if first else self._ticks).get(number):
                return
            # Before its tick is looked for: an empty one would be swept out.
            self.remove(entry)
        ticks = self._first_ticks if first else self._ticks
        tick = ticks.get(number)
        if tick is None:
            tick = ticks[number] = []
            heapq.heappush(self._first_numbers if first else self._numbers, number)
        entry.place = tick
        tick.append(entry)
        self._standing += 1

    def put_new(self, entries: Sequence[D], dues: Iterable[float]) -> None:
        """Have entries come up that stand nowhere yet, each when it is due."""
        ticks, ceil = self._ticks, math.ceil
        for entry, due in zip(entries, dues, strict=True):
            number = ceil(due / TICK)
            tick = ticks.get(number)
            if tick is None:
                entry.place = ticks[number] = [entry]
                heapq.heappush(self._numbers, number)
            else:
                entry.place = tick
                tick.append(entry)
        self._standing += len(entries)

    def remove(self, entry: D) -> None:
        """Have *entry* not come up at all."""
        if self.has(entry):
            self._standing -= 1
            self._shadows += 1
        entry.place = None
        if self._shadows > max(_SHADOWS, self._standing):
            self._sweep()

    def has(self, entry: D) -> bool:
        """Tell whether *entry* is to come up."""
        return isinstance(entry.place, list)

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
        number = self._numbers[0] if self._numbers else math.inf
        if self._first_numbers:
            number = min(number, self._first_numbers[0])
        return number * TICK

    def due(self, now: float) -> int:
        """Count the entries that are due, nearly if that is asked in another thread."""
        ticks = [
            tick
            for kind in (self._ticks, self._first_ticks)
            for number, tick in kind.copy().items()
            if number * TICK <= now
        ]
        return sum(entry.place is tick for tick in (self._current, *ticks) for entry in tick)

    def overdue(self, now: float) -> list[D]:
        """
        Return the entries that are due, the first first.

        Of those that were put first it has those who were due when `pop` was last called: since
        then these stand among the others.
        """
        current = (entry for entry in reversed(self._current) if entry.place is self._current)
        ticks = [self._ticks[number] for number in sorted(self._ticks) if number * TICK <= now]
        later = (entry for tick in ticks for entry in tick if entry.place is tick)
        return list(dict.fromkeys(chain(current, later)))

    def _turn_to(self, now: float) -> bool:
        if self._first_numbers and self._first_numbers[0] * TICK <= now:
            self._let_pass(now)
        while not self._current and self._numbers and self._numbers[0] * TICK <= now:
            self._now = heapq.heappop(self._numbers)
            self._current = self._ticks.pop(self._now)
            self._current.reverse()
        return bool(self._current)

    def _let_pass(self, now: float) -> None:
        passing: list[D] = []
        while self._first_numbers and self._first_numbers[0] * TICK <= now:
            tick = self._first_ticks.pop(heapq.heappop(self._first_numbers))
            standing = [entry for entry in tick if entry.place is tick]
            self._shadows -= len(tick) - len(standing)
            passing += standing
        for entry in passing:
            entry.place = self._current
        # The current ones are taken from the end.
        self._current += reversed(passing)

    def _sweep(self) -> None:
        for tick in (self._current, *self._ticks.values(), *self._first_ticks.values()):
            # Of an entry that came back the last one stands, which may have been put first.
            standing = [entry for entry in dict.fromkeys(reversed(tick)) if entry.place is tick]
            tick[:] = reversed(standing)
        self._ticks = {number: tick for number, tick in self._ticks.items() if tick}
        self._first_ticks = {number: tick for number, tick in self._first_ticks.items() if tick}
        self._numbers, self._first_numbers = sorted(self._ticks), sorted(self._first_ticks)
        self._shadows = 0
