"""The journal benchmark: what its gates count, and one tiny run."""

import json
from pathlib import Path

import pytest

from benchmarks import journal


@pytest.mark.parametrize(
    ("serial", "concurrent", "written", "dearer", "missed"),
    [
        pytest.param(70, 300, 0, 1.05, [], id="all-well"),
        pytest.param(69, 300, 0, 1.0, [0], id="slow-alone"),
        pytest.param(100, 299, 0, 1.0, [1], id="slow-together"),
        pytest.param(100, 300, 1, 1.0, [2], id="writes"),
        pytest.param(100, 300, 0, 1.06, [3], id="dear"),
    ],
)
def test_what_is_too_much_closes_its_gate(serial, concurrent, written, dearer, missed) -> None:
    watches = [{"bare": 100.0, "serial": serial, "concurrent": concurrent}]
    looks = [{"without": 1.0, "with": dearer}]

    gates = journal.gates(watches, looks, [0, written])

    assert [number for number, gate in enumerate(gates) if not gate.holds] == missed


def test_a_small_run_writes_nothing_for_a_look(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--rounds", "1", "--watches", "20", "--sessions", "100", "--seconds", "0.3"]

    assert journal.run([*small, "--json", "--folder", str(tmp_path)]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["typical"] > 0 for line in lines[:5])
    assert lines[7] == {
        "name": "writes while sessions stay in progress",
        "figure": 0,
        "most": 0,
        "least": None,
        "holds": True,
    }
    assert list(tmp_path.iterdir()) == []
