"""What is known of one watch, as a value that can be stored and read back."""

import json
import math
from typing import Any, Literal, Self

import attrs

from identomat_async import errors
from identomat_async._model._status import SessionStatus
from identomat_async._polling._outcomes import Until
from identomat_async.errors import ConfigurationError, IdentomatError

DoubtKind = Literal["gone", "invalid", "unreadable"]


@attrs.frozen
class Doubt:
    """
    Something that is not believed until it was seen often enough.

    Attributes:
        kind: What it is: ``"gone"``, ``"invalid"`` or ``"unreadable"``.
        count: How often it was seen, each time on another connection.
        since: When first, in seconds since the epoch.
    """

    kind: DoubtKind
    count: int
    since: float


@attrs.frozen(kw_only=True)
class PollState:
    """
    What is known of one watch. Times are seconds since the epoch.

    Attributes:
        token: The session.
        begun: When the session was begun.
        watched: When the watch began.
        deadline: When the person's time is up; infinity for never.
        until: What ends the watch.
        reference: What the application calls it.
        review: Seconds that an operator may take; infinity for ever.
        reviewed: When MANUAL_CHECK was first seen, None if it was not.
        status: The status last seen.
        polls: How often the session was looked at.
        failures: How many of the last looks failed in a row.
        fresh: Whether the next look must read the whole document on a new connection.
        doubt: What was seen and is not believed yet.
        last_error: The error of the last look, None if that was answered.
        early: Looks that a nudge has asked for ahead of the schedule.
    """

    token: str = attrs.field(repr=False)
    begun: float
    watched: float
    deadline: float = math.inf
    until: Until = Until.TERMINAL
    reference: str | None = attrs.field(default=None, repr=False)
    review: float = math.inf
    reviewed: float | None = None
    status: SessionStatus | None = None
    polls: int = 0
    failures: int = 0
    fresh: bool = False
    doubt: Doubt | None = None
    last_error: IdentomatError | None = None
    early: tuple[float, ...] = ()

    @property
    def ends_at(self) -> float:
        """When time is up: the person's, or the operator's while one is deciding."""
        in_review = self.status is SessionStatus.MANUAL_CHECK and self.reviewed is not None
        if in_review and self.until is Until.DECIDED:
            return (self.reviewed or 0.0) + self.review
        return self.deadline

    def to_json(self) -> str:
        """Return the state as JSON text. It holds the token, and nothing of the person."""
        members = attrs.asdict(self, recurse=False)
        members |= {name: _finite(members[name]) for name in ("deadline", "review")}
        members["doubt"] = None if self.doubt is None else attrs.astuple(self.doubt)
        members["last_error"] = None if self.last_error is None else _said(self.last_error)
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """
        Return the state that `to_json` wrote.

        Raises:
            ConfigurationError: *text* is something else.
        """
        try:
            return cls(**_members(json.loads(text)))
        except (TypeError, ValueError, KeyError, AttributeError):
            pass
        raise ConfigurationError("this is no state that PollState.to_json wrote")


def _members(members: dict[str, Any]) -> dict[str, Any]:
    doubt, error, status = members["doubt"], members["last_error"], members["status"]
    return members | {
        "deadline": _number(members["deadline"]),
        "review": _number(members["review"]),
        "until": Until(members["until"]),
        "status": None if status is None else SessionStatus(status),
        "doubt": Doubt(*doubt) if isinstance(doubt, list) else None,
        "last_error": _heard(error) if isinstance(error, dict) else None,
        "early": tuple(members["early"]) if isinstance(members["early"], list) else (),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: object) -> float:
    return math.inf if value is None else float(str(value))


def _said(error: IdentomatError) -> dict[str, object]:
    return {"class": type(error).__name__, "message": str(error), "facts": vars(error)}


def _heard(said: dict[str, object]) -> IdentomatError:
    found = getattr(errors, str(said["class"]))
    error = found(str(said["message"]))
    if not isinstance(error, IdentomatError):
        raise TypeError
    facts = said["facts"]
    vars(error).update(facts if isinstance(facts, dict) else {})
    return error
