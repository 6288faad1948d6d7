"""What a reply means: plain functions of what was received."""

import json
import traceback
from contextlib import suppress
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async._model._json import strict_json
from identomat_async._wire._documents import check_named, check_session, may_name_session
from identomat_async._wire._hints import exhausted, retry_after
from identomat_async._wire._protocol import BEGIN, DELETE, RESULT, Operation, media_operation
from identomat_async._wire._replies import check, read
from identomat_async._wire._reply import Reply, content_type_of
from identomat_async._wire._signing import authorization, code_for_body
from identomat_async._wire._tokens import decode_token
from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    IdentomatError,
    MediaNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
    UnexpectedRedirectError,
)

MEDIA = media_operation("face")
JSON = (b"content-type", b"application/json")
LENGTH, CHUNKS = (b"content-length", b"1"), (b"transfer-encoding", b"chunked")
NOW = 1_700_000_000.0


def failure(
    reply: Reply, operation: Operation = RESULT, secret: bytes | None = None
) -> IdentomatError:
    with pytest.raises(IdentomatError) as caught:
        check(reply, operation, secret=secret)
    error = caught.value
    assert error.__cause__ is error.__context__ is None
    assert error.operation == operation.name
    return error


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "applied"),
    [
        (101, ResponseDecodeError, True, True),
        (103, ResponseDecodeError, True, True),
        (199, ResponseDecodeError, True, True),
        (301, UnexpectedRedirectError, False, False),
        (308, UnexpectedRedirectError, False, False),
        (400, ApiError, False, False),
        (401, AuthenticationError, False, False),
        (403, AuthenticationError, False, False),
        (404, ApiError, False, False),
        (407, AuthenticationError, False, False),
        (408, RequestTimeoutError, True, True),
        (409, ApiError, True, False),
        (413, ApiError, False, False),
        (423, ApiError, True, False),
        (425, ServerError, True, False),
        (429, RateLimitedError, True, False),
        (500, ServerError, True, True),
        (501, ServerError, False, True),
        (502, ServerError, True, True),
        (503, ServerError, True, True),
        (505, ServerError, False, True),
        (520, ServerError, True, True),
        (599, ServerError, True, True),
    ],
)
def test_each_status_has_its_class(
    status: int,
    kind: type,
    retryable: bool,
    applied: bool,
) -> None:
    error = failure(Reply(status=status, headers=(), body=b"<p>Anna Example</p>"))

    assert type(error) is kind
    assert (error.retryable, error.maybe_applied) == (retryable, applied)
    assert getattr(error, "status_code", status) == status
    assert "Anna" not in str(error)


def test_unavailable_until_later_means_that_nothing_was_done() -> None:
    error = failure(Reply(status=503, headers=[(b"retry-after", b"7")]), BEGIN)

    assert isinstance(error, ServerError)
    assert (error.retry_after, error.maybe_applied) == (7, False)


def test_only_a_medium_can_be_missing() -> None:
    missing = Reply(status=404, headers=())

    assert type(failure(missing, MEDIA)) is MediaNotFoundError
    assert type(failure(missing, RESULT)) is ApiError


@pytest.mark.parametrize("status", [200, 400, 404, 410, 500])
@pytest.mark.parametrize("secret", [None, b"s"])
@pytest.mark.parametrize("operation", [RESULT, DELETE, MEDIA], ids=lambda each: each.name)
def test_the_two_words_need_no_signature_and_prove_nothing(
    status: int, secret: bytes | None, operation: Operation
) -> None:
    for word, kind in [
        ("SESSION_NOT_FOUND", SessionNotFoundError),
        ("SESSION_INVALID", SessionInvalidError),
    ]:
        reply = Reply(status=status, headers=[JSON], body=f'"{word}"'.encode())
        error = failure(reply, operation, secret)

        assert type(error) is kind
        assert (error.verified, error.code, error.status_code) == (False, word, status)


def test_a_signed_word_is_verified() -> None:
    body = b'"SESSION_NOT_FOUND"'
    signed = (b"authorization", authorization(code_for_body(b"s", body)).encode())
    error = failure(Reply(status=200, headers=[signed], body=body), secret=b"s")

    assert isinstance(error, SessionNotFoundError)
    assert error.verified


