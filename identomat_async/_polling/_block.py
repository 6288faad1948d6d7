"""A poller as a block that is iterated."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from identomat_async._polling._core import Core
from identomat_async._polling._gauges import Gauges
from identomat_async._polling._outcomes import Outcome


class Block(Gauges):
    """What polls for the length of a block, and gives the outcomes that come meanwhile."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._block: AbstractAsyncContextManager[None] = core.block()

    async def __aenter__(self) -> Self:
        """
        Begin to poll.

        Raises:
            ConfigurationError: The poller is in use already, or belongs to another event loop,
                thread or process.
            ClientClosedError: The poller is closed.
        """
        block = self._core.block()
        await block.__aenter__()
        self._block = block
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Poll no more; what is watched stays so, and is polled by the next block or `run`."""
        return await self._block.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        """Return the outcomes in the order in which they come."""
        return self

    async def __anext__(self) -> Outcome:
        """
        Return the next outcome.

        Raises:
            StopAsyncIteration: No watch is left, and *forever* is not set.
            AuthenticationError: The service refuses the company key.
            SignatureError: Answer after answer is not signed.
            ConfigurationError: Only the task that entered the block iterates, once at a time,
                and no poller with a journal.
            ClientClosedError: The poller was closed, or its client.
        """
        return await self._core.next_outcome()
