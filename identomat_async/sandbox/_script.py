"""The life of one session, told in advance; nothing here looks at a clock."""

import math
from collections.abc import Callable
from random import Random
from typing import Self, TypeAlias

import attrs

from identomat_async.errors import ConfigurationError

IN_PROGRESS = "in_progress"
ABANDONED = "abandoned"
REVIEW = "manual_check"
DECIDED = frozenset({"approved", "rejected", "disagreed", "disagreed_with_terms"})
TERMINAL = DECIDED | {REVIEW}
CAPTURED = frozenset({"approved", "rejected", REVIEW})


@attrs.frozen
class ScriptStep:
    """
    One change of a session's status.

    Attributes:
        at: Seconds from the begin of the session.
        status: The status from then on, spelled as the result document spells it.
    """

    at: float
    status: str


@attrs.frozen
class Script:
    """
    What becomes of one session, and when.

    A session is in progress until its first step. Without any step it never leaves that
    state, as when the person closes the page.

    Attributes:
        steps: The changes of status, in order of time.
    """

    steps: tuple[ScriptStep, ...] = ()

    @classmethod
    def of(cls, status: str, *, after: float = 0.0) -> Self:
        """
        Tell a life with one change.

        Args:
            status: The status to reach, such as ``"approved"``; any text is allowed, so
                that a status nobody knows yet can be played. ``"abandoned"``: none ever.
            after: Seconds from the begin of the session.

        Raises:
            ConfigurationError: The status is empty or the time negative or endless.
        """
        return cls() if status == ABANDONED else cls().then(status, after=after)

    def then(self, status: str, *, after: float) -> Self:
        """
        Add a change to the end of this life.

        Args:
            status: The status to reach.
            after: Seconds from the previous change.

        Raises:
            ConfigurationError: The status is empty or ``"abandoned"``, or the time
                negative or endless.
        """
        if not status or status == ABANDONED:
            raise ConfigurationError(f"{status!r} is no status that a session can change to")
        if not 0 <= after < math.inf:
            raise ConfigurationError(f"after={after} is no number of seconds from now on")
        previous = self.steps[-1].at if self.steps else 0.0
        return attrs.evolve(self, steps=(*self.steps, ScriptStep(previous + after, status)))

    def status_at(self, age: float) -> str:
        """
        Say which status a session has.

        Args:
            age: Seconds from the begin of the session.
        """
        for step in reversed(self.steps):
            if step.at <= age:
                return step.status
        return IN_PROGRESS

    def next_after(self, age: float) -> ScriptStep | None:
        """Return the first change that lies ahead at this age, None if there is none."""
        return next((step for step in self.steps if step.at > age), None)

    @property
    def terminal_after(self) -> float | None:
        """Seconds until the first approved, rejected, disagreed or manual_check."""
        return self._first(TERMINAL)

    @property
    def decided_after(self) -> float | None:
        """Seconds until the first approved, rejected or disagreed."""
        return self._first(DECIDED)

    def reviewed_by(self, age: float) -> bool:
        """Whether the session had come to an operator by this age."""
        return any(step.status.lower() == REVIEW for step in self.steps if step.at <= age)

    def replaced_from(self, age: float, other: "Script") -> "Script":
        """
        Replace what lies ahead at this age; what has happened stays.

        A step of *other* that would lie in the past happens at once.
        """
        past = tuple(step for step in self.steps if step.at <= age)
        ahead = tuple(attrs.evolve(step, at=max(step.at, age)) for step in other.steps)
        return Script(past + ahead)

    def _first(self, statuses: frozenset[str]) -> float | None:
        return next((step.at for step in self.steps if step.status.lower() in statuses), None)


Life: TypeAlias = Callable[[Random], Script]
"""Draws the script of the next session."""


def random_life(
    rng: Random,
    *,
    median: float = 180.0,
    sigma: float = 0.6,
    abandon: float = 0.15,
    rejected: float = 0.1,
    manual: float = 0.1,
    truncate: float | None = None,
    review: float | None = 3600.0,
    upheld: float = 0.8,
) -> Script:
    """
    Draw a life as people live them: a lognormal time in progress, then a verdict.

    Args:
        rng: The source of chance; the same seed gives the same lives.
        median: Seconds that half of those who finish stay below.
        sigma: Spread of the logarithm of the time; 0 makes everybody take the median.
        abandon: Share of sessions that never finish.
        rejected: Share of the finished sessions that are rejected.
        manual: Share of the finished sessions that an operator has to look at.
        truncate: Nobody takes longer than this many medians; None sets no limit.
        review: Median of the seconds an operator takes; None: no operator ever does.
        upheld: Share of an operator's decisions that approve.

    Raises:
        ConfigurationError: A share is not between 0 and 1, a time is not positive, or
            *truncate* is below 1.
    """
    _check(median=median, sigma=sigma, truncate=truncate, review=review)
    _check_shares(abandon, rejected, manual, rejected + manual, upheld)
    if rng.random() < abandon:
        return Script()
    time = _time(rng, median, sigma, truncate)
    chance = rng.random()
    if chance < rejected:
        return Script.of("rejected", after=time)
    if chance >= rejected + manual:
        return Script.of("approved", after=time)
    waiting = Script.of(REVIEW, after=time)
    if review is None:
        return waiting
    verdict = "approved" if rng.random() < upheld else "rejected"
    return waiting.then(verdict, after=_time(rng, review, sigma, truncate))


def _time(rng: Random, median: float, sigma: float, truncate: float | None) -> float:
    longest = math.inf if truncate is None else truncate * median
    while (drawn := rng.lognormvariate(math.log(median), sigma)) > longest:
        pass
    return drawn


def _check(*, median: float, sigma: float, truncate: float | None, review: float | None) -> None:
    if not 0 < median < math.inf or (review is not None and not 0 < review < math.inf):
        raise ConfigurationError("median and review are positive numbers of seconds")
    if not 0 <= sigma < math.inf:
        raise ConfigurationError("sigma is 0 or a positive number")
    # Below 1 most draws would be thrown away, near 0 all of them, for ever.
    if truncate is not None and not truncate >= 1:
        raise ConfigurationError("truncate is a number of medians, 1 or more")


def _check_shares(*shares: float) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigurationError("a share lies between 0 and 1, rejected and manual together too")
