"""`identomat sandbox`, from its options to Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from typer.testing import CliRunner

from identomat_async import IdentomatClient, SessionResult, SessionStatus
from identomat_async._cli._app import app

# What a shell starts in the background ignores control-C, and so would its children.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from identomat_async._cli import main
main()
"""


class Running:
    """A sandbox in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.variables: dict[str, str] = {}
        while "IDENTOMAT_COMPANY_KEY" not in self.variables:
            name, _, value = process.stdout.readline().removeprefix("export ").partition("=")
            assert name, process.stderr and process.stderr.read()
            self.variables[name] = value.strip()

    def told_after(self, words: str) -> str:
        assert self.process.stderr is not None
        lines = (line.rstrip() for line in self.process.stderr)
        return next(line.removeprefix(words) for line in lines if line.startswith(words))

    def ask(self, operation: str, **sent: str) -> httpx.Response:
        url = f"{self.variables['IDENTOMAT_BASE_URL']}{operation}/"
        return httpx.post(url, json={"company_key": "k", **sent}, trust_env=False)

    def interrupt(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=20)


@contextmanager
def running(*options: str, **environment: str) -> Generator[Running]:
    with subprocess.Popen(  # noqa: S603  # our own code
        [sys.executable, "-c", MAIN, "sandbox", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_it_serves_until_it_is_interrupted() -> None:
    with running("--faults", "1", "--kind", "F38-bare", "--seed", "7") as sandbox:
        seen = {sandbox.ask("begin", config_id="c").status_code for _ in range(7)}
        out, told = sandbox.interrupt()

    assert seen == {429, 200}
    assert sandbox.process.returncode == 0
    assert out == ""
    assert "1 sessions, 7 requests" in told
    assert "faults: 6 x F38-bare" in told
    assert "Warning" not in told


def test_it_may_be_interrupted_as_soon_as_it_says_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("identomat_async._cli._sandbox.console_for", interrupted)

    done = CliRunner().invoke(app, ["sandbox", "--port", "0"])

    assert done.exit_code == 0
    assert "0 sessions, 0 requests" in done.stderr


async def begin_and_read() -> SessionResult:
    async with IdentomatClient.from_env() as client:
        return await client.result(await client.begin())


def test_a_client_made_from_what_it_prints_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("canary-of-a-secret\n")
    with running("--secret-file", str(file)) as sandbox:
        for name, value in sandbox.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("IDENTOMAT_SECRET_KEY", "canary-of-a-secret")
        result = anyio.run(begin_and_read)
        printed = sandbox.interrupt()

    assert result.status is SessionStatus.IN_PROGRESS
    assert result.signature is not None
    assert sandbox.variables["IDENTOMAT_SECRET_KEY"] == f'"$(cat {file})"'
    assert "canary" not in "".join(printed)


def test_a_secret_that_was_lost_on_the_way_makes_no_sandbox_without_one() -> None:
    environment = {"IDENTOMAT_SECRET_KEY": ""}
    done = CliRunner().invoke(app, ["sandbox", "--port", "0"], env=environment)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("identomat: IDENTOMAT_SECRET_KEY is set but empty: ")


def test_the_secret_may_be_in_the_environment() -> None:
    with running(IDENTOMAT_SECRET_KEY="canary-of-a-secret") as sandbox:
        refused = sandbox.ask("begin")
        printed = sandbox.interrupt()

    assert refused.json() == "INVALID_SIGNATURE"
    assert "canary" not in "".join(printed)


def test_others_are_let_in_only_when_the_host_says_so_and_with_a_warning() -> None:
    with running("--host", "0.0.0.0", "--mode", "down:503") as sandbox:  # noqa: S104  # what is tested
        assert sandbox.ask("begin").status_code == 503
        _, told = sandbox.interrupt()

    assert "keeps nobody out" in told
    assert "faults" not in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--mode upside-down", "flap, maintenance, key-revoked."),
        ("--mode key-revoked:2", "key-revoked takes no figure."),
        ("--kind F1", "F1 strikes no single request; --mode down plays it."),
        ("--kind F3", "F3 strikes no single request; no option plays it."),
        ("--kind F999", "'F999' is no fault of a single request."),
        ("--faults 2", "--faults"),
        ("--host 192.0.2.1", "the host must be an address of this machine"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_printed(options: str, said: str) -> None:
    done = CliRunner().invoke(app, ["sandbox", "--port", "0", *options.split()])

    assert done.exit_code == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"\n", b"\xff\xfecanary"], ids=["empty", "binary"])
def test_a_file_without_a_secret_is_refused_and_not_repeated(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)

    done = CliRunner().invoke(app, ["sandbox", "--port", "0", "--secret-file", str(file)])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"identomat: {file} holds no key\n"


def test_it_says_where_a_browser_sees_all_sessions() -> None:
    with running("--host", "0.0.0.0") as sandbox:  # noqa: S104  # itself is what is tested
        port = sandbox.variables["IDENTOMAT_BASE_URL"].split(":")[2].partition("/")[0]
        page = httpx.get(f"http://127.0.0.1:{port}/sessions", trust_env=False)
        _, told = sandbox.interrupt()

    assert "All sessions, to see and to decide: " + str(page.url) in told
    assert "Be verified in a browser: " + str(page.url.join("/")) + "\n" in told
    assert page.status_code == 200
