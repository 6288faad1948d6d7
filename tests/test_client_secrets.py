"""No error holds a key, a token or a person: not in its text, not in its traceback."""

import base64
import copy
import pickle
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tenacity import wait_none

from identomat_async import Flags, IdentomatClient, Media, ResultPoller, RetryPolicy
from identomat_async._wire._transport import library
from identomat_async.errors import ConfigurationError, IdentomatError
from identomat_async.sandbox import Sandbox

# The library that a client uses in this run.
httpx: Any = library(IdentomatClient.__init__.__kwdefaults__["engine"]).http

COMPANY, SECRET, TOKEN, PERSON = "c0mpany-canary", "s3cret-canary", "t0ken-canary", "Anna-canary"
CANARIES = [
    form
    for plain in (COMPANY, SECRET, TOKEN, PERSON)
    for form in (plain, base64.b64encode(plain.encode()).decode()[:-4], plain.encode().hex())
]
BODY = f'{{"result":"approved","person":{{"first_name":"{PERSON}"}},"token":"{TOKEN}"}}'.encode()


def answer(status: int = 200, content: bytes = BODY, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=named)


FAULTS: dict[str, httpx.Response | Exception] = {
    **{f"http-{status}": answer(status) for status in (307, 400, 401, 404, 408, 409, 429, 500)},
    "unavailable": answer(503, retry_after="0.01"),
    "far-future": answer(429, retry_after="3600"),
    "unsigned": answer(),
    "cut": answer(content=BODY[:-1]),
    "shape": answer(content=f'["{PERSON}"]'.encode()),
    "code": answer(content=b'"ANNA_CANARY"'),
    "argument": answer(content=f'{{"argumentError":"{PERSON} {TOKEN}"}}'.encode()),
    "gone": answer(content=b'"SESSION_NOT_FOUND"'),
    "invalid": answer(content=b'"SESSION_INVALID"'),
    "page": answer(content=f"<html>{PERSON}".encode(), content_type="text/html"),
    "empty": answer(content=b""),
    "large": answer(content_length="99999999"),
    "headers": httpx.Response(200, headers=[("x", PERSON)] * 300, content=BODY),
    "connect": httpx.ConnectError(f"no way to {TOKEN}"),
    "read": httpx.ReadError(TOKEN),
    "timeout": httpx.ReadTimeout(COMPANY),
    "protocol": httpx.RemoteProtocolError(f"illegal {PERSON}"),
    "foreign": RuntimeError(COMPANY, SECRET, TOKEN, PERSON),
    "os": OSError(5, PERSON),
}

CALLS: dict[str, Callable[[IdentomatClient, Path], Awaitable[object]]] = {
    "begin": lambda client, _: client.begin(
        {"person": PERSON}, steps=[{"type": "t", "key": PERSON}], parent_session=TOKEN
    ),
    "result": lambda client, _: client.result(TOKEN),
    "delete": lambda client, _: client.delete(TOKEN),
    "media": lambda client, _: client.media(TOKEN, Media.FACE),
    "save_media": lambda client, path: client.save_media(TOKEN, Media.FACE, path / "face"),
    "screening_person": lambda client, _: client.screening_person(PERSON),
    "call": lambda client, _: client.call("x", {"y": PERSON, "z": TOKEN}),
    "look": lambda client, _: client.source.look(TOKEN, fresh=False),
    "fresh look": lambda client, _: client.source.look(TOKEN, fresh=True),
}
# A token or an answer of any kind is all that these need.
GOES_WELL = {("call", "argument"), ("call", "code"), ("call", "shape")}


@pytest.fixture
def anyio_backend(
    real_time: tuple[str, dict[str, object]], request: pytest.FixtureRequest
) -> tuple[str, dict[str, object]]:
    return real_time


def replaying(fault: httpx.Response | Exception) -> Callable[[], httpx.AsyncBaseTransport]:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(fault, Exception):
            raise fault
        return httpx.Response(
            fault.status_code, headers=fault.headers, stream=httpx.ByteStream(fault.content)
        )

    return lambda: httpx.MockTransport(handle)


def within(thing: object, depth: int = 6) -> list[object]:
    """Everything that can be reached from *thing* through its attributes."""
    found: list[object] = [thing]
    if depth and hasattr(thing, "__dict__"):
        for value in vars(thing).values():
            found += within(value, depth - 1)
    return found


def shown(error: BaseException) -> str:
    """Whatever logs and error trackers may make of *error*."""
    # The frames of this test are the caller's own, which holds what it passes.
    ours = error.__traceback__
    while ours is not None and "identomat_async" not in ours.tb_frame.f_code.co_filename:
        ours = ours.tb_next
    full = traceback.TracebackException(type(error), error, ours, capture_locals=True)
    parts = [str(error), repr(error), repr(error.args), "".join(full.format())]
    return "\n".join([*parts, *map(repr, within(error)), pickle.dumps(error).decode("latin-1")])


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "signed"])
@pytest.mark.parametrize("method", CALLS)
async def test_no_error_holds_what_was_sent_or_received(
    method: str, secret: str | None, tmp_path: Path
) -> None:
    for name, fault in FAULTS.items():
        client = IdentomatClient(
            COMPANY,
            secret_key=secret,
            transport=replaying(fault),
            retry=RetryPolicy(attempts=2, wait=wait_none(), quota=None),
        )
        error: IdentomatError | None = None
        try:
            await CALLS[method](client, tmp_path)
        except IdentomatError as caught:
            error = caught
        await client.aclose()
        if error is None:
            assert secret is None or name == "gone", name
            continue

        text = shown(error)
        assert [canary for canary in CANARIES if canary in text] == [], name
        assert error.__cause__ is error.__context__ is None, name
        assert error.operation is not None
        assert error.attempts >= 1
        assert error.elapsed > 0
        for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
            assert vars(other) == vars(error)
            assert str(other) == str(error)


