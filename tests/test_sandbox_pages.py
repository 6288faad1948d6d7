"""The pages of the sandbox, asked by plain httpx without a socket, on virtual time."""

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import anyio
import httpx
import pytest

from identomat_async.sandbox import Sandbox, Script

OWN = {"origin": "http://localhost"}
RETURN = "https://shop.example/done?order=7"
TOKEN = "a" * 40
EVIL = "<script>alert('x')</script>\"'&"
QUESTIONS = [
    {
        "type": "boolean",
        "key": "has-job",
        "mandatory": True,
        "title": {"en": "A job?", "ka": "კი?"},
    },
    {"type": "string", "key": "employer", "mandatory": True, "title": "Employer"},
    {
        "type": "options",
        "key": "income",
        "mandatory": True,
        "title": "Income",
        "options": [{"key": "low", "title": {"en": "Low"}}, {"key": "high"}, {"key": 3}],
    },
    {
        "type": "multiple-choice",
        "key": "sources",
        "mandatory": True,
        "title": "Sources",
        "options": [{"key": "salary", "title": "Salary"}, {"key": "rent", "title": "Rent"}],
    },
    {"type": "string", "key": "remark"},
    {"type": "multiple-choice", "key": "hobbies", "options": [{"key": "chess"}]},
]
ANSWERS = {
    "q0.0": "no",
    "q0.1": "Sample Ltd",
    "q0.2": "1",
    "q0.3": ["0", "1"],
    "q0.4": " ",
}
ANSWERED = [
    {"key": "has-job", "answer": False},
    {"key": "employer", "answer": "Sample Ltd"},
    {"key": "income", "answer": "high"},
    {"key": "sources", "answer": ["salary", "rent"]},
    {"key": "remark"},
    {"key": "hobbies"},
]


def questionnaire(**members: object) -> dict[str, object]:
    return {"type": "user-questionnaire", "key": "work", "questions": QUESTIONS} | members


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(life=Script.of("approved", after=20))


def browser(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=sandbox.transport(), base_url="http://localhost")


def begun(sandbox: Sandbox, *steps: object, **flags: object) -> str:
    sandbox.plant(
        TOKEN,
        Script.of("approved", after=20),
        parameters={"flags": {"skip_agreement": True} | flags, "steps": list(steps)},
    )
    return f"/?session_token={TOKEN}"


async def get(sandbox: Sandbox, path: str, **headers: str) -> httpx.Response:
    async with browser(sandbox) as http:
        return await http.get(path, headers=headers)


async def post(
    sandbox: Sandbox, path: str, headers: Mapping[str, str] = OWN, **form: Any
) -> httpx.Response:
    async with browser(sandbox) as http:
        return await http.post(path, data=form, headers=headers)


async def result(sandbox: Sandbox) -> dict[str, Any]:
    answer = await post(sandbox, "/external-api/result/", {}, company_key="k", session_token=TOKEN)
    found: dict[str, Any] = answer.json()
    return found


def shown(page: httpx.Response) -> str:
    """Return what can be read on a page."""
    text = re.sub(r"<[^>]*>", " ", page.text.partition("<main>")[2])
    return " ".join(html.unescape(text).split())


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


# The widget


async def test_the_terms_come_first_unless_a_flag_skips_them(sandbox: Sandbox) -> None:
    path = begun(sandbox, skip_agreement=False)

    terms = await get(sandbox, path)
    check = await get(sandbox, f"{path}&agreed=yes")

    assert "Agree and continue" in shown(terms)
    assert "Approve" not in shown(terms)
    assert "Approve" in shown(check)


