"""What is said on one connection of a front, from the first request to the last."""

import asyncio
import contextlib
import json
import socket
import struct

import h11

from identomat_async.sandbox._asgi import Answer, Call
from identomat_async.sandbox._faults import chance
from identomat_async.sandbox._faults_desk import Asked, FaultDesk, asked_by
from identomat_async.sandbox._faults_status import key_refused, page, refused
from identomat_async.sandbox._faults_steps import (
    DOOM,
    RESET,
    SILENCE,
    Again,
    Pause,
    Send,
    Step,
    answered,
)
from identomat_async.sandbox._front import Front
from identomat_async.sandbox._front_log import Exchange
from identomat_async.sandbox._front_mode import Mode
from identomat_async.sandbox._front_pages import show
from identomat_async.sandbox._front_request import Requests, call_of
from identomat_async.sandbox._pages import Pages

# What a connection that is lost in whatever way ends with; TLS errors are among them.
_LOST = (OSError, h11.RemoteProtocolError)


class Talk:
    """
    One connection.

    Args:
        desk: What answers.
        front: What goes wrong.
        pages: What answers browsers, for whom nothing goes wrong while they get through.
        reader: What the other side says.
        writer: What is said to it.
    """

    def __init__(
        self,
        desk: FaultDesk,
        front: Front,
        pages: Pages,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._writer = writer
        self._pages = pages
        self._desk = desk
        self._front = front
        self._reader = reader
        self._number = front.log.connected()
        self._turns = 0
        self._is_doomed = False

    async def hold(self) -> None:
        """Answer until one side has had enough."""
        try:
            with contextlib.suppress(*_LOST):
                await self._converse()
        except asyncio.CancelledError:
            # TLS would wait for the other side to agree, and nobody waits for that any more.
            self._writer.transport.abort()
            raise
        finally:
            self._writer.close()
            self._front.log.disconnected()

    async def _converse(self) -> None:
        if self._front.mode_now.is_mute:
            await self._say_nothing()
            return
        if self._front.ssl_context is not None:
            await self._writer.start_tls(self._front.ssl_context)
        requests = Requests(self._reader, self._writer)
        while (request := await requests.next()) is not None and not self._is_doomed:
            if self._front.mode_now.is_mute:
                await self._say_nothing()
                return
            if request.path in self._pages.paths:
                await show(self._pages, request, self._reader, self._writer)
            elif not await self._follow(self._steps(call_of(request))):
                return

    async def _say_nothing(self) -> None:
        silent = self._front.mode_now.how == "silent"
        await self._follow((SILENCE if silent else RESET,))

    def _steps(self, call: Call) -> tuple[Step, ...]:
        self._turns += 1
        at = self._desk.now()
        log, mode = self._front.log, self._front.mode_now
        asked = asked_by(call, lambda: log.asked(call.operation, None))
        n = log.asked(asked.operation, asked.name)
        fault, token = None, asked.token
        instead = self._instead(mode, asked, n)
        if instead is None:
            fault = self._front.fault_for(
                asked.operation, asked.name, n, signed=self._desk.is_signed
            )
            answer, steps = self._desk.answer(call, asked, n, fault)
            token = token or _begun(asked, answer)
        else:
            self._desk.turned_away(asked)
            steps = answered(instead)
        log.note(
            Exchange(
                at=at,
                operation=asked.operation,
                token=token,
                n=n,
                connection=self._number,
                turn=self._turns,
                fault=None if fault is None else fault.id,
                mode=mode.kind,
            )
        )
        return (Pause(mode.seconds), *steps) if mode.kind == "slow" else steps

    def _instead(self, mode: Mode, asked: Asked, n: int) -> Answer | None:
        match mode.kind:
            case "down":
                return refused(503)
            case "maintenance":
                return page()
            case "key_revoked":
                return key_refused()
            case "brownout":
                drawn = chance(self._front.seed, "brownout", asked.operation, asked.name, n)
                return refused(503) if drawn < mode.share else None
            case _:
                return None

    async def _follow(self, steps: tuple[Step, ...]) -> bool:
        """Do what is told; False if the connection is at its end."""
        for step in steps:
            match step:
                case Send(data):
                    self._writer.write(data)
                    await self._writer.drain()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Again(data, every=every):
                    await self._say_for_ever(data, every)
                case _ if step == DOOM:
                    self._is_doomed = True
                case _:
                    await self._end(step)
                    return False
        return True

    async def _say_for_ever(self, data: bytes, every: float) -> None:
        while True:
            self._writer.write(data)
            await self._writer.drain()  # ends it, when the other side has gone
            await asyncio.sleep(every)

    async def _end(self, step: Step) -> None:
        if step == RESET:
            reset(self._writer)
        elif step == SILENCE:
            while await self._reader.read(65536):
                pass


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection so that the other side sees a reset."""
    linger_not(writer.get_extra_info("socket"))
    writer.transport.abort()


def linger_not(connection: socket.socket) -> None:
    """Let a connection end with a reset when it is closed."""
    with contextlib.suppress(OSError):  # it may be closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _begun(asked: Asked, answer: Answer) -> str | None:
    if asked.operation != "begin" or answer.status != 200:  # noqa: PLR2004  # HTTP OK
        return None
    said: object = json.loads(answer.body)
    return said if isinstance(said, str) else None
