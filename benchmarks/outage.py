"""An outage of two minutes: how little is asked during it, how gently and how soon after."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean

from benchmarks._outages import Fault, Plan, Record, carry_out
from benchmarks._picture import picture
from benchmarks._report import Gate, judge, options, plottable, show

SESSIONS, CEILING = 10_000, 2000.0
OUTAGES: tuple[Fault, ...] = ("refused", "503", "503, asks for 1 s", "stalled")
FLAKY: tuple[Fault, ...] = ("refused", "503")
FLAKY_SHARE = 0.3
# Seconds: when all goes as usual, how long it is down, and how long it is looked at after.
SETTLED, DOWN, LENGTH, AFTER = 15, 30, 120, 60
UP = DOWN + LENGTH
# From this second of an outage on it has been noticed.
_NOTICED = 10


def outage(fault: Fault, *, sessions: int = SESSIONS, ceiling: float = CEILING) -> Plan:
    """Return a plan in which every look fails for two minutes."""
    return Plan(
        sessions=sessions, ceiling=ceiling, fault=fault, down=(DOWN, UP), until=UP + AFTER + 1
    )


def flaky(fault: Fault, *, sessions: int = SESSIONS, ceiling: float = CEILING) -> Plan:
    """Return a plan in which every look may fail."""
    return Plan(
        sessions=sessions, ceiling=ceiling, fault=fault, share=FLAKY_SHARE, until=SETTLED + DOWN
    )


def usual(record: Record) -> float:
    """Return the looks per second before the outage."""
    return fmean(record.load(SETTLED, DOWN))


def figures(record: Record, *, sessions: int) -> dict[str, float]:
    """Return what is promised of an outage, by name."""
    during = record.load(DOWN + _NOTICED, UP)
    # Whoever is not back at all is back too late for any gate.
    back = sorted(record.back.values()) + [float("inf")] * (sessions - len(record.back))
    return {
        "load while down / usual": fmean(during) / usual(record),
        "peak after / usual": max(record.load(UP, UP + AFTER)) / usual(record),
        "all polled again, p99 s": back[int(0.99 * (len(back) - 1))],
    }


MOST = {
    "load while down / usual": 0.02,
    "peak after / usual": 1.3,
    "all polled again, p99 s": 15.0,
}
LEAST_GOOD = 0.65


def gates(
    outages: Mapping[Fault, Record], flaky: Mapping[Fault, Record], *, sessions: int
) -> list[Gate]:
    """Return what is promised."""
    promised = [
        Gate(f"{fault}: {name}", figure, most=MOST[name])
        for fault, record in outages.items()
        for name, figure in figures(record, sessions=sessions).items()
    ]
    unspoilt = fmean(record.good(SETTLED, DOWN) for record in outages.values())
    for fault, record in flaky.items():
        share = record.good(SETTLED, SETTLED + DOWN) / unspoilt
        name = f"30 % {fault} at random: good answers / without"
        promised.append(Gate(name, share, least=LEAST_GOOD))
    return promised


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = plottable(options("outage", __doc__))
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="how many (10000)")
    parser.add_argument("--ceiling", type=float, default=CEILING, help="polls per second (2000)")
    asked = parser.parse_args(arguments)
    size = {"sessions": asked.sessions, "ceiling": asked.ceiling}
    plans = [outage(fault, **size) for fault in OUTAGES] + [flaky(fault, **size) for fault in FLAKY]
    records = _carry_out(plans)
    outages = dict(zip(OUTAGES, records[: len(OUTAGES)], strict=True))
    shaky = dict(zip(FLAKY, records[len(OUTAGES) :], strict=True))
    show([_row(fault, record) for fault, record in outages.items()], as_json=asked.json)
    if asked.plot is not None:
        draw(outages, asked.plot)
    return judge(gates(outages, shaky, sessions=asked.sessions), asked)


def draw(outages: Mapping[Fault, Record], file: Path) -> None:
    """Draw the load on the service over time."""
    with picture(file) as axes:
        axes.axvspan(0, LENGTH, color="0.9", label="the service is down")
        for fault, record in outages.items():
            seconds = range(-DOWN, LENGTH + AFTER)
            axes.step(seconds, record.load(0, UP + AFTER), where="post", label=fault)
        axes.set(
            xlabel="seconds since the outage began",
            ylabel="polls per second",
            title="Load on the service",
        )
        axes.legend()


def _carry_out(plans: Sequence[Plan]) -> list[Record]:
    # In virtual time nothing is disturbed by what goes on beside it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return list(pool.map(carry_out, plans))


def _row(fault: Fault, record: Record) -> dict[str, object]:
    return {
        "fault": fault,
        "usual polls/s": round(usual(record)),
        **{f"second {second}": record.asked[DOWN + second] for second in (1, 5, 10, 60)},
        **{f"{second} s after": record.asked[UP + second] for second in (1, 5, 10, 30)},
        "last back, s": round(max(record.back.values()), 1) if record.back else None,
    }
