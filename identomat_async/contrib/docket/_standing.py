"""The figures of a poller on Docket."""

from identomat_async._polling._stats import PollerStats
from identomat_async._polling._tally import Tally
from identomat_async.contrib.docket._rounds import Rounds


def stats_of(
    rounds: Rounds | None, *, standing: tuple[int, int], tally: Tally, now: float
) -> PollerStats:
    """
    Return how a poller stands, which is a worker if it makes *rounds*.

    Args:
        rounds: What this worker does.
        standing: How many sessions all machines watch, and how many of them are due.
        tally: What this process has counted.
        now: The time on its clock.
    """
    watched, due = standing
    is_stopped = rounds is not None and rounds.gates.service_opens_at(now, rounds.clock) > now
    return PollerStats(
        role="idle" if rounds is None else "active",
        watched=watched,
        due=due,
        in_flight=0 if rounds is None else rounds.in_flight,
        buffered=0,
        unacked=0 if rounds is None else len(rounds.again),
        oldest_unacked=None,
        undeleted=0,
        limited_by="paused" if is_stopped else "rate" if due else "nothing",
        stretch=1.0,
        observer_errors=0,
        **tally.figures(now),
    )
