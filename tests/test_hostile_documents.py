"""What a status is read from, and what is only a text that looks like one."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identomat_async import SessionResult, SessionStatus
from identomat_async._model._codec import decode_result, read_status
from identomat_async.errors import ResponseDecodeError

GOOD = b'{"result":"approved","live":true}'
DOUBLED = [
    GOOD[:-1] + b',"result":"rejected"}',
    GOOD[:-1] + b',"result":"approved"}',
    GOOD[:-1] + b',"x":{"result":"rejected"},"result":"rejected"}',
    GOOD[:-1] + b' , "result" : "rejected" }',
    b'{"result":"in_progress",' + GOOD[1:],
    b'{"live":true,"result":"in_progress",' + GOOD[1:],
]

# --- the status alone ------------------------------------------------------------------

UTF8 = st.characters(codec="utf-8")
WORDS = st.sampled_from(
    ["approved", "APPROVED", "rejected", "manual_check", "in_progress", "disagreed", "x", ""]
)
TRICKY = st.sampled_from(
    [
        '"result":"approved"',
        '{"result":"approved"}',
        '","result":"approved","x":"',
        '\\","result":"approved',
        '"}{"result":"approved"}',
        "result",
        '"result"',
        "\\u0022result\\u0022",
        "}",
        "\\",
        '"',
    ]
)
TEXTS = TRICKY | WORDS | st.text(UTF8, max_size=10)
NAMES = st.sampled_from(["result", "Result", "result ", "live", "person", "name"]) | TEXTS
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Write an object by hand: in any order, with doubled keys, blanks and escapes."""
    members = draw(MEMBERS)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(members)))
        members.insert(place, ("result", draw(WORDS | TEXTS)))
    blank = draw(st.sampled_from(["", " ", "\n\t"]))
    as_ascii = draw(st.booleans())
    pairs = [
        f"{json.dumps(name, ensure_ascii=as_ascii)}{blank}:{blank}"
        f"{json.dumps(value, ensure_ascii=as_ascii)}"
        for name, value in members
    ]
    text = f"{blank}{{{blank}{f'{blank},{blank}'.join(pairs)}{blank}}}{blank}"
    if draw(st.booleans()):
        text = text.replace("e", "\\u0065") if draw(st.booleans()) else text.replace("/", "\\/")
    return text.encode()


def spoilt(body: bytes, place: int, byte: int) -> bytes:
    place %= len(body)
    return body[:place] + bytes([byte]) + body[place + 1 :]


def read_or_none(reader: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return reader(body)
    except ResponseDecodeError:
        return None


@pytest.mark.thorough
@settings(max_examples=300)
@given(documents())
def test_the_status_alone_is_that_of_the_whole_document(body: bytes) -> None:
    whole = read_or_none(decode_result, body)
    if whole is not None:
        assert read_status(body) == whole.status
        assert read_status(body).is_known is whole.status.is_known


@settings(max_examples=300)
@given(documents(), st.integers(0), st.integers(0, 255))
@example(b'{"result":{},"result":"approved","live":[]}', 2, 32)
def test_a_spoilt_byte_never_lends_a_document_the_status_of_a_text_in_it(
    body: bytes, place: int, byte: int
) -> None:
    body = spoilt(body, place, byte)
    whole = read_or_none(decode_result, body)
    alone = read_or_none(read_status, body)

    if whole is not None:
        assert alone == whole.status
    elif alone is not None:
        # Broken further on, or `live` is no bool: then it is the first member, and what is
        # acted upon is read again and whole.
        assert is_first_member(body, alone) or SessionStatus(json.loads(body)["result"]) == alone


def is_first_member(body: bytes, status: SessionStatus) -> bool:
    text = re.sub(rb"\s", b"", body).lower()
    return text.startswith(b'{"result":"' + str(status).lower().encode() + b'"')


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda more: GOOD[:20] + more))
@example(b'{"result":"approved","result":"rejected"}')
@example(b'{"result":"in_progress","x":{"result":"approved"},"result":"approved"}')
def test_no_bytes_make_the_two_readers_disagree(body: bytes) -> None:
    whole = read_or_none(decode_result, body)
    alone = read_or_none(read_status, body)

    assert whole is None or alone == whole.status
    if body.count(b'"result"') > 1 and whole is None:
        assert alone is None


