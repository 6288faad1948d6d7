"""The front on real sockets: faults where they are due, and a log of what happened."""

import gc
import json
import math
import socket
import ssl
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest
import trustme

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Front, Mode, Sandbox, SandboxServer, Script, fault_for
from identomat_async.sandbox._front_door import Door

KEY = {"company_key": "k"}


@contextmanager
def served(front: Front, sandbox: Sandbox) -> Generator[tuple[SandboxServer, httpx.Client]]:
    with (
        sandbox.serve(front=front) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=2) as http,
    ):
        yield server, http


def approving(*tokens: str, secret: str | None = None) -> Sandbox:
    sandbox = Sandbox("k", secret, life=Script.of("approved"))
    for token in tokens:
        sandbox.plant(token, "approved")
    return sandbox


def ask(http: httpx.Client, token: str, operation: str = "result") -> httpx.Response:
    return http.post(f"{operation}/", json=KEY | {"session_token": token})


def raw(server: SandboxServer, request: bytes, *, pieces: int = 1) -> bytes:
    """Send *request* and return all that comes until the server closes or is silent."""
    with socket.create_connection((server.host, server.port)) as plug:
        plug.settimeout(0.2)
        size = -(-len(request) // pieces)
        for start in range(0, len(request), size):
            plug.sendall(request[start : start + size])
            time.sleep(0.01 if pieces > 1 else 0)
        came = b""
        try:
            while piece := plug.recv(65536):
                came += piece
        except TimeoutError:
            pass
        return came


def asking_for(token: str, *headers: str) -> bytes:
    body = json.dumps(KEY | {"session_token": token}).encode()
    lines = (
        "POST /external-api/result/ HTTP/1.1",
        "Host: h",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_without_faults_it_is_the_service_itself() -> None:
    sandbox = approving("t")
    with served(Front(), sandbox) as (_, http):
        begun = http.post("begin/", json=KEY).json()
        document = ask(http, begun).json()
        image = ask(http, "t", "result/face")
        gone = [ask(http, "t", "delete").json()["result"], ask(http, "t").json()]
        lost = http.post("nothing/", json=KEY), http.post("/elsewhere", json=KEY)

    assert sandbox.tokens == ("t", begun)
    assert document["person"]["personal_number"] == sandbox.truth(begun).person_number
    assert image.headers["content-type"] == "image/jpeg"
    assert gone == ["approved", "SESSION_NOT_FOUND"]
    assert [answer.status_code for answer in lost] == [404, 404]


def test_a_token_that_is_no_text_is_answered_like_any_other() -> None:
    with served(Front(), approving("t")) as (_, http):
        said = b'{"company_key": "k", "session_token": "\\ud800"}'
        answers = [http.post("result/", content=said).json() for _ in range(2)]
    assert answers == ["SESSION_NOT_FOUND"] * 2


def test_the_log_knows_who_was_asked_for_on_which_connection_and_when() -> None:
    sandbox = approving("t")
    front = Front()
    with served(front, sandbox) as (server, http):
        begun = http.post("begin/", json=KEY).json()
        for token in ("t", "t", begun):
            ask(http, token)
        raw(server, asking_for("t"))

    seen = [
        (each.operation, each.token, each.n, each.connection, each.turn)
        for each in front.exchanges()
    ]
    assert seen == [
        ("begin", begun, 1, 1, 1),
        ("result", "t", 1, 1, 2),
        ("result", "t", 2, 1, 3),
        ("result", begun, 1, 1, 4),
        ("result", "t", 3, 2, 1),
    ]
    asked_at, known_at = front.exchanges("t")[-1].at, sandbox.truth("t").last_poll
    assert known_at is not None
    assert 0 <= known_at - asked_at < 1
    assert (front.connections, front.peak_connections) == (2, 2)
    assert begun not in repr(front.exchanges())


def test_when_the_server_has_ended_no_connection_is_open() -> None:
    front = Front()
    with served(front, approving("t")) as (_, http):
        ask(http, "t")
        assert front.open_connections == 1

    assert front.open_connections == 0


def test_the_faults_that_strike_are_those_the_pure_function_names() -> None:
    tokens = [f"t{number}" for number in range(40)]
    kinds = ("F25", "F29", "F33", "F39", "F44-cookies")
    front = Front(faults=0.5, seed=3, kinds=kinds)
    with served(front, approving(*tokens)) as (_, http):
        for token in tokens * 2:
            ask(http, token)

    due = [
        fault_for(3, "result", each.token or "", each.n, 0.5, kinds=front.kinds)
        for each in front.exchanges()
    ]
    assert [each.fault for each in front.exchanges()] == [fault and fault.id for fault in due]
    assert 20 < sum(front.struck.values()) < 60


def test_what_else_is_asked_in_between_changes_no_fault() -> None:
    runs: list[dict[str, list[str | None]]] = []
    asked = ["result", "delete", "begin"]
    for order in (sorted(asked * 12), asked * 12):
        front = Front(faults=0.4, seed=5, kinds=["F39-501", "F40-502"], most=3)
        with served(front, approving("t")) as (_, http):
            for operation in order:
                http.post(f"{operation}/", json=KEY | {"session_token": "t"})
        seen = front.exchanges()
        runs.append({name: [e.fault for e in seen if e.operation == name] for name in asked})

    assert runs[0] == runs[1]
    assert [12 - runs[0][name].count(None) for name in ("result", "delete")] == [3, 3]


def test_a_begin_is_known_by_its_configuration_or_by_its_number() -> None:
    runs: list[list[str | None]] = []
    for names in (("a", "b", "c"), ("c", "b", "a")):
        front = Front(faults=0.5, seed=2, kinds=["F39-501"])
        with served(front, Sandbox()) as (_, http):
            for name in (*names, None, None):
                http.post("begin/", json=KEY | ({"config_id": name} if name else {}))
        runs.append([each.fault for each in front.exchanges()])

    assert runs[0][:3] == runs[1][:3][::-1]
    assert runs[0][3:] == runs[1][3:]
    assert set(runs[0]) == {None, "F39-501"}


def test_a_fault_may_strike_after_the_service_has_acted_or_before() -> None:
    for kind, is_gone in (("F9", True), ("F7", False)):
        sandbox = approving("t")
        with (
            served(Front(faults=1, kinds=[kind]), sandbox) as (_, http),
            pytest.raises(httpx.TransportError),
        ):
            ask(http, "t", "delete")
        assert sandbox.truth("t").deleted is is_gone


def test_every_request_is_counted_whether_the_service_acts_or_not() -> None:
    sandbox = approving("t")
    with served(Front(faults=1, kinds=["F29", "F27-cut"], most=None), sandbox) as (_, http):
        for _ in range(8):
            ask(http, "t")
        ask(http, "t", "delete")

    assert sandbox.truth("t").polls == 8
    assert sandbox.requests == {"result": 8, "delete": 1}


def test_a_stray_answer_is_another_sessions_and_validly_signed() -> None:
    sandbox = approving("t", "u")
    sandbox.plant("pending")
    front = Front(faults=1, kinds=["F18"])
    with served(front, sandbox) as (server, _):
        came = raw(server, asking_for("t"))

    answers = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in came.split(b"HTTP/1.1 ")[1:]]
    numbers = [answer["person"]["personal_number"] for answer in answers]
    assert numbers == [sandbox.truth(token).person_number for token in ("t", "u")]


def test_strays_follow_begin_and_media_too() -> None:
    sandbox = approving("t", "u")
    with served(Front(faults=1, kinds=["F18"]), sandbox) as (server, _):
        body = json.dumps(KEY | {"session_token": "t"})
        head = f"Host: h\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        begun = raw(server, f"POST /external-api/begin/ HTTP/1.1\r\n{head}".encode())
        image = raw(server, f"POST /external-api/result/face/ HTTP/1.1\r\n{head}".encode())

    assert begun.endswith((b'"t"', b'"u"'))
    assert image.count(b"\xff\xd9") == 2
    assert f"face of {sandbox.truth('u').person_number}".encode() in image


def test_a_stray_of_a_session_without_an_answer_is_its_error() -> None:
    sandbox = approving("t", "u")
    sandbox.delete("u")
    with served(Front(faults=1, kinds=["F18"]), sandbox) as (server, _):
        assert raw(server, asking_for("t")).endswith(b'"SESSION_NOT_FOUND"')


def test_an_older_answer_can_be_told_of_no_session_that_is_gone() -> None:
    sandbox = approving("t")
    sandbox.plant("late", Script.of("approved", after=0.01), begun=time.monotonic() - 5)
    with served(Front(faults=1, kinds=["F43-replayed"]), sandbox) as (_, http):
        assert ask(http, "late").json()["result"] == "in_progress"
        sandbox.delete("t")
        assert ask(http, "t").json() == "SESSION_NOT_FOUND"


def test_a_connection_that_is_doomed_fails_the_next_request() -> None:
    front = Front(faults=1, kinds=["F8"], most=1)
    with served(front, approving("t", "u")) as (server, _):
        came = raw(server, asking_for("t") + asking_for("u"))

    assert came.count(b"HTTP/1.1 200") == 1
    assert [each.token for each in front.exchanges()] == ["t"]


def test_requests_may_come_in_pieces_in_chunks_and_all_at_once() -> None:
    front = Front()
    body = json.dumps(KEY | {"session_token": "t"}).encode()
    chunked = (
        b"POST /external-api/result/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(body):x}\r\n".encode()
        + body
        + b"\r\n0\r\n\r\n"
    )
    with served(front, approving("t")) as (server, _):
        came = raw(server, asking_for("t") * 2 + chunked, pieces=7)

    assert came.count(b"HTTP/1.1 200") == 3


def test_who_waits_to_be_asked_for_the_body_is_asked() -> None:
    request = asking_for("t", "Expect: 100-continue")
    head, body = request[: request.index(b"\r\n\r\n") + 4], request.partition(b"\r\n\r\n")[2]
    with (
        served(Front(), approving("t")) as (server, _),
        socket.create_connection((server.host, server.port)) as plug,
    ):
        plug.sendall(head)
        asked = plug.recv(100)
        plug.sendall(body)

        assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert plug.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01 what is this\r\n\r\n", b"POST / HT"], ids=["garbage", "half"]
)
def test_who_speaks_no_http_is_left_and_nobody_else(request_: bytes) -> None:
    front = Front()
    with served(front, approving("t")) as (server, http):
        assert raw(server, request_) == b""
        assert ask(http, "t").status_code == 200


