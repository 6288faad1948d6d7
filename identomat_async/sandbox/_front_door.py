"""The port of a front: open, closed, or bricked up."""

import asyncio
import socket
from collections.abc import Callable

from identomat_async.sandbox._front_mode import Mode
from identomat_async.sandbox._listening import Address, listen_on


class Door:
    """
    Takes connections, and hands each to a function.

    Not an `asyncio.Server`: that one, closed at a bad moment, forgets a connection that it
    is just accepting.

    Args:
        listener: The port, open.
        take: Is given every connection.
    """

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._address: Address = listener.getsockname()[:2]
        self._listener: socket.socket | None = listener
        self._take = take
        self._is_open = False
        self._plugs: list[socket.socket] = []

    def let(self, mode: Mode) -> None:
        """Open or close as *mode* has it."""
        if mode.is_open and not self._is_open:
            self._open()
        if not mode.is_open:
            self.close()
            self._plugs = brick_up(self._address) if mode.how == "unreachable" else []

    def close(self) -> None:
        """Close whatever is open."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        self._listener, self._is_open = None, False
        while self._plugs:
            self._plugs.pop().close()

    def _open(self) -> None:
        if self._listener is None:
            self.close()
            self._listener = listen_on(self._address)
        self._listener.settimeout(0)
        asyncio.get_running_loop().add_reader(self._listener, self._let_in, self._listener)
        self._is_open = True

    def _let_in(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # it has gone again, or there are too many: the next one may have more luck
        self._take(connection)


def brick_up(address: Address) -> list[socket.socket]:
    """Let nobody in and turn nobody away: nobody is taken from a queue that is full."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    plugs = [socket.create_server(address, family=family, backlog=0)]
    # The first is waited for, or somebody else might come before it.
    for patience in (1, 0, 0):
        plug = socket.socket(family, socket.SOCK_STREAM)
        plugs.append(plug)
        plug.settimeout(patience)
        plug.connect_ex(address)
    return plugs
