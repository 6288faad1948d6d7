"""Screening lists: sanctions, politically exposed persons and the like."""

import datetime as dt
from collections.abc import Mapping

import attrs

from identomat_async._model._dates import first_date
from identomat_async._model._values import Members, code, hidden


@attrs.frozen(kw_only=True, field_transformer=hidden)
class ScreeningMatch:
    """
    Somebody on a screening list who may be this person.

    Attributes:
        score: How well name and birth date fit, 0 to 100.
        name: The name on the list.
        person_id: What to ask for details with.
        review_status: How far the review is; the values are not documented.
    """

    score: float | None = attrs.field(default=None, repr=repr)
    name: str | None = None
    person_id: str | None = None
    review_status: str | None = attrs.field(default=None, repr=code)


@attrs.frozen(kw_only=True, field_transformer=hidden)
class ScreeningPerson:
    """
    An entry of a screening list in detail.

    The manual names the method and not its answer: the members here are those seen
    elsewhere. Whatever comes is in `raw`. Nothing of it is in its `repr`.

    Attributes:
        person_id: The entry's id.
        entity_type: What kind of entry it is.
        name: Full name.
        first_name: First name.
        middle_name: Middle name.
        last_name: Last name.
        gender: ``male`` or ``female``.
        birthday_time: Date of birth in ISO 8601.
        nationality: Country code of two letters, in lower case.
        birth_place: Place of birth.
        aliases: Other names.
        topics: Why the entry is on a list, such as ``Sanctioned entity``.
        extra_details: Further members, such as numbers of documents.
        raw: The whole document, read-only at the top.
        unreadable: Paths of members of an unexpected type, as in `SessionResult`.
    """

    person_id: str | None = None
    entity_type: str | None = None
    name: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    gender: str | None = None
    birthday_time: str | None = None
    nationality: str | None = None
    birth_place: str | None = None
    aliases: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    extra_details: Mapping[str, object] | None = None
    raw: Mapping[str, object] = attrs.field(factory=lambda: Members({}))
    unreadable: tuple[str, ...] = ()

    @property
    def birthday_date(self) -> dt.date | None:
        """The day of birth; a UTC time is read as the midnight nearest to it."""
        return first_date(self.birthday_time)
