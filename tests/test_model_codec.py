"""From bytes to results, and what becomes of what is not as documented."""

import contextlib
import copy
import datetime as dt
import json
import pathlib
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identomat_async._model._codec import decode_result, decode_screening_person, read_status
from identomat_async._model._findings import RejectReason
from identomat_async._model._person import Person
from identomat_async._model._result import SessionResult
from identomat_async._model._screening import ScreeningPerson
from identomat_async._model._status import SessionStatus
from identomat_async.errors import ConfigurationError, ResponseDecodeError

DATA = pathlib.Path(__file__).parent / "data"
SAMPLES = sorted(path.stem for path in DATA.glob("*.json"))

# Every member of a result and the kind of its value; the leaves a typed attribute comes from.
TEXT, BOOL, INT, NUMBER, LIST, DICT = "text", "bool", "int", "number", "list", "dict"
MEMBERS: dict[str, str] = {
    "result": TEXT,
    "live": BOOL,
    "similarity": NUMBER,
    "document_type": TEXT,
    "generalDocuments": LIST,
    "reject_reason": DICT,
    "result_comment": TEXT,
    "name": TEXT,
    "face_images": INT,
    "id_card_front": DICT,
    "id_card_back": DICT,
    "suggested": DICT,
    "person": DICT,
    "technicalDetails": DICT,
    "configId": TEXT,
    "trustedDatabaseRecord": DICT,
    "questionnaires": LIST,
    "screeningMatches": LIST,
}
PERSON = {field.name: INT if field.name == "age" else TEXT for field in attrs.fields(Person)}
FINAL = {
    **dict.fromkeys(
        [
            "documentIssued",
            "documentIssuedTime",
            "documentExpires",
            "issuingAuthority",
            "authority",
            "formattedAddress",
            "address",
            "street",
            "streetNumber",
            "houseNumber",
            "city",
            "state",
            "county",
            "sublocality",
            "postalCode",
            "postalTown",
            "country",
            "countryCode",
            "localType",
            "fullName",
            "firstName",
            "lastName",
            "registrationNumber",
        ],
        TEXT,
    ),
    "latitude": NUMBER,
    "longitude": NUMBER,
    "permanent": BOOL,
}
INSIDE: dict[str, dict[str, str]] = {
    "": MEMBERS,
    "person": PERSON,
    "reject_reason": {"value": TEXT, "description": TEXT},
    "technicalDetails": {"remoteAddress": TEXT, "userAgent": TEXT, "countryCode": TEXT},
    "questionnaires.0": {"key": TEXT, "status": TEXT, "questions": LIST},
    "questionnaires.0.questions.0": {"key": TEXT},
    "screeningMatches.0": {"score": NUMBER, "name": TEXT, "personId": TEXT, "reviewStatus": TEXT},
    "generalDocuments.0": {
        "documentType": TEXT,
        "typeId": TEXT,
        "permanent": BOOL,
        "pages": LIST,
    },
    "generalDocuments.0.pages.0": {
        "typeId": TEXT,
        "final": DICT,
        "documentPages": LIST,
        "pageNumber": INT,
        "statuses": LIST,
    },
    "generalDocuments.0.pages.0.documentPages.0": {"pageNumber": INT},
    "generalDocuments.0.pages.0.final": FINAL,
}
VALUES: dict[str, object] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "huge": 10**350,
    "float": 0.5,
    "text": "false",
    "empty-text": "",
    "list": ["a", True, 1],
    "dict": {"result": "approved", "live": True},
}
FITTING: dict[str, Callable[[object], bool]] = {
    TEXT: lambda value: type(value) is str,
    BOOL: lambda value: type(value) is bool,
    INT: lambda value: type(value) is int,
    NUMBER: lambda value: type(value) is float or (type(value) is int and value < 2**64),
    LIST: lambda value: type(value) is list,
    DICT: lambda value: type(value) is dict,
}
TYPED: dict[str, tuple[type, ...]] = {
    TEXT: (str,),
    BOOL: (bool,),
    INT: (int,),
    NUMBER: (float,),
    LIST: (tuple,),
}
WIRE_NAMES = {
    "status": "result",
    "general_documents": "generalDocuments",
    "technical_details": "technicalDetails",
    "config_id": "configId",
    "trusted_database_record": "trustedDatabaseRecord",
    "screening_matches": "screeningMatches",
}


