"""What the result documents look like, quirks included."""

import json
from collections.abc import Mapping

from identomat_async.sandbox._people import Invented
from identomat_async.sandbox._script import CAPTURED
from identomat_async.sandbox._setup import Setup, items
from identomat_async.sandbox._visit import NOBODY, Given, Visit

# Which of a person's dice decides what.
_TYPE, _SIMILAR, _MISMATCH, _LOCAL, _REASON, _SCREENED, _ISSUED, _ANSWER = range(8)
_EXPIRES = (2031, 7, 1)
_ISSUED_ON = (2021, 7, 1)


def encode(document: object) -> bytes:
    """Write JSON as the service does, with escaped slashes and plain ASCII."""
    # A slash can only be inside a text.
    return json.dumps(document, separators=(",", ":")).replace("/", "\\/").encode()


def result_document(
    status: str,
    setup: Setup,
    person: Invented,
    *,
    reviewed: bool,
    screening_id: str | None,
    visit: Visit = NOBODY,
) -> dict[str, object]:
    """
    Write the result document of a session.

    Args:
        status: What its member `result` says, spelled as given.
        setup: What the session was begun with.
        person: Whose session it is.
        reviewed: Whether an operator has looked at it.
        screening_id: The id under which a screening match is listed, None if none is.
        visit: What a person has done on the page, which counts more than what is invented.
    """
    if status.lower() not in CAPTURED:
        return _empty(status)
    document = _empty(status) | {
        "live": setup.asks_liveness,
        "similarity": _similarity(status, person) if setup.asks_face else 0,
        "document_type": document_type(setup, person),
        "generalDocuments": [_general(kind, person) for kind in setup.general_document_types],
        "reject_reason": _reason(status, setup, person, visit),
        "result_comment": "checked by hand" if reviewed and status != "manual_check" else "",
        "name": person.name.upper() if setup.asks_document else "",
        "face_images": 1 if setup.asks_face else 0,
        "person": _person(setup, person),
    }
    return document | _cards(setup, person) | _extras(setup, person, screening_id, visit)


def is_screened(person: Invented, share: float) -> bool:
    """Whether this person is one of the *share* with a screening match."""
    return person.share(_SCREENED) < share


def document_type(setup: Setup, person: Invented) -> str:
    """Say which identity document was shown; an empty text for none."""
    if not setup.asks_document:
        return ""
    kinds = setup.document_types
    return kinds[int(person.share(_TYPE) * len(kinds))]


def screening_person(person: Invented, person_id: str) -> dict[str, object]:
    """Write the details of a screening match."""
    year, month, day = person.birth
    return {
        "personId": person_id,
        "entityType": "person",
        "name": f"{person.first_name} Exemplar",
        "firstName": person.first_name,
        "lastName": "Exemplar",
        "gender": "male" if person.sex == "M" else "female",
        "birthdayTime": _iso(year, month, day),
        "nationality": "ut",
        "birthPlace": "Sampletown",
        "aliases": [f"{person.first_name[0]}. Exemplar"],
        "topics": ["Person of Interest"],
        "extraDetails": {"idNumber": person.document_number[::-1]},
    }


def _empty(status: str) -> dict[str, object]:
    return {
        "result": status,
        "similarity": 0,
        "live": False,
        "document_type": "",
        "generalDocuments": [],
        "reject_reason": {"value": "", "description": ""},
        "result_comment": "",
        "name": "",
        "face_images": 0,
        "suggested": {},
        "person": {},
    }


def _similarity(status: str, person: Invented) -> float:
    drawn = person.share(_SIMILAR) * 0.0987654321
    return round((0.55 if status == "rejected" else 0.9) + drawn, 16)


def _reason(status: str, setup: Setup, person: Invented, visit: Visit) -> dict[str, str] | None:
    if status == "rejected" and visit.reason is not None:
        return {"value": visit.reason.value, "description": visit.reason.description}
    if status == "rejected":
        return {"value": "face_mismatch" if setup.asks_face else "", "description": ""}
    # Both ways of saying "no reason" are met with.
    return {"value": "", "description": ""} if person.share(_REASON) < 0.75 else None  # noqa: PLR2004


def _person(setup: Setup, person: Invented) -> dict[str, object]:
    found: dict[str, object] = _on_document(setup, person) if setup.asks_document else {}
    if setup.general_document_types:
        found.setdefault("address", person.address)
    if setup.asks_for("email"):
        found["email"] = person.email
    if setup.asks_for("phone_number"):
        found["phone"] = person.phone
    return found


def _on_document(setup: Setup, person: Invented) -> dict[str, object]:
    found: dict[str, object] = {
        "first_name": person.first_name.upper(),
        "last_name": person.last_name.upper(),
        "birthday": _slashed(*person.birth),
        "birthday_time": _iso(*person.birth),
        "age": person.age,
        "citizenship": "UTO",
        "nationality": "UTO",
        "issuing_state": "UTO",
        "document_number": person.document_number,
        "personal_number": person.personal_number,
        "document_expires": _slashed(*_EXPIRES),
        "document_expires_time": _iso(*_EXPIRES),
        "authority": "OFFICE 1",
        "sex": person.sex,
        "mrz": person.mrz,
    }
    if person.share(_LOCAL) < 0.5:  # noqa: PLR2004
        found["local_first_name"] = person.local_first_name
        found["local_last_name"] = person.local_last_name
    if person.share(_ISSUED) < 0.5:  # noqa: PLR2004
        found["document_issued"] = _slashed(*_ISSUED_ON)
    if person.share(_MISMATCH) < 0.1:  # noqa: PLR2004
        found["status"] = "FIELDS_MISMATCH"
    if document_type(setup, person) == "passport":
        found["birth_place"] = "SAMPLETOWN"
    else:
        found["address"] = person.address.upper()
    return found


