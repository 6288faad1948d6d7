"""The front on real sockets: plain asyncio streams, since frameworks send no faults."""

import asyncio
import contextlib
import math
import socket
import threading

from identomat_async.sandbox._asgi import Desk
from identomat_async.sandbox._faults_desk import FaultDesk
from identomat_async.sandbox._front import Front
from identomat_async.sandbox._front_door import Door
from identomat_async.sandbox._front_talk import Talk, linger_not
from identomat_async.sandbox._pages import Pages


class FrontServer:
    """
    Serves a desk behind a front.

    Args:
        desk: What answers.
        front: What goes wrong.
        pages: What answers browsers.
    """

    def __init__(self, desk: Desk, front: Front, pages: Pages) -> None:
        self._pages = pages
        self._desk = FaultDesk(desk=desk, seed=front.seed, retry_after=front.retry_after)
        self._front = front
        front.listen(self._wake)
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._stopping = False
        self._lines: dict[asyncio.Task[None], socket.socket] = {}

    def run(self, listener: socket.socket, ready: threading.Event) -> None:
        """Serve until `stop` is called; sets *ready* when it listens."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener, ready))

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._changed.set)

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        door = Door(listener, self._take)
        try:
            while not self._stopping:
                self._changed.clear()
                mode = self._front.mode_now
                door.let(mode)
                if not mode.is_open:
                    await self._cut_off()
                ready.set()
                await self._change()
        finally:
            self._front.listen(None)
            door.close()
            await self._cut_off()

    async def _change(self) -> None:
        lasts = self._front.mode_lasts()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if lasts == math.inf else lasts):
                await self._changed.wait()

    def _take(self, connection: socket.socket) -> None:
        task = asyncio.create_task(self._hold(connection))
        self._lines[task] = connection
        task.add_done_callback(self._lines.pop)

    async def _hold(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        both: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            both.append((reader, writer))

        await self._loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), connected), connection
        )
        await Talk(self._desk, self._front, self._pages, *both[0]).hold()

    async def _cut_off(self) -> None:
        lines = dict(self._lines)
        for task, connection in lines.items():
            linger_not(connection)
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
        for connection in lines.values():
            connection.close()  # some may never have come to be held
