"""The session token in the answer to `begin`. No I/O."""

import re
from typing import Final, cast

from identomat_async._model._json import json_or_error
from identomat_async._model._token import is_token
from identomat_async.errors import ResponseDecodeError

_MEMBERS: Final = ("session_token", "sessionToken", "sessionId", "token")
# Tokens are lower case; the limit leaves room for one that is not.
CODE: Final = re.compile(r"[A-Z]{2,32}(_[A-Z0-9]{1,32})*", re.ASCII)
# As the service's are. No gateway says such a thing.
_USUAL: Final = re.compile(r"[a-z0-9]{40}", re.ASCII)
# With one of these a gateway says that there is no session.
_REFUSAL: Final = re.compile(
    r"(?<![a-z])(denied|errors?|exceeded|expired|fail(ed|ure)?|forbidden|gateway|invalid"
    r"|maintenance|missing|none|not?|null|ok|refused|rejected|timeout|unauthorized|unavailable"
    r"|unknown)(?![a-z])"
)
# Where an answer says how the call went.
_VERDICTS: Final = frozenset({"code", "detail", "message", "result", "status"})
_NO_ERRORS: Final = frozenset({"", "0", "false", "no", "none", "null", "ok", "success"})


def decode_token(body: bytes) -> str:
    """
    Return the session token in the answer to `begin`.

    It is a JSON string in practice; an object with the token as a member is understood too,
    unless something else in it says that the call has failed, and so is a token without its
    quotes. Other text that is no JSON is none.

    Raises:
        ResponseDecodeError: There is no token in it.
    """
    value = _bare(body) or json_or_error(body)
    if isinstance(value, dict):
        value = _member(cast("dict[str, object]", value))
    if is_token(value) and not CODE.fullmatch(value) and not _is_refusal(value):
        return value
    del body, value
    raise ResponseDecodeError("the answer to begin holds no session token", reason="shape")


def _bare(body: bytes) -> str | None:
    text = body.strip().decode(errors="replace")
    return text if _USUAL.fullmatch(text) else None


def _member(answer: dict[str, object]) -> object:
    name = next((name for name in _MEMBERS if name in answer), None)
    others = [member for member in answer.items() if member[0] != name]
    if name is None or any(_has_failed(*member) for member in others):
        return None
    token = answer[name]
    is_usual = isinstance(token, str) and _USUAL.fullmatch(token)
    return None if not is_usual and any(_says_no(*member) for member in others) else token


def _has_failed(name: str, value: object) -> bool:
    if "error" in name.lower():
        is_none = isinstance(value, str) and value.lower() in _NO_ERRORS
        return name == "argumentError" or (bool(value) and not is_none)
    return value is False and name in {"ok", "success"}


def _says_no(name: str, value: object) -> bool:
    return name in _VERDICTS and isinstance(value, str) and _refuses(value)


def _is_refusal(token: str) -> bool:
    return _refuses(token) and not any(map(str.isdigit, token))


def _refuses(text: str) -> bool:
    return _REFUSAL.search(text.lower()) is not None
