"""The way to the service, step by step: name, connection, TLS, and an answer."""

import http.client
import socket
import ssl
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import attrs

from identomat_async._cli._doctor_checks import Check, check_clock, check_tls, said_of_tls
from identomat_async._wire._tls import default_ssl_context


@attrs.frozen(kw_only=True)
class Address:
    """Where a service is."""

    host: str
    port: int
    path: str
    is_tls: bool

    @classmethod
    def of(cls, base_url: str) -> "Address":
        """Take a checked base URL apart."""
        parts = urlsplit(base_url)
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        return cls(host=parts.hostname or "", port=port, path=parts.path or "/", is_tls=is_tls)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def check_line(address: Address, trust: ssl.SSLContext | None, *, timeout: float) -> list[Check]:
    """
    Go the way once, without a key and around every proxy, and tell how far it went.

    Args:
        address: Where to.
        trust: What to trust, None for the usual.
        timeout: Seconds for each step.
    """
    checks: list[Check] = []
    try:
        checks.append(_resolve(address))
        line, connected = _connect(address, timeout)
        checks.append(connected)
    except (OSError, UnicodeError) as error:
        return [*checks, _unreachable(address, error)]
    with closing(line):
        if address.is_tls:
            try:
                line = (trust or default_ssl_context()).wrap_socket(
                    line, server_hostname=address.host
                )
            except OSError as error:
                return [*checks, said_of_tls(error)]
            with closing(line):
                checks.append(check_tls(line.version(), _expiry(line), time.time()))
                return [*checks, _clock(address, line)]
        return [*checks, _clock(address, line)]


def _resolve(address: Address) -> Check:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    addresses = sorted({str(each[4][0]) for each in found})
    return Check.fine("name", f"{address.host} is {', '.join(addresses)}")


def _connect(address: Address, timeout: float) -> tuple[socket.socket, Check]:
    began = time.monotonic()
    line = socket.create_connection((address.host, address.port), timeout=timeout)
    took = (time.monotonic() - began) * 1000
    return line, Check.fine("connection", f"{address} accepts after {took:.0f} ms")


def _unreachable(address: Address, error: OSError | UnicodeError) -> Check:
    # The latter for what cannot even be asked for, such as a label of 64 letters.
    if isinstance(error, socket.gaierror | UnicodeError):
        return Check.wrong(
            "name",
            f"nobody knows {address.host}",
            "check the spelling of the base URL, and that this machine can resolve names",
        )
    if isinstance(error, ConnectionRefusedError):
        return Check.wrong(
            "connection",
            f"{address} refuses connections",
            "check host and port of the base URL; `identomat sandbox` prints its own",
        )
    if isinstance(error, TimeoutError):
        return Check.wrong(
            "connection",
            f"{address} does not answer",
            f"have a firewall on the way let TCP out to {address}",
        )
    return Check.wrong(
        "connection",
        f"{address} cannot be reached (errno {error.errno})",
        "check this machine's network, and that the host is up",
    )


def _expiry(line: ssl.SSLSocket) -> float | None:
    certificate = line.getpeercert() or {}
    until = certificate.get("notAfter")
    return ssl.cert_time_to_seconds(until) if isinstance(until, str) else None


def _clock(address: Address, line: socket.socket) -> Check:
    talk = http.client.HTTPConnection(address.host, address.port)
    talk.sock = line
    began = time.time()
    try:
        talk.request("HEAD", address.path)
        date = talk.getresponse().getheader("Date")
    except (OSError, http.client.HTTPException):
        return Check.wrong(
            "answer",
            f"{address} accepts connections and does not speak HTTP",
            "check the port of the base URL, and whether it is to be http or https",
        )
    middle = (began + time.time()) / 2
    return check_clock(None if date is None else _seconds(date), middle)


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
