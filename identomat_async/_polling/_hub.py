"""Where events go."""

from collections.abc import Iterable

from identomat_async._edge import is_async
from identomat_async._model._status import SessionStatus
from identomat_async.errors import ConfigurationError
from identomat_async.events import Event, Observer


class Hub:
    """Tells the observers, and counts those who raise instead of passing it on."""

    __slots__ = ("errors", "observers")

    def __init__(self, observers: Iterable[Observer]) -> None:
        self.observers: tuple[Observer, ...] = checked_observers(observers)
        self.errors: int = 0

    def __bool__(self) -> bool:
        return bool(self.observers)

    def tell(self, event: Event) -> None:
        """Call every observer with *event*."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - an observer never disturbs what it observes
                self.errors += 1


def checked_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """
    Return *observers* if they are plain functions.

    Raises:
        ConfigurationError: They are not.
    """
    if not isinstance(observers, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError("observers must be a list of functions that take an event")
    return tuple(map(_checked, observers))


def _checked(observer: Observer) -> Observer:
    if not callable(observer):
        raise ConfigurationError("observers must be a list of functions that take an event")
    if is_async(observer):
        raise ConfigurationError(
            "observers must be plain functions: they are called between looks, and nobody "
            "would await them"
        )
    return observer


def known(status: SessionStatus | None) -> str | None:
    """Return *status* if it is one we know: unknown text could hold anything."""
    return str(status) if status is not None and status.is_known else None
