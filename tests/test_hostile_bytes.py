"""Whatever bytes come, they are read rightly or refused: quickly, and without being repeated."""

import time
import traceback
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from identomat_async._model._codec import decode_result, decode_screening_person
from identomat_async._model._dates import read_date
from identomat_async._model._json import strict_json
from identomat_async._wire._hints import retry_after
from identomat_async._wire._protocol import (
    BEGIN,
    DELETE,
    JSON_CAP,
    RESULT,
    Operation,
    media_operation,
)
from identomat_async._wire._replies import check, read
from identomat_async._wire._reply import Reply
from identomat_async._wire._signing import digest_in
from identomat_async._wire._tokens import decode_token
from identomat_async.errors import ApiError, IdentomatError, ResponseDecodeError

PERSON = "Anna-Canary"
GOOD = b'{"result":"approved","live":true,"person":{"first_name":"' + PERSON.encode() + b'"}}'
READERS: list[Callable[[bytes], object]] = [
    strict_json,
    decode_result,
    decode_screening_person,
    decode_token,
]


def inside(value: bytes) -> bytes:
    """Put *value* into a document that is sound otherwise."""
    return GOOD[:-1] + b',"x":' + value + b"}"


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return inside(opening * levels + b"0" + closing * levels)


def keys(count: int, *, length: int = 0) -> bytes:
    members = ",".join(f'"{number:0{length}}":0' for number in range(count))
    return inside(f"{{{members}}}".encode())