def sample(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def body_with(value: object, path: str, name: str) -> bytes:
    """Make a document that holds one value at a place, and nothing else but a status."""
    inner: object = {name: value}
    for part in reversed(path.split(".") if path else []):
        inner = [inner] if part.isdigit() else {part: inner}
    assert isinstance(inner, dict)
    return json.dumps({"result": "in_progress", **inner}).encode()


def attribute(result: SessionResult, path: str, name: str) -> Any:
    """Find the typed attribute of a member."""
    found: Any = result
    for part in [*(path.split(".") if path else []), name]:
        names = {wire: own for own, wire in WIRE_NAMES.items()}
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in part)
        found = found[int(part)] if part.isdigit() else getattr(found, names.get(part, snake))
    return found


PLACES = [
    pytest.param(path, name, kind, id=f"{path}.{name}".strip("."))
    for path, members in INSIDE.items()
    for name, kind in members.items()
    if (path, name) not in {("", "result"), ("", "live")}
]


@pytest.mark.parametrize(("path", "name", "kind"), PLACES)
@pytest.mark.parametrize("value", [pytest.param(v, id=k) for k, v in VALUES.items()])
def test_no_value_is_coerced_and_a_wrong_one_is_named(
    path: str, name: str, kind: str, value: object
) -> None:
    result = decode_result(body_with(value, path, name))

    fits = value is None or FITTING[kind](value)
    place = f"{path}.{name}".strip(".")
    assert fits or place in result.unreadable
    if path == "reject_reason" and not (fits and value):
        assert result.reject_reason is None
        return
    typed = attribute(result, path, name)
    if not fits or value is None:
        assert typed == () if kind == LIST else typed is None
    elif kind in TYPED:
        assert type(typed) in TYPED[kind]
        assert kind == LIST or typed == value
    assert result.raw == json.loads(result.raw_bytes)
    assert not result.status.is_approved
    assert result.live is None


@pytest.mark.parametrize(("path", "name", "kind"), PLACES)
def test_a_missing_member_is_none_or_empty(path: str, name: str, kind: str) -> None:
    result = decode_result(body_with(0, path, "unknown"))

    if path == "reject_reason":
        assert result.reject_reason is None
    else:
        assert attribute(result, path, name) == (() if kind == LIST else None)
    assert result.unreadable == ()


@pytest.mark.parametrize("value", [pytest.param(v, id=k) for k, v in VALUES.items()])
def test_a_result_of_a_wrong_type_fails_the_document(value: object) -> None:
    body = json.dumps({"live": True, "result": value}).encode()

    if isinstance(value, str):
        assert not decode_result(body).status.is_known
        assert not read_status(body).is_known
        return
    for read in (decode_result, read_status):
        with pytest.raises(ResponseDecodeError) as caught:
            read(body)
        assert caught.value.reason == "shape"
        assert caught.value.__context__ is None


@pytest.mark.parametrize("value", [pytest.param(v, id=k) for k, v in VALUES.items()])
def test_live_is_read_from_a_bool_only(value: object) -> None:
    body = json.dumps({"result": "approved", "live": value}).encode()

    if value is None or isinstance(value, bool):
        assert decode_result(body).live is value
        return
    with pytest.raises(ResponseDecodeError) as caught:
        decode_result(body)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize(
    "body", [b'"approved"', b"[]", b"{}", b"1", b"null", b'"SESSION_NOT_FOUND"']
)
@pytest.mark.parametrize("read", [decode_result, read_status])
def test_what_is_no_result_document_is_refused(
    read: Callable[[bytes], object], body: bytes
) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        read(body)

    assert caught.value.reason == "shape"
    assert caught.value.retryable


