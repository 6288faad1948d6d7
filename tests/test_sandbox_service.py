"""What the sandbox knows and what its documents look like; no HTTP, a clock in the hand."""

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
import pytest

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Sandbox, Script
from identomat_async.sandbox._media import content_of
from identomat_async.sandbox._people import person_of
from identomat_async.sandbox._refusal import Refusal

Document: TypeAlias = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(now=clock, life=Script.of("approved", after=30), screening=0)


def begin(sandbox: Sandbox, **parameters: object) -> str:
    return sandbox._service.begin(parameters)


def result(sandbox: Sandbox, token: str) -> Document:
    return json.loads(sandbox._service.result(token))


def approved(sandbox: Sandbox, clock: Clock, **parameters: object) -> Document:
    token = begin(sandbox, **parameters)
    clock.time += 30
    return result(sandbox, token)


def test_tokens_have_the_shape_of_real_ones_and_differ(sandbox: Sandbox) -> None:
    tokens = [begin(sandbox) for _ in range(50)]

    assert all(re.fullmatch("[a-z0-9]{40}", token) for token in tokens)
    assert len(set(tokens)) == 50
    assert sandbox.tokens == tuple(tokens)


def test_the_same_seed_hands_out_the_same_tokens_and_lives() -> None:
    first, second, third = (Sandbox(seed=seed, now=Clock()) for seed in (1, 1, 2))

    same = [[sandbox.truth(begin(sandbox)).script for _ in range(5)] for sandbox in (first, second)]
    begin(third)

    assert same[0] == same[1]
    assert first.tokens == second.tokens
    assert first.tokens[0] != third.tokens[0]


def test_a_session_lives_as_its_script_says(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox)

    clock.time += 29
    before = result(sandbox, token)
    clock.time += 1
    after = result(sandbox, token)

    assert before["result"] == "in_progress"
    assert before["person"] == {}
    assert after["result"] == "approved"


def test_the_truth_is_known_of_every_session(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox)
    sandbox.script("manual_check", after=20, token=token).then("rejected", after=100)
    born = sandbox.truth(token)
    clock.time += 25
    result(sandbox, token)
    reviewed = sandbox.truth(token)
    clock.time += 200
    ended = sandbox.truth(token)

    assert (born.status, born.settled_at, born.decided_at) == ("in_progress", None, None)
    assert (born.polls, born.last_poll, born.begun_at) == (0, None, 1000)
    assert (reviewed.status, reviewed.settled_at, reviewed.decided_at) == (
        "manual_check",
        1020,
        None,
    )
    assert (reviewed.polls, reviewed.last_poll) == (1, 1025)
    assert (ended.status, ended.settled_at, ended.decided_at) == ("rejected", 1020, 1120)


def test_polls_of_a_deleted_session_are_counted_too(sandbox: Sandbox) -> None:
    token = begin(sandbox)
    sandbox._service.delete(token)

    with pytest.raises(Refusal, match="SESSION_NOT_FOUND"):
        sandbox._service.result(token)

    assert sandbox.truth(token).polls == 1
    assert sandbox.truth(token).deleted


def test_deleting_says_once_more_what_is_known(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox)
    clock.time += 30

    said = json.loads(sandbox._service.delete(token))

    assert said["result"] == "approved"
    assert said["person"]["personal_number"] == sandbox.truth(token).person_number
    with pytest.raises(Refusal, match="SESSION_NOT_FOUND"):
        sandbox._service.delete(token)


def test_a_session_can_vanish_or_become_invalid(sandbox: Sandbox) -> None:
    gone, invalid = begin(sandbox), begin(sandbox)
    sandbox.delete(gone)
    sandbox.invalidate(invalid)

    with pytest.raises(Refusal, match="SESSION_NOT_FOUND"):
        sandbox._service.result(gone)
    with pytest.raises(Refusal, match="SESSION_INVALID"):
        sandbox._service.result(invalid)


