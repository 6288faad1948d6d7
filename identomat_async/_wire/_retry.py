"""Whether one call is tried again, and when. Decided without clock or I/O."""

import math
import random
from collections.abc import Callable

import attrs
from tenacity import RetryCallState, wait_exponential
from tenacity.wait import wait_base

from identomat_async._wire._protocol import Operation
from identomat_async.errors import (
    ConfigurationError,
    IdentomatError,
    RateLimitedError,
    ResponseTooLargeError,
    ServerError,
)

# A single call waits this long for a service that asks for it; beyond it raises at once.
LONGEST_ASKED_WAIT = 60.0

_COST = 14
_THROTTLED_COST = 5


class wait_fault(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """
    Full jitter: up to 0.25 s doubling to 8 s after a fault, 1 s to 20 s when throttled.

    The shape is the one that AWS published ("Exponential Backoff And Jitter").

    Args:
        random: Gives the share of the longest wait that is waited, 0 to 1.
    """

    def __init__(self, *, random: Callable[[], float] = random.random) -> None:
        self._fault = wait_exponential(multiplier=0.25, max=8)
        self._throttled = wait_exponential(multiplier=1, max=20)
        self._random = random

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait after the failure in *retry_state*."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        is_throttled = isinstance(error, RateLimitedError)
        longest = (self._throttled if is_throttled else self._fault)(retry_state)
        return self._random() * longest


def _at_least_one(_: object, __: object, value: object) -> None:
    if not _is_whole(value, least=1):
        raise ConfigurationError("attempts must be a whole number; 1 means no repeats")


def _not_negative(_: object, __: object, value: object) -> None:
    if value is not None and not _is_whole(value, least=0):
        raise ConfigurationError("quota must be a whole number; None means no quota")


def _strategy(_: object, __: object, value: object) -> None:
    if not callable(value):
        raise ConfigurationError("wait must be a tenacity wait strategy")


def _is_whole(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How single calls are repeated after a failure. Polls are not: their schedule is.

    Attributes:
        attempts: Requests one call may make, the first included; `delete` two more. 3 by
            default.
        wait: The seconds between them: any tenacity wait strategy. Where it raises or gives
            no seconds, nothing is waited, and the error of the call says so in a note.
            By default some share of 0.25 s doubling to 8 s, and of 1 s to 20 s when throttled.
        quota: Points that all calls of a client share. A repeat costs 14 of them (5 when
            throttled), which come back if it succeeds, and each plain success gives 1; so
            a service that is down is not asked much more than it is called. The error
            of a call that was not repeated for want of them has the reason ``"quota"``,
            unless it has one already. None: no quota. 500 by default.

    Raises:
        ConfigurationError: A figure is out of range.
    """

    attempts: int = attrs.field(default=3, validator=_at_least_one)
    wait: wait_base = attrs.field(factory=wait_fault, validator=_strategy)
    quota: int | None = attrs.field(default=500, validator=_not_negative)


class Quota:
    """The points that repeats cost, shared by the calls of one client."""

    def __init__(self, capacity: int | None) -> None:
        self._capacity = capacity
        self.points: int = 0 if capacity is None else capacity

    def __repr__(self) -> str:
        return f"<Quota {self.points} of {self._capacity}>"

    def spend(self, error: IdentomatError) -> int | None:
        """Pay for one repeat after *error*; return its cost, None if it is too dear."""
        cost = _THROTTLED_COST if isinstance(error, RateLimitedError) else _COST
        if self._capacity is None:
            return 0
        if cost > self.points:
            return None
        self.points -= cost
        return cost

    def earn(self, spent: int) -> None:
        """Give back what a call that succeeded has *spent*, or 1 if that is nothing."""
        if self._capacity is not None:
            self.points = min(self._capacity, self.points + (spent or 1))


def attempts_for(operation: Operation, policy: RetryPolicy) -> int:
    """Return how many requests one call of *operation* may make."""
    return 1 if policy.attempts == 1 else policy.attempts + operation.extra_attempts


def may_repeat(error: BaseException | None, operation: Operation, *, tries: int) -> bool:
    """
    Tell whether asking again is right.

    An allow-list: only our own errors that say so. What may have been processed is
    repeated only where a repeat does no harm.

    Args:
        error: What the last try ended with.
        operation: What was asked.
        tries: How many there have been.
    """
    if not isinstance(error, IdentomatError) or not error.retryable:
        return False
    if error.reason == "conflict":
        # Somebody holds the session; nobody says for how long. A deletion is worth more.
        return operation.repeatable and (tries == 1 or operation.extra_attempts > 0)
    if isinstance(error, ResponseTooLargeError) and operation.extra_attempts:
        return False  # it has been deleted, and its document will not get smaller
    return operation.repeatable or not error.maybe_applied


def sound_wait(strategy: wait_base, state: RetryCallState, error: IdentomatError) -> float:
    """
    Return the seconds that *strategy* says, or 0 where it says none.

    What it raises must not hide *error*, which the call may end with: that gets a note.
    """
    try:
        said: object = strategy(state)
    except Exception as failure:  # noqa: BLE001 - it is the caller's function, anything may come
        said = failure.with_traceback(None)
    if isinstance(said, int | float) and 0 <= said < math.inf:
        return said
    error.add_note(f"RetryPolicy.wait gave no seconds to wait, but {type(said).__name__}")
    return 0.0


def asked_wait(error: IdentomatError) -> float:
    """Return the seconds that the service itself asked to wait, 0 if it did not."""
    if isinstance(error, RateLimitedError | ServerError):
        return error.retry_after or 0.0
    return 0.0
