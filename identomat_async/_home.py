"""Where an object lives: one process, one thread, one event loop."""

import os
import threading

import attrs
from anyio.lowlevel import EventLoopToken, current_token

from identomat_async.errors import ConfigurationError


@attrs.define(eq=False)
class Home:
    """The process, thread and event loop in which an object was first used."""

    owner: str
    _pid: int = attrs.field(factory=os.getpid, init=False)
    _thread: int | None = attrs.field(default=None, init=False)
    _loop: EventLoopToken | None = attrs.field(default=None, init=False)

    def check(self) -> None:
        """
        Settle here at the first call; see to it that nobody has moved since.

        Raises:
            ConfigurationError: The object was first used elsewhere.
        """
        loop = current_token()
        if self._loop is None:
            self._loop, self._thread, self._pid = loop, threading.get_ident(), os.getpid()
        elif moved := self._moved(loop):
            raise ConfigurationError(
                f"this {self.owner} was first used in another {moved}: make one in each {moved}"
            )

    def check_thread(self) -> None:
        """
        See to it that this is called where the object lives, or before it lives anywhere.

        Raises:
            ConfigurationError: It is another thread, in which no event loop would hear of it.
        """
        if self._thread not in (None, threading.get_ident()):
            raise ConfigurationError(
                f"this {self.owner} lives in the thread of its event loop: from another thread "
                "use anyio.from_thread.run_sync, or loop.call_soon_threadsafe"
            )

    def _moved(self, loop: EventLoopToken) -> str | None:
        if self._pid != os.getpid():
            return "process"
        if self._thread != threading.get_ident():
            return "thread"
        return "event loop" if loop != self._loop else None
