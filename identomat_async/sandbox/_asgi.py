"""The sandbox's HTTP: which path is what, who may call, and what an answer looks like."""

import json
from collections.abc import Callable, Iterable, Mapping

import attrs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from identomat_async.sandbox import _refusal as refusal
from identomat_async.sandbox._documents import encode
from identomat_async.sandbox._media import MEDIA
from identomat_async.sandbox._parameters import Part, read_parameters, read_parts
from identomat_async.sandbox._refusal import Refusal
from identomat_async.sandbox._service import Service
from identomat_async.sandbox._signing import code_for_body, code_for_parts, header_for

ROOT = "/external-api/"
_JSON = "application/json"


@attrs.frozen(kw_only=True)
class ErrorStatuses:
    """The HTTP status of each kind of error, none of which is documented."""

    not_found: int = 200
    invalid: int = 200
    media: int = 404
    argument: int = 400
    unauthorized: int = 401

    def of(self, code: str) -> int:
        """Return the status of the answer that carries this error code."""
        known = {
            refusal.SESSION_NOT_FOUND: self.not_found,
            refusal.SESSION_INVALID: self.invalid,
            refusal.MEDIA_NOT_FOUND: self.media,
            refusal.ARGUMENT_ERROR: self.argument,
            refusal.INVALID_COMPANY_KEY: self.unauthorized,
            refusal.INVALID_SIGNATURE: self.unauthorized,
            refusal.METHOD_NOT_ALLOWED: 405,
        }
        return known.get(code, 404)


@attrs.frozen(kw_only=True)
class Call:
    """One request, as it arrived."""

    operation: str
    method: str
    query: bytes = b""
    content_type: str = ""
    authorization: str = ""
    body: bytes = b""


@attrs.frozen
class Answer:
    """One answer, as it leaves."""

    body: bytes
    status: int = 200
    content_type: str = _JSON
    signature: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class Desk:
    """
    Answers calls: who may call, which method is meant, how it is signed.

    Attributes:
        service: What answers them.
        company_key: The only key that is accepted; None accepts any.
        secret: Signs the answers, and must have signed the requests; None for no signing.
        statuses: The HTTP status of each error.
    """

    service: Service
    company_key: str | None
    secret: bytes | None
    statuses: ErrorStatuses

    def answer(self, call: Call) -> Answer:
        """Answer a call; errors are answers too, but unsigned."""
        self.service.count(call.operation)
        try:
            answer = self._perform(call)
        except Refusal as refused:
            return Answer(encode(refused.document), self.statuses.of(refused.code))
        if self.secret is None:
            return answer
        return attrs.evolve(answer, signature=header_for(code_for_body(self.secret, answer.body)))

    def _perform(self, call: Call) -> Answer:
        method = _METHODS.get(call.operation)
        if method is None:
            raise Refusal(refusal.METHOD_NOT_FOUND)
        if call.method not in {"GET", "POST"}:
            raise Refusal(refusal.METHOD_NOT_ALLOWED)
        parts = read_parts(call.content_type, call.body)
        if self.secret is not None:
            _check_signature(self.secret, call, parts)
        sent = read_parameters(
            query=call.query, content_type=call.content_type, body=call.body, parts=parts
        )
        self._check_key(sent.get("company_key"))
        return method(self.service, sent)

    def _check_key(self, key: object) -> None:
        if not isinstance(key, str) or not key or self.company_key not in {None, key}:
            raise Refusal(refusal.INVALID_COMPANY_KEY)


class Endpoint:
    """One path of the service, as an ASGI application of its own."""

    def __init__(self, desk: Desk, operation: str) -> None:
        self._desk = desk
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request, answer it."""
        request = Request(scope, receive)
        headers = request.headers
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        call = Call(
            operation=self._operation,
            method=request.method,
            query=scope["query_string"],
            content_type=headers.get("content-type", ""),
            authorization=headers.get("authorization", ""),
            body=body,
        )
        answer = self._desk.answer(call)
        signature = answer.signature
        await Response(
            answer.body,
            answer.status,
            None if signature is None else {"authorization": signature},
            answer.content_type,
        )(scope, receive, send)


def build_app(desk: Desk, *, pages: Iterable[Route] = ()) -> Router:
    """
    Lay out the paths, each with and without its last slash; nothing redirects.

    Args:
        desk: What answers the calls.
        pages: The paths that are for browsers.
    """
    # The method that is polled comes first, since routes are tried in order.
    operations = sorted(_METHODS, key=lambda operation: operation != "result")
    routes = [
        Route(ROOT + operation + slash, Endpoint(desk, operation), name=operation)
        for slash in ("/", "")
        for operation in operations
    ]
    return Router([*routes, *pages], redirect_slashes=False, default=Endpoint(desk, "unknown"))


def _begin(service: Service, sent: Mapping[str, object]) -> Answer:
    return Answer(json.dumps(service.begin(sent)).encode())


def _result(service: Service, sent: Mapping[str, object]) -> Answer:
    return Answer(service.result(_required(sent, "session_token")))


def _delete(service: Service, sent: Mapping[str, object]) -> Answer:
    return Answer(service.delete(_required(sent, "session_token")))


def _screening_person(service: Service, sent: Mapping[str, object]) -> Answer:
    return Answer(service.screening_person(_required(sent, "personId")))


def _media(kind: str) -> Callable[[Service, Mapping[str, object]], Answer]:
    def media(service: Service, sent: Mapping[str, object]) -> Answer:
        content, content_type = service.media(_required(sent, "session_token"), kind)
        return Answer(content, content_type=content_type)

    return media


_METHODS: dict[str, Callable[[Service, Mapping[str, object]], Answer]] = {
    "begin": _begin,
    "result": _result,
    "delete": _delete,
    **{f"result/{kind}": _media(kind) for kind in MEDIA},
    "get-screening-person-details": _screening_person,
}


def _required(sent: Mapping[str, object], name: str) -> str:
    value = sent.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal.of_argument(name)
    return value


def _check_signature(secret: bytes, call: Call, parts: tuple[Part, ...] | None) -> None:
    if parts is None:
        code = code_for_body(secret, call.body)
    else:
        if list(parts) != sorted(parts, key=lambda part: part.is_file):
            raise Refusal(refusal.INVALID_SIGNATURE)
        code = code_for_parts(secret, (part.value for part in parts))
    if call.authorization != header_for(code):
        raise Refusal(refusal.INVALID_SIGNATURE)
