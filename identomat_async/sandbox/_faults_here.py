"""What goes wrong without sockets: outages, slowness and faults, told in advance."""

import math
from collections import deque
from collections.abc import Callable
from itertools import cycle, islice

import attrs

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox._faults import ALL, Fault, family_of, faults_named


@attrs.define
class _Slowness:
    seconds: float
    until: float


class Weather:
    """
    What the connections of one sandbox meet; nothing unless told.

    Args:
        now: The clock; asked for anew each time, since it may change.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._out_until = -math.inf
        self._slowness: list[_Slowness] = []
        self._due: deque[tuple[Fault, str | None]] = deque()

    @property
    def is_out(self) -> bool:
        """Whether nobody is served."""
        return self._now() < self._out_until

    @property
    def delay(self) -> float:
        """The seconds that an answer takes."""
        now = self._now()
        self._slowness = [each for each in self._slowness if now < each.until]
        return max((each.seconds for each in self._slowness), default=0.0)

    def out_for(self, seconds: float) -> None:
        """Serve nobody for so long."""
        self._out_until = self._now() + _span(seconds)

    def slow(self, seconds: float, lasting: float | None) -> None:
        """Let answers take their time, for so long or from now on."""
        until = math.inf if lasting is None else self._now() + _span(lasting)
        self._slowness = [_Slowness(_span(seconds), until)]

    def fail(self, n: int, kind: str, operation: str | None) -> None:
        """Let the next *n* requests, of one kind if one is given, meet a fault."""
        if n < 1:
            raise ConfigurationError("fail() takes a number of requests, 1 or more")
        if operation is not None and operation not in ALL:
            raise ConfigurationError(f"operation must be one of {', '.join(sorted(ALL))}")
        faults = faults_named([kind])
        if operation is not None:
            faults = tuple(fault for fault in faults if operation in fault.operations)
        if not faults:
            raise ConfigurationError(f"{kind} cannot strike the method {operation!r}")
        self._due.extend((fault, operation) for fault in islice(cycle(faults), n))

    def fault_for(self, operation: str) -> Fault | None:
        """Take the fault that a request meets now, None if it meets none."""
        family = family_of(operation)
        for index, (fault, only) in enumerate(self._due):
            if only in {None, family} and family in fault.operations:
                del self._due[index]
                return fault
        return None


def _span(seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise ConfigurationError(f"{seconds} is no span of time in seconds")
    return seconds