async def test_the_steps_are_those_of_the_session(sandbox: Sandbox) -> None:
    path = begun(
        sandbox,
        {"type": "operator-questionnaire", "key": "o", "title": "Not for the person"},
        {"type": "liveness", "key": "l", "title": "Look here"},
        {"type": "geolocation", "key": "g", "description": "Where **are** you?"},
        document_types=["passport"],
        require_email=True,
        require_phone_number_check=True,
        allow_general_document_upload=True,
        general_document_types=["utility_bill"],
    )

    page = await get(sandbox, path)

    titles = re.findall(r"<h2 dir=\"auto\">(.*?)</h2>", page.text)
    assert titles == [
        "Identity document",
        "Utility bill",
        "E-mail",
        "Phone",
        "Look here",
        "geolocation",
    ]
    assert "Passport" in shown(page)
    assert "Alive, and the same person" in shown(page)
    assert "Where are you?" in shown(page)
    assert "@example.org" in shown(page)


async def test_steps_that_are_skipped_are_not_shown(sandbox: Sandbox) -> None:
    page = await get(sandbox, begun(sandbox, skip_document=True, skip_face=True))

    assert "<h2 dir" not in page.text
    assert "Specimen" not in page.text


async def test_a_face_without_liveness_is_only_compared(sandbox: Sandbox) -> None:
    page = await get(sandbox, begun(sandbox, document_types=["library_card"]))

    assert "Camera The same person" in shown(page)
    assert "library_card" in shown(page)


async def test_texts_are_in_the_language_of_the_session(sandbox: Sandbox) -> None:
    page = await get(sandbox, begun(sandbox, questionnaire(title={"ka": "საქმე"}), language="ka"))

    assert '<h2 lang="ka" dir="auto">საქმე</h2>' in page.text
    assert '<span lang="ka" dir="auto">კი?</span>' in page.text
    assert '<span lang="en" dir="auto">Low</span>' in page.text


async def test_nothing_that_begin_was_called_with_becomes_html(sandbox: Sandbox) -> None:
    option = {"key": EVIL, "title": {"en": EVIL}}
    question = {"type": "options", "key": EVIL, "title": EVIL, "options": [option]}
    step = {
        "type": "user-questionnaire",
        "key": EVIL,
        "title": EVIL,
        "description": EVIL,
        "questions": [question, {"type": EVIL, "key": EVIL}, {"type": "string"}],
    }
    path = begun(
        sandbox,
        step,
        {"type": EVIL, "key": EVIL},
        document_types=[EVIL],
        language=EVIL,
        return_url="https://shop.example/" + EVIL,
        allow_general_document_capture=True,
        general_document_types=[EVIL],
    )

    page = await get(sandbox, path)
    again = await post(sandbox, path, verdict="approved", after=EVIL, **{"q0.0": EVIL})
    sandbox.decide(TOKEN, EVIL)
    end = await get(sandbox, path)
    nobody = await get(sandbox, f"/?session_token={EVIL}")

    for each in (page, again, end, nobody):
        assert "<script>" not in each.text
        assert "alert" not in "".join(re.findall(r"<(?!input|a |p class)[^>]*>", each.text))
    assert page.text.count("&lt;script&gt;") >= 8


async def test_whoever_is_let_in_decides_and_no_script_does(sandbox: Sandbox) -> None:
    await get(sandbox, begun(sandbox))
    await anyio.sleep(30)

    assert sandbox.truth(TOKEN).status == "in_progress"


async def test_a_script_that_has_come_to_its_end_stays(sandbox: Sandbox) -> None:
    path = begun(sandbox)
    await anyio.sleep(30)

    page = await get(sandbox, path)

    assert "This session is approved." in shown(page)
    assert sandbox.truth(TOKEN).status == "approved"


@pytest.mark.parametrize(
    ("verdict", "reached"),
    [
        ("approved", "approved"),
        ("rejected", "rejected"),
        ("manual_check", "manual_check"),
        ("disagreed", "disagreed"),
    ],
)
async def test_a_verdict_is_what_the_result_says_and_the_browser_goes_back(
    sandbox: Sandbox, verdict: str, reached: str
) -> None:
    path = begun(sandbox, return_url=RETURN)

    answer = await post(sandbox, path, verdict=verdict)

    assert (answer.status_code, answer.headers["location"]) == (303, RETURN)
    assert (await result(sandbox))["result"] == reached


