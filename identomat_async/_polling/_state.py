"""What is known of one watch, as a value that can be stored and read back."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeVar, cast, get_args

import attrs

from identomat_async import errors
from identomat_async._model._status import SessionStatus
from identomat_async._model._token import checked_token
from identomat_async._polling._watch import DECIDED, MANUAL_CHECK, Until
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


@attrs.frozen(kw_only=True, weakref_slot=False)
class Trouble:
    """
    What has gone wrong since a session was last heard of.

    Attributes:
        failures: How many looks failed in a row.
        since: When the first of them was begun, in seconds since the epoch.
        error: The error of the last one.
        doubt: What was seen and is not believed yet.
    """

    failures: int
    since: float
    error: IdentomatError | None = None
    doubt: Doubt | None = None


# A value like the others, though not frozen: one is made at every look, and attrs sets
# the fields of a frozen class at twice the cost.
@attrs.define(kw_only=True, weakref_slot=False)
class PollState:
    """
    What is known of one watch, as a value. Times are seconds since the epoch.

    Attributes:
        token: The session.
        begun: When the session was begun.
        watched: When the watch began.
        deadline: When the person's time is up; infinity for never.
        until: What ends the watch.
        reference: What the application calls it.
        review: Seconds that an operator may take; infinity for ever.
        reviewed: When a document first said MANUAL_CHECK, None if none did.
        status: The status last seen.
        polls: How often the session was looked at.
        fresh: Whether the next look must read the whole document on a new connection.
        early: Looks that a nudge has asked for ahead of the schedule.
        trouble: What has gone wrong since the last answer, None if nothing has.
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
    fresh: bool = False
    early: tuple[float, ...] = ()
    # In one value, which most sessions never have: there may be very many of them.
    trouble: Trouble | None = None

    @property
    def failures(self) -> int:
        """How many of the last looks failed in a row."""
        return 0 if self.trouble is None else self.trouble.failures

    @property
    def failing_since(self) -> float | None:
        """When the first of them was begun, None if the last look was answered."""
        return None if self.trouble is None else self.trouble.since

    @property
    def last_error(self) -> IdentomatError | None:
        """The error of the last look, None if that was answered."""
        return None if self.trouble is None else self.trouble.error

    @property
    def doubt(self) -> Doubt | None:
        """What was seen and is not believed yet, None if nothing was."""
        return None if self.trouble is None else self.trouble.doubt

    @property
    def ends_at(self) -> float:
        """When time is up: the person's, or the operator's while one is deciding."""
        return self.ends_at_for(self.until, self.deadline)

    def ends_at_for(self, until: Until, deadline: float) -> float:
        """Return when time would be up for somebody who waits *until* and *deadline*."""
        if self.reviewed is None or self.status is not MANUAL_CHECK or until is not DECIDED:
            return deadline
        return self.reviewed + self.review

    def to_json(self) -> str:
        """Return the state as JSON text. It holds the token, and nothing of the person."""
        members = attrs.asdict(self, recurse=False)
        members |= {name: _finite(members[name]) for name in ("deadline", "review")}
        members["trouble"] = None if self.trouble is None else _troubled(self.trouble)
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """
        Return the state that `to_json` wrote.

        Raises:
            ConfigurationError: *text* is something else.
        """
        try:
            said = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            said = None
        return _made(cls, said)


S = TypeVar("S", bound=PollState)


def state_of(members: object) -> PollState:
    """
    Return the state of which `PollState.to_json` would write *members*.

    Raises:
        ConfigurationError: They are something else.
    """
    return _made(PollState, members)


def _made(kind: type[S], members: object) -> S:
    try:
        return kind(**_members(members))
    except (TypeError, ValueError, KeyError, OverflowError):
        pass
    raise ConfigurationError("this is no state that PollState.to_json wrote")


def _refuse(_: str) -> object:
    raise ValueError


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _troubled(trouble: Trouble) -> dict[str, object]:
    doubt, error = trouble.doubt, trouble.error
    return {
        "failures": trouble.failures,
        "since": trouble.since,
        "error": None if error is None else _said(error),
        "doubt": None if doubt is None else attrs.astuple(doubt),
    }


def _said(error: IdentomatError) -> dict[str, object]:
    # A class of somebody else's is read back as the one of ours that it is derived from.
    known = next(cls for cls in type(error).__mro__ if getattr(errors, cls.__name__, None) is cls)
    facts = {name: value for name, value in vars(error).items() if _is_scalar(value)}
    return {"class": known.__name__, "message": str(error), "facts": facts}


def _members(said: object) -> dict[str, Any]:
    return _read_by(_READERS, said)


def _read_by(readers: Mapping[str, Callable[[object], object]], said: object) -> dict[str, Any]:
    # What none of them reads is left over, and then the class takes no such argument.
    members = _object(said)
    return {name: read(members.pop(name)) for name, read in readers.items()} | members


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return cast("dict[str, object]", value).copy()


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return cast("list[object]", value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(value):  # such as 1e999
        raise ValueError
    return float(value)


def _endless(value: object) -> float:
    return math.inf if value is None else _number(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if value < 0:
        raise ValueError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _doubt(value: object) -> Doubt:
    kind, count, since = _list(value)
    if kind not in get_args(DoubtKind):
        raise ValueError
    return Doubt(cast("DoubtKind", kind), _count(count), _number(since))


def _heard(value: object) -> IdentomatError:
    said = _object(value)
    found = getattr(errors, _text(said["class"]), None)
    if not (isinstance(found, type) and issubclass(found, IdentomatError)):
        raise TypeError
    error, facts = found(_text(said["message"])), _object(said["facts"])
    if not (facts.keys() <= vars(error).keys() and all(map(_is_scalar, facts.values()))):
        raise ValueError
    vars(error).update(facts)
    return error


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _times(value: object) -> tuple[float, ...]:
    return tuple(_number(at) for at in _list(value))


T = TypeVar("T")


def _optional(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else read(value)


# What is read with none of these is no member of a state.
_READERS: dict[str, Callable[[object], object]] = {
    "token": lambda value: checked_token(_text(value)),
    "begun": _number,
    "watched": _number,
    "deadline": _endless,
    "until": lambda value: Until(_text(value)),
    "reference": _optional(_text),
    "review": _endless,
    "reviewed": _optional(_number),
    "status": _optional(lambda value: SessionStatus(_text(value))),
    "polls": _count,
    "fresh": _flag,
    "early": _times,
    "trouble": _optional(lambda value: Trouble(**_read_by(_TROUBLE_READERS, value))),
}
_TROUBLE_READERS: dict[str, Callable[[object], object]] = {
    "failures": _count,
    "since": _number,
    "error": _optional(_heard),
    "doubt": _optional(_doubt),
}
