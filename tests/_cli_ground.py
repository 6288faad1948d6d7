"""What the tests of the command line stand on: a served sandbox, a runner, a terminal."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from typer.testing import CliRunner, Result

from identomat_async._cli._app import app
from identomat_async.sandbox import Sandbox

# What a shell starts in the background ignores control-C, and so would its children.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from identomat_async._cli import main
main()
"""


class Place:
    """A sandbox on a port of this machine, and the command line pointed to it."""

    def __init__(self, sandbox: Sandbox, base_url: str) -> None:
        self.sandbox = sandbox
        self.environment: dict[str, str | None] = {
            "IDENTOMAT_BASE_URL": base_url,
            "IDENTOMAT_COMPANY_KEY": "canary-of-a-key",
            "IDENTOMAT_SECRET_KEY": None,
            "FORCE_COLOR": "1",
            "COLUMNS": "100",
        }

    def run(self, *arguments: str, stdin: str | bytes = "", **environment: str | None) -> Result:
        done = CliRunner().invoke(
            app, list(arguments), input=stdin, env=self.environment | environment
        )
        assert "canary" not in done.output
        assert "Traceback" not in done.output
        return done

    def start(self, *arguments: str, **streams: int) -> "subprocess.Popen[str]":
        environment = {key: value for key, value in self.environment.items() if value is not None}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
        return subprocess.Popen(  # noqa: S603  # our own code
            [sys.executable, "-c", MAIN, *arguments],
            **pipes,  # type: ignore[call-overload]
            text=True,
            env=os.environ | environment | {"TERM": "xterm"},
        )


@contextmanager
def serving(**options: object) -> Generator[Place]:
    sandbox = Sandbox(**options)  # type: ignore[arg-type]
    with sandbox.serve() as server:
        yield Place(sandbox, server.base_url)


def screen_of(
    place: Place, *arguments: str, typed: str = "", until: Sequence[str] = ()
) -> tuple[int, str]:
    """Run it on a terminal, and interrupt it when *until* was seen; returns code and screen."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    seen = b""
    with place.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        try:
            while chunk := _read(ours):
                seen += chunk
                if until and all(word.encode() in seen for word in until):
                    process.send_signal(signal.SIGINT)
                    until = ()
        finally:
            os.close(ours)
            process.kill() if process.poll() is None and until else process.wait()
    return process.returncode, seen.decode()


def _read(descriptor: int) -> bytes:
    select.select([descriptor], [], [], 20)
    try:
        return os.read(descriptor, 65536)
    except OSError:  # nobody is left who could write
        return b""
