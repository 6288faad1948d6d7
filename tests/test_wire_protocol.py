"""What a request looks like, and when it is tried again: plain functions."""

import copy
import hmac
import json
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, wait_fixed

from identomat_async import RetryPolicy
from identomat_async._wire._protocol import (
    BEGIN,
    DELETE,
    RESULT,
    Endpoint,
    checked_base_url,
    checked_text,
    is_loopback,
    media_operation,
    origin_of,
    other_operation,
    to_json,
    widget_url,
)
from identomat_async._wire._retry import Quota, asked_wait, attempts_for, may_repeat, wait_fault
from identomat_async._wire._secret import Secret
from identomat_async._wire._signing import (
    authorization,
    code_for_body,
    digest_in,
    matches,
)
from identomat_async.errors import (
    ApiError,
    ConfigurationError,
    ConnectionFailedError,
    IdentomatError,
    RateLimitedError,
    ResponseTooLargeError,
    ServerError,
)

SECRET = b"test-secret"
CODE = "DogOyxo05kZhARsznCl5kQgrP9aVh5xIj/oXMJocCW0="
BODY = b'{"company_key":"abcd","session_token":"efgh"}'
DIGEST = hmac.digest(SECRET, BODY, "sha256")


# --- addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            "https://widget.identomat.com/external-api/",
            "https://widget.identomat.com/external-api/",
        ),
        ("https://widget.identomat.com/external-api", "https://widget.identomat.com/external-api/"),
        ("https://a_b.example:8443", "https://a_b.example:8443/"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x/"),
        ("http://localhost:8000//", "http://localhost:8000/"),
        ("http://127.0.0.1", "http://127.0.0.1/"),
        ("HTTP://LOCALHOST:8000/Api", "http://localhost:8000/Api/"),
        ("https://host.example./", "https://host.example./"),
        ("http://[::1]:80", "http://[::1]:80/"),
    ],
)
def test_a_sound_base_url_ends_with_one_slash(given: str, kept: str) -> None:
    assert checked_base_url(given) == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://widget.identomat.com/", "must be https"),
        ("http://localhost.evil.example/", "must be https"),
        ("http://10.0.0.1/", "must be https"),
        ("https://user:canary@host.example/", "no user, password, query or fragment"),
        ("https://canary@host.example/", "no user, password, query or fragment"),
        ("https://host.example/?canary=1", "no user, password, query or fragment"),
        ("https://host.example/#canary", "no user, password, query or fragment"),
        ("ftp://canary.example/", "begins with https://"),
        ("canary.example", "begins with https://"),
        ("https://", "begins with https://"),
        ("https://canary.example:99999/", "begins with https://"),
        ("https://canary.example:x/", "begins with https://"),
        ("https://[canary/", "begins with https://"),
        ("https://[::1]canary/", "begins with https://"),
        ("https://canary.example:/", "begins with https://"),
        ("https://999.999.999.999/", "begins with https://"),
        ("https://canary.1/", "begins with https://"),
        ("https://xn--canary--.example/", "begins with https://"),
        ("https://./", "begins with https://"),
        ("https://canary..example/", "begins with https://"),
        ("https://canary.example/a/../b/", "without . and .."),
        ("https://canary.example/./b/", "without . and .."),
        ("https://canary\\evil.example/", "begins with https://"),
        ("", "printable"),
        ("https://canary .example/", "printable"),
        ("https://canary.example/\r\n", "printable"),
        ("https://can\u0430ry.example/", "printable"),
        (None, "printable"),
        (b"https://canary.example/", "printable"),
    ],
)
def test_an_unsound_base_url_is_refused_without_being_repeated(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_base_url(url)

    assert "canary" not in str(caught.value)


def test_only_this_machine_is_loopback() -> None:
    hosts = ["localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "127.0.0.1.example"]  # noqa: S104

    assert [is_loopback(host) for host in hosts] == [True, True, True, True, False, False]


def test_the_widget_lives_at_the_origin_of_the_api() -> None:
    origin = origin_of("https://widget.identomat.com:444/external-api/")

    assert widget_url(origin, "a-b_c") == ("https://widget.identomat.com:444/?session_token=a-b_c")


@pytest.mark.parametrize("method", ["compare-faces/", "compare-faces", "a/b_c/d9/"])
def test_another_method_is_a_relative_path(method: str) -> None:
    operation = other_operation(method)

    assert operation.path == f"{method.rstrip('/')}/"
    assert not operation.repeatable


@pytest.mark.parametrize(
    "method",
    ["", "/x", "../x", "a//b", "a?b", "a#b", "https://x/", "a b", "a\n", "a%2e", "é", None, 5],
)
def test_what_is_no_relative_path_is_refused(method: str) -> None:
    with pytest.raises(ConfigurationError, match="a method is a relative path"):
        other_operation(method)


# --- endpoint --------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "a b", "a\r\n", "a\x00", "\u00e9", "x" * 513, None, 5])
@pytest.mark.parametrize("name", ["company_key", "secret_key"])
def test_a_key_that_cannot_be_one_is_refused(name: str, key: str) -> None:
    keys = {"company_key": Secret("sound"), name: Secret(key)}

    with pytest.raises(ConfigurationError, match=f"^{name} must be 1 to 512 printable"):
        Endpoint(**keys)  # type: ignore[arg-type]


def test_an_encoding_is_one_of_three() -> None:
    with pytest.raises(ConfigurationError, match='"json", "form" or "query"'):
        Endpoint(company_key=Secret("k"), encoding="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["form", "query"])
def test_only_json_can_be_signed(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match="leave encoding out"):
        Endpoint(company_key=Secret("k"), secret_key=Secret("s"), encoding=encoding)  # type: ignore[arg-type]


def test_the_company_key_cannot_be_replaced() -> None:
    with pytest.raises(ConfigurationError, match="leave it out"):
        Endpoint(company_key=Secret("k")).request(RESULT, {"company_key": "other"})


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), "\ud800", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="JSON cannot say") as caught:
        to_json({"x": value})

    assert caught.value.__context__ is None


def test_a_text_that_is_sound_comes_back() -> None:
    assert checked_text("5f0a1b", name="config_id") == "5f0a1b"


def test_a_secret_is_neither_shown_nor_copied() -> None:
    secret = Secret("canary")

    assert repr(secret) == str(secret) == f"{secret}" == "Secret(...)"
    assert not hasattr(secret, "__dict__")
    takers: list[Callable[[object], object]] = [copy.copy, copy.deepcopy, pickle.dumps]
    for take in takers:
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            take(secret)


# --- signing ---------------------------------------------------------------------------


def test_the_codes_are_those_of_the_published_formulas() -> None:
    assert code_for_body(SECRET, BODY) == CODE
    assert code_for_body(SECRET, b'"SESSION_NOT_FOUND"') == (
        "XPolrg698l2lnK05BPGBSzjnN+9hhhKGoVF9IF80no8="
    )


@pytest.mark.parametrize(
    "header",
    [authorization(CODE), f'signature="{CODE}', f"signature={CODE}", f' \tsignature="{CODE}" '],
)
def test_the_ways_to_write_a_signature_are_understood(header: str) -> None:
    assert matches(DIGEST, [header.encode()])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="missing"),
        pytest.param([b""], id="empty"),
        pytest.param([authorization(CODE).encode()] * 2, id="two"),
        pytest.param([f'signature="{CODE}", signature="{CODE}"'.encode()], id="joined"),
        pytest.param([f'other=1, signature="{CODE}"'.encode()], id="second"),
        pytest.param([f'SIGNATURE="{CODE}"'.encode()], id="case"),
        pytest.param([f'signature="{CODE.rstrip("=")}"'.encode()], id="no-padding"),
        pytest.param([f'signature="{CODE.replace("/", "_")}"'.encode()], id="url-safe"),
        pytest.param([f'signature="{CODE[:-2]}1="'.encode()], id="not-canonical"),
        pytest.param([f'signature="{CODE}\n"'.encode()], id="newline"),
        pytest.param([('signature="' + "0e88" * 16 + '"').encode()], id="hex"),
        pytest.param([f'signature="é{CODE}"'.encode()], id="not-ascii"),
        pytest.param([b'signature="' + b"A" * 1024 * 1024], id="long"),
        pytest.param([b'signature="'], id="quote"),
        pytest.param([b"signature="], id="nothing"),
        pytest.param([authorization(code_for_body(b"other", BODY)).encode()], id="other-key"),
    ],
)
def test_no_other_header_signs_anything(headers: list[bytes]) -> None:
    assert not matches(DIGEST, headers)


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []

    def compare_digest(given: object, expected: object) -> bool:
        compared.append((given, expected))
        return given == expected

    monkeypatch.setattr("identomat_async._wire._signing.hmac.compare_digest", compare_digest)

    assert matches(DIGEST, [authorization(CODE).encode()])
    assert not matches(bytes(32), [authorization(CODE).encode()])
    assert compared == [(DIGEST, DIGEST), (DIGEST, bytes(32))]


