"""How fast the demo goes: real people's schedule, shrunk to quicker people."""

from identomat_async import wait_person

# The people for whom `wait_person` is made: half of them are done after so many seconds.
_REAL_MEDIAN = 180.0
_REAL_RATE = 50.0
# One core runs client, sandbox and display, and is to have time left.
_MOST_REQUESTS = 200.0
# Nobody who finishes takes longer than 4 medians, see the lives that are drawn.
_PATIENCE = 5.0
# Seconds beyond the deadline, at all and for each session, before one counts as lost.
_SPARE = 30.0
_SPARE_EACH = 0.05


def scale_of(median: float) -> float:
    """Return how many times as long as real people those with this median take."""
    return median / _REAL_MEDIAN


def schedule_for(median: float) -> wait_person:
    """Return the default schedule, scaled to people with this median."""
    scale = scale_of(median)
    return wait_person(
        every=5.0 * scale,
        quiet=60.0 * scale,
        busy=(50.0 * scale, 480.0 * scale),
        floor=2.0 * scale,
        cap=60.0 * scale,
    )


def rate_for(median: float) -> float:
    """Return the requests per second: as scarce as the default, within one core's means."""
    return min(_REAL_RATE / scale_of(median), _MOST_REQUESTS)


def deadline_for(median: float) -> float:
    """Return the seconds after which a person has left for good."""
    return _PATIENCE * median


def limit_for(median: float, sessions: int) -> float:
    """Return the seconds after which a session without an outcome is lost."""
    return deadline_for(median) + _SPARE + _SPARE_EACH * sessions
