"""What counts as JSON: one document, in UTF-8, that every reader understands alike."""

import json
import math
import re
from typing import Never

from identomat_async.errors import ResponseDecodeError

_DEEPEST = 64
_MOST_VALUES = 30_000
_LONGEST_INTEGER = 400

# Possessive and with an optional end, so that even an unclosed string is read once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_PERHAPS_SURROGATE = re.compile(rb"\\u[dD]")
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def strict_json(body: bytes) -> object:
    """
    Read one JSON document, refusing whatever two readers might understand differently.

    Refused, beside what is not JSON at all: a byte order mark, invalid UTF-8, more than
    64 levels, more than 30,000 values (told by their commas and brackets: what a few bytes
    say can take hundreds in memory), a key twice in one object, ``NaN`` and ``Infinity``,
    floats out of range, integers of more than 400 digits, lone surrogates.

    Raises:
        ResponseDecodeError: `reason` is ``"empty"`` or ``"json"``. It holds no text of
            the body, nor does its traceback.
    """
    document = json_or_error(body)
    # The traceback keeps this frame: a tracker that sends locals must find nothing.
    del body
    if isinstance(document, ResponseDecodeError):
        raise document
    return document


def json_or_error(body: bytes) -> object:
    """Read one document as `strict_json` does, but return the error instead of raising it."""
    if not body or body.isspace():
        return unreadable("The answer is empty.", reason="empty")
    try:
        if _is_bounded(body):
            document = _DECODER.decode(body.decode())
            _refuse_surrogates(document, body)
            return document
    except (ValueError, RecursionError):
        pass  # the error must not hold on to this one, which quotes the body
    return unreadable("The answer is not sound JSON.", reason="json")


def unreadable(message: str, *, reason: str) -> ResponseDecodeError:
    """Make the error for an answer that cannot be read; asking again may help."""
    return ResponseDecodeError(message, reason=reason, retryable=True)


def _is_bounded(body: bytes) -> bool:
    # Brackets and commas inside texts count here too, so few of them settle it cheaply.
    containers = body.count(b"[") + body.count(b"{")
    if containers <= _DEEPEST and (len(body) <= _MOST_VALUES or _has_few_values(body, containers)):
        return True
    # A value has two texts at most, its name and itself; a quote in them is escaped.
    if body.count(b'"') - body.count(b'\\"') > 4 * _MOST_VALUES:
        return False
    structure = _STRING.sub(b"", body)
    containers = structure.count(b"[") + structure.count(b"{")
    return _has_few_values(structure, containers) and _is_shallow(structure)


def _has_few_values(structure: bytes, containers: int) -> bool:
    return containers + structure.count(b",") <= _MOST_VALUES


def _is_shallow(structure: bytes) -> bool:
    brackets = structure.translate(_ONE_KIND_OF_BRACKET, _NO_BRACKET)
    for _ in range(_DEEPEST):
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):
            break
        brackets = peeled
    return not brackets


def _refuse_surrogates(document: object, body: bytes) -> None:
    # In UTF-8 they can only have come from an escape.
    if _PERHAPS_SURROGATE.search(body):
        json.dumps(document, ensure_ascii=False).encode()


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER and len(digits.lstrip("-")) > _LONGEST_INTEGER:
        raise ValueError
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError
    return number


def _refuse_constant(_: str) -> Never:
    raise ValueError


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)