def filled(piece: bytes) -> bytes:
    """Fill 4 MiB, the most that is read."""
    return piece * (JSON_CAP // len(piece))


TEXT = GOOD.decode()
CORPUS: dict[str, bytes] = {
    # Cut anywhere, and with anything behind or before.
    **{f"cut-at-{end}": GOOD[:end] for end in range(1, len(GOOD), 2)},
    **{f"begun-at-{begin}": GOOD[begin:] for begin in range(1, len(GOOD) - 1, 5)},
    **{
        f"followed-by-{more!r}": GOOD + more
        for more in (
            b"x",
            b"{}",
            GOOD,
            b",",
            b"}",
            b"]",
            b"\0",
            b" 0",
            b"//",
            b"\xa0",
            b"\xff",
            b"\f",
        )
    },
    **{
        f"after-{before!r}": before + GOOD
        for before in (
            b"\xef\xbb\xbf",
            b"\0",
            b"\xa0",
            b"\v",
            b")]}',\n",
            b"data: ",
            b"1;",
            b"\x1e",
        )
    },
    # Other encodings, and bytes that are no UTF-8.
    **{
        f"in-{name}": TEXT.encode(name)
        for name in (
            "utf-16",
            "utf-16-le",
            "utf-16-be",
            "utf-32",
            "utf-32-le",
            "utf-8-sig",
            "cp500",
        )
    },
    "in-utf-7": inside(b'"+AOQ-').replace(b'"result"', b"+ACI-result+ACI-"),
    "latin-1": inside('"é"'.encode("latin-1")),
    **{
        f"bytes-{data.hex()}": inside(b'"' + data + b'"')
        for data in (
            b"\x80",
            b"\xc0\x80",
            b"\xc3",
            b"\xe0\x80\x80",
            b"\xed\xa0\x80",
            b"\xed\xb0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xfe",
            b"\xff",
        )
    },
    # Texts that are none.
    **{
        f"text-{number}": inside(text)
        for number, text in enumerate(
            (
                b'"a\nb"',
                b'"a\tb"',
                b'"\0"',
                b'"\x1f"',
                b'"\\x41"',
                b'"\\u12"',
                b'"\\u12G4"',
                b'"\\U00000041"',
                b'"\\u+041"',
                b'"\\u 041"',
                b'"\\',
                b'"\\"',
                b"'a'",
                b"a",
                b"`a`",
            )
        )
    },
    **{
        f"surrogates-{number}": inside(text)
        for number, text in enumerate(
            (
                b'"\\ud800"',
                b'"\\uDBFF"',
                b'"\\udc00"',
                b'"\\uDFFF"',
                b'"\\ud800\\ud800"',
                b'"\\udc00\\ud800"',
                b'"\\ud800 \\udc00"',
                b'"\\ud800a"',
                b'"\\\\\\ud800"',
                b'["\\ud83d\\ude00","\\ud83d"]',
                b'{"\\udead":0}',
                b'{"a":{"b":["\\udead"]}}',
            )
        )
    },
    # Numbers that readers disagree about.
    **{
        f"number-{number.decode()[:12]}-{len(number)}": inside(number)
        for number in (
            *(b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"+Infinity", b"inf", b"1e999"),
            *(b"-1e999", b"1E400", b"123456789e400", b"01", b"-01", b"+1", b".5", b"1.", b"1.e5"),
            *(
                b"1e",
                b"1e+",
                b"0x10",
                b"0b1",
                b"1_000",
                b"--1",
                b"1 2",
                "\u0661".encode(),
                b"-",
                b"1d",
            ),
            *(b"1" * 401, b"-" + b"1" * 401, b"9" * 5000, b"1" * 1_000_000, b"1e" + b"9" * 5000),
        )
    },
    # Words and punctuation.
    **{
        f"value-{value.decode()}": inside(value)
        for value in (
            *(b"True", b"TRUE", b"None", b"nil", b"undefined", b"nul", b"tru", b"falsey", b"yes"),
            *(b"", b",", b"[1,]", b"[,1]", b"[1 2]", b"[1;2]", b"[", b"]", b"[}", b"{]", b"{,}"),
            *(
                b'{"a"}',
                b'{"a":}',
                b'{"a" 1}',
                b'{"a":1,}',
                b'{"a"::1}',
                b"{a:1}",
                b"{1:1}",
                b"(1)",
            ),
            *(
                b"1/*a*/",
                b"/*a*/1",
                b"1//a\n",
                b"1#a\n",
                b"<!--a-->1",
                b"[1]]",
                b"{{}}",
                b'{"a":1}}',
            ),
        )
    },
    # The same key twice.
    **{
        f"doubled-{number}": document
        for number, document in enumerate(
            (
                GOOD[:-1] + b',"result":"rejected"}',
                GOOD[:-1] + b',"result":"approved"}',
                GOOD[:-1] + b',"live":false}',
                GOOD[:-1] + b',"\\u0072esult":"rejected"}',
                GOOD[:-1] + b',"person":{}}',
                inside(b'{"a":1,"a":1}'),
                inside(b'{"a":1,"\\u0061":1}'),
                inside(b'[[{"a":{"b":0,"b":0}}]]'),
                inside(b'{"":1,"":1}'),
                inside('{"ä":1,"\\u00e4":1}'.encode()),
                b'{"result":"in_progress",' + GOOD[1:],
            )
        )
    },
    # Too deep, too many.
    "65-arrays": nested(64, b"[", b"]"),
    "65-objects": nested(64, b'{"a":', b"}"),
    "65-of-both": nested(32, b'[{"a":', b"}]"),
    "1000-arrays": nested(1000, b"[", b"]"),
    "100000-arrays": nested(100_000, b"[", b"]"),
    "100000-objects": nested(100_000, b'{"a":', b"}"),
    "deep-behind-a-text": inside(b'"\\"[[[", "y":' + b"[" * 65 + b"]" * 65),
    "deep-behind-an-open-text": inside(b'"[' + b"[" * 200),
    "30001-keys": keys(30_001),
    "30001-elements": inside(b"[" + b"0," * 30_000 + b"0]"),
    "30001-arrays": inside(b"[" + b"[]," * 15_000 + b"[]]"),
    "100001-keys-in-many-objects": inside(b"[" + b",".join([b'{"a":0}'] * 100_001) + b"]"),
    "100001-pairs-of-brackets": b"[]" * 100_001,
    # Four mebibytes of one thing.
    **{
        f"4-mib-of-{piece!r}": filled(piece)
        for piece in (
            b"[",
            b"{",
            b"]",
            b'"',
            b'\\"',
            b"\\",
            b":",
            b"[]",
            b'{"":',
            b"1",
            b"\0",
            b"-",
        )
    },
    "4-mib-of-distinct-keys": keys(350_000),
    "4-mib-of-long-keys": keys(199_000, length=16),
    "4-mib-of-escapes": inside(b'"' + b"\\ud800" * 690_000 + b'"'),
    "4-mib-of-a-number": inside(b"9" * 4_000_000),
    "4-mib-of-an-exponent": inside(b"1e" + b"9" * 4_000_000),
    "4-mib-of-objects-in-texts": inside(b'"' + b'{\\"a\\":[' * 500_000),
}


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(CORPUS) >= 200
    assert max(map(len, CORPUS.values())) <= JSON_CAP


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_document_is_refused_by_every_reader_and_not_repeated(name: str) -> None:
    body = CORPUS[name]
    began = time.process_time()
    for reader in READERS:
        bodies = [body]
        with pytest.raises(ResponseDecodeError) as caught:
            reader(bodies.pop())

        error = caught.value
        assert error.__cause__ is error.__context__ is None
        assert error.reason in {"json", "shape"}
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [str(f.locals) for f in trace.stack if "identomat_async/_model" in f.filename]
        assert PERSON not in f"{error} {error!r} {vars(error)} {ours}"
    spent = time.process_time() - began
    # 100 ms per mebibyte is the promise; a busy machine gets ten times that.
    assert spent / len(READERS) < 0.1 + len(body) / 2**20


def checked(reply: Reply, operation: Operation, decode: Callable[[bytes], Any]) -> Any:
    check(reply, operation, secret=None)
    return read(reply.body, operation, decode)


@pytest.mark.parametrize("name", [name for name in CORPUS if len(CORPUS[name]) < 2**16])
def test_no_hostile_body_makes_another_error_of_a_reply(name: str) -> None:
    for operation in (BEGIN, RESULT, DELETE, media_operation("face")):
        decode = decode_token if operation is BEGIN else decode_result
        for status in (200, 400, 404, 500):
            reply = Reply(status=status, headers=[(b"content-type", b"x/y")], body=CORPUS[name])
            with pytest.raises(IdentomatError) as caught:
                checked(reply, operation, decode)
            assert PERSON not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def wrong(member: bytes, size: int) -> bytes:
    """Write a result that holds what it must not, and blanks up to *size*."""
    return b'{"result":"approved",' + member + b" " * (size - len(member)) + b"}"


DEAREST: dict[str, Callable[[int], bytes]] = {
    "objects": lambda n: inside(b"[" + b"{}," * 14_990 + b"{}]" + b" " * (n - 45_000)),
    "texts": lambda n: inside(b'["' + b'","' * 29_990 + b'"]' + b" " * (n - 90_000)),
    "wrong-texts": lambda n: wrong(b'"documents":[' + b"0," * 29_990 + b"0]", n),
    "wrong-objects": lambda n: wrong(b'"generalDocuments":[' + b"0," * 29_990 + b"0]", n),
    "wrong-members": lambda n: wrong(b'"screeningMatches":[' + b"{}," * 14_990 + b"0]", n),
    "keys": lambda n: keys(29_990, length=n // 29_990 - 6),
    "escapes": lambda n: inside(b'"' + b"\\u0041" * (n // 6) + b'"'),
    "integers": lambda n: inside(b"[" + (b"9" * 399 + b",") * (n // 400) + b"9]"),
    "floats": lambda n: inside(b"[" + b"0.1," * 29_990 + b"0.1]" + b" " * (n - 120_000)),
    "digits": lambda n: inside(b"0." + b"1" * n),
}


@pytest.mark.parametrize("name", DEAREST)
def test_the_dearest_sound_documents_are_read_in_bounds(name: str) -> None:
    body = DEAREST[name](JSON_CAP - 2 * len(GOOD))
    assert len(body) <= JSON_CAP
    began = time.process_time()
    result = decode_result(body)
    spent = time.process_time() - began

    assert result.status.is_approved
    assert spent < 4 * 0.1 * 10

    small = DEAREST[name](2**20)
    tracemalloc.start()
    decode_result(small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Whatever it holds: eight times a mebibyte for each that it has begun.
    assert peak < 8 * 2**20


@pytest.mark.parametrize("piece", [b'"",', b'"\\\\",', b"[],", b"{},", b"0,", b'"a":1,', b"{"])
def test_what_is_refused_is_refused_in_bounds(piece: bytes) -> None:
    body = b'{"result":"approved","x":[' + filled(piece)[:-64] + b"]}"
    tracemalloc.start()
    with pytest.raises(ResponseDecodeError):
        decode_result(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 8 * len(body)


# --- long texts in headers and dates ---------------------------------------------------

LONG = 2**20
ADVERSARIAL = [
    b"9" * LONG,
    b"9." * (LONG // 2),
    b" " * LONG,
    b"," * LONG,
    b"Mon, " * (LONG // 5),
    b"a;" * (LONG // 2),
    b"=" * LONG,
    b"/" * LONG,
    b"A" * LONG,
    b"\xff" * LONG,
    b'signature="' * (LONG // 11),
]


@pytest.mark.parametrize("value", ADVERSARIAL, ids=lambda value: repr(value[:12]))
def test_a_mebibyte_in_a_header_or_a_date_takes_no_time(value: bytes) -> None:
    names = (b"retry-after", b"date", b"age", b"x-cache", b"cache-status", b"content-type")
    reply = Reply(status=200, headers=[(name, value) for name in names], body=b"{}")
    began = time.process_time()
    retry_after(reply)
    check(reply, RESULT, secret=None)
    assert digest_in(value) is None
    assert read_date(value.decode("latin-1")) is None

    # 50 ms is the promise for one of them; a busy machine gets more.
    assert time.process_time() - began < 0.5


def test_an_error_of_the_service_says_nothing_of_what_it_was_told() -> None:
    for body in (f'"{PERSON.upper()}"', f'{{"argumentError":"{PERSON}"}}', '"ANNA_CANARY"'):
        with pytest.raises((ApiError, ResponseDecodeError)) as caught:
            read(body.encode(), RESULT, decode_result)
        assert "anna" not in f"{caught.value} {caught.value!r} {vars(caught.value)}".lower()