def test_a_multipart_body_names_its_session_and_an_unreadable_one_none() -> None:
    front = Front()
    with served(front, approving("t")) as (_, http):
        fields = KEY | {"session_token": "t"}
        http.post("result/", files={name: (None, text) for name, text in fields.items()})
        http.post("result/", content=b"{", headers={"content-type": "application/json"})

    assert [each.token for each in front.exchanges()] == ["t", None]


def test_faults_of_signatures_strike_only_where_answers_are_signed() -> None:
    for secret, struck in ((None, {}), ("s", {"F31-missing": 1})):
        front = Front(faults=1, kinds=["F31-missing"])
        with served(front, Sandbox("k", secret)) as (_, http):
            signature = 'signature="qVyBSgs/4PGNCmGqPfNsNw14DjXYqIqrfWZ0tiFMOs8="'
            http.post("begin/", json=KEY, headers={"authorization": signature})
        assert front.struck == struck


def test_over_tls_the_certificate_decides_who_is_believed() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with approving("t").serve(front=Front(ssl_context=context)) as server:
        with httpx.Client(base_url=server.base_url, trust_env=False, verify=trusting) as http:
            assert ask(http, "t").status_code == 200
        with (
            httpx.Client(base_url=server.base_url, trust_env=False) as http,
            pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            ask(http, "t")
    assert server.base_url.startswith("https://127.0.0.1:")


def test_a_connection_with_tls_that_is_still_open_ends_with_the_server() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    front = Front(ssl_context=context)
    with httpx.Client(trust_env=False, verify=trusting) as http:
        with approving("t").serve(front=front) as server:
            http.post(f"{server.base_url}result/", json=KEY | {"session_token": "t"})
            assert front.open_connections == 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()

    assert front.open_connections == 0
    assert [str(each.message) for each in caught] == []


@pytest.mark.parametrize("kind", ["F6", "F12", "F13", "F22"])
def test_what_never_ends_ends_when_the_client_goes(kind: str) -> None:
    front = Front(faults=1, kinds=[kind])
    with served(front, approving("t")) as (server, _):
        with socket.create_connection((server.host, server.port)) as plug:
            plug.settimeout(1)
            plug.sendall(asking_for("t"))
            if kind == "F6":
                with pytest.raises(ConnectionResetError):
                    plug.recv(1)
            else:
                assert plug.recv(50)
        until = time.monotonic() + 2
        while front.open_connections and time.monotonic() < until:
            time.sleep(0.005)

        assert front.open_connections == 0


def test_a_late_stray_answer_comes_late() -> None:
    with served(Front(faults=1, kinds=["F19"]), approving("t", "u")) as (server, _):
        assert raw(server, asking_for("t")).count(b"HTTP/1.1 200") == 2


def test_a_stray_of_a_lone_session_is_none() -> None:
    with served(Front(faults=1, kinds=["F18", "F19"]), approving("t")) as (server, _):
        assert raw(server, asking_for("t")).count(b"HTTP/1.1 200") == 1


def test_a_connection_that_is_gone_before_it_was_taken_harms_nobody() -> None:
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        Door(listener, taken.append)._let_in(listener)

    assert taken == []


def test_a_front_says_what_it_is_up_to() -> None:
    front = Front(faults=0.3, seed=7)
    front.mode = Mode.slow(1)

    assert repr(front) == "<Front faults=0.3 seed=7 mode=slow>"
    assert front.mode == Mode.slow(1)


def test_a_fault_may_strike_a_session_that_there_is_not() -> None:
    with served(Front(faults=1, kinds=["F39-501", "F29-404"]), Sandbox()) as (_, http):
        assert {ask(http, f"t{n}").status_code for n in range(12)} == {200, 404}


def test_a_front_stands_before_one_server() -> None:
    front = Front()
    with (
        served(front, Sandbox()),
        pytest.raises(ConfigurationError, match="another one"),
        Sandbox().serve(front=front),
    ):
        pass  # pragma: no cover - it is not reached


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": 1.5},
        {"faults": -0.1},
        {"most": -1},
        {"retry_after": -1.0},
        {"retry_after": math.nan},
        {"faults": "x"},
        {"kinds": ["F0"]},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Front(**wrong)  # type: ignore[arg-type]
