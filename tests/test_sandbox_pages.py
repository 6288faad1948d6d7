"""The pages of the sandbox: what they let in, and who may do what, on virtual time."""

import re
from importlib.resources import files
from typing import Any

import pytest

from identomat_async.sandbox import Sandbox, Script
from tests._pages_ground import OWN, RETURN, TOKEN, begun, browser, get, post, shown


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(life=Script.of("approved", after=20))


@pytest.mark.parametrize(
    "path", ["/", "/sessions", f"/?session_token={TOKEN}", "/?session_token=x"]
)
async def test_every_page_says_that_it_is_a_sandbox_and_lets_nothing_else_in(
    sandbox: Sandbox, path: str
) -> None:
    begun(sandbox)

    page = await get(sandbox, path)

    policy = page.headers["content-security-policy"]
    assert "<strong>Sandbox.</strong> Nobody is checked here" in page.text
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", page.text)
    assert not re.search(r"<[^>]* on\w+=|<style| style=|<script>", page.text)


@pytest.mark.parametrize(("path", "ancestors"), [("/sessions", "'none'"), ("/", "'none'")])
async def test_what_decides_other_sessions_cannot_be_framed(
    sandbox: Sandbox, path: str, ancestors: str
) -> None:
    page = await get(sandbox, path)

    assert page.headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")


async def test_the_widget_can_be_framed_by_anybody(sandbox: Sandbox) -> None:
    page = await get(sandbox, begun(sandbox))

    assert page.headers["content-security-policy"].endswith("form-action 'self'; frame-ancestors *")


LINKS = ["/", "/sessions"]


@pytest.mark.parametrize(
    ("shown_as", "links"), [("document", LINKS), ("iframe", []), (None, [])], ids=str
)
async def test_the_ends_of_the_widget_lead_to_the_other_pages_unless_they_may_be_framed(
    sandbox: Sandbox, shown_as: str | None, links: list[str]
) -> None:
    path = begun(sandbox, skip_agreement=False)
    headers = {} if shown_as is None else {"sec-fetch-dest": shown_as}

    steps = [await get(sandbox, f"{path}{more}", **headers) for more in ("", "&agreed=yes")]
    left = await get(sandbox, f"{path}&left=yes", **headers)
    nobody = await get(sandbox, "/?session_token=nobody", **headers)
    sandbox.decide(TOKEN, "approved")
    end = await get(sandbox, path, **headers)

    assert [linked(page.text) for page in steps] == [[], []]
    assert [linked(page.text) for page in (left, nobody, end)] == [links] * 3


async def test_the_page_of_all_sessions_always_leads_home(sandbox: Sandbox) -> None:
    assert linked((await get(sandbox, "/sessions")).text) == LINKS
    assert linked((await get(sandbox, "/")).text) == LINKS


def linked(page: str) -> list[str]:
    """Return where the ribbon leads."""
    return re.findall(r'href="(.*?)"', page.partition("<header")[2].partition("</header>")[0])


async def test_a_form_may_end_at_the_return_url(sandbox: Sandbox) -> None:
    page = await get(sandbox, begun(sandbox, return_url=RETURN))

    assert "form-action 'self' http: https:;" in page.headers["content-security-policy"]


def test_each_page_with_all_it_loads_is_small() -> None:
    folder = files("identomat_async.sandbox") / "pages"

    whole = sum(len(file.read_bytes()) for file in folder.iterdir())

    assert whole < 60_000


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/widget.js", "text/javascript; charset=utf-8"),
        ("/assets/sessions.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ],
)
async def test_what_the_pages_load_is_there(sandbox: Sandbox, path: str, content_type: str) -> None:
    file = await get(sandbox, path)

    assert file.status_code == 200
    assert file.headers["content-type"] == content_type
    assert file.content


