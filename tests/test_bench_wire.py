"""The benchmarks of the wire: their gates close, and a small run of each says what it should."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks import churn, decode, idle, lanes, latency
from benchmarks._busy_origin import Habits, Service, busy, counted, verdict_of
from benchmarks._load import ratio, using
from benchmarks._report import Gate
from identomat_async import IdentomatClient


def held(gates: Sequence[Gate]) -> list[bool]:
    return [gate.holds for gate in gates]


def test_a_ratio_is_that_of_the_typical_round() -> None:
    assert ratio([1, 2, 9], [2, 4, 1]) == 0.5


def test_the_gate_of_lanes_is_about_many_connections() -> None:
    few = lanes.Measured(at_once=10, ours=[2.0], stock=[1.0])

    def many(stock: float) -> lanes.Measured:
        return lanes.Measured(at_once=100, ours=[1.0], stock=[stock])

    assert held(lanes.gates([few, many(20)])) == [True]
    assert held(lanes.gates([few, many(19)])) == [False]


@pytest.mark.parametrize(
    ("one", "most", "stock", "holds"),
    [(1.0, 1.1, 40.0, [True, True]), (1.0, 1.2, 39.0, [False, False])],
)
def test_the_gates_of_idle(one: float, most: float, stock: float, holds: list[bool]) -> None:
    def of(idle_ones: int, figure: float) -> idle.Measured:
        return idle.Measured(contender="x", idle=idle_ones, figures=[figure])

    assert held(idle.gates(of(1, one), of(1000, most), of(300, 1.0), of(300, stock))) == holds


@pytest.mark.parametrize(
    ("rate", "connects", "failures", "holds"),
    [(800, 0.02, 0, [True, True, True]), (790, 0.03, 1, [False, False, False])],
)
def test_the_gates_of_latency(
    rate: float, connects: float, failures: int, holds: list[bool]
) -> None:
    ours = latency.Measured(rate=rate, connects=connects, failures=failures)
    stock = latency.Measured(rate=100, connects=1, failures=9)

    assert held(latency.gates([ours], [stock])) == holds


NOTHING_LEFT: dict[str, Any] = {
    "sessions": 9,
    "missing": 0,
    "doubled": 0,
    "wrong": 0,
    "polls": 100,
    "cancelled": 10,
    "failed": 3,
    "busy": 0,
    "tasks": 0,
    "descriptors": 0,
    "sockets": 0,
    "seconds": 1.0,
}


def test_nothing_may_be_left_after_the_churn() -> None:
    assert all(held(churn.gates(churn.Figures(**NOTHING_LEFT))))
    for name in ("missing", "doubled", "wrong", "busy", "tasks", "descriptors", "sockets"):
        figures = churn.Figures(**{**NOTHING_LEFT, name: 1})
        assert [gate.name for gate in churn.gates(figures) if not gate.holds] == [name]
    idle_run = churn.Figures(**{**NOTHING_LEFT, "cancelled": 1})
    assert not all(held(churn.gates(idle_run)))


def test_the_gates_of_decode() -> None:
    def measured(strict: float, status: float) -> decode.Measured:
        return decode.Measured(strict=[strict], cattrs=[50.0], status=[status], parsed=[10.0])

    assert held(decode.gates(measured(50.0, 1.0))) == [True, True]
    assert held(decode.gates(measured(51.0, 8.0))) == [False, False]
    assert measured(50.0, 2.5).saving == pytest.approx(21 * 50 / (20 * 2.5 + 50))


def test_the_document_of_decode_is_read_alike_by_both() -> None:
    ours, theirs = decode.decode_result(decode.document()), decode.by_the_book()(decode.document())

    assert ours.unreadable == ()
    assert (ours.person, ours.id_card_back) == (theirs.person, theirs.id_card_back)
    assert (ours.technical_details, ours.similarity) == (
        theirs.technical_details,
        theirs.similarity,
    )


def test_a_session_is_settled_at_its_request_and_always_alike() -> None:
    service = Service(habits=Habits(settles=2))
    said = [service.answer(b'POST\r\n\r\n{"session_token":"a"}') for _ in range(3)]

    assert b'"result": "in_progress"' in said[0]
    assert f'"result": "{verdict_of("a")}"'.encode() in said[1]
    assert said[1] == said[2]


def test_our_clients_use_another_library_for_a_while() -> None:
    def name() -> str:
        caller: Any = IdentomatClient("k").source
        return str(caller.library.name)

    usual = name()
    with using("httpx2"):
        assert name() == "httpx2"
    assert name() == usual


RUNS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "lanes": (lanes.run, ["--requests", "20", "--at-once", "2", "--rounds", "1"]),
    "idle": (idle.run, ["--requests", "10", "--idle", "3", "--most", "5", "--rounds", "1"]),
    "lanes-httpx2": (
        lanes.run,
        ["--requests", "20", "--at-once", "2", "--rounds", "1", "--engine", "httpx2"],
    ),
    "churn": (churn.run, ["--check", "--sessions", "40", "--lanes", "10"]),
    "decode": (decode.run, ["--documents", "5", "--rounds", "1"]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", RUNS)
def test_a_small_run_comes_to_figures(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    run, arguments = RUNS[name]

    assert run([*arguments, "--json"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert lines
    assert all(isinstance(line, dict) for line in lines)


def test_what_the_service_counts_is_what_was_asked() -> None:
    with busy(Habits()) as base_url:
        assert counted(base_url) == {"connections": 1, "requests": 0, "open": 0}
        assert counted(base_url)["connections"] == 2
