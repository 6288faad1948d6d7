"""`identomat worker`: a worker on a real server, from the command line."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import ConfigurationError, IdentomatClient
from identomat_async._cli._worker import function_named
from identomat_async.contrib.docket import DocketResultPoller
from tests._cli_ground import Place, serving
from tests._docket_server import Server

HANDLER = """
import json, pathlib

def keep(delivery):
    said = [delivery.reference, delivery.outcome.result.status]
    pathlib.Path("given").write_text(json.dumps(said))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def place() -> Iterator[Place]:
    with serving() as place:
        yield place


async def watched(place: Place, url: str) -> None:
    base_url = str(place.environment["IDENTOMAT_BASE_URL"])
    async with IdentomatClient("canary-of-a-key", base_url=base_url) as client:
        token = await client.begin()
        place.sandbox.decide(token, "approved")
        poller = DocketResultPoller(client, url, wait=wait_fixed(1))
        async with poller:
            await poller.watch(token, reference="user:7")


@pytest.mark.parametrize(("word", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_worker_hands_over_what_another_process_watches(
    place: Place,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    word: signal.Signals,
    code: int,
) -> None:
    (tmp_path / "shop_worker.py").write_text(HANDLER)
    anyio.run(watched, place, server.url)
    monkeypatch.chdir(tmp_path)
    place.environment["IDENTOMAT_REDIS"] = server.url

    with place.start("worker", "--handler", "shop_worker:keep") as process:
        limit = time.monotonic() + 30
        while not (tmp_path / "given").exists():
            assert time.monotonic() < limit
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(word)
        _, told = process.communicate(timeout=20)

    assert process.returncode == code
    assert json.loads((tmp_path / "given").read_text()) == ["user:7", "APPROVED"]
    assert "working; a signal ends it" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--handler", "json:dumps"], "there is no server: give --redis, or set IDENTOMAT_REDIS"),
        (
            ["--handler", "json:dumps", "--redis", "redis://:canary@h/0"],
            "a password in an argument",
        ),
        (["--handler", "json:dumps", "--redis", "nowhere"], "url must be that of a server"),
        (["--handler", "json", "--redis", "redis://h/0"], "--handler must be module:function"),
        (["--handler", "json:nothing", "--redis", "redis://h/0"], "there is no function"),
        (["--handler", "json.nothing:at", "--redis", "redis://h/0"], "there is no function"),
        (["--handler", "json:dumps", "--redis", "redis://h/0", "--lease", "9"], "lease must be"),
    ],
)
def test_what_cannot_work_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))

    done = place.run("worker", *arguments, IDENTOMAT_REDIS=None)

    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


def test_a_handler_may_be_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))

    assert function_named("json:JSONEncoder.encode") is json.JSONEncoder.encode


def test_an_import_that_fails_inside_the_module_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_worker.py").write_text("import not_there_at_all")

    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        function_named("broken_worker:handle")


def test_without_the_extra_it_is_said_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "identomat_async.contrib.docket", None)

    done = place.run("worker", "--handler", "json:dumps", "--redis", "redis://h/0")

    assert done.exit_code == 2
    assert "install identomat-async[docket]" in done.stderr


def test_the_error_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="module:function"):
        function_named("json")
