"""How a service is doing as a whole: down, slow, flapping, under maintenance."""

import math
import socket
import time
from collections.abc import Generator

import httpx
import pytest

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Front, Mode, Sandbox, SandboxServer, Script

KEY = {"company_key": "k", "session_token": "t"}


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.fixture
def server(front: Front) -> Generator[SandboxServer]:
    sandbox = Sandbox("k")
    sandbox.plant("t", Script.of("approved"))
    with sandbox.serve(front=front) as server:
        yield server


@pytest.fixture
def http(server: SandboxServer) -> Generator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=0.3) as http:
        yield http


def settles(front: Front, http: httpx.Client) -> None:
    """See to it that the service is up again."""
    front.mode = Mode.up()
    for _ in range(100):
        try:
            assert http.post("result/", json=KEY).json()["result"] == "approved"
        except httpx.TransportError:
            time.sleep(0.01)
        else:
            return
    pytest.fail("the service did not come back")


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        pytest.param(Mode.down(), httpx.ConnectError, id="refuse"),
        # A reset that comes while the request is written leaves only the end to be read.
        pytest.param(
            Mode.down("reset"), (httpx.NetworkError, httpx.RemoteProtocolError), id="reset"
        ),
        pytest.param(Mode.down("silent"), httpx.ReadTimeout, id="silent"),
        pytest.param(Mode.down("unreachable"), httpx.ConnectTimeout, id="unreachable"),
    ],
)
def test_nobody_is_served_while_it_is_down(
    front: Front,
    server: SandboxServer,
    http: httpx.Client,
    mode: Mode,
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    front.mode = mode
    time.sleep(0.05)
    with pytest.raises(error):
        http.post("result/", json=KEY)

    assert front.exchanges() == ()
    settles(front, http)


@pytest.mark.parametrize("how", ["refuse", "unreachable"])
def test_a_port_that_closes_resets_what_is_open(
    front: Front, server: SandboxServer, how: str
) -> None:
    with socket.create_connection((server.host, server.port)) as plug:
        plug.settimeout(1)
        front.mode = Mode.of(f"down:{how}")
        with pytest.raises(ConnectionResetError):
            plug.recv(1)
    until = time.monotonic() + 1
    while front.open_connections and time.monotonic() < until:
        time.sleep(0.005)
    assert front.open_connections == 0


@pytest.mark.parametrize("how", ["reset", "silent"])
def test_a_kept_connection_finds_nobody_either(front: Front, http: httpx.Client, how: str) -> None:
    http.post("result/", json=KEY)
    front.mode = Mode.of(f"down:{how}")

    with pytest.raises(httpx.TransportError):
        http.post("result/", json=KEY)
    settles(front, http)


@pytest.mark.parametrize(
    ("mode", "status", "said"),
    [
        (Mode.down("503"), 503, "<html>"),
        (Mode.brownout(1.0), 503, "<html>"),
        (Mode.brownout(0.0), 200, "{"),
        (Mode.maintenance(), 200, "<!doctype html>"),
        (Mode.key_revoked(), 401, '"INVALID_COMPANY_KEY"'),
        (Mode.slow(0.01), 200, "{"),
        (Mode.flap(60), 200, "{"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_what_everybody_is_told(
    front: Front, http: httpx.Client, mode: Mode, status: int, said: str
) -> None:
    front.mode = mode
    answer = http.post("result/", json=KEY)

    assert (answer.status_code, answer.text[: len(said)]) == (status, said)
    assert front.exchanges("t")[-1].mode in {mode.kind, "up"}


def test_a_brownout_fails_its_share(front: Front, http: httpx.Client) -> None:
    front.mode = Mode.brownout(0.5)
    failed = [http.post("result/", json=KEY).status_code == 503 for _ in range(60)]

    assert 15 < sum(failed) < 45


def test_every_answer_takes_its_time(front: Front, http: httpx.Client) -> None:
    front.mode = Mode.slow(0.1)
    started = time.monotonic()
    http.post("result/", json=KEY)

    assert 0.1 <= time.monotonic() - started < 0.3


def test_a_front_may_be_down_from_the_start() -> None:
    front = Front(mode=Mode.down())
    with (
        Sandbox().serve(front=front) as server,
        httpx.Client(base_url=server.base_url, trust_env=False) as http,
        pytest.raises(httpx.ConnectError),
    ):
        http.post("result/", json=KEY)


def test_it_flaps_between_up_and_down(front: Front, http: httpx.Client) -> None:
    front.mode = Mode.flap(0.05)
    seen: list[bool] = []
    until = time.monotonic() + 2
    while time.monotonic() < until and len(seen) < 4:
        try:
            is_up = http.post("result/", json=KEY).status_code == 200
        except httpx.TransportError:
            is_up = False
        if not seen or seen[-1] != is_up:
            seen.append(is_up)

    assert len(seen) == 4


def test_what_flaps_changes_by_itself_and_nothing_else_does() -> None:
    flap = Mode.flap(2)

    assert [flap.at(age).kind for age in (0, 1.9, 2, 3.9, 4)] == ["up", "up", "down", "down", "up"]
    assert (flap.lasts(0), flap.lasts(3.5)) == (2, 0.5)
    assert (Mode.up().lasts(1), Mode.slow(1).at(9)) == (math.inf, Mode.slow(1))


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("up", Mode.up()),
        ("down", Mode.down()),
        ("down:503", Mode.down("503")),
        ("brownout:0.25", Mode.brownout(0.25)),
        ("slow:2", Mode.slow(2)),
        ("flap:0.5", Mode.flap(0.5)),
        ("maintenance", Mode.maintenance()),
        ("key-revoked", Mode.key_revoked()),
    ],
)
def test_a_mode_can_be_said_in_a_word(text: str, mode: Mode) -> None:
    assert Mode.of(text) == mode


@pytest.mark.parametrize(
    "text",
    [
        "",
        "out",
        "down:x",
        "brownout",
        "brownout:2",
        "slow:x",
        "slow:-1",
        "flap:0",
        "slow:inf",
        "up:3",
    ],
)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Mode.of(text)
