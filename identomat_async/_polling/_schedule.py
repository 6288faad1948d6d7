"""Any tenacity wait strategy, asked when to look. No clock is read here."""

import math

from tenacity import AsyncRetrying, Future, RetryCallState
from tenacity.wait import wait_base

from identomat_async._model._status import SessionStatus
from identomat_async._polling._density import density_of
from identomat_async._polling._policy import Load
from identomat_async.errors import IdentomatError

# What a strategy that gives no usable time is replaced with.
FLOOR = 0.5
# Ten years. What a strategy that grows without end comes to must not overflow.
_LONGEST = 315_360_000.0


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


def first_gap(wait: wait_base, load: Load, *, age: float, share: float) -> float:
    """
    Return the seconds to the first look at a session of an *age*, under *load*.

    *share*, from 0 to 1, is its place among others of the same age, so that they spread.
    """
    density = density_of(wait)
    if density is None:
        return share * max(FLOOR, load.at_least)
    return density.gap(
        age, stretch=load.stretch, share=share, ahead=load.ahead, at_most=load.at_most
    )


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
