"""What Identomat says about a session in one word."""

import enum
from typing import Self


class SessionStatus(enum.StrEnum):
    """
    The `result` of a session: one of the words known here, or any other text.

    The manual writes ``APPROVED`` and the service answers ``approved``, so making a
    status folds ASCII case: ``SessionStatus("approved") is SessionStatus.APPROVED``. That
    is all that is folded. Any other text, one with a space or a look-alike letter
    included, makes an unknown status that keeps the text as it is and is equal to it. An
    unknown status is never approved and never terminal; test `is_known`. Comparing is
    exact: ``SessionStatus.APPROVED == "approved"`` is False.

    An unknown text is in `str(status)` but not in its `repr`.

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        APPROVED: The person was acceptable.
        REJECTED: The person was not acceptable.
        MANUAL_CHECK: A person of the company has to look; an operator may later approve
            or reject.
        IN_PROGRESS: The check goes on, or the person left before its end; the service
            does not tell these two apart.
        DISAGREED: The person refused the terms. The manual does not have this word and
            the service's spelling of it is a guess: ``disagreed`` and
            ``disagreed_with_terms`` are read so.
    """

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    MANUAL_CHECK = "MANUAL_CHECK"
    IN_PROGRESS = "IN_PROGRESS"
    DISAGREED = "DISAGREED"

    @classmethod
    def _missing_(cls, value: object) -> "SessionStatus | None":
        if not isinstance(value, str):
            return None
        folded = value.upper() if value.isascii() else value
        known = cls.__members__.get(_OTHER_SPELLINGS.get(folded, folded))
        return known or cls._unknown(value)

    @classmethod
    def _unknown(cls, text: str) -> Self:
        # Not remembered by the enum: its memory must not grow with what a server says.
        status = str.__new__(cls, text)
        status._name_ = status._value_ = str(text)
        return status

    @property
    def is_approved(self) -> bool:
        """Whether the person was accepted."""
        return self is SessionStatus.APPROVED

    @property
    def is_decided(self) -> bool:
        """Whether the session is approved or rejected."""
        return self in (SessionStatus.APPROVED, SessionStatus.REJECTED)

    @property
    def is_terminal(self) -> bool:
        """Whether the person's part is over: decided, in manual check, or disagreed."""
        return self.is_known and self is not SessionStatus.IN_PROGRESS

    @property
    def is_known(self) -> bool:
        """Whether this is one of the five words; an unknown status means: keep asking."""
        return self._name_ in SessionStatus.__members__

    def __repr__(self) -> str:
        shown = self._name_ if self.is_known else f"unknown, {len(self)} characters"
        return f"<SessionStatus {shown}>"

    def __reduce_ex__(self, _: object) -> tuple[type["SessionStatus"], tuple[str]]:
        return SessionStatus, (self._value_,)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self


_OTHER_SPELLINGS = {"DISAGREED_WITH_TERMS": "DISAGREED"}
_USUAL = {
    spelling: status
    for status in SessionStatus
    for spelling in (status.value.lower(), status.value)
}


def status_of(text: str) -> SessionStatus:
    """Make a status as `SessionStatus` does, quicker for the usual spellings."""
    return _USUAL.get(text) or SessionStatus(text)
