"""An outage: the gates close, and it runs."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import outage
from benchmarks._jumping import JumpingLoop
from benchmarks._outages import Fault, Record, carry_out


def record(*, down: int = 0, after: int = 100, back: float = 10.0, good: int = 70) -> Record:
    asked = Counter(dict.fromkeys(range(outage.DOWN), 100))
    asked.update(dict.fromkeys(range(outage.DOWN, outage.UP), down))
    asked.update(dict.fromkeys(range(outage.UP, outage.UP + outage.AFTER), after))
    answered = Counter(dict.fromkeys(range(outage.UP), good))
    return Record(asked=asked, answered=answered, back={f"{n}": back for n in range(100)})


@pytest.mark.parametrize(
    ("outages", "missed"),
    [
        pytest.param(record(), [], id="all-well"),
        pytest.param(record(down=3), [0], id="load-while-down"),
        pytest.param(record(after=131), [1], id="load-after"),
        pytest.param(record(back=16.0), [2], id="late"),
        pytest.param(record(good=120), [3], id="fewer-good-answers"),
    ],
)
def test_what_is_too_much_closes_its_gate(outages: Record, missed: list[int]) -> None:
    gates = outage.gates({"503": outages}, {"503": record()}, sessions=100)

    assert [number for number, gate in enumerate(gates) if not gate.holds] == missed


def test_who_is_never_answered_again_is_late() -> None:
    assert outage.figures(record(), sessions=200)["all polled again, p99 s"] == float("inf")


@pytest.mark.thorough
@pytest.mark.parametrize("fault", outage.OUTAGES)
def test_while_the_service_is_down_hardly_anybody_asks(fault: Fault) -> None:
    seen = carry_out(outage.outage(fault, sessions=100, ceiling=20))

    assert sum(seen.answered[second] for second in range(outage.DOWN, outage.UP)) == 0
    assert outage.figures(seen, sessions=100)["load while down / usual"] < 0.5
    assert len(seen.back) > 90


def test_the_load_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "load.png"

    outage.draw({"503": record()}, picture)

    assert picture.read_bytes().startswith(b"\x89PNG")


def test_time_jumps_until_it_has_landed() -> None:
    loop, begun = JumpingLoop(), time.monotonic()

    async def live() -> float:
        await asyncio.sleep(3600)
        loop.land()
        start = loop.time()
        await asyncio.sleep(0.05)
        loop.take_off()
        landed = loop.time() - start
        await asyncio.sleep(3600)
        return landed

    try:
        landed = loop.run_until_complete(live())
    finally:
        loop.close()
    assert 0.05 <= landed < 10
    assert time.monotonic() - begun >= 0.05
    assert loop.time() > 8200