@pytest.mark.parametrize("read", [decode_result, read_status, decode_screening_person])
@pytest.mark.parametrize(("body", "reason"), [(b"", "empty"), (b'{"result"', "json")])
def test_what_is_no_json_is_refused(
    read: Callable[[bytes], object], body: bytes, reason: str
) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        read(body)

    assert caught.value.reason == reason


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_reads_without_a_remainder(name: str) -> None:
    body = sample(name)

    result = decode_result(body, signature="c2ln")

    assert result.unreadable == ()
    assert result.raw == json.loads(body)
    assert result.raw_bytes == body
    assert result.signature == "c2ln"
    assert read_status(body) is read_status(body.strip()) is result.status
    assert result.status.is_terminal


def test_a_rejected_identity_document_is_read() -> None:
    result = decode_result(sample("rejected_identity_document"))

    assert result.status is SessionStatus.REJECTED
    assert result.live is True
    assert result.similarity == 0.6123401987654321
    assert result.document_type == "id"
    assert result.reject_reason == RejectReason(value="face_mismatch", description="")
    assert result.id_card_front is not None
    assert result.id_card_front["Surname_en_US"] == "EXAMPLE"
    assert result.suggested == {}
    assert result.face_images == 1
    assert result.person is not None
    assert result.person.age == 35
    assert result.person.local_first_name == "Анна"
    assert result.person.birthday_date == dt.date(1990, 3, 9)
    assert result.person.document_expires_date == dt.date(2031, 7, 1)
    assert result.person.document_issued_date is None
    assert result.technical_details is not None
    assert result.technical_details.country_code == "GE"
    assert result.general_documents == ()


def test_a_proof_of_address_is_read() -> None:
    result = decode_result(sample("approved_proof_of_address"))

    assert type(result.similarity) is float
    assert result.similarity == 0
    assert result.reject_reason is None
    assert result.person == Person()
    (document,) = result.general_documents
    assert (document.document_type, document.type_id) == ("UTILITY_BILL", "utility_bill")
    (page,) = document.pages
    assert page.type_id == "utility-bill"
    assert page.document_pages[0].page_number == 1
    assert page.final is not None
    assert page.final.issued_date == dt.date(2024, 1, 26)
    assert page.final.expires_date is None


def test_a_bank_statement_is_read() -> None:
    result = decode_result(sample("approved_bank_statement"))

    page = result.general_documents[0].pages[0]
    assert page.statuses == ("issued-date-was-not-found",)
    assert page.page_number == 1
    assert page.final is not None
    assert page.final.latitude == 41.5
    assert page.final.county is None
    assert page.final.issued_date == dt.date(2024, 7, 23)


def test_an_old_body_is_read() -> None:
    result = decode_result(sample("approved_2022"))

    assert result.general_documents == ()
    assert result.name is None
    assert result.technical_details is None
    assert result.person is not None
    assert result.person.status == "FIELDS_MISMATCH"
    assert result.status.is_approved


def test_documented_additions_are_read() -> None:
    result = decode_result(sample("manual_check_documented_members"))

    assert result.config_id == "5f0a1b2c3d4e5f6071829304"
    assert result.trusted_database_record == {}
    assert [a.answer for a in result.questionnaires[0].questions] == [
        True,
        "Sample Ltd",
        ("salary", "rent"),
    ]
    assert result.screening_matches[0].score == 91.5
    assert result.screening_matches[0].person_id == "p-0001"


@pytest.mark.parametrize("newer", [{}, {"generalDocuments": []}, {"generalDocuments": None}])
def test_general_documents_are_found_under_their_old_name(newer: dict[str, object]) -> None:
    body = {"result": "approved", "general_document": [{"typeId": "x"}, {"typeId": 1}], **newer}

    result = decode_result(json.dumps(body).encode())

    assert [document.type_id for document in result.general_documents] == ["x", None]
    assert result.unreadable == ("general_document.1.typeId",)


def test_the_newer_name_of_general_documents_counts_first() -> None:
    body = b'{"result": "x", "general_document": [], "generalDocuments": [{"typeId": "new"}]}'

    assert decode_result(body).general_documents[0].type_id == "new"
    assert decode_result(body.replace(b'[{"typeId": "new"}]', b"false")).unreadable == (
        "generalDocuments",
    )


