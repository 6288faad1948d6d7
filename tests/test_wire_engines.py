"""Either HTTP library, what is left on a connection, and proxies: over real sockets."""

import base64
import gc
import logging
import re
import socket
import ssl
import subprocess
import sys
import traceback
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener

from identomat_async import IdentomatClient, RetryPolicy, SessionStatus
from identomat_async._wire._exchange import _LOGGERS
from identomat_async._wire._line import Carrier, Line, _has_more, _Plug
from identomat_async._wire._transport import Engine, Progress, library
from identomat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    RequestTimeoutError,
)

ONCE = RetryPolicy(attempts=1)
ENGINES: list[Engine] = ["httpx", "httpx2"]
CANARY = "pa-ss-word"

engines = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def whole(body: bytes) -> bytes:
    return ok(body, f"Content-Length: {len(body)}")


PENDING = whole(b'{"result":"in_progress"}')
APPROVED = whole(b'{"result":"approved"}')


class Server:
    """Gives the same answer to everything, and counts its connections."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.connections = self.open = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, stream: Any) -> None:
        self.connections += 1
        self.open += 1
        try:
            async with stream:
                while head := await request_on(stream):
                    self.heads.append(head)
                    hold_back(stream, yes=True)
                    for piece in self.pieces:
                        await stream.send(piece)
                    hold_back(stream, yes=False)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self.open -= 1


def hold_back(stream: Any, *, yes: bool) -> None:
    """Let all that is sent in the meantime arrive at once."""
    plug = stream.extra(SocketAttribute.raw_socket)
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, yes)


async def request_on(stream: Any) -> bytes:
    received = b""
    while not received.endswith(b"}"):
        received += await stream.receive()
    return received.partition(b"\r\n\r\n")[0]


@asynccontextmanager
async def listening(
    serve: Callable[[Any], Any], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port: int = listener.extra(SocketAttribute.local_port)
        if context is not None:
            listener = TLSListener(listener, context, standard_compatible=False)
        await stack.enter_async_context(listener)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(listener.serve, serve)
        try:
            yield port
        finally:
            group.cancel_scope.cancel()


def client_of(port: int, *, scheme: str = "http", **keywords: Any) -> IdentomatClient:
    base_url = f"{scheme}://localhost:{port}/"
    return IdentomatClient("k", base_url=base_url, **{"retry": ONCE, **keywords})


async def look(client: IdentomatClient) -> object:
    return await client.source.look("t", fresh=False)


def lanes_of(client: IdentomatClient) -> Any:
    return client.source.transport.lanes  # type: ignore[attr-defined]


# --- what is left on a connection -------------------------------------------------------


@engines
@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_connection_with_nothing_left_on_it_is_kept(
    engine: Engine, is_tls: bool, trusted: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(PENDING)
    async with listening(server.serve, trusted if is_tls else None) as port:
        keywords = {"scheme": "https", "ssl_context": trusting} if is_tls else {}
        async with client_of(port, engine=engine, **keywords) as client:
            for _ in range(5):
                assert await look(client) is SessionStatus.IN_PROGRESS

    # It is what says that the names inside the library still are what they were.
    assert server.connections == 1


@engines
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([PENDING + APPROVED], id="one-packet"),
        pytest.param([PENDING, APPROVED], id="two-records"),
        pytest.param([PENDING + b"\r"], id="one-byte"),
        pytest.param(
            [
                ok(
                    b'18\r\n{"result":"in_progress"}\r\n0\r\n\r\n',
                    "Content-Length: 24",
                    "Transfer-Encoding: chunked",
                )
            ],
            id="two-lengths",
        ),
        pytest.param([ok(b'{"result":"in_progress"}', "Connection: close")], id="no-length"),
    ],
)
@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_connection_on_which_something_is_left_is_dropped(
    engine: Engine,
    pieces: list[bytes],
    is_tls: bool,
    trusted: ssl.SSLContext,
    trusting: ssl.SSLContext,
) -> None:
    server = Server(*pieces)

    async def serve(stream: Any) -> None:
        async with stream:
            if b"Connection: close" in pieces[0]:
                await request_on(stream)
                await stream.send(pieces[0])
                server.connections += 1
            else:
                await server.serve(stream)

    async with listening(serve, trusted if is_tls else None) as port:
        keywords = {"scheme": "https", "ssl_context": trusting} if is_tls else {}
        async with client_of(port, engine=engine, **keywords) as client:
            for _ in range(5):
                assert await look(client) is SessionStatus.IN_PROGRESS
                assert lanes_of(client).free == 0
            assert server.connections == 5


@engines
def test_without_the_names_inside_the_library_no_connection_is_kept(engine: Engine) -> None:
    transport = library(engine).direct(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    assert Line(transport)._is_plugged
    assert not Line(transport).is_clean()
    del transport._pool  # type: ignore[attr-defined]
    assert not Line(transport).is_clean()
    assert not Line(transport)._is_plugged


async def test_without_them_the_library_closes_its_connection_itself() -> None:
    class Hollow:
        is_closed = False

        async def handle_async_request(self, request: object) -> object:
            return request

        async def aclose(self) -> None:
            self.is_closed = True

    hollow = Hollow()
    await Line(hollow).aclose()

    assert hollow.is_closed
    assert Carrier(hollow).is_clean()


async def test_what_a_cancelled_connect_leaves_behind_is_closed() -> None:
    aborted: list[str] = []

    class Network:
        async def connect_tcp(self) -> None:
            # As anyio 4.15 does it: the stream is there, and who waited for it has left.
            connected_stream = SimpleNamespace(
                _transport=SimpleNamespace(abort=lambda: aborted.append("it"))
            )
            await anyio.sleep_forever()
            del connected_stream

    with anyio.move_on_after(1):
        await _Plug(Network()).connect_tcp()

    assert aborted == ["it"]


async def test_a_connect_that_fails_leaves_nothing_to_the_garbage_collector() -> None:
    left: list[weakref.ref[object]] = []

    class Network:
        def connect_tcp(self) -> None:
            held = Network()
            left.append(weakref.ref(held))
            raise OSError

    plug = _Plug(Network())
    gc.disable()
    try:
        with suppress(OSError):
            await plug.connect_tcp()
        assert [held() for held in left] == [None]
    finally:
        gc.enable()


async def test_what_else_the_library_asks_of_its_network_goes_through() -> None:
    class Network:
        async def sleep(self, seconds: float) -> float:
            return seconds

    assert await _Plug(Network()).sleep(0.25) == 0.25


@pytest.mark.parametrize(
    ("happens", "has_more"),
    [
        pytest.param(ssl.SSLWantReadError(), False, id="nothing"),
        pytest.param(ssl.SSLZeroReturnError(), True, id="closed"),
        pytest.param(ssl.SSLError(), True, id="broken"),
        pytest.param(None, True, id="a-byte"),
    ],
)
def test_whatever_tls_has_left_but_silence_ends_a_connection(
    happens: Exception | None, has_more: bool
) -> None:
    class Tls:
        def read(self, _: int) -> bytes:
            if happens is not None:
                raise happens
            return b"H"

    assert _has_more(Tls()) == has_more  # type: ignore[arg-type]
    assert not _has_more(None)


# --- which library ------------------------------------------------------------------------


def test_there_are_two_engines() -> None:
    with pytest.raises(ConfigurationError, match='engine must be "httpx" or "httpx2"'):
        IdentomatClient("k", engine="aiohttp")  # type: ignore[arg-type]


@engines
async def test_a_transport_is_of_the_library_that_is_the_engine(engine: Engine) -> None:
    import httpx  # noqa: PLC0415 - both are wanted here alone
    import httpx2  # noqa: PLC0415

    mine, other = (httpx, httpx2) if engine == "httpx" else (httpx2, httpx)

    def answer(kind: Any) -> Any:
        return lambda _: kind.Response(200, content=b'{"result":"approved"}')

    with pytest.raises(ConfigurationError, match=f'say engine="{other.__name__}" with it'):
        IdentomatClient("k", engine=engine, transport=other.MockTransport(answer(other)))
    async with IdentomatClient(
        "k", engine=engine, transport=lambda: other.MockTransport(answer(other))
    ) as client:
        with pytest.raises(ConfigurationError, match=f'say engine="{other.__name__}" with it'):
            await client.result("t")
    async with IdentomatClient(
        "k", engine=engine, transport=lambda: mine.MockTransport(answer(mine))
    ) as client:
        assert (await client.result("t")).status is SessionStatus.APPROVED


@engines
async def test_the_users_own_transports_of_the_library_are_held_to_the_same(engine: Engine) -> None:
    server = Server(PENDING + APPROVED)
    http: Any = library(engine).http
    async with (
        listening(server.serve) as port,
        client_of(port, engine=engine, transport=http.AsyncHTTPTransport) as client,
    ):
        for _ in range(3):
            assert await look(client) is SessionStatus.IN_PROGRESS

    assert server.connections == 3


def wrapping(http: Any, make: Callable[[], Any]) -> type[Any]:
    class Wrapper(http.AsyncBaseTransport):  # type: ignore[misc] # either library's
        def __init__(self) -> None:
            self.inner = make()

        async def handle_async_request(self, request: object) -> object:
            return await self.inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self.inner.aclose()

    return Wrapper


@engines
@pytest.mark.parametrize("way", ["itself", "in-a-wrapper", "in-wrappers"])
async def test_a_transport_that_comes_twice_is_refused(engine: Engine, way: str) -> None:
    http: Any = library(engine).http
    async with http.AsyncHTTPTransport() as shared:
        shared.aclose = anyio.lowlevel.checkpoint  # as where somebody else goes on using it
        wrapper = wrapping(http, lambda: shared)
        again = wrapper()
        ways: dict[str, Callable[[], Any]] = {
            "itself": lambda: shared,
            "in-a-wrapper": lambda: again,
            "in-wrappers": wrapper,
        }
        async with (
            listening(Server(PENDING).serve) as port,
            client_of(port, engine=engine, transport=ways[way]) as client,
        ):
            await client.result("t")
            with pytest.raises(ConfigurationError, match="must make a transport") as caught:
                await client.result("t")
            assert lanes_of(client).busy == 0
        del shared.aclose

    assert caught.value.maybe_applied == (way != "itself")


@engines
async def test_transports_that_are_wrapped_anew_each_time_serve(engine: Engine) -> None:
    server, http = Server(PENDING), library(engine).http
    wrapper = wrapping(http, http.AsyncHTTPTransport)
    async with (
        listening(server.serve) as port,
        client_of(port, engine=engine, transport=wrapper) as client,
    ):
        for _ in range(3):
            await client.result("t")

    assert server.connections == 3


@engines
async def test_what_stands_in_for_a_service_may_come_again_and_again(engine: Engine) -> None:
    http: Any = library(engine).http

    class Fake(http.AsyncBaseTransport):  # type: ignore[misc] # either library's
        async def handle_async_request(self, request: object) -> object:
            said = {"network_stream": "none"}
            return http.Response(200, content=b'{"result":"approved"}', extensions=said)

        async def aclose(self) -> None:
            pass

    def answer(_: object) -> object:
        return http.Response(200, content=b'{"result":"approved"}')

    for transport in (http.MockTransport(answer), Fake()):
        async with IdentomatClient("k", engine=engine, transport=lambda: transport) as client:  # noqa: B023
            for _ in range(3):
                assert (await client.result("t")).status is SessionStatus.APPROVED


def run_python(code: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return done.stdout.strip()


# What an answer says goes through these loggers and no others: a new one has to be seen to,
# or what it is told at level DEBUG comes out. HTTP/2 is never spoken.
@engines
def test_every_logger_of_the_library_is_known(engine: Engine) -> None:
    core = import_module({"httpx": "httpcore", "httpx2": "httpcore2"}[engine])
    texts = [each.read_text() for each in Path(str(core.__file__)).parent.rglob("*.py")]
    calls = sum(text.count("getLogger(") for text in texts)
    found = [
        name for text in texts for name in re.findall(r"""getLogger\(["']([\w.]+)["']\)""", text)
    ]

    assert len(found) == calls > 0
    assert set(found) - {f"{core.__name__}.http2"} == {logger.name for logger in _LOGGERS[engine]}


@engines
async def test_what_the_library_logs_of_an_answer_is_wiped_out(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    core = {"httpx": "httpcore", "httpx2": "httpcore2"}[engine]
    answer = PENDING.replace(b"\r\n\r\n", b"\r\nX-Person: Anna-Canary\r\n\r\n", 1)
    with caplog.at_level(logging.DEBUG, logger=core):
        async with (
            listening(Server(answer).serve) as port,
            client_of(port, engine=engine) as client,
        ):
            await look(client)
            await client.result("t")

    messages = [each.getMessage() for each in caplog.records if each.name.startswith(core)]
    assert messages.count("receive_response_headers.complete") == 2
    assert "Anna-Canary" not in "".join(messages)


def test_an_engine_that_is_not_installed_says_what_to_install() -> None:
    said = run_python("""
import sys
sys.modules["httpx2"] = None
from identomat_async import IdentomatClient, errors
try:
    IdentomatClient("k", engine="httpx2")
except errors.ConfigurationError as error:
    print(error, error.__context__)
""")

    assert said == (
        'engine="httpx2" needs a package that is not installed: '
        "pip install 'identomat-async[httpx2]' None"
    )


@engines
def test_only_the_library_that_is_used_is_imported(engine: Engine) -> None:
    said = run_python(f"""
import sys
from identomat_async import IdentomatClient
client = IdentomatClient("k", engine="{engine}")
print(*sorted({{"httpx", "httpx2", "{engine}._main"}} & set(sys.modules)))
import {engine}._main
""")

    assert said == engine


# --- through a proxy ----------------------------------------------------------------------


class ConnectProxy:
    """An HTTP proxy that makes tunnels, or says why it does not."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.refusal = refusal
        self.asked: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await stream.receive()
            self.asked.append(head)
            if self.refusal:
                await stream.send(b"HTTP/1.1 " + self.refusal + b"\r\nContent-Length: 0\r\n\r\n")
                return
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as origin:
                await stream.send(b"HTTP/1.1 200 Connected\r\n\r\n")
                async with anyio.create_task_group() as group:
                    group.start_soon(self.copy, stream, origin, group.cancel_scope)
                    group.start_soon(self.copy, origin, stream, group.cancel_scope)

    async def copy(self, come: SocketStream, go: SocketStream, both: anyio.CancelScope) -> None:
        try:
            async for piece in come:
                await go.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        both.cancel()


@engines
@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_proxy_that_is_named_sees_the_host_and_nothing_else(
    engine: Engine, is_tls: bool, trusted: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server, proxy = Server(PENDING), ConnectProxy()
    async with (
        listening(server.serve, trusted) as port,
        listening(proxy.serve, trusted if is_tls else None) as way,
    ):
        url = f"http{'s' * is_tls}://anna:{CANARY}@localhost:{way}"
        client = client_of(port, scheme="https", ssl_context=trusting, engine=engine, proxy=url)
        async with client:
            for _ in range(3):
                assert await look(client) is SessionStatus.IN_PROGRESS
            await client.result("t")
            assert CANARY not in repr(client) + repr(client.source)

    assert server.connections == len(proxy.asked) == 2
    for head in proxy.asked:
        assert head.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % port)
        assert base64.b64encode(f"anna:{CANARY}".encode()) in head
    assert not any(b"roxy-" in head for head in server.heads)


@engines
@pytest.mark.parametrize(
    ("refusal", "retryable"),
    [(b"407 Proxy Authentication Required", False), (b"502 Bad Gateway", True)],
)
async def test_a_proxy_that_refuses_is_a_failed_connection(
    engine: Engine, refusal: bytes, retryable: bool, trusting: ssl.SSLContext
) -> None:
    proxy = ConnectProxy(refusal)
    async with listening(proxy.serve) as way:
        client = client_of(
            9,
            scheme="https",
            ssl_context=trusting,
            engine=engine,
            proxy=f"http://anna:{CANARY}@127.0.0.1:{way}/",
        )
        async with client:
            with pytest.raises(ConnectionFailedError, match="the proxy makes no") as caught:
                await client.begin()

    error = caught.value
    assert (error.reason, error.retryable, error.maybe_applied) == ("proxy", retryable, False)
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert CANARY not in "".join(frames.format())


async def test_a_deadline_that_passes_in_front_of_a_silent_proxy_says_that_nothing_was_sent(
    trusting: ssl.SSLContext,
) -> None:
    async def say_nothing(stream: SocketStream) -> None:
        async with stream:
            async for _ in stream:
                pass

    async with listening(say_nothing) as way:
        client = client_of(9, scheme="https", ssl_context=trusting, proxy=f"http://127.0.0.1:{way}")
        async with client:
            with pytest.raises(RequestTimeoutError) as caught:
                await client.begin(deadline=0.1)

    assert not caught.value.maybe_applied


@engines
async def test_plain_http_goes_through_a_proxy_on_this_machine_only(engine: Engine) -> None:
    server = Server(PENDING)
    async with listening(server.serve) as way:
        async with client_of(9, engine=engine, proxy=f"http://127.0.0.1:{way}") as client:
            assert await look(client) is SessionStatus.IN_PROGRESS
        with pytest.raises(ConfigurationError, match="would show it the company key"):
            client_of(9, engine=engine, proxy="http://proxy.example:3128")

    assert server.heads[0].startswith(b"POST http://localhost:9/result/ HTTP/1.1")


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        (f"ftp://anna:{CANARY}@h", "must begin with http://"),
        (f"http://anna:{CANARY}@", "must be a URL"),
        (f"http://anna:{CANARY}@h:x", "must be a URL"),
        (f"http://anna:{CANARY}@h/path", "must be a URL"),
        (f"http://anna:{CANARY}@h?q", "must be a URL"),
        (f"http://anna:{CANARY}@h\n", "must be a URL"),
        (CANARY, "must be a URL"),
        (7, "must be a URL"),
        (f"socks5://anna:{CANARY}@h", "pip install socksio"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_and_not_repeated(proxy: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        IdentomatClient("company-key", proxy=proxy)

    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The test's own frame holds it.
    assert CANARY not in "".join(frames.format()).partition("identomat_async/_client.py")[2]
    assert caught.value.__context__ is None


def test_what_a_transport_says_itself_is_not_said_twice(trusting: ssl.SSLContext) -> None:
    for keywords in ({"proxy": "http://localhost:1"}, {"ssl_context": trusting}):
        with pytest.raises(ConfigurationError, match="transport= says itself"):
            IdentomatClient("k", transport=lambda: None, **keywords)  # type: ignore[arg-type]


@engines
async def test_a_client_of_the_library_goes_over_our_lanes_as_well(engine: Engine) -> None:
    http = library(engine).http
    async with listening(Server(APPROVED).serve) as port, client_of(port, engine=engine) as client:
        async with http.AsyncClient(transport=client.source.transport) as other:
            answer = await other.post(f"http://localhost:{port}/result/", json={})

        assert isinstance(client.source.transport, http.AsyncBaseTransport)
        assert answer.json() == {"result": "approved"}


async def test_nobody_reads_the_password_of_a_proxy_in_a_step() -> None:
    facts: dict[str, Any] = {"stream": object(), "auth": (b"anna", CANARY.encode())}
    await Progress().follow("socks.setup_socks5_connection.started", facts)

    assert CANARY not in repr(facts)
    user, password = facts["auth"]
    assert (user, password) == (b"anna", CANARY.encode())
    nobody: dict[str, Any] = {"auth": None}
    await Progress().follow("socks.setup_socks5_connection.started", nobody)
    assert nobody == {"auth": None}