async def test_without_a_return_url_the_page_ends_with_its_message(sandbox: Sandbox) -> None:
    path = begun(sandbox, return_url="")

    answer = await post(sandbox, path, verdict="approved")
    end = await get(sandbox, answer.headers["location"])

    assert answer.headers["location"] == path
    assert 'data-done="yes"' in end.text
    assert "/assets/widget.js" in end.text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", 7, "/done"])
async def test_no_browser_is_sent_to_what_is_no_web_address(sandbox: Sandbox, url: object) -> None:
    path = begun(sandbox, return_url=url)

    answer = await post(sandbox, path, verdict="approved")

    assert answer.headers["location"] == path
    assert "Continue" not in shown(await get(sandbox, path))


async def test_an_address_cannot_add_a_header(sandbox: Sandbox) -> None:
    path = begun(sandbox, return_url="https://shop.example/\r\nset-cookie: a=b")

    answer = await post(sandbox, path, verdict="approved")

    assert answer.headers["location"] == "https://shop.example/%0D%0Aset-cookie:%20a=b"
    assert "set-cookie" not in answer.headers


async def test_a_verdict_may_come_later(sandbox: Sandbox) -> None:
    path = begun(sandbox, return_url=RETURN)
    await post(sandbox, path, verdict="rejected", after="90")

    at_once = sandbox.truth(TOKEN).status
    page = shown(await get(sandbox, path))
    await anyio.sleep(91)

    assert at_once == "in_progress"
    assert "In about 90 seconds it comes to rejected ." in page
    assert sandbox.truth(TOKEN).status == "rejected"


async def test_a_reason_is_in_the_result(sandbox: Sandbox) -> None:
    form = {"verdict": "rejected", "reason": "document_expired", "description": "Too old."}

    await post(sandbox, begun(sandbox), **form)

    assert (await result(sandbox))["reject_reason"] == {
        "value": "document_expired",
        "description": "Too old.",
    }


async def test_who_walks_away_is_not_decided_and_may_come_back(sandbox: Sandbox) -> None:
    path = begun(sandbox, return_url=RETURN)

    answer = await post(sandbox, path, verdict="abandoned")
    left = await get(sandbox, answer.headers["location"])
    await anyio.sleep(100)
    back = await get(sandbox, path)

    assert "You walked away" in shown(left)
    assert "data-done" not in left.text
    assert sandbox.truth(TOKEN).status == "in_progress"
    assert "Approve" in shown(back)


async def test_what_is_over_is_not_decided_again(sandbox: Sandbox) -> None:
    path = begun(sandbox, return_url=RETURN)
    await post(sandbox, path, verdict="approved", after="10")

    again = await post(sandbox, path, verdict="rejected")
    await anyio.sleep(11)

    assert again.headers["location"] == path
    assert sandbox.truth(TOKEN).status == "approved"


# Questionnaires


async def test_answers_are_in_the_result(sandbox: Sandbox) -> None:
    path = begun(sandbox, questionnaire())

    await post(sandbox, path, verdict="approved", **ANSWERS)

    assert (await result(sandbox))["questionnaires"] == [{"key": "work", "questions": ANSWERED}]


async def test_what_an_operator_is_asked_the_person_is_not(sandbox: Sandbox) -> None:
    operator = questionnaire(type="operator-questionnaire", key="call")
    path = begun(sandbox, operator, questionnaire(type="client-questionnaire"))
    shifted = {name.replace("q0", "q1"): answer for name, answer in ANSWERS.items()}

    page = await get(sandbox, path)
    await post(sandbox, path, verdict="approved", **shifted)

    found = (await result(sandbox))["questionnaires"]
    assert 'name="q0.' not in page.text
    assert [each["key"] for each in found] == ["call", "work"]
    assert found[1]["questions"] == ANSWERED
    assert found[0]["questions"][1]["answer"].endswith(" says so")


