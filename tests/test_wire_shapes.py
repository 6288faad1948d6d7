"""What a request looks like on the wire, byte for byte."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import respx

from identomat_async import Flags, IdentomatClient, Media, RetryPolicy
from identomat_async._wire._signing import authorization, code_for_body

BASE = "https://widget.identomat.com/external-api/"
RESULT = {"result": "approved"}


@pytest.fixture
def api() -> Iterator[respx.Router]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        router.route(path__regex="/begin/$").respond(json="a1b2")
        router.route(path__regex="/(result|delete)/$").respond(json=RESULT)
        router.route(path__regex="/result/[a-z-]+/$").respond(
            content=b"\xff\xd8", headers={"content-type": "image/jpeg"}
        )
        router.route(path__regex="/get-screening").respond(json={"personId": "p-1"})
        router.route(path__regex="/other/").respond(json=[1])
        yield router


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[IdentomatClient]:
    keywords = getattr(request, "param", {})
    async with IdentomatClient("abcd", retry=RetryPolicy(attempts=1), **keywords) as client:
        yield client


def encoded(encoding: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", [{"encoding": encoding}], indirect=True)


def sent(api: respx.Router) -> httpx.Request:
    request: httpx.Request = api.calls.last.request
    return request


async def test_json_is_the_default(api: respx.Router, client: IdentomatClient) -> None:
    token = await client.begin(Flags(language="en", liveness=True), config_id="5f0a")

    assert token == "a1b2"
    assert (sent(api).method, str(sent(api).url)) == ("POST", BASE + "begin/")
    assert sent(api).content == (
        b'{"company_key":"abcd","flags":{"liveness":true,"language":"en"},"config_id":"5f0a"}'
    )
    assert sent(api).headers["content-type"] == "application/json"


@encoded("form")
async def test_a_form_holds_json_in_its_fields(api: respx.Router, client: IdentomatClient) -> None:
    await client.begin(Flags(liveness=True), parent_session="a1b2")

    assert sent(api).method == "POST"
    assert sent(api).content == (
        b"company_key=abcd&flags=%7B%22liveness%22%3Atrue%7D&parent_session_id=a1b2"
    )
    assert sent(api).headers["content-type"] == "application/x-www-form-urlencoded"


@encoded("query")
async def test_a_query_is_a_get_without_a_body(api: respx.Router, client: IdentomatClient) -> None:
    await client.begin(Flags(liveness=True))

    assert sent(api).method == "GET"
    assert sent(api).url.raw_path == (
        b"/external-api/begin/?company_key=abcd&flags=%7B%22liveness%22%3Atrue%7D"
    )
    assert sent(api).content == b""
    assert "content-type" not in sent(api).headers


async def test_the_headers_ask_for_a_plain_answer_and_tell_nothing(
    api: respx.Router, client: IdentomatClient
) -> None:
    await client.result("efgh")

    assert sent(api).headers.raw == [
        (b"Host", b"widget.identomat.com"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        (b"Cache-Control", b"no-store"),
        (b"User-Agent", b"identomat-async"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"45"),
    ]


async def test_each_method_has_its_path_and_parameters(
    api: respx.Router, client: IdentomatClient
) -> None:
    await client.result("efgh")
    await client.delete("efgh")
    await client.media("efgh", Media.FACE_VIDEO)
    await client.screening_person("p-1")
    value = await client.call("other/method", {"x": [None, 1.5]})

    bodies = [(call.request.url.path[14:], call.request.content) for call in api.calls]
    session = b'{"company_key":"abcd","session_token":"efgh"}'
    assert bodies == [
        ("result/", session),
        ("delete/", session),
        ("result/face-video/", session),
        ("get-screening-person-details/", b'{"company_key":"abcd","personId":"p-1"}'),
        ("other/method/", b'{"company_key":"abcd","x":[null,1.5]}'),
    ]
    assert value == [1]


async def test_steps_and_flags_may_be_plain_mappings(
    api: respx.Router, client: IdentomatClient
) -> None:
    await client.begin({"requireHdMedia": True}, steps=[{"type": "custom", "key": "ä"}])

    assert (
        sent(api).content
        == (
            '{"company_key":"abcd","flags":{"requireHdMedia":true},'
            '"steps":[{"type":"custom","key":"ä"}]}'
        ).encode()
    )


async def test_nothing_but_the_key_is_needed_to_begin(
    api: respx.Router, client: IdentomatClient
) -> None:
    await client.begin()

    assert sent(api).content == b'{"company_key":"abcd"}'


@pytest.mark.parametrize("client", [{"secret_key": "test-secret"}], indirect=True)
async def test_a_request_is_signed_over_its_exact_bytes(
    respx_mock: respx.Router, client: IdentomatClient
) -> None:
    body = b'{"result" : "approved"}'
    code = authorization(code_for_body(b"test-secret", body))
    respx_mock.post(BASE + "result/").respond(content=body, headers={"authorization": code})

    result = await client.result("efgh")

    assert sent(respx_mock).headers["authorization"] == (
        'signature="DogOyxo05kZhARsznCl5kQgrP9aVh5xIj/oXMJocCW0="'
    )
    assert (result.raw_bytes, result.signature) == (body, code)
