"""A guard that lets nobody leave this machine."""

import sys
from functools import lru_cache
from ipaddress import ip_address
from types import TracebackType
from typing import Self, cast

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_ASKING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"})

_on_duty: list["NetworkGuard"] = []


class NetworkGuard:
    """
    Refuses, while its block lasts, whatever would leave this machine.

    It sees what goes through Python's own sockets, in every thread; uvloop has its own,
    of which it sees only the names that are looked up. Sockets of the file system are
    not its business.

    Attributes:
        refused: The hosts that somebody tried to reach.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def __repr__(self) -> str:
        return f"<NetworkGuard refused={self.refused}>"

    def __enter__(self) -> Self:
        _hook_once()
        _on_duty.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _on_duty.remove(self)

    def check(self) -> None:
        """
        See to it that nobody has tried, even where the refusal was caught.

        Raises:
            AssertionError: Somebody has.
        """
        if self.refused:
            hosts = ", ".join(sorted(set(self.refused)))
            raise AssertionError(f"the test tried to reach {hosts}")

    def refuse(self, host: str) -> None:
        """
        Note an attempt to reach *host*, and end it.

        Raises:
            ConnectionRefusedError: Always.
        """
        self.refused.append(host)
        raise ConnectionRefusedError(f"identomat_loopback_only lets nobody reach {host}")


@lru_cache(maxsize=1)
def _hook_once() -> None:
    # Nothing can take it away again. Debuggers see into it only if it says so.
    vars(_hook)["__cantrace__"] = True
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _on_duty or not event.startswith("socket."):
        return
    host = _host_of(event, arguments)
    if host is not None and not _is_here(host, asked=event in _ASKING):
        _on_duty[-1].refuse(host)


def _host_of(event: str, arguments: tuple[object, ...]) -> str | None:
    if event in _CONNECTING:
        address = arguments[1]
        # A path is a text of its own; a sendmsg on a connected socket has no address.
        first = cast("tuple[object, ...]", address)[0] if isinstance(address, tuple) else None
    else:
        first = arguments[0] if event in _ASKING else None
    if isinstance(first, bytes):
        return first.decode("ascii", "replace")
    return first if isinstance(first, str) else None


def _is_here(host: str, *, asked: bool) -> bool:
    if host.lower() in {"", "localhost"}:
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    # To ask for the address that a number is takes no network.
    return asked or address.is_loopback
