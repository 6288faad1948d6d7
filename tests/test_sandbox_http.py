"""The sandbox's HTTP, asked by plain httpx without a socket, on virtual time."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias

import anyio
import httpx
import pytest

from identomat_async.sandbox import Sandbox, Script
from identomat_async.sandbox._signing import code_for_body, code_for_parts

Part: TypeAlias = tuple[str, str | None, bytes]
Way: TypeAlias = Callable[[str, Mapping[str, object]], tuple[str, str, dict[str, Any]]]

FORM = {"content-type": "application/x-www-form-urlencoded"}
FLAGS = {"config_id": "c1", "flags": {"require_email": True}}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox("abcd", life=Script.of("approved"), screening=1)


def connect(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=sandbox.transport(), base_url=sandbox.base_url)


async def post(sandbox: Sandbox, path: str, /, **parameters: object) -> httpx.Response:
    async with connect(sandbox) as http:
        return await http.post(path, json={"company_key": "abcd"} | parameters)


WAYS: dict[str, Way] = {
    "post-json": lambda path, sent: ("POST", path, {"json": sent}),
    "post-form": lambda path, sent: ("POST", path, {"data": texts(sent)}),
    "post-multipart": lambda path, sent: ("POST", path, {"files": fields(sent)}),
    "post-query": lambda path, sent: ("POST", path, {"params": texts(sent)}),
    "get-query": lambda path, sent: ("GET", path, {"params": texts(sent)}),
    "get-json": lambda path, sent: ("GET", path, {"json": sent}),
    "json-as-form": lambda path, sent: (
        "POST",
        path,
        {"content": b" " + json.dumps(sent).encode(), "headers": FORM},
    ),
    "json-as-nothing": lambda path, sent: ("POST", path, {"content": json.dumps(sent).encode()}),
    "no-last-slash": lambda path, sent: ("POST", path.rstrip("/"), {"json": sent}),
}


def texts(sent: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in sent.items()
    }


def fields(sent: Mapping[str, object]) -> dict[str, tuple[None, str]]:
    return {name: (None, value) for name, value in texts(sent).items()}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_parameters_come_in_every_documented_way(sandbox: Sandbox, way: Way) -> None:
    async with connect(sandbox) as http:
        method, path, sent = way("begin/", {"company_key": "abcd", **FLAGS})
        token = (await http.request(method, path, **sent)).json()
        method, path, sent = way("result/", {"company_key": "abcd", "session_token": token})
        answer = await http.request(method, path, **sent)

    assert len(token) == 40
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["configId"] == "c1"
    assert "email" in answer.json()["person"]
    assert sandbox.truth(token).polls == 1


async def test_the_newer_documents_spellings_are_understood(sandbox: Sandbox) -> None:
    sandbox.plant("old", "approved")
    async with connect(sandbox) as http:
        answer = await http.get("result/", params={"companyKey": "abcd", "sessionId": "old"})

    assert answer.json()["result"] == "approved"


async def test_begin_answers_with_a_bare_json_string(sandbox: Sandbox) -> None:
    answer = await post(sandbox, "begin/")

    assert answer.content == f'"{sandbox.tokens[0]}"'.encode()


async def test_every_operation_answers_and_is_counted(sandbox: Sandbox) -> None:
    token = (
        await post(sandbox, "begin/", flags={"liveness": True, "document_types": ["id"]})
    ).json()
    document = (await post(sandbox, "result/", session_token=token)).json()
    person_id = document["screeningMatches"][0]["personId"]
    details = await post(sandbox, "get-screening-person-details/", personId=person_id)
    media = [
        await post(sandbox, f"result/{kind}/", session_token=token)
        for kind in ("card-front", "card-back", "face", "face-video")
    ]
    deleted = (await post(sandbox, "delete/", session_token=token)).json()

    assert details.json()["personId"] == person_id
    assert [answer.headers["content-type"] for answer in media] == ["image/jpeg"] * 3 + [
        "video/mp4"
    ]
    assert len({answer.content for answer in media}) == 4
    assert deleted == document
    assert sandbox.request_count == 8
    assert sandbox.requests["result/face"] == sandbox.requests["delete"] == 1


async def test_a_missing_image_is_a_404(sandbox: Sandbox) -> None:
    sandbox.plant("old", "approved", parameters={"flags": {"document_types": ["id"]}})

    answer = await post(sandbox, "result/passport/", session_token="old")

    assert (answer.status_code, answer.json()) == (404, "MEDIA_NOT_FOUND")


@pytest.mark.parametrize("operation", ["result", "delete", "result/face"])
async def test_an_unknown_session_is_named_in_the_services_words(
    sandbox: Sandbox, operation: str
) -> None:
    answer = await post(sandbox, f"{operation}/", session_token="nobody")

    assert (answer.status_code, answer.content) == (200, b'"SESSION_NOT_FOUND"')


async def test_tests_choose_the_status_of_each_error() -> None:
    sandbox = Sandbox(
        "abcd",
        not_found_status=404,
        invalid_status=410,
        media_status=200,
        argument_status=200,
        unauthorized_status=403,
    )
    sandbox.plant("bad", "approved")
    sandbox.plant("young")
    sandbox.invalidate("bad")

    answers = [
        await post(sandbox, "result/", session_token="nobody"),
        await post(sandbox, "result/", session_token="bad"),
        await post(sandbox, "result/face/", session_token="young"),
        await post(sandbox, "result/"),
        await post(sandbox, "result/", company_key="wrong"),
    ]

    assert [answer.status_code for answer in answers] == [404, 410, 200, 200, 403]
    assert answers[1].json() == "SESSION_INVALID"


@pytest.mark.parametrize("key", ["wrong", "", None, 7])
async def test_a_wrong_company_key_is_refused(sandbox: Sandbox, key: object) -> None:
    answer = await post(sandbox, "begin/", company_key=key)

    assert (answer.status_code, answer.json()) == (401, "INVALID_COMPANY_KEY")
    assert sandbox.tokens == ()


@pytest.mark.parametrize(("key", "status"), [("anything", 200), ("", 401)])
async def test_without_a_key_of_its_own_it_takes_any(key: object, status: int) -> None:
    assert (await post(Sandbox(), "begin/", company_key=key)).status_code == status


@pytest.mark.parametrize("token", [None, "", 5, ["a"]])
async def test_a_missing_argument_is_named(sandbox: Sandbox, token: object) -> None:
    answer = await post(sandbox, "result/", session_token=token)

    assert (answer.status_code, answer.json()) == (400, {"argumentError": "session_token"})


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        pytest.param(b"{", "application/json", id="cut-json"),
        pytest.param(b"[1]", "application/json; charset=utf-8", id="no-object"),
        pytest.param(b"\xff", "application/json", id="no-text"),
        pytest.param(b'{"a":' + b"[" * 100_000, "", id="too-deep"),
        pytest.param(b"--x", "multipart/form-data", id="no-boundary"),
        pytest.param(b"nonsense", "multipart/form-data; boundary=x", id="no-parts"),
    ],
)
async def test_a_body_that_cannot_be_read_is_an_argument_error(
    sandbox: Sandbox, content: bytes, content_type: str
) -> None:
    async with connect(sandbox) as http:
        answer = await http.post("begin/", content=content, headers={"content-type": content_type})

    assert (answer.status_code, answer.json()) == (400, {"argumentError": "body"})


async def test_flags_that_are_no_json_text_are_an_argument_error(sandbox: Sandbox) -> None:
    async with connect(sandbox) as http:
        answer = await http.get("begin/", params={"company_key": "abcd", "flags": "{"})

    assert answer.json() == {"argumentError": "flags"}


async def test_unknown_paths_and_methods_are_refused(sandbox: Sandbox) -> None:
    async with connect(sandbox) as http:
        unknown = await http.post("compare-faces/", json={"company_key": "abcd"})
        put = await http.put("begin/", json={"company_key": "abcd"})

    assert (unknown.status_code, unknown.json()) == (404, "METHOD_NOT_FOUND")
    assert (put.status_code, put.json()) == (405, "METHOD_NOT_ALLOWED")
    assert sandbox.requests == {"unknown": 1, "begin": 1}


def test_the_codes_are_those_of_the_documented_formulas() -> None:
    body = b'{"company_key":"abcd","session_token":"efgh"}'
    parts = [b"abcd", b"efgh", bytes.fromhex("ffd8ffd9")]

    assert code_for_body(b"test-secret", body) == "DogOyxo05kZhARsznCl5kQgrP9aVh5xIj/oXMJocCW0="
    assert code_for_parts(b"test-secret", parts) == "4omzeyRuzAzJ4j+TErkwHxata0qLSoyPqMPOlER2PLY="
    assert (
        code_for_body(b"test-secret", b'"SESSION_NOT_FOUND"')
        == "XPolrg698l2lnK05BPGBSzjnN+9hhhKGoVF9IF80no8="
    )


def sign(body: bytes, secret: bytes = b"test-secret") -> str:
    code = base64.b64encode(hmac.new(secret, body, "sha256").digest()).decode()
    return f'signature="{code}"'


@pytest.fixture
def signed() -> Sandbox:
    return Sandbox("abcd", "test-secret", life=Script.of("approved"))


async def send_signed(sandbox: Sandbox, path: str, /, **parameters: object) -> httpx.Response:
    body = json.dumps({"company_key": "abcd"} | parameters).encode()
    async with connect(sandbox) as http:
        return await http.post(path, content=body, headers={"authorization": sign(body)})


async def test_success_is_signed_over_the_exact_bytes(signed: Sandbox) -> None:
    begun = await send_signed(signed, "begin/", flags={"liveness": True})
    answers = [
        begun,
        await send_signed(signed, "result/", session_token=begun.json()),
        await send_signed(signed, "result/face/", session_token=begun.json()),
        await send_signed(signed, "delete/", session_token=begun.json()),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(answer.headers["authorization"] == sign(answer.content) for answer in answers)


async def test_errors_are_not_signed(signed: Sandbox) -> None:
    answer = await send_signed(signed, "result/", session_token="nobody")

    assert answer.json() == "SESSION_NOT_FOUND"
    assert "authorization" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"authorization": sign(b"{}", b"other")}, id="other-secret"),
        pytest.param({"authorization": sign(b"{}").replace('"', "")}, id="without-quotes"),
        pytest.param({"authorization": "signature=\xe9"}, id="beyond-ascii"),
    ],
)
async def test_a_request_that_is_not_signed_well_is_refused(
    signed: Sandbox, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    async with connect(signed) as http:
        answer = await http.post("begin/", content=b"{}", headers=encoded)

    assert (answer.status_code, answer.json()) == (401, "INVALID_SIGNATURE")
    assert "authorization" not in answer.headers
    assert signed.tokens == ()


def multipart(*parts: Part) -> bytes:
    lines = []
    for name, filename, value in parts:
        file = f'; filename="{filename}"' if filename else ""
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines.append(head.encode() + value + b"\r\n")
    return b"".join(lines) + b"--x--\r\n"


KEY, PHOTO = ("company_key", None, b"abcd"), ("photo", "p.jpg", b"\xff\xd8\xff\xd9")
NOTE = ("note", None, "\u00e9".encode("latin-1"))
EMPTY = ("empty", None, b"")


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([KEY, NOTE, EMPTY, PHOTO], 200, id="texts-first"),
        pytest.param([PHOTO, KEY], 401, id="file-first"),
    ],
)
async def test_a_multipart_body_is_signed_part_by_part_texts_first(
    signed: Sandbox, parts: list[Part], status: int
) -> None:
    key = b"test-secret"
    for _, _, value in parts:
        key = hmac.new(key, value, "sha256").digest()
    headers = {
        "content-type": "Multipart/form-data; boundary=x",
        "authorization": f'signature="{base64.b64encode(key).decode()}"',
    }
    async with connect(signed) as http:
        answer = await http.post("begin/", content=multipart(*parts), headers=headers)

    assert answer.status_code == status


async def test_the_whole_life_of_a_session_passes_on_virtual_time() -> None:
    sandbox = Sandbox()
    sandbox.script("manual_check", after=20).then("approved", after=7200)
    token = (await post(sandbox, "begin/")).json()
    seen = []
    for pause in (0, 25, 7200):
        await anyio.sleep(pause)
        seen.append((await post(sandbox, "result/", session_token=token)).json()["result"])

    assert seen == ["in_progress", "manual_check", "approved"]


async def test_many_connections_are_answered_side_by_side(sandbox: Sandbox) -> None:
    tokens: list[str] = []

    async def one() -> None:
        tokens.append((await post(sandbox, "begin/")).json())

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(one)

    assert sorted(tokens) == sorted(sandbox.tokens)


async def test_each_connection_closes_for_itself(sandbox: Sandbox) -> None:
    first, second = sandbox.transport(), sandbox.transport()
    request = httpx.Request("GET", sandbox.base_url + "result/")
    await first.aclose()

    with pytest.raises(httpx.ConnectError, match="closed"):
        await first.handle_async_request(request)
    assert (await second.handle_async_request(request)).status_code == 401


async def test_a_body_sent_in_pieces_is_put_together(sandbox: Sandbox) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"company_key":'
        yield b'"abcd"}'

    async with connect(sandbox) as http:
        answer = await http.post("begin/", content=pieces())

    assert answer.status_code == 200
