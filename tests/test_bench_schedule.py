"""The poller's own work: the gates close, and it runs."""

import math
from pathlib import Path

import pytest

from benchmarks import schedule


@pytest.mark.parametrize(
    ("ours", "late", "missed"),
    [
        pytest.param(5.0, 0.05, [], id="all-well"),
        pytest.param(7.0, 0.05, [0], id="dear-beside-a-task"),
        pytest.param(11.0, 0.05, [0, 1], id="dear-beside-retrying"),
        pytest.param(5.0, 0.07, [2], id="late"),
    ],
)
def test_what_is_too_much_closes_its_gate(ours: float, late: float, missed: list[int]) -> None:
    first = [{schedule.POLLER: ours, schedule.TASK: 10.0, schedule.RETRYING: 100.0}]
    later = [{schedule.POLLER: 5.0, schedule.TASK: 10.0, schedule.RETRYING: 30.0}]

    gates = schedule.gates(first, later, [[late] * 10])

    assert [number for number, gate in enumerate(gates) if not gate.holds] == missed


def test_without_a_poll_nobody_knows_how_late_they_are() -> None:
    assert math.isnan(schedule.percentile([], 0.99))
    rounds = [{schedule.POLLER: 1.0, schedule.TASK: 2.0, schedule.RETRYING: 20.0}]
    assert not schedule.gates(rounds, rounds, [[]])[2].holds


def test_later_looks_may_be_no_dearer_either() -> None:
    first = {schedule.POLLER: 1.0, schedule.TASK: 2.0, schedule.RETRYING: 20.0}

    assert not schedule.gates([first], [first | {schedule.POLLER: 1.9}], [[0.0]])[0].holds


def test_a_percentile_is_exceeded_by_the_rest() -> None:
    assert schedule.percentile(range(101), 0.99) == 99


@pytest.mark.thorough
def test_every_contender_polls_and_is_drawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "lateness.png"
    small = ["--rounds", "1", "--sessions", "300", "--rate", "300", "--seconds", "0.2"]

    assert schedule.run([*small, "--plot", str(picture)]) == 0

    shown = capsys.readouterr().out
    assert all(name in shown for name in schedule.CONTENDERS.values())
    assert picture.read_bytes().startswith(b"\x89PNG")
