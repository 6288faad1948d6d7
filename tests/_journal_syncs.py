"""How often SQLite really asks the disk to keep what it has written."""

import _sqlite3
import ctypes
import sqlite3

# SQLITE_FCNTL_JOURNAL_POINTER: the file that commits are written to.
_JOURNAL_POINTER = 28
# struct sqlite3_io_methods: a version, and functions of which the fifth is xSync.
_METHODS = 1 + 18
_SYNC = 1 + 4
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class Syncs:
    """Counts the syncs of the write-ahead log of a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.count = 0
        library = ctypes.CDLL(_sqlite3.__file__)
        handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
        file = ctypes.c_void_p()
        control = library.sqlite3_file_control
        assert control(handle, b"main", _JOURNAL_POINTER, ctypes.byref(file)) == 0
        # The first member of a file points to its functions; it gets a changed copy.
        methods = ctypes.c_void_p.from_address(file.value or 0)
        table = ctypes.c_void_p * _METHODS
        original = table.from_address(methods.value or 0)
        self._sync = _Sync(original[_SYNC])
        self._counting = _Sync(self._counted)
        self._copy = table(*original)
        self._copy[_SYNC] = ctypes.cast(self._counting, ctypes.c_void_p)
        methods.value = ctypes.addressof(self._copy)

    def _counted(self, file: int, flags: int) -> int:
        self.count += 1
        return self._sync(file, flags)
