"""A file that appears whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import BinaryIO, Final, Protocol, Self
from weakref import WeakSet

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync

from identomat_async.errors import ConfigurationError, IdentomatError

# A sound disk closes and removes a file much sooner; one that is stuck holds up whoever
# gave up the file for no longer than that.
_PATIENCE: Final = 0.05


def threads_at_work() -> int:
    """Count the threads that are at work on files, for whoever lets time pass by hand."""
    return sum(file.threads for file in tuple(_FILES))


class Sink(Protocol):
    """Where the bytes of a medium go."""

    async def write(self, chunk: bytes) -> None:
        """Take the next piece."""

    async def rewind(self) -> None:
        """Begin anew: what came so far does not count."""

    async def commit(self) -> None:
        """Keep what has come: it is whole."""


class SinkError(IdentomatError):
    """A sink cannot take more; the sink knows why. It never reaches a user."""


class AtomicFile:
    """
    Bytes that go to a temporary neighbour of *path* and take its place at the end.

    The file has mode 0600. Use it as an async context manager; without `commit` nothing
    is left behind. It is a `Sink`.

    A disk may take for ever. All that touches it is done in threads, and whoever waits for
    one may leave: the thread then closes and removes the file when the disk lets it.

    Attributes:
        path: The file.
        failure: The error that ended a `write`, `rewind` or `commit` with `SinkError`.

    Raises:
        ConfigurationError: *path* cannot be a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not _is_path(path):
            raise ConfigurationError("path must be the path of a file: a text or a Path")
        self.path = Path(path)
        self.failure: OSError | None = None
        self._file: BinaryIO | None = None
        self._name = ""
        self._turn = Lock()
        self._is_busy = self._is_left = False
        self._gone = Event()
        # Of its own: those that all threads share may be busy with something else.
        self._limiter = CapacityLimiter(1)
        _FILES.add(self)

    @property
    def threads(self) -> int:
        """How many threads are at work on it."""
        return self._limiter.borrowed_tokens

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._turn:
            self._is_left = True
            if not self._is_busy:
                if not self._name:
                    return  # it was not opened, or is in its place
                # A thread that needs nobody: a task that asyncio cancels twice only starts it.
                Thread(target=self._discard).start()
        # The other limiter may be held by a thread that was left alone.
        limiter = CapacityLimiter(1)
        with CancelScope(shield=True):
            await run_sync(self._gone.wait, _PATIENCE, abandon_on_cancel=True, limiter=limiter)

    async def write(self, chunk: bytes) -> None:
        """Take the next piece."""
        await self._do(lambda: self._opened.write(chunk))

    async def rewind(self) -> None:
        """Empty the file."""
        await self._do(self._empty)

    async def commit(self) -> None:
        """Make the file durable and put it in its place."""
        await self._do(self._commit)

    async def _do(self, act: Callable[[], object]) -> None:
        try:
            await run_sync(self._act, act, abandon_on_cancel=True, limiter=self._limiter)
        except OSError as error:
            self.failure = error.with_traceback(None)
        if self.failure is not None:
            raise SinkError("the file cannot be written")

    def _act(self, act: Callable[[], object]) -> None:
        with self._turn:
            if self._is_left:
                return
            self._is_busy = True
        try:
            if self._file is None:
                self._open()
            act()
        finally:
            with self._turn:
                self._is_busy = False
                is_left = self._is_left
            if is_left:
                self._discard()

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None  # noqa: S101 - for types
        return self._file

    def _open(self) -> None:
        descriptor, self._name = tempfile.mkstemp(dir=self.path.parent, prefix=".identomat-")
        self._file = os.fdopen(descriptor, "wb")

    def _empty(self) -> None:
        self._opened.seek(0)
        self._opened.truncate()

    def _commit(self) -> None:
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._opened.close()
        if self._is_left:
            return
        Path(self._name).replace(self.path)
        self._name = ""
        _make_durable(self.path.parent)

    def _discard(self) -> None:
        if self._name:
            with suppress(OSError):  # the disk is full, which has been said already
                self._opened.close()
            Path(self._name).unlink(missing_ok=True)
        self._gone.set()


def _is_path(path: object) -> bool:
    try:
        text = os.fspath(path)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType] - callers err
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except (TypeError, UnicodeError):
        return False


def _make_durable(folder: Path) -> None:
    # The new name is an entry of the folder, which has to reach the disk as well. Where a
    # folder cannot be opened or synchronised the file is whole all the same.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_FILES: Final[WeakSet[AtomicFile]] = WeakSet()
