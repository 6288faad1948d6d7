"""
What happens, for those who watch the watcher.

Every event is a frozen value without secrets and personal data; a session is named by its
`token_hash`. Pass functions as ``observers=`` to a client or poller; one that raises is
counted (`PollerStats.observer_errors`) and otherwise ignored.
"""

from collections.abc import Callable
from typing import Literal

import attrs

PauseReason = Literal["asked", "outage"]
Role = Literal["active", "idle", "stand_by"]


@attrs.frozen(kw_only=True)
class Event:
    """The root of all events."""


@attrs.frozen(kw_only=True)
class SessionEvent(Event):
    """
    The root of the events about one session.

    Attributes:
        token_hash: Stands for its token; see `IdentomatClient.token_hash`.
    """

    token_hash: str


@attrs.frozen(kw_only=True)
class PollFinished(SessionEvent):
    """
    A session was looked at.

    Attributes:
        status: The known status that was seen; None if it was unknown or the look failed.
        error: The name of the class of the error, None if the look was answered.
        elapsed: Seconds that the look took.
        lateness: Seconds from when it was due to when it was begun.
    """

    status: str | None
    error: str | None
    elapsed: float
    lateness: float


@attrs.frozen(kw_only=True)
class StatusChanged(SessionEvent):
    """
    A session has another status than at the last look.

    Attributes:
        before: The known status before, None if there was none.
        after: The known status now, None if it is unknown.
    """

    before: str | None
    after: str | None


@attrs.frozen(kw_only=True)
class UnknownStatus(SessionEvent):
    """The service gave a status that this version does not know; the watch goes on."""


@attrs.frozen(kw_only=True)
class AnswerConflict(SessionEvent):
    """
    A kept connection called a session settled or under review, and a fresh one did not agree.

    The fresh answer counts. Now and then an operator changes a decision in between; if it
    happens often, something on the way mixes up answers.

    Attributes:
        kept: The status on the kept connection.
        fresh: The known status on the fresh one, None if it is unknown.
    """

    kept: str
    fresh: str | None


@attrs.frozen(kw_only=True)
class ForeignAnswer(SessionEvent):
    """
    The answer to a look at a session named another session; it was not used.

    The connection was closed. If it happens again, something on the way mixes up answers.
    """


@attrs.frozen(kw_only=True)
class WatchBegun(SessionEvent):
    """
    A session is watched from now on.

    Not told for a session that is watched already.

    Attributes:
        resumed: Whether it was taken up from the journal, where it was left by an earlier run,
            by another process, or before `run`. If not, this is told inside the call that has
            it watched, so that an observer is in the caller's context.
    """

    resumed: bool = False


@attrs.frozen(kw_only=True)
class WatchDiscarded(SessionEvent):
    """A session is watched no more, and there will be no outcome."""


@attrs.frozen(kw_only=True)
class OutcomeReady(SessionEvent):
    """
    A watch has come to its outcome.

    An outcome that nobody has taken is withdrawn when its session is watched again for more,
    such as MANUAL_CHECK for `Until.DECIDED`; then this is told once more, of what it comes to.

    Attributes:
        outcome: The name of the outcome's class.
        status: The known status last seen, None otherwise.
        polls: How often the session was looked at, failed looks included.
        waited: Seconds from the start of the watch.
        age: Seconds since the session was begun.
        redelivered: Whether an earlier run has come to it and nobody has accepted it. The
            document was read again to be delivered again, and *waited* and *age* say when.
    """

    outcome: str
    status: str | None
    polls: int
    waited: float
    age: float
    redelivered: bool = False


@attrs.frozen(kw_only=True)
class HandlerFailed(SessionEvent):
    """
    The handler of `run` raised; the delivery comes again.

    Attributes:
        error: The name of the class of what it raised.
        attempt: At which attempt, 1 for the first.
    """

    error: str
    attempt: int


@attrs.frozen(kw_only=True)
class ResultReversed(SessionEvent):
    """
    A session that the journal knows as approved has come to something else.

    Only seen when an outcome is delivered again, for which its document is read again; the
    newer one counts.

    Attributes:
        outcome: The name of the outcome's class now.
        status: The known status now, None otherwise.
    """

    outcome: str
    status: str | None


@attrs.frozen(kw_only=True)
class RoleChanged(Event):
    """
    A poller with a journal polls from now on, or leaves that to another.

    Attributes:
        role: ``"active"``, ``"stand_by"`` or ``"idle"``.
    """

    role: Role


@attrs.frozen(kw_only=True)
class JournalFailed(Event):
    """
    The journal cannot be written; what was to be written is tried again.

    Nothing is handed over or acknowledged meanwhile that is not written down.

    Attributes:
        reason: A word for why, as in `JournalError`; None without one.
    """

    reason: str | None


@attrs.frozen(kw_only=True)
class UnsoundSchedule(SessionEvent):
    """The wait strategy gave no usable time; half a second was used. Told once."""


@attrs.frozen(kw_only=True)
class Starved(Event):
    """
    There are more sessions than the rate can look at five times within the deadline.

    Attributes:
        watched: How many sessions there are.
        per_second: The rate, in requests per second.
    """

    watched: int
    per_second: float


@attrs.frozen(kw_only=True)
class Halted(Event):
    """
    The service refuses the account; nothing is polled until it is accepted again.

    Attributes:
        error: The name of the class of the error.
    """

    error: str


@attrs.frozen(kw_only=True)
class Paused(Event):
    """
    Nothing is polled for a while.

    Told each time that the service asks for it, though nothing may have been answered in
    between; the log tells the first.

    Attributes:
        reason: ``"asked"`` if the service asked for it (``Retry-After``), ``"outage"`` if
            nearly every look failed; then one look every 1 to 5 s finds out whether it is
            over.
        seconds: For how long, an hour at most; None if nobody knows.
        is_cut: Whether the service asked for longer than that hour.
    """

    reason: PauseReason
    seconds: float | None
    is_cut: bool = False


@attrs.frozen(kw_only=True)
class Resumed(Event):
    """
    A look was answered, the first after `Halted` or `Paused`.

    After the latter polling goes on slowly at first.
    """


Observer = Callable[[Event], object]
