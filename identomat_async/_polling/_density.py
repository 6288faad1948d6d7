"""Looks per second as a function of a session's age, and the gaps that follow from it."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from tenacity import RetryCallState
from tenacity.wait import wait_base

from identomat_async._clock import Seconds, seconds
from identomat_async._polling._watch import MANUAL_CHECK
from identomat_async.errors import ConfigurationError

# Between looks after MANUAL_CHECK, when an operator decides.
REVIEW = 300.0
# What is 0 at first and counts until how many seconds from now, one after the other.
Steps = Sequence[tuple[float, float]]
LEAST_GAP = 2.0
LARGEST_GAP = 60.0
# What is quicker than this is a slip of the pen.
_MOMENT = 0.001


class wait_density(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """
    Looks as close as a table says, by the age of a session.

    The next look is where the integral of the density has grown by one. To divide by the
    density of now instead would put the young off past their peak.

    Args:
        table: Until each age, the looks per second; the last age is infinity.
        review: Seconds between looks after MANUAL_CHECK.
        floor: The density is never above a look in so many seconds.
        cap: Nor below a look in so many.
        fair_from: From which age no gap is to be much longer than others under load.

    Attributes:
        oldest: The age from which the density does not change.
        closest: The most looks per second at any age.
        fair_from: The age from which nobody is to wait much longer than everybody else.

    Raises:
        ConfigurationError: *review* or *cap* is not above 0, or *floor* is above *cap*.
    """

    def __init__(
        self,
        table: Sequence[tuple[float, float]],
        *,
        review: Seconds,
        floor: Seconds,
        cap: Seconds,
        fair_from: float = math.inf,
    ) -> None:
        self.review: float = above_zero(review, name="review")
        self.floor: float = seconds(floor, name="floor")
        self.cap: float = above_zero(cap, name="cap")
        if self.floor > self.cap:
            raise ConfigurationError("floor must not be above cap")
        most, least = 1 / max(self.floor, _MOMENT), 1 / self.cap
        parts = [(end, min(max(rate, least), most)) for end, rate in table]
        starts = [0.0, *(end for end, _ in parts[:-1])]
        self._ends = [end for end, _ in parts]
        self._rates = [rate for _, rate in parts]
        # The looks that come due before each part.
        spans = [end - start for start, end in pairwise(starts)]
        self._before = [0.0, *accumulate(map(float.__mul__, spans, self._rates))]
        self._starts = starts
        self.fair_from = fair_from
        self.oldest: float = starts[-1]
        self.closest: float = max(self._rates)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, wait_density) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return (*self.table, self.review, self.floor, self.cap, self.fair_from)

    @property
    def table(self) -> tuple[tuple[float, float], ...]:
        """Until each age, the looks per second, within floor and cap."""
        return tuple(zip(self._ends, self._rates, strict=True))

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to the next look at the session of *retry_state*."""
        outcome = retry_state.outcome
        is_answer = outcome is not None and not outcome.failed
        answer = outcome.result() if outcome is not None and is_answer else None
        status = getattr(answer, "status", answer)  # a call may return the whole document
        return self.gap(retry_state.seconds_since_start or 0.0, status=status)

    def gap(
        self,
        age: float,
        *,
        status: object = None,
        stretch: float = 1.0,
        share: float = 1.0,
        ahead: Steps = (),
        at_most: float = math.inf,
    ) -> float:
        """
        Return the seconds to the next look.

        Args:
            age: Seconds since the session was begun.
            status: The status last seen.
            stretch: How many times as many sessions there are as the rate allows for.
            share: The part of a gap that is still to come; a random one spreads a batch.
            ahead: Until how many seconds from now which *stretch* counts, the last for ever;
                without any, that of now.
            at_most: The longest gap from the age on at which it has to be fair, if the
                schedule itself does not ask for a longer one.
        """
        if status is MANUAL_CHECK:
            return self.review * stretch * share
        age, past, whole = max(age, 0.0), 0.0, share
        for until, stretch in ahead:  # noqa: PLR1704 - what it is, one after the other
            held = (self.looks_before(age + until) - self.looks_before(age + past)) / stretch
            if held >= share:
                break
            share, past = share - held, until
        gap = past + self._until_looks(stretch * share, age + past)
        # Compared by division: none of an endless gap is not a number.
        if not whole or age < self.fair_from or gap / whole <= at_most:
            return gap
        return max(at_most * whole, self._until_looks(whole, age))

    def density(self, age: float) -> float:
        """Return the looks per second at *age*, without stretch."""
        return self._rates[bisect_right(self._ends, age)]

    def looks_before(self, age: float) -> float:
        """Return how many looks a session has had by *age*, without stretch."""
        part = bisect_right(self._ends, age)
        return self._before[part] + (age - self._starts[part]) * self._rates[part]

    def _until_looks(self, looks: float, age: float) -> float:
        # The seconds after which *looks* looks have come due: the integral, inverted.
        part = bisect_right(self._ends, age)
        gap = looks / self._rates[part]
        if age + gap <= self._ends[part]:
            return gap
        due = self.looks_before(age) + looks
        part = bisect_right(self._before, due, lo=part) - 1
        return self._starts[part] + (due - self._before[part]) / self._rates[part] - age


def density_of(wait: object) -> wait_density | None:
    """Return *wait* if it is a density, and calling it is not somebody else's code."""
    if isinstance(wait, wait_density) and type(wait).__call__ is wait_density.__call__:
        return wait
    return None


def above_zero(value: Seconds, *, name: str) -> float:
    """
    Return *value* in seconds.

    Raises:
        ConfigurationError: It is 0, negative or not a finite number; *name* says whose.
    """
    number = seconds(value, name=name)
    if not number:
        raise ConfigurationError(f"{name} must be above 0")
    return number
