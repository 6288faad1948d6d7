"""Deletes sessions at the service once what they came to has been accepted."""

import heapq
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

import anyio
from anyio.abc import TaskGroup

from identomat_async._budget import RateBudget
from identomat_async._polling._courier import Acceptance
from identomat_async._polling._journal._facts import JournalEntry
from identomat_async._polling._outcomes import Delivery, Outcome, Settled
from identomat_async._polling._removal import Remover, remover_of
from identomat_async._polling._tasks import task_group
from identomat_async.errors import (
    AuthenticationError,
    ConfigurationError,
    IdentomatError,
    SignatureError,
)

Purge = Literal["after_delivery"]

_AT_A_TIME = 8
# So long what was accepted counts as what the service would say: after that it is asked.
_HOLDS = 60.0
# After a failure that may pass nothing is deleted for so many seconds, and then twice as many.
_FIRST_RETRY = 1.0
_LAST_RETRY = 60.0
# So it is while the account is refused; and then one is tried at a time.
_FIRST_PROBE = 30.0
_LAST_PROBE = 300.0
# How often is looked whether a session is still watched.
_GLANCE = 60.0
# What will not pass by itself is looked into by people, and tried again now and then.
_SELDOM = 300.0

_logger = logging.getLogger("identomat_async")


def may_be_purged(outcome: Outcome) -> bool:
    """
    Tell whether a session has served its purpose.

    Not under review, where the operator would have nothing left to decide; and not where
    there is no verdict, which may still come.
    """
    return isinstance(outcome, Settled) and outcome.final


class Ledger(Acceptance, Protocol):
    """Where it is also written down that a session is yet to be deleted."""

    async def deleting(self, delivery: Delivery) -> None: ...

    async def finished(self, name: str, token: str) -> None: ...


