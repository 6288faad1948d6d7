"""Errors without what they were made of: frames hold what was sent and received."""

import anyio

from identomat_async._wire._protocol import Operation
from identomat_async.errors import IdentomatError


def bare(
    error: IdentomatError, operation: Operation, *, attempts: int, since: float
) -> IdentomatError:
    """Return *error* of a call begun at *since* (by the event loop) without its frames."""
    error.operation = operation.name
    error.attempts = attempts
    error.elapsed = anyio.current_time() - since
    return error.with_traceback(None)


def without_frames(error: BaseException, *, until: BaseException | None = None) -> None:
    """
    Take the frames off *error* and off all that it came up in, as far as *until*.

    For what has to be raised again as it is: a task that is cancelled. Whoever bounds a
    call with a timeout of their own gets a `TimeoutError`, whose cause it becomes.
    """
    each: BaseException | None = error
    while each is not None and each is not until:
        each.__traceback__ = None
        each = each.__context__
