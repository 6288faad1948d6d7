"""Who holds a file: one at a time, and nobody any more once the holder has died."""

import os
import weakref
from pathlib import Path

from identomat_async.errors import JournalError


class FileLock:
    """
    A lock on a file of its own, which the system lifts when this process ends.

    Nothing in the file counts but that it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        _locks.add(self)

    @property
    def is_held(self) -> bool:
        """Whether it is held by this object."""
        return self._file is not None

    def acquire(self) -> bool:
        """
        Take the lock if nobody has it.

        Raises:
            JournalError: There can be no such file, or the system has no such locks.
        """
        if self.is_held:
            return False
        try:
            import fcntl  # noqa: PLC0415 - not on every system
        except ImportError:
            raise JournalError("this system has no file locks", reason="locks") from None
        error: OSError | None = None
        file = -1
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError as failure:
            error = failure
        if error is not None:
            if file >= 0:
                os.close(file)
            raise JournalError(
                f"{self._path} cannot be locked: {os.strerror(error.errno or 0)}", reason="locks"
            )
        self._file = file
        return True

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    # A child shares the lock of its parent and would keep it when that has died.
    for lock in list(_locks):
        lock.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - where there is no fork
    os.register_at_fork(after_in_child=_let_go_in_child)


def is_locked(path: Path) -> bool:
    """Tell whether anybody holds the lock on *path*."""
    import fcntl  # noqa: PLC0415 - not on every system

    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
