"""How a session stands: its status alone, or the whole document about it. No I/O."""

from collections.abc import Callable, Mapping
from typing import Final, cast

from identomat_async._model._codec import decode_result, read_status
from identomat_async._model._json import strict_json
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._wire._protocol import RESULT, Operation
from identomat_async._wire._replies import read, undecodable
from identomat_async._wire._reply import Reply

# Without one of them in its bytes a document names no session, unless somebody took pains to
# hide it. The first is that of our own question, the others are those of the vendor's pages.
_NAMES: Final = ("session_token", "sessionToken", "sessionId")


def may_name_session(body: bytes) -> bool:
    """Tell whether a document may have a member that names a session, from its bytes."""
    return b"session_token" in body or b"sessionToken" in body or b"sessionId" in body


def status_in(reply: Reply) -> SessionStatus:
    """
    Return the status in the document of a session, and decode nothing else.

    Raises:
        ApiError: It is one of the vendor's errors, which may come with HTTP 200.
        ResponseDecodeError: It cannot be read.
    """
    return read(reply.body, RESULT, read_status)


def result_of(token: str, operation: Operation) -> Callable[[Reply], SessionResult]:
    """Return what reads the document of a session, with its signature as it came."""

    def decode(reply: Reply) -> SessionResult:
        values = reply.values(b"authorization")
        signature = values[0].decode("latin-1") if values else None
        result = read(reply.body, operation, lambda body: decode_result(body, signature=signature))
        check_session(result.raw, token, operation)
        return result

    return decode


def check_named(body: bytes, token: str, operation: Operation) -> None:
    """
    See to it that a *body* that may name a session names none but the one of *token*.

    What a person wrote may look like such a name: only a member of the document counts.

    Raises:
        ApiError: It is one of the vendor's errors, which may come with HTTP 200.
        ResponseDecodeError: It is another session's, or cannot be read.
    """
    document = read(body, operation, strict_json)
    if isinstance(document, dict):
        check_session(cast("dict[str, object]", document), token, operation)


def check_session(document: Mapping[str, object], token: str, operation: Operation) -> None:
    """
    See to it that a *document* that names a session names the one that was asked for.

    Those of the service name none; what stands in between may.

    Raises:
        ResponseDecodeError: It is another session's.
    """
    if any(_is_other(document.get(name), token, name) for name in _NAMES):
        del document, token
        raise undecodable(operation, "other-session", "the answer names another session")


def _is_other(named: object, token: str, name: str) -> bool:
    # An id may be one of the service's own; what is as long as a token is taken for one.
    if not isinstance(named, str) or not named:
        return False
    return named != token and (name != "sessionId" or len(named) == len(token))