async def test_the_error_of_a_deadline_holds_nothing_either() -> None:
    class Silence(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anyio.sleep_forever()
            raise AssertionError

    async with IdentomatClient(COMPANY, secret_key=SECRET, transport=Silence) as client:
        with pytest.raises(IdentomatError) as caught:
            await client.delete(TOKEN, deadline=0.02)

    assert [canary for canary in CANARIES if canary in shown(caught.value)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"rate": 0},
        {"base_url": "http://x.example/"},
        {"encoding": "xml"},
        {"max_connections": 0},
        {"company_key": f"{COMPANY}\n"},
        {"secret_key": f"{SECRET}\n"},
        {"observers": 5},
    ],
    ids=str,
)
def test_a_client_that_is_not_made_shows_no_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        IdentomatClient(**{"company_key": COMPANY, "secret_key": SECRET, **wrong})

    assert [canary for canary in CANARIES if canary in shown(caught.value)] == []


def test_the_environment_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTOMAT_COMPANY_KEY", COMPANY)
    monkeypatch.setenv("IDENTOMAT_SECRET_KEY", SECRET)
    with pytest.raises(ConfigurationError) as caught:
        IdentomatClient.from_env(timeout=0)

    assert [canary for canary in CANARIES if canary in shown(caught.value)] == []


async def test_no_logger_is_told_anything(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox(COMPANY, SECRET)
    sandbox.plant(TOKEN, "approved")
    with caplog.at_level("DEBUG"):
        client = IdentomatClient(
            COMPANY,
            secret_key=SECRET,
            base_url=sandbox.base_url,
            transport=sandbox.transport,
        )
        async with client:
            await client.result(TOKEN)

    assert [canary for canary in CANARIES if canary in caplog.text] == []


WRONG, UNSENDABLE = f"{TOKEN}\n", {"name": PERSON, "x": object()}
REFUSED: dict[str, Callable[[IdentomatClient, Path], Any]] = {
    "begin-flags": lambda client, _: client.begin(UNSENDABLE),
    "begin-steps": lambda client, _: client.begin(steps=[UNSENDABLE]),
    "begin-config": lambda client, _: client.begin(config_id=f"{PERSON} x"),
    "begin-parent": lambda client, _: client.begin(parent_session=WRONG),
    "begin-deadline": lambda client, _: client.begin({"name": PERSON}, deadline=-1),
    "result": lambda client, _: client.result(WRONG),
    "result-deadline": lambda client, _: client.result(TOKEN, deadline=-1),
    "delete": lambda client, _: client.delete(WRONG),
    "media": lambda client, _: client.media(WRONG, Media.FACE),
    "media-kind": lambda client, _: client.media(TOKEN, PERSON),  # type: ignore[arg-type]
    "save-media": lambda client, folder: client.save_media(WRONG, Media.FACE, folder / "x"),
    "screening": lambda client, _: client.screening_person(f"{PERSON} x"),
    "call": lambda client, _: client.call("x", UNSENDABLE),
    "call-method": lambda client, _: client.call(f"{TOKEN}?", {"name": PERSON}),
    "widget-url": lambda client, _: client.widget_url(WRONG),
    "token-hash": lambda client, _: client.token_hash(WRONG),
    "wait": lambda client, _: client.wait(WRONG),
    "wait-deadline": lambda client, _: client.wait(TOKEN, deadline=-1),
    "wait-all": lambda client, _: client.wait_all([TOKEN, WRONG]),
    "poller-wait": lambda client, _: ResultPoller(client).wait(WRONG),
    "poller-wait-all": lambda client, _: ResultPoller(client).wait_all([TOKEN, WRONG]),
    "watch": lambda client, _: ResultPoller(client).watch(WRONG, reference=PERSON),
    "watch-deadline": lambda client, _: ResultPoller(client).watch(TOKEN, deadline=-1),
    "watch-many": lambda client, _: ResultPoller(client).watch_many([TOKEN, WRONG]),
    "flags": lambda *_: Flags(extra=UNSENDABLE),
    "flags-language": lambda *_: Flags(language=[PERSON]),  # type: ignore[arg-type]
    "base-url": lambda *_: IdentomatClient("k", base_url=f"https://u:{SECRET}@x.example/"),
    "widget-origin": lambda *_: IdentomatClient("k", widget_origin=f"https://u:{SECRET}@x.example"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_no_refusal_holds_what_was_refused(name: str, tmp_path: Path) -> None:
    refuse = REFUSED[name]
    async with IdentomatClient(COMPANY) as client:
        with pytest.raises(ConfigurationError) as caught:
            await refuse(client, tmp_path)

    text = shown(caught.value)
    assert [canary for canary in CANARIES if canary in text] == []
    assert caught.value.__cause__ is caught.value.__context__ is None
