"""A real browser on the pages of the sandbox; `pytest -m browser` runs these alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from identomat_async.sandbox import Front, Sandbox, SandboxServer, Script
from tests._browser_ground import SHORT, STEP, Visitor, origin, result, violations, widget
from tests._browser_host import Host, hosting
from tests._web_app import serving
from tests.test_cli_sandbox import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1100, "height": 900}


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    # Only these tests need it, and collecting them does not.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        # Its own sandbox does not work for root, as whom a container runs.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: "Browser") -> Iterator[Visitor]:
    with chromium.new_context(viewport=DESK, reduced_motion="reduce") as context:
        context.set_default_timeout(10_000)
        yield Visitor(context.new_page())


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(life=Script.of("approved", after=20))


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[SandboxServer]:
    with sandbox.serve() as server:
        yield server


@pytest.fixture
def host(server: SandboxServer) -> Iterator[Host]:
    with hosting(server) as host:
        yield host


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = request.config.getoption("--screenshots")
    folder = tmp_path_factory.mktemp("screenshots") if named is None else Path(named).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_three_clicks_lead_from_a_sandbox_that_was_just_started_to_an_approval(
    visitor: Visitor,
) -> None:
    with running() as started:
        visitor.page.goto(started.told_after("Be verified in a browser: "))
        visitor.press("Begin a session")
        visitor.press("Agree and continue")
        visitor.press("Approve")
        visitor.page.get_by_text("This session is approved.").wait_for()
        clicks = visitor.clicks
        visitor.page.get_by_role("link", name="All sessions").click()
        visitor.page.locator(".pill", has_text="Approved").wait_for()
        visitor.page.get_by_role("link", name="Sandbox", exact=True).click()
        visitor.page.get_by_role("button", name="Begin a session").wait_for()

    assert clicks == 3
    assert visitor.complaints == []


def test_three_clicks_lead_to_an_approval_that_arrives_by_itself(
    visitor: Visitor, host: Host
) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Agree and continue")
    visitor.press("Approve")

    visitor.page.wait_for_url(f"{host.url}/done")
    visitor.waits_for_status("approved")
    assert visitor.clicks == 3
    assert visitor.complaints == []


@pytest.mark.parametrize(
    ("clicked", "told"),
    [("Approve", "APPROVED"), ("Reject", "REJECTED"), ("Manual check", "MANUAL_CHECK")],
)
def test_the_example_of_a_web_app_tells_the_verdict_by_itself(
    clicked: str,
    told: str,
    visitor: Visitor,
    sandbox: Sandbox,
    server: SandboxServer,
    pictures: Path,
    tmp_path: Path,
) -> None:
    keys = {"IDENTOMAT_COMPANY_KEY": "company-key", "JOURNAL": str(tmp_path / "journal.sqlite")}
    page = visitor.page
    with serving(server, tmp_path / "checks.sqlite", **keys) as web:
        page.goto(str(web.base_url))
        visitor.press("Verify me")
        visitor.press("Agree and continue")
        if clicked == "Reject":
            page.get_by_text("Reject with a reason").click()
        visitor.press(clicked)
        page.wait_for_url(f"{web.base_url}/checks/7")
        page.get_by_role("status").filter(has_text=told).wait_for()
        page.screenshot(path=pictures / f"web-app-{told.lower()}.png")
        if clicked == "Manual check":  # and the operator has the last word, on the same page
            sandbox.decide(sandbox.tokens[0], "approved")
            page.evaluate("fetch(location.pathname)")  # as if they came back: looks at once
            page.get_by_role("status").filter(has_text="APPROVED").wait_for()

    assert visitor.clicks == 3
    assert visitor.complaints == []


def test_an_embedded_widget_tells_its_parent_that_it_is_done(
    visitor: Visitor, host: Host, pictures: Path
) -> None:
    visitor.page.goto(f"{host.url}/embedded")
    frame = visitor.page.frame_locator("iframe")
    frame.get_by_role("button", name="Agree and continue").wait_for()
    visitor.page.screenshot(path=pictures / "embedded.png", full_page=True)
    visitor.press("Agree and continue", frame)
    visitor.press("Approve", frame)

    visitor.waits_for_status("approved")
    frame.get_by_role("heading", name="That is all").wait_for()
    assert frame.get_by_role("link").count() == 0
    assert visitor.page.url == f"{host.url}/embedded"
    assert visitor.complaints == []


def test_a_rejection_carries_its_reason(
    visitor: Visitor, host: Host, server: SandboxServer
) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Agree and continue")
    visitor.page.get_by_text("Reject with a reason").click()
    visitor.page.get_by_label("Reason code").fill("document_expired")
    visitor.page.get_by_label("Explanation").fill("Too <old>.")
    visitor.press("Reject")

    visitor.waits_for_status("rejected")
    reason = result(server, host.token)["reject_reason"]
    assert reason == {"value": "document_expired", "description": "Too <old>."}


def test_a_manual_check_waits_for_the_operator_at_the_list(
    visitor: Visitor, host: Host, server: SandboxServer
) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Agree and continue")
    visitor.press("Manual check")
    visitor.waits_for_status("manual_check")

    with visitor.page.context.new_page() as desk:
        desk.goto(server.sessions_url)
        desk.get_by_role("button", name="Approve: session").click()
        desk.locator(".pill", has_text="Approved").wait_for()

    visitor.waits_for_status("approved")


def test_who_refuses_the_terms_goes_back_and_is_not_approved(visitor: Visitor, host: Host) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Refuse the terms")

    visitor.page.wait_for_url(f"{host.url}/done")
    visitor.waits_for_status("disagreed")


def test_who_walks_away_leaves_a_session_in_progress(
    visitor: Visitor, host: Host, sandbox: Sandbox
) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Walk away")
    visitor.page.get_by_role("heading", name="You walked away").wait_for()
    visitor.press("Come back")

    visitor.page.get_by_role("button", name="Agree and continue").wait_for()
    assert sandbox.truth(host.token).script == Script()


def test_a_verdict_that_comes_later_is_awaited(visitor: Visitor, host: Host) -> None:
    visitor.page.goto(host.url)
    visitor.press("Verify me")
    visitor.press("Agree and continue")
    visitor.page.get_by_label("Decide later").fill("1.5")
    visitor.press("Approve")

    visitor.waits_for_status("in_progress")
    visitor.waits_for_status("approved")


def test_what_is_mandatory_holds_the_person_up_until_it_is_answered(
    visitor: Visitor, sandbox: Sandbox, server: SandboxServer
) -> None:
    sandbox.plant("t", parameters={"flags": SHORT | {"language": "ka"}, "steps": [STEP]})
    page = visitor.page
    page.goto(widget(server, "t"))
    visitor.press("Approve")
    still_here = page.evaluate("document.querySelectorAll(':invalid').length") > 0
    page.get_by_role("group", name="მუშაობთ?").or_(
        page.get_by_role("radiogroup", name="მუშაობთ?")
    ).get_by_label("Yes").check()
    page.get_by_label("Employer's name").fill("Sample Ltd")
    visitor.press("Approve")
    held_up = page.evaluate("document.querySelector('[data-some] input').validationMessage")
    page.get_by_label("Salary").check()
    visitor.press("Approve")

    page.get_by_role("heading", name="That is all").wait_for()
    assert still_here
    assert held_up == "Please choose at least one."
    assert result(server, "t")["questionnaires"] == [
        {
            "key": "work",
            "questions": [
                {"key": "has-job", "answer": True},
                {"key": "employer", "answer": "Sample Ltd"},
                {"key": "income"},
                {"key": "sources", "answer": ["salary"]},
            ],
        }
    ]


def test_the_server_s_own_complaint_takes_the_focus(
    visitor: Visitor, sandbox: Sandbox, server: SandboxServer, pictures: Path
) -> None:
    sandbox.plant("t", parameters={"flags": SHORT, "steps": [STEP]})
    visitor.page.goto(widget(server, "t"))
    visitor.page.evaluate("document.getElementById('check').noValidate = true")
    visitor.press("Approve")

    visitor.page.get_by_role("alert").wait_for()
    visitor.page.screenshot(path=pictures / "widget-complaint.png", full_page=True)
    assert visitor.page.evaluate("document.activeElement.id") == "errors"
    assert violations(visitor.page) == []


def test_a_keyboard_is_enough_and_enter_in_a_text_decides_nothing(
    visitor: Visitor, sandbox: Sandbox, server: SandboxServer
) -> None:
    sandbox.plant("t", parameters={"flags": SHORT | {"skip_agreement": False}})
    page = visitor.page
    page.goto(widget(server, "t"))
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    page.get_by_label("Decide later").focus()
    page.keyboard.press("Enter")
    undecided = sandbox.truth("t").status
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="That is all").wait_for()
    assert outline == "solid"
    assert (undecided, sandbox.truth("t").status) == ("in_progress", "approved")


def test_all_sessions_are_shown_live_and_nothing_takes_the_focus(
    visitor: Visitor, sandbox: Sandbox, server: SandboxServer
) -> None:
    page = visitor.page
    page.goto(server.sessions_url)
    page.get_by_text("No session has been begun yet").wait_for()
    sandbox.plant("first")
    page.get_by_role("button", name="Approve: session first").focus()
    sandbox.plant("second")
    page.locator("tbody tr").nth(1).wait_for()
    result(server, "first")
    row = page.locator("tbody tr", has_text="first")
    row.locator(".polls", has_text="1").wait_for()
    row.locator(".polled", has_text="ago").wait_for()
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.get_by_label("Seconds until a verdict").fill("3600")
    page.get_by_role("button", name="Manual check: session second").click()

    page.get_by_text("Manual check in 1 h 0 min").wait_for()
    assert focused == "Approve: session first"
    assert page.locator("#total").text_content() == "2"
    assert visitor.complaints == []


def test_a_session_is_rejected_from_the_list_with_a_reason(
    visitor: Visitor, sandbox: Sandbox, server: SandboxServer, pictures: Path
) -> None:
    sandbox.plant("t")
    page = visitor.page
    page.goto(server.sessions_url)
    page.get_by_role("button", name="Reject: session t").click()
    page.screenshot(path=pictures / "sessions-reject.png")
    accessible = violations(page)
    page.keyboard.press("Escape")
    escaped = sandbox.truth("t").status
    page.get_by_role("button", name="Reject: session t").click()
    page.get_by_label("Reason code").fill("face_blurry")
    page.get_by_role("dialog").get_by_role("button", name="Reject", exact=True).click()

    page.locator(".pill", has_text="Rejected").wait_for()
    assert accessible == []
    assert escaped == "in_progress"
    assert result(server, "t")["reject_reason"]["value"] == "face_blurry"
    assert page.get_by_role("button", name="Approve: session t").is_disabled()


def test_what_could_not_be_done_is_said_and_a_lost_connection_too(
    visitor: Visitor, sandbox: Sandbox
) -> None:
    page = visitor.page
    with sandbox.serve(front=Front()) as server:
        sandbox.plant("t")
        page.goto(server.sessions_url)
        button = page.get_by_role("button", name="Approve: session t")
        button.wait_for()
        page.get_by_label("Seconds until a verdict").fill("-5")
        button.click()
        page.get_by_role("alert").get_by_text("number of seconds from 0").wait_for()
        page.get_by_text("Live").wait_for()

    page.get_by_text("does not answer").wait_for()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("index", "/"),
        ("terms", "/?session_token=t"),
        ("widget", "/?session_token=t&agreed=yes"),
        ("left", "/?session_token=t&left=yes"),
        ("end", "/?session_token=over"),
        ("nobody", "/?session_token=nobody"),
        ("sessions", "/sessions"),
    ],
)
def test_every_page_is_for_everybody_and_asks_nobody_else(
    chromium: "Browser",
    sandbox: Sandbox,
    server: SandboxServer,
    pictures: Path,
    name: str,
    path: str,
    scheme: str,
    size: dict[str, int],
) -> None:
    flags = {"liveness": True, "require_email": True, "language": "ka"}
    sandbox.plant("t", parameters={"flags": flags, "steps": [STEP]})
    for number, status in enumerate(("approved", "rejected", "manual_check", "disagreed")):
        sandbox.plant(f"s{number}", status)
    sandbox.plant("later", Script.of("approved", after=7000))
    sandbox.plant("over", "approved")
    sandbox.delete("s1")
    with chromium.new_context(color_scheme=scheme, viewport=size) as context:
        visitor = Visitor(context.new_page())
        page = visitor.page
        page.goto(origin(server) + path)
        if name == "sessions":
            page.locator("tbody tr").first.wait_for()
        page.screenshot(path=pictures / f"{name}-{scheme}-{size['width']}.png", full_page=True)

        assert violations(page) == []
        assert {request.url.startswith(origin(server)) for request in visitor.requests} == {True}
        assert visitor.bytes_loaded() < 60_000
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
