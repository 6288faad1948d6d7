"""One look by itself, where no scheduler minds the time."""

import anyio

from identomat_async._polling._source import ResultSource
from identomat_async._polling._state import PollState
from identomat_async._polling._step import Answer
from identomat_async._polling._worker import closed, too_slow
from identomat_async.errors import IdentomatError


async def asked(source: ResultSource, state: PollState) -> Answer:
    """Look at a session once; return what that brought, an error included."""
    with anyio.move_on_after(source.timeout) as scope:
        source.guards.add(scope)
        try:
            return await source.look(state.token, fresh=state.fresh)
        except IdentomatError as error:
            # Its traceback holds frames, and those hold what was sent and received.
            return error.with_traceback(None)
        finally:
            source.guards.discard(scope)
    return too_slow() if anyio.current_time() >= scope.deadline else closed()
