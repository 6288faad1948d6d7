"""Dates, media, mappings, and what is never shown."""

import copy
import datetime as dt
import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async._model import _documents, _findings, _person
from identomat_async._model._codec import decode_result, decode_screening_person
from identomat_async._model._dates import first_date, read_date
from identomat_async._model._media import Media, MediaContent
from identomat_async._model._result import SessionResult
from identomat_async._model._values import Members, code

CANARY = "Anna Canary"


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("3/9/1990", (1990, 3, 9)),
        ("12/31/2031", (2031, 12, 31)),
        ("03/09/1990", (1990, 3, 9)),
        ("2/29/2024", (2024, 2, 29)),
        ("1990-03-09", (1990, 3, 9)),
        ("1990-03-09T00:00:00.000Z", (1990, 3, 9)),
        ("2024-01-25T22:00:00.000Z", (2024, 1, 26)),
        ("2024-01-25T20:00:00Z", (2024, 1, 26)),
        ("2024-12-31T20:00:00Z", (2025, 1, 1)),
        ("2024-01-26T05:00:00.000Z", (2024, 1, 26)),
        ("2024-01-26T00:00:00+00:00", (2024, 1, 26)),
        ("2024-01-26T00:00:00+04:00", (2024, 1, 26)),
        ("2024-01-26T23:00:00", (2024, 1, 26)),
    ],
)
def test_a_date_is_read_in_the_services_ways(text: str, date: tuple[int, int, int]) -> None:
    assert read_date(text) == dt.date(*date)


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "soon", "13/1/2024", "2/30/2024", "0/1/2024", "1/1/24", "1/1/20244", "1/2",
        "1/2/3/4", "-1/2/2024", "+1/2/2024", "1 /2/2024", "\u0661/1/2024", "1/1/\u0662024",
        "2024-13-01", "2024-01-32T00:00:00Z", "9999-12-31T22:00:00Z", "0000-00-00", "1/1/0000",
        "2024-01-25T22:00:00.000Z" + "0" * 1000, "/" * 40, "//2024",
    ],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert read_date(text) is None


@given(st.text() | st.from_regex(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}(T\d\d:\d\d(Z|\+\d\d)?)?"))
def test_no_text_raises(text: str) -> None:
    assert isinstance(read_date(text), dt.date | None)


def test_the_first_readable_date_counts() -> None:
    assert first_date(None, "", "soon", "1/2/2024", "1/3/2024") == dt.date(2024, 1, 2)
    assert _person.Person(birthday="", birthday_time="1990-03-09").birthday_date == dt.date(
        1990, 3, 9
    )
    assert _person.Person(document_issued="7/1/2021").document_issued_date == dt.date(2021, 7, 1)


def test_media_are_the_last_part_of_their_path() -> None:
    assert list(Media) == ["card-front", "card-back", "passport", "face", "face-video"]
    assert f"{Media.FACE_VIDEO}" == "face-video"


def test_media_content_does_not_show_itself() -> None:
    media = MediaContent(CANARY.encode(), content_type="image/jpeg")

    assert repr(media) == "MediaContent(content=<11 bytes>)"
    assert pickle.loads(pickle.dumps(media)) == media  # noqa: S301 - made here
    assert copy.deepcopy(media) == media


def test_members_are_a_mapping_that_shows_a_count() -> None:
    members = Members({"name": CANARY})

    assert dict(members) == members == {"name": CANARY}
    assert hash(members) == hash(Members({"name": 1}))
    assert repr(members) == str(members) == "<1 members>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(members, protocol))  # noqa: S301 - made here
        assert type(again) is Members
        assert again == members
    assert copy.deepcopy(members) == members


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("FIELDS_MISMATCH", "'FIELDS_MISMATCH'"),
        ("utility-bill", "'utility-bill'"),
        ("", "<hidden>"),
        ("two words", "<hidden>"),
        ("a@b.example", "<hidden>"),
        ("\u0430\u043d\u043d\u0430", "<hidden>"),
        ("a" * 65, "<hidden>"),
    ],
)
def test_only_codes_are_shown(value: str | None, shown: str) -> None:
    assert code(value) == shown


def _full(cls: type[Any]) -> dict[str, object]:
    """Give every text member of a class the canary."""
    return dict.fromkeys((field.name for field in attrs.fields(cls)), CANARY)


