"""
What the documentation types into a terminal is understood, and what it shows of files too.

What the tutorial, the web app and the page of the command line want typed is carried out as well.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from typer.main import get_command

from identomat_async._cli._app import app
from identomat_async._cli._script_file import read_script
from identomat_async._cli._tokens import Item, parse_line
from identomat_async.sandbox import Sandbox, Script
from tests._cli_ground import MAIN
from tests._docs_ground import DOCS, ROOT, blocks_of
from tests.test_cli_sandbox import Running, running

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GROUP: Any = get_command(app)
# What stands in a shell between two commands, and before what is no argument.
_BETWEEN = {"|", "&&", ";", "&"}
_ASIDE = {"<", ">", "2>"}


def typed(page: Path) -> list[str]:
    lines = [line for block in blocks_of(page, "console") for line in block.splitlines()]
    indented = re.findall(r"^    (.*identomat .*)$", page.read_text(), re.MULTILINE)
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] + indented


def calls(line: str) -> list[list[str]]:
    """Return the arguments of each call of the command line."""
    words = shlex.split(line, comments=True)
    found: list[list[str]] = []
    for number, word in enumerate(words):
        if word.rpartition("/")[2] == "identomat":
            after = words[number + 1 :]
            found.append(list(takewhile(lambda each: each not in _BETWEEN | _ASIDE, after)))
    return found


CALLS = [
    pytest.param(call, id=f"{page.stem}-{' '.join(call)}")
    for page in PAGES
    for line in typed(page)
    for call in calls(line)
]


@pytest.mark.parametrize("call", CALLS)
def test_every_command_is_one(
    call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in call:
        if "." in word and not word.startswith("-"):  # a file that is to exist
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    name, *arguments = call
    command = GROUP.commands[name]

    # Understood, and not carried out.
    with command.make_context(name, arguments) as context:
        assert context.command is command


def test_there_are_some() -> None:
    names = {call.values[0][0] for call in CALLS}  # type: ignore[index]

    assert names >= {"sandbox", "begin", "wait", "watch", "demo", "journal"}


def test_every_option_of_the_page_is_one() -> None:
    known = {option for each in GROUP.commands.values() for option in _options(each)}
    known |= set(_options(GROUP)) | {"--install-completion"}

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", (DOCS / "cli.md").read_text()))

    assert named - known == set()
    assert len(named) > 20


def _options(command: Any) -> list[str]:
    return [name for each in command.params for name in (*each.opts, *each.secondary_opts)]


def test_the_first_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    served, asked = blocks_of(DOCS / "cli.md", "console")
    with running("--median", "0.05") as sandbox:
        base_url = sandbox.variables["IDENTOMAT_BASE_URL"]
        printed = re.findall(r"^export (\w+)=", served, re.MULTILINE)
        token = sandbox.ask("begin").json()
        (tmp_path / "tokens.txt").write_text(f"{token}\n")
        script = asked.replace("$ ", "").replace(
            "http://127.0.0.1:8731/external-api/", shlex.quote(base_url)
        )
        done = subprocess.run(  # noqa: S603  # our own code
            ["/bin/bash", "-c", f'identomat() {{ "$PYTHON" -c "$MAIN" "$@"; }}\n{script}'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHON": sys.executable, "MAIN": MAIN, "PATH": _with_jq(tmp_path)},
        )

    assert printed == list(sandbox.variables)
    assert "settled as" in done.stdout
    assert re.search(r'^"?[A-Z_]+"?$', done.stdout, re.MULTILINE)
    assert "1 of 1: " in done.stderr


@contextmanager
def carried_out(script: str, sandbox: Running, folder: Path) -> Generator[subprocess.Popen[str]]:
    """Type a block into a terminal, with our Python and our sandbox for those that it names."""
    script = script.replace("$ ", "").replace(".venv/bin/uvicorn", ".venv/bin/python -m uvicorn")
    script = script.replace(".venv/bin/python", 'exec "$PYTHON"')
    script = script.replace(
        "http://127.0.0.1:8731/external-api/", sandbox.variables["IDENTOMAT_BASE_URL"]
    )
    with subprocess.Popen(  # noqa: S603  # our own code
        ["/bin/bash", "-c", script],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_commands_of_the_tutorial_lead_to_a_verdict_at_once(tmp_path: Path) -> None:
    served, asked = blocks_of(DOCS / "tutorial.md", "console")
    install, serve = served.removeprefix("$ ").split("\n$ ")
    (code,) = blocks_of(DOCS / "tutorial.md")
    (tmp_path / "first.py").write_text(code)
    _, *options = calls(serve)[0]
    with running(*options) as sandbox, carried_out(asked, sandbox, tmp_path) as program:
        assert program.stdout is not None
        page = program.stdout.readline().removeprefix("Open ").strip()
        form, own = {"verdict": "approved"}, {"sec-fetch-site": "same-origin"}
        decided = httpx.post(page, data=form, headers=own, trust_env=False)
        said, _ = program.communicate(timeout=20)

    # README's own first command, which is run word for word where everything is.
    assert f"    {install} && " in (ROOT / "README.md").read_text()
    assert decided.status_code == 303
    assert said.startswith("you the session was settled as APPROVED ")


def test_the_commands_of_the_web_app_serve_it(tmp_path: Path) -> None:
    (typed_in,) = blocks_of(DOCS / "how-to.md", "console")
    install, rest = typed_in.split("\n", 1)
    script = f"{rest.rstrip()} --port 0"
    with running() as sandbox, carried_out(script, sandbox, tmp_path) as app:
        assert app.stdout is not None
        url = next(line.split()[-5] for line in app.stdout if "running on" in line)
        sent = httpx.post(f"{url}/checks/7", trust_env=False)

    origin = sandbox.variables["IDENTOMAT_BASE_URL"].removesuffix("external-api/")
    assert install == "$ .venv/bin/pip install fastapi uvicorn"
    assert sent.headers["location"].startswith(f"{origin}?session_token=")
    assert {file.name for file in tmp_path.glob("*.sqlite")} == {
        "checks.sqlite",
        "identomat.sqlite",
    }


def _with_jq(folder: Path) -> str:
    """Put a `jq .status` where there may be none; returns the path to search."""
    jq = folder / "jq"
    jq.write_text(
        f"#!{sys.executable}\nimport json, sys\nfor line in sys.stdin:\n"
        "    print(json.loads(line)[sys.argv[1][1:]])\n"
    )
    jq.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_lines_of_tokens_are_read_as_they_are_meant() -> None:
    (lines,) = blocks_of(DOCS / "cli.md", "text")

    note, first, second = map(parse_line, lines.splitlines())

    assert note is None
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert (first.reference, second.reference) == ("user:42", "user:43")
    assert second.begun is not None


def test_the_script_of_a_sandbox_plays_what_its_comments_say(tmp_path: Path) -> None:
    (code,) = blocks_of(DOCS / "cli.md", "toml")
    file = tmp_path / "script.toml"
    file.write_text(code)
    play = read_script(file)
    sandbox = Sandbox(now=lambda: 10_000.0, life=play.life(lambda _: Script()))
    play.plant(sandbox)
    draw, rng = play.life(lambda _: Script.of("rejected")), Random(1)  # noqa: S311  # invented

    approved = Script.of("approved", after=30)
    reviewed = Script.of("manual_check", after=20).then("approved", after=7200)

    assert [draw(rng) for _ in range(5)] == [approved, approved, reviewed, Script(), approved]
    assert sandbox.tokens == ("an-old-token",)
    assert sandbox.truth("an-old-token").begun_at == 10_000.0 - 3600
    assert sandbox.truth("an-old-token").status == "rejected"
