"""What a browser sends: where a form comes from, and what it says."""

import math
import re
from collections.abc import Mapping
from urllib.parse import parse_qs

import attrs

from identomat_async.sandbox._listening import is_loopback
from identomat_async.sandbox._page_answers import LONGEST, Fields
from identomat_async.sandbox._visit import Reason

LATEST = 86_400.0
"""Seconds after which a verdict takes effect at the latest."""
_PORT = re.compile(r":\d*$")
_LARGEST = 200_000
_MOST_FIELDS = 5000
_TYPE = "application/x-www-form-urlencoded"


@attrs.frozen(kw_only=True)
class Request:
    """
    What a browser asks for.

    Attributes:
        method: The HTTP method.
        path: The path, without the query.
        query: The query.
        headers: By their names in lower case.
        body: What comes with a form.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def is_framed(self) -> bool:
        """Whether the page may be part of another; a browser that knows says what it is for."""
        return self.headers.get("sec-fetch-dest") != "document"


class BadFormError(Exception):
    """A form that cannot be read; its text is what the browser is told."""


def is_here(host: str) -> bool:
    """Tell whether a browser calls this machine by one of its own names."""
    name = _PORT.sub("", host.lower()).strip("[]")
    return name.endswith(".localhost") or is_loopback(name)


def is_own(headers: Mapping[str, str]) -> bool:
    """Tell whether a form comes from one of these pages; a browser says where it comes from."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return headers.get("origin", "").partition("://")[2] == headers.get("host")


def form_of(request: Request) -> Fields:
    """
    Read a form.

    Raises:
        BadFormError: There is none, or it is too large.
    """
    if len(request.body) > _LARGEST:
        raise BadFormError("This form holds too much.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise BadFormError("This is no form.")
    return fields_of(request.body)


def fields_of(encoded: bytes) -> Fields:
    """
    Read the fields of a form or a query.

    Raises:
        BadFormError: There are too many.
    """
    try:
        return parse_qs(
            encoded.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise BadFormError("This form has too many fields.") from None


def text_of(fields: Fields, name: str) -> str:
    """Return the first text of a field, empty if there is none."""
    return next(iter(fields.get(name, ())), "").strip()


def verdict_of(form: Fields, known: frozenset[str]) -> str:
    """
    Return the verdict of a form.

    Raises:
        BadFormError: It is none of those *known*.
    """
    verdict = text_of(form, "verdict")
    if verdict not in known:
        raise BadFormError(f"The verdict must be one of: {', '.join(sorted(known))}.")
    return verdict


def delay_of(form: Fields) -> float:
    """
    Return the seconds after which the verdict of a form takes effect.

    Raises:
        BadFormError: It is no number, or none that is allowed.
    """
    try:
        seconds = float(text_of(form, "after") or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LATEST:
        raise BadFormError(f"The delay must be a number of seconds from 0 to {LATEST:.0f}.")
    return seconds


def reason_of(form: Fields, verdict: str) -> Reason | None:
    """Return why a form rejects; None for another verdict."""
    if verdict != "rejected":
        return None
    return Reason(text_of(form, "reason")[:LONGEST], text_of(form, "description")[:LONGEST])


def skip_of(request: Request) -> int:
    """Return how many of the newest sessions are left out."""
    text = text_of(fields_of(request.query), "skip")
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004  # digits
