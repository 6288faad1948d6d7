"""The sandbox under load: the gates close, and it runs."""

import json

import pytest

from benchmarks import sandbox


@pytest.mark.parametrize(
    ("polls", "sessions", "wrong", "missed"),
    [
        pytest.param(2000.0, 10, 0, [], id="all-well"),
        pytest.param(1999.0, 10, 0, [0], id="slow"),
        pytest.param(2000.0, 9, 0, [1], id="forgetful"),
        pytest.param(2000.0, 10, 1, [2], id="wrong"),
    ],
)
def test_what_is_too_little_closes_its_gate(
    polls: float, sessions: int, wrong: int, missed: list[int]
) -> None:
    held = sandbox.Held(sessions=sessions, kilobytes=0.4, begins=3000.0, wrong=wrong)

    gates = sandbox.gates([{sandbox.ALONE: polls}], held, sessions=10)

    assert [number for number, gate in enumerate(gates) if not gate.holds] == missed


def test_it_counts_what_the_sandbox_has_really_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sandbox.run(["--sessions", "60", "--polls", "40", "--rounds", "1", "--json"]) == 0

    held, *rows = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (held["sessions"], held["wrong"]) == (60, 0)
    assert [row["sandbox"] for row in rows[:3]] == [sandbox.ALONE, sandbox.WATCHED, sandbox.FRONT]
    assert all(row["polls/CPU s"] > 0 for row in rows[:3])