@pytest.mark.parametrize("missing", ["q0.0", "q0.1", "q0.2", "q0.3"])
async def test_what_is_mandatory_has_to_be_answered(sandbox: Sandbox, missing: str) -> None:
    path = begun(sandbox, questionnaire())
    form = {name: answer for name, answer in ANSWERS.items() if name != missing}

    page = await post(sandbox, path, verdict="approved", after="5", **form)

    assert page.status_code == 422
    assert f'<a href="#{missing}">' in page.text
    assert f'id="{missing}-error">Please answer this question.' in page.text
    assert page.text.count("aria-invalid") == 1
    assert 'value="Sample Ltd"' in page.text or missing == "q0.1"
    assert 'name="after" value="5"' in page.text
    assert sandbox.truth(TOKEN).script == Script()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"q0.2": "7"}, id="no-such-option"),
        pytest.param({"q0.0": "maybe"}, id="neither-yes-nor-no"),
        pytest.param({"q0.1": "x" * 2001}, id="too-long"),
        pytest.param({"q0.3": ["9"]}, id="none-of-these"),
    ],
)
async def test_an_answer_that_is_none_counts_as_none(
    sandbox: Sandbox, wrong: dict[str, object]
) -> None:
    page = await post(
        sandbox, begun(sandbox, questionnaire()), verdict="approved", **ANSWERS | wrong
    )

    assert page.status_code == 422
    assert f'<a href="#{next(iter(wrong))}">' in page.text


@pytest.mark.parametrize("verdict", ["disagreed", "abandoned"])
async def test_nobody_has_to_answer_in_order_to_leave(sandbox: Sandbox, verdict: str) -> None:
    answer = await post(sandbox, begun(sandbox, questionnaire()), verdict=verdict)

    assert answer.status_code == 303


async def test_no_answer_is_in_what_the_sandbox_says_of_itself(sandbox: Sandbox) -> None:
    secret = ANSWERS | {"q0.1": "Anna Example"}
    await post(sandbox, begun(sandbox, questionnaire()), verdict="approved", **secret)

    assert "Anna Example" not in repr(sandbox._service._sessions[TOKEN])
    assert "Anna Example" not in repr(sandbox.truth(TOKEN))


# All sessions


async def test_an_operator_decides_from_the_list(sandbox: Sandbox) -> None:
    begun(sandbox)
    sandbox.decide(TOKEN, "manual_check")

    answer = await post(
        sandbox,
        "/sessions/decide",
        session_token=TOKEN,
        verdict="rejected",
        reason="face_mismatch",
        description="Somebody else.",
    )

    document = await result(sandbox)
    assert answer.status_code == 204
    assert document["result"] == "rejected"
    assert document["result_comment"] == "checked by hand"
    assert document["reject_reason"]["description"] == "Somebody else."


async def test_an_operator_keeps_the_answers_of_the_person(sandbox: Sandbox) -> None:
    path = begun(sandbox, questionnaire())
    await post(sandbox, path, verdict="manual_check", **ANSWERS)

    await post(sandbox, "/sessions/decide", session_token=TOKEN, verdict="approved", after="60")
    await anyio.sleep(61)

    document = await result(sandbox)
    assert document["result"] == "approved"
    assert document["questionnaires"] == [{"key": "work", "questions": ANSWERED}]


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"session_token": "x", "verdict": "approved"}, 404, "no such session"),
        ({"session_token": TOKEN, "verdict": "disagreed"}, 400, "approved, manual_check, rejected"),
        ({"session_token": TOKEN}, 400, "verdict"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "-1"}, 400, "seconds"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "soon"}, 400, "seconds"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "nan"}, 400, "seconds"),
    ],
)
async def test_what_an_operator_cannot_do_is_said(
    sandbox: Sandbox, form: dict[str, str], status: int, said: str
) -> None:
    begun(sandbox)

    answer = await post(sandbox, "/sessions/decide", **form)

    assert answer.status_code == status
    assert said in answer.text
    assert sandbox.truth(TOKEN).script == Script.of("approved", after=20)


async def test_what_is_decided_stays_so(sandbox: Sandbox) -> None:
    begun(sandbox)
    sandbox.decide(TOKEN, "Approved")

    answer = await post(sandbox, "/sessions/decide", session_token=TOKEN, verdict="rejected")

    assert (answer.status_code, answer.text) == (409, "It is approved already.")
    assert sandbox.truth(TOKEN).status == "Approved"


