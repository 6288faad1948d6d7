"""What all commands have in common: help, exit codes, completion, and how they end."""

import os
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from identomat_async._cli import _exits
from identomat_async._cli._account import BaseUrl
from identomat_async._cli._app import COMMANDS, app
from identomat_async._cli._group import Command
from identomat_async.errors import RequestTimeoutError
from tests._cli_ground import MAIN
from tests.test_cli_demo import run_main
from tests.test_cli_sandbox import running

DOCS = Path(__file__).parent.parent / "docs" / "cli.md"
NAMES = [name for commands in COMMANDS.values() for name in commands]


def test_the_help_names_every_command_and_every_exit_code() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})

    assert shown.exit_code == 0
    assert all(f" {name} " in shown.output for name in NAMES)
    assert all(meaning in shown.output for meaning in _exits.MEANINGS.values())


def test_without_a_command_it_is_bad_usage() -> None:
    shown = CliRunner().invoke(app, [])

    assert shown.exit_code == 2
    assert "Usage: identomat" in shown.output


def test_the_documentation_has_the_same_codes_and_every_command() -> None:
    text = DOCS.read_text()

    assert _exits.as_markdown() in text
    assert all(f"`identomat {name}" in text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_option_takes_a_key_itself(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})

    assert shown.exit_code == 0
    options = {word for word in shown.output.split() if word.startswith("--")}
    assert not options & {"--key", "--company-key", "--secret", "--secret-key"}


def test_it_tells_its_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("identomat-async ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope",), "identomat: No such command 'nope'. See `identomat --help`.\n"),
        (("begn",), "identomat: No such command 'begn'. Did you mean 'begin'? See `identomat"),
        (("result",), "identomat: Missing argument 'TOKEN'. See `identomat result --help`.\n"),
        (("result", "ö"), "identomat: a session token is 1 to 256 of the characters"),
        (("watch", "--nope"), "identomat: No such option: --nope"),
    ],
)
def test_bad_usage_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_commands_and_values(shell: str) -> None:
    def completed(typed: str) -> str:
        words = {"_TYPER_COMPLETE_ARGS": typed, "COMP_WORDS": typed}
        count = str(len(typed.split(" ")) - 1)
        return run_main(
            _IDENTOMAT_COMPLETE=f"complete_{shell}",
            COMP_CWORD=count,
            **words,
        ).stdout

    assert "face-video" in completed("identomat media token fa")


def test_nobody_listening_is_one_line() -> None:
    done = CliRunner().invoke(
        app,
        ["result", "a", "--base-url", "http://127.0.0.1:9/"],
        env={"IDENTOMAT_COMPANY_KEY": "k"},
    )

    assert (done.exit_code, done.stdout) == (8, "")
    assert done.stderr == (
        "identomat: the connection failed (127.0.0.1:9); `identomat doctor` says more\n"
    )


def test_what_cannot_be_reached_is_named_by_host_and_port() -> None:
    lost = typer.Typer()

    @lost.command(cls=Command)
    def read(*, base_url: BaseUrl = None) -> None:
        raise RequestTimeoutError("no answer in time")

    done = CliRunner().invoke(lost, ["--base-url", "https://user:key@id.example/api/"])

    assert done.exit_code == 8
    assert done.stderr == (
        "identomat: no answer in time (id.example:443); `identomat doctor` says more\n"
    )


def test_letters_that_a_terminal_does_not_have_are_no_traceback() -> None:
    done = run_main("hash", "ö", PYTHONIOENCODING="ascii", IDENTOMAT_COMPANY_KEY="k")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "out", "said"),
    [
        ("hash a >&-", 1, "", "identomat: standard output is closed; "),
        ("hash a 2>&-", 0, "78da91511e67\n", ""),
        ("hash - <&-", 2, "", "identomat: no session was named"),
    ],
)
def test_a_stream_that_is_closed_is_no_traceback(
    arguments: str, code: int, out: str, said: str
) -> None:
    shell = f'exec "$0" -c "$1" {arguments}'
    done = subprocess.run(  # noqa: S603  # our own code
        ["/bin/sh", "-c", shell, sys.executable, MAIN],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"IDENTOMAT_COMPANY_KEY": "k"},
    )

    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == (1 if said else 0)


def test_a_sandbox_is_up_in_two_seconds(untraced: None) -> None:
    # Processor time, and the best of five, since others may keep this machine busy.
    spent = [spent_by_children()]
    for _ in range(5):
        with running() as sandbox:
            sandbox.interrupt()
        spent.append(spent_by_children())

    assert min(later - sooner for sooner, later in pairwise(spent)) < 2


def spent_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_other_commands_do_without_the_sandbox() -> None:
    missing = "sys.modules.update(dict.fromkeys(('starlette', 'uvicorn', 'python_multipart')))"

    done = run_main("hash", "a", before=missing, IDENTOMAT_COMPANY_KEY="k")

    assert (done.returncode, done.stderr) == (0, "")