@given(st.binary(max_size=300))
def test_any_header_is_read_without_an_error(header: bytes) -> None:
    digest = digest_in(b"signature=" + header)

    assert digest is None or len(digest) == 32


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3))
def test_what_is_signed_is_what_is_sent(params: dict[str, object]) -> None:
    endpoint = Endpoint(company_key=Secret("k"), secret_key=Secret("s"))
    request = endpoint.request(BEGIN, {"flags": params})

    headers = [value.encode() for name, value in request.headers if name == "Authorization"]
    assert matches(hmac.digest(b"s", request.body, "sha256"), headers)
    assert json.loads(request.body) == {"company_key": "k", "flags": params}
    assert "canary" not in repr(request)


# --- trying again ----------------------------------------------------------------------

MEDIA = media_operation("face")


@pytest.mark.parametrize(
    ("error", "begin", "result", "delete"),
    [
        (ConnectionFailedError(retryable=True), True, True, True),
        (ConnectionFailedError(retryable=True, maybe_applied=True), False, True, True),
        (ConnectionFailedError(tls=True), False, False, False),
        (ServerError(retryable=True), True, True, True),
        (ApiError(retryable=True, reason="conflict"), False, True, True),
        (ResponseTooLargeError(retryable=True, maybe_applied=True), False, True, False),
        (ApiError(), False, False, False),
        (ValueError(), False, False, False),
        (KeyboardInterrupt(), False, False, False),
        (None, False, False, False),
    ],
)
def test_only_what_does_no_harm_is_repeated(
    error: BaseException | None,
    begin: bool,
    result: bool,
    delete: bool,
) -> None:
    repeats = [may_repeat(error, each, tries=1) for each in (BEGIN, RESULT, DELETE, MEDIA)]

    assert repeats == [begin, result, delete, result]


