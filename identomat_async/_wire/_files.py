"""A file that appears whole or not at all."""

import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.to_thread import run_sync


class AtomicFile:
    """
    Bytes that go to a temporary neighbour of *path* and take its place at the end.

    The file has mode 0600. Use it as an async context manager; without `commit` nothing
    is left behind. It is a `Sink`.

    Raises:
        OSError: The folder cannot be written to, or is full.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None
        self._name = ""

    async def __aenter__(self) -> "AtomicFile":
        await run_sync(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await run_sync(self._discard)

    async def write(self, chunk: bytes) -> None:
        """Append *chunk*."""
        await run_sync(self._opened.write, chunk)

    async def rewind(self) -> None:
        """Empty the file."""
        await run_sync(self._empty)

    async def commit(self) -> None:
        """Make the file durable and put it in its place."""
        await run_sync(self._commit)

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
        Path(self._name).replace(self.path)
        self._name = ""

    def _discard(self) -> None:
        self._opened.close()
        if self._name:
            Path(self._name).unlink(missing_ok=True)
