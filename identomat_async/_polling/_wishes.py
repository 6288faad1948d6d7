"""What wait strategies ask for that do not say so ahead: it is seen from look to look."""

from identomat_async._polling._policy import Pending

# The share of each second's looks in what is known of the gaps.
_LEARNING = 0.2


class Wishes:
    """
    The gaps that a strategy would like, and how far they are stretched.

    Attributes:
        stretch: How many times longer than wished the gaps of the last second's looks are.
        gap: The mean of the wished ones, None if none was seen.
    """

    __slots__ = ("_count", "_gaps", "_stretches", "gap", "stretch")

    def __init__(self) -> None:
        self.stretch: float = 1.0
        self.gap: float | None = None
        self._count = 0
        self._gaps = self._stretches = 0.0

    def note(self, then: Pending) -> None:
        """Take in what a look has led to."""
        self._count += 1
        self._stretches += then.stretch
        self._gaps += then.delay / then.stretch

    def sum_up(self) -> None:
        """Make figures of what was noted since the last time."""
        if self._count:
            mean = self._gaps / self._count
            self.gap = mean if self.gap is None else self.gap + _LEARNING * (mean - self.gap)
            self.stretch = self._stretches / self._count
            self._count, self._gaps, self._stretches = 0, 0.0, 0.0
