"""What time it is: set like a wall clock, measured like a stop watch."""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from anyio.lowlevel import current_token

from identomat_async.errors import ConfigurationError

Seconds = float | timedelta
Deadline = float | timedelta | datetime

# The span that a timedelta can say, which no deadline needs.
_LONGEST = 1e14


# What is less than this is only two clocks that are not read at the same moment.
_NAP = 1.0
_MOMENT = 0.001


def suspended() -> float:
    """Return for how many seconds the machine has been suspended, 0 where nobody knows."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # on Linux
    return 0.0 if boot is None else max(0.0, time.clock_gettime(boot) - time.monotonic())


class LoopTime:
    """
    The time of the event loop in which it is first asked.

    `anyio.current_time` finds out each time what event loop it is called in, and that
    costs five times as much as the time itself. From then on it may be asked in any thread.
    """

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: Callable[[], float] | None = None

    def __call__(self) -> float:
        """Return the seconds."""
        if self._read is None:
            self._read = loop_clock()
        return self._read()


def loop_clock() -> Callable[[], float]:
    """Return what tells, anywhere, the time of the event loop in which this is called."""
    loop = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.time
    from trio.lowlevel import current_clock  # noqa: PLC0415 - it is there: this is its loop

    return current_clock().current_time


class Clock:
    """
    Seconds since the epoch that nobody can set back.

    The wall clock is read once, when the clock is made; from then on the event loop's
    monotonic clock is added to it. A deadline kept as such a number survives a restart
    and is not moved by a change of the machine's time.

    Args:
        asleep: Returns for how many seconds in all the machine has been suspended. The
            event loop's clock stands still then, and deadlines do not.

    Attributes:
        offset: What is added to the event loop's time.
    """

    __slots__ = ("_asleep", "_slept", "_stamp", "_time", "offset")

    def __init__(self, asleep: Callable[[], float] = suspended) -> None:
        self._asleep = asleep
        self._slept = asleep()
        self._stamp = -math.inf
        self._time = loop_clock()
        self.offset: float = time.time() - self._time()

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._time() + self.offset

    def stamp(self) -> float:
        """Return the time to be kept: one object for all that come within a millisecond."""
        now = self.now()
        if not 0 <= now - self._stamp < _MOMENT:
            self._stamp = now
        return self._stamp

    def wake(self) -> bool:
        """Add the time for which the machine was suspended, if it was; call this now and then."""
        slept = self._asleep()
        was_asleep = slept - self._slept > _NAP
        if was_asleep:
            self.offset += slept - self._slept
            self._slept = slept
        return was_asleep


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

    A number or timedelta counts from *now*, an aware datetime from what the wall clock
    shows: so the clock may have been set in the meantime. It may lie in the past.

    Raises:
        ConfigurationError: It is negative, not finite, or a datetime without time zone.
    """
    if isinstance(deadline, datetime):
        return now + (timestamp(deadline, name=name) - time.time())
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
