"""How long people take, and the least possible delay in finding out that they are done."""

import math
import random
from collections.abc import Callable

import attrs

Seconds = float

# How long a session is watched, and the share of people who never finish.
LIFE = 900.0
ABANDONED = 0.15
# The step of the integral that the minimum is.
_STEP = 0.1


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

    def done_by(self, age: Seconds) -> float:
        """Return the share of all people who are these and done by *age*."""
        return self.share * 0.5 * math.erfc(-math.log(age / self.median) / self.sigma / math.sqrt(2))


@attrs.frozen
class Law:
    """
    How long people take from begin to decision; some of them never finish.

    Attributes:
        name: What it is called in the table.
        peaks: The kinds of people there are.
        abandoned: The share of people who never finish.
    """

    name: str
    peaks: tuple[Peak, ...]
    abandoned: float = ABANDONED

    def draw(self, chance: random.Random) -> Seconds:
        """Return the seconds that somebody takes; infinity for never."""
        if chance.random() < self.abandoned:
            return math.inf
        (peak,) = chance.choices(self.peaks, [peak.share for peak in self.peaks])
        return chance.lognormvariate(math.log(peak.median), peak.sigma)

    def done_by(self, age: Seconds) -> float:
        """Return the share of people who are done by *age*."""
        return (1 - self.abandoned) * sum(peak.done_by(age) for peak in self.peaks)

    def least(self) -> float:
        """
        Return the least possible mean delay times the polls per session.

        A schedule that looks n(t) times a second at the age t finds out 1 / 2n(t) too late
        on average, and makes as many polls as n(t) adds up to over those who are not done.
        The n(t) with the least product is as the square root of the hazard.
        """
        total = self._integral(lambda done, density: math.sqrt(density * (1 - done)))
        return total**2 / (2 * (1 - self.abandoned))

    def fixed(self) -> float:
        """Return the same product for a fixed interval."""
        return self._integral(lambda done, _: 1 - done) / 2

    def _integral(self, of: Callable[[float, float], float]) -> float:
        ages = [step * _STEP for step in range(1, round(LIFE / _STEP) + 1)]
        done = [0.0, *map(self.done_by, ages)]
        return sum(
            of((before + after) / 2, (after - before) / _STEP) * _STEP
            for before, after in zip(done, done[1:], strict=False)
        )


USUAL = Law("usual", (Peak(180.0, 0.6),))
NARROW = Law("sigma 0.4", (Peak(180.0, 0.4),))
WIDE = Law("sigma 0.9", (Peak(180.0, 0.9),))
TWO_PEAKS = Law("two peaks", (Peak(90.0, 0.35, 0.6), Peak(420.0, 0.35, 0.4)))
QUICK = Law("median 90 s", (Peak(90.0, 0.6),))
SLOW = Law("median 360 s", (Peak(360.0, 0.6),))
LAWS = (USUAL, NARROW, WIDE, TWO_PEAKS, QUICK, SLOW)
