"""From bytes to a result: the strict reader beside json.loads and cattrs, and two phases."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from benchmarks._load import ratio
from benchmarks._report import Gate, judge, options, show
from identomat_async import Person, RejectReason, SessionResult, TechnicalDetails
from identomat_async._model._codec import decode_result, read_status

MOST_OF_CATTRS = 1.0
LEAST_SAVING = 8.0
POLLS = 20
_RENAMED: Mapping[type, Mapping[str, str]] = {
    SessionResult: {
        "status": "result",
        "general_documents": "generalDocuments",
        "technical_details": "technicalDetails",
        "config_id": "configId",
        "trusted_database_record": "trustedDatabaseRecord",
        "screening_matches": "screeningMatches",
    },
    TechnicalDetails: {
        "remote_address": "remoteAddress",
        "user_agent": "userAgent",
        "country_code": "countryCode",
    },
    Person: {},
    RejectReason: {},
}


def document(status: str = "rejected") -> bytes:
    """Write what the service says of an invented person's identity card, as it writes it."""
    mrz = "IOUTOX00000001<<<<<<<<<<<<<<<<\n9003097F3107012UTO<<<<<<<<<<<0\nEXAMPLE<<ANNA<<<<<<<"
    dates = {"birthday": "3/9/1990", "birthday_time": "1990-03-09T00:00:00.000Z"}
    said: dict[str, object] = {
        "result": status,
        "similarity": 0.6123401987654321,
        "live": True,
        "document_type": "id",
        "generalDocuments": [],
        "reject_reason": {"value": "face_mismatch", "description": ""},
        "result_comment": "not the same person",
        "name": "ANNA EXAMPLE",
        "face_images": 1,
        "id_card_front": {
            "Given_Names_en_US": "ANNA",
            "Surname_en_US": "EXAMPLE",
            "Sex_en_US": "F",
            "Document_Number_en_US": "X00000001",
            "Nationality_Code_en_US": "UTO",
            "Issuing_State_Code_en_US": "UTO",
        },
        "id_card_back": {
            "Personal_Number_en_US": "00000000001",
            "Authority_en_US": "OFFICE 1",
            "Date_of_Birth_en_US": "3/9/1990",
            "Date_of_Expiry_en_US": "7/1/2031",
            "Date_of_Birth_ISO": "1990-03-09T00:00:00.000Z",
            "Date_of_Expiry_ISO": "2031-07-01T00:00:00.000Z",
            "mrz": mrz,
        },
        "suggested": {},
        "person": {
            "local_first_name": "Анна",
            "first_name": "ANNA",
            "last_name": "EXAMPLE",
            "nationality": "UTO",
            "document_number": "X00000001",
            "issuing_state": "UTO",
            "sex": "F",
            **dates,
            "age": 35,
            "document_expires": "7/1/2031",
            "document_expires_time": "2031-07-01T00:00:00.000Z",
            "personal_number": "00000000001",
            "authority": "OFFICE 1",
            "address": "1 SAMPLE STREET",
            "status": "FIELDS_MISMATCH",
            "mrz": mrz,
        },
        "technicalDetails": {
            "remoteAddress": "192.0.2.7",
            "userAgent": "Mozilla/5.0 (X11)",
            "countryCode": "GE",
        },
    }
    return json.dumps(said, separators=(",", ":")).replace("/", "\\/").encode()


def by_the_book() -> Callable[[bytes], SessionResult]:
    """Return what reads a document with `json.loads` and a converter as cattrs makes it."""
    converter = cattrs.Converter()
    # Neither is a type that cattrs knows of itself; both are taken as they are.
    converter.register_structure_hook_func(
        lambda kind: kind is object or "AnswerValue" in str(kind) or "str | bool" in str(kind),
        lambda value, _: value,
    )
    for kind, names in _RENAMED.items():
        overrides: dict[str, Any] = {name: override(rename=wire) for name, wire in names.items()}
        structure = make_dict_structure_fn(kind, converter, **overrides)
        converter.register_structure_hook(kind, structure)
    return lambda body: converter.structure(json.loads(body), SessionResult)


@attrs.frozen(kw_only=True)
class Measured:
    """Microseconds of CPU per document, round by round, by contender."""

    strict: Sequence[float]
    cattrs: Sequence[float]
    status: Sequence[float]
    parsed: Sequence[float]

    @property
    def saving(self) -> float:
        """How many times less two phases cost for a session than reading each poll whole."""
        return median(
            (POLLS + 1) * whole / (POLLS * status + whole)
            for whole, status in zip(self.strict, self.status, strict=True)
        )


def gates(measured: Measured) -> list[Gate]:
    """Say what is promised."""
    share = ratio(measured.strict, measured.cattrs)
    return [
        Gate("strict reader / json.loads and cattrs", share, most=MOST_OF_CATTRS),
        Gate(
            f"{POLLS} polls and a verdict whole / in two phases",
            measured.saving,
            least=LEAST_SAVING,
        ),
    ]


def cost(read: Callable[[bytes], object], body: bytes, *, documents: int) -> float:
    """Return the microseconds of CPU that one document takes."""
    began = time.process_time()
    for _ in range(documents):
        read(body)
    return (time.process_time() - began) / documents * 1e6


def measure(body: bytes, *, documents: int, rounds: int) -> Measured:
    """Let all contenders read the same document, in turn."""
    readers: dict[str, Callable[[bytes], object]] = {
        "strict": decode_result,
        "cattrs": by_the_book(),
        "status": read_status,
        "parsed": json.loads,
    }
    figures: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(rounds + 1):
        for name, read in list(readers.items())[:: 1 if number % 2 else -1]:
            took = cost(read, body, documents=documents)
            if number:  # the first is for warming up
                figures[name].append(took)
    return Measured(**figures)


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = options("decode", __doc__, rounds=9)
    parser.add_argument("--documents", type=int, default=2000, help="in each round (2000)")
    asked = parser.parse_args(arguments)
    body = document()
    assert by_the_book()(body).person == decode_result(body).person
    measured = measure(body, documents=asked.documents, rounds=asked.rounds)
    rows = [
        {"what": what, "CPU, us": median(figures)}
        for what, figures in (
            ("strict reader: SessionResult", measured.strict),
            ("json.loads, cattrs: SessionResult", measured.cattrs),
            ("json.loads alone", measured.parsed),
            ("status alone", measured.status),
        )
    ]
    show(rows, as_json=asked.json)
    return judge(gates(measured), asked)
