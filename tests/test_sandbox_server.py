"""The sandbox over real sockets, on the real clock."""

import socket
import subprocess
import sys
import threading
import time

import anyio
import httpx
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Sandbox, SandboxServer, Script
from identomat_async.sandbox._listening import listen_on
from identomat_async.sandbox._server import PlainServer

KEY = {"company_key": "k"}


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


async def test_it_answers_over_a_socket_and_knows_the_truth() -> None:
    sandbox = Sandbox("k", life=Script.of("approved"))
    started = time.monotonic()
    async with (
        sandbox.serve() as server,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http,
    ):
        up = time.monotonic() - started
        token = (await http.post("begin/", json=KEY)).json()
        answer = await http.post("result/", json=KEY | {"session_token": token})
        truth = sandbox.truth(token)

    assert up < 2
    assert answer.json()["person"]["personal_number"] == truth.person_number
    assert started <= truth.settled_at <= truth.last_poll <= time.monotonic()
    assert "identomat-sandbox" not in names_of_threads()


async def test_one_connection_carries_many_requests() -> None:
    sandbox = Sandbox()
    sandbox.plant("t")
    async with (
        sandbox.serve() as server,
        await anyio.connect_tcp(server.host, server.port) as stream,
    ):
        buffered = BufferedByteReceiveStream(stream)
        for _ in range(3):
            await stream.send(
                b"GET /external-api/result/?company_key=k&session_token=t HTTP/1.1\r\n"
                b"Host: localhost\r\n\r\n"
            )
            head = await buffered.receive_until(b"\r\n\r\n", 1000)
            await buffered.receive_until(b'"person":{}}', 1000)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")

    assert sandbox.truth("t").polls == 3


async def test_an_open_connection_does_not_keep_the_server_up() -> None:
    async with Sandbox().serve() as server:
        stream = await anyio.connect_tcp(server.host, server.port)

    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    await stream.aclose()


async def test_a_cancelled_block_stops_the_server() -> None:
    with anyio.CancelScope() as scope:
        async with Sandbox().serve() as server:
            scope.cancel()
            await anyio.sleep_forever()

    assert "identomat-sandbox" not in names_of_threads()
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp(server.host, server.port)


async def test_being_cancelled_on_the_way_in_leaves_nothing_behind() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with Sandbox().serve():
            pytest.fail("the block was entered")

    assert "identomat-sandbox" not in names_of_threads()


async def test_sessions_begun_before_it_serves_keep_their_age() -> None:
    sandbox = Sandbox()
    sandbox.plant("old", Script.of("approved", after=100), begun=sandbox.now() - 90)
    async with sandbox.serve():
        truth = sandbox.truth("old")
        age = time.monotonic() - truth.begun_at

    assert truth.status == "in_progress"
    assert age == pytest.approx(90, abs=5)


async def test_a_clock_that_was_given_is_kept() -> None:
    sandbox = Sandbox(now=lambda: 7.0)
    async with sandbox.serve():
        assert sandbox.now() == 7


def test_it_serves_in_a_plain_block_too() -> None:
    sandbox = Sandbox()
    with sandbox.serve() as server:
        answer = httpx.post(server.base_url + "begin/", json=KEY, trust_env=False)

    assert answer.json() in sandbox.tokens
    assert repr(server) == f"<SandboxServer {server.base_url}>"
    assert f":{server.port}/external-api/" in server.base_url


def test_it_listens_on_version_6_addresses() -> None:
    with Sandbox().serve(host="::1") as server:
        answer = httpx.post(server.base_url + "begin/", json=KEY, trust_env=False)

    assert server.base_url.startswith("http://[::1]:")
    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "shop.example"])  # noqa: S104
def test_others_are_let_in_only_when_told(host: str) -> None:
    with pytest.raises(ConfigurationError, match="public=True"):
        Sandbox().serve(host=host)


def test_a_public_server_is_possible() -> None:
    with Sandbox().serve(host="0.0.0.0", public=True) as server:  # noqa: S104
        url = f"http://127.0.0.1:{server.port}/external-api/begin/"
        assert httpx.post(url, json=KEY, trust_env=False).status_code == 200


def test_localhost_is_a_loopback_address() -> None:
    with Sandbox().serve(host="localhost") as server:
        assert server.base_url == f"http://localhost:{server.port}/external-api/"


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} .*port 0"):
            Sandbox().serve(port=port).__enter__()


def test_a_server_runs_once() -> None:
    with Sandbox().serve() as server:
        pass

    with pytest.raises(ConfigurationError, match="serve"):
        server.__enter__()


def test_a_server_that_cannot_start_says_so_and_leaves_nothing_behind() -> None:
    server = SandboxServer(
        lambda: PlainServer("no_such_module:app", hang_up=lambda: None),
        host="127.0.0.1",
        port=0,
        public=False,
        on_start=lambda: None,
    )

    with pytest.raises(ConfigurationError, match="did not start: SystemExit"):
        server.__enter__()
    assert "identomat-sandbox" not in names_of_threads()


def test_without_its_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['starlette'] = None; import identomat_async.sandbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode != 0
    assert "pip install 'identomat-async[sandbox]'" in done.stderr


def test_answers_do_not_wait_to_be_acknowledged() -> None:
    # asyncio turns Nagle's algorithm off for connections of such a listener only.
    with listen_on(("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
