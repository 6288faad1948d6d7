"""Faults of what an answer says; a service that does this signs it too. Pure."""

import json
from collections.abc import Callable
from typing import cast

import attrs

from identomat_async.sandbox._asgi import Answer
from identomat_async.sandbox._documents import encode
from identomat_async.sandbox._faults import Fault
from identomat_async.sandbox._faults_steps import Scene

_DEEP = 200
_DIGITS = 5000


def body_fault(fault: Fault, scene: Scene) -> Answer | None:
    """Return the answer as *fault* has it; None if it is no fault of a body."""
    spoil = _BODIES.get(fault.id)
    if spoil is None:
        return None
    body = spoil(scene)
    return attrs.evolve(scene.answer, body=body, signature=scene.sign(body))


def _members(scene: Scene) -> dict[str, object]:
    # A token is a bare string; the same as an object gives the fault something to spoil.
    value: object = json.loads(scene.answer.body)
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    return {"session_token": value}


def _object(scene: Scene) -> bytes:
    return encode(_members(scene))


def _with(more: bytes) -> Callable[[Scene], bytes]:
    return lambda scene: _object(scene)[:-1] + b"," + more + b"}"


def _twice(scene: Scene) -> bytes:
    decisive = b"session_token" if scene.operation == "begin" else b"result"
    return _with(b'"' + decisive + b'":"approved"')(scene)


def _decisive(scene: Scene) -> bytes:
    if scene.operation == "begin":
        return b"42"
    return encode(_members(scene) | {"result": True})


def _cut(scene: Scene) -> bytes:
    return _object(scene)[: len(_object(scene)) // 2]


def _changed(**members: object) -> Callable[[Scene], bytes]:
    return lambda scene: encode(_members(scene) | members)


def _foreign(scene: Scene) -> bytes:
    return encode(_members(scene) | {"session_token": scene.other or "somebody-elses-token"})


def _old(scene: Scene) -> bytes:
    return (scene.older or scene.answer).body


_BODIES: dict[str, Callable[[Scene], bytes]] = {
    "F26-empty": lambda _: b"",
    "F27-cut": _cut,
    "F27-trailing": lambda scene: _object(scene) + b"{}",
    "F27-twice": _twice,
    "F27-nan": _with(b'"x":NaN'),
    "F27-deep": _with(b'"x":' + b"[" * _DEEP + b"]" * _DEEP),
    "F27-digits": _with(b'"x":' + b"9" * _DIGITS),
    "F27-surrogate": _with(b'"x":"\\ud800"'),
    "F27-utf16": lambda scene: _object(scene).decode().encode("utf-16"),
    "F27-bom": lambda scene: b"\xef\xbb\xbf" + _object(scene),
    "F27-latin1": _with(b'"x":"\xe9"'),
    "F28-decisive": _decisive,
    "F28-live": _changed(live="false"),
    "F28-status": _changed(result="under_consideration"),
    "F42": _foreign,
    "F43-replayed": _old,
}
