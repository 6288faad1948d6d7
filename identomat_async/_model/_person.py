"""What was read from a person's identity document."""

import datetime as dt

import attrs

from identomat_async._model._dates import first_date
from identomat_async._model._values import hidden


@attrs.frozen(kw_only=True, field_transformer=hidden)
class Person:
    """
    The data of a person, as extracted from the document; every member may be missing.

    Texts are as the service sent them. Dates come as ``M/D/YYYY`` without leading zeros
    or as ISO 8601; the `..._date` properties read both and give None for what cannot be
    read. Nothing of a person is in its `repr`.

    Attributes:
        local_first_name: First name in the script of the document's country.
        local_last_name: Last name in that script.
        local_middle_name: Middle name in that script; not in the manual.
        first_name: First name in Latin script.
        last_name: Last name in Latin script.
        birthday: Date of birth, ``M/D/YYYY``.
        birthday_time: Date of birth in ISO 8601.
        age: Years.
        birth_place: Place of birth, seen with passports.
        citizenship: Country code of three letters; may be the issuing country's.
        nationality: Country code of three letters, not always an ISO one (``GER``).
        document_number: Number of the document.
        document_issued: Date of issue, ``M/D/YYYY``.
        document_expires: Date of expiry, ``M/D/YYYY``.
        document_expires_time: Date of expiry in ISO 8601.
        personal_number: The person's number in their country.
        authority: Who issued the document.
        local_authority: The same in the local script; not in the manual.
        issuing_state: Country code of three letters.
        sex: ``M`` or ``F``.
        address: Postal address; may be the only member there is.
        email: E-mail address.
        phone: Phone number.
        status: A finding about the data such as ``FIELDS_MISMATCH``. It says nothing about
            the verdict: approved sessions have it too.
        mrz: The machine-readable zone, its lines joined by line feeds.
    """

    local_first_name: str | None = None
    local_last_name: str | None = None
    local_middle_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    birthday: str | None = None
    birthday_time: str | None = None
    age: int | None = None
    birth_place: str | None = None
    citizenship: str | None = None
    nationality: str | None = None
    document_number: str | None = None
    document_issued: str | None = None
    document_expires: str | None = None
    document_expires_time: str | None = None
    personal_number: str | None = None
    authority: str | None = None
    local_authority: str | None = None
    issuing_state: str | None = None
    sex: str | None = None
    address: str | None = None
    email: str | None = None
    phone: str | None = None
    status: str | None = None
    mrz: str | None = None

    @property
    def birthday_date(self) -> dt.date | None:
        """The day of birth, from `birthday` or else `birthday_time`."""
        return first_date(self.birthday, self.birthday_time)

    @property
    def document_issued_date(self) -> dt.date | None:
        """The day the document was issued."""
        return first_date(self.document_issued)

    @property
    def document_expires_date(self) -> dt.date | None:
        """The day the document expires."""
        return first_date(self.document_expires, self.document_expires_time)
