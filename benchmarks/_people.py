"""How long people take, and the least possible delay in finding out that they are done."""

import math
import random
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import NormalDist

import attrs

Seconds = float

# How long a session is watched, and the share of people who never finish.
LIFE = 900.0
ABANDONED = 0.15
# The step of the integral that the minimum is.
_STEP = 0.1
_STEPS = round(LIFE / _STEP)
_EVENLY = 100
_HARDLY = 0.01
_NORMAL, _LOWEST = NormalDist(), 1e-12


@attrs.frozen
class Peak:
    """
    People whose times are lognormal.

    Attributes:
        median: Seconds that half of them do not need.
        sigma: How far their times are spread.
        share: How many of all people they are.
    """

    median: Seconds
    sigma: float
    share: float = 1.0

    def takes(self, place: float) -> Seconds:
        """Return the seconds that *place* of them, a share from 0 to 1, do not exceed."""
        return self.median * math.exp(self.sigma * _NORMAL.inv_cdf(place or _LOWEST))

    def done_by(self, age: Seconds) -> float:
        """Return the share of all people who are these and done by *age*."""
        if age <= 0:
            return 0.0
        return (
            self.share * 0.5 * math.erfc(-math.log(age / self.median) / self.sigma / math.sqrt(2))
        )


@attrs.frozen(slots=False)
class Law:
    """
    How long people take from begin to decision; some of them never finish.

    Attributes:
        name: What it is called in the table.
        peaks: The kinds of people there are.
        abandoned: The share of people who never finish.
        is_changed: Whether nobody knows of them yet: the usual people are expected.
    """

    name: str
    peaks: tuple[Peak, ...]
    abandoned: float = ABANDONED
    is_changed: bool = False

    def takes(self, place: float) -> Seconds:
        """Return the seconds that somebody takes, *place* being from 0 to 1; infinity: never."""
        place = (place - self.abandoned) / (1 - self.abandoned)
        if place < 0:
            return math.inf
        for peak in self.peaks[:-1]:
            if place < peak.share:
                return peak.takes(place / peak.share)
            place -= peak.share
        return self.peaks[-1].takes(place / self.peaks[-1].share)

    def people(self, chance: random.Random, *, evenly: bool) -> Iterator[Seconds]:
        """
        Return the seconds that one person after the other takes.

        If *evenly*, a hundred after the other take all places in random order: the law is
        the same, and fewer people tell as much.
        """
        while not evenly:
            yield self.takes(chance.random())
        while True:
            places = list(range(_EVENLY))
            chance.shuffle(places)
            for place in places:
                yield self.takes((place + chance.random()) / _EVENLY)

    def done_by(self, age: Seconds) -> float:
        """Return the share of people who are done by *age*."""
        return (1 - self.abandoned) * sum(peak.done_by(age) for peak in self.peaks)

    def is_early(self, age: Seconds) -> bool:
        """Tell whether hardly anybody is done at *age*."""
        return self.done_by(age) < _HARDLY

    def least(self) -> float:
        """
        Return the least possible mean delay times the polls per session.

        A schedule that looks n(t) times a second at the age t finds out 1 / 2n(t) too late
        on average, and makes as many polls as n(t) adds up to over those who are not done.
        The n(t) with the least product is as the square root of the hazard.
        """
        total = sum(
            math.sqrt((after - before) * _STEP * (1 - (before + after) / 2))
            for before, after in pairwise(self._done)
        )
        return total**2 / (2 * (1 - self.abandoned))

    def expected(self, before: Seconds, look: Seconds) -> tuple[Seconds, float]:
        """
        Return what a look says of all who might have been looked at then.

        Args:
            before: The age at which somebody was found open.
            look: The age of the next look.

        Returns:
            By how many seconds the look is late, on average over everybody who is open at
            *before*, and how many of them it finds done.
        """
        open_ = 1 - self.done_by(before)
        found = self.done_by(look) - self.done_by(before)
        missed = self._area(look) - self._area(before) - (look - before) * self.done_by(before)
        return missed / open_, found / open_

    def _area(self, age: Seconds) -> float:
        # A last look may be late.
        step = min(int(age / _STEP), _STEPS - 1)
        before, after = self._areas[step : step + 2]
        return before + (age / _STEP - step) * (after - before)

    @cached_property
    def _done(self) -> list[float]:
        return [0.0, *(self.done_by(step * _STEP) for step in range(1, _STEPS + 1))]

    @cached_property
    def _areas(self) -> list[float]:
        # The integral of `done_by` up to each step.
        return [0.0, *accumulate((a + b) / 2 * _STEP for a, b in pairwise(self._done))]


USUAL = Law("usual", (Peak(180.0, 0.6),))
NARROW = Law("sigma 0.4", (Peak(180.0, 0.4),))
WIDE = Law("sigma 0.9", (Peak(180.0, 0.9),))
TWO_PEAKS = Law("two peaks", (Peak(90.0, 0.35, 0.6), Peak(420.0, 0.35, 0.4)))
QUICK = Law("median 90 s", (Peak(90.0, 0.6),), is_changed=True)
SLOW = Law("median 360 s", (Peak(360.0, 0.6),), is_changed=True)
LAWS = (USUAL, NARROW, WIDE, TWO_PEAKS, QUICK, SLOW)
