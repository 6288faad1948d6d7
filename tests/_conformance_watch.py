"""What a poller makes of a row of the conformance table."""

from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from tenacity import wait_fixed

from identomat_async import Delivery, IdentomatClient, ResultPoller, SessionStatus, Settled
from identomat_async.errors import IdentomatError
from identomat_async.events import Event, Halted, OutcomeReady, PollFinished
from tests._conformance_stage import Stage

# So often a session is looked at while something goes wrong: enough to see three times, on
# fresh connections, whatever must be seen so often to be believed.
_LOOKS = 7
# Where each takes its time.
_FEW_LOOKS = 2
# Nobody is looked at unless a test says so.
_NEVER = wait_fixed(3600)


class Watch:
    """One session that is watched, with a client of its own."""

    def __init__(self, stage: Stage, name: str, client: IdentomatClient) -> None:
        self.came: dict[str, Any] = {}
        self.name = name
        self.client = client
        self._stage = stage
        self._events: list[Event] = []
        self._delivered: list[Delivery] = []
        self._news = anyio.Event()
        self._poller = self._poller_of(client)

    async def start(self, group: TaskGroup) -> None:
        """Begin to watch; where what follows strikes kept connections, there is one."""
        self._group = group
        await group.start(self._run)
        await self._poller.watch("poll")
        if self._stage.is_warm:
            await self._look()
            assert self._lanes.free == 1

    async def meet(self) -> None:
        """Look while something goes wrong."""
        if self._stage.interrupt is not None:
            await self._be_interrupted()
            return
        if self._stage.row.session is not None:
            self._stage.sandbox.decide("poll", self._stage.row.session)
        seen, requests = len(self._finished), self._stage.requests("poll")
        await self._look()
        self.came = self._facts_of(self._finished[-1])
        if self._stage.counts:
            self.came["requests"] = self._stage.requests("poll") - requests
        self.came["connection"] = "kept" if self._lanes.free else "closed"
        looks = _LOOKS if self._stage.row.timeout is None else _FEW_LOOKS
        while self._then == "watches" and len(self._finished) < seen + looks:
            self._poller.resume()  # after a few bad signatures it looks once in a second
            await self._look()
        self.came["then"] = self._then

    async def recover(self) -> None:
        """Look until the verdict is there, if it was not given up."""
        if self._of(OutcomeReady):
            return
        if self.client.source.is_closed:
            # The session is in the set still; another client takes it over.
            async with self._stage.client() as self.client:
                self._poller = self._poller_of(self.client)
                await self._deliver()
        else:
            await self._deliver()

    async def _deliver(self) -> None:
        if not self._is_running:
            await self._group.start(self._run)
            await self._poller.watch("poll")
        self._stage.sandbox.decide("poll", "approved")
        while not self._of(OutcomeReady):
            self._poller.resume()
            await self._look()
        while not self._delivered:
            await self._hear()
        (delivery,) = self._delivered
        assert isinstance(delivery.outcome, Settled)
        result = delivery.outcome.result
        assert result.status is SessionStatus.APPROVED
        number = self._stage.sandbox.truth("poll").person_number
        assert result.person is not None
        assert result.person.personal_number == number
        self._scope.cancel()

    async def _be_interrupted(self) -> None:
        self._look_now()
        await self._stage.interrupt(self, self._scope)
        while self._is_running:
            await self._hear()
        assert "poll" in self._poller
        ended = self._error
        self.came = {"value": "cancelled"} if ended is None else {"error": type(ended).__name__}
        self.came |= {"requests": 1, "connection": "closed", "then": "ends"}

    async def _look(self) -> None:
        """Look, and wait until the look is over."""
        before = len(self._finished)
        self._look_now()
        while len(self._finished) == before:
            await self._hear()
        while self._poller.stats().in_flight:
            await anyio.sleep(0.001)

    def _look_now(self) -> None:
        # As if the nudge before were long ago.
        self._poller._core.engine.roster.live["poll"].state.early = ()
        self._poller.nudge("poll")

    def _facts_of(self, finished: PollFinished) -> dict[str, Any]:
        if finished.error is not None:
            return {"error": finished.error}
        if finished.status is None:
            return {"value": "unknown"}
        truth = SessionStatus(self._stage.sandbox.truth("poll").status)
        return {"value": "right" if finished.status == truth else "older"}

    @property
    def _then(self) -> str:
        for outcome in self._of(OutcomeReady):
            return str(outcome.outcome)
        if self._of(Halted):
            return "halts"
        return "pauses" if self._poller.stats().limited_by == "paused" else "watches"

    @property
    def _lanes(self) -> Any:
        return self.client.source.transport.lanes  # type: ignore[attr-defined]

    @property
    def _finished(self) -> list[PollFinished]:
        return self._of(PollFinished)

    def _of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self._events if type(event) is kind]

    def _poller_of(self, client: IdentomatClient) -> ResultPoller:
        return ResultPoller(
            client, wait=_NEVER, rate=None, gone_window=0, observers=[self._observe]
        )

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        self._error: IdentomatError | None = None
        self._is_running = True
        try:
            with anyio.CancelScope() as self._scope:
                await self._poller.run(self._take, task_status=task_status)
        except IdentomatError as error:
            self._error = error
        finally:
            self._is_running = False
            self._tell()

    async def _take(self, delivery: Delivery) -> None:
        self._delivered.append(delivery)
        self._tell()

    def _observe(self, event: Event) -> None:
        self._events.append(event)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _hear(self) -> None:
        await self._news.wait()
