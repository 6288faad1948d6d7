"""One exchange on a connection that is no socket: what a client makes of what is said."""

import math
from collections import deque
from collections.abc import Callable
from typing import Self

import anyio
import anyio.lowlevel
import h11
import httpx

from identomat_async.sandbox._faults_steps import CLOSE, DOOM, RESET, Again, Send, Step

# As the client's HTTP library has it.
_LONGEST_HEAD = 100 * 1024
_PIECE = 65536  # no read brings more
_DISCONNECTED = "Server disconnected without sending a response."


class Line:
    """
    One exchange, read as an HTTP library reads it, with its timeout for each read.

    Args:
        request: What was asked.
        steps: What happens.
        left: What was said before, and nobody has read.
    """

    def __init__(self, request: httpx.Request, steps: tuple[Step, ...], left: bytes) -> None:
        self._steps = deque(steps)
        self._patience = _patience(request)
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._parser.send(h11.Request(method=request.method, target=b"/", headers=[("Host", "h")]))
        self._parser.send(h11.EndOfMessage())
        if left:
            self._parser.receive_data(left)

    @property
    def left(self) -> bytes:
        """What was said after the answer, or will have been by the next request."""
        later = b"".join(step.data for step in self._steps if isinstance(step, Send))
        return self._parser.trailing_data[0] + later

    @property
    def is_over(self) -> bool:
        """Whether the next request finds the connection closed."""
        return any(step in {CLOSE, DOOM} for step in self._steps)

    async def head(self) -> h11.Response:
        """
        Return the status and the headers.

        Raises:
            httpx.TransportError: There are none, or not in time.
        """
        while True:
            event = await self.next()
            if isinstance(event, h11.Response):
                return event

    async def next(self) -> h11.Event:
        """
        Return the next thing that the parser makes out.

        Raises:
            httpx.TransportError: What comes is no HTTP, breaks off, or takes too long.
        """
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if isinstance(event, h11.Event):
                return event
            await self._more()

    async def _more(self) -> None:
        step = self._steps[0] if self._steps else None
        match step:
            case Send(data):
                self._parser.receive_data(data[:_PIECE])
                if len(data) > _PIECE:
                    self._steps[0] = Send(data[_PIECE:])
                    return
            case Again(data, every=every):
                await self._wait(every)
                self._parser.receive_data(data)
                return
            case _ if step == CLOSE:
                self._hang_up()
            case _ if step == RESET:
                raise httpx.ReadError("")
            case _:
                await self._wait(math.inf)
        self._steps.popleft()

    def _hang_up(self) -> None:
        if self._parser.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError(_DISCONNECTED)
        self._parser.receive_data(b"")

    async def _wait(self, seconds: float) -> None:
        await anyio.sleep(min(seconds, self._patience))
        if seconds > self._patience:
            raise httpx.ReadTimeout("")


class Body(httpx.AsyncByteStream):
    """The body of an answer, piece by piece as it comes."""

    def __init__(self, line: Line, done: Callable[[Line], None]) -> None:
        self._line = line
        self._done = done

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        event = await self._line.next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._done(self._line)
        raise StopAsyncIteration


def _patience(request: httpx.Request) -> float:
    timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
    read = timeouts.get("read")
    return math.inf if read is None else read
