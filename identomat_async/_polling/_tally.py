"""What is counted as looks are made."""

import math
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Mapping

from identomat_async._polling._durations import Durations
from identomat_async._polling._outcomes import DeadlinePassed, Outcome, Settled
from identomat_async._polling._state import PollState
from identomat_async._polling._stats import Figures
from identomat_async.errors import IdentomatError

_RECENT = 300.0
_SAMPLES = 1000
_MINUTE = 60.0
_RECENTLY = 10.0
_DURATIONS = 10_000


class Tally:
    """
    Counts looks as they are made.

    `figures` may be asked for in any thread: it goes through copies, each made in one step.
    """

    __slots__ = (
        "_begun",
        "_decided",
        "_errors",
        "_lateness",
        "_open",
        "_seconds",
        "answered_at",
        "confirmations",
        "deadlines_passed",
        "handler_errors",
        "polls",
    )

    def __init__(self) -> None:
        self.polls: int = 0
        self.confirmations: int = 0
        self.deadlines_passed: int = 0
        self.handler_errors: int = 0
        self.answered_at: float | None = None
        self._begun = math.inf
        # From which second on, and how many of which class.
        self._errors: deque[tuple[float, Counter[str]]] = deque()
        self._lateness: deque[float] = deque(maxlen=_SAMPLES)
        # From when on, how many looks, and how many of them read the document.
        self._seconds: deque[list[float]] = deque()
        self._decided: deque[float] = deque(maxlen=_DURATIONS)
        self._open: deque[float] = deque(maxlen=_DURATIONS)

    def began(self, now: float, lateness: float, *, fresh: bool) -> None:
        """Count a look that begins *now*, *lateness* seconds after it was due."""
        if not self.polls:
            self._begun = now
        self.polls += 1
        if fresh:
            self.confirmations += 1
        self._lateness.append(lateness if lateness > 0 else 0.0)
        seconds = self._seconds
        if not seconds or now - seconds[-1][0] >= 1:
            seconds.append([now, 0, 0])
            while seconds[0][0] <= now - _MINUTE:
                seconds.popleft()
        second = seconds[-1]
        second[1] += 1
        if fresh:
            second[2] += 1

    def ended(self, error: IdentomatError | None, now: float) -> None:
        """Count how it ended."""
        if error is None:
            self.answered_at = now
            return
        if not self._errors or now - self._errors[-1][0] >= 1:
            self._errors.append((now, Counter()))
            while self._errors[0][0] < now - _RECENT:
                self._errors.popleft()
        self._errors[-1][1][type(error).__name__] += 1

    def came_to(self, outcome: Outcome, state: PollState, now: float, *, was_open: bool) -> None:
        """
        Count what a session came to.

        Args:
            outcome: What.
            state: What was known before the last look.
            now: When that was begun.
            was_open: Whether a look has seen the session open. Where none has, nobody knows
                for how long it has not been.
        """
        # An operator's time is not the person's, who was done when the review began.
        is_reviewed = state.reviewed is not None
        age = max(0.0, (now if state.reviewed is None else state.reviewed) - state.begun)
        is_decision = isinstance(outcome, Settled) or is_reviewed
        if is_decision and was_open:
            self._decided.append(age)
        elif isinstance(outcome, DeadlinePassed) and not is_reviewed:
            self._open.append(age)

    def figures(self, now: float) -> Figures:
        """Return what is counted here of what `PollerStats` shows."""
        return {
            "polls_per_second": self.polls_per_second(now),
            "polls": self.polls,
            "confirmations": self.confirmations,
            "lateness_p50": self.lateness(0.5),
            "lateness_p99": self.lateness(0.99),
            "last_answer_age": None if self.answered_at is None else now - self.answered_at,
            "errors": self.errors(now),
            "deadlines_passed": self.deadlines_passed,
            "handler_errors": self.handler_errors,
            "durations": self.durations,
        }

    @property
    def durations(self) -> Durations:
        """The times to decision seen so far, the latest ten thousand."""
        return Durations(self._decided.copy(), censored=self._open.copy())

    def polls_per_second(self, now: float) -> float:
        """Return how many looks per second were begun in the last ten seconds."""
        recent = sum(count for at, count, _ in self._seconds.copy() if at > now - _RECENTLY)
        return recent / min(_RECENTLY, max(1.0, now - self._begun))

    def unscheduled(self, now: float) -> float:
        """Return how many of the last minute's looks per second no schedule had asked for."""
        if not self._seconds:
            return 0.0
        span = max(now - self._seconds[0][0], _RECENTLY)
        return sum(read for _, _, read in self._seconds) / span

    def usual(self) -> float:
        """Return the looks per second of the last minute, but for odd spans of ten seconds."""
        spans = defaultdict[int, float](float)
        for at, count, _ in self._seconds:
            spans[int((self._seconds[-1][0] - at) // _RECENTLY)] += count
        return statistics.median(spans.values()) / _RECENTLY if spans else 0.0

    def errors(self, now: float) -> Mapping[str, int]:
        """Return the errors of the last five minutes by class."""
        recent = (counts.copy() for at, counts in self._errors.copy() if now - at <= _RECENT)
        return sum(recent, Counter[str]())

    def lateness(self, share: float) -> float:
        """Return the lateness that *share* of the recent looks did not exceed."""
        seconds = sorted(self._lateness.copy())
        return seconds[int(share * (len(seconds) - 1))] if seconds else 0.0
