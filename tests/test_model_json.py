"""What counts as JSON."""

import contextlib
import json
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async._model._json import strict_json
from identomat_async.errors import ResponseDecodeError

CANARY = "Anna-Canary"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + b"0" + closing * levels


UNSOUND = {
    "cut": b'{"result": "appr',
    "cut-after-member": b'{"result": "approved"',
    "trailing-document": b'{"result": "approved"} {}',
    "trailing-text": b"[1] x",
    "two-numbers": b"1 2",
    "duplicate-key": b'{"result": "rejected", "result": "approved"}',
    "duplicate-key-by-escape": b'{"a": 1, "\\u0061": 2}',
    "duplicate-key-inside": b'[{"a": {"b": 1, "b": 1}}]',
    "nan": b"[NaN]",
    "infinity": b"[Infinity]",
    "minus-infinity": b"[-Infinity]",
    "float-out-of-range": b"[1e999]",
    "negative-float-out-of-range": b"[-1e999]",
    "integer-of-401-digits": b"1" * 401,
    "negative-integer-of-401-digits": b"-" + b"1" * 401,
    "integer-of-5000-digits": b"1" * 5000,
    "lone-high-surrogate": b'["\\ud800"]',
    "lone-low-surrogate": b'["\\uDC00"]',
    "surrogates-in-wrong-order": b'["\\udc00\\ud800"]',
    "surrogate-key": b'{"\\ud800": 1}',
    "encoded-surrogate": b'["\xed\xa0\x80"]',
    "utf-16": json.dumps({"a": 1}).encode("utf-16"),
    "utf-16-without-mark": json.dumps({"a": 1}).encode("utf-16-le"),
    "utf-32": json.dumps({"a": 1}).encode("utf-32"),
    "byte-order-mark": b'\xef\xbb\xbf{"a": 1}',
    "latin-1": b'["\xe9"]',
    "overlong-utf-8": b'["\xc0\x80"]',
    "nul": b'{"a": 1}\x00',
    "control-character-in-text": b'["a\nb"]',
    "single-quotes": b"{'a': 1}",
    "comment": b"{} // no",
    "trailing-comma": b"[1,]",
    "bare-word": b"approved",
    "html": b"<html></html>",
    "leading-zero": b"[01]",
    "plus": b"[+1]",
    "hex": b"[0x1]",
    "no-break-space": b"\xc2\xa0{}",
    "form-feed": b"\x0c{}",
    "bad-escape": b'["\\x"]',
    "unclosed-text": b'["' + b"[" * 100,
    "65-arrays": nested(65, b"[", b"]"),
    "65-objects": nested(65, b'{"a":', b"}"),
    "65-mixed": nested(33, b'[{"a":', b"}]"),
    "100000-arrays": nested(100_000, b"[", b"]"),
    "100000-open-arrays": b"[" * 100_000,
    "unbalanced": b"]" * 70 + b"[" * 70,
    "brackets-that-do-not-fit": b"[}" * 70,
    "100001-keys": json.dumps({str(n): 0 for n in range(100_001)}).encode(),
    "100001-keys-in-objects": b"[" + b",".join([b'{"a":0}'] * 100_001) + b"]",
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in UNSOUND.items()])
def test_what_readers_may_understand_differently_is_refused(body: bytes) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        strict_json(body)

    assert caught.value.reason == "json"
    assert caught.value.retryable
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t"])
def test_an_empty_body_is_called_empty(body: bytes) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        strict_json(body)

    assert caught.value.reason == "empty"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(64, b"[", b"]"), id="64-arrays"),
        pytest.param(nested(64, b'{"a":', b"}"), id="64-objects"),
        pytest.param(b"[" + b",".join([b"[]"] * 500) + b"]", id="many-shallow-arrays"),
        pytest.param(b"[" + b",".join([b'{"a":[{}]}'] * 500) + b"]", id="many-shallow-objects"),
        pytest.param(json.dumps(["[" * 1000 + '\\"' + "{" * 1000]).encode(), id="brackets-in-text"),
        pytest.param(json.dumps(":" * 200_000).encode(), id="colons-in-text"),
        pytest.param(json.dumps({str(n): 0 for n in range(30_000)}).encode(), id="30000-keys"),
        pytest.param(json.dumps("[{,}]" * 30_000).encode(), id="a-text-of-commas"),
        pytest.param(b"9" * 400, id="integer-of-400-digits"),
        pytest.param(b"-" + b"9" * 400, id="negative-integer-of-400-digits"),
        pytest.param(b'"\\ud83d\\ude00"', id="pair-of-surrogates"),
        pytest.param(b'"\\\\ud800"', id="escaped-backslash"),
        pytest.param(b'{"a": {"a": 1}}', id="same-key-on-two-levels"),
        pytest.param(b' \r\n\t{"a": 1e308} \n', id="white-space"),
        pytest.param('{"имя": "ანა"}'.encode(), id="not-ascii"),
        pytest.param(b'"a\\/b"', id="escaped-slash"),
    ],
)
def test_what_is_sound_reads_as_the_standard_library_reads_it(body: bytes) -> None:
    assert strict_json(body) == json.loads(body)


@given(JSON)
def test_every_document_is_read_back(document: object) -> None:
    assert strict_json(json.dumps(document).encode()) == document


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_no_bytes_lead_to_another_error(body: bytes) -> None:
    with contextlib.suppress(ResponseDecodeError):
        strict_json(body)


def test_no_text_of_the_body_is_in_the_error_or_its_traceback() -> None:
    body = [b'{"name": "' + CANARY.encode() + b'", }']

    with pytest.raises(ResponseDecodeError) as caught:
        strict_json(body.pop())

    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert CANARY not in "".join(trace.format())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'"' + b'\\"' * 500_000, id="unclosed-text-of-quotes"),
        pytest.param(b"[" * 1_000_000, id="open-brackets"),
        pytest.param(b'"' * 1_000_001, id="quotes"),
        pytest.param(b"[]" * 500_000, id="pairs-of-brackets"),
        pytest.param(b"\\" * 1_000_000, id="backslashes"),
    ],
)
def test_hostile_bodies_are_refused_quickly(body: bytes) -> None:
    before = time.process_time()

    with pytest.raises(ResponseDecodeError):
        strict_json(body)

    assert time.process_time() - before < 2