def test_a_script_for_later_sessions_leaves_the_others_alone(
    sandbox: Sandbox, clock: Clock
) -> None:
    old = begin(sandbox)
    sandbox.script("manual_check", after=20).then("rejected", after=5)
    new = begin(sandbox)
    clock.time += 25

    assert sandbox.truth(old).status == "in_progress"
    assert sandbox.truth(new).status == "rejected"


def test_lives_may_be_drawn_by_a_function(sandbox: Sandbox) -> None:
    scripted = sandbox.script(lambda rng: Script.of("approved", after=rng.randrange(1, 10**9)))
    lives = {sandbox.truth(begin(sandbox)).script for _ in range(5)}

    assert len(lives) == 5
    with pytest.raises(ConfigurationError, match="then"):
        scripted.then("approved", after=1)


def test_a_function_may_draw_how_one_session_goes_on(sandbox: Sandbox) -> None:
    token = begin(sandbox)
    sandbox.script(lambda _: Script.of("rejected", after=5), token=token)

    assert sandbox.truth(token).script == Script.of("rejected", after=5)


def test_a_late_script_happens_at_once_and_rewrites_nothing(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox)
    clock.time += 10
    sandbox.script("manual_check", after=5, token=token).then("approved", after=100)

    assert sandbox.truth(token).settled_at == 1010
    clock.time += 95
    assert sandbox.truth(token).decided_at == 1105


def test_an_operator_decides_from_now_on(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox)
    sandbox.script("manual_check", after=1, token=token)
    clock.time += 10
    sandbox.decide(token, "rejected", after=5)

    assert sandbox.truth(token).status == "manual_check"
    clock.time += 5
    assert sandbox.truth(token).decided_at == 1015
    assert result(sandbox, token)["result_comment"] == "checked by hand"


def test_old_sessions_can_be_planted(sandbox: Sandbox) -> None:
    sandbox.plant("old", Script.of("approved", after=60), begun=100, parameters={"config_id": "c"})
    sandbox.plant("young")
    sandbox.plant("ready", "rejected")

    assert sandbox.truth("old").settled_at == 160
    assert result(sandbox, "old")["configId"] == "c"
    assert sandbox.truth("young").status == "in_progress"
    assert sandbox.truth("ready").settled_at == 1000


def test_planting_refuses_what_begin_refuses(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="flags"):
        sandbox.plant("old", parameters={"flags": []})
    with pytest.raises(ConfigurationError, match="token"):
        sandbox.plant("")


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda sandbox: sandbox.truth("nobody"), id="truth"),
        pytest.param(lambda sandbox: sandbox.delete("nobody"), id="delete"),
        pytest.param(lambda sandbox: sandbox.invalidate("nobody"), id="invalidate"),
        pytest.param(lambda sandbox: sandbox.decide("nobody", "approved"), id="decide"),
        pytest.param(lambda sandbox: sandbox.script("approved", token="nobody"), id="script"),
    ],
)
def test_an_unknown_session_is_said_to_be_unknown_without_its_token(
    sandbox: Sandbox, ask: Callable[[Sandbox], object]
) -> None:
    with pytest.raises(ConfigurationError, match="no such session") as caught:
        ask(sandbox)

    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"company_key": ""}, {"secret_key": ""}, {"screening": 1.5}])
def test_a_sandbox_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Sandbox(**wrong)


def test_its_repr_counts_and_tells_no_key() -> None:
    sandbox = Sandbox("company-secret", "hmac-secret")
    sandbox.plant("token-of-somebody")

    assert repr(sandbox) == "<Sandbox sessions=1 requests=0>"
    assert "secret" not in repr(sandbox._desk)


def test_a_child_needs_a_parent_that_exists(sandbox: Sandbox) -> None:
    parent = begin(sandbox)
    begin(sandbox, parent_session_id=parent)

    with pytest.raises(Refusal, match="SESSION_NOT_FOUND"):
        begin(sandbox, parent_session_id="nobody")


