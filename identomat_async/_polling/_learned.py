"""How long people take, learned from how long others took."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from identomat_async._clock import Seconds, seconds
from identomat_async._polling._density import (
    LARGEST_GAP,
    LEAST_GAP,
    REVIEW,
    above_zero,
    wait_density,
)
from identomat_async._polling._durations import Durations
from identomat_async._polling._person import EVERY, wait_person
from identomat_async.errors import ConfigurationError

# With fewer past decisions a guess is the better.
_ENOUGH = 20
# Ages are smoothed over a share of themselves: less of it the more is known.
_WIDEST, _NARROWEST = 0.5, 0.07
# A bell three widths to either side, in halves of a width.
_KERNEL = [math.exp(-0.5 * (half / 2) ** 2) for half in range(-6, 7)]
# The first part ends at this share of the age by which the first hundredth was decided.
_FIRST, _HUNDREDTH = 1 / 3, 0.01
# As if half a session more had been decided at each age, in as many seconds as the age:
# what nobody has done yet is seldom, and not impossible.
_UNSEEN = 0.5
# However seldom anybody is decided at an age, looks are this share of the closest.
_LEAST = 0.05


class wait_learned(wait_density):  # noqa: N801 - named as tenacity names its strategies
    """
    Looks that follow how long your people took.

    A poller keeps the times of those that it has seen decided; the next one learns from
    them. They are plain numbers, and `censored` beside them, which can be stored::

        durations = poller.stats().durations
        wait = wait_learned(durations)  # or wait_learned(stored, censored=stored_censored)
        poller = ResultPoller(client, wait=wait)

    The density of the looks is the square root of the hazard: of the share that is decided
    in the next second, of those that are still open. No density gives a smaller delay for
    the same number of looks; learned from 200 sessions it comes within 5 % of the least
    delay, from 2,000 within 2 %. With fewer than 20 decided sessions this is
    `wait_person` with the same options. At ages at which nobody was ever decided, earlier
    or later, looks are seldom and never cease. A rate budget and a `ResultPoller` do with
    the gaps what `wait_person` tells of.

    Args:
        durations: Seconds from begin to decision of past sessions, in any order. What
            ``poller.stats().durations`` gives brings its censored ones along.
        censored: Seconds for which other sessions were open and watched without coming to
            a decision. Leaving them out makes long waits look more promising than they are.
        every: A decision is noticed as quickly as by looks every so many seconds, on
            average over the past sessions, and with as few looks as that can be done with.
        review: Seconds between looks after MANUAL_CHECK, when an operator decides.
        floor: The least seconds between looks, at whatever age; 0 for none.
        cap: The most seconds between looks, before a rate budget makes them more.

    Raises:
        ConfigurationError: A duration is negative or not a finite number of seconds, or
            another figure is not above 0.
    """

    def __init__(
        self,
        durations: Iterable[Seconds],
        *,
        censored: Iterable[Seconds] = (),
        every: Seconds = EVERY,
        review: Seconds = REVIEW,
        floor: Seconds = LEAST_GAP,
        cap: Seconds = LARGEST_GAP,
    ) -> None:
        every = above_zero(every, name="every")
        still_open = _sorted(censored, name="censored")
        if isinstance(durations, Durations):
            still_open = sorted(still_open + _sorted(durations.censored, name="censored"))
        decided = _sorted(durations, name="durations")
        if len(decided) < _ENOUGH:
            usual = wait_person(every=every, review=review, floor=floor, cap=cap)
            table, fair_from = usual.table, usual.fair_from
        else:
            table, fair_from = tuple(_learned(decided, still_open, every)), math.inf
        super().__init__(table, review=review, floor=floor, cap=cap, fair_from=fair_from)


def _sorted(values: Iterable[Seconds], *, name: str) -> list[float]:
    if isinstance(values, str | bytes | bytearray) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(
            f"{name} must be a list of seconds, one number for each past session, such as "
            "poller.stats().durations; an empty list to begin with"
        )
    return sorted(seconds(value, name=f"each of {name}") for value in values)


def _learned(
    decided: Sequence[float], still_open: Sequence[float], every: float
) -> list[tuple[float, float]]:
    width = max(_WIDEST * len(decided) ** -0.2, _NARROWEST)
    ends = _ends(decided, width)
    events = _events(decided, ends)
    exposures, beyond = _exposures(sorted((*decided, *still_open)), ends)
    rates = [
        math.sqrt(_hazard(decisions, exposure, end))
        for decisions, exposure, end in zip(_smooth(events), _smooth(exposures), ends, strict=True)
    ]
    least = _LEAST * max(rates)
    rates = [max(rate, least) for rate in rates]
    last = min(rates[-1], max(math.sqrt(_hazard(0.0, beyond, ends[-1])), least))
    # From the shape to looks per second: the mean gap at a decision is to be *every*.
    mean = sum(map(float.__truediv__, events, rates)) / len(decided)
    scale = mean / every
    return [
        *((end, scale * rate) for end, rate in zip(ends, rates, strict=True)),
        (math.inf, scale * last),
    ]


def _ends(decided: Sequence[float], width: float) -> list[float]:
    # Two parts to each width, to a little beyond the last decision.
    first = max(_FIRST * decided[int(_HUNDREDTH * len(decided))], 1.0)
    last = max(decided[-1], first) * math.exp(2 * width)
    parts = math.ceil(2 * math.log(last / first) / width)
    return [first * (last / first) ** (part / parts) for part in range(parts + 1)]


def _events(decided: Sequence[float], ends: Sequence[float]) -> list[float]:
    counts = [bisect_right(decided, end) for end in ends]
    return [float(until - before) for before, until in pairwise((0, *counts))]


def _exposures(spans: Sequence[float], ends: Sequence[float]) -> tuple[list[float], float]:
    # The seconds that all sessions together were open, in each part and after the last.
    sums = [0.0, *accumulate(spans)]
    until = [0.0]
    for end in ends:
        over = bisect_right(spans, end)
        until.append(sums[over] + (len(spans) - over) * end)
    return [later - earlier for earlier, later in pairwise(until)], sums[-1] - until[-1]


def _smooth(counts: Sequence[float]) -> list[float]:
    reach = len(_KERNEL) // 2
    padded = [0.0] * reach + list(counts) + [0.0] * reach
    return [
        sum(map(float.__mul__, _KERNEL, padded[part : part + len(_KERNEL)]))
        for part in range(len(counts))
    ]


def _hazard(events: float, exposure: float, age: float) -> float:
    return (events + _UNSEEN) / (exposure + _UNSEEN * age)