class Purger:
    """
    Deletes sessions, a few at a time, and tries again until they are gone.

    *undeleted* are those that are not, with the name of the class of the error that the last
    try ended with, None before the first. *is_watched* tells whether a session is watched
    again, and so to stay.
    """

    def __init__(self, remover: Remover, *, is_watched: Callable[[str], bool]) -> None:
        self.undeleted: dict[str, str | None] = {}
        self.ledger: Ledger | None = None
        self._remover = remover
        self._is_watched = is_watched
        # The deliveries that were accepted, by session: none of them has a document.
        self._names: dict[str, list[str]] = {}
        # Those that were not tried yet, and how long what was accepted of them holds.
        self._untried: dict[str, float] = {}
        # Those that are to be deleted once nobody watches them any more.
        self._put_off: set[str] = set()
        self._order = itertools.count()
        self._due: list[tuple[float, int, str]] = []
        self._opens = -math.inf
        self._retry = _FIRST_RETRY
        self._probe = _FIRST_PROBE
        self._is_refused = False
        self._active = 0
        self._event = anyio.Event()

    async def accepted(self, delivery: Delivery) -> None:
        """Return when it is written down that a delivery is accepted; have it deleted."""
        is_due = may_be_purged(delivery.outcome)
        if self.ledger is not None:
            await (self.ledger.deleting(delivery) if is_due else self.ledger.accepted(delivery))
        if is_due:
            self.add(delivery.token, delivery.id, is_news=delivery.attempt == 1)

    def refused(self, delivery: Delivery, error: str) -> None:
        """Have it written down that the handler raised *error*."""
        if self.ledger is not None:
            self.ledger.refused(delivery, error)

    def add(self, token: str, name: str, *, is_news: bool) -> None:
        """
        Delete a session, of which the delivery *name* has been accepted.

        *is_news* tells whether that says how the session stands now.
        """
        names = self._names.setdefault(token, [])
        names.append(name)
        if token in self._put_off:
            self._due = [each for each in self._due if each[-1] != token]
            heapq.heapify(self._due)
            self._put_off.discard(token)
        elif len(names) > 1:
            return
        self.undeleted.setdefault(token, None)
        self._untried[token] = anyio.current_time() + _HOLDS if is_news else -math.inf
        self._put(token, -math.inf)
        self._event.set()

    def clear(self) -> None:
        """Forget everything: it is written down, and others may delete it."""
        for kept in (self.undeleted, self._names, self._untried, self._put_off, self._due):
            kept.clear()

    def resume(self) -> None:
        """Lift the pause, and let the next try find out."""
        self._opens = -math.inf
        self._event.set()

    async def run(self) -> None:
        """Delete what comes, until cancelled."""
        # What an earlier run was cut off in is tried again.
        self._due = [(-math.inf, next(self._order), token) for token in self._names]
        self._untried = dict.fromkeys(self._names, -math.inf) | self._untried
        self._put_off.clear()
        self._active = 0
        try:
            async with task_group() as tasks:
                while True:
                    # Whoever waits by the one of before is to wait by the new one.
                    self._event.set()
                    self._event = anyio.Event()
                    self._begin(tasks)
                    with anyio.move_on_after(self._delay()):
                        await self._event.wait()
        finally:
            self._tell_left()

    def _tell_left(self) -> None:
        if left := len(self.undeleted):
            _logger.warning(
                "%d sessions that were accepted are not deleted yet, and no longer tried", left
            )

    async def finish(self) -> None:
        """Wait until there is nothing left that has not been tried."""
        while self._active or self._untried:
            await self._event.wait()

    def _begin(self, tasks: TaskGroup) -> None:
        while self._delay() <= 0:
            _, _, token = heapq.heappop(self._due)
            self._active += 1
            tasks.start_soon(self._purge, token)

    def _delay(self) -> float:
        if self._active >= (1 if self._is_refused else _AT_A_TIME) or not self._due:
            return math.inf
        return max(self._due[0][0], self._opens) - anyio.current_time()

    async def _purge(self, token: str) -> None:
        now = anyio.current_time()
        is_settled = self._untried.pop(token, -math.inf) > now
        self._put_off.discard(token)
        try:
            if self._is_watched(token):
                # The watch may end without anything that is accepted, and this would be lost.
                self._put_off.add(token)
                self._put(token, now + _GLANCE)
            elif await self._removed(token, is_settled=is_settled):
                await self._settle(token)
        finally:
            self._active -= 1
            self._event.set()

    async def _settle(self, token: str) -> None:
        for name in self._names.get(token, ()):
            if self.ledger is not None:
                await self.ledger.finished(name, token)
        self._names.pop(token, None)
        self.undeleted.pop(token, None)

    async def _removed(self, token: str, *, is_settled: bool) -> bool:
        try:
            await self._remover.remove(token, is_settled=is_settled)
        except IdentomatError as error:
            self._failed(token, error)
            return False
        self._retry, self._probe, self._is_refused = _FIRST_RETRY, _FIRST_PROBE, False
        return True

    def _failed(self, token: str, error: IdentomatError) -> None:
        now, name = anyio.current_time(), type(error).__name__
        if isinstance(error, (AuthenticationError, SignatureError)):
            self.undeleted[token] = name
            self._put(token, now)
            self._refused(now, name)
            return
        if self.undeleted.get(token) is None:
            _logger.warning(
                "session %s could not be deleted (%s); it is tried again",
                self._remover.token_hash(token),
                name,
            )
        self.undeleted[token] = name
        if not error.retryable:
            self._put(token, now + _SELDOM)
            return
        self._put(token, now)
        if self._opens <= now:
            # One pause for all: where one fails others would.
            self._opens = now + self._retry
            self._retry = min(2 * self._retry, _LAST_RETRY)

    def _refused(self, now: float, name: str) -> None:
        if not self._is_refused:
            _logger.error(
                "the service refuses the account (%s); deleting pauses, with a try every "
                "30 s to 5 min, and goes on by itself when it is accepted again",
                name,
            )
        self._is_refused = True
        if self._opens <= now:
            self._opens = now + self._probe
            self._probe = min(2 * self._probe, _LAST_PROBE)

    def _put(self, token: str, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._order), token))


def by_acceptance(
    entries: Iterable[JournalEntry],
) -> tuple[list[JournalEntry], list[JournalEntry]]:
    """Return those that are accepted and yet to be deleted, and the rest."""
    accepted, rest = list[JournalEntry](), list[JournalEntry]()
    for entry in entries:
        (accepted if entry.accepted else rest).append(entry)
    return accepted, rest


def leave_to(purger: Purger | None, accepted: Sequence[JournalEntry]) -> None:
    """Have those that are accepted deleted, if there is somebody who does."""
    if purger is not None:
        for entry in accepted:
            purger.add(entry.state.token, entry.delivery or "", is_news=False)
    elif accepted:
        _logger.warning(
            "%d sessions were to be deleted, and stay: this poller has no purge=", len(accepted)
        )


def purger_of(
    client: object,
    purge: Purge | None,
    *,
    budget: RateBudget,
    is_watched: Callable[[str], bool],
    token_hash: Callable[[str], str],
) -> Purger | None:
    """
    Return who deletes for a poller, None if nobody is to.

    Args:
        client: Whose method deletes.
        purge: What the caller wishes.
        budget: The poller's ceiling.
        is_watched: Whether a session is watched.
        token_hash: What stands for a session in the log.

    Raises:
        ConfigurationError: The wish cannot be met.
    """
    if purge is None:
        return None
    if purge != "after_delivery":
        raise ConfigurationError("purge must be 'after_delivery' or None")
    remover = remover_of(client, budget=budget, token_hash=token_hash)
    if remover is None:
        raise ConfigurationError("purge needs an IdentomatClient, which deletes")
    return Purger(remover, is_watched=is_watched)
