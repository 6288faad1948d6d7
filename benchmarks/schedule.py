"""A poller's own work: CPU time per poll, and how late polls are, without a wire."""

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from statistics import median

import attrs

from benchmarks._child import Child, child
from benchmarks._report import Gate, judge, options, plottable, show
from benchmarks._rounds import Round, ratio, take_turns, typical

POLLER, OBSERVED = "poller", "observed-poller"
TASK, RETRYING = "bare-task", "retrying-task"
CONTENDERS = {
    POLLER: "ResultPoller",
    OBSERVED: "ResultPoller with an observer",
    TASK: "a bare asyncio task each",
    RETRYING: "a task and AsyncRetrying each",
}
MOST_LATE = 0.060


@attrs.define(eq=False)
class Contender:
    """One that is asked again and again; *rates* and *late* hold what else it said."""

    child: Child
    rates: list[float] = attrs.field(factory=list)
    late: list[list[float]] = attrs.field(factory=list)

    def measure(self) -> float:
        """Return the CPU microseconds per poll of the next few seconds."""
        said = json.loads(self.child.ask())
        self.rates.append(said["rate"])
        self.late.append(said["late"])
        return float(said["us"])


def percentile(values: Sequence[float], share: float) -> float:
    """Return what *share* of *values* do not exceed; not a number for none."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))] if ordered else float("nan")


def lateness(late: Sequence[Sequence[float]], share: float) -> float:
    """Return the median over the rounds of that percentile, in seconds."""
    return median(percentile(each, share) for each in late)


def gates(rounds: Sequence[Round], late: Sequence[Sequence[float]]) -> list[Gate]:
    """Return what is promised."""
    return [
        Gate("CPU per poll / a bare task each", ratio(rounds, POLLER, TASK), most=0.6),
        Gate("CPU per poll / AsyncRetrying each", ratio(rounds, POLLER, RETRYING), most=0.1),
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
        measures = {name: contender.measure for name, contender in contenders.items()}
        rounds = take_turns(measures, rounds=asked.rounds)
    show(_rows(rounds, contenders), as_json=asked.json)
    if asked.plot is not None:
        late = {CONTENDERS[name]: list(chain(*contenders[name].late)) for name in (OBSERVED, TASK)}
        draw(late, asked.plot)
    return judge(gates(rounds, contenders[OBSERVED].late), asked)


def draw(late: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw how late polls were."""
    import matplotlib as mpl  # noqa: PLC0415 - wanted for pictures only

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    most = max(percentile(each, 0.999) for each in late.values()) * 1000
    for name, each in late.items():
        label = f"{name}: p99 {percentile(each, 0.99) * 1000:.1f} ms"
        axes.hist([1000 * one for one in each], bins=60, range=(0, most), alpha=0.6, label=label)
    axes.set(xlabel="lateness of a poll, ms", ylabel="polls", title="When due polls begin")
    axes.legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _rows(rounds: Sequence[Round], contenders: Mapping[str, Contender]) -> list[dict[str, object]]:
    return [
        {
            "contender": CONTENDERS[name],
            "CPU us per poll": round(typical(rounds, name), 1),
            "x ours": round(ratio(rounds, name, POLLER), 3),
            "polls/s": round(median(contender.rates)),
            **{
                f"late p{share * 100:.0f} ms": round(1000 * lateness(contender.late, share), 1)
                if any(contender.late)
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
