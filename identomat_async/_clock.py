"""What time it is: set like a wall clock, measured like a stop watch."""

import math
import time
from datetime import UTC, datetime, timedelta

import anyio

from identomat_async.errors import ConfigurationError

Seconds = float | timedelta
Deadline = float | timedelta | datetime

# The span that a timedelta can say, which no deadline needs.
_LONGEST = 1e14


class Clock:
    """
    Seconds since the epoch that nobody can set back.

    The wall clock is read once, when the clock is made; from then on the event loop's
    monotonic clock is added to it. A deadline kept as such a number survives a restart
    and is not moved by a change of the machine's time.
    """

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time() - anyio.current_time()

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return anyio.current_time() + self._offset


def seconds(value: Seconds, *, name: str) -> float:
    """
    Return *value* in seconds.

    Raises:
        ConfigurationError: It is negative or not a finite number; *name* says whose.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(f"{name} must be seconds or a timedelta")
    # Compared and not converted, since an int may be too large for a float.
    if not 0 <= number <= _LONGEST:
        raise ConfigurationError(f"{name} must be finite and not negative")
    return float(number)


def deadline_at(deadline: Deadline, *, now: float, name: str = "deadline") -> float:
    """
    Return when *deadline* is, in seconds since the epoch.

    A number or timedelta counts from *now*; an aware datetime stands for itself and may
    lie in the past.

    Raises:
        ConfigurationError: It is negative, not finite, or a datetime without time zone.
    """
    if isinstance(deadline, datetime):
        return timestamp(deadline, name=name)
    return now + seconds(deadline, name=name)


def timestamp(moment: datetime, *, name: str) -> float:
    """
    Return *moment* in seconds since the epoch.

    Raises:
        ConfigurationError: It has no time zone, so nobody can know when it is.
    """
    if moment.utcoffset() is None:
        raise ConfigurationError(f"{name} must be an aware datetime: give it a time zone")
    return moment.timestamp()


def moment(at: float) -> datetime | None:
    """Return *at*, seconds since the epoch, as an aware datetime; None for never."""
    return datetime.fromtimestamp(at, UTC) if math.isfinite(at) else None
