"""What a client makes of a row of the conformance table, on whatever event loop this runs."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio

from identomat_async import IdentomatClient, Media, MediaContent, SessionResult, SessionStatus
from identomat_async.errors import ConnectionFailedError, IdentomatError
from tests._conformance_stage import STAGES, Stage
from tests._conformance_table import Row
from tests._conformance_watch import Watch

Came = dict[str, Any]

# Nothing takes so long, in seconds.
_LONG = 20.0


async def play(row: Row, way: str) -> dict[str, Came]:
    """
    Let clients meet a row in one way, and then a service that is well again.

    Returns:
        What came of each operation.
    """
    with anyio.fail_after(_LONG), STAGES[row.cause](row, way) as stage:
        async with AsyncExitStack() as stack:
            calls: list[Call | Watch] = []
            for name in row.comes:
                client = await stack.enter_async_context(stage.client())
                calls.append((Watch if name == "poll" else Call)(stage, name, client))
            group = await stack.enter_async_context(anyio.create_task_group())
            for call in calls:
                await call.start(group)
            for call in calls:
                stage.hurry(call.client)
            stage.strike()
            async with anyio.create_task_group() as struck:
                for call in calls:
                    struck.start_soon(call.meet)
            stage.heal()
            for call in calls:
                stage.relax(call.client)
                await call.recover()
            group.cancel_scope.cancel()
        assert [(lanes.busy, lanes.free) for lanes in map(lanes_of, calls)] == [(0, 0)] * len(calls)
    for call in calls:
        if row.connection_after(call.came) is None:
            call.came["connection"] = None
    return {call.name: call.came for call in calls}


class Call:
    """One call, with a client of its own."""

    def __init__(self, stage: Stage, name: str, client: IdentomatClient) -> None:
        self.came: Came = {}
        self.name = name
        self.client = client
        self._stage = stage

    async def start(self, _: object) -> None:
        """Do nothing: it is struck from the first request on."""

    async def meet(self) -> None:
        """Call while something goes wrong."""
        self.came = {"value": "cancelled"}
        async with anyio.create_task_group() as group:
            if self._stage.interrupt is not None:
                group.start_soon(self._stage.interrupt, self, group.cancel_scope)
            try:
                value = await _OPERATIONS[self.name](self.client)
            except IdentomatError as error:
                self.came = self._facts_of(error)
            else:
                self.came = {"value": self._judged(value)}
        self.came["requests"] = self.came.get("requests") or self._stage.requests(self.name)
        self.came["connection"] = "kept" if lanes_of(self).free else "closed"

    async def recover(self) -> None:
        """See to it that the next call works; where the client was closed, that of another."""
        assert lanes_of(self).busy == 0
        if not self.client.source.is_closed:
            await self._call_again(self.client)
            return
        async with self._stage.client() as another:
            await self._call_again(another)

    async def _call_again(self, client: IdentomatClient) -> None:
        client.source.pause.lift()
        result = await client.result("next")
        assert is_right(result, self._stage.sandbox.truth("next").person_number)

    def _facts_of(self, error: IdentomatError) -> Came:
        self._is_honest(error)
        facts: Came = {"error": type(error).__name__}
        if error.reason is not None:
            facts["reason"] = error.reason
        if isinstance(error, ConnectionFailedError) and error.tls:
            facts["tls"] = True
        return facts | {"maybe_applied": error.maybe_applied, "requests": error.attempts}

    def _is_honest(self, error: IdentomatError) -> None:
        came = self._stage.requests(self.name)
        assert error.attempts == came or not came
        assert (error.__cause__, error.__context__) == (None, None)
        sandbox = self._stage.sandbox
        acted = {
            "begin": len(sandbox.tokens) > len(self._stage.planted),
            "delete": sandbox.truth("delete").deleted,
        }
        assert error.maybe_applied or not acted.get(self.name)

    def _judged(self, value: object) -> str:
        sandbox = self._stage.sandbox
        if value is None:
            return "gone"
        if isinstance(value, str):
            return "right" if value == sandbox.tokens[-1] not in self._stage.planted else "wrong"
        number = sandbox.truth(self.name).person_number
        if isinstance(value, MediaContent):
            return "right" if f"face of {number}".encode() in value.content else "wrong"
        assert isinstance(value, SessionResult)
        return "right" if is_right(value, number) else _other(value)


def is_right(result: SessionResult, number: str) -> bool:
    is_approved = result.status is SessionStatus.APPROVED
    return is_approved and result.person is not None and result.person.personal_number == number


def _other(result: SessionResult) -> str:
    if not result.status.is_known:
        return "unknown"
    return "older" if result.status is SessionStatus.IN_PROGRESS else "wrong"


def lanes_of(call: "Call | Watch") -> Any:
    return call.client.source.transport.lanes  # type: ignore[attr-defined]


_OPERATIONS: dict[str, Callable[[IdentomatClient], Awaitable[object]]] = {
    "begin": lambda client: client.begin(config_id="begin"),
    "result": lambda client: client.result("result"),
    "media": lambda client: client.media("media", Media.FACE),
    "delete": lambda client: client.delete("delete"),
}
