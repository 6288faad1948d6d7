"""General documents: proofs of address such as utility bills and bank statements."""

import datetime as dt

import attrs

from identomat_async._model._dates import first_date
from identomat_async._model._values import code, hidden


@attrs.frozen(kw_only=True, field_transformer=hidden)
class GeneralDocumentData:
    """
    What was extracted from a page of a general document; every member may be missing.

    Nothing of it is in its `repr`.

    Attributes:
        document_issued: Date of issue in ISO 8601, or an empty text.
        document_issued_time: Another spelling of the same member.
        document_expires: Date of expiry, often an empty text.
        issuing_authority: Who issued the document.
        authority: The same in newer documents.
        formatted_address: The address in one line.
        address: The address as read.
        street: Street.
        street_number: Number in the street.
        house_number: Number of the house.
        city: City.
        state: State or region.
        county: County.
        sublocality: Part of the city.
        postal_code: Postal code.
        postal_town: Postal town.
        country: Name of the country.
        country_code: Country code of three letters.
        latitude: Degrees north.
        longitude: Degrees east.
        local_type: How exactly the address was located, such as ``ROOFTOP``.
        full_name: Name of the holder.
        first_name: First name of the holder.
        last_name: Last name of the holder.
        registration_number: Number of the document or account.
        permanent: Meaning unknown; only null has been seen.
    """

    document_issued: str | None = None
    document_issued_time: str | None = None
    document_expires: str | None = None
    issuing_authority: str | None = None
    authority: str | None = None
    formatted_address: str | None = None
    address: str | None = None
    street: str | None = None
    street_number: str | None = None
    house_number: str | None = None
    city: str | None = None
    state: str | None = None
    county: str | None = None
    sublocality: str | None = None
    postal_code: str | None = None
    postal_town: str | None = None
    country: str | None = None
    country_code: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    local_type: str | None = None
    full_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    registration_number: str | None = None
    permanent: bool | None = None

    @property
    def issued_date(self) -> dt.date | None:
        """
        The day of issue.

        The service has been seen to write it as a local midnight in UTC, such as
        ``2024-01-25T22:00:00.000Z``; the nearest midnight is given, here 26 January.
        """
        return first_date(self.document_issued, self.document_issued_time)

    @property
    def expires_date(self) -> dt.date | None:
        """The day of expiry, read as `issued_date` is."""
        return first_date(self.document_expires)


@attrs.frozen(kw_only=True, field_transformer=hidden)
class DocumentPage:
    """
    Where a page is in the file that was given.

    Attributes:
        page_number: Counted from 1.
    """

    page_number: int | None = attrs.field(default=None, repr=repr)


@attrs.frozen(kw_only=True, field_transformer=hidden)
class GeneralDocumentPage:
    """
    A page of a general document.

    Attributes:
        type_id: The type, here with hyphens: ``utility-bill``, ``bank-statement``.
        final: What was extracted from it.
        document_pages: The pages of the file it was read from.
        page_number: Counted from 1; newer documents only.
        statuses: Findings such as ``issued-date-was-not-found``; newer documents only.
    """

    type_id: str | None = attrs.field(default=None, repr=code)
    final: GeneralDocumentData | None = None
    document_pages: tuple[DocumentPage, ...] = ()
    page_number: int | None = attrs.field(default=None, repr=repr)
    statuses: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, field_transformer=hidden)
class GeneralDocument:
    """
    A general document the session was done with.

    The service spells one type in three ways within one document; all are kept.

    Attributes:
        document_type: The type in capitals: ``UTILITY_BILL``, ``BANK_STATEMENT``.
        type_id: The type as in the flag `general_document_types`: ``utility_bill``.
        permanent: Meaning unknown; only null has been seen.
        pages: Its pages.
    """

    document_type: str | None = attrs.field(default=None, repr=code)
    type_id: str | None = attrs.field(default=None, repr=code)
    permanent: bool | None = None
    pages: tuple[GeneralDocumentPage, ...] = ()
