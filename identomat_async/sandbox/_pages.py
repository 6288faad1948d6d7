"""The pages for people: which address is what, and who may send a form there."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, quote

import attrs

from identomat_async.sandbox._listening import is_loopback
from identomat_async.sandbox._page import ASSETS, View, asset, go_to, notice, render, say
from identomat_async.sandbox._page_answers import LONGEST, Fields, Reply, read_reply
from identomat_async.sandbox._page_sessions import Live, pages_around
from identomat_async.sandbox._page_widget import asks_for_terms, cards_of, way_back
from identomat_async.sandbox._people import person_of
from identomat_async.sandbox._refusal import Refusal
from identomat_async.sandbox._script import ABANDONED, DECIDED, REVIEW, TERMINAL
from identomat_async.sandbox._service import Service
from identomat_async.sandbox._setup import Setup
from identomat_async.sandbox._visit import Reason, Visit

EVENTS = "/sessions/events"
_DISAGREED = "disagreed"
_BY_PERSON = frozenset({"approved", "rejected", REVIEW, _DISAGREED, ABANDONED})
_BY_OPERATOR = frozenset({"approved", "rejected", REVIEW})
_PORT = re.compile(r":\d*$")
_LARGEST = 200_000
_MOST_FIELDS = 5000
_LATEST = 86_400.0
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


class _BadFormError(Exception):
    """A form that cannot be read; its text is what the browser is told."""


class Pages:
    """
    Answers browsers.

    Args:
        service: The sessions.
        is_public: Whether it may be called by any name. Otherwise only by names of this
            machine: a page of another site whose name leads here would pass for one of ours.

    Attributes:
        is_open: Whether browsers that listen are told anything.
    """

    def __init__(self, service: Service, *, is_public: bool = False) -> None:
        self._service = service
        self._is_public = is_public
        self._paths: dict[str, dict[str, Callable[[Request], View]]] = {
            "/": {"GET": self._widget, "POST": self._submit},
            "/begin": {"POST": self._begin},
            "/sessions": {"GET": self._sessions},
            "/sessions/decide": {"POST": self._decide},
            EVENTS: {"GET": lambda _: View(content_type="text/event-stream", is_live=True)},
            **{path: {"GET": lambda request: asset(request.path)} for path in ASSETS},
        }
        self.is_open = True

    @property
    def paths(self) -> Collection[str]:
        """The addresses of the pages and of what belongs to them."""
        return self._paths

    def close(self) -> None:
        """Tell nobody anything any more, so that a server need not wait for who listens."""
        self.is_open = False

    def answer(self, request: Request) -> View:
        """Answer a browser; what is wrong is said in words."""
        if not self._is_public and not _is_here(request.headers.get("host", "")):
            return notice("Not here", _ELSEWHERE, status=HTTPStatus.FORBIDDEN)
        method = "GET" if request.method == "HEAD" else request.method
        page = self._paths[request.path].get(method)
        if page is None:
            return say(
                "There is nothing for this method here.", status=HTTPStatus.METHOD_NOT_ALLOWED
            )
        if method == "POST" and not _is_own(request.headers):
            return notice("Not from there", _FOREIGN, status=HTTPStatus.FORBIDDEN)
        try:
            return page(request)
        except _BadFormError as error:
            return notice("That did not work", f"{error}", status=HTTPStatus.BAD_REQUEST)
        except Refusal:
            return notice("No such session", _UNKNOWN, status=HTTPStatus.NOT_FOUND)

    def live(self, request: Request) -> Live:
        """Return what follows the answer to a browser that asks for `EVENTS`."""
        return Live(self._service, skip=_skip(request))

    def _widget(self, request: Request) -> View:
        asked = _fields(request.query)
        token = _text(asked, "session_token")
        if not token:
            return render("index.html", {"total": len(self._service)})
        setup, visit = self._service.open(token)
        if self._is_over(token, visit):
            return self._end(token, setup)
        if "left" in asked:
            return render("left.html", {"token": token}, is_embeddable=True)
        if asks_for_terms(setup) and "agreed" not in asked:
            context = {"token": token, "address": _address(token)}
            leads_away = way_back(setup) is not None
            return render("terms.html", context, leads_away=leads_away, is_embeddable=True)
        return _check(token, setup, {}, Reply({}, {}))

    def _begin(self, _: Request) -> View:
        return go_to(_address(self._service.begin({})))

    def _end(self, token: str, setup: Setup) -> View:
        glance = self._service.glance(token)
        context = {
            "status": glance.status,
            "ahead": glance.ahead,
            "wait": None if glance.ahead is None else self._wait(glance.begun + glance.ahead.at),
            "url": way_back(setup),
        }
        return render("end.html", context, is_embeddable=True)

    def _wait(self, at: float) -> int:
        return math.ceil(at - self._service.now())

    def _is_over(self, token: str, visit: Visit) -> bool:
        return visit.is_over or self._service.glance(token).status.lower() in TERMINAL

    def _submit(self, request: Request) -> View:
        token = _text(_fields(request.query), "session_token")
        form = _form(request)
        setup, visit = self._service.open(token)
        if self._is_over(token, visit):
            return go_to(_address(token))
        verdict = _verdict(form, _BY_PERSON)
        if verdict == ABANDONED:
            self._service.decide(token, ABANDONED)
            return go_to(f"{_address(token)}&left=yes")
        reply = Reply({}, {}) if verdict == _DISAGREED else read_reply(setup, form)
        if reply.errors:
            return _check(token, setup, form, reply)
        visit = Visit(answers=reply.answers, reason=_reason(form, verdict), is_over=True)
        self._service.decide(token, verdict, after=_delay(form), visit=visit)
        return go_to(way_back(setup) or _address(token))

    def _sessions(self, request: Request) -> View:
        skip = _skip(request)
        newer, older = pages_around(skip, len(self._service))
        context = {"events": f"{EVENTS}?skip={skip}", "newer": newer, "older": older}
        return render("sessions.html", context)

    def _decide(self, request: Request) -> View:
        try:
            form = _form(request)
            token, verdict = _text(form, "session_token"), _verdict(form, _BY_OPERATOR)
            delay, status = _delay(form), self._service.glance(token).status.lower()
            if status in DECIDED:
                return say(f"It is {status} already.", status=HTTPStatus.CONFLICT)
            visit = attrs.evolve(self._service.visit_of(token), reason=_reason(form, verdict))
            self._service.decide(
                token, verdict, after=delay, visit=attrs.evolve(visit, is_over=True)
            )
        except _BadFormError as error:
            return say(f"{error}", status=HTTPStatus.BAD_REQUEST)
        except Refusal:
            return say("There is no such session any more.", status=HTTPStatus.NOT_FOUND)
        return View(status=HTTPStatus.NO_CONTENT)


_ELSEWHERE = (
    "This sandbox answers on this machine only, under the names localhost and 127.0.0.1."
    " To let others in, serve it on another address and say public=True."
)
_FOREIGN = "A page of another site has sent this form, and nothing has been done."
_UNKNOWN = "The sandbox has no session with this token, or no longer."


def _check(token: str, setup: Setup, form: Fields, reply: Reply) -> View:
    cards = cards_of(setup, person_of(token))
    context = {
        "address": _address(token),
        "cards": cards,
        "errors": reply.errors,
        "given": form,
        "longest": LONGEST,
        "latest": int(_LATEST),
        "delay": _text(form, "after") or "0",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if reply.errors else HTTPStatus.OK
    leads_away = way_back(setup) is not None
    return render("check.html", context, status=status, leads_away=leads_away, is_embeddable=True)


def _address(token: str) -> str:
    return f"/?session_token={quote(token, safe='')}"


def _is_here(host: str) -> bool:
    name = _PORT.sub("", host.lower()).strip("[]")
    return name.endswith(".localhost") or is_loopback(name)


def _is_own(headers: Mapping[str, str]) -> bool:
    """Tell whether a form comes from one of these pages; a browser says where it comes from."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return headers.get("origin", "").partition("://")[2] == headers.get("host")


def _form(request: Request) -> Fields:
    if len(request.body) > _LARGEST:
        raise _BadFormError("This form holds too much.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise _BadFormError("This is no form.")
    return _fields(request.body)


def _fields(encoded: bytes) -> Fields:
    try:
        return parse_qs(
            encoded.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise _BadFormError("This form has too many fields.") from None


def _text(fields: Fields, name: str) -> str:
    return next(iter(fields.get(name, ())), "").strip()


def _verdict(form: Fields, known: frozenset[str]) -> str:
    verdict = _text(form, "verdict")
    if verdict not in known:
        raise _BadFormError(f"The verdict must be one of: {', '.join(sorted(known))}.")
    return verdict


def _delay(form: Fields) -> float:
    try:
        seconds = float(_text(form, "after") or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LATEST:
        raise _BadFormError(f"The delay must be a number of seconds from 0 to {_LATEST:.0f}.")
    return seconds


def _reason(form: Fields, verdict: str) -> Reason | None:
    if verdict != "rejected":
        return None
    return Reason(_text(form, "reason")[:LONGEST], _text(form, "description")[:LONGEST])


def _skip(request: Request) -> int:
    text = _text(_fields(request.query), "skip")
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004  # digits