def test_a_document_never_names_its_token_but_tells_whose_it_is(
    sandbox: Sandbox, clock: Clock
) -> None:
    tokens = [begin(sandbox) for _ in range(100)]
    clock.time += 30
    bodies = {token: sandbox._service.result(token) for token in tokens}

    assert not any(token.encode() in body for token, body in bodies.items())
    numbers = {json.loads(body)["person"]["personal_number"] for body in bodies.values()}
    assert numbers == {sandbox.truth(token).person_number for token in tokens}
    assert len(numbers) == 100


def test_an_approved_document_has_every_member_of_a_real_one(
    sandbox: Sandbox, clock: Clock
) -> None:
    document = approved(sandbox, clock, flags={"liveness": True, "document_types": ["id"]})

    assert document["live"] is True
    assert 0.9 <= document["similarity"] < 1
    assert document["document_type"] == "id"
    assert document["face_images"] == 1
    assert (
        document["id_card_front"]["Document_Number_en_US"] == document["person"]["document_number"]
    )
    assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", document["person"]["birthday"])
    assert document["person"]["birthday_time"].endswith("T00:00:00.000Z")
    assert isinstance(document["person"]["age"], int)
    assert [len(line) for line in document["person"]["mrz"].split("\n")] == [30, 30, 30]
    assert document["technicalDetails"]["countryCode"] == "GE"
    assert "configId" not in document
    assert "questionnaires" not in document
    assert "screeningMatches" not in document


def test_slashes_and_letters_beyond_ascii_are_escaped(sandbox: Sandbox, clock: Clock) -> None:
    tokens = [begin(sandbox) for _ in range(20)]
    clock.time += 30
    bodies = b"".join(sandbox._service.result(token) for token in tokens)

    assert b"\\/" in bodies
    assert re.search(rb"(?<!\\)/", bodies) is None
    assert b"\\u04" in bodies


def test_without_a_face_similarity_is_the_integer_nought(sandbox: Sandbox, clock: Clock) -> None:
    token = begin(sandbox, flags={"skip_face": True})
    clock.time += 30
    raw = sandbox._service.result(token)

    assert b'"similarity":0,' in raw
    assert json.loads(raw)["face_images"] == 0


@pytest.mark.parametrize(("skip_face", "reason"), [(False, "face_mismatch"), (True, "")])
def test_a_rejection_gives_its_reason_if_there_is_a_code_for_it(
    sandbox: Sandbox, clock: Clock, skip_face: object, reason: str
) -> None:
    sandbox.script("rejected")
    token = begin(sandbox, flags={"skip_face": skip_face})

    assert result(sandbox, token)["reject_reason"] == {"value": reason, "description": ""}


def test_both_ways_of_saying_no_reason_are_met_with(sandbox: Sandbox, clock: Clock) -> None:
    tokens = [begin(sandbox) for _ in range(50)]
    clock.time += 30
    reasons = [result(sandbox, token)["reject_reason"] for token in tokens]

    assert None in reasons
    assert {"value": "", "description": ""} in reasons


def test_optional_members_of_a_person_are_there_for_some(sandbox: Sandbox, clock: Clock) -> None:
    tokens = [begin(sandbox, flags={"document_types": ["passport"]}) for _ in range(100)]
    clock.time += 30
    people = [result(sandbox, token)["person"] for token in tokens]

    for member in ("local_first_name", "document_issued", "status"):
        assert 0 < sum(member in person for person in people) < 100
    assert all("birth_place" in person and "address" not in person for person in people)


def test_a_proof_of_address_has_three_spellings_and_no_identity_document(
    sandbox: Sandbox, clock: Clock
) -> None:
    flags = {
        "skip_document": True,
        "skip_face": True,
        "allow_general_document_upload": True,
        "general_document_types": ["utility_bill"],
    }
    documents = [approved(sandbox, clock, flags=flags) for _ in range(20)]

    general = documents[0]["generalDocuments"][0]
    assert (general["documentType"], general["typeId"]) == ("UTILITY_BILL", "utility_bill")
    assert general["pages"][0]["typeId"] == "utility-bill"
    assert documents[0]["document_type"] == ""
    assert list(documents[0]["person"]) == ["address"]
    pages = [document["generalDocuments"][0]["pages"][0] for document in documents]
    assert 0 < sum("statuses" in page for page in pages) < 20
    assert all(("documentIssued" in page["final"]) != ("statuses" in page) for page in pages)


