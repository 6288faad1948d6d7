"""How old the watched sessions are: counts that cost the same however many there are."""

import math
from collections.abc import Iterator
from itertools import pairwise

# Sessions are counted by when they were begun, in spans of so many seconds. What is older
# than so many spans moves on to the next, wider ones: an age is known within 2 %.
_WIDTHS = (1, 16, 256)
_SPANS = 1024
# So many spans move on at a time.
_AT_A_TIME = 128


class Census:
    """Counts sessions by when they were begun, in seconds since the epoch."""

    def __init__(self) -> None:
        self._counts: list[dict[int, int]] = [{} for _ in _WIDTHS]
        # From which second on those begun are counted where; all others in the widest.
        self._since = [-math.inf for _ in _WIDTHS[1:]]

    def add(self, begun: float, count: int = 1) -> None:
        """Count a session, or so many."""
        counts, span = self._place(int(begun))
        counts[span] = counts.get(span, 0) + count

    def remove(self, begun: float) -> None:
        """Count it no more."""
        counts, span = self._place(int(begun))
        if counts[span] > 1:
            counts[span] -= 1
        else:
            del counts[span]

    def ages(self, now: float, oldest: float) -> Iterator[tuple[float, int]]:
        """Return ages up to *oldest*, and how many sessions are of each, nearly."""
        self._move_on(now)
        first = now - oldest
        for width, counts, end in zip(_WIDTHS, self._counts, (math.inf, *self._since), strict=True):
            if end <= first:
                return
            for span, count in counts.items():
                middle = (span + 0.5) * width
                if middle >= first:
                    yield max(0.0, now - middle), count

    def _place(self, second: int) -> tuple[dict[int, int], int]:
        for level, since in enumerate(self._since):
            if second >= since:
                return self._counts[level], second // _WIDTHS[level]
        return self._counts[-1], second // _WIDTHS[-1]

    def _move_on(self, now: float) -> None:
        for level, (width, wider) in enumerate(pairwise(_WIDTHS)):
            since = (int(now) - _SPANS * width) // wider * wider
            if since < self._since[level] + _AT_A_TIME * width:
                continue
            self._since[level] = since
            counts, wide = self._counts[level], self._counts[level + 1]
            for span in [span for span in counts if span * width < since]:
                into = span * width // wider
                wide[into] = wide.get(into, 0) + counts.pop(span)
