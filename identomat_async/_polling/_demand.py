"""How many looks the watched sessions would like, against how many there may be."""

from collections import Counter

from tenacity.wait import wait_base

from identomat_async._polling._density import wait_density
from identomat_async._polling._step import Load

# Room between the least gap and the rate, so that no queue builds up at the ceiling.
_ROOM = 1.1
# The share of the rate that the schedule plans with; the rest lets a backlog drain.
_SHARE = 0.97


class Demand:
    """
    The sessions that are watched, counted by the second in which they were begun.

    The counts give the looks per second that a density schedule asks for, at a cost that
    does not depend on how many sessions there are.
    """

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self.live = 0

    def add(self, begun: float) -> None:
        """Count a session."""
        self._begun[int(begun)] += 1
        self.live += 1

    def remove(self, begun: float) -> None:
        """Count it no more."""
        self.live -= 1
        second = int(begun)
        self._begun[second] -= 1
        if not self._begun[second]:
            del self._begun[second]

    def looks(self, wait: wait_density, now: float) -> float:
        """Return the looks per second that *wait* asks for at *now*."""
        return sum(
            count * wait.density(max(0.0, now - begun)) for begun, count in self._begun.items()
        )

    def load(self, wait: wait_base, rate: float | None, now: float) -> Load:
        """Return how far *rate*, in looks per second, stretches the schedule *wait*."""
        if rate is None:
            return Load()
        if isinstance(wait, wait_density):
            return Load(stretch=max(1.0, self.looks(wait, now) / (_SHARE * rate)))
        return Load(at_least=_ROOM * self.live / rate)