def test_general_documents_need_a_way_to_hand_them_in(sandbox: Sandbox, clock: Clock) -> None:
    document = approved(sandbox, clock, flags={"general_document_types": ["utility_bill"]})

    assert document["generalDocuments"] == []


@pytest.mark.parametrize("kinds", ["id", [1, None], []])
def test_document_types_that_are_no_list_of_texts_mean_any(
    sandbox: Sandbox, clock: Clock, kinds: object
) -> None:
    assert approved(sandbox, clock, flags={"document_types": kinds})["document_type"] != ""


def test_steps_ask_for_what_the_flags_skip(sandbox: Sandbox, clock: Clock) -> None:
    document = approved(
        sandbox,
        clock,
        flags={"skip_document": True, "skip_face": True},
        steps=[{"type": "identity-document", "key": "d"}, {"type": "liveness", "key": "l"}],
    )

    assert document["live"] is True
    assert document["document_type"] != ""
    assert document["similarity"] > 0


def test_mail_and_phone_are_collected_when_asked_for(sandbox: Sandbox, clock: Clock) -> None:
    person = approved(
        sandbox, clock, flags={"require_email": True, "require_phone_number_check": True}
    )["person"]

    assert person["email"].endswith("@example.org")
    assert re.fullmatch(r"\+1000\d{7}", person["phone"])


def question(kind: str, **more: object) -> dict[str, object]:
    return {"type": kind, "key": kind, **more}


@pytest.mark.parametrize(
    "kind", ["user-questionnaire", "client-questionnaire", "operator-questionnaire"]
)
def test_questionnaires_are_answered_in_their_types(
    sandbox: Sandbox, clock: Clock, kind: str
) -> None:
    options = [{"key": "salary", "title": "Salary"}, {"key": "rent", "title": "Rent"}]
    questions = [
        question("boolean", mandatory=True),
        question("string", mandatory=True),
        question("options", mandatory=True, options=options),
        question("multiple-choice", mandatory=True, options=options),
        question("options", mandatory=True),
        question("novel", mandatory=True),
    ]
    step = {"type": kind, "key": "work", "questions": questions}
    (answered,) = approved(sandbox, clock, steps=[step])["questionnaires"]

    answers = [entry["answer"] for entry in answered["questions"]]
    assert answered["key"] == "work"
    assert [entry["key"] for entry in answered["questions"]] == [q["key"] for q in questions]
    assert isinstance(answers[0], bool)
    assert isinstance(answers[1], str)
    assert answers[2:] == ["salary", ["salary", "rent"], None, None]


def test_what_need_not_be_answered_is_not_answered_by_everybody(
    sandbox: Sandbox, clock: Clock
) -> None:
    step = {"type": "user-questionnaire", "key": "w", "questions": [question("string")]}
    entries = [
        approved(sandbox, clock, steps=[step])["questionnaires"][0]["questions"][0]
        for _ in range(50)
    ]

    assert 0 < sum("answer" in entry for entry in entries) < 50


def test_a_questionnaire_without_questions_has_no_answers(sandbox: Sandbox, clock: Clock) -> None:
    step = {"type": "user-questionnaire", "key": "w", "questions": "none"}

    assert approved(sandbox, clock, steps=[step])["questionnaires"] == [
        {"key": "w", "questions": []}
    ]