def test_wrong_elements_are_dropped_and_named() -> None:
    body = {
        "result": "rejected",
        "questionnaires": [
            None,
            3,
            {
                "key": "work",
                "questions": [
                    {"key": "a", "answer": ["x", 1]},
                    {"key": "b", "answer": {"no": 1}},
                    {"key": "c", "answer": 1},
                    {"key": "d", "answer": None},
                    {"key": "e", "answer": [None]},
                ],
            },
        ],
        "id_card_front": {"Anna": 1, "Sex": "F", "Null": None},
        "id_card_back": {"Null": None, "Sex": "F"},
    }

    result = decode_result(json.dumps(body).encode())

    (questionnaire,) = result.questionnaires
    assert [answer.key for answer in questionnaire.questions] == ["a", "b", "c", "d", "e"]
    assert {answer.answer for answer in questionnaire.questions} == {None}
    assert result.id_card_front == result.id_card_back == {"Sex": "F"}
    assert set(result.unreadable) == {
        "questionnaires.0",
        "questionnaires.1",
        "questionnaires.2.questions.0.answer",
        "questionnaires.2.questions.1.answer",
        "questionnaires.2.questions.2.answer",
        "questionnaires.2.questions.4.answer",
        "id_card_front.*",
    }


def test_nulls_beside_a_wrong_member_are_still_none() -> None:
    nulls = {name: None for name in MEMBERS if name != "result"}

    result = decode_result(json.dumps({**nulls, "result": "x", "name": 1}).encode())

    assert result.unreadable == ("name",)
    assert result.person is None
    assert result.id_card_front is None
    assert result.questionnaires == ()
    assert result.general_documents == ()


def test_unknown_members_are_kept_and_cannot_pose_as_ours() -> None:
    body = (
        b'{"result": "x", "raw_bytes": 1, "signature": "s", "unreadable": [1], "raw": 2, "new": 3}'
    )

    result = decode_result(body)

    assert result.raw["new"] == 3
    assert result.raw["raw"] == 2
    assert result.raw_bytes == body
    assert result.signature is None
    assert result.unreadable == ()


def test_raw_cannot_be_changed_at_the_top() -> None:
    raw: Any = decode_result(b'{"result": "x"}').raw

    with pytest.raises(TypeError):
        raw["result"] = "approved"
    assert len(raw) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"result":"approved","live":true}', SessionStatus.APPROVED),
        (b'{"result":"approved"}', SessionStatus.APPROVED),
        (b' \r\n{ "result" : "IN_PROGRESS" , "x": 1}', SessionStatus.IN_PROGRESS),
        (b'{"result":"expired","x":1}', SessionStatus("expired")),
        (b'{"result":"not\\u005fknown"}', SessionStatus("not_known")),
        (b'{"live":true,"result":"rejected"}\n', SessionStatus.REJECTED),
        (b'{"name":"{\\"result\\":\\"approved\\"}","result":"rejected"}', SessionStatus.REJECTED),
        (b'{"person":{"result":"approved"},"result":"in_progress"}', SessionStatus.IN_PROGRESS),
        (b'{"result":"in progress"}', SessionStatus("in progress")),
        (b'{"result":""}', SessionStatus("")),
    ],
)
def test_the_status_alone_is_read(body: bytes, status: SessionStatus) -> None:
    assert read_status(body) == status
    assert read_status(body).is_known is status.is_known


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"result":"approved","live":tr', id="cut"),
        pytest.param(b'{"result":"approved"}{"result":"rejected"}', id="two-documents"),
        pytest.param(b'{"result":"approved" "live":true}', id="no-comma"),
        pytest.param(b'\xef\xbb\xbf{"result":"approved"}', id="byte-order-mark"),
        pytest.param(b'x{"result":"approved"}', id="before"),
        pytest.param(b'[{"result":"approved"}]', id="in-an-array"),
        pytest.param(b'{"other":{"result":"approved"}}', id="further-in"),
        pytest.param(b'{"result":"rejected","result":"approved"', id="doubled-and-cut"),
    ],
)
def test_no_status_is_read_from_what_is_broken_at_either_end(body: bytes) -> None:
    with pytest.raises(ResponseDecodeError):
        read_status(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*MEMBERS, *PERSON]), inner),
    max_leaves=30,
)


