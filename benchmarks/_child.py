"""Measures in a process of its own, where nothing is left over from others."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parent.parent


def measure(module: str, *arguments: object) -> str:
    """Run `python -m benchmarks.MODULE` with *arguments*; return what it prints."""
    return subprocess.run(  # noqa: S603  # our own file
        _command(module, arguments), stdout=subprocess.PIPE, text=True, check=True, cwd=_ROOT
    ).stdout


class Child:
    """A process that answers each line with a line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def hear(self) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise subprocess.SubprocessError("a measuring process ended too soon")
        return line

    def ask(self, question: str = "") -> str:
        """Return what it answers to a line."""
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return self.hear()


@contextmanager
def child(module: str, *arguments: object) -> Generator[Child]:
    """Run `python -m benchmarks.MODULE` for the length of a block."""
    with subprocess.Popen(  # noqa: S603  # our own file
        _command(module, arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def _command(module: str, arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
