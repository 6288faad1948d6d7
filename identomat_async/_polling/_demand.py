"""How many looks the watched sessions would like, against how many there may be."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tenacity.wait import wait_base

from identomat_async._polling._density import REVIEW, wait_density
from identomat_async._polling._step import NO_LOAD, Load

# Room between the least gap and the rate, so that no queue builds up at the ceiling.
_ROOM = 1.1
# The share of the rate that the schedule plans with; the rest lets a backlog drain.
_SHARE = 0.975
# Sessions are counted by when they were begun, in spans of so many seconds. What is older
# than so many spans is read from the next, wider ones: within 2 % of its age.
_WIDTHS = (1, 16, 256)
_SPANS = 1024
# So many seconds ahead it is looked whether a crowd comes into its busy time.
_AHEAD = (4.0, 6.0, 9.0, 13.0, 20.0, 30.0, 45.0, 68.0, 101.0, 152.0, 228.0, 342.0)
# Growth up to this is made up for by those who are decided meanwhile; what is half as
# much again counts in full.
_USUAL, _UNUSUAL = 1.25, 1.5


class Demand:
    """
    The sessions that are watched, counted by when they were begun.

    The counts give the looks per second that a density schedule asks for, at a cost that
    does not depend on how many sessions there are. Those under review are counted apart:
    there an operator is waited for, whatever the age.

    Attributes:
        live: How many there are.
        reviewed: How many of them are under review.
        coming: How many more are about to be watched.
    """

    def __init__(self) -> None:
        self.live = 0
        self.coming = 0
        self.reviewed = 0
        self._begun: list[Counter[int]] = [Counter() for _ in _WIDTHS]

    @property
    def all(self) -> int:
        """How many there are and are about to be."""
        return self.live + self.coming

    def add(self, begun: float, *, in_review: bool = False) -> None:
        """Count a session."""
        self.live += 1
        if in_review:
            self.reviewed += 1
            return
        second = int(begun)
        for width, counts in zip(_WIDTHS, self._begun, strict=True):
            counts[second // width] += 1

    def remove(self, begun: float, *, in_review: bool = False) -> None:
        """Count it no more."""
        self.live -= 1
        if in_review:
            self.reviewed -= 1
            return
        second = int(begun)
        for width, counts in zip(_WIDTHS, self._begun, strict=True):
            counts[second // width] -= 1
            if counts[second // width] <= 0:  # below, if it was old and has been forgotten
                del counts[second // width]

    def looks(self, wait: wait_density, now: float) -> float:
        """Return the looks per second that *wait* asks for at *now*."""
        return next(self._looks(wait, now, (0.0,)))

    def load(
        self, wait: wait_base, rate: float | None, now: float, *, besides: float = 0.0
    ) -> Load:
        """
        Return how far a rate stretches a schedule.

        Args:
            wait: The schedule.
            rate: The most requests per second; None for no limit.
            now: The time.
            besides: Requests per second that no schedule asks for, such as confirming reads.
        """
        if rate is None:
            return NO_LOAD
        if not isinstance(wait, wait_density):
            return Load(at_least=self._least_gap(rate / _ROOM))
        allowed = max(_SHARE * rate - besides, rate / 2)
        if self.all * wait.closest <= allowed:
            return NO_LOAD
        stretch, *ahead = (
            max(1.0, looks / allowed) for looks in self._looks(wait, now, (0.0, *_AHEAD))
        )
        return Load(stretch=stretch, ahead=_rising(stretch, ahead))

    def _looks(self, wait: wait_density, now: float, after: Sequence[float]) -> Iterator[float]:
        # As many as are watched now would like so many seconds from now.
        ages = list(self._ages(now, wait.oldest))
        others = self.live - self.reviewed - sum(count for _, count in ages)
        same = self.reviewed / wait.review + others * wait.density(wait.oldest)
        if self.coming:
            ages.append((0.0, self.coming))
        for later in after:
            yield same + sum(count * wait.density(age + later) for age, count in ages)

    def _ages(self, now: float, oldest: float) -> Iterator[tuple[float, int]]:
        """Return ages up to *oldest*, and how many sessions are of each, nearly."""
        end, first = int(now) + 1, int(now - oldest)
        for level, (width, counts) in enumerate(zip(_WIDTHS, self._begun, strict=True)):
            start = first
            if width != _WIDTHS[-1]:
                wider = _WIDTHS[level + 1]
                start = max(first, (end - _SPANS * width) // wider * wider)
                self._forget(level, (end - 2 * _SPANS * width) // width)
            for span, count in _between(counts, start // width, end // width):
                yield max(0.0, now - (span + 0.5) * width), count
            if start == first:
                return
            end = start

    def _forget(self, level: int, before: int) -> None:
        # Of the narrow spans only the latest are read.
        counts = self._begun[level]
        if len(counts) > 2 * _SPANS:
            self._begun[level] = Counter(
                {span: count for span, count in counts.items() if span >= before}
            )

    def _least_gap(self, rate: float) -> float:
        # All at the same gap; unless that is quicker than those under review are looked at.
        gap = self.all / rate
        if gap >= REVIEW or not self.reviewed:
            return gap
        return (self.all - self.reviewed) / (rate - self.reviewed / REVIEW)


def _between(counts: Counter[int], start: int, end: int) -> Iterator[tuple[int, int]]:
    if len(counts) < end - start:
        return ((span, count) for span, count in counts.items() if start <= span < end)
    return ((span, counts[span]) for span in range(start, end) if span in counts)


def _rising(stretch: float, ahead: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return until when which stretch counts, if it will be much larger than now."""
    if max(ahead) <= _USUAL * stretch:
        return ()
    steps: list[tuple[float, float]] = []
    for until, later in zip(_AHEAD, ahead, strict=True):
        share = (later / stretch - _USUAL) / (_UNUSUAL - _USUAL)
        steps.append((until, stretch + (later - stretch) * min(max(share, 0.0), 1.0)))
    return tuple(steps)
