"""
HMAC-SHA256 over the exact bytes of a body.

The formulas are the vendor's (page "HMAC Authorization" of its documentation). That the
key is the UTF-8 text of the secret, and that a part is the raw value of its field, is our
reading; the documentation does not say.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable

_DIGEST_SIZE = 32
_PREFIX = b"signature="
# The longest header worth looking at: prefix, quotes and 44 characters fit many times.
_LONGEST_HEADER = 256


def code_for_body(secret: bytes, body: bytes) -> str:
    """Return the base64 code of *body*."""
    return _base64(hmac.digest(secret, body, "sha256"))


def code_for_parts(secret: bytes, parts: Iterable[bytes]) -> str:
    """
    Return the base64 code of a multipart body.

    The digest of each part is the key of the next. The text parts come first, then the
    files.
    """
    key = secret
    for part in parts:
        key = hmac.digest(key, part, "sha256")
    return _base64(key)


def authorization(code: str) -> str:
    """Return the header value that carries *code*."""
    return f'signature="{code}"'


def digest_in(header: bytes) -> bytes | None:
    """
    Return the digest that an ``Authorization`` header carries, None if it carries none.

    Accepted: ``signature="..."``, the same without the closing quote (as the vendor's own
    sample has it), and without quotes. The code must be canonical base64 of 32 bytes.
    """
    value = header.strip(b" \t")
    if len(value) > _LONGEST_HEADER or not value.startswith(_PREFIX):
        return None
    code = value[len(_PREFIX) :]
    if code.startswith(b'"'):
        code = code[1:-1] if code.endswith(b'"') and len(code) > 1 else code[1:]
    try:
        digest = base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError):
        return None
    canonical = len(digest) == _DIGEST_SIZE and base64.b64encode(digest) == code
    return digest if canonical else None


def is_signed(secret: bytes, body: bytes, headers: Iterable[bytes]) -> bool:
    """
    Tell whether *body* carries a valid signature.

    Args:
        secret: The key.
        body: The exact bytes that were received.
        headers: Every ``Authorization`` header of the reply; there must be exactly one.
    """
    return matches(hmac.digest(secret, body, "sha256"), headers)


def matches(expected: bytes, headers: Iterable[bytes]) -> bool:
    """Tell whether the one header there is carries the digest *expected*."""
    values = list(headers)
    digest = digest_in(values[0]) if len(values) == 1 else None
    return digest is not None and hmac.compare_digest(digest, expected)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
