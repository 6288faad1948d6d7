"""The figures that a poller shows to whoever runs it."""

from collections.abc import Mapping
from typing import Literal, TypedDict

import attrs

from identomat_async._polling._durations import Durations
from identomat_async.events import Role

LimitedBy = Literal["nothing", "rate", "in_flight", "consumer", "paused", "halted", "stand_by"]


@attrs.frozen(kw_only=True)
class PollerStats:
    """
    How a poller stands.

    Attributes:
        role: Whether it polls (``"active"``), has nobody who runs it (``"idle"``), or
            leaves the polling to another (``"stand_by"``).
        watched: Sessions that are looked at, waited-for ones included.
        due: How many of them should be looked at this moment, and are not yet.
        in_flight: Looks under way.
        polls_per_second: Looks begun per second, over the last ten seconds.
        polls: Looks made so far, failed ones and confirming reads included.
        confirmations: How many of them were confirming reads.
        buffered: Outcomes that nobody has taken yet.
        unacked: Outcomes that the handler has not accepted yet.
        oldest_unacked: Seconds since the first of them was handed over, None without.
        undeleted: Sessions that *purge* has not deleted yet.
        limited_by: What keeps the poller from looking sooner.
        stretch: How many times longer than wished the intervals are.
        lateness_p50: Median of the seconds by which recent looks were late.
        lateness_p99: The same, 99th percentile.
        last_answer_age: Seconds since the service last answered, None if it never did.
        errors: Failed looks of the last five minutes by the name of the error's class.
        deadlines_passed: Watches that ended as `DeadlinePassed`.
        handler_errors: How often the handler raised.
        observer_errors: How often an observer raised.
        durations: Seconds from begin to decision of sessions that this poller has seen
            decided, for `wait_learned`. Numbers only.
    """

    role: Role
    watched: int
    due: int
    in_flight: int
    polls_per_second: float
    polls: int
    confirmations: int
    buffered: int
    unacked: int
    oldest_unacked: float | None
    undeleted: int
    limited_by: LimitedBy
    stretch: float
    lateness_p50: float
    lateness_p99: float
    last_answer_age: float | None
    errors: Mapping[str, int]
    deadlines_passed: int
    handler_errors: int
    observer_errors: int
    durations: Durations


class Figures(TypedDict):
    """Those of the figures of `PollerStats` that are counted."""

    polls_per_second: float
    polls: int
    confirmations: int
    lateness_p50: float
    lateness_p99: float
    last_answer_age: float | None
    errors: Mapping[str, int]
    deadlines_passed: int
    handler_errors: int
    durations: Durations
