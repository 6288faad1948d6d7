"""How requests and answers are signed: the sandbox's own reading of the documentation."""

import hmac
from base64 import b64encode
from collections.abc import Iterable


def code_for_body(secret: bytes, body: bytes) -> str:
    """Sign a body as it goes over the wire."""
    return b64encode(hmac.digest(secret, body, "sha256")).decode()


def code_for_parts(secret: bytes, parts: Iterable[bytes]) -> str:
    """Sign the values of a multipart body: each digest is the key of the next one."""
    key = secret
    for part in parts:
        key = hmac.digest(key, part, "sha256")
    return b64encode(key).decode()


def header_for(code: str) -> str:
    """Write the value of the `Authorization` header."""
    return f'signature="{code}"'
