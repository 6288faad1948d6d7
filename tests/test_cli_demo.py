"""`identomat demo`, from its options to its exit code."""

import importlib.metadata
import io
import json
import os
import re
import signal
import subprocess
import sys
from functools import partial

import attrs
import pytest
from rich.console import Console
from typer.testing import CliRunner

from identomat_async import DeadlinePassed, PollFailed, SessionResult, Settled
from identomat_async._cli._app import app
from identomat_async._cli._demo_report import Report, as_json, as_table, counted, label_of
from identomat_async._cli._demo_run import Log, Plan, report_of
from identomat_async._cli._demo_show import Standing, bar, lines, nothing
from identomat_async._cli._terminal import console_for, is_lively
from identomat_async.sandbox import Sandbox, Script

MAIN = "from identomat_async._cli import main; main()"
QUICK = ("demo", "--sessions", "12", "--median", "0.04")
CLEAN = Report(
    sessions=3,
    settled={"REJECTED": 1, "APPROVED": 1},
    deadline_passed=1,
    wrong=0,
    lost=0,
    doubled=0,
    requests=12,
    polls_per_session=3.0,
    delay_median=0.12345,
    delay_p99=None,
    seconds=1.5,
)


def run_main(
    *arguments: str, before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", f"import sys; {before}\n{MAIN}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def printed(report: Report) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(as_table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_prints_one_json_object_and_nothing_else() -> None:
    done = CliRunner().invoke(app, [*QUICK, "--json"])

    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert (report["wrong"], report["lost"], report["doubled"]) == (0, 0, 0)
    assert report["sessions"] == 12
    assert sum(report["settled"].values()) + report["deadline_passed"] == 12
    assert report["requests"] == round(12 * report["polls_per_session"]) + 12
    assert 0 < report["delay_median"] <= report["delay_p99"] < report["seconds"]


def test_the_same_seed_gives_the_same_people() -> None:
    seeds = ["7", "7", "8"]
    runs = [CliRunner().invoke(app, [*QUICK, "--json", "--seed", seed]) for seed in seeds]

    one, again, other = (json.loads(each.stdout)["settled"] for each in runs)
    assert one == again != other


def test_a_pipe_gets_plain_lines_whatever_the_environment_says() -> None:
    done = run_main(*QUICK, FORCE_COLOR="1", TTY_COMPATIBLE="1")

    assert done.returncode == 0
    assert done.stdout.startswith("Checking 12 people against a local Identomat\n")
    assert "\n12 of 12: " in done.stdout
    assert "0 / 0 / 0" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout


def test_a_terminal_gets_a_bar() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "wb") as terminal:
        done = subprocess.run(  # noqa: S603  # our own code
            [sys.executable, "-c", MAIN, "demo", "--sessions", "2", "--median", "0.02"],
            stdout=terminal,
            check=False,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        )
        seen = screen.read(65536).decode()

    assert done.returncode == 0
    assert "\x1b[" in seen
    assert "2/2" in seen


def test_control_c_ends_it_without_a_traceback() -> None:
    # What a shell starts in the background ignores control-C, and so would its children.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with subprocess.Popen(  # noqa: S603  # our own code
        [
            *(sys.executable, "-u", "-c", f"{heeding}; {MAIN}"),
            *("demo", "--sessions", "20", "--median", "60"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()

    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_reader_that_leaves_ends_it_without_a_traceback() -> None:
    with subprocess.Popen(  # noqa: S603  # our own code
        [sys.executable, "-c", MAIN, *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (1, "")


def test_control_c_while_it_is_still_loading_does_the_same() -> None:
    done = run_main(
        "demo",
        before="""
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
""",
    )

    assert (done.returncode, done.stderr) == (130, "")


def brought(*extras: str) -> list[str]:
    """Return what extras bring, by the names under which it is imported."""
    found: list[str] = []
    for required in importlib.metadata.requires("identomat-async") or ():
        name, _, condition = required.partition(";")
        if any(f"extra == '{extra}'" in condition for extra in extras):
            found.append(re.split(r"[\[<>=~! ]", name)[0].replace("-", "_").removesuffix("_py"))
    return found


@pytest.mark.parametrize("missing", brought("cli", "sandbox"))
def test_without_an_extra_it_says_what_to_install(missing: str) -> None:
    done = run_main("demo", before=f"sys.modules[{missing!r}] = None")

    assert done.returncode == 1
    assert done.stderr == (
        f"identomat needs {missing}: pip install 'identomat-async[cli,sandbox]'\n"
    )


def test_a_module_missing_that_no_extra_brings_is_not_explained_away() -> None:
    done = run_main("demo", before="sys.modules['identomat_async._cli._demo'] = None")

    assert "ModuleNotFoundError" in done.stderr
    assert "pip install" not in done.stderr


def test_the_library_imports_no_extra_and_opens_no_socket() -> None:
    # httpx has a command line of its own, and imports click and rich where they are.
    code = """
import sys, httpx
brought = set(sys.modules)
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
import identomat_async
extras = {"typer", "click", "rich", "starlette", "uvicorn", "multipart", "python_multipart"}
print(sorted(extras & (set(sys.modules) - brought)), opened)
"""
    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.stdout == "[] []\n"


def test_without_a_command_it_shows_what_there_is() -> None:
    done = CliRunner().invoke(app, [])

    assert "demo" in done.output


@pytest.mark.parametrize(
    "wrong", [("--sessions", "0"), ("--median", "0"), ("--median", "nan"), ("--seed", "x")]
)
def test_options_that_make_no_sense_are_refused(wrong: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["demo", *wrong])

    assert done.exit_code == 2
    assert wrong[0] in done.output


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        pytest.param(attrs.evolve(CLEAN, wrong=1), "1 / 0 / 0", id="wrong"),
        pytest.param(attrs.evolve(CLEAN, lost=1), "0 / 1 / 0", id="lost"),
        pytest.param(attrs.evolve(CLEAN, doubled=1), "0 / 0 / 1", id="doubled"),
    ],
)
def test_one_flaw_is_enough_to_fail(report: Report, shown: str) -> None:
    assert (CLEAN.exit_code, report.exit_code) == (0, 1)
    assert shown in printed(report)


def test_the_table_says_what_there_is_to_say() -> None:
    shown = printed(CLEAN)

    for words in ("settled: APPROVED", "0.12 s", "0 / 0 / 0", "1.50 s"):
        assert words in shown
    assert shown.index("APPROVED") < shown.index("REJECTED")


def test_json_is_one_line_with_figures_to_the_millisecond() -> None:
    assert json.loads(as_json(CLEAN)) == attrs.asdict(CLEAN) | {"delay_median": 0.123}
    assert "\n" not in as_json(CLEAN)


def test_what_was_begun_and_never_heard_of_is_lost() -> None:
    sandbox = Sandbox(life=Script.of("approved"), now=lambda: 10.0)
    sandbox.plant("a", "approved")
    sandbox.plant("b", "approved")
    log = Log(watched={"a": 9.0, "b": 9.0})
    log.take(PollFailed(token="a"), 10.0)

    report = report_of(log, sandbox, plan=Plan(sessions=2, median=5, seed=1), seconds=1.0)

    assert (report.wrong, report.lost, report.doubled) == (1, 1, 0)
    assert (report.settled, report.delay_median) == ({}, None)


def test_outcomes_are_named_for_people() -> None:
    approved = Settled(token="a", result=SessionResult.from_json(b'{"result": "approved"}'))

    assert label_of(approved) == "APPROVED"
    assert label_of(DeadlinePassed(token="a")) == "deadline passed"
    assert label_of(PollFailed(token="a")) == "no verdict"
    assert counted({"b": 1, "a": 1, "c": 2}) == "2 c, 1 a, 1 b"


def test_lines_come_with_each_tenth_only() -> None:
    console = Console(file=io.StringIO())
    ended: dict[str, int] = {}
    with lines(console, 40, lambda: Standing(begun=40, ended=ended)) as tell:
        for done in (0, 3, 4, 5, 40):
            ended["APPROVED"] = done
            tell()

    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue().splitlines()[1:]
    assert said == ["4 of 40: 4 APPROVED", "40 of 40: 40 APPROVED"]


def test_a_bar_tells_beginning_from_waiting() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    standings = [Standing(begun=1, ended={}), Standing(begun=2, ended={"APPROVED": 2})]
    with bar(console, 2, partial(standings.pop, 0)) as tell:
        tell()
        tell()

    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert drawn.index("Beginning") < drawn.index("Waiting")
    assert "2 APPROVED" in drawn


def test_nothing_is_nothing() -> None:
    with nothing(1, lambda: pytest.fail("it looked")) as tell:
        tell()


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as terminal:
        monkeypatch.setenv("TERM", "xterm")
        assert is_lively(console_for(terminal))
        monkeypatch.setenv("TERM", "dumb")
        assert not is_lively(console_for(terminal))
    assert not is_lively(console_for(io.StringIO()))
