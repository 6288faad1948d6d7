"""Waiting, whoever polls: a block, a service, or one of those who wait."""

import copy
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

import anyio

from identomat_async._clock import Deadline
from identomat_async._model._token import checked_token
from identomat_async._polling._desk import Desk
from identomat_async._polling._engine import Engine
from identomat_async._polling._outcomes import Outcome
from identomat_async._polling._terms import checked_until
from identomat_async._polling._waiters import Group, Lone, Member
from identomat_async._polling._watch import Until

# What another process polls is looked at here after so many seconds, if nothing comes.
SELDOM = 3600.0


class Waits:
    """
    Lets callers wait.

    If nobody else polls (*has_form* tells) one of them does, for all; when it leaves,
    another takes over.
    """

    def __init__(self, engine: Engine, desk: Desk, *, has_form: Callable[[], bool]) -> None:
        self._engine = engine
        self._desk = desk
        self._has_form = has_form
        self._host: Group | Lone | None = None
        engine.vacated = self.pass_on

    @property
    def is_hosted(self) -> bool:
        """Whether somebody polls, or is about to."""
        return self._engine.is_running or self._has_form()

    def join(
        self, token: str, *, deadline: Deadline | None, until: Until | None, is_left: bool = False
    ) -> Lone:
        """
        Wait for one session, which is looked at now; `leave` it in the end.

        If *is_left* another process polls it, and it is looked at when time is up.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        terms, now = self._desk.terms, self._engine.clock.stamp()
        ends_at = terms.ends_at(deadline, now)
        until = terms.until if until is None else checked_until(until)
        entry = self._desk.entry_for(checked_token(token), now=now, deadline=ends_at, until=until)
        waiter = Lone(entry, until=until, deadline=ends_at, since=now)
        due = min(ends_at, now + SELDOM) if is_left else now
        self._desk.join(waiter, due=due, first=not is_left)
        self._engine.let_go_at(waiter, max(ends_at, now) + self._engine.source.timeout)
        self._fail_if_halted(waiter)
        return waiter

    def leave(self, waiter: Lone) -> None:
        """Wait no more, whatever came of it."""
        self._engine.limits.remove(waiter)
        self._engine.roster.leave(waiter.entry, waiter)
        self.pass_on()

    def over(self, waiter: Group | Lone) -> Awaitable[object]:
        """Return what is awaited, again and again, until it is over for *waiter*."""
        return waiter.listen() if self.is_hosted else self._host_until_over(waiter)

    async def _host_until_over(self, waiter: Group | Lone) -> None:
        # Poll for everybody; a form that begins sends the host away sooner.
        self._host = waiter
        async with self._engine.hosted():
            await waiter.listen()

    async def wait_all(
        self,
        tokens: Sequence[str],
        *,
        deadline: Deadline | None,
        until: Until | None,
        left: AbstractSet[str] = frozenset(),
    ) -> dict[str, Outcome]:
        """
        Return what became of each of *tokens*, which are all different.

        Those *left* to another process are looked at when time is up.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        group, now, terms = Group(len(tokens)), self._engine.now(), self._desk.terms
        ends_at = terms.ends_at(deadline, now)
        until = terms.until if until is None else checked_until(until)
        members: list[Member] = []
        try:
            self._join_all(tokens, group, members, ends_at=ends_at, until=until, left=left)
            with anyio.move_on_after(max(ends_at, now) + self._engine.source.timeout - now):
                while not group.is_over:
                    await self.over(group)
            if group.error is not None:
                raise copy.copy(group.error)
            for member in members:
                if member.entry.state.token not in group.outcomes:
                    self._engine.learner.let_go(member, self._engine.now())
        finally:
            for member in members:
                self._engine.roster.leave(member.entry, member)
            self.pass_on()
        return {token: group.outcomes[token] for token in tokens}

    def _join_all(
        self,
        tokens: Sequence[str],
        group: Group,
        members: list[Member],
        *,
        ends_at: float,
        until: Until,
        left: AbstractSet[str],
    ) -> None:
        # Looked at first as quickly as the rate allows, and not our share of it: that goes by
        # what the schedule asks for now, and these do not wait for their schedule.
        now, rate = self._engine.now(), self._engine.gates.rate
        gap = 0.0 if rate is None else 1 / rate
        for index, token in enumerate(tokens):
            entry = self._desk.entry_for(token, now=now, deadline=ends_at, until=until)
            member = Member(entry, group, until=until, deadline=ends_at, since=now)
            self._desk.join(
                member, due=min(ends_at, now + SELDOM) if token in left else now + index * gap
            )
            members.append(member)
        if members:
            self._desk.mind_the_rate(ends_at - now)
            self._fail_if_halted(members[0])

    def _fail_if_halted(self, waiter: Member | Lone) -> None:
        error = self._engine.learner.halt.error
        if self._engine.is_running and error is not None:
            waiter.fail(error)

    def pass_on(self) -> None:
        """If nobody polls any more, have one of those who wait take over."""
        if not self.is_hosted:
            for waiter in self._engine.roster.waiters():
                waiter.wake()
                return

    async def take_over(self) -> None:
        """Have the host among those who wait leave: from here on a form polls."""
        while self._engine.is_running and self._host is not None:
            vacated = self._engine.stopped
            self._host.wake()
            await vacated.wait()