async def test_pages_are_no_requests_of_a_client(sandbox: Sandbox) -> None:
    await get(sandbox, "/sessions")
    await get(sandbox, begun(sandbox))

    assert sandbox.request_count == 0
    assert sandbox.truth(TOKEN).polls == 0


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nobody-knows"),
        pytest.param({"origin": "null"}, id="hidden"),
        pytest.param({"origin": "https://evil.example"}, id="another-site"),
        pytest.param({"origin": "http://localhost:8000"}, id="another-port"),
        pytest.param({"sec-fetch-site": "same-site"}, id="the-same-site-but-another-origin"),
        pytest.param(OWN | {"sec-fetch-site": "cross-site"}, id="the-browser-knows-better"),
    ],
)
@pytest.mark.parametrize("path", ["/sessions/decide", f"/?session_token={TOKEN}", "/begin"])
async def test_pages_of_other_sites_decide_nothing(
    sandbox: Sandbox, path: str, headers: dict[str, str]
) -> None:
    begun(sandbox)

    answer = await post(sandbox, path, headers, session_token=TOKEN, verdict="approved")

    assert answer.status_code == 403
    assert sandbox.truth(TOKEN).script == Script.of("approved", after=20)
    assert sandbox.tokens == (TOKEN,)


async def test_a_session_is_begun_by_hand_and_leads_to_its_page(sandbox: Sandbox) -> None:
    begun = await post(sandbox, "/begin")
    page = await get(sandbox, begun.headers["location"])

    (token,) = sandbox.tokens
    assert begun.status_code == 303
    assert begun.headers["location"] == f"/?session_token={token}"
    assert "Agree and continue" in shown(page)
    assert (await get(sandbox, "/begin")).status_code == 405


@pytest.mark.parametrize("headers", [OWN, {"sec-fetch-site": "same-origin"}])
async def test_a_page_of_its_own_may(sandbox: Sandbox, headers: dict[str, str]) -> None:
    answer = await post(sandbox, begun(sandbox), headers, verdict="approved")

    assert answer.status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "192.0.2.7:8731", "", "[", "localhost.evil.example"]
)
async def test_a_foreign_name_that_leads_here_shows_nothing(sandbox: Sandbox, host: str) -> None:
    begun(sandbox)

    answers = [
        await get(sandbox, "/sessions", host=host),
        await post(
            sandbox,
            "/sessions/decide",
            {"host": host, "origin": f"http://{host}"},
            session_token=TOKEN,
            verdict="approved",
        ),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert sandbox.truth(TOKEN).script == Script.of("approved", after=20)


@pytest.mark.parametrize("host", ["localhost:8731", "127.0.0.1", "[::1]:80", "shop.localhost"])
async def test_every_name_of_this_machine_will_do(sandbox: Sandbox, host: str) -> None:
    assert (await get(sandbox, "/sessions", host=host)).status_code == 200


async def test_a_session_that_is_not_there_has_no_page(sandbox: Sandbox) -> None:
    path = begun(sandbox)
    sandbox.delete(TOKEN)

    answers = [await get(sandbox, path), await post(sandbox, path, verdict="approved")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert all("No such session" in shown(answer) for answer in answers)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"content": b"verdict=approved"}, "This is no form."),
        ({"json": {"verdict": "approved"}}, "This is no form."),
        ({"data": {"verdict": "approved", "q0.0": "x" * 200_000}}, "This form holds too much."),
        ({"data": {"verdict": ["approved"] * 5001}}, "This form has too many fields."),
        ({"data": {"verdict": "in_progress"}}, "The verdict must be one of"),
    ],
)
async def test_a_form_that_cannot_be_read_does_nothing(
    sandbox: Sandbox, sent: dict[str, Any], said: str
) -> None:
    path = begun(sandbox)

    async with browser(sandbox) as http:
        answer = await http.post(path, headers=OWN, **sent)

    assert answer.status_code == 400
    assert said in shown(answer)
    assert sandbox.truth(TOKEN).status == "in_progress"


async def test_a_method_that_means_nothing_is_refused(sandbox: Sandbox) -> None:
    async with browser(sandbox) as http:
        answers = [await http.put("/"), await http.post("/sessions", headers=OWN)]
        head = await http.head("/sessions")

    assert [answer.status_code for answer in answers] == [405, 405]
    assert head.status_code == 200