@given(JSON)
def test_no_document_leads_to_another_error(document: object) -> None:
    for read in (decode_result, read_status, decode_screening_person):
        with contextlib.suppress(ResponseDecodeError):
            read(json.dumps(document).encode())


@settings(max_examples=40)  # they are large
@given(
    st.fixed_dictionaries(
        {"result": st.text()}, optional={name: JSON for name in MEMBERS if name != "result"}
    )
)
def test_a_document_is_approved_only_by_its_own_result(document: dict[str, object]) -> None:
    with contextlib.suppress(ResponseDecodeError):
        status = decode_result(json.dumps(document).encode()).status
        assert status.is_approved is (str(document["result"]).lower() == "approved")


@given(st.binary())
def test_no_bytes_lead_to_another_error(body: bytes) -> None:
    for read in (decode_result, read_status, decode_screening_person):
        with contextlib.suppress(ResponseDecodeError):
            read(body)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_result_survives_pickle_and_copies_and_storing(name: str) -> None:
    result = decode_result(sample(name), signature="c2ln")

    again = SessionResult.from_json(result.raw_bytes, signature=result.signature)

    pickled = pickle.loads(pickle.dumps(result))  # noqa: S301 - made here
    for other in (again, pickled, copy.copy(result), copy.deepcopy(result)):
        assert other == result
        assert hash(other) == hash(result)
        assert other.raw == result.raw
    assert result != decode_result(sample(name) + b" ")


def test_from_json_takes_bytes_only() -> None:
    text: Any = '{"result": "approved"}'

    with pytest.raises(ConfigurationError, match="bytes"):
        SessionResult.from_json(text)


def test_a_result_can_be_made_by_hand() -> None:
    result = SessionResult(status=SessionStatus.APPROVED)

    assert result.raw == {}
    assert result != SessionResult(status=SessionStatus.REJECTED)


def test_a_screening_person_is_read() -> None:
    document = {
        "personId": "p-0001",
        "entityType": "person",
        "firstName": "Anna",
        "birthdayTime": "1990-03-09T00:00:00.000Z",
        "aliases": ["A. Example", 1],
        "topics": ["Politician"],
        "extraDetails": {"id": ["1"]},
        "birthPlace": 5,
        "new": True,
    }

    person = decode_screening_person(json.dumps(document).encode())

    assert (person.person_id, person.first_name) == ("p-0001", "Anna")
    assert person.aliases == ("A. Example",)
    assert person.topics == ("Politician",)
    assert person.extra_details == {"id": ["1"]}
    assert person.birthday_date == dt.date(1990, 3, 9)
    assert set(person.unreadable) == {"aliases.1", "birthPlace"}
    assert person.raw == document
    assert pickle.loads(pickle.dumps(person)) == person  # noqa: S301 - made here
    assert ScreeningPerson().raw == {}


def test_a_screening_person_must_be_an_object() -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        decode_screening_person(b'"SESSION_NOT_FOUND"')

    assert caught.value.reason == "shape"
    assert str(caught.value) == "The answer is not a screening person."


@pytest.mark.parametrize(
    "read",
    [
        decode_result,
        read_status,
        decode_screening_person,
        SessionResult.from_json,
    ],
)
@pytest.mark.parametrize("body", [b'["Anna-Canary"]', b'{"name": "Anna-Canary", }'])
def test_no_text_of_a_body_is_in_an_error_or_its_traceback(
    read: Callable[[bytes], object], body: bytes
) -> None:
    bodies = [bytes(body)]

    with pytest.raises(ResponseDecodeError) as caught:
        read(bodies.pop())

    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in frames.stack if "identomat_async/_model" in frame.filename]
    assert ours
    assert "Anna-Canary" not in "".join(str(frame.locals) for frame in ours)
    assert "Anna-Canary" not in str(caught.value) + repr(vars(caught.value))
