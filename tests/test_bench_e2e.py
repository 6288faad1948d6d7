"""What a poll costs beside a bare exchange: the gates close, and it runs."""

from pathlib import Path

import pytest

from benchmarks import e2e
from benchmarks._rounds import ratio, take_turns, typical


def rounds(*, ours: float, bare: float = 100.0, obvious: float = 200.0) -> list[dict[str, float]]:
    return [{e2e.POLLER: ours, e2e.BARE: bare, e2e.OBVIOUS: obvious}] * 3


@pytest.mark.parametrize(
    ("ours", "held"),
    [(110.0, [True, True]), (120.0, [False, True]), (140.0, [False, False])],
)
def test_a_dear_poll_closes_the_gates(ours: float, held: list[bool]) -> None:
    assert [gate.holds for gate in e2e.gates(rounds(ours=ours), lanes=10)] == held


def test_contenders_take_turns_in_both_orders() -> None:
    called = list[str]()

    def measure(name: str) -> float:
        called.append(name)
        return float(len(called))

    measured = take_turns({name: lambda name=name: measure(name) for name in "ab"}, rounds=2)

    assert called == ["a", "b", "b", "a"]
    assert measured == [{"a": 1.0, "b": 2.0}, {"a": 4.0, "b": 3.0}]


def test_one_slow_round_changes_no_figure() -> None:
    measured = [{"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, {"a": 90.0, "b": 1.0}]

    assert typical(measured, "a") == 2.0
    assert ratio(measured, "a", "b") == 2.0


@pytest.mark.thorough
def test_every_contender_polls_and_is_drawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--rounds", "1", "--lanes", "2", "--sessions", "1000", "--seconds", "0.1"]
    drawn = tmp_path / "polls.png"

    assert e2e.run([*small, "--plot", str(drawn)]) == 0
    assert drawn.read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert all(name in shown for name in e2e.CONTENDERS.values())
    assert shown.count("<=") == 2
