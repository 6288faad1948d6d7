"""What a watch comes to, and how that is handed over."""

import attrs

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async.errors import IdentomatError


@attrs.frozen(kw_only=True)
class _Ended:
    """
    What all outcomes have.

    Attributes:
        token: The session.
        reference: What the application calls it.
        status: The status last seen, None if none was.
        polls: How often it was looked at, failed looks included.
        waited: Seconds from the start of the watch.
        last_error: The error of the last look, None if that was answered.
    """

    token: str = attrs.field(repr=False)
    reference: str | None = attrs.field(default=None, repr=False)
    status: SessionStatus | None = None
    polls: int = 0
    waited: float = 0.0
    last_error: IdentomatError | None = None

    def _spent(self) -> str:
        return f"after {self.waited:.0f} s and {self.polls} looks"

    def _last(self) -> str:
        if self.last_error is not None:
            return f"the last look failed with {type(self.last_error).__name__}"
        if self.status is None:
            return "no status was seen"
        # An unknown status is text from outside, and may be anything.
        return f"the last status was {self.status if self.status.is_known else 'unknown'}"


@attrs.frozen(kw_only=True)
class Settled(_Ended):
    """
    The service has come to a terminal state.

    Attributes:
        result: The document, read as the first answer on a new connection.
    """

    result: SessionResult

    @property
    def final(self) -> bool:
        """False under MANUAL_CHECK: an operator may still decide either way."""
        return self.result.status is not SessionStatus.MANUAL_CHECK

    def explain(self) -> str:
        """Say in one sentence, without anything personal, what happened."""
        later = "" if self.final else "; an operator may still decide"
        return f"the session was settled as {self.result.status} {self._spent()}{later}"


@attrs.frozen(kw_only=True)
class DeadlinePassed(_Ended):
    """The deadline passed, and a look made after it found the session still open."""

    def explain(self) -> str:
        """Say in one sentence, without anything personal, what happened."""
        return f"the deadline passed {self._spent()}; {self._last()}"


@attrs.frozen(kw_only=True)
class SessionGone(_Ended):
    """
    The service does not know the session, and said so repeatedly.

    Attributes:
        verified: Whether it signed that.
    """

    verified: bool = False

    def explain(self) -> str:
        """Say in one sentence, without anything personal, what happened."""
        proof = "with a signature" if self.verified else "unsigned, as its errors are"
        return f"the service does not know the session ({proof}) {self._spent()}"


@attrs.frozen(kw_only=True)
class PollFailed(_Ended):
    """
    There will be no verdict; never because of a fault that passes.

    The service calls the session invalid, or its document could not be read on three
    fresh reads, or nobody could get an answer until well after the deadline: the service was
    down, had asked for a pause, or there was no room for a look within the rate.
    """

    def explain(self) -> str:
        """Say in one sentence, without anything personal, what happened."""
        return f"no verdict could be read {self._spent()}; {self._last()}"


Outcome = Settled | DeadlinePassed | SessionGone | PollFailed
"""What a watch comes to: each says so in words with `explain()`."""


@attrs.frozen(kw_only=True)
class Delivery:
    """
    An outcome on its way to the application's handler.

    Attributes:
        id: The same for every delivery of the same outcome: an idempotency key.
        outcome: What the watch came to.
        redelivered: Whether the handler may have seen it before.
        attempt: 1 for the first delivery.
    """

    id: str
    outcome: Outcome
    redelivered: bool = False
    attempt: int = 1

    @property
    def token(self) -> str:
        """The session."""
        return self.outcome.token

    @property
    def reference(self) -> str | None:
        """What the application calls it."""
        return self.outcome.reference