@pytest.mark.parametrize(
    "body", [b'"SESSION_NOT_FOUND" ', b"SESSION_NOT_FOUND", b'"SESSION_GONE"', b"{}"]
)
def test_any_other_unsigned_success_is_not_read(body: bytes) -> None:
    error = failure(Reply(status=200, headers=[JSON], body=body), secret=b"s")

    assert isinstance(error, SignatureError)
    assert (error.retryable, error.maybe_applied) == (True, True)


def test_an_error_need_not_be_signed() -> None:
    assert type(failure(Reply(status=500, headers=()), secret=b"s")) is ServerError


@pytest.mark.parametrize(
    ("body", "content_type", "operation", "reason"),
    [
        (b"", b"application/json", RESULT, "empty"),
        (b"", b"image/jpeg", MEDIA, "empty"),
        (b"<html>", b"application/json", RESULT, "content-type"),
        (b"{}", b"text/html; charset=utf-8", RESULT, "content-type"),
        (b"{}", b"application/json", MEDIA, "content-type"),
        (b'"x"', b"image/jpeg", MEDIA, "content-type"),
        (b"<svg>", b"image/svg+xml", MEDIA, "content-type"),
        (b"\xff\xd8", b"text/html", MEDIA, "content-type"),
        (b"\r\n <html>", b"image/jpeg", MEDIA, "content-type"),
        (b"\xef\xbb\xbf{}", b"image/jpeg", MEDIA, "content-type"),
        (b"[1]", b"image/jpeg", MEDIA, "content-type"),
        (b"null", b"video/mp4", MEDIA, "content-type"),
    ],
)
def test_a_page_or_nothing_is_no_answer(
    body: bytes, content_type: bytes, operation: Operation, reason: str
) -> None:
    reply = Reply(status=200, headers=[(b"content-type", content_type)], body=body)
    error = failure(reply, operation)

    assert isinstance(error, ResponseDecodeError)
    assert error.reason == reason


CACHED = [
    pytest.param([(b"age", b"1")], id="age"),
    pytest.param([(b"age", b"0"), (b"age", b" 007 ")], id="two-ages"),
    pytest.param([(b"age", b"0, 5")], id="ages-in-one"),
    pytest.param([(b"x-cache", b"HIT")], id="hit"),
    pytest.param([(b"x-cache", b"Hit from cloudfront")], id="hit-from"),
    pytest.param([(b"x-cache", b"RefreshHit from cloudfront")], id="refreshed"),
    pytest.param([(b"x-cache", b"MISS, HIT")], id="second-cache"),
    pytest.param([(b"x-cache", b"MISS"), (b"x-cache", b"TCP_MEM_HIT from a")], id="second-header"),
    pytest.param([(b"x-cache-status", b"STALE")], id="stale"),
    pytest.param([(b"cf-cache-status", b"REVALIDATED")], id="revalidated"),
    pytest.param([(b"cache-status", b"a; fwd=miss, b; hit; ttl=5")], id="standard"),
]
NOT_CACHED = [
    pytest.param([(b"age", b"0")], id="age"),
    pytest.param([(b"age", b"-5"), (b"age", b"soon"), (b"age", b"")], id="no-age"),
    pytest.param([(b"x-cache", b"MISS")], id="miss"),
    pytest.param([(b"x-cache", b"Miss from hit.example")], id="name-of-a-cache"),
    pytest.param([(b"x-cache", b""), (b"x-cache", b" , ;")], id="nothing"),
    pytest.param([(b"cf-cache-status", b"DYNAMIC")], id="dynamic"),
    pytest.param([(b"cache-status", b"hit.example; fwd=miss; stored")], id="standard"),
]


@pytest.mark.parametrize("headers", CACHED)
@pytest.mark.parametrize("operation", [BEGIN, RESULT, DELETE, MEDIA], ids=lambda each: each.name)
@pytest.mark.parametrize("body", [b"{}", b'"SESSION_NOT_FOUND"'])
def test_what_a_cache_kept_is_no_answer(
    headers: list[tuple[bytes, bytes]], operation: Operation, body: bytes
) -> None:
    error = failure(Reply(status=200, headers=[JSON, *headers], body=body), operation)

    assert isinstance(error, ResponseDecodeError)
    assert (error.reason, error.retryable, error.maybe_applied) == ("cached", True, True)


