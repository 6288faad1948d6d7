"""Waiting for the sessions that come in, and looking at each once."""

import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import anyio
import attrs
from anyio.lowlevel import checkpoint
from rich.console import Console
from rich.live import Live

from identomat_async import IdentomatClient, ResultPoller, Until
from identomat_async._cli._board import Board
from identomat_async._cli._exits import Exit
from identomat_async._cli._terminal import fail
from identomat_async._cli._tokens import Item, Reading
from identomat_async._cli._told import Told, of_failure, of_result, of_watch
from identomat_async._cli._watch_show import View
from identomat_async._polling._tasks import task_group
from identomat_async.errors import AuthenticationError, IdentomatError

Tell: TypeAlias = Callable[[Told], object]
Redraw: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_REDRAWN = 0.25
_AT_A_TIME = 20
# So few are looked at at once and soon again: somebody is watching, and it costs nothing.
_FEW = 25


@attrs.frozen(kw_only=True)
class Plan:
    """
    How to wait.

    Attributes:
        until: What ends a watch.
        deadline: Seconds that the person may take.
        review: Seconds that an operator may take.
        rate: The most requests per second.
        grace: Seconds that a session outlives its deadline while nobody answers.
        age: How old a session is, in seconds, unless it is said.
    """

    until: Until
    deadline: float
    review: float
    rate: float
    grace: float = 0.0
    age: float = 0.0


@attrs.define(eq=False, kw_only=True)
class Waiting:
    """
    Waits for sessions, and tells of each what it came to.

    Attributes:
        client: Who asks.
        reading: Which sessions.
        board: What is known.
        tell: What is called with each outcome.
        console: Where to draw how it stands, None for nowhere.
        show_personal: Whether what is drawn may be personal.
    """

    client: IdentomatClient
    reading: Reading
    board: Board
    tell: Tell
    console: Console | None = None
    show_personal: bool = False
    _changed: anyio.Event = attrs.field(init=False, factory=anyio.Event)

    async def watch(self, plan: Plan) -> None:
        """Watch until nobody is left and nobody will come."""
        poller = ResultPoller(
            self.client,
            until=plan.until,
            deadline=plan.deadline,
            review=plan.review,
            grace=plan.grace,
            rate=plan.rate,
        )
        async with self.client, poller, task_group() as tasks:
            with self._drawing(poller) as redraw:
                tasks.start_soon(redraw)
                tasks.start_soon(self._feed, poller, plan)
                while not self.board.is_fed or len(poller):
                    async for outcome in poller:
                        token_hash = self.client.token_hash(outcome.token)
                        self._end(of_watch(outcome, token_hash=token_hash))
                    if not self.board.is_fed:
                        await self._changed.wait()
                tasks.cancel_scope.cancel()

    async def look_once(self) -> None:
        """Look at each session once."""
        give, take = anyio.create_memory_object_stream[Item](_AT_A_TIME)
        refusals: list[AuthenticationError] = []

        async def work() -> None:
            # Several may be refused at the same time, and one of them is enough.
            try:
                async for item in take:
                    self._end(await self._look(item))
            except AuthenticationError as error:
                refusals.append(error)
                tasks.cancel_scope.cancel()

        async with self.client, take, task_group() as tasks:
            for _ in range(_AT_A_TIME):
                tasks.start_soon(work)
            async with give:
                async for items in self.reading.batches():
                    self._take_on(items)
                    for item in items:
                        await give.send(item)
                self._take_on([])
        for refusal in refusals[:1]:
            raise refusal

    async def _feed(self, poller: ResultPoller, plan: Plan) -> None:
        async for read in self.reading.batches():
            begun = datetime.now(UTC) - timedelta(seconds=plan.age)
            items = [item.supposing(begun) for item in read]
            self._take_on(items)
            await poller.watch_many([item.watch() for item in items])
            if self.board.total <= _FEW:
                for item in items:
                    poller.nudge(item.token)
            self._change()
        self._take_on([])
        self.board.is_fed = True
        self._change()

    async def _look(self, item: Item) -> Told:
        token, token_hash = item.token, self.client.token_hash(item.token)
        try:
            result = await self.client.result(token)
        except AuthenticationError:
            raise
        except IdentomatError as error:
            told = of_failure(error, token=token, token_hash=token_hash)
        else:
            told = of_result(result, token=token, token_hash=token_hash)
        return attrs.evolve(told, reference=item.reference)

    def _take_on(self, items: list[Item]) -> None:
        self.board.add(items)
        for wrong in self.reading.wrong:
            fail(wrong)
            self.board.note(Exit.USAGE)
        self.reading.wrong.clear()

    def _end(self, told: Told) -> None:
        self.board.end(told)
        self.tell(told)

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    @contextmanager
    def _drawing(self, poller: ResultPoller) -> Generator[Redraw]:
        if self.console is None:
            yield checkpoint
            return
        view = View(
            console=self.console,
            board=self.board,
            poller=poller,
            hash_of=self.client.token_hash,
            show_personal=self.show_personal,
        )
        # Drawn by a task: rich's own thread would read what is being changed.
        with Live(console=self.console, auto_refresh=False, transient=True) as live:

            async def redraw() -> None:
                while True:
                    live.update(view.draw(time.time()), refresh=True)
                    await anyio.sleep(_REDRAWN)

            yield redraw
