"""Where events go."""

from collections.abc import Iterable

from identomat_async._model._status import SessionStatus
from identomat_async.events import Event, Observer


class Hub:
    """Tells the observers, and counts those who raise instead of passing it on."""

    __slots__ = ("_observers", "errors")

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self.errors = 0

    def __bool__(self) -> bool:
        return bool(self._observers)

    def tell(self, event: Event) -> None:
        """Call every observer with *event*."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - an observer never disturbs what it observes
                self.errors += 1


def known(status: SessionStatus | None) -> str | None:
    """Return *status* if it is one we know: unknown text could hold anything."""
    return str(status) if status is not None and status.is_known else None