async def test_older_sessions_are_a_page_away(sandbox: Sandbox) -> None:
    for number in range(250):
        sandbox.plant(f"t{number}")

    first = await get(sandbox, "/sessions")
    second = await get(sandbox, "/sessions?skip=100")
    last = await get(sandbox, "/sessions?skip=200")
    nonsense = await get(sandbox, "/sessions?skip=-1")

    assert re.findall(r"\?skip=\d+", first.text) == ["?skip=0", "?skip=100"]
    assert re.findall(r"\?skip=\d+", second.text) == ["?skip=100", "?skip=0", "?skip=200"]
    assert re.findall(r"\?skip=\d+", last.text) == ["?skip=200", "?skip=100"]
    assert nonsense.text == first.text


# Who may do what


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
@pytest.mark.parametrize("path", ["/sessions/decide", f"/?session_token={TOKEN}"])
async def test_pages_of_other_sites_decide_nothing(
    sandbox: Sandbox, path: str, headers: dict[str, str]
) -> None:
    begun(sandbox)

    answer = await post(sandbox, path, headers, session_token=TOKEN, verdict="approved")

    assert answer.status_code == 403
    assert sandbox.truth(TOKEN).script == Script.of("approved", after=20)


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


# What is told live


class Listener:
    """A browser that listens, without a socket."""

    def __init__(self, sandbox: Sandbox, query: bytes = b"") -> None:
        self._sandbox = sandbox
        self._query = query
        self.events: list[dict[str, Any]] = []
        self.beats = 0

    async def listen(self, seconds: float) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": "/sessions/events",
            "raw_path": b"/sessions/events",
            "query_string": self._query,
            "root_path": "",
            "headers": [(b"host", b"localhost")],
        }
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            for message in asked:
                return message
            await anyio.sleep(seconds)
            return {"type": "http.disconnect"}

        await self._sandbox.app(scope, receive, self._hear)

    async def _hear(self, message: Any) -> None:
        for line in message.get("body", b"").decode().split("\n\n"):
            if line.startswith("data: "):
                self.events.append(json.loads(line.removeprefix("data: ")))
            self.beats += line == ": still here"


async def test_who_listens_is_told_what_has_changed_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.plant("older")
    begun(sandbox)
    listener = Listener(sandbox)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.listen, 60)
        await anyio.sleep(5)
        await result(sandbox)
        await anyio.sleep(5)
        sandbox.decide(TOKEN, "manual_check", after=3600)
        sandbox.invalidate("older")
        await anyio.sleep(5)
        sandbox.delete(TOKEN)

    first, polled, decided, deleted = (event["rows"] for event in listener.events)
    assert [row["token"] for row in first] == [TOKEN, "older"]
    assert first[0] == {
        "token": TOKEN,
        "status": "in_progress",
        "age": 0,
        "polls": 0,
        "polled": None,
        "next": ["approved", 20],
    }
    assert (polled[0]["polls"], polled[0]["polled"]) == (1, pytest.approx(0.5, abs=0.5))
    assert decided[0]["next"] == ["manual_check", pytest.approx(3600, abs=1)]
    assert decided[1]["status"] == "invalid"
    assert (deleted[0]["status"], deleted[0]["next"]) == ("deleted", None)
    assert listener.events[0]["total"] == 2
    assert 1 <= listener.beats <= 4


async def test_older_sessions_can_be_listened_to(sandbox: Sandbox) -> None:
    for number in range(150):
        sandbox.plant(f"t{number}")
    listener = Listener(sandbox, b"skip=100")

    await listener.listen(1)

    (event,) = listener.events
    assert [row["token"] for row in event["rows"]] == [f"t{n}" for n in range(49, -1, -1)]
    assert event["total"] == 150


async def test_a_browser_that_goes_before_it_has_asked_is_not_answered(sandbox: Sandbox) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
    }
    said: list[Any] = []

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await sandbox.app(scope, gone, send)

    assert said == []
