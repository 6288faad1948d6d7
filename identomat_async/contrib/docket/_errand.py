"""What travels through Redis for a session from one look to the next."""

import hashlib
import json
from typing import Any, Self, cast

import attrs

from identomat_async._polling._journal._facts import JournalEntry, OutcomeName
from identomat_async._polling._outcomes import Delivery, Outcome, SessionGone
from identomat_async._polling._redelivery import redelivery
from identomat_async._polling._state import PollState
from identomat_async.errors import ConfigurationError


def key_of(token: str) -> str:
    """
    Return the key of a session's task, which stands in logs and spans of the engine.

    The same on every machine, and nothing that the token can be found by.
    """
    return hashlib.sha256(token.encode()).hexdigest()[:32]


@attrs.frozen(kw_only=True)
class Errand:
    """
    What is known of a session, and of its delivery if the handler has not accepted it.

    Attributes:
        entry: The same as a journal would say.
        place: The place in the shared rate that is kept for the next look, in microseconds
            of the server's clock; None for none.
        may_have_been_seen: Whether a worker was lost while it had the session in hand.
    """

    entry: JournalEntry
    place: int | None = None
    may_have_been_seen: bool = False

    @classmethod
    def begin(cls, state: PollState) -> Self:
        """Return the errand of a watch that begins."""
        return cls(entry=JournalEntry(state=state))

    def with_state(self, state: PollState) -> Self:
        """Return the errand with what is known now, and no place."""
        return attrs.evolve(self, entry=attrs.evolve(self.entry, state=state), place=None)

    def seen_perhaps(self) -> Self:
        """Return the errand after a worker was lost that had it in hand."""
        return attrs.evolve(self, may_have_been_seen=True)

    def delivery_of(self, outcome: Outcome) -> Delivery:
        """Return the delivery of *outcome*: under the same id whenever this watch ends."""
        if self.entry.delivery is not None:
            return redelivery(self.entry, outcome)
        state = self.entry.state
        name = f"{state.token} {state.watched!r}"
        return Delivery(
            id=hashlib.sha256(name.encode()).hexdigest()[:32],
            outcome=outcome,
            redelivered=self.may_have_been_seen,
        )

    def refused(self, delivery: Delivery, error: str) -> Self:
        """Return the errand after the handler has raised *error*, a class."""
        outcome = delivery.outcome
        last_error = None if outcome.last_error is None else type(outcome.last_error).__name__
        state = attrs.evolve(
            self.entry.state, status=outcome.status, polls=outcome.polls, fresh=True
        )
        entry = JournalEntry(
            state=state,
            delivery=delivery.id,
            outcome=cast("OutcomeName", type(outcome).__name__),
            verified=isinstance(outcome, SessionGone) and outcome.verified,
            waited=outcome.waited,
            last_error=last_error,
            attempts=delivery.attempt,
            handler_error=error,
        )
        return attrs.evolve(self, entry=entry, place=None)

    def to_json(self) -> str:
        """Return it as JSON text, without anything of the person."""
        members = attrs.asdict(self.entry, recurse=False)
        state = self.entry.state
        if state.status is not None and not state.status.is_known:
            # It is text from outside, and may be a name.
            state = attrs.evolve(state, status=None)
        members["state"] = state.to_json()
        del members["due"]
        seen = self.may_have_been_seen
        return json.dumps({"entry": members, "place": self.place, "seen": seen})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Return what `to_json` wrote.

        Raises:
            ConfigurationError: *text* is something else.
        """
        try:
            said: dict[str, Any] = json.loads(text)
            members: dict[str, Any] = said["entry"]
            state = PollState.from_json(members.pop("state"))
            entry = JournalEntry(state=state, **members)
            return cls(entry=entry, place=said["place"], may_have_been_seen=said["seen"])
        except (TypeError, ValueError, KeyError, AttributeError):
            pass
        raise ConfigurationError("this is nothing that Errand.to_json wrote")
