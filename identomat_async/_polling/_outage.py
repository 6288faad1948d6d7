"""Whether the service is down, and how the looks come back when it is up again."""

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Literal

import attrs

from identomat_async._places import TIMER_SLACK

# Down: so many looks have ended within so many seconds, and this share of them failed.
# With a lower share a breaker makes a partial outage worse.
_ENOUGH = 20
_WITHIN = 10.0
_FAILED = 0.9
# Failures may come sooner than good answers: so the first have to be older than twice
# what those take, by what is known of it, and within these seconds.
_YOUNG, _OLD = 1.0, 5.0
# Then one look at a time, so many seconds apart; somewhat less or more, by chance.
_FIRST_PROBE = 1.0
_LAST_PROBE = 5.0
_JITTER = 0.2
# Back: from this share of the usual rate, doubling every second up to this multiple of
# it, for so many seconds. What came due meanwhile has to be caught up with.
_SLOW = 0.05
_CATCHING_UP = 1.2
_RAMP = 60.0
# The share of each good answer in the time that good answers take.
_LEARNING = 0.1
# Fewer looks per second than this are nobody's burden.
_LIGHT = 10.0

Change = Literal["down", "up"]


@attrs.define(eq=False)
class Outage:
    """
    Stops the looks while the service is down, and lets them come back slowly.

    Args:
        random: Returns numbers from 0 to 1.

    Attributes:
        opens_at: From when on a look may be made.
        is_down: Whether it is made only to find out.
        is_doubted: Whether no look was answered since they were stopped, by this or by a pause
            that the service has asked for. After such a pause one counts that began since.
    """

    random: Callable[[], float] = attrs.field(default=random.random, repr=False)
    opens_at: float = -math.inf
    is_down: bool = False
    is_doubted: bool = False
    _seconds: deque[list[float]] = attrs.field(factory=deque, repr=False)
    _gap: float = _FIRST_PROBE
    _usual: float = _LIGHT
    _since: float = math.inf
    _latency: float = 0.0
    _stopped: float = -math.inf

    def ended(
        self, now: float, *, failed: bool, elapsed: float, usual: Callable[[], float]
    ) -> Change | None:
        """
        Count a look that ended *now*, whether it *failed* for want of a sound service.

        Args:
            now: Seconds.
            failed: Whether the service was not there, or not itself.
            elapsed: Seconds that it took.
            usual: Returns the looks per second of better times; called when they end.

        Returns:
            ``"down"`` if with this look it is, ``"up"`` if it is the first to be answered
            since the looks were stopped.
        """
        if not failed:
            self._latency += _LEARNING * (elapsed - self._latency)
            return self._is_sound(now, began=now - elapsed)
        if self.is_down:
            return None
        self._count(now, failed=True)
        if not self._is_over(now):
            return None
        self.keep_in_mind(usual(), now)
        self.is_down, self._gap, self._since = True, _FIRST_PROBE, math.inf
        self._seconds.clear()
        self._wait_for_probe(now)
        return "down"

    def _is_sound(self, now: float, *, began: float) -> Change | None:
        if self.is_down:
            self.is_down, self.opens_at, self._since = False, now, now
            self._seconds.clear()
        else:
            self._count(now, failed=False)
            if not self.is_doubted or began < self._stopped:
                return None
        self.is_doubted = False
        return "up"

    def answered(self, now: float, elapsed: float) -> bool:
        """Count a good answer, unless it is the first since the looks were stopped: False then."""
        if self.is_doubted:
            return False
        self._latency += _LEARNING * (elapsed - self._latency)
        self._count(now, failed=False)
        return True

    def began(self, now: float) -> None:
        """Note a look that begins *now*."""
        if self.is_down:
            self._gap = min(2 * self._gap, _LAST_PROBE)
            self._wait_for_probe(now)
        elif self._since < math.inf:
            self._pace(now)

    def keep_in_mind(self, usual: float, now: float) -> bool:
        """
        Remember how many looks per second there were before they stop *now*.

        False if they had stopped and nothing was answered since. How many there are while
        they come back is not what is usual.
        """
        was_doubted, self.is_doubted, self._stopped = self.is_doubted, True, now
        if not self.is_down and self._since == math.inf:
            self._usual = max(usual, _LIGHT)
        return not was_doubted

    def go_on(self, now: float) -> None:
        """Begin slowly after a pause; a service that was down is probed as before."""
        if not self.is_down:
            self.opens_at, self._since = now, now

    def reset(self) -> None:
        """Forget what has failed, and hold nobody back; the first answer tells that it goes on."""
        self.is_down, self.opens_at, self._since = False, -math.inf, math.inf
        self._seconds.clear()

    def _pace(self, now: float) -> None:
        age = now - self._since
        if age >= _RAMP:
            self.opens_at, self._since = -math.inf, math.inf
            return
        rate = self._usual * min(_SLOW * 2**age, _CATCHING_UP)
        # An event loop that is a little late makes up for it.
        self.opens_at = max(self.opens_at, now - TIMER_SLACK) + 1 / rate

    def _wait_for_probe(self, now: float) -> None:
        self.opens_at = now + self._gap * (1 + _JITTER * (2 * self.random() - 1))

    def _count(self, now: float, *, failed: bool) -> None:
        seconds = self._seconds
        if not seconds or now - seconds[-1][0] >= 1:
            seconds.append([now, 0, 0])
            while seconds[0][0] <= now - _WITHIN:
                seconds.popleft()
        seconds[-1][1] += 1
        seconds[-1][2] += failed

    def _is_over(self, now: float) -> bool:
        if now - self._seconds[0][0] < min(max(_YOUNG, 2 * self._latency), _OLD):
            return False
        ended = sum(second[1] for second in self._seconds)
        failed = sum(second[2] for second in self._seconds)
        return ended >= _ENOUGH and failed >= _FAILED * ended
