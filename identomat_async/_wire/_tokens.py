"""The session token in the answer to `begin`. No I/O."""

import re
from typing import Final, cast

from identomat_async._model._json import json_or_error
from identomat_async._model._token import is_token
from identomat_async.errors import ResponseDecodeError

_MEMBERS: Final = ("session_token", "sessionToken", "sessionId", "token")
# Tokens are lower case; the limit leaves room for one that is not.
CODE: Final = re.compile(r"[A-Z]{2,32}(_[A-Z0-9]{1,32})*", re.ASCII)
# With one of these a gateway says that there is no session. A token of the service is forty
# letters and digits in a row, which is none of them.
_REFUSAL: Final = re.compile(
    r"(?<![a-z])(denied|errors?|exceeded|expired|fail(ed|ure)?|forbidden|invalid|missing|not?"
    r"|refused|rejected|timeout|unauthorized|unavailable|unknown)(?![a-z])"
)


def decode_token(body: bytes) -> str:
    """
    Return the session token in the answer to `begin`.

    It is a JSON string in practice; an object with the token as a member is understood too,
    unless something else in it says that the call has failed. Text that is no JSON is none.

    Raises:
        ResponseDecodeError: There is no token in it.
    """
    value = json_or_error(body)
    if isinstance(value, dict):
        value = _member(cast("dict[str, object]", value))
    if is_token(value) and not CODE.fullmatch(value) and not _is_refusal(value):
        return value
    del body, value
    raise ResponseDecodeError("the answer to begin holds no session token", reason="shape")


def _member(answer: dict[str, object]) -> object:
    name = next((name for name in _MEMBERS if name in answer), None)
    others = [member for member in answer.items() if member[0] != name]
    if name is None or any(_has_failed(*member) for member in others):
        return None
    return answer[name]


def _has_failed(name: str, value: object) -> bool:
    if "error" in name.lower():
        return bool(value) or name == "argumentError"
    if isinstance(value, str):
        return _says_no(value)
    return value is False and name in {"ok", "success"}


def _is_refusal(token: str) -> bool:
    return _says_no(token) and not any(map(str.isdigit, token))


def _says_no(text: str) -> bool:
    return _REFUSAL.search(text.lower()) is not None
