"""The pages over real sockets, from either server, on the real clock."""

import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx
import pytest

from identomat_async.sandbox import Front, Mode, Sandbox, SandboxServer, Script

TOKEN = "a" * 40
FORM = {"session_token": TOKEN, "verdict": "approved"}


@pytest.fixture
def sandbox() -> Sandbox:
    sandbox = Sandbox(life=Script())
    sandbox.plant(TOKEN, parameters={"flags": {"skip_agreement": True}})
    return sandbox


@pytest.fixture(params=[None, Front()], ids=["plain", "front"])
def server(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[SandboxServer]:
    with sandbox.serve(front=request.param) as server:
        yield server


@pytest.fixture
def http(server: SandboxServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=origin(server), trust_env=False) as http:
        yield http


def origin(server: SandboxServer) -> str:
    return server.sessions_url.removesuffix("/sessions")


def test_a_browser_sees_and_decides_over_one_connection(
    sandbox: Sandbox, server: SandboxServer, http: httpx.Client
) -> None:
    own = {"origin": origin(server)}

    page = http.get(f"/?session_token={TOKEN}")
    style = http.get("/assets/style.css")
    foreign = http.post("/sessions/decide", data=FORM)
    decided = http.post("/sessions/decide", data=FORM, headers=own)
    head = http.head("/sessions")
    gone = http.post("/?session_token=x", data=FORM, headers=own)
    told = [parsedate_to_datetime(each.headers["date"]).timestamp() for each in (page, decided)]

    statuses = [each.status_code for each in (page, style, foreign, decided, head, gone)]
    assert statuses == [200, 200, 403, 204, 200, 404]
    assert all(abs(time.time() - at) < 10 for at in told)
    assert int(page.headers["content-length"]) == len(page.content)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors *" in page.headers["content-security-policy"]
    assert head.content == decided.content == b""
    assert sandbox.truth(TOKEN).status == "approved"


def test_all_sessions_are_told_live_and_a_stop_does_not_wait(
    sandbox: Sandbox, server: SandboxServer, http: httpx.Client
) -> None:
    with http.stream("GET", "/sessions/events") as answer:
        events = (line for line in answer.iter_lines() if line.startswith("data: "))
        first = json.loads(next(events).removeprefix("data: "))
        sandbox.decide(TOKEN, "rejected")
        second = json.loads(next(events).removeprefix("data: "))
        began = time.monotonic()
        server._stop()
        took = time.monotonic() - began

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [told["rows"][0]["status"] for told in (first, second)] == ["in_progress", "rejected"]
    assert took < 0.9


def test_a_browser_that_stops_listening_is_forgotten(sandbox: Sandbox) -> None:
    front = Front()
    with sandbox.serve(front=front) as server:
        with (
            httpx.Client(base_url=origin(server), trust_env=False) as http,
            http.stream("GET", "/sessions/events") as answer,
        ):
            next(answer.iter_lines())
            listening = front.open_connections
        ends = time.monotonic() + 5
        while front.open_connections and time.monotonic() < ends:
            time.sleep(0.05)

        assert (listening, front.open_connections) == (1, 0)


def test_faults_strike_clients_and_no_browser(sandbox: Sandbox) -> None:
    front = Front(faults=1.0, kinds=["F14"], mode=Mode.down("503"))
    with (
        sandbox.serve(front=front) as server,
        httpx.Client(base_url=origin(server), trust_env=False) as http,
    ):
        answers = [http.get("/sessions").status_code for _ in range(5)]
        asked = http.post("/external-api/result/", json={"company_key": "k"}).status_code

    assert answers == [200] * 5
    assert asked == 503
    assert len(front.exchanges()) == 1


@pytest.mark.parametrize("front", [None, Front()], ids=["plain", "front"])
def test_a_sandbox_for_others_may_be_called_by_any_name(
    sandbox: Sandbox, front: Front | None
) -> None:
    with sandbox.serve(host="0.0.0.0", public=True, front=front) as server:  # noqa: S104
        answer = httpx.get(
            f"http://127.0.0.1:{server.port}/sessions",
            headers={"host": "sandbox.intranet.example"},
            trust_env=False,
        )

    assert answer.status_code == 200
