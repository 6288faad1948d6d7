"""Starts, kills and reads the processes of the journal's tests."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests._journal_child import PERSON

CHILD = Path(__file__).with_name("_journal_child.py")
ROOT = CHILD.parent.parent
Line = dict[str, Any]


class Stage:
    """A journal, the application's memory, and processes that share them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "kept"
        self.folder.mkdir()
        self.journal = self.folder / "journal.db"
        self.log = folder / "log"
        self.log.touch()

    def lines(self, what: str, pid: int | None = None) -> list[Line]:
        # The last line may be half written.
        whole = self.log.read_bytes().split(b"\n")[:-1]
        lines = [json.loads(line) for line in whole]
        return [each for each in lines if each["what"] == what and pid in (None, each["pid"])]

    @contextmanager
    def process(self, *options: object) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, str(CHILD), str(self.journal), str(self.log), *map(str, options)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        with subprocess.Popen(command, env=environment) as process:  # noqa: S603 - our own code
            try:
                yield process
            finally:
                process.kill()

    def ready(self, process: subprocess.Popen[bytes]) -> Line:
        return self.until(lambda: self.lines("ready", process.pid), process)[0]

    def until(self, look: Callable[[], Any], process: subprocess.Popen[bytes] | None = None) -> Any:
        limit = time.monotonic() + 30
        while not (seen := look()):
            assert time.monotonic() < limit, "it did not happen"
            assert process is None or process.poll() in (None, -signal.SIGKILL)
            time.sleep(0.005)
        return seen

    def finish(self, *options: object) -> None:
        """Let a process run until nothing is left."""
        with self.process(*options) as process:
            assert process.wait(timeout=50) == 0

    def check_files(self) -> None:
        """See to it that nothing personal is in any file, and that none is damaged."""
        for each in self.folder.iterdir():
            content = each.read_bytes()
            for word in PERSON.split():
                assert word.encode() not in content, (each.name, word)

    def check_integrity(self) -> None:
        connection = sqlite3.connect(self.journal)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()

    def given(self) -> dict[str, list[Line]]:
        by_token = defaultdict(list)
        for line in self.lines("given"):
            by_token[line["token"]].append(line)
        return by_token
