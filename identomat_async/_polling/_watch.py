"""What an application asks for: a session to be watched until it has come so far."""

import enum
from datetime import datetime

import attrs

from identomat_async._clock import Deadline, Seconds
from identomat_async._model._status import SessionStatus


class Until(enum.StrEnum):
    """What ends a watch."""

    TERMINAL = "terminal"
    """APPROVED, REJECTED, DISAGREED or MANUAL_CHECK."""
    DECIDED = "decided"
    """The same without MANUAL_CHECK: wait for the operator too."""


# To look a member up in its enum takes longer than all that a look is compared with.
IN_PROGRESS, MANUAL_CHECK = SessionStatus.IN_PROGRESS, SessionStatus.MANUAL_CHECK
TERMINAL, DECIDED = Until.TERMINAL, Until.DECIDED


def ends(status: SessionStatus, until: Until) -> bool:
    """Tell whether a session with *status* is settled for who waits *until*."""
    if status is IN_PROGRESS:  # nearly always
        return False
    if status is MANUAL_CHECK:
        return until is TERMINAL
    return status.is_terminal


def stricter(one: Until, other: Until) -> Until:
    """Return the one of the two that waits longer."""
    return Until.DECIDED if Until.DECIDED in (one, other) else Until.TERMINAL


@attrs.frozen
class Watch:
    """
    A session to be watched.

    What is None is taken from the poller.

    Attributes:
        token: What `begin` returned.
        reference: What the application calls it; comes back with the outcome, and is
            shown nowhere.
        deadline: When the person's time is up: seconds, timedelta or aware datetime.
        until: Whether MANUAL_CHECK is the end.
        review: Seconds that an operator may take, from the first MANUAL_CHECK seen.
        begun: When the session was begun (an aware datetime); now unless given.
    """

    token: str = attrs.field(repr=False)
    reference: str | None = attrs.field(default=None, repr=False, kw_only=True)
    deadline: Deadline | None = attrs.field(default=None, kw_only=True)
    until: Until | None = attrs.field(default=None, kw_only=True)
    review: Seconds | None = attrs.field(default=None, kw_only=True)
    begun: datetime | None = attrs.field(default=None, kw_only=True)
