"""Whether what the poller said is true, and how soon it said it; nothing here does I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from identomat_async import DeadlinePassed, Outcome, SessionStatus, Settled
from identomat_async.sandbox import Truth


@attrs.frozen(kw_only=True)
class Taken:
    """
    An outcome as it came out of the poller.

    Attributes:
        outcome: What was said.
        at: When, by the sandbox's clock.
    """

    outcome: Outcome
    at: float


def is_wrong(taken: Taken, truth: Truth, *, deadline_at: float) -> bool:
    """
    Tell whether an outcome is not what happened.

    Args:
        taken: The outcome.
        truth: What the sandbox knows about the session.
        deadline_at: When the session's deadline was, by the sandbox's clock.
    """
    match taken.outcome:
        case Settled() as settled:
            return (
                truth.settled_at is None
                or truth.settled_at > taken.at
                or settled.result.status != status_at_settling(truth)
                or settled.result.person is None
                or settled.result.person.personal_number != truth.person_number
            )
        case DeadlinePassed():
            return truth.settled_at is not None and truth.settled_at < deadline_at
        case _:
            # The sandbox knows all its sessions and answers every question.
            return True


def status_at_settling(truth: Truth) -> SessionStatus | None:
    """Return the status with which a session settles, None if it never does."""
    after = truth.script.terminal_after
    return None if after is None else SessionStatus(truth.script.status_at(after))


def lost(begun: Iterable[str], taken: Iterable[Taken]) -> int:
    """Count the sessions that nothing was said about."""
    return len(set(begun) - {each.outcome.token for each in taken})


def doubled(taken: Iterable[Taken]) -> int:
    """Count the sessions that something was said about more than once."""
    return sum(count > 1 for count in Counter(each.outcome.token for each in taken).values())


def delays(taken: Iterable[Taken], truths: Mapping[str, Truth]) -> list[float]:
    """Return the seconds from each session's settling to the news of it, in order."""
    return sorted(
        each.at - settled_at
        for each in taken
        if isinstance(each.outcome, Settled)
        and (settled_at := truths[each.outcome.token].settled_at) is not None
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """
    Return the least of the values that *share* of them do not exceed; None if there is none.

    Args:
        ordered: The values, smallest first.
        share: Between 0 and 1.
    """
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def settled_in(taken: Iterable[Taken]) -> dict[str, int]:
    """Count the settled sessions by status."""
    return dict(
        Counter(
            each.outcome.result.status.value for each in taken if isinstance(each.outcome, Settled)
        )
    )
