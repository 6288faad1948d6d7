"""The time for which a process is a worker."""

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self

import anyio
import attrs
from anyio.abc import TaskStatus
from docket import CurrentExecution, Docket, Execution, Perpetual, Worker
from docket.dependencies import TaskOutcome

from identomat_async.contrib.docket._errand import Errand
from identomat_async.contrib.docket._rounds import Rounds, Then
from identomat_async.errors import ConfigurationError

# How finely the engine minds the time.
_RESOLUTION = timedelta(milliseconds=100)
# The engine gives up on a worker after its lease and looks for such work four times in that
# span, give or take a quarter and a missed turn: so its lease is shorter than ours.
_SWEEPS = 1.65
_SWEEP_SLACK = 2.0
# When a look came to nothing: the server was away for a moment, or a later version of this
# has written what it is to go by.
_LATER = 10.0

_logger = logging.getLogger("identomat_async")


def engine_lease(lease: float, in_hand: float) -> float:
    """
    Return the engine's lease, in seconds, with which others stand in within *lease*.

    Raises:
        ConfigurationError: A session may be in hand for *in_hand* seconds, which is too long.
    """
    engine = (lease + _SWEEP_SLACK) / _SWEEPS
    if engine <= in_hand:
        least = in_hand * _SWEEPS - _SWEEP_SLACK
        raise ConfigurationError(
            f"lease must be more than {least:.0f} s: the client's timeout and handler_timeout "
            "have to end well within it, or a session is looked at twice"
        )
    return engine


@attrs.define(eq=False, repr=False, kw_only=True)
class Shift:
    """
    A worker at work.

    Args:
        docket: The engine.
        rounds: What to do with each session.
        concurrency: How many sessions it has in hand at a time.
        lease: The engine's lease in seconds.
        grace: Seconds to finish what is in hand.

    Attributes:
        over: Set when it has ended.
    """

    docket: Docket
    rounds: Rounds
    concurrency: int
    lease: float
    grace: float
    over: anyio.Event = attrs.field(factory=anyio.Event)
    _ending: anyio.Event = attrs.field(factory=anyio.Event)

    async def work(self, task_status: TaskStatus[None]) -> None:
        """Work until cancelled or told to `end`; finish what is in hand."""
        worker = Worker(
            self.docket,
            name=f"{os.getpid()}-{secrets.token_hex(4)}",
            concurrency=self.concurrency,
            redelivery_timeout=timedelta(seconds=self.lease),
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=_RESOLUTION / 2,
            scheduling_resolution=_RESOLUTION,
            schedule_automatic_tasks=False,
        )
        with anyio.CancelScope(shield=True) as shield:
            async with worker:
                # In a task of its own: the engine takes a first cancellation as a word to
                # finish, and a scope would go on cancelling.
                working = asyncio.ensure_future(worker.run_forever())
                working.add_done_callback(lambda _: self.end())
                task_status.started()
                try:
                    shield.shield = False
                    await self._ending.wait()
                finally:
                    shield.shield = True
                    await self._finish(working)

    def end(self) -> None:
        """Take nothing new."""
        self._ending.set()

    async def _finish(self, working: "asyncio.Future[None]") -> None:
        # The first cancellation has it finish what is in hand, another one leave that to
        # others.
        for span in (self.grace, None):
            if not working.done():
                working.cancel()
                await asyncio.wait([working], timeout=span)
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error


class Onward(Perpetual):
    """The next run of a session, or none."""

    async def __aenter__(self) -> Self:
        return type(self)()

    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        """Have the engine schedule the next run, or end this one like any other."""
        # The engine's own way to end one is to cancel it and then, in another step, to have
        # its record expire: who is watched in between would be forgotten with it.
        return not self.cancelled and await super().on_complete(execution, outcome)


def task_of(current: Callable[[], Shift | None]) -> Callable[..., Awaitable[None]]:
    """Return the task of a session, which *current*, the worker's shift, has to do with."""

    # The engine calls the next run by the name of the function, whatever it was registered as;
    # and what has a name that another worker does not know is dropped there.
    async def identomat_poll(
        errand: str,
        execution: Execution = CurrentExecution(),  # noqa: B008 - the engine's way of saying it
        onward: Onward = Onward(),  # noqa: B008
    ) -> None:
        then = await turn(current(), errand, execution)
        if then is None:
            onward.cancel()
        else:
            onward.perpetuate(then[0])
            onward.after(timedelta(seconds=then[1]))

    return identomat_poll


async def turn(shift: Shift | None, errand: str, execution: Execution) -> tuple[str, float] | None:
    """Do what the engine calls for; return the next errand and the seconds until then, or None."""
    # What left this as an error would be written to the log, and its text to the server.
    try:
        then = await _taken(shift, errand, execution)
    except Exception as error:  # noqa: BLE001 - whatever it is, the session is not lost
        _logger.warning("a look came to nothing: %s", type(error).__name__)
        return errand, _LATER
    return None if then is None else (then[0].to_json(), then[1])


async def _taken(shift: Shift | None, errand: str, execution: Execution) -> Then | None:
    known = Errand.from_json(errand)
    if execution.redelivered:
        known = known.seen_perhaps()
    if shift is None:
        return known, _LATER
    return await shift.rounds.turn(known, execution.when.timestamp())
