"""The benchmarks run, and their gates close."""

import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from benchmarks import imports
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks._origin import document, request_end
from benchmarks._report import Gate, judge, options, show
from benchmarks.all import RUNS, rows_of
from benchmarks.gather import Figures, as_line, failed_as, least_seconds, passes
from identomat_async import DeadlinePassed, Outcome, PollFailed, SessionResult, Settled

ROOT = Path(__file__).parent.parent
OURS = Figures(
    contender="wait_all", tokens=50, failures=0, failed_as={}, seconds=0.5, cpu=0.1, bound=0.6
)
STOCK = attrs.evolve(OURS, contender="stock", failures=2, failed_as={"PoolTimeout": 2}, bound=None)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-m", "benchmarks", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_without_a_name_it_lists_what_there_is() -> None:
    done = run()

    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHMARKS)
    assert "gather " in done.stdout


def test_an_unknown_name_is_told_from_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gahter"]) == 2
    assert "there are: " in capsys.readouterr().err


def test_gather_loses_nobody() -> None:
    done = run("gather", "--sessions", "20", "50", "--quick", "--check", "--json")

    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(each["tokens"], each["failures"]) for each in figures] == [(20, 0), (50, 0)]
    # Every session is asked for twice, and every answer takes a tenth of a second.
    assert all(each["seconds"] >= 0.2 for each in figures)


@pytest.mark.parametrize(
    ("figures", "passed"),
    [
        pytest.param([OURS], True, id="no-failure"),
        pytest.param([OURS, STOCK], True, id="the-stock-client-is-not-judged"),
        pytest.param([OURS, attrs.evolve(OURS, failures=1)], False, id="one-failure"),
    ],
)
def test_one_failure_of_ours_closes_the_gate(figures: list[Figures], passed: bool) -> None:
    assert passes(figures) is passed


def test_whatever_is_no_verdict_is_a_failure() -> None:
    verdict = Settled(token="a", result=SessionResult.from_json(document()))
    others: list[Outcome] = [DeadlinePassed(token="b"), PollFailed(token="c")]

    assert failed_as([verdict, *others]) == {"DeadlinePassed": 1, "PollFailed": 1}


def test_the_least_time_is_set_by_connections_or_by_cpu() -> None:
    assert least_seconds(1000, lanes=100, delay=0.1, cpu=1.0) == pytest.approx(2.0)
    assert least_seconds(1000, lanes=100, delay=0.1, cpu=3.0) == 3.0


def test_a_line_tells_what_failed_and_how() -> None:
    assert "2 failures (2 PoolTimeout), 0.5 s, CPU 0.1 s" in as_line(STOCK)
    assert as_line(OURS).endswith("0 failures, 0.5 s, CPU 0.1 s; 1.3 x the least is 0.6 s")


def test_the_document_is_as_large_as_real_ones() -> None:
    assert len(document()) == 1900


@pytest.mark.parametrize(
    ("received", "end"),
    [
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\n", None, id="half-a-head"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{", None, id="half-a-body"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}P", 40, id="and-more"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 18, id="no-body"),
    ],
)
def test_requests_are_told_apart(received: bytes, end: int | None) -> None:
    assert request_end(received) == end


@pytest.mark.parametrize(
    ("gate", "holds"),
    [
        (Gate("a", 1.0, most=1.0), True),
        (Gate("a", 1.1, most=1.0), False),
        (Gate("a", 0.9, least=1.0), False),
        (Gate("a", 1.0, least=1.0, most=1.0), True),
        (Gate("a", float("nan"), most=1.0), False),
        (Gate("a", float("nan"), least=1.0), False),
    ],
)
def test_a_gate_holds_within_its_bounds(gate: Gate, holds: bool) -> None:
    assert gate.holds is holds


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--check"], 1), ([], 0), (["--check", "--json"], 1)]
)
def test_a_missed_gate_fails_a_check(arguments: list[str], code: int) -> None:
    asked = options("x", "doc").parse_args(arguments)

    assert judge([Gate("a", 2.0, most=1.0), Gate("b", 1.0, most=1.0)], asked) == code
    assert judge([Gate("b", 1.0, most=1.0)], asked) == 0


def test_a_table_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"name": "ours", "us": 1.23456}, {"name": "theirs", "us": None}], as_json=False)

    assert capsys.readouterr().out.splitlines() == ["name       us", "ours    1.235", "theirs"]


def test_the_table_of_all_has_a_row_for_each_gate() -> None:
    lines = [
        '{"contender": "ours", "seconds": 1}',
        '{"name": "fast", "figure": 1.23456, "most": 2.0, "least": null, "holds": true}',
        '{"name": "much", "figure": 3, "most": 9, "least": 4, "holds": false}',
    ]

    rows = rows_of("some", lines, 1)

    assert [(row["gate"], row["figure"], row["bound"], row[""]) for row in rows] == [
        ("fast", 1.235, "<= 2", "ok"),
        ("much", 3.0, "<= 9 and >= 4", "MISSED"),
    ]


@pytest.mark.parametrize(("code", "verdict"), [(0, "ok"), (1, "MISSED")])
def test_a_run_that_shows_no_gate_is_judged_by_its_end(code: int, verdict: str) -> None:
    (row,) = rows_of("some", ["hello"], code)

    assert (row["gate"], row[""]) == ("exit code", verdict)


def test_a_run_that_fails_where_all_that_it_shows_holds_has_failed() -> None:
    line = '{"name": "fast", "figure": 1, "most": 2, "least": null, "holds": true}'

    assert [row[""] for row in rows_of("some", [line], 1)] == ["ok", "MISSED"]


def test_all_runs_every_other_benchmark() -> None:
    assert {name for name, *_ in RUNS} == set(BENCHMARKS) - {"all"}


def test_imports_is_measured_beyond_httpx() -> None:
    rounds = [{"identomat_async": 300.0, "httpx": 200.0, "sys": 9.0}] * 3

    assert [(gate.figure, gate.holds) for gate in imports.gates(rounds)] == [(100.0, True)]


def test_imports_measures_what_is_compiled_already(tmp_path: Path) -> None:
    compiled = tmp_path / "compiled"

    took = imports.milliseconds("identomat_async", compiled=str(compiled))

    assert took > 0
    assert [*compiled.rglob("_polling/_poller.*.pyc")]
