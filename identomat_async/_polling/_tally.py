"""What has been counted, and how it is shown to an operator."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Literal

import attrs

from identomat_async.errors import IdentomatError

LimitedBy = Literal["nothing", "rate", "in_flight", "consumer", "paused", "halted"]

_RECENT = 300.0
_SAMPLES = 1000


@attrs.frozen(kw_only=True)
class PollerStats:
    """
    How a poller stands.

    Attributes:
        watched: Sessions that are looked at, waited-for ones included.
        in_flight: Looks under way.
        polls: Looks made so far, failed ones and confirming reads included.
        confirmations: How many of them were confirming reads.
        buffered: Outcomes that nobody has taken yet.
        unacked: Outcomes that the handler has not accepted yet.
        limited_by: What keeps the poller from looking sooner.
        stretch: How many times longer than wished the intervals are.
        lateness_p50: Median of the seconds by which recent looks were late.
        lateness_p99: The same, 99th percentile.
        last_answer_age: Seconds since the service last answered, None if it never did.
        errors: Failed looks of the last five minutes by the name of the error's class.
        deadlines_passed: Watches that ended as `DeadlinePassed`.
        handler_errors: How often the handler raised.
        observer_errors: How often an observer raised.
    """

    watched: int
    in_flight: int
    polls: int
    confirmations: int
    buffered: int
    unacked: int
    limited_by: LimitedBy
    stretch: float
    lateness_p50: float
    lateness_p99: float
    last_answer_age: float | None
    errors: Mapping[str, int]
    deadlines_passed: int
    handler_errors: int
    observer_errors: int


class Tally:
    """Counts looks as they are made."""

    __slots__ = (
        "_errors",
        "_lateness",
        "answered_at",
        "confirmations",
        "deadlines_passed",
        "handler_errors",
        "polls",
    )

    def __init__(self) -> None:
        self.polls = 0
        self.confirmations = 0
        self.deadlines_passed = 0
        self.handler_errors = 0
        self.answered_at: float | None = None
        self._errors: deque[tuple[float, str]] = deque(maxlen=_SAMPLES)
        self._lateness: deque[float] = deque(maxlen=_SAMPLES)

    def began(self, lateness: float, *, fresh: bool) -> None:
        """Count a look that begins *lateness* seconds after it was due."""
        self.polls += 1
        self.confirmations += fresh
        self._lateness.append(max(0.0, lateness))

    def ended(self, error: IdentomatError | None, now: float) -> None:
        """Count how it ended."""
        if error is None:
            self.answered_at = now
        else:
            self._errors.append((now, type(error).__name__))

    def errors(self, now: float) -> Mapping[str, int]:
        """Return the errors of the last five minutes by class."""
        return Counter(name for at, name in self._errors if now - at <= _RECENT)

    def lateness(self, share: float) -> float:
        """Return the lateness that *share* of the recent looks did not exceed."""
        if not self._lateness:
            return 0.0
        return sorted(self._lateness)[int(share * (len(self._lateness) - 1))]
