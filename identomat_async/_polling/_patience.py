"""When to give up on looks that cannot be made."""

import math

# How often that is looked into.
_EVERY = 10.0
# When nobody asks for longer than this, the event loop stood still, and not the service.
_ATTENTIVE = 60.0


class Patience:
    """
    Knows whether somebody was due and not looked at for *grace* seconds without a break.

    Only the time counts in which a look would have been made but for what held it up: not
    while the machine sleeps, nor while the event loop is blocked.
    """

    __slots__ = ("_asked", "_grace", "_next", "_since")

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since = math.inf
        self._asked = self._next = -math.inf

    def is_over(self, now: float, *, is_behind: bool) -> bool:
        """Tell whether it is, and *now* is the time to do something about it; ask all the time."""
        was_away, self._asked = now - self._asked > _ATTENTIVE, now
        if was_away or not is_behind:
            self._since = math.inf
        if is_behind:
            self._since = min(self._since, now)
        if now - self._since < self._grace or now < self._next:
            return False
        self._next = now + _EVERY
        return True

    def begin_anew(self) -> None:
        """Forget for how long somebody was due."""
        self._since = math.inf
