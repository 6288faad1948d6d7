"""How many looks the watched sessions would like, against how many there may be."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tenacity.wait import wait_base

from identomat_async._polling._census import Census
from identomat_async._polling._density import REVIEW, density_of, wait_density
from identomat_async._polling._policy import NO_LOAD, Load

# Room between the least gap and the rate, so that no queue builds up at the ceiling.
_ROOM = 1.1
# The share of the rate that the schedule plans with; the rest lets a backlog drain.
_SHARE = 0.975
# So much of the rate is planned with, whatever else there is to ask.
_LEAST_SHARE = 0.65
# Nobody waits for more than twice the mean of all; a tenth is for jitter, and a little
# for looks that come late.
_FAIR = 1.55
# So many seconds ahead it is seen whether a crowd comes into its busy time, or leaves it.
_AHEAD = (4, 5, 7, 9, 12, 15, 20, 26, 33, 43, 56, 73, 95, 124, 161, 209, 272, 353)
# For that, ages are told apart by a second, and the old by a share of their age.
_FINENESS = 32
# A change by up to this factor is the usual coming and going, which nobody foresees; from
# the other on it counts in full.
_USUAL, _UNUSUAL = 1.25, 1.5
# Those begun in so many seconds tell how many will be.
_LATELY = 60.0


class Demand:
    """
    The looks per second that the watched sessions ask for.

    Sessions count by their age; those under review apart, since there an operator is waited
    for, whatever the age. What it costs does not depend on how many there are.

    Attributes:
        live: How many there are.
        reviewed: How many of them are under review.
        coming: How many more are about to be watched.
        coming_age: How old these are, on average.
    """

    def __init__(self) -> None:
        self.live: int = 0
        self.reviewed: int = 0
        self.coming = 0
        self.coming_age: float = 0.0
        self._census = Census()

    @property
    def all(self) -> int:
        """How many there are and are about to be."""
        return self.live + self.coming

    def add(self, begun: float, *, in_review: bool = False, count: int = 1) -> None:
        """Count a session, or so many."""
        self.live += count
        if in_review:
            self.reviewed += count
        else:
            self._census.add(begun, count)

    def remove(self, begun: float, *, in_review: bool = False) -> None:
        """Count it no more."""
        self.live -= 1
        if in_review:
            self.reviewed -= 1
        else:
            self._census.remove(begun)

    def looks(self, wait: wait_density, now: float) -> float:
        """Return the looks per second that *wait* asks for at *now*."""
        return self._looks(wait, self._ages(wait, now))

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
        density = density_of(wait)
        if density is None:
            return Load(at_least=self._least_gap(rate / _ROOM))
        allowed = max(_SHARE * rate - besides, _LEAST_SHARE * rate)
        if self.all * max(density.closest, 1 / density.review) <= allowed:
            return NO_LOAD
        ages = self._ages(density, now)
        looks, at_most = self._looks(density, ages), _FAIR * self.all / rate
        stretch = _stretch(looks, allowed, _by_density(density, ages), at_most)
        steps = [
            (float(until), max(1.0, stretch * factor))
            for until, factor in zip(_AHEAD, self._factors(density, ages, looks), strict=True)
        ]
        is_same = all(step == max(1.0, stretch) for _, step in steps)
        ahead = () if is_same else tuple(steps)
        return Load(stretch=max(1.0, stretch), ahead=ahead, at_most=at_most)

    def _ages(self, wait: wait_density, now: float) -> list[tuple[float, int]]:
        ages = list(self._census.ages(now, wait.oldest))
        others = self.live - self.reviewed - sum(count for _, count in ages)
        # How old these are exactly makes no difference.
        return [*ages, (2 * wait.oldest + 1, others), (self.coming_age, self.coming)]

    def _looks(
        self, wait: wait_density, ages: Sequence[tuple[float, int]], later: float = 0.0
    ) -> float:
        # As many as are watched now would like so many seconds from now.
        density = wait.density
        return self.reviewed / wait.review + sum(
            count * density(age + later) for age, count in ages
        )

    def _factors(
        self, wait: wait_density, ages: Sequence[tuple[float, int]], now: float
    ) -> Iterator[float]:
        # Growth is believed of those who are here, and from the beginning of a step on;
        # decline only if as many as lately come, and from its end on.
        lately = sum(count for age, count in ages if age < _LATELY) / _LATELY
        nearly, most = _coarse(ages), 1.0
        for later in _AHEAD:
            looks = self._looks(wait, nearly, later) / now
            yield _counted(looks, most)
            most = looks + lately * wait.looks_before(later) / now

    def _least_gap(self, rate: float) -> float:
        # All at the same gap; unless that is quicker than those under review are looked at.
        gap = self.all / rate
        if gap >= REVIEW or not self.reviewed:
            return gap
        return (self.all - self.reviewed) / (rate - self.reviewed / REVIEW)


def _coarse(ages: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    # Good enough to see a crowd coming.
    counts: Counter[int] = Counter()
    for age, count in ages:
        counts[round(_FINENESS * math.log1p(age / _FINENESS))] += count
    return [(math.expm1(step / _FINENESS) * _FINENESS, count) for step, count in counts.items()]


def _by_density(wait: wait_density, ages: Sequence[tuple[float, int]]) -> Mapping[float, int]:
    # Those to whom the schedule has to be fair.
    counts: Counter[float] = Counter()
    for age, count in ages:
        if age >= wait.fair_from:
            counts[wait.density(age)] += count
    return counts


def _stretch(looks: float, allowed: float, fair: Mapping[float, int], at_most: float) -> float:
    # Who would have to wait for too long asks for a look in that time, however far the
    # others are stretched for it.
    stretch = looks / allowed
    for density, count in sorted(fair.items()):
        if stretch <= at_most * density:
            break
        looks, allowed = looks - count * density, allowed - count * min(1 / at_most, density)
        stretch = looks / allowed
    return stretch


def _counted(least: float, most: float) -> float:
    # Which part of a change that lies between the two counts.
    change = least if least > 1 else min(most, 1.0)
    share = (max(change, 1 / change) - _USUAL) / (_UNUSUAL - _USUAL)
    return 1 + (change - 1) * min(max(share, 0.0), 1.0)
