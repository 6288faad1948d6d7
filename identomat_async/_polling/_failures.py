"""Which failures are worth a line in the log: the first, and then a sum now and then."""

from collections import Counter

_EVERY = 60.0
_QUIET = 300.0


class FailureLog:
    """Decides what to write. An outage of a minute is two lines, and not a million."""

    __slots__ = ("_counts", "_last", "_next")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last = -_QUIET
        self._next = 0.0

    def failed(self, name: str, now: float) -> str | None:
        """Return what to write about a look that failed with the error class *name*."""
        is_first = now - self._last >= _QUIET
        self._last = now
        if is_first:
            self._counts.clear()
            self._next = now + _EVERY
            return f"a look failed with {name}; it is made again, and more are summed up"
        self._counts[name] += 1
        if now < self._next:
            return None
        said = ", ".join(f"{count} with {name}" for name, count in self._counts.most_common())
        self._counts.clear()
        self._next = now + _EVERY
        return f"more looks failed: {said}"
