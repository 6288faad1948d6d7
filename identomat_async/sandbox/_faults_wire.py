"""What a fault looks like on the wire: bytes, pauses and ends. Pure."""

import gzip
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import attrs

from identomat_async.sandbox._asgi import Answer
from identomat_async.sandbox._faults import Fault
from identomat_async.sandbox._faults_body import body_fault
from identomat_async.sandbox._faults_status import status_fault
from identomat_async.sandbox._faults_steps import (
    CLOSE,
    DOOM,
    RESET,
    SILENCE,
    Again,
    Pause,
    Scene,
    Send,
    Step,
    answered,
    as_http,
    headed,
)

_LATEST = 0.02
_EARLIEST = 0.001
_DRIP = 0.05
_HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"

Steps: TypeAlias = tuple[Step, ...]


def steps_of(fault: Fault, scene: Scene) -> Steps:
    """Say what happens on the connection instead of the answer of *scene*."""
    framed = _FRAMED.get(fault.id)
    if framed is not None:
        return framed(scene)
    altered = body_fault(fault, scene)
    return status_fault(fault, scene) if altered is None else answered(altered)


def _nothing(*end: Step) -> Callable[[Scene], Steps]:
    return lambda _: end


def _doomed(scene: Scene) -> Steps:
    return (*answered(scene.answer), DOOM)


def _half(part: str, *end: Step) -> Callable[[Scene], Steps]:
    def half(scene: Scene) -> Steps:
        head, _, body = as_http(scene.answer).partition(b"\r\n\r\n")
        said = {
            "status": head[:12],
            "headers": head[:-5],
            "body": head + b"\r\n\r\n" + body[: len(body) // 2],
        }
        return (Send(said[part]), *end)

    return half


def _drip(scene: Scene) -> Steps:
    body = scene.answer.body
    endless = headed(scene.answer, f"Content-Length: {len(body) + 10**6}")
    return (Send(endless), Again(b" ", every=_DRIP))


def _chunks_cut(scene: Scene) -> Steps:
    body = scene.answer.body
    return (Send(_chunked(scene.answer) + _chunk(body[: len(body) // 2])), CLOSE)


def _chunk_without_size(scene: Scene) -> Steps:
    return (Send(_chunked(scene.answer) + b"zz\r\n" + scene.answer.body + b"\r\n"), CLOSE)


def _two_lengths(scene: Scene) -> Steps:
    answer = scene.answer
    head = headed(answer, f"Content-Length: {len(answer.body)}", "Content-Length: 1")
    return (Send(head + answer.body), CLOSE)


def _length_and_chunks(scene: Scene) -> Steps:
    answer = scene.answer
    head = headed(answer, f"Content-Length: {len(answer.body)}", "Transfer-Encoding: chunked")
    return (Send(head + _chunk(answer.body) + b"0\r\n\r\n"),)


def _stray_at_once(scene: Scene) -> Steps:
    stray = b"" if scene.stray is None else as_http(scene.stray)
    return (Send(as_http(scene.answer) + stray),)


def _stray_late(scene: Scene) -> Steps:
    if scene.stray is None:
        return answered(scene.answer)
    late = _EARLIEST + scene.chance * (_LATEST - _EARLIEST)
    return (*answered(scene.answer), Pause(late), Send(as_http(scene.stray)))


def _long_header(scene: Scene) -> Steps:
    return answered(scene.answer, "X-Long: " + "a" * 200_000)


def _many_headers(scene: Scene) -> Steps:
    return answered(scene.answer, *(f"X-{number}: a" for number in range(5000)))


def _endless(scene: Scene) -> Steps:
    head = _chunked(scene.answer) + _chunk(scene.answer.body)
    return (Send(head), Again(_chunk(b" " * 65536), every=0))


def _long_by_its_length(scene: Scene) -> Steps:
    return (Send(headed(scene.answer, f"Content-Length: {10**11}")), Again(b" " * 65536, every=0))


def _compressed(squeeze: Callable[[bytes], bytes], encoding: str) -> Callable[[Scene], Steps]:
    def compressed(scene: Scene) -> Steps:
        answer = scene.answer
        body = squeeze(answer.body)
        return answered(attrs.evolve(answer, body=body), f"Content-Encoding: {encoding}")

    return compressed


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(1_000_000)) * 20


def _nested(body: bytes) -> bytes:
    for _ in range(200):
        body = gzip.compress(body, compresslevel=1)
    return body


def _cookies(scene: Scene) -> Steps:
    return answered(scene.answer, *(f"Set-Cookie: c{number}=1" for number in range(50)))


def _closing(scene: Scene) -> Steps:
    return (*answered(scene.answer, "Connection: close"), CLOSE)


def _chunked(answer: Answer) -> bytes:
    return headed(answer, "Transfer-Encoding: chunked")


def _chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


_FRAMED: dict[str, Callable[[Scene], Steps]] = {
    "F6": _nothing(RESET),
    "F7": _nothing(CLOSE),
    "F8": _doomed,
    "F9-close": _nothing(CLOSE),
    "F9-reset": _nothing(RESET),
    "F10-status": _half("status", CLOSE),
    "F10-headers": _half("headers", CLOSE),
    "F11-answer": _nothing(SILENCE),
    "F11-headers": _half("headers", SILENCE),
    "F11-body": _half("body", SILENCE),
    "F12": _drip,
    "F13": _nothing(Again(_HINT, every=_DRIP)),
    "F14-short": _half("body", CLOSE),
    "F14-chunks": _chunks_cut,
    "F14-reset": _half("body", RESET),
    "F15-chunk": _chunk_without_size,
    "F15-garbage": _nothing(Send(b"\x00\xff\x16\x03 \r\n\r\n"), CLOSE),
    "F15-lengths": _two_lengths,
    "F16": lambda scene: (Send(scene.answer.body), CLOSE),
    "F17": _length_and_chunks,
    "F18": _stray_at_once,
    "F19": _stray_late,
    "F20": _long_header,
    "F21": _many_headers,
    "F22-chunks": _endless,
    "F22-length": _long_by_its_length,
    "F23-bomb": _compressed(lambda _: _bomb(), "gzip"),
    "F23-nested": _compressed(_nested, ", ".join(["gzip"] * 200)),
    "F24-bad": _compressed(lambda body: body, "gzip"),
    "F24-cut": _compressed(lambda body: gzip.compress(body)[:-9], "gzip"),
    "F44-cookies": _cookies,
    "F44-close": _closing,
}
