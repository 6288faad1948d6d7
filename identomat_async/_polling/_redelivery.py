"""An outcome that comes again after a restart."""

import attrs

from identomat_async import errors
from identomat_async._model._status import SessionStatus
from identomat_async._polling._journal._facts import JournalEntry
from identomat_async._polling._outcomes import (
    DeadlinePassed,
    Delivery,
    Outcome,
    PollFailed,
    SessionGone,
)
from identomat_async._polling._state import PollState
from identomat_async.errors import IdentomatError


def redelivery(entry: JournalEntry, outcome: Outcome) -> Delivery:
    """Return the delivery of *outcome* under the id that it has had before."""
    assert entry.delivery is not None  # noqa: S101 - for types
    # The handler may have seen it in the moment of the crash.
    attempt = max(2, entry.attempts + 1)
    return Delivery(id=entry.delivery, outcome=outcome, redelivered=True, attempt=attempt)


def outcome_without_document(entry: JournalEntry) -> Outcome | None:
    """Return what a watch has come to if the journal says all of it; None if it is settled."""
    state = entry.state
    facts = DeadlinePassed(
        token=state.token,
        reference=state.reference,
        status=state.status,
        polls=state.polls,
        waited=entry.waited,
        last_error=_error(entry.last_error),
    )
    shared = attrs.asdict(facts, recurse=False)
    match entry.outcome:
        case "DeadlinePassed":
            return facts
        case "PollFailed":
            return PollFailed(**shared)
        case "SessionGone":
            return SessionGone(**shared, verified=entry.verified)
        case _:
            return None


def read_again(entry: JournalEntry, *, until: float) -> PollState:
    """
    Return the state with which the document of a settled session is read again.

    What was settled once is not given up because its time is over: it has at least *until*,
    in seconds since the epoch.
    """
    deadline = max(entry.state.deadline, until)
    return attrs.evolve(entry.state, fresh=True, deadline=deadline)


def is_reversed(entry: JournalEntry, outcome: Outcome) -> bool:
    """Tell whether a session whose delivery says approved has come to something else."""
    was = (entry.outcome, entry.state.status)
    is_approval = entry.delivery is not None and entry.state.status is SessionStatus.APPROVED
    return is_approval and (type(outcome).__name__, outcome.status) != was


def _error(name: str | None) -> IdentomatError | None:
    kind = None if name is None else getattr(errors, name, IdentomatError)
    return None if kind is None else kind("before a restart")
