"""What a poller can be asked without waiting."""

from identomat_async._edge import refusing
from identomat_async._polling._core import Core
from identomat_async._polling._stats import PollerStats
from identomat_async._polling._view import WatchedSession, seen


class Gauges:
    """How a poller stands."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} sessions>"

    def __len__(self) -> int:
        """Count the watches whose outcome was not taken, or not accepted by a handler."""
        return self._core.watched

    def __bool__(self) -> bool:
        return True

    def __contains__(self, token: object) -> bool:
        """Tell whether a session is watched, and its outcome not taken or not accepted."""
        return isinstance(token, str) and self._core.has(token)

    def stats(self) -> PollerStats:
        """Return how the poller stands; cheap, and to be called in any thread."""
        return self._core.standing.stats()

    @refusing
    def session(self, token: str) -> WatchedSession | None:
        """Return how one session stands here, None if it is neither watched nor awaited."""
        entry = self._core.engine.roster.live.get(token)
        return None if entry is None else seen(entry, self._core.engine.now())

    @property
    def undeleted(self) -> dict[str, str | None]:
        """
        The sessions that *purge* has not deleted yet, by token.

        To each the name of the class of the error that the last try ended with, None before
        the first. They are tried again while the poller runs; when it has ended they are
        in its journal, if it has one, and not here.
        """
        purger = self._core.purger
        return {} if purger is None else dict(purger.undeleted)
