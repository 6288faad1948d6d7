"""The only place that knows which JSON belongs to which class."""

import re
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, TypeAlias, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from identomat_async._model import _kinds
from identomat_async._model._documents import (
    DocumentPage,
    GeneralDocument,
    GeneralDocumentData,
    GeneralDocumentPage,
)
from identomat_async._model._findings import (
    AnswerValue,
    RejectReason,
    TechnicalDetails,
)
from identomat_async._model._json import json_or_error, unreadable
from identomat_async._model._kinds import Kind, Listing, MismatchError, Record, Scalar, is_object
from identomat_async._model._result import SessionResult
from identomat_async._model._screening import ScreeningMatch, ScreeningPerson
from identomat_async._model._status import SessionStatus, status_of
from identomat_async._model._values import Members
from identomat_async.errors import ResponseDecodeError

# The status of a usual document, of which it is the first member. Nothing is searched for:
# what stands further on may be a person's own text.
_STATUS_FIRST = re.compile(
    rb'[ \t\r\n]*+\{[ \t\r\n]*+"result"[ \t\r\n]*+:[ \t\r\n]*+"(\w++)"[ \t\r\n]*+(?:,|\}\Z)'
)
_RESULT_KEY = b'"result"'

_Document: TypeAlias = dict[str, object]

_CAMEL_CASE = {
    GeneralDocument,
    GeneralDocumentPage,
    GeneralDocumentData,
    DocumentPage,
    ScreeningMatch,
    ScreeningPerson,
    TechnicalDetails,
}
_RESULT_NAMES = {
    "status": "result",
    "general_documents": "generalDocuments",
    "technical_details": "technicalDetails",
    "config_id": "configId",
    "trusted_database_record": "trustedDatabaseRecord",
    "screening_matches": "screeningMatches",
}
# Members of our classes that are ours, whatever a document may have under such a name.
_OURS = {"raw", "raw_bytes", "signature", "unreadable"}

_PLAIN: dict[object, Kind] = {
    str: Scalar(_kinds.text),
    bool: Scalar(_kinds.boolean),
    int: Scalar(_kinds.integer),
    float: Scalar(_kinds.number),
    AnswerValue: Scalar(_kinds.answer),
    SessionStatus: Scalar(_kinds.status),
    Mapping[str, object]: Scalar(_kinds.members),
    Mapping[str, str]: _kinds.Texts(),
}


def decode_result(body: bytes, *, signature: str | None = None) -> SessionResult:
    """
    Read a result document.

    Raises:
        ResponseDecodeError: It is not sound JSON, not an object, or its `result` or
            `live` is not of the documented type.
    """
    result = result_or_error(body, signature)
    # The traceback keeps this frame: a tracker that sends locals must find nothing.
    del body, signature
    if isinstance(result, ResponseDecodeError):
        raise result
    return result


def result_or_error(body: bytes, signature: str | None) -> SessionResult | ResponseDecodeError:
    """Read a result document, but return the error instead of raising it."""
    document = json_or_error(body)
    if isinstance(document, ResponseDecodeError):
        return document
    if not is_object(document) or document.get("result").__class__ is not str:
        return _not_a_result()
    if document.get("live").__class__ not in {bool, NoneType}:
        return _not_a_result()
    record = _OLD_RESULT if _has_old_name(document) else _RESULT
    ours = {"raw_bytes": body, "signature": signature}
    return cast("SessionResult", _read(record, document, ours))


def decode_screening_person(body: bytes) -> ScreeningPerson:
    """
    Read the details of an entry of a screening list.

    Raises:
        ResponseDecodeError: It is not sound JSON, or not an object.
    """
    person = _person_or_error(body)
    del body
    if isinstance(person, ResponseDecodeError):
        raise person
    return person


def read_status(body: bytes) -> SessionStatus:
    """
    Read the status alone; this is what a poll needs.

    For a document that begins with its `result`, as the service's do, and has no other
    ``"result"`` in it, nothing else is looked at: it may be broken further on. What is
    acted upon is read with `decode_result`; of every document that it can read, this gives
    the same status.

    Raises:
        ResponseDecodeError: There is no status in it.
    """
    found = _STATUS_FIRST.match(body)
    if found and body.endswith(b"}") and body.find(_RESULT_KEY, found.end()) < 0:
        return status_of(found[1].decode())
    status = _status_or_error(body)
    del body, found
    if isinstance(status, ResponseDecodeError):
        raise status
    return status


def _status_or_error(body: bytes) -> SessionStatus | ResponseDecodeError:
    document = json_or_error(body)
    if isinstance(document, ResponseDecodeError):
        return document
    status = document.get("result") if is_object(document) else None
    return status_of(status) if isinstance(status, str) else _not_a_result()


def _person_or_error(body: bytes) -> ScreeningPerson | ResponseDecodeError:
    document = json_or_error(body)
    if isinstance(document, ResponseDecodeError):
        return document
    if not is_object(document):
        return unreadable("The answer is not a screening person.", reason="shape")
    return cast("ScreeningPerson", _read(_SCREENING_PERSON, document, {}))


def _not_a_result() -> ResponseDecodeError:
    return unreadable("The answer is not a result document.", reason="shape")


def _has_old_name(document: _Document) -> bool:
    return "general_document" in document and document.get("generalDocuments") in (None, [])


def _read(record: Record, document: _Document, ours: Mapping[str, object]) -> object:
    given = {**document, **ours, "raw": Members(document), "unreadable": ()}
    try:
        return record.build(given)
    except MismatchError:
        paths: list[str] = []
        sound = record.salvage_members(given, "", paths)
    return record.build({**sound, "unreadable": tuple(paths)})


def _record(cls: type[Any], names: Mapping[str, str]) -> Record:
    fields = attrs.fields(cls)
    wire = {field.name: names.get(field.name, _wire_name(cls, field.name)) for field in fields}
    kinds = {field.name: _kind(field.name, field.type) for field in fields}
    overrides: dict[str, Any] = {
        name: override(rename=wire[name], struct_hook=kind.read) for name, kind in kinds.items()
    }
    structure = make_dict_structure_fn(
        cls, _CONVERTER, _cattrs_detailed_validation=False, **overrides
    )
    build = cast("Callable[[_Document], object]", structure)
    return Record({wire[name]: kind for name, kind in kinds.items()}, build)


def _wire_name(cls: type[Any], name: str) -> str:
    if cls not in _CAMEL_CASE or name in _OURS:
        return name
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _kind(name: str, annotation: object) -> Kind:
    return Scalar(_kinds.as_it_is) if name in _OURS else _kind_of(annotation)


def _kind_of(annotation: object) -> Kind:
    """Find the kind of an annotation: plain, ``X | None``, ``tuple[X, ...]`` or a class."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if get_origin(annotation) is tuple:
        return Listing(_kind_of(get_args(annotation)[0]))
    if annotation is RejectReason:
        return _reject_reason()
    if isinstance(annotation, type) and attrs.has(annotation):
        return _record(annotation, {})
    return _kind_of(get_args(annotation)[0])


def _reject_reason() -> Record:
    record = _record(RejectReason, {})

    def build(members: _Document) -> object:
        reason = cast("RejectReason", record.build(members))
        return reason if reason.value or reason.description else None

    return Record(record.members, build)


_CONVERTER = cattrs.Converter()
_RESULT = _record(SessionResult, _RESULT_NAMES)
_OLD_RESULT = _record(SessionResult, {**_RESULT_NAMES, "general_documents": "general_document"})
_SCREENING_PERSON = _record(ScreeningPerson, {})
