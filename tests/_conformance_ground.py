"""What names mean to a client, and what certificates a service shows it."""

import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import anyio
import trio
import trustme

# --- names -----------------------------------------------------------------------------

BOOK: dict[int, str] = {}
"""What "localhost" means by its port: an address, or what goes wrong with looking it up."""

_FAILURES = {"unknown": socket.EAI_NONAME, "temporary": socket.EAI_AGAIN}


async def look_up(host: str | bytes | None, port: Any) -> str | bytes | None:
    """Return what to look up instead of *host*, if it can be."""
    told = BOOK.get(port, host)
    while told == "slow":
        await anyio.sleep(0.01)
        told = BOOK.get(port, host)
    if told in _FAILURES:
        raise socket.gaierror(_FAILURES[told], "as the book has it")
    return told


class BookLoop:
    """Part of an event loop of asyncio that asks the book."""

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        return await super().getaddrinfo(await look_up(host, port), port, **more)  # type: ignore[misc]


class BookResolver(trio.abc.HostnameResolver):
    """What trio asks for names."""

    async def getaddrinfo(self, host: Any, port: Any, *more: Any) -> Any:
        found = await look_up(host, port)
        return await trio.to_thread.run_sync(socket.getaddrinfo, found, port, *more)

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        return await trio.to_thread.run_sync(socket.getnameinfo, sockaddr, flags)


# --- certificates ----------------------------------------------------------------------


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@cache
def shown(kind: str = "good") -> ssl.SSLContext:
    """Return what a server shows whose certificate or TLS is of that *kind*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = {
        "expired": lambda: authority().issue_cert(
            "127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1)
        ),
        "another-host": lambda: authority().issue_cert("elsewhere.example"),
        "unknown-authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }.get(kind, lambda: authority().issue_cert("127.0.0.1"))()
    certificate.configure_cert(context)
    if kind == "old-version":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
