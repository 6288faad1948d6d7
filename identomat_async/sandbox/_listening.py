"""How a port of this machine is opened, and which names lead to none but this machine."""

import socket
from ipaddress import ip_address
from typing import TypeAlias

from identomat_async.errors import ConfigurationError

Address: TypeAlias = tuple[str, int]

_BACKLOG = 2048


def listen_on(address: Address) -> socket.socket:
    """
    Open a port.

    Raises:
        ConfigurationError: It is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"the sandbox cannot listen on port {address[1]} (errno {error.errno});"
            " port 0 takes any free one"
        ) from None
    # asyncio turns Nagle's algorithm off only for sockets that say they are TCP, which
    # create_server does not; with it every answer would wait 40 ms for an ACK.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listener.detach())


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is that of this machine to itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
