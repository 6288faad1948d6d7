"""The page of one session, from its terms to its verdict, on virtual time."""

import re

import anyio
import pytest

from identomat_async.sandbox import Sandbox, Script
from tests._pages_ground import (
    ANSWERED,
    ANSWERS,
    EVIL,
    RETURN,
    TOKEN,
    begun,
    get,
    post,
    questionnaire,
    result,
    shown,
)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(life=Script.of("approved", after=20))


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
