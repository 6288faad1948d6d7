"""What a browser gets: how the pages are written, and what they may do there."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import attrs
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent / "pages"
ASSETS = {
    "/assets/style.css": "text/css; charset=utf-8",
    "/assets/widget.js": "text/javascript; charset=utf-8",
    "/assets/sessions.js": "text/javascript; charset=utf-8",
    "/assets/icon.svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; "
)
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

Headers = tuple[tuple[str, str], ...]

# A token is part of the address, and no other site has to learn it. "no-referrer" would take
# from the forms the Origin by which they are known.
COMMON: Headers = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)


@attrs.frozen(kw_only=True)
class View:
    """
    An answer to a browser.

    Attributes:
        body: What it shows.
        status: The HTTP status.
        content_type: The type of *body*.
        headers: Further headers.
        is_live: Whether frames follow *body* for as long as the browser listens.
    """

    body: bytes = b""
    status: int = HTTPStatus.OK
    content_type: str = HTML
    headers: Headers = COMMON
    is_live: bool = False


def render(
    template: str,
    context: Mapping[str, object],
    *,
    status: int = HTTPStatus.OK,
    leads_away: bool = False,
    is_embeddable: bool = False,
    has_links: bool = True,
) -> View:
    """
    Write a page.

    Args:
        template: The name of its file.
        context: What it shows; all of it is escaped.
        status: The HTTP status.
        leads_away: Whether its form may end at another site's page.
        is_embeddable: Whether pages of other sites may show it in a frame.
        has_links: Whether it leads to the first page and that of all sessions, which no frame
            shows.
    """
    shown = {**context, "has_links": has_links}
    body = _TEMPLATES.get_template(template).render(shown).encode()
    forms = "'self' http: https:" if leads_away else "'self'"
    ancestors = "*" if is_embeddable else "'none'"
    policy = f"{_POLICY}form-action {forms}; frame-ancestors {ancestors}"
    return View(body=body, status=status, headers=(*COMMON, ("content-security-policy", policy)))


def notice(title: str, text: str, *, status: int, has_links: bool = False) -> View:
    """Write a page that says one thing."""
    context = {"title": title, "text": text}
    return render("notice.html", context, status=status, is_embeddable=True, has_links=has_links)


def say(text: str, *, status: int) -> View:
    """Answer a script of ours with one sentence."""
    return View(body=text.encode(), status=status, content_type=TEXT)


def go_to(url: str) -> View:
    """Send a browser elsewhere, to be asked for with a GET."""
    return View(status=HTTPStatus.SEE_OTHER, headers=(*COMMON, ("location", url)))


def asset(path: str) -> View:
    """Return a file that the pages need, one of `ASSETS`."""
    return View(body=(_FOLDER / Path(path).name).read_bytes(), content_type=ASSETS[path])
