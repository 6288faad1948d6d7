"""Faults that are another answer altogether: a status, a page, a refusal. Pure."""

from collections.abc import Callable
from typing import TypeAlias

import attrs

from identomat_async.sandbox._asgi import Answer
from identomat_async.sandbox._faults import Fault
from identomat_async.sandbox._faults_steps import CLOSE, Scene, Step, answered, http_date
from identomat_async.sandbox._signing import code_for_body, header_for

Steps: TypeAlias = tuple[Step, ...]

_DAY = 86_400
_PAGE = b"<!doctype html><title>Maintenance</title><p>We will be back soon.</p>"
NOT_FOUND = b'"SESSION_NOT_FOUND"'


def page() -> Answer:
    """Return a web page where JSON is due."""
    return Answer(_PAGE, 200, "text/html; charset=utf-8")


def refused(status: int) -> Answer:
    """Return what a gateway says with an error status."""
    return Answer(f"<html><h1>{status}</h1></html>".encode(), status, "text/html")


def key_refused() -> Answer:
    """Return the answer to a company key that is not accepted any more."""
    return Answer(b'"INVALID_COMPANY_KEY"', 401)


def status_fault(fault: Fault, scene: Scene) -> Steps:
    """
    Say what happens for a *fault* that is a status, or one of those named here.

    Raises:
        KeyError: It is neither.
    """
    named = _NAMED.get(fault.id)
    if named is not None:
        return named(scene)
    headers = ("Location: /elsewhere/",) if fault.row == "F32" else ()
    status = int(fault.id.rpartition("-")[2])
    return answered(refused(status), *headers)


def _bare(body: bytes, status: int = 200) -> Callable[[Scene], Steps]:
    return lambda _: answered(Answer(body, status))


def _later(status: int) -> Callable[[Scene], Steps]:
    return lambda scene: answered(refused(status), f"Retry-After: {scene.retry_after:g}")


def _asks(*values: str) -> Callable[[Scene], Steps]:
    headers = [f"Retry-After: {value}" for value in values]
    return lambda _: answered(refused(429), *headers)


def _asks_until(distance: float) -> Callable[[Scene], Steps]:
    def asks(scene: Scene) -> Steps:
        # A date knows whole seconds only, so the answer says what time it is too.
        now = int(scene.now)
        until = now + round(scene.retry_after + 0.5) if distance >= 0 else now + distance
        dates = (f"Date: {http_date(now)}", f"Retry-After: {http_date(until)}")
        return answered(refused(429), *dates)

    return asks


def _signed(*signatures: Callable[[Scene], str]) -> Callable[[Scene], Steps]:
    def signed(scene: Scene) -> Steps:
        headers = [f"Authorization: {signature(scene)}" for signature in signatures]
        return answered(attrs.evolve(scene.answer, signature=None), *headers)

    return signed


def _right(scene: Scene) -> str:
    return scene.sign(scene.answer.body) or ""


def _with_another_key(scene: Scene) -> str:
    return header_for(code_for_body(b"another-key", scene.answer.body))


def _of_other_bytes(scene: Scene) -> str:
    return scene.sign(scene.answer.body + b" ") or ""


def _no_content(scene: Scene) -> Steps:
    return answered(attrs.evolve(scene.answer, body=b"", status=204, signature=scene.sign(b"")))


def _cached(scene: Scene) -> Steps:
    return answered(scene.older or scene.answer, "Age: 3600", "X-Cache: HIT")


def _wrong_clock(scene: Scene) -> Steps:
    return answered(scene.answer, f"Date: {http_date(scene.now - _DAY)}")


_NAMED: dict[str, Callable[[Scene], Steps]] = {
    "F25": lambda _: answered(page()),
    "F26-204": _no_content,
    "F29-200": _bare(NOT_FOUND),
    "F29-404": _bare(NOT_FOUND, 404),
    "F30-code": _bare(b'"MONTHLY_LIMIT_REACHED"'),
    "F30-argument": _bare(b'{"argumentError":"session_token"}'),
    "F31-missing": _signed(),
    "F31-wrong": _signed(_with_another_key),
    "F31-bytes": _signed(_of_other_bytes),
    "F31-two": _signed(_right, _right),
    "F35": _bare(b'"MEDIA_NOT_FOUND"', 404),
    "F38-later": _later(429),
    "F38-bare": lambda _: answered(refused(429)),
    "F41-later": _later(503),
    "F41-bare": lambda _: answered(refused(503)),
    "F43-cached": _cached,
    "F45": lambda _: (*answered(refused(413), "Connection: close"), CLOSE),
    "F47-date": _asks_until(0),
    "F47-past": _asks_until(-3600),
    "F47-negative": _asks("-5"),
    "F47-huge": _asks("1e309"),
    "F47-nan": _asks("NaN"),
    "F47-zero": _asks("0"),
    "F47-far": _asks("99999999"),
    "F47-two": lambda scene: _asks("0", f"{scene.retry_after:g}")(scene),
    "F47-clock": _wrong_clock,
}
