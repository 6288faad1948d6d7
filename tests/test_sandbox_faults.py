"""The faults of the sandbox: which there are, which strikes, and what each looks like."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import ELSEWHERE, FAULTS, Fault, fault_for
from identomat_async.sandbox._asgi import Answer
from identomat_async.sandbox._faults import PASSING, faults_named
from identomat_async.sandbox._faults_steps import Again, End, Pause, Scene, Send, as_http
from identomat_async.sandbox._faults_wire import steps_of
from identomat_async.sandbox._signing import code_for_body, header_for

SIGNED = header_for(code_for_body(b"s", b'{"result":"approved"}'))


def scene(operation: str = "result", *, alone: bool = False) -> Scene:
    body = b'"a-token"' if operation == "begin" else b'{"result":"approved"}'
    stray = Answer(b'{"result":"rejected"}', signature="stray")
    return Scene(
        answer=Answer(body, signature=SIGNED),
        operation=operation,
        stray=None if alone else stray,
        other=None if alone else "other-token",
        older=None if alone else Answer(b'{"result":"in_progress"}'),
        sign=lambda signed: header_for(code_for_body(b"s", signed)),
        retry_after=0.5,
        chance=0.5,
        now=1_000_000_000.0,
    )


def said(fault: str, operation: str = "result", *, alone: bool = False) -> bytes:
    steps = steps_of(FAULTS[fault], scene(operation, alone=alone))
    return b"".join(step.data for step in steps if isinstance(step, Send))


def body_of(fault: str, operation: str = "result") -> bytes:
    return said(fault, operation).partition(b"\r\n\r\n")[2]


def test_every_row_of_the_matrix_is_a_fault_or_is_caused_elsewhere() -> None:
    rows = {fault.row for fault in FAULTS.values()}

    assert rows | set(ELSEWHERE) == {f"F{number}" for number in range(1, 50)}
    assert not rows & set(ELSEWHERE)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_every_fault_differs_from_a_plain_answer(fault: Fault) -> None:
    for operation in fault.operations:
        steps = steps_of(fault, scene(operation))
        assert steps != (Send(as_http(scene(operation).answer)),), operation


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_every_fault_can_strike_the_only_session_there_is(fault: Fault) -> None:
    for operation in fault.operations:
        assert steps_of(fault, scene(operation, alone=True))


def test_the_same_request_meets_the_same_fault_in_every_order() -> None:
    asked = [("result", f"t{number}", n) for number in range(50) for n in range(1, 20)]

    forwards = [fault_for(7, *each, 0.3) for each in asked]
    backwards = [fault_for(7, *each, 0.3) for each in reversed(asked)]

    assert forwards == backwards[::-1]
    assert forwards != [fault_for(8, *each, 0.3) for each in asked]


def test_the_share_is_that_of_the_requests_struck() -> None:
    drawn = [fault_for(1, "result", f"t{number}", 1, 0.3) for number in range(4000)]

    assert 0.28 < sum(fault is not None for fault in drawn) / 4000 < 0.32


def rows_struck(count: int = 20_000) -> Iterator[str]:
    for number in range(count):
        fault = fault_for(1, "result", f"t{number}", 1, 1.0)
        assert fault is not None
        yield fault.row


@pytest.mark.thorough
def test_rows_are_equally_likely_but_for_those_that_stall() -> None:
    struck = Counter(rows_struck())
    usual = struck.total() / (len(struck) - 3 + 3 * 0.3)

    stalls = {row: struck.pop(row) for row in ("F11", "F12", "F13")}
    assert all(0.75 * usual < count < 1.25 * usual for count in struck.values())
    assert all(0.2 * usual < count < 0.4 * usual for count in stalls.values())


def test_a_token_meets_six_faults_at_most() -> None:
    struck = [fault_for(1, "result", "t", n, 0.5) for n in range(1, 200)]

    assert sum(fault is not None for fault in struck) == 6


def longest_proof(kinds: tuple[Fault, ...], most: int | None) -> int:
    """Return how often a session meets what proves it gone, with no good answer in between."""
    longest = 0
    for token in range(300):
        count = 0
        for n in range(1, 20):
            fault = fault_for(1, "result", f"t{token}", n, 0.7, kinds=kinds, most=most)
            count = 0 if fault is None else count + (fault.proves == "gone")
            longest = max(longest, count)
    return longest


def test_what_is_not_true_is_proven_only_when_nothing_else_can_strike() -> None:
    some = faults_named(["F7", "F29", "F40-502"])

    assert longest_proof(some, 9) == 2
    assert longest_proof(some, None) > 3
    assert longest_proof(faults_named(["F29"]), 9) > 3


def test_without_a_limit_every_request_can_be_struck() -> None:
    assert all(fault_for(1, "result", "t", n, 1.0, most=None) for n in range(1, 50))


def test_what_makes_a_client_give_up_strikes_only_when_named() -> None:
    assert {fault.row for fault in FAULTS.values() if fault not in PASSING} == {"F34", "F47"}
    assert fault_for(1, "result", "t", 1, 1.0, kinds=faults_named(["F34"])) is not None


def test_a_fault_of_documents_does_not_strike_begin_or_media() -> None:
    kinds = faults_named(["F43", "F42"])

    assert fault_for(1, "begin", "t", 1, 1.0, kinds=kinds) is None
    assert fault_for(1, "result/face", "t", 1, 1.0, kinds=kinds) is None
    assert fault_for(1, "result", "t", 1, 1.0, kinds=kinds) in kinds


def test_a_row_means_its_variants() -> None:
    ids = [fault.id for fault in faults_named(["F14", "F7", "F9-reset", "F9-reset"])]

    assert ids == ["F14-short", "F14-chunks", "F14-reset", "F7", "F9-reset"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("F1", "down"), ("F99", "no fault"), ("f14", "no fault")],
)
def test_an_unknown_fault_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        faults_named([name])


def test_a_stray_answer_comes_in_the_same_packet_or_up_to_20_ms_later() -> None:
    at_once = said("F18")
    late = steps_of(FAULTS["F19"], scene())

    assert at_once.count(b"HTTP/1.1 200 OK") == 2
    assert at_once.endswith(b'{"result":"rejected"}')
    assert isinstance(late[1], Pause)
    assert 0.001 <= late[1].seconds <= 0.02
    assert b"signature" not in said("F18", alone=True).partition(b"\r\n\r\n")[2]


def test_a_body_that_is_spoiled_by_the_service_is_signed_all_the_same() -> None:
    head, _, body = said("F27-twice").partition(b"\r\n\r\n")

    assert header_for(code_for_body(b"s", body)).encode() in head
    assert body == b'{"result":"approved","result":"approved"}'


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("F27-cut", rb'\{"result":'),
        ("F27-trailing", rb"\{.*\}\{\}"),
        ("F27-nan", rb".*:NaN\}"),
        ("F27-bom", rb"\xef\xbb\xbf\{.*"),
        ("F27-latin1", rb'.*"\xe9"\}'),
        ("F28-decisive", rb'\{"result":true\}'),
        ("F28-status", rb'\{"result":"under_consideration"\}'),
        ("F42", rb'.*"session_token":"other-token"\}'),
        ("F43-replayed", rb'\{"result":"in_progress"\}'),
    ],
)
def test_what_is_wrong_with_a_body(fault: str, pattern: bytes) -> None:
    assert re.fullmatch(pattern, body_of(fault))


def test_a_token_is_spoiled_as_a_member_of_an_object() -> None:
    assert body_of("F27-twice", "begin") == (
        b'{"session_token":"a-token","session_token":"approved"}'
    )
    assert body_of("F28-decisive", "begin") == b"42"


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        ("F32-307", b"Location: /elsewhere/"),
        ("F38-later", b"Retry-After: 0.5"),
        ("F41-later", b"Retry-After: 0.5"),
        ("F47-date", b"Retry-After: Sun, 09 Sep 2001 01:46:41 GMT"),
        ("F47-past", b"Retry-After: Sun, 09 Sep 2001 00:46:40 GMT"),
        ("F47-clock", b"Date: Sat, 08 Sep 2001 01:46:40 GMT"),
        ("F43-cached", b"Age: 3600"),
        ("F44-close", b"Connection: close"),
        ("F15-lengths", b"Content-Length: 1\r\n"),
    ],
)
def test_what_is_wrong_with_the_headers(fault: str, header: bytes) -> None:
    assert header in said(fault).partition(b"\r\n\r\n")[0] + b"\r\n"


@pytest.mark.parametrize("fault", ["F12", "F13", "F22-chunks", "F22-length"])
def test_what_has_no_end(fault: str) -> None:
    assert isinstance(steps_of(FAULTS[fault], scene())[-1], Again)


@pytest.mark.parametrize(
    ("fault", "how"),
    [("F6", "reset"), ("F7", "close"), ("F8", "doom"), ("F11-body", "silence")],
)
def test_what_becomes_of_the_connection(fault: str, how: str) -> None:
    assert steps_of(FAULTS[fault], scene())[-1] == End(how)


def test_a_status_without_a_name_is_written_too() -> None:
    assert said("F40-527").startswith(b"HTTP/1.1 527 Unknown\r\n")


def test_two_signatures_are_both_right_and_the_wrong_ones_are_not() -> None:
    right = f"Authorization: {SIGNED}".encode()

    assert said("F31-two").count(right) == 2
    assert b"Authorization" not in said("F31-missing")
    for fault in ("F31-wrong", "F31-bytes"):
        assert b"Authorization" in said(fault)
        assert right not in said(fault)