@pytest.mark.parametrize("headers", NOT_CACHED)
def test_what_a_cache_passed_on_is_an_answer(headers: list[tuple[bytes, bytes]]) -> None:
    check(Reply(status=200, headers=[JSON, *headers], body=b"{}"), RESULT, secret=None)


def test_an_error_out_of_a_cache_is_still_that_error() -> None:
    kept = Reply(status=401, headers=[(b"age", b"9")], body=b"{}")

    assert isinstance(failure(kept), AuthenticationError)


@pytest.mark.parametrize("named", [None, "t", 5])
def test_a_document_that_names_its_own_session_or_none_passes(named: object) -> None:
    check_session({"session_token": named}, "t", RESULT)
    check_session({}, "t", RESULT)


@pytest.mark.parametrize(
    ("name", "token"),
    [("session_token", "t"), ("sessionToken", "t"), ("sessionId", "Anna-Canarx")],
)
def test_a_document_that_names_another_session_is_refused(name: str, token: str) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        check_session({name: "Anna-Canary"}, token, RESULT)

    assert (caught.value.reason, caught.value.retryable) == ("other-session", True)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "Anna-Canary" not in str([frame.locals for frame in list(trace.stack)[1:]])


def test_a_name_that_is_of_another_shape_than_a_token_is_something_else() -> None:
    check_session({"sessionId": "7f3c2d1e-not-a-token", "sessionToken": 5}, "t", RESULT)
    check_session({"session_token": "", "sessionToken": ""}, "t", RESULT)


@pytest.mark.parametrize("name", ["session_token", "sessionToken", "sessionId"])
def test_a_body_may_name_a_session_if_a_name_is_in_it(name: str) -> None:
    assert may_name_session(b'{"%s":1}' % name.encode())
    assert not may_name_session(b'{"result":"approved","session":1}')


@pytest.mark.parametrize("body", [b'["session_token"]', b'{"session_token":{"t":"u"}}'])
def test_what_names_no_session_is_left_to_who_reads_it(body: bytes) -> None:
    check_named(body, "t", RESULT)


@pytest.mark.parametrize(
    "content_type", ["text/plain", " Text/Plain; charset=utf-8", "application/xml", "image/svg+xml"]
)
def test_a_text_is_no_medium(content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"5")]
    error = failure(Reply(status=200, headers=headers, body=b"Error"), MEDIA)

    assert isinstance(error, ResponseDecodeError)
    assert error.reason == "content-type"


def test_an_error_code_where_a_medium_is_due_is_an_error_of_the_service() -> None:
    error = failure(Reply(status=200, headers=[JSON], body=b'"NO_SUCH_FACE"'), MEDIA)

    assert isinstance(error, ApiError)
    assert (error.reason, error.code) == ("unknown-code", None)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_says_why_if_its_body_does(status: int) -> None:
    for body, reason in [
        (b'{"argumentError":"Anna"}', "argument"),
        (b'"SOME_CODE"', "unknown-code"),
    ]:
        error = failure(Reply(status=status, headers=[JSON], body=body))

        assert isinstance(error, ApiError)
        assert (error.reason, error.status_code) == (reason, status)


def test_a_success_passes() -> None:
    check(Reply(status=200, headers=[JSON], body=b"{}"), RESULT, secret=None)
    check(Reply(status=200, headers=[LENGTH], head=b"\xff", digest=b""), MEDIA, secret=None)


@pytest.mark.parametrize("headers", [[LENGTH], [CHUNKS]], ids=["length", "chunks"])
def test_a_medium_that_says_where_it_ends_passes(headers: list[tuple[bytes, bytes]]) -> None:
    check(Reply(status=200, headers=headers, body=b"\xff"), MEDIA, secret=None)


def test_a_medium_that_may_have_been_cut_short_is_refused() -> None:
    error = failure(Reply(status=200, headers=[], body=b"\xff"), MEDIA)

    assert isinstance(error, ResponseDecodeError)
    assert (error.reason, error.retryable, error.maybe_applied) == ("length", True, True)


def test_a_signature_says_that_a_medium_is_whole() -> None:
    signed = (b"authorization", authorization(code_for_body(b"s", b"\xff")).encode())

    check(Reply(status=200, headers=[signed], body=b"\xff"), MEDIA, secret=b"s")


