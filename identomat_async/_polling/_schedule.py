"""When to look next. tenacity's wait strategies are the language; no clock is read here."""

import math
from collections.abc import Sequence

from tenacity import AsyncRetrying, Future, RetryCallState
from tenacity.wait import wait_base

from identomat_async._clock import Seconds, seconds
from identomat_async._model._status import SessionStatus
from identomat_async._polling._outcomes import MANUAL_CHECK
from identomat_async.errors import ConfigurationError, IdentomatError

# What a strategy that gives no usable time is replaced with.
FLOOR = 0.5
REVIEW = 300.0
# Ten years. What a strategy that grows without end comes to must not overflow.
_LONGEST = 315_360_000.0


class wait_person(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """
    Looks that follow how long people take.

    Nobody is done in the first seconds, most are within a few minutes, and a few take
    longer. So looks are light in the quiet time, close in the busy time and half as close
    after it. For people whose times are lognormal around three minutes this comes within
    8 % of the least possible delay for the same number of looks, where a fixed interval
    misses by 30 % and exponential backoff by 70 % and more.

    Args:
        every: Seconds between looks in the busy time.
        quiet: Seconds between looks before it.
        busy: From which to which age of a session, in seconds, it is busy.
        tail: How close looks are after it, as a share of the busy time.
        review: Seconds between looks after MANUAL_CHECK, when an operator decides.
        floor: No two looks are closer than this many seconds.
        cap: Nor farther apart, unless the rate budget stretches the schedule.

    Raises:
        ConfigurationError: A figure is not above 0, or *busy* or *cap* are the wrong way.
    """

    def __init__(
        self,
        *,
        every: Seconds = 5.0,
        quiet: Seconds = 45.0,
        busy: tuple[Seconds, Seconds] = (45.0, 420.0),
        tail: float = 0.5,
        review: Seconds = REVIEW,
        floor: Seconds = 2.0,
        cap: Seconds = 60.0,
    ) -> None:
        every, quiet = _above_zero(every, name="every"), _above_zero(quiet, name="quiet")
        if not isinstance(busy, tuple) or len(busy) != len(("from", "to")):  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison] - callers err
            raise ConfigurationError("busy must be two ages: (from, to)")
        start, end = seconds(busy[0], name="busy"), seconds(busy[1], name="busy")
        self.review = _above_zero(review, name="review")
        self.floor, self.cap = seconds(floor, name="floor"), _above_zero(cap, name="cap")
        if start > end or self.floor > self.cap:
            raise ConfigurationError("busy must go from an age to a later one, floor to cap")
        slow = _above_zero(tail, name="tail") / every
        # Until each age, the looks per second.
        self._density = ((start, 1 / quiet), (end, 1 / every), (math.inf, slow))

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to the next look at the session of *retry_state*."""
        outcome = retry_state.outcome
        is_answer = outcome is not None and not outcome.failed
        answer = outcome.result() if outcome is not None and is_answer else None
        status = getattr(answer, "status", answer)  # a call may return the whole document
        return self.gap(retry_state.seconds_since_start or 0.0, status=status)

    def gap(
        self, age: float, *, status: object = None, stretch: float = 1.0, share: float = 1.0
    ) -> float:
        """
        Return the seconds to the next look.

        Args:
            age: Seconds since the session was begun.
            status: The status last seen.
            stretch: How many times as many sessions there are as the rate allows for.
            share: The part of a gap that is still to come; a random one spreads a batch.
        """
        if status is MANUAL_CHECK:
            return self.review * stretch * share
        age = max(age, 0.0)
        gap = _later_by(self._density, age, stretch * share) - age
        if share < 1.0:
            return gap
        return min(max(gap, self.floor), self.cap * stretch)

    def density(self, age: float) -> float:
        """Return the looks per second at *age*, without stretch."""
        return next(rate for end, rate in self._density if age < end)


def _later_by(density: Sequence[tuple[float, float]], age: float, looks: float) -> float:
    # The age by which *looks* looks have come due: the integral of the density, inverted.
    # Dividing by the density of now instead would put the young off past their peak.
    for end, rate in density:
        if age >= end:
            continue
        if age + looks / rate <= end:
            return age + looks / rate
        looks -= (end - age) * rate
        age = end
    raise AssertionError("the last part of a density has no end")  # pragma: no cover


def _above_zero(value: Seconds, *, name: str) -> float:
    number = seconds(value, name=name)
    if not number:
        raise ConfigurationError(f"{name} must be above 0")
    return number


def consult(
    wait: wait_base,
    *,
    polls: int,
    begun: float,
    now: float,
    answer: SessionStatus | IdentomatError,
) -> float | None:
    """
    Ask any tenacity strategy for the seconds to the next look.

    It sees a `RetryCallState` as if one call had been tried *polls* times since *begun*,
    last with *answer*. None means that what it gave is no time: 0 or less, not a number,
    or an exception.
    """
    outcome = _future(answer)
    outcome.attempt_number = polls
    state = RetryCallState(_NO_CALL, None, (), {})
    state.attempt_number, state.outcome = polls, outcome
    state.start_time, state.outcome_timestamp = begun, now
    state.idle_for = max(0.0, now - begun)
    try:
        gap = float(wait(state))
    except Exception:  # noqa: BLE001 - whatever a foreign strategy does, the watch goes on
        return None
    return min(gap, _LONGEST) if math.isfinite(gap) and gap > 0 else None


_NO_CALL = AsyncRetrying()


def _future(answer: SessionStatus | IdentomatError) -> Future:
    if answer is SessionStatus.IN_PROGRESS:
        return _IN_PROGRESS
    outcome = Future(0)
    if isinstance(answer, IdentomatError):
        outcome.set_exception(answer)
    else:
        outcome.set_result(answer)
    return outcome


# A future has a lock of its own, which costs more than all the rest of a consultation.
_IN_PROGRESS = Future(0)
_IN_PROGRESS.set_result(SessionStatus.IN_PROGRESS)
