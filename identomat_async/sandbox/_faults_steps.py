"""The words in which a connection's course is told, and how an answer is written."""

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TypeAlias

import attrs

from identomat_async.sandbox._asgi import Answer


@attrs.frozen
class Send:
    """Write these bytes."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class Pause:
    """Wait so many seconds."""

    seconds: float


@attrs.frozen
class Again:
    """Write the same bytes every so many seconds until the other side is gone."""

    data: bytes = attrs.field(repr=False)
    every: float = attrs.field(kw_only=True)


@attrs.frozen
class End:
    """What becomes of the connection: see `CLOSE`, `RESET`, `SILENCE`, `DOOM`."""

    how: str


CLOSE = End("close")
RESET = End("reset")
SILENCE = End("silence")
"""Nothing more, until the other side is gone."""
DOOM = End("doom")
"""The next request on it finds it closed."""

Step: TypeAlias = Send | Pause | Again | End


@attrs.frozen(kw_only=True)
class Scene:
    """
    What a fault has to work with.

    Attributes:
        answer: What would be said without it.
        operation: Which kind of method was called.
        stray: An answer of the same kind for another session, None if there is none.
        other: The token of another session.
        older: What was true of the session when it began.
        sign: Returns the signature of a body; None without a secret.
        retry_after: The seconds for which clients are asked to wait.
        chance: A number from 0 to 1 of this request's own.
        now: The wall clock, in seconds since the epoch.
    """

    answer: Answer
    operation: str
    stray: Answer | None
    other: str | None
    older: Answer | None
    sign: Callable[[bytes], str | None]
    retry_after: float
    chance: float
    now: float


def answered(answer: Answer, *headers: str) -> tuple[Send, ...]:
    """Say a whole answer."""
    return (Send(as_http(answer, *headers)),)


def as_http(answer: Answer, *headers: str) -> bytes:
    """Write an answer as HTTP/1.1."""
    length = () if answer.status == HTTPStatus.NO_CONTENT else (_length(answer),)
    return headed(answer, *length, *headers) + answer.body


def headed(answer: Answer, *headers: str) -> bytes:
    """Write the status line and the headers of an answer, without a length."""
    signed = () if answer.signature is None else (f"Authorization: {answer.signature}",)
    lines = (
        f"HTTP/1.1 {answer.status} {_phrase(answer.status)}",
        f"Content-Type: {answer.content_type}",
        *signed,
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def http_date(at: float) -> str:
    """Write a moment, in seconds since the epoch, as HTTP does."""
    return formatdate(at, usegmt=True)


def _length(answer: Answer) -> str:
    return f"Content-Length: {len(answer.body)}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