@pytest.mark.parametrize("operation", [BEGIN, RESULT, DELETE, MEDIA], ids=lambda each: each.name)
def test_a_part_of_an_answer_is_none(operation: Operation) -> None:
    content_type = (b"content-type", b"image/jpeg") if operation is MEDIA else JSON
    reply = Reply(status=206, headers=[content_type, LENGTH], body=b"\xff")
    error = failure(reply, operation)

    assert isinstance(error, ResponseDecodeError)
    assert (error.reason, error.retryable, error.maybe_applied) == ("partial", True, True)


def test_the_repr_shows_neither_body_nor_headers() -> None:
    reply = Reply(status=200, headers=[(b"x", b"canary")], body=b"canary", received=NOW)

    assert "canary" not in repr(reply)
    assert content_type_of(reply) == ""


# --- tokens ----------------------------------------------------------------------------

TOKEN = "m2x7c1q9w0e8r5t3y6u4i1o7p2a5s8d0f3g6h9j4"


@pytest.mark.parametrize(
    "body",
    [
        f'"{TOKEN}"',
        f'{{"session_token": "{TOKEN}"}}',
        f'{{"sessionToken": "{TOKEN}", "x": 1}}',
        f'{{"token": "{TOKEN}"}}',
        f'{{"token": "{TOKEN}", "error": null, "success": true, "status": "created"}}',
        f'{{"token": "{TOKEN}", "error": "none", "error_code": "0", "lang": "no"}}',
        f'{{"token": "{TOKEN}", "status": "not_started", "message": "created, no errors"}}',
        f'{{"token": "{TOKEN}", "errorMessage": "Success", "url": "https://x.example/?now=no"}}',
        f" {TOKEN}\n",
        '"token"',
        '"not-5"',
        '{"token": "not-5", "country": "NO", "status": "created"}',
    ],
)
def test_a_token_is_found_in_each_known_form(body: str) -> None:
    assert decode_token(body.encode()) in {TOKEN, "token", "not-5"}


@pytest.mark.parametrize(
    "body",
    [
        "5",
        "null",
        "[]",
        "{}",
        '"a b"',
        '""',
        '"é"',
        '{"token": 5}',
        "ANY_CODE",
        "{",
        '"a\\u000a"',
        "ok",
        '"ok"',
        '"null"',
        '"bad-gateway"',
        TOKEN.upper(),
        "upstream-timeout-504-gateway",
        '"error"',
        '"not_allowed"',
        '"Service-Unavailable"',
        '{"token": "x", "status": "failed"}',
        '{"token": "x", "message": "Not found"}',
        '{"token": "x", "errors": ["y"]}',
        '{"token": "x", "errorCode": 7}',
        '{"token": "x", "success": false}',
        f'{{"token": "{TOKEN}", "success": false}}',
        f'{{"token": "{TOKEN}", "error": "no such flag"}}',
        '{"argumentError": "x", "token": "m2x7c1q9w0e8r5t3"}',
        '{"error": "bad", "token": "m2x7c1q9w0e8r5t3"}',
    ],
)
def test_what_is_no_token_is_not_taken_for_one(body: str) -> None:
    with pytest.raises(ResponseDecodeError):
        decode_token(body.encode())


