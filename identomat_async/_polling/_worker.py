"""Who makes one look after the other, and what an interrupted look ends with."""

import math

import anyio

from identomat_async._polling._entry import Entry
from identomat_async.errors import ClientClosedError, RequestTimeoutError


class Worker:
    """A task that looks at one session after the other."""

    __slots__ = ("asked", "began", "ended", "entry", "event", "is_late", "scope")

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.is_late = False
        self.asked = math.inf
        self.began = math.inf
        self.ended = -math.inf
        self.event = anyio.Event()
        self.scope = anyio.CancelScope()


def closed() -> ClientClosedError:
    """Return the error of a look at which the client was closed."""
    return ClientClosedError("the client was closed", operation="result", attempts=1)


def too_slow() -> RequestTimeoutError:
    """Return the error of a look that was cut off."""
    return RequestTimeoutError(
        "no answer in time",
        operation="result",
        attempts=1,
        retryable=True,
        maybe_applied=True,
    )