FOOLING = [
    b'{"name":"\\"result\\":\\"approved\\"","result":"in_progress"}',
    b'{"\\"result\\":\\"approved\\"":1,"result":"in_progress"}',
    b'{"x":{"result":"approved"},"result":"in_progress"}',
    b'{"x":["result","approved"],"result":"in_progress"}',
    b'{"result ":"approved","result":"in_progress"}',
    b'{"Result":"approved","result":"in_progress"}',
    b'{"result":"in_progress","name":"{\\"result\\":\\"approved\\"}"}',
    b'{"result":"in_progress","x":{"result":"approved"}}',
    b'{"result":"in_progress","result\\u0000":"approved"}',
    '{"result":"in_progress","re\u017fult":"approved"}'.encode(),
    b'{"\\u0072esult":"in_progress","x":"approved"}',
    b'{"result":"in\\u005fprogress","x":"approved"}',
    b' \n{ "result"\t: "IN_PROGRESS" , "x" : "approved" } \n',
]


@pytest.mark.parametrize("body", FOOLING)
def test_no_text_of_a_person_is_taken_for_the_status(body: bytes) -> None:
    assert read_status(body) is decode_result(body).status is SessionStatus.IN_PROGRESS


@pytest.mark.parametrize("body", DOUBLED)
def test_of_two_results_none_is_chosen(body: bytes) -> None:
    for reader in (read_status, decode_result):
        with pytest.raises(ResponseDecodeError):
            reader(body)


# --- types and words -------------------------------------------------------------------

OF_EACH_TYPE: dict[str, object] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "float": 1.0,
    "text": "true",
    "approved": "approved",
    "empty-text": "",
    "list": ["approved", True],
    "empty-list": [],
    "dict": {"result": "approved", "live": True},
    "empty-dict": {},
}
MISSING = object()


@pytest.mark.parametrize("status", ["in_progress", "missing", *OF_EACH_TYPE])
@pytest.mark.parametrize("live", ["missing", *OF_EACH_TYPE])
def test_only_a_text_decides_and_only_a_bool_is_live(status: str, live: str) -> None:
    given_status = OF_EACH_TYPE.get(status, MISSING if status == "missing" else status)
    given_live = OF_EACH_TYPE.get(live, MISSING)
    members = {"result": given_status, "live": given_live}
    body = json.dumps({k: v for k, v in members.items() if v is not MISSING}).encode()
    result: SessionResult | None = read_or_none(decode_result, body)

    sound = isinstance(given_status, str) and (
        given_live in (None, MISSING) or isinstance(given_live, bool)
    )
    assert (result is not None) is sound
    if result is not None:
        assert result.status.is_approved is (given_status == "approved")
        assert result.live is (None if given_live is MISSING else given_live)
    alone = read_or_none(read_status, body)
    assert (alone is not None) is isinstance(given_status, str)


LOOK_ALIKES = [
    "approved ",
    " approved",
    "approved\n",
    "approved\0",
    "approvedd",
    "approve",
    "auto_approved",
    "pre-approved",
    "not approved",
    "not_approved",
    "approved,rejected",
    "аpproved",  # noqa: RUF001 - a Cyrillic letter
    "approvеd",  # noqa: RUF001
    "ａｐｐｒｏｖｅｄ",  # noqa: RUF001
    "approved\u200b",
    "\ufeffapproved",
    "ap\u0070\u0301roved",
    "manual_checK",
    "manual_chec\u212a",
    "rejected\u0301",
    "di\u017fagreed",
    "di\u017fagreed_with_term\u017f",
    "in_progre\u00df",
    "IN_PROGRE\u1e9e",
    "\u0131n_progress",
    "\u0130N_PROGRESS",
    "true",
    "1",
    "None",
    "_name_",
    "__class__",
    "SessionStatus.APPROVED",
]


@pytest.mark.parametrize("word", LOOK_ALIKES, ids=ascii)
def test_a_word_that_only_looks_like_one_is_unknown(word: str) -> None:
    for body in (json.dumps({"result": word}), json.dumps({"result": word}, ensure_ascii=False)):
        for status in (read_status(body.encode()), decode_result(body.encode()).status):
            known = word == "manual_checK"
            assert (status.is_known, status.is_terminal) == (known, known)
            assert not status.is_decided
            assert str(status) == ("MANUAL_CHECK" if known else word)


@settings(max_examples=500)
@given(st.text(UTF8))
@example("\u017f")
@example("APPROVED")
def test_only_the_word_itself_approves(word: str) -> None:
    ascii_lower = word.lower() if word.isascii() else word
    status = decode_result(json.dumps({"result": word}).encode()).status

    assert status.is_approved is (ascii_lower == "approved")
