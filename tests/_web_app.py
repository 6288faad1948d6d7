"""The example of a web app, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent


class Web(httpx.Client):
    """The web app in a process of its own."""

    def __init__(self, base_url: str, process: subprocess.Popen[str]) -> None:
        super().__init__(base_url=base_url)
        self.process = process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(
    server: Any, database: Path, *, app: str = "examples.fastapi_app:app", **keys: str
) -> Generator[Web]:
    environment = os.environ | keys
    environment |= {"IDENTOMAT_BASE_URL": server.base_url, "DATABASE": str(database)}
    command = [sys.executable, "-m", "uvicorn", app, "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own code
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            url = next(line.split()[-5] for line in process.stderr if "running on" in line)
            with Web(url, process) as web:
                yield web
        finally:
            process.kill()
