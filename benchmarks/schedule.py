"""A poller's own work: CPU time per poll, and how late polls are, without a wire."""

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median

import attrs

from benchmarks._child import Child, child
from benchmarks._picture import picture
from benchmarks._report import Gate, judge, options, plottable, show
from benchmarks._rounds import Round, ratio, take_turns, typical
from benchmarks._scheduled import LATER

POLLER, OBSERVED = "poller", "observed-poller"
TASK, RETRYING = "bare-task", "retrying-task"
CONTENDERS = {
    POLLER: "ResultPoller",
    OBSERVED: "ResultPoller with an observer",
    TASK: "a bare asyncio task each",
    RETRYING: "an anyio task and AsyncRetrying each",
}
FIRST = "first"
LOOKS = (FIRST, LATER)
MOST_LATE = 0.060


@attrs.define(eq=False)
class Contender:
    """One that is asked again and again; *rates* and *late* hold what else it said."""

    child: Child
    rates: dict[str, list[float]] = attrs.field(factory=lambda: {looks: [] for looks in LOOKS})
    late: dict[str, list[list[float]]] = attrs.field(factory=lambda: {looks: [] for looks in LOOKS})

    def measure(self, looks: str) -> float:
        """Return the CPU microseconds per poll of the next few seconds."""
        said = json.loads(self.child.ask(looks))
        self.rates[looks].append(said["rate"])
        self.late[looks].append(said["late"])
        return float(said["us"])


def percentile(values: Sequence[float], share: float) -> float:
    """Return what *share* of *values* do not exceed; not a number for none."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))] if ordered else float("nan")


def lateness(late: Sequence[Sequence[float]], share: float) -> float:
    """Return the median over the rounds of that percentile, in seconds."""
    return median(percentile(each, share) for each in late)


def gates(
    first: Sequence[Round], later: Sequence[Round], late: Sequence[Sequence[float]]
) -> list[Gate]:
    """Return what is promised of *first* and *later* looks, and of how *late* these were."""
    dearer = max(ratio(rounds, POLLER, TASK) for rounds in (first, later))
    return [
        Gate("CPU per poll / a bare task each, the worse of both", dearer, most=0.6),
        Gate("CPU per first poll / AsyncRetrying each", ratio(first, POLLER, RETRYING), most=0.1),
        Gate("lateness p99, s", lateness(late, 0.99), most=MOST_LATE),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = _parser().parse_args(arguments)
    with ExitStack() as stack:
        # All are made ready at once, and then asked one after the other.
        contenders = {
            name: Contender(
                stack.enter_context(
                    child("_scheduled", name, asked.sessions, asked.rate, asked.seconds)
                )
            )
            for name in CONTENDERS
        }
        for contender in contenders.values():
            contender.child.hear()
        rounds = {
            looks: take_turns(
                {name: partial(each.measure, looks) for name, each in contenders.items()},
                rounds=asked.rounds,
            )
            for looks in LOOKS
        }
    rows = [row for looks in LOOKS for row in _rows(looks, rounds[looks], contenders)]
    show(rows, as_json=asked.json)
    if asked.plot is not None:
        late = {CONTENDERS[name]: contenders[name].late[LATER] for name in (OBSERVED, TASK)}
        draw({name: list(chain(*each)) for name, each in late.items()}, asked.plot)
    return judge(gates(rounds[FIRST], rounds[LATER], contenders[OBSERVED].late[LATER]), asked)


def draw(late: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw how late polls were."""
    most = max(percentile(each, 0.999) for each in late.values()) * 1000
    with picture(file) as axes:
        for name, each in late.items():
            label = f"{name}: p99 {percentile(each, 0.99) * 1000:.1f} ms"
            axes.hist(
                [1000 * one for one in each], bins=60, range=(0, most), alpha=0.6, label=label
            )
        axes.set(xlabel="lateness of a poll, ms", ylabel="polls", title="When due polls begin")
        axes.legend()


def _rows(
    looks: str, rounds: Sequence[Round], contenders: Mapping[str, Contender]
) -> list[dict[str, object]]:
    return [
        {
            "looks": looks,
            "contender": CONTENDERS[name],
            "CPU us per poll": round(typical(rounds, name), 1),
            "x ours": round(ratio(rounds, name, POLLER), 3),
            "polls/s": round(median(contender.rates[looks])),
            **{
                f"late p{share * 100:.0f} ms": round(
                    1000 * lateness(contender.late[looks], share), 1
                )
                if any(contender.late[looks])
                else None
                for share in (0.5, 0.99)
            },
        }
        for name, contender in contenders.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = plottable(options("schedule", __doc__, rounds=5))
    parser.add_argument("--sessions", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--rate", type=float, default=2000, help="polls per second (2000)")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement (2)")
    return parser
