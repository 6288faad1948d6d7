"""A person with a browser, and what the tests of the pages ask of them."""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import httpx

from identomat_async.sandbox import SandboxServer

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

SHORT = {"skip_agreement": True, "skip_face": True, "skip_document": True}
STEP = {
    "type": "user-questionnaire",
    "key": "work",
    "title": {"en": "About your work", "ka": "თქვენი სამუშაო"},
    "description": {"en": "Please answer **honestly**. [Why?](https://shop.example/why)"},
    "questions": [
        {
            "type": "boolean",
            "key": "has-job",
            "mandatory": True,
            "title": {"en": "Do you have a job?", "ka": "მუშაობთ?"},
        },
        {"type": "string", "key": "employer", "title": "Employer's name"},
        {
            "type": "options",
            "key": "income",
            "title": "Monthly income",
            "options": [{"key": "low", "title": "Below 1000"}, {"key": "high", "title": "More"}],
        },
        {
            "type": "multiple-choice",
            "key": "sources",
            "mandatory": True,
            "title": "Sources of income",
            "options": [{"key": "salary", "title": "Salary"}, {"key": "rent", "title": "Rent"}],
        },
    ],
}


class Visitor:
    """
    A person with a browser.

    Attributes:
        page: What they look at.
        requests: What the browser has asked for.
        complaints: What it has written on its console, a refused script or style included.
    """

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.clicks = 0
        page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108  # a built-in method is refused
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def press(self, name: str, within: Any = None) -> None:
        """Click a button."""
        (within or self.page).get_by_role("button", name=name, exact=True).click()
        self.clicks += 1

    def waits_for_status(self, status: str) -> None:
        """Wait until the site says so, which it does without being loaded again."""
        self.page.locator("#status", has_text=status).wait_for()

    def bytes_loaded(self) -> int:
        """Return how much came over the wire but for what is told live."""
        return sum(
            sum(request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))
            for request in self.requests
            if request.resource_type != "eventsource"
        )


def origin(server: SandboxServer) -> str:
    return server.sessions_url.removesuffix("/sessions")


def widget(server: SandboxServer, token: str, more: str = "") -> str:
    return f"{origin(server)}/?session_token={token}{more}"


def result(server: SandboxServer, token: str) -> Mapping[str, Any]:
    asked = {"company_key": "k", "session_token": token}
    found: Mapping[str, Any] = httpx.post(
        f"{server.base_url}result/", json=asked, trust_env=False
    ).json()
    return found


def violations(page: "Page") -> list[str]:
    """Return what axe-core finds fault with."""
    source = (files("axe_playwright_python") / "axe.min.js").read_text()
    page.evaluate(source)
    found = page.evaluate("axe.run()")
    assert found["passes"]
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]}"
        for each in found["violations"]
    ]
