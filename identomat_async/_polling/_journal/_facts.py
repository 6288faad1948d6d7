"""What a poller writes down so that a restart loses nothing: three facts per session."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import attrs

from identomat_async._polling._outcomes import Delivery
from identomat_async._polling._state import PollState

OutcomeName = Literal["Settled", "DeadlinePassed", "SessionGone", "PollFailed"]
NoteKind = Literal["watch", "discard", "nudge"]


@attrs.frozen(kw_only=True)
class JournalEntry:
    """
    A session that a journal has and that is not finished.

    Attributes:
        state: On what terms it is watched, and what is known of it.
        due: When `sweep` looks at it next, in seconds since the epoch; None for at once.
        delivery: The id of its delivery once the outcome is known, None before.
        outcome: The name of the outcome's class, None before it is known.
        verified: Whether the service signed that the session is gone.
        waited: Seconds from the start of the watch to the outcome.
        last_error: The name of the class of the last look's error, None without one.
        attempts: How often the handler has refused it.
        handler_error: The name of the class of the error that the handler raised last.
        accepted: Whether the handler has accepted it, and the session is yet to be deleted.
    """

    state: PollState
    due: float | None = None
    delivery: str | None = None
    outcome: OutcomeName | None = None
    verified: bool = False
    waited: float = 0.0
    last_error: str | None = None
    attempts: int = 0
    handler_error: str | None = None
    accepted: bool = False


@attrs.frozen
class Note:
    """
    What a process that does not poll has left for the one that does.

    Attributes:
        kind: What it did with the session.
        token: The session.
    """

    kind: NoteKind
    token: str = attrs.field(repr=False)


class Journal(Protocol):
    """
    Three facts per session: watched, status known, finished.

    What a method has returned from is durable. One poller at a time polls what is in a
    journal: the one that holds it. There is no claim on a session, no lease and no
    priority. Nothing of a person is written, and no document: for a redelivery it is read
    again. Every method raises `JournalError` if it cannot do what it says; then nothing
    has changed.
    """

    async def acquire(self) -> bool:
        """Hold the journal, so that nobody else does; False if somebody else does."""
        ...

    async def release(self) -> None:
        """Hold it no more, and let go of whatever else was opened for it."""
        ...

    async def watched(self, states: Sequence[PollState], *, leave_notes: bool) -> None:
        """
        Write down that sessions are watched.

        One that is watched and whose outcome is not known stays one watch, with the later
        deadline and review, the stricter *until* and the last reference.

        Args:
            states: On what terms; nothing is known of them yet.
            leave_notes: Tell whoever holds the journal.
        """
        ...

    async def reconcile(self, states: Sequence[PollState], *, leave_notes: bool) -> Sequence[bool]:
        """
        Write down those that are not there; what is there stays as it is.

        Args:
            states: As for `watched`.
            leave_notes: Tell whoever holds the journal, of those that were added.

        Returns:
            For each whether it was added.
        """
        ...

    async def seen(self, looks: Sequence[tuple[PollState, float | None]]) -> None:
        """
        Keep what is known of sessions that are looked at again.

        Args:
            looks: The state of each, and when it is due in seconds since the epoch, None for
                at once. One that is not watched, or whose outcome is known, is left alone.
        """
        ...

    async def known(self, deliveries: Sequence[Delivery], *, at: float) -> Sequence[bool]:
        """
        Write down what watches have come to.

        Args:
            deliveries: Their outcomes. One that is *redelivered* takes the place of what was
                known under the same id; any other is there then, since who was told that it
                failed tries again.
            at: When, in seconds since the epoch.

        Returns:
            For each whether it still stands: not if the session has been discarded, or
            has since been watched on terms that this outcome does not meet.
        """
        ...

    async def reopen(self, delivery: str) -> None:
        """Make a watch again of an outcome that nobody has been given, by *delivery*, its id."""
        ...

    async def refer(self, delivery: str, reference: str) -> None:
        """Give an outcome another *reference*, by *delivery*, its id."""
        ...

    async def accepted(self, delivery: str, *, at: float) -> None:
        """
        Write down that the handler has accepted a delivery whose session is to be deleted.

        It comes no more, and is neither discarded nor nudged; the token is kept until it is
        `finished`.

        Args:
            delivery: Its id.
            at: When, in seconds since the epoch.
        """
        ...

    async def finished(self, deliveries: Mapping[str, str], *, at: float) -> None:
        """
        Write down that the handler has accepted deliveries, and that nothing is left to do.

        Of those only the hash of the token and the times are kept, and these for a while.

        Args:
            deliveries: The hash of the token by the id of the delivery.
            at: When, in seconds since the epoch.
        """
        ...

    async def refused(self, delivery: str, *, attempts: int, error: str) -> None:
        """
        Write down for the operator that the handler raised.

        Args:
            delivery: The id of what it was given.
            attempts: How often it has refused it by now.
            error: The name of the class of what it raised.
        """
        ...

    async def discard(self, token: str, *, leave_notes: bool) -> bool:
        """
        Forget a session, but not that it is to be deleted.

        Args:
            token: The session.
            leave_notes: Tell whoever holds the journal.

        Returns:
            Whether it was there.
        """
        ...

    def nudge(self, token: str) -> None:
        """Tell whoever holds the journal to look at the session *token*; wait for nothing."""
        ...

    async def live(self, tokens: Sequence[str] | None = None) -> Sequence[JournalEntry]:
        """Return what is not finished, the oldest first; of *tokens*, or of all."""
        ...

    async def watching(self, tokens: Sequence[str]) -> set[str]:
        """Return those of *tokens* that are watched and whose outcome is not known."""
        ...

    async def notes(self) -> Sequence[Note]:
        """Take the notes that others have left, oldest first."""
        ...