def _cards(setup: Setup, person: Invented) -> dict[str, object]:
    if document_type(setup, person) in {"", "passport"}:
        return {}
    front = {
        "Given_Names_en_US": person.first_name.upper(),
        "Surname_en_US": person.last_name.upper(),
        "Sex_en_US": person.sex,
        "Document_Number_en_US": person.document_number,
        "Nationality_Code_en_US": "UTO",
        "Issuing_State_Code_en_US": "UTO",
    }
    back = {
        "Personal_Number_en_US": person.personal_number,
        "Authority_en_US": "OFFICE 1",
        "Date_of_Birth_en_US": _slashed(*person.birth),
        "Date_of_Birth_ISO": _iso(*person.birth),
        "Date_of_Expiry_en_US": _slashed(*_EXPIRES),
        "Date_of_Expiry_ISO": _iso(*_EXPIRES),
        "mrz": person.mrz,
    }
    return {"id_card_front": front, "id_card_back": back}


def _general(kind: str, person: Invented) -> dict[str, object]:
    final: dict[str, object] = {
        "street": "Sample Street",
        "streetNumber": str(person.street_number),
        "city": "Sampletown",
        "country": "Utopia",
        "countryCode": "UTO",
        "postalCode": "00001",
        "county": None,
        "formattedAddress": person.address,
        "latitude": 41.5,
        "longitude": 44.25,
        "localType": "ROOFTOP",
        "issuingAuthority": "Water Company",
        "fullName": person.name.lower(),
        "registrationNumber": person.personal_number,
        "documentExpires": "",
    }
    page: dict[str, object] = {
        "typeId": kind.replace("_", "-"),
        "final": final,
        "documentPages": [{"pageNumber": 1}],
        "pageNumber": 1,
    }
    if person.share(_ISSUED) < 0.5:  # noqa: PLR2004
        # Local midnight in UTC: the date part is the day before.
        final["documentIssued"] = "2026-01-25T22:00:00.000Z"
    else:
        page["statuses"] = ["issued-date-was-not-found"]
    # One type in three spellings, as in real documents.
    return {
        "documentType": kind.upper(),
        "typeId": kind,
        "permanent": None,
        "pages": [page],
    }


def _extras(
    setup: Setup, person: Invented, screening_id: str | None, visit: Visit
) -> dict[str, object]:
    extras: dict[str, object] = {
        "technicalDetails": {
            "remoteAddress": "192.0.2.7",
            "userAgent": "Mozilla/5.0 (X11)",
            "countryCode": "GE",
        }
    }
    if setup.config_id is not None:
        extras["configId"] = setup.config_id
    if setup.questionnaires:
        extras["questionnaires"] = [
            _answered(step, person, visit.answers.get(number))
            for number, step in enumerate(setup.questionnaires)
        ]
    if screening_id is not None:
        match = {"score": 91.5, "name": f"{person.first_name} Exemplar", "personId": screening_id}
        extras["screeningMatches"] = [match | {"reviewStatus": "pending"}]
    return extras


def _answered(
    step: Mapping[str, object], person: Invented, given: Mapping[int, Given] | None
) -> dict[str, object]:
    questions = items(step.get("questions"))
    if given is None:
        answers = [_answer(asked, person) for asked in questions]
    else:
        answers = [_given(asked, given.get(number)) for number, asked in enumerate(questions)]
    return {"key": step.get("key"), "questions": answers}


def _given(asked: Mapping[str, object], answer: Given | None) -> dict[str, object]:
    entry: dict[str, object] = {"key": asked.get("key")}
    return entry if answer is None else entry | {"answer": answer}


def _answer(asked: Mapping[str, object], person: Invented) -> dict[str, object]:
    entry: dict[str, object] = {"key": asked.get("key")}
    # A question nobody had to answer has no answer for some people.
    if not asked.get("mandatory") and person.share(_ANSWER) < 0.25:  # noqa: PLR2004
        return entry
    keys = [option.get("key") for option in items(asked.get("options"))]
    answers: dict[object, object] = {
        "boolean": person.share(_ANSWER) < 0.75,  # noqa: PLR2004
        "string": f"{person.first_name} says so",
        "options": keys[0] if keys else None,
        "multiple-choice": keys,
    }
    return entry | {"answer": answers.get(asked.get("type"))}


def _slashed(year: int, month: int, day: int) -> str:
    return f"{month}/{day}/{year}"


def _iso(year: int, month: int, day: int) -> str:
    return f"{year}-{month:02}-{day:02}T00:00:00.000Z"
