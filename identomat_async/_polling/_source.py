"""What a poller needs of whatever it asks."""

from typing import Protocol

from anyio import CancelScope
from tenacity.wait import wait_base

from identomat_async._budget import RateBudget
from identomat_async._home import Home
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._pause import Pause
from identomat_async.errors import ConfigurationError


class ResultSource(Protocol):
    """
    Where results come from.

    Attributes:
        timeout: Seconds that one look may take.
        retry_wait: The least wait after a look that failed.
        budget: The ceiling that `look` itself obeys, None for none.
        pause: When the service has asked to be left alone.
        home: The event loop in which it is used.
        guards: Scopes that are cancelled when the source closes; looks are made in them, and
            whoever is yet to look waits in one.
    """

    @property
    def timeout(self) -> float: ...
    @property
    def retry_wait(self) -> wait_base: ...
    @property
    def budget(self) -> RateBudget | None: ...
    @property
    def pause(self) -> Pause: ...
    @property
    def home(self) -> Home: ...
    @property
    def guards(self) -> set[CancelScope]: ...

    async def look(self, token: str, *, fresh: bool) -> SessionStatus | SessionResult:
        """
        Ask once how a session stands.

        Args:
            token: The session.
            fresh: Read the whole document as the first answer of a new connection;
                otherwise the status is enough.

        Raises:
            IdentomatError: The look failed.
        """
        ...

    def token_hash(self, token: str) -> str:
        """Return what stands for *token* wherever people read."""
        ...


class HasSource(Protocol):
    """A client."""

    @property
    def source(self) -> ResultSource: ...


def source_of(client: HasSource) -> ResultSource:
    """
    Return where *client* has its results from.

    Raises:
        ConfigurationError: It is no client.
    """
    source: ResultSource | None = getattr(client, "source", None)
    if source is None:
        raise ConfigurationError("client must be an IdentomatClient")
    return source
