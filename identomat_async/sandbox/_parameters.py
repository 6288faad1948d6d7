"""How the parameters of a call are read, in every way the service reads them."""

import json
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import parse_qsl

import attrs
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from identomat_async.sandbox._refusal import Refusal

_SPELLINGS = {
    "companyKey": "company_key",
    "sessionId": "session_token",
    "person_id": "personId",
}
_MULTIPART = "multipart/form-data"
_IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf")}


@attrs.frozen
class Part:
    """One part of a multipart body."""

    name: str
    value: bytes
    is_file: bool


def read_parameters(
    *, query: bytes, content_type: str, body: bytes, parts: tuple[Part, ...] | None
) -> dict[str, object]:
    """
    Read what was sent; what the body says counts more than what the query says.

    Args:
        query: The query string, undecoded.
        content_type: The header as sent, or an empty text.
        body: The exact body.
        parts: The body's parts when it is a multipart one.

    Raises:
        Refusal: The body cannot be read.
    """
    sent = _pairs(query) if query else {}
    if parts is not None:
        sent |= {part.name: _text(part.value) for part in parts if not part.is_file}
    elif body:
        sent |= _read_body(content_type, body)
    for other, name in _SPELLINGS.items():
        if other in sent:
            sent.setdefault(name, sent.pop(other))
    return sent


def read_parts(content_type: str, body: bytes) -> tuple[Part, ...] | None:
    """
    Split a multipart body, or return None if it is not one.

    Raises:
        Refusal: The body is not what its content type says.
    """
    if not content_type.lower().startswith(_MULTIPART):
        return None
    _, options = parse_options_header(content_type)
    parts: list[Part] = []
    try:
        parser = FormParser(
            _MULTIPART,
            _collect_field(parts),
            _collect_file(parts),
            boundary=options.get(b"boundary"),
            config=_IN_MEMORY,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Refusal.of_argument("body") from None
    return tuple(parts)


def structured(parameters: Mapping[str, object], name: str) -> object:
    """
    Read a parameter that is JSON text when it was sent in a form or a query.

    Raises:
        Refusal: The text is not JSON.
    """
    value = parameters.get(name)
    return _json(value, name) if isinstance(value, str) else value


def _read_body(content_type: str, body: bytes) -> dict[str, object]:
    # The documentation's own sample posts JSON under a form's content type.
    if not content_type.startswith("application/json") and body.lstrip()[:1] != b"{":
        return _pairs(body)
    document = _json(body, "body")
    if not isinstance(document, dict):
        raise Refusal.of_argument("body")
    return cast("dict[str, object]", document)


def _pairs(encoded: bytes) -> dict[str, object]:
    return dict(parse_qsl(_text(encoded), keep_blank_values=True))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _json(value: bytes | str, name: str) -> object:
    try:
        return cast("object", json.loads(value))
    except (ValueError, RecursionError):
        raise Refusal.of_argument(name) from None


def _collect_field(parts: list[Part]) -> Callable[[Field], None]:
    def collect(field: Field) -> None:
        parts.append(Part(_text(field.field_name or b""), field.value or b"", is_file=False))

    return collect


def _collect_file(parts: list[Part]) -> Callable[[File], None]:
    def collect(file: File) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        parts.append(Part(_text(file.field_name or b""), content, is_file=True))

    return collect
