"""Deletes one session at the service, if what was accepted of it still stands."""

import logging
from collections.abc import Callable
from typing import Protocol, cast

import attrs

from identomat_async._budget import RateBudget, obeyed_besides
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async.errors import SessionNotFoundError

_logger = logging.getLogger("identomat_async")


class Deletes(Protocol):
    """A client that reads a session, and deletes it; None is one that was gone."""

    async def result(self, token: str) -> SessionResult: ...

    async def delete(self, token: str) -> SessionResult | None: ...


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Remover:
    """
    Deletes sessions, but none that is open again.

    *budget* is a ceiling that is obeyed beside the client's; *token_hash* stands for a session
    in the log.
    """

    client: Deletes
    budget: RateBudget
    token_hash: Callable[[str], str]

    async def remove(self, token: str, *, is_settled: bool) -> None:
        """
        Delete a session; if it is not settled any more it stays, and the log says so.

        Args:
            token: The session.
            is_settled: Whether that is known, so that it need not be read.

        Raises:
            IdentomatError: It may still be there, and is to be deleted.
        """
        with obeyed_besides(self.budget):
            if is_settled or await self._may_go(token):
                await self._delete(token)

    async def _delete(self, token: str) -> None:
        if await self.client.delete(token) is None:
            # It was gone, which is no proof when it is said once.
            await self.client.delete(token)

    async def _may_go(self, token: str) -> bool:
        result = await self._read(token)
        if result is None:
            return False
        status = result.status
        if status.is_terminal and status is not SessionStatus.MANUAL_CHECK:
            return True
        _logger.warning(
            "session %s is open or under review again: it is not deleted, and nobody watches it",
            self.token_hash(token),
        )
        return False

    async def _read(self, token: str) -> SessionResult | None:
        try:
            return await self.client.result(token)
        except SessionNotFoundError as error:
            if error.verified:
                return None
        try:
            return await self.client.result(token)
        except SessionNotFoundError:
            return None


def remover_of(
    client: object, *, budget: RateBudget, token_hash: Callable[[str], str]
) -> Remover | None:
    """Return who deletes by *client*, None if that cannot."""
    if getattr(client, "delete", None) is None:
        return None
    return Remover(client=cast("Deletes", client), budget=budget, token_hash=token_hash)
