"""What a session token looks like."""

import re
from typing import TypeGuard

from identomat_async.errors import ConfigurationError

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)


def is_token(value: object) -> TypeGuard[str]:
    """Tell whether *value* has the shape of a session token."""
    return isinstance(value, str) and TOKEN.fullmatch(value) is not None


def checked_token(token: object) -> str:
    """
    Return *token* if it can be a session token.

    Raises:
        ConfigurationError: It cannot; it is not repeated.
    """
    if is_token(token):
        return token
    raise ConfigurationError(
        "a session token is 1 to 256 of the characters A-Z a-z 0-9 _ -, as begin() returned it"
    )
