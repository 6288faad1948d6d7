"""The memory of a session: the gates close, and it runs."""

import pytest

from benchmarks import memory
from benchmarks._child import measure

GOOD = {memory.WATCHED: 0.4, memory.AWAITED: 0.5, memory.TASK: 1.4}


@pytest.mark.parametrize(
    ("kilobytes", "seconds", "missed"),
    [
        pytest.param(GOOD, 0.06, [], id="all-well"),
        pytest.param(GOOD | {memory.WATCHED: 0.5}, 0.06, [0], id="sessions"),
        pytest.param(GOOD | {memory.AWAITED: 0.61}, 0.06, [1], id="waiters"),
        pytest.param(GOOD | {memory.TASK: 1.6}, 0.06, [2], id="tasks"),
        pytest.param(GOOD, 0.07, [3], id="time"),
    ],
)
def test_what_is_too_much_closes_its_gate(
    kilobytes: dict[str, float], seconds: float, missed: list[int]
) -> None:
    rounds = [{memory.WATCH: seconds, memory.TASKS: 1.0}]

    gates = memory.gates(kilobytes, rounds)

    assert [number for number, gate in enumerate(gates) if not gate.holds] == missed


@pytest.mark.parametrize("kind", [memory.WATCHED, memory.AWAITED, memory.TASK, memory.WATCH])
def test_each_kind_is_measured_in_a_process_of_its_own(kind: str) -> None:
    assert 0 < float(measure("_parked", kind, 2000)) < 50


def test_it_tells_which_lines_hold_the_memory(capfd: pytest.CaptureFixture[str]) -> None:
    assert memory.run(["--explain", memory.WATCHED, "--sessions", "5000"]) == 0

    said = capfd.readouterr()
    assert "_polling/" in said.err
    assert 0 < float(said.out) < 5