@pytest.mark.parametrize(
    ("parameters", "argument"),
    [
        ({"flags": []}, "flags"),
        ({"flags": "{"}, "flags"),
        ({"steps": {}}, "steps"),
        ({"steps": [1]}, "steps"),
        ({"steps": [{"key": "k"}]}, "steps"),
        ({"config_id": 1}, "config_id"),
        ({"parent_session_id": 1}, "parent_session_id"),
    ],
)
def test_begin_names_the_argument_it_cannot_read(
    sandbox: Sandbox, parameters: dict[str, object], argument: str
) -> None:
    with pytest.raises(Refusal) as caught:
        begin(sandbox, **parameters)

    assert caught.value.document == {"argumentError": argument}


def test_a_screening_match_leads_to_its_person(clock: Clock) -> None:
    sandbox = Sandbox(now=clock, life=Script.of("manual_check"), screening=1)
    document = result(sandbox, begin(sandbox))
    (match,) = document["screeningMatches"]

    details = json.loads(sandbox._service.screening_person(match["personId"]))

    assert details["personId"] == match["personId"]
    assert details["firstName"].upper() == document["person"]["first_name"]
    assert details["gender"] in {"male", "female"}
    with pytest.raises(Refusal, match="PERSON_NOT_FOUND"):
        sandbox._service.screening_person("p-0")


def test_media_follow_the_document_and_the_flags(sandbox: Sandbox, clock: Clock) -> None:
    def kinds(token: str) -> set[str]:
        found = set()
        for kind in ("card-front", "card-back", "passport", "face", "face-video"):
            with contextlib.suppress(Refusal):
                sandbox._service.media(token, kind)
                found.add(kind)
        return found

    card = begin(sandbox, flags={"document_types": ["id"]})
    passport = begin(sandbox, flags={"document_types": ["passport"], "liveness": True})
    nothing = begin(sandbox, flags={"skip_document": True, "skip_face": True})
    assert kinds(card) == set()
    clock.time += 30

    assert kinds(card) == {"card-front", "card-back", "face"}
    assert kinds(passport) == {"passport", "face", "face-video"}
    assert kinds(nothing) == set()


def test_every_image_is_somebodys_own() -> None:
    images = {content_of("face", person_of(str(n))) for n in range(50)}
    videos = {content_of("face-video", person_of(str(n))) for n in range(50)}

    assert len(images) == len(videos) == 50
    assert all(b.startswith(b"\xff\xd8\xff") and b.endswith(b"\xff\xd9") for b, _ in images)
    assert all(b[4:8] == b"ftyp" and kind == "video/mp4" for b, kind in videos)


def test_a_status_nobody_knows_is_passed_on_as_it_is(sandbox: Sandbox) -> None:
    sandbox.script("On_Hold")
    token = begin(sandbox)

    assert result(sandbox, token)["result"] == "On_Hold"
    assert result(sandbox, token)["person"] == {}
    assert sandbox.truth(token).settled_at is None


async def test_by_default_the_event_loops_clock_is_used() -> None:
    sandbox = Sandbox(life=Script.of("approved", after=3600))
    token = begin(sandbox)
    began = anyio.current_time()

    await anyio.sleep(3601)

    assert sandbox.truth(token).begun_at == pytest.approx(began, abs=1)
    assert sandbox.truth(token).status == "approved"


def test_outside_of_a_loop_the_monotonic_clock_is_used() -> None:
    assert Sandbox().now() == pytest.approx(time.monotonic(), abs=1)


def test_sessions_keep_their_age_when_the_clock_changes(sandbox: Sandbox, clock: Clock) -> None:
    polled, other = begin(sandbox), begin(sandbox)
    clock.time += 10
    result(sandbox, polled)

    sandbox._service.change_clock(lambda: 50.0)

    assert sandbox.now() == 50
    assert sandbox.truth(polled).begun_at == 40
    assert sandbox.truth(polled).last_poll == 50
    assert sandbox.truth(other).last_poll is None


def test_a_hundred_thousand_sessions_are_held(sandbox: Sandbox) -> None:
    for _ in range(100_000):
        begin(sandbox)

    assert len(set(sandbox.tokens)) == 100_000
    assert sys.getsizeof(sandbox._service._sessions[sandbox.tokens[0]]) < 200
