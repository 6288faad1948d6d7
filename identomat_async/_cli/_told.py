"""What is told of a session: as one JSON object, and in words; personal data only if asked for."""

import sys
from collections.abc import Iterator, Mapping
from typing import cast

import attrs
from rich.table import Table
from rich.text import Text

from identomat_async import Outcome, PollFailed, SessionGone, SessionResult, SessionStatus, Settled
from identomat_async._cli._exits import Exit, of_error, of_outcome, of_status
from identomat_async._cli._terminal import console_for, plain, put, put_json, say
from identomat_async.errors import IdentomatError

HIDDEN = "Personal data is not shown; --show-personal shows it."


@attrs.frozen(kw_only=True)
class Told:
    """
    How a session stands, or what its watch came to.

    Attributes:
        token: The session.
        token_hash: What stands for it where people read.
        reference: What the application calls it.
        outcome: ``settled``, ``open``, ``deadline_passed``, ``session_gone``,
            ``poll_failed`` or ``failed``.
        status: The status last seen.
        code: What it counts as.
        explained: One sentence, nothing personal.
        polls: How often it was looked at.
        waited: Seconds from the start of the watch.
        error: The class of the last error.
        result: The document, if it was read.
    """

    token: str = attrs.field(repr=False)
    token_hash: str
    reference: str | None = attrs.field(default=None, repr=False)
    outcome: str
    status: SessionStatus | None = None
    code: Exit
    explained: str
    polls: int = 1
    waited: float = 0.0
    error: str | None = None
    result: SessionResult | None = None

    def document(self, *, show_personal: bool) -> dict[str, object]:
        """Return what is written as JSON."""
        return {
            "token": self.token,
            "token_hash": self.token_hash,
            "reference": self.reference,
            "outcome": self.outcome,
            "status": status_word(self.status, show_personal=show_personal),
            "exit_code": self.code.value,
            "explained": self.explained,
            "polls": self.polls,
            "waited": round(self.waited, 3),
            "error": self.error,
            "result": None
            if self.result is None
            else result_document(self.result, show_personal=show_personal),
        }

    def line(self, *, show_personal: bool) -> str:
        """Return what is told in one line."""
        name = f"{self.token_hash} "
        if show_personal and self.reference:
            name += f"({plain(self.reference)}) "
        return name + self.explained


def show(told: Told, *, json: bool, show_personal: bool) -> None:
    """Write what is told of one session to stdout."""
    if json:
        put_json(told.document(show_personal=show_personal))
        return
    put(told.line(show_personal=show_personal))
    if told.result is not None:
        members = result_document(told.result, show_personal=show_personal)
        console_for(sys.stdout).print(as_table(members))
        if not show_personal:
            say(HIDDEN)


def of_result(result: SessionResult, *, token: str, token_hash: str) -> Told:
    """Tell of a session that was read once."""
    status = result.status
    said = status.value if status.is_known else "unknown to this version"
    return Told(
        token=token,
        token_hash=token_hash,
        outcome="settled" if status.is_terminal else "open",
        status=status,
        code=of_status(status),
        explained=f"the status is {said}",
        result=result,
    )


def of_failure(error: IdentomatError, *, token: str, token_hash: str) -> Told:
    """Tell of a session that could not be read."""
    return Told(
        token=token,
        token_hash=token_hash,
        outcome="failed",
        code=of_error(error),
        explained=str(error),
        error=type(error).__name__,
    )


def of_watch(outcome: Outcome, *, token_hash: str) -> Told:
    """Tell what a watch came to."""
    match outcome:
        case Settled():
            name = "settled"
        case SessionGone():
            name = "session_gone"
        case PollFailed():
            name = "poll_failed"
        case _:
            name = "deadline_passed"
    return Told(
        token=outcome.token,
        token_hash=token_hash,
        reference=outcome.reference,
        outcome=name,
        status=outcome.result.status if isinstance(outcome, Settled) else outcome.status,
        code=of_outcome(outcome),
        explained=_explained(outcome),
        polls=outcome.polls,
        waited=outcome.waited,
        error=None if outcome.last_error is None else type(outcome.last_error).__name__,
        result=outcome.result if isinstance(outcome, Settled) else None,
    )


def _explained(outcome: Outcome) -> str:
    if not isinstance(outcome, SessionGone):
        return outcome.explain()
    # Of signatures speaks `identomat doctor`: not everybody here has a secret key.
    looks = f"{outcome.polls} look{'' if outcome.polls == 1 else 's'}"
    return f"the service does not know this session ({looks} in {outcome.waited:.0f} s)"


def status_word(status: SessionStatus | None, *, show_personal: bool = False) -> str | None:
    """Return a status that may be shown: an unknown one is text from outside."""
    if status is None or status.is_known or show_personal:
        return None if status is None else status.value
    return "UNKNOWN"


def result_document(result: SessionResult, *, show_personal: bool) -> Mapping[str, object]:
    """Return a result as JSON: whole, or what may be logged of it."""
    return dict(result.raw) if show_personal else result.redacted()


def as_table(members: Mapping[str, object]) -> Table:
    """Lay a JSON object out for people, what is nested by its path."""
    table = Table("member", "value", show_header=False)
    for path, value in leaves(members):
        # Text, since a str would be searched for markup.
        table.add_row(Text(plain(path)), Text(plain(value)))
    return table


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Give the values of a JSON document with their dotted paths; what is empty is left out."""
    if isinstance(value, Mapping):
        for name, each in cast("Mapping[str, object]", value).items():
            yield from leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[object]", value)):
            yield from leaves(each, f"{path}[{index}]")
    elif value is not None and value != "":
        yield path, _word(value)


def _word(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
