"""What the process ends with: one number for each thing that can have happened."""

import enum
from collections.abc import Iterable

from identomat_async import (
    DeadlinePassed,
    Outcome,
    SessionGone,
    SessionStatus,
    Settled,
    errors,
)


class Exit(enum.IntEnum):
    """The exit codes; of several sessions the highest counts."""

    FINE = 0
    FAULT = 1
    USAGE = 2
    REJECTED = 3
    MANUAL_CHECK = 4
    DISAGREED = 5
    OPEN = 6
    GONE = 7
    FAILED = 8
    REFUSED = 9
    INTERRUPTED = 130


MEANINGS = {
    Exit.FINE: "Done; where a verdict was asked for: approved",
    Exit.FAULT: (
        "A check found something wrong (demo, doctor), a file or the reader of the output failed,"
        " or a question was answered with no"
    ),
    Exit.USAGE: "Bad usage or configuration: nothing was sent for it",
    Exit.REJECTED: "Rejected",
    Exit.MANUAL_CHECK: "An operator has to look",
    Exit.DISAGREED: "The person refused the terms",
    Exit.OPEN: "No verdict yet, or none before the deadline",
    Exit.GONE: "There is no such session, image or video",
    Exit.FAILED: "No answer, or none that can be used: try again later",
    Exit.REFUSED: "The account is refused, or answers are not signed as they must be",
    Exit.INTERRUPTED: "Interrupted by Ctrl-C, with which a sandbox ends as fine (0)",
}

_OF_STATUS = {
    SessionStatus.APPROVED: Exit.FINE,
    SessionStatus.REJECTED: Exit.REJECTED,
    SessionStatus.MANUAL_CHECK: Exit.MANUAL_CHECK,
    SessionStatus.DISAGREED: Exit.DISAGREED,
}

# The first class that fits counts.
_OF_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (errors.ConfigurationError, Exit.USAGE),
    (errors.WaitTimeoutError, Exit.OPEN),
    (errors.SessionNotFoundError, Exit.GONE),
    (errors.SessionInvalidError, Exit.GONE),
    (errors.MediaNotFoundError, Exit.GONE),
    (errors.AuthenticationError, Exit.REFUSED),
    (errors.SignatureError, Exit.REFUSED),
    (errors.JournalError, Exit.FAULT),
    (errors.IdentomatError, Exit.FAILED),
)


def of_status(status: SessionStatus) -> Exit:
    """Return what a session with *status* counts as; an unknown one is open."""
    return _OF_STATUS.get(status, Exit.OPEN)


def of_outcome(outcome: Outcome) -> Exit:
    """Return what an outcome counts as."""
    match outcome:
        case Settled():
            return of_status(outcome.result.status)
        case DeadlinePassed():
            return Exit.OPEN
        case SessionGone():
            return Exit.GONE
        case _:
            # Invalid for good, or no answer that could be read.
            return Exit.FAILED if outcome.last_error is None else of_error(outcome.last_error)


def of_error(error: Exception) -> Exit:
    """Return what an error counts as."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), Exit.FAULT)


def highest(codes: Iterable[Exit]) -> Exit:
    """Return the one code for several."""
    return max(codes, default=Exit.FINE)


def as_markdown() -> str:
    """Lay the codes out as a table, for the help and the documentation."""
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| Exit code | What happened |", "|--:|---|", *rows])
