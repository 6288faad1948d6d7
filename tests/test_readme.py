"""What the README says is true."""

import itertools
import re

import pytest

from identomat_async.sandbox import Sandbox
from tests._docs_ground import ROOT, blocks_of, run_code, sandbox_client

README = ROOT / "README.md"
RUN = ROOT / ".ci" / "run"


async def test_the_example_runs_and_handles_a_manual_check(capsys):
    sandbox = Sandbox("key")
    script = sandbox.script("manual_check", after=60)
    script.then("approved", after=600)
    (code,) = blocks_of(README)
    assert code.count("IdentomatClient.from_env()") == 1
    assert code.endswith("anyio.run(main)\n")

    await run_code(code, own_client=sandbox_client(sandbox))["main"]()

    said = capsys.readouterr().out
    assert said.count("goes to http://localhost/?session_token=") == 3
    assert said.count("waits for an operator") == 3
    assert said.count("is approved") == 3


def test_it_is_short_and_its_two_commands_are_one_line_each():
    lines = README.read_text().splitlines()
    commands = [line.strip() for line in lines if line.startswith("    python3 -m venv")]

    assert len(lines) <= 80
    assert len(commands) == 2
    assert commands[0].endswith("identomat demo")
    assert commands[1].endswith("pytest")


@pytest.mark.skipif(not RUN.exists(), reason="what is built comes without it")
def test_how_to_see_that_it_is_typed_is_what_every_change_has_to_pass():
    text = README.read_text()
    (command,) = re.findall(r"`(basedpyright --verifytypes [^`]+)`", text)

    assert f"{command} " in RUN.read_text().replace('"', "")
    assert "`.[typing]`" in text


@pytest.mark.parametrize("word", ["TODO", "FIXME", "NotImplemented"])
def test_no_loose_ends(word):
    root = README.parent
    found = itertools.chain(root.glob("*.md"), (root / "identomat_async").rglob("*.py"))

    assert not [path.name for path in found if word in path.read_text()]