def test_a_conflict_is_worth_one_repeat_and_a_deletion_more() -> None:
    conflict = ApiError(retryable=True, reason="conflict")

    assert not may_repeat(conflict, RESULT, tries=2)
    assert may_repeat(conflict, DELETE, tries=4)


def test_a_deletion_gets_two_attempts_more_unless_there_are_to_be_no_repeats() -> None:
    assert [attempts_for(each, RetryPolicy()) for each in (BEGIN, RESULT, DELETE)] == [3, 3, 5]
    assert attempts_for(DELETE, RetryPolicy(attempts=1)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": "3"},
        {"attempts": 1.5},
        {"quota": -1},
        {"quota": "5"},
        {"wait": 5},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))} must be"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def state_after(error: BaseException | None, attempt: int) -> RetryCallState:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempt
    if error is not None:
        state.outcome = Future()  # type: ignore[assignment]
        state.outcome.set_exception(error)  # type: ignore[union-attr]
    return state


@pytest.mark.parametrize(
    ("error", "bounds"),
    [
        (None, [0.25, 0.5, 1, 2, 4, 8, 8]),
        (ServerError(), [0.25, 0.5, 1, 2, 4, 8, 8]),
        (RateLimitedError(), [1, 2, 4, 8, 16, 20, 20]),
    ],
)
def test_the_wait_is_anything_up_to_a_bound_that_doubles(
    error: IdentomatError | None, bounds: list[float]
) -> None:
    wait = wait_fault()
    for attempt, bound in enumerate(bounds, 1):
        drawn = [wait(state_after(error, attempt)) for _ in range(200)]

        assert 0 <= min(drawn) < bound / 2 < max(drawn) <= bound


def test_waits_of_strategies_can_be_added() -> None:
    wait = wait_fixed(5) + wait_fault()

    assert 5 <= wait(state_after(None, 1)) <= 5.25


def test_repeats_run_out_and_come_back_with_successes() -> None:
    quota = Quota(30)
    assert [quota.spend(ServerError()) for _ in range(3)] == [14, 14, None]
    quota.earn(0)
    quota.earn(14)
    quota.earn(0)

    assert repr(quota) == "<Quota 18 of 30>"
    assert quota.spend(RateLimitedError()) == 5
    quota.earn(1000)
    assert quota.points == 30


def test_without_a_quota_repeats_cost_nothing() -> None:
    quota = Quota(None)
    quota.earn(5)

    assert quota.spend(ServerError()) == 0


def test_only_the_service_itself_asks_to_wait() -> None:
    errors = [RateLimitedError(retry_after=5), ServerError(), ConnectionFailedError()]

    assert [asked_wait(error) for error in errors] == [5, 0, 0]


@pytest.mark.parametrize("keywords", [{}, {"secret_key": Secret("s")}, {"encoding": "form"}])
@pytest.mark.parametrize("key", ["plain", 'quo"te', "back\\slash", "{}'"])
def test_the_quick_way_to_ask_for_a_result_says_the_same(key: str, keywords: Any) -> None:
    endpoint = Endpoint(company_key=Secret(key), **keywords)

    assert endpoint.look("T-o_k9") == endpoint.request(RESULT, {"session_token": "T-o_k9"})
