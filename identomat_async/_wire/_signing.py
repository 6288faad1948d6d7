"""
HMAC-SHA256 over the exact bytes of a body.

The formula is the vendor's (page "HMAC Authorization" of its documentation). That the key
is the UTF-8 text of the secret is our reading; the documentation does not say.
"""

import base64
import hmac
from collections.abc import Iterable

_DIGEST_SIZE = 32
_CODE_SIZE = 44
_PREFIX = b"signature="


def code_for_body(secret: bytes, body: bytes) -> str:
    """Return the base64 code of *body*."""
    return base64.b64encode(hmac.digest(secret, body, "sha256")).decode("ascii")


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
    if not value.startswith(_PREFIX):
        return None
    code = value[len(_PREFIX) :]
    if code.startswith(b'"'):
        code = code[1:-1] if code.endswith(b'"') else code[1:]
    if len(code) != _CODE_SIZE:
        return None
    try:
        digest = base64.b64decode(code)
    except ValueError:
        return None
    # What the decoder has skipped, or read from spare bits, is not there when encoded again.
    canonical = len(digest) == _DIGEST_SIZE and base64.b64encode(digest) == code
    return digest if canonical else None


def matches(expected: bytes, headers: Iterable[bytes]) -> bool:
    """
    Tell whether an answer carries the digest *expected*.

    Args:
        expected: The HMAC of the exact bytes that were received.
        headers: Every ``Authorization`` header of the answer; there must be exactly one.
    """
    values = list(headers)
    digest = digest_in(values[0]) if len(values) == 1 else None
    return digest is not None and hmac.compare_digest(digest, expected)
