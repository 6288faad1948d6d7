"""Whom a client trusts, and that nobody else decides where a request goes."""

import json
import os
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener
from tenacity import wait_none

from identomat_async import IdentomatClient, RetryPolicy, SessionStatus
from identomat_async._wire._tls import default_ssl_context
from identomat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    UnexpectedRedirectError,
)

QUICK = RetryPolicy(wait=wait_none())


@pytest.fixture
def anyio_backend(real_time: tuple[str, dict[str, object]]) -> tuple[str, dict[str, object]]:
    return real_time


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def showing(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


class Server:
    """Says the same to everybody, over TLS or not, and counts who comes."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.connections = self.handshakes = self.requests = 0

    async def serve(self, stream: SocketStream) -> None:
        self.handshakes += 1
        async with stream:
            received = b""
            while not received.endswith(b"}"):
                received += await stream.receive()
            self.requests += 1
            await stream.send(self.said)

    @asynccontextmanager
    async def on_a_port(self, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as group,
        ):
            group.start_soon(listener.serve, self._meet(context))
            yield listener.extra(SocketAttribute.local_port)
            group.cancel_scope.cancel()

    def _meet(self, context: ssl.SSLContext | None) -> Callable[[SocketStream], Any]:
        async def meet(stream: SocketStream) -> None:
            self.connections += 1
            if context is None:
                await self.serve(stream)
                return
            listener = TLSListener(_Single(stream), context, standard_compatible=False)
            await listener.serve(self.serve)

        return meet


class _Single:
    """A listener to which one stream has come."""

    extra_attributes: dict[Any, Any] = {}  # noqa: RUF012 - of the interface

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream

    async def serve(self, handler: Callable[[SocketStream], Any], _: object = None) -> None:
        try:
            await handler(self.stream)
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            await self.stream.aclose()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


APPROVED = answer(b'{"result":"approved"}')


# --- TLS -------------------------------------------------------------------------------


async def test_a_certificate_that_the_context_trusts_is_good(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    server = Server(APPROVED)
    async with server.on_a_port(showing(authority.issue_cert("localhost"))) as port:
        base_url = f"https://localhost:{port}/"
        async with IdentomatClient("k", base_url=base_url, ssl_context=trusting) as client:
            assert (await client.result("t")).status is SessionStatus.APPROVED


def expired(authority: trustme.CA) -> ssl.SSLContext:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return showing(authority.issue_cert("localhost", not_after=yesterday))


def of_another_host(authority: trustme.CA) -> ssl.SSLContext:
    return showing(authority.issue_cert("elsewhere.example"))


def of_an_unknown_authority(_: trustme.CA) -> ssl.SSLContext:
    return showing(trustme.CA().issue_cert("localhost"))


@pytest.mark.parametrize("context_of", [expired, of_another_host, of_an_unknown_authority])
async def test_who_cannot_be_trusted_is_told_nothing_and_not_asked_again(
    context_of: Callable[[trustme.CA], ssl.SSLContext],
    authority: trustme.CA,
    trusting: ssl.SSLContext,
) -> None:
    server = Server(APPROVED)
    async with server.on_a_port(context_of(authority)) as port:
        base_url = f"https://localhost:{port}/"
        async with IdentomatClient(
            "k", base_url=base_url, ssl_context=trusting, retry=QUICK
        ) as client:
            with pytest.raises(ConnectionFailedError, match="TLS refuses") as caught:
                await client.begin()

    error = caught.value
    assert (error.tls, error.retryable, error.maybe_applied) == (True, False, False)
    assert (error.attempts, server.connections, server.requests) == (1, 1, 0)


async def test_what_was_before_tls_12_is_refused(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    context = showing(authority.issue_cert("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    met = list[str]()

    def meet(listener: socket.socket) -> None:
        # Without anyio, whose TLS hangs up instead of saying why.
        plug, _ = listener.accept()
        with plug, pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(plug, server_side=True)
        met.append(caught.value.reason)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"https://localhost:{listener.getsockname()[1]}/"
        async with (
            IdentomatClient("k", base_url=base_url, ssl_context=trusting, retry=QUICK) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(anyio.to_thread.run_sync, meet, listener)
            with pytest.raises(ConnectionFailedError) as caught:
                await client.begin()

    assert met == ["UNSUPPORTED_PROTOCOL"]
    assert (caught.value.tls, caught.value.attempts) == (True, 1)


async def test_our_own_context_trusts_no_authority_of_ones_own(authority: trustme.CA) -> None:
    server = Server(APPROVED)
    async with (
        server.on_a_port(showing(authority.issue_cert("localhost"))) as port,
        IdentomatClient("k", base_url=f"https://localhost:{port}/") as client,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            await client.result("t")

    assert caught.value.tls


def test_our_own_context_checks_everything_from_tls_12_on() -> None:
    context = default_ssl_context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) > 50


def careless(*, names: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if names:
        context.verify_mode = ssl.CERT_NONE
    return context


def old() -> ssl.SSLContext:
    context = ssl.create_default_context()
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    return context


def talkative(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.keylog_filename = str(folder / "keys")
    return context


def test_a_context_that_gives_its_keys_away_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="minimum_version"):
        IdentomatClient("k", ssl_context=old())
    with pytest.raises(ConfigurationError, match="keylog_filename = None"):
        IdentomatClient("k", ssl_context=talkative(tmp_path))


def test_a_proxy_sees_no_company_key_however_the_url_is_spelt() -> None:
    with pytest.raises(ConfigurationError, match="must be https where a proxy"):
        IdentomatClient("k", base_url="HTTP://127.0.0.1/", proxy="http://proxy.example:3128")


def test_this_machine_is_another_one_to_a_proxy_there() -> None:
    def client_over(proxy: str) -> IdentomatClient:
        context = careless(names=True)
        return IdentomatClient(
            "k", base_url="https://127.0.0.1:8443/", ssl_context=context, proxy=proxy
        )

    client_over("http://127.0.0.1:3128")
    with pytest.raises(ConfigurationError, match="must require a certificate"):
        client_over("http://proxy.example:3128")


@pytest.mark.parametrize("names", [True, False])
async def test_a_context_that_anybody_can_deceive_is_for_this_machine_only(names: bool) -> None:
    with pytest.raises(ConfigurationError, match="must require a certificate and check the name"):
        IdentomatClient("k", ssl_context=careless(names=names))

    server = Server(APPROVED)
    async with server.on_a_port(showing(trustme.CA().issue_cert("localhost"))) as port:
        base_url = f"https://localhost:{port}/"
        async with IdentomatClient(
            "k", base_url=base_url, ssl_context=careless(names=True)
        ) as client:
            assert (await client.result("t")).status.is_approved


# --- redirects -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["same host", "http://{}/", "//{}/", "other path"])
async def test_a_redirect_leads_nowhere(status: int, where: str) -> None:
    other = Server(APPROVED)
    async with other.on_a_port() as second:
        target = {"same host": "/result/", "other path": "elsewhere"}.get(where, where)
        location = f"Location: {target.format(f'127.0.0.1:{second}')}"
        server = Server(answer(b"", f"{status} Elsewhere", location))
        async with server.on_a_port() as port:
            base_url = f"http://127.0.0.1:{port}/"
            async with IdentomatClient("k", base_url=base_url, retry=QUICK) as client:
                with pytest.raises(UnexpectedRedirectError):
                    await client.begin()

    assert (server.requests, other.connections) == (1, 0)


# --- the environment -------------------------------------------------------------------

HOSTILE = """
import anyio, json, sys
from identomat_async import IdentomatClient, errors

async def main(engine, plain, tls):
    said = []
    async with IdentomatClient("k", engine=engine, base_url=plain) as client:
        said.append((await client.result("t")).status)
    async with IdentomatClient("k", engine=engine, base_url=tls) as client:
        try:
            await client.result("t")
        except errors.ConnectionFailedError as error:
            said.append(error.tls)
    print(json.dumps(said))

anyio.run(main, *sys.argv[1:])
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("engine", ["httpx", "httpx2"])
async def test_no_variable_of_the_environment_decides_anything(
    engine: str, authority: trustme.CA, tmp_path: Path
) -> None:
    server, secure, proxy = Server(APPROVED), Server(APPROVED), Server(APPROVED)
    certificate, keys = tmp_path / "authority.pem", tmp_path / "keys.log"
    authority.cert_pem.write_to_path(certificate)
    (tmp_path / ".netrc").write_text("default login anna password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    context = showing(authority.issue_cert("localhost"))
    async with (
        server.on_a_port() as plain,
        secure.on_a_port(context) as tls,
        proxy.on_a_port() as way,
    ):
        url = f"http://127.0.0.1:{way}"
        hostile = {
            **{f"{kind}_PROXY": url for kind in ("HTTP", "HTTPS", "ALL")},
            **{f"{kind}_proxy": url for kind in ("http", "https", "all")},
            "SSL_CERT_FILE": str(certificate),
            "SSL_CERT_DIR": str(tmp_path),
            "REQUESTS_CA_BUNDLE": str(certificate),
            "SSLKEYLOGFILE": str(keys),
            "NETRC": str(tmp_path / ".netrc"),
            "HOME": str(tmp_path),
        }
        where = [engine, f"http://127.0.0.1:{plain}/", f"https://localhost:{tls}/"]
        done = await anyio.run_process(
            [sys.executable, "-c", HOSTILE, *where],
            env={**os.environ, **hostile},
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.stderr == b""
    # The second server shows a certificate of an authority that only SSL_CERT_FILE names.
    assert json.loads(done.stdout) == ["APPROVED", True]
    assert (server.requests, secure.connections, proxy.connections) == (1, 1, 0)
    assert secure.requests == 0
    assert not keys.exists()