def _everything_personal() -> dict[str, object]:
    final = _full(_documents.GeneralDocumentData)
    camel = {
        "".join(w.capitalize() if i else w for i, w in enumerate(name.split("_"))): value
        for name, value in final.items()
    }
    return {
        "result": "rejected",
        "live": True,
        "similarity": 0.5,
        "document_type": CANARY,
        "generalDocuments": [
            {
                "documentType": CANARY,
                "typeId": CANARY,
                "pages": [{"typeId": CANARY, "final": camel, "statuses": [CANARY]}],
            }
        ],
        "reject_reason": {"value": CANARY, "description": CANARY},
        "result_comment": CANARY,
        "name": CANARY,
        "id_card_front": {CANARY: CANARY, "Number": 5},
        "id_card_back": {CANARY: CANARY},
        "suggested": {CANARY: CANARY},
        "person": {**_full(_person.Person), "age": CANARY},
        "technicalDetails": dict.fromkeys(["remoteAddress", "userAgent", "countryCode"], CANARY),
        "configId": CANARY,
        "trustedDatabaseRecord": {CANARY: CANARY},
        "questionnaires": [
            {"key": CANARY, "status": CANARY, "questions": [{"key": CANARY, "answer": CANARY}]}
        ],
        "screeningMatches": [
            {"score": 1, "name": CANARY, "personId": CANARY, "reviewStatus": CANARY}
        ],
        CANARY: CANARY,
    }


def _values(value: object) -> list[object]:
    """List a value and all values inside it."""
    if isinstance(value, tuple):
        return [value, *(inner for each in value for inner in _values(each))]
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return [value, *(v for n in names if "raw" not in n for v in _values(getattr(value, n)))]
    return [value]


def test_nothing_personal_is_shown_anywhere() -> None:
    body = json.dumps(_everything_personal()).encode()
    result = decode_result(body, signature=CANARY)

    values = [value for value in _values(result) if attrs.has(type(value))]

    assert {type(value) for value in values} >= {SessionResult, _findings.Answer, _person.Person}
    for value in [*values, result.raw, result.id_card_front, result.suggested]:
        assert CANARY not in repr(value) + str(value) + f"{value}"
    assert result.person is not None
    assert result.person.mrz == CANARY


def test_what_is_redacted_holds_nothing_personal() -> None:
    body = json.dumps(_everything_personal()).encode()

    redacted = decode_result(body, signature=CANARY).redacted()

    assert CANARY not in json.dumps(redacted)
    assert redacted == {
        "status": "REJECTED",
        "live": True,
        "similarity": 0.5,
        "document_type": None,
        "config_id": None,
        "has_reject_reason": True,
        "has_comment": True,
        "has_person": True,
        "face_images": None,
        "general_documents": 1,
        "questionnaires": 1,
        "answers": 1,
        "screening_matches": 1,
        "signed": True,
        "unreadable": redacted["unreadable"],
    }
    assert "person.age" in str(redacted["unreadable"])


def test_an_unknown_status_is_not_repeated() -> None:
    result = decode_result(json.dumps({"result": CANARY}).encode())

    assert result.redacted()["status"] == "UNKNOWN"
    assert CANARY not in repr(result)


def test_known_words_are_in_what_is_redacted() -> None:
    result = decode_result(b'{"result":"approved","document_type":"passport","configId":"5f0a"}')

    assert result.redacted()["document_type"] == "passport"
    assert result.redacted()["config_id"] == "5f0a"


def test_a_screening_person_shows_nothing() -> None:
    members = {"name": CANARY, "personId": CANARY, "aliases": [CANARY], "extraDetails": {CANARY: 1}}

    person = decode_screening_person(json.dumps(members).encode())

    assert person.name == CANARY
    assert repr(person) == "ScreeningPerson()"


def test_only_what_was_answered_counts_as_an_answer() -> None:
    questions = [{"key": "one", "answer": "yes"}, {"key": "two", "answer": None}, {"key": "three"}]
    document = {"result": "approved", "questionnaires": [{"key": "q", "questions": questions}]}
    result = SessionResult.from_json(json.dumps(document).encode())

    assert [len(each.questions) for each in result.questionnaires] == [3]
    assert result.redacted()["answers"] == 1
