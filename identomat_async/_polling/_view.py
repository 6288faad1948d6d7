"""How one session stands with a poller, shown to those who ask."""

from datetime import UTC, datetime

import attrs

from identomat_async._clock import moment
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import Entry
from identomat_async.errors import IdentomatError


@attrs.frozen(kw_only=True)
class WatchedSession:
    """
    What a poller knows of a session that is watched or awaited.

    Attributes:
        token: The session.
        reference: What the application calls it.
        status: The status last seen, None if none was.
        begun: When the session was begun, as far as the poller was told.
        deadline: When time is up, None for never.
        polls: How often it was looked at, failed looks included.
        last_error: The error of the last look, None if that was answered.
        next_look: Seconds until the next look; 0 if that is due or under way.
    """

    token: str = attrs.field(repr=False)
    reference: str | None = attrs.field(repr=False)
    status: SessionStatus | None
    begun: datetime
    deadline: datetime | None
    polls: int
    last_error: IdentomatError | None
    next_look: float


def seen(entry: Entry, now: float) -> WatchedSession:
    """Show *entry* as it stands *now*."""
    state = entry.state
    return WatchedSession(
        token=state.token,
        reference=state.reference,
        status=state.status,
        begun=datetime.fromtimestamp(state.begun, UTC),
        deadline=moment(state.ends_at),
        polls=state.polls,
        last_error=state.last_error,
        next_look=max(0.0, entry.due - now),
    )
