"""How a watch is conducted, and how it goes on: the values that a step takes and gives."""

import math
import random
from collections.abc import Callable

import attrs
from tenacity import wait_exponential
from tenacity.wait import wait_base

from identomat_async._clock import seconds
from identomat_async._polling._density import density_of, wait_density
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._person import wait_person
from identomat_async._polling._state import PollState
from identomat_async.errors import ConfigurationError


def _density(policy: "PollPolicy") -> wait_density | None:
    return density_of(policy.wait)


@attrs.frozen(kw_only=True)
class PollPolicy:
    """
    How a watch is conducted.

    Attributes:
        wait: When to look next after an answer: any tenacity wait strategy; by default
            `wait_person()`.
        retry_wait: The least wait after a look that failed; by default 1 s, doubled up to 60.
        grace: Seconds that a watch outlives its deadline while nobody answers; 3600 by
            default.
        gone_window: Seconds over which a session must be unknown, invalid or unreadable
            three times, on different connections, before that is believed; 60 by default.
        jitter: By which share an interval may be shorter or longer, below 1; 0.1 by default.
        random: Returns numbers from 0 to 1; `random.random` by default.
        density: *wait*, if it says for each age how close looks are; None if it has to be
            called.

    Raises:
        ConfigurationError: One of them is of another kind or cannot be.
    """

    wait: wait_base = attrs.field(factory=wait_person)
    retry_wait: wait_base = attrs.field(factory=lambda: wait_exponential(multiplier=1, max=60))
    grace: float = 3600.0
    gone_window: float = 60.0
    jitter: float = 0.1
    random: Callable[[], float] = attrs.field(default=random.random, repr=False)
    density: wait_density | None = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_density, takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        for strategy in (self.wait, self.retry_wait):
            if not isinstance(strategy, wait_base):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
                raise ConfigurationError("wait and retry_wait must be tenacity wait strategies")
        seconds(self.grace, name="grace")
        seconds(self.gone_window, name="gone_window")
        if seconds(self.jitter, name="jitter") >= 1:
            raise ConfigurationError("jitter must be a share below 1")


@attrs.frozen(kw_only=True)
class Load:
    """
    How far a rate budget stretches the schedule.

    Attributes:
        stretch: The factor for strategies that know densities.
        ahead: Until how many seconds from now which factor counts, the last for ever; none
            if it stays.
        at_most: The longest gap in seconds for them, outside a quiet time.
        at_least: The least gap in seconds for the others.
    """

    stretch: float = 1.0
    ahead: tuple[tuple[float, float], ...] = ()
    at_most: float = math.inf
    at_least: float = 0.0


@attrs.frozen(kw_only=True, weakref_slot=False)
class Pending:
    """
    The watch goes on.

    Attributes:
        state: What is known now. Where ``state.fresh`` is set, the next look must read the
            whole document as the first answer on a new connection.
        delay: Seconds from the look to the next one.
        unsound: Whether the wait strategy gave no usable time, so that a floor was used.
        stretch: How many times longer than the schedule asked for that is; 1 if no rate
            budget stands in the way.
    """

    state: PollState
    delay: float
    unsound: bool = False
    stretch: float = 1.0


Step = Pending | Outcome
NO_LOAD = Load()