@pytest.mark.parametrize("code", ["CONFIG_NOT_FOUND", "UNAUTHORIZED", "LIMIT_2"])
def test_a_code_where_a_token_is_due_is_an_error_of_the_service(code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(f'"{code}"'.encode(), BEGIN, decode_token)

    assert (caught.value.reason, caught.value.operation) == ("unknown-code", "begin")
    assert code not in str(caught.value)


def test_a_refused_argument_is_an_error_of_the_service() -> None:
    with pytest.raises(ApiError) as caught:
        read(b'{"argumentError": "Anna Example is no language"}', BEGIN, decode_token)

    assert caught.value.reason == "argument"
    assert "Anna" not in str(caught.value)


def test_what_cannot_be_read_may_have_been_acted_upon() -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        read(b"{", RESULT, strict_json)

    assert (caught.value.retryable, caught.value.maybe_applied) == (True, True)
    assert caught.value.operation == "result"
    assert caught.value.__context__ is None


# --- Retry-After -----------------------------------------------------------------------


def after(*values: bytes, date: bytes | None = None, received: float = NOW) -> float | None:
    headers = [(b"retry-after", value) for value in values]
    if date is not None:
        headers.append((b"date", date))
    return retry_after(Reply(status=429, headers=headers, received=received))


def http_date(at: float) -> bytes:
    return formatdate(at, usegmt=True).encode()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"30", 30),
        (b" 30 ", 30),
        (b"1.5", 1.5),
        (b"99999999", 99_999_999),
        (b"30, 60", 60),
        (http_date(NOW + 90), 90),
        (http_date(NOW - 90), 0),
        (b"Tue, 14 Nov 2023 22:14:50 -0000", 90),
        (b"Tue Nov 14 22:14:50 2023", 90),
        (b"-5", None),
        (b"+5", None),
        (b"NaN", None),
        (b"1e309", None),
        (b"inf", None),
        (b"12345678901", None),
        (b"", None),
        (b"soon", None),
        (b"\xd9\xa3", None),
        (b"Tue, 99 Nov 2023 22:14:50 GMT", None),
        (b"Tue, 14 Nov 2023 22:14:50 GMT" + b" " * 100, None),
    ],
)
def test_a_time_to_wait_is_seconds_or_a_date_and_anything_else_is_ignored(
    value: bytes, seconds: float | None
) -> None:
    assert after(value) == seconds


def test_a_date_counts_from_the_clock_of_the_service() -> None:
    day = 86_400
    assert after(http_date(NOW + day + 40), date=http_date(NOW + day)) == 40
    assert after(http_date(NOW + 40), date=b"yesterday") == 40


def test_of_several_values_the_largest_counts() -> None:
    assert after(b"5", b"junk", b"50") == 50
    assert after() is None


@given(st.binary(max_size=40))
def test_no_value_breaks_it(value: bytes) -> None:
    seconds = after(value)

    assert seconds is None or seconds >= 0


# --- RateLimit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "wait"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([b'"default";r=0;t=30'], 30, id="none-left"),
        pytest.param([b'"default";r=1;t=30'], 0, id="one-left"),
        pytest.param([b'"default"; t=7; r=0'], 7, id="in-another-order"),
        pytest.param([b'"day";r=0;t=60;pk=:Y2RlZg==:, "burst";r=0;t=3'], 60, id="the-longest"),
        pytest.param([b'"a";r=5;t=90', b'"b";r=0;t=2'], 2, id="in-two-headers"),
        pytest.param([b'"default";r=0'], 0, id="nobody-knows-how-long"),
        pytest.param([b'"default";r=-1;t=30'], 0, id="negative"),
        pytest.param([b'"default";r=0;t=1e9'], 0, id="no-whole-number"),
        pytest.param([b'"default";r=0;t=99999999999'], 0, id="too-many-digits"),
        pytest.param([b"limit=10, remaining=0, reset=30"], 0, id="an-older-draft"),
        pytest.param([b'"default";r=0;t=30' + b" " * 300], 0, id="too-long"),
        pytest.param([b"\xff\x00"], 0, id="rubbish"),
    ],
)
def test_a_quota_that_is_used_up_says_for_how_long(values: list[bytes], wait: float) -> None:
    headers = [(b"date", b"today"), *((b"ratelimit", value) for value in values)]

    assert exhausted(Reply(status=200, headers=headers)) == wait


def test_a_refusal_asks_for_the_longer_of_both() -> None:
    def asked(*headers: tuple[bytes, bytes]) -> float | None:
        with pytest.raises(RateLimitedError) as caught:
            check(Reply(status=429, headers=headers), RESULT, secret=None)
        return caught.value.retry_after

    later, quota = (b"retry-after", b"5"), (b"ratelimit", b'"default";r=0;t=9')
    assert (asked(), asked(later), asked(quota), asked(later, quota)) == (None, 5, 9, 9)


@given(st.binary(max_size=80))
def test_no_quota_breaks_it(value: bytes) -> None:
    assert exhausted(Reply(status=200, headers=[(b"ratelimit", value)])) >= 0


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: json.dumps(text).encode()))
def test_any_body_is_a_success_or_an_error_of_ours(body: bytes) -> None:
    for operation in (BEGIN, RESULT, MEDIA):
        with suppress(ApiError, ResponseDecodeError):
            check(Reply(status=200, headers=(), body=body), operation, secret=None)
            assert body
