"""What the tests of a journal write there."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from identomat_async import (
    Delivery,
    Journal,
    Outcome,
    PollState,
    SessionResult,
    Settled,
)
from identomat_async.errors import ServerError

NOW = 1_800_000_000.0
# Who was checked, and whom no memory of a journal may know of.
PERSON = "Conformance-Canary"

MakeJournal = Callable[[], Journal]
"""Returns another journal at each call, all with one memory: each stands for a process."""

DOWN = ServerError("down")


class Held:
    """A journal that this process holds."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def __aenter__(self) -> Journal:
        if not await self._journal.acquire():
            raise AssertionError("nobody holds it, and so it can be held")
        return self._journal

    async def __aexit__(self, *_: object) -> None:
        await self._journal.release()


async def earlier(
    make_journal: MakeJournal, act: Callable[[Journal], Coroutine[Any, Any, object]]
) -> None:
    """Have something done in a process that has ended by now."""
    async with Held(make_journal()) as journal:
        await act(journal)


def state_of(token: str, *, watched: float = NOW, **facts: Any) -> PollState:
    return PollState(token=token, begun=NOW - 5, watched=watched, **facts)


def document_of(status: str) -> SessionResult:
    body = {"result": status, "person": {"first_name": PERSON}}
    return SessionResult.from_json(json.dumps(body).encode())


def settled(token: str, *, status: str = "approved", **facts: Any) -> Settled:
    result = document_of(status)
    return Settled(token=token, status=result.status, result=result, **facts)


def delivery_of(outcome: Outcome) -> Delivery:
    return Delivery(id=f"id-of-{outcome.token}", outcome=outcome)
