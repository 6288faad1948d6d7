"""The pages for people: which address is what, and what is done there."""

import math
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from urllib.parse import quote

import attrs

from identomat_async.sandbox._page import ASSETS, View, asset, go_to, notice, render, say
from identomat_async.sandbox._page_answers import LONGEST, Fields, Reply, read_reply
from identomat_async.sandbox._page_request import (
    LATEST,
    BadFormError,
    Request,
    delay_of,
    fields_of,
    form_of,
    is_here,
    is_own,
    reason_of,
    skip_of,
    text_of,
    verdict_of,
)
from identomat_async.sandbox._page_sessions import Live, pages_around
from identomat_async.sandbox._page_widget import asks_for_terms, cards_of, way_back
from identomat_async.sandbox._people import person_of
from identomat_async.sandbox._refusal import Refusal
from identomat_async.sandbox._script import ABANDONED, DECIDED, REVIEW, TERMINAL
from identomat_async.sandbox._service import Service
from identomat_async.sandbox._setup import Setup
from identomat_async.sandbox._visit import Visit

EVENTS = "/sessions/events"
_DISAGREED = "disagreed"
_BY_PERSON = frozenset({"approved", "rejected", REVIEW, _DISAGREED, ABANDONED})
_BY_OPERATOR = frozenset({"approved", "rejected", REVIEW})


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
        if not self._is_public and not is_here(request.headers.get("host", "")):
            return notice("Not here", _ELSEWHERE, status=HTTPStatus.FORBIDDEN)
        method = "GET" if request.method == "HEAD" else request.method
        page = self._paths[request.path].get(method)
        if page is None:
            return say(
                "There is nothing for this method here.", status=HTTPStatus.METHOD_NOT_ALLOWED
            )
        if method == "POST" and not is_own(request.headers):
            return notice("Not from there", _FOREIGN, status=HTTPStatus.FORBIDDEN)
        try:
            return page(request)
        except BadFormError as error:
            return notice("That did not work", f"{error}", status=HTTPStatus.BAD_REQUEST)
        except Refusal:
            has_links = not request.is_framed
            return notice(
                "No such session", _UNKNOWN, status=HTTPStatus.NOT_FOUND, has_links=has_links
            )

    def live(self, request: Request) -> Live:
        """Return what follows the answer to a browser that asks for `EVENTS`."""
        return Live(self._service, skip=skip_of(request))

    def _widget(self, request: Request) -> View:
        asked = fields_of(request.query)
        token = text_of(asked, "session_token")
        if not token:
            return render("index.html", {"total": len(self._service)})
        setup, visit = self._service.open(token)
        if self._is_over(token, visit):
            return self._end(token, setup, has_links=not request.is_framed)
        if "left" in asked:
            context = {"token": token}
            has_links = not request.is_framed
            return render("left.html", context, is_embeddable=True, has_links=has_links)
        if asks_for_terms(setup) and "agreed" not in asked:
            context = {"token": token, "address": _address(token)}
            leads_away = way_back(setup) is not None
            return _step("terms.html", context, leads_away=leads_away)
        return _check(token, setup, {}, Reply({}, {}))

    def _begin(self, _: Request) -> View:
        return go_to(_address(self._service.begin({})))

    def _end(self, token: str, setup: Setup, *, has_links: bool) -> View:
        glance = self._service.glance(token)
        context = {
            "status": glance.status,
            "ahead": glance.ahead,
            "wait": None if glance.ahead is None else self._wait(glance.begun + glance.ahead.at),
            "url": way_back(setup),
        }
        return render("end.html", context, is_embeddable=True, has_links=has_links)

    def _wait(self, at: float) -> int:
        return math.ceil(at - self._service.now())

    def _is_over(self, token: str, visit: Visit) -> bool:
        return visit.is_over or self._service.glance(token).status.lower() in TERMINAL

    def _submit(self, request: Request) -> View:
        token = text_of(fields_of(request.query), "session_token")
        form = form_of(request)
        setup, visit = self._service.open(token)
        if self._is_over(token, visit):
            return go_to(_address(token))
        verdict = verdict_of(form, _BY_PERSON)
        if verdict == ABANDONED:
            self._service.decide(token, ABANDONED)
            return go_to(f"{_address(token)}&left=yes")
        reply = Reply({}, {}) if verdict == _DISAGREED else read_reply(setup, form)
        if reply.errors:
            return _check(token, setup, form, reply)
        visit = Visit(answers=reply.answers, reason=reason_of(form, verdict), is_over=True)
        self._service.decide(token, verdict, after=delay_of(form), visit=visit)
        return go_to(way_back(setup) or _address(token))

    def _sessions(self, request: Request) -> View:
        skip = skip_of(request)
        newer, older = pages_around(skip, len(self._service))
        context = {
            "events": f"{EVENTS}?skip={skip}",
            "newer": newer,
            "older": older,
            "longest": LONGEST,
            "latest": int(LATEST),
        }
        return render("sessions.html", context)

    def _decide(self, request: Request) -> View:
        try:
            form = form_of(request)
            token, verdict = text_of(form, "session_token"), verdict_of(form, _BY_OPERATOR)
            delay, status = delay_of(form), self._service.glance(token).status.lower()
            if status in DECIDED:
                return say(f"It is {status} already.", status=HTTPStatus.CONFLICT)
            visit = attrs.evolve(self._service.visit_of(token), reason=reason_of(form, verdict))
            self._service.decide(
                token, verdict, after=delay, visit=attrs.evolve(visit, is_over=True)
            )
        except BadFormError as error:
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
        "latest": int(LATEST),
        "delay": text_of(form, "after") or "0",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if reply.errors else HTTPStatus.OK
    leads_away = way_back(setup) is not None
    return _step("check.html", context, status=status, leads_away=leads_away)


def _step(
    template: str, context: Mapping[str, object], *, leads_away: bool, status: int = HTTPStatus.OK
) -> View:
    # As with the real one, there is nothing here to do but to go on.
    return render(
        template,
        context,
        status=status,
        leads_away=leads_away,
        is_embeddable=True,
        has_links=False,
    )


def _address(token: str) -> str:
    return f"/?session_token={quote(token, safe='')}"
