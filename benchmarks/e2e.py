"""A poll from end to end: what the poller adds to a bare exchange, in CPU time."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from benchmarks._child import Child, child
from benchmarks._origin import running
from benchmarks._picture import draw_bars
from benchmarks._report import Gate, judge, options, plottable, show
from benchmarks._rounds import Round, ratio, take_turns, typical

POLLER, BARE, OBVIOUS, NEW = "poller", "bare", "obvious", "new-client"
CONTENDERS = {
    BARE: "lane transport",
    "look": "a look without the poller",
    POLLER: "ResultPoller",
    "send": "client.send",
    OBVIOUS: "a task and AsyncRetrying each",
    NEW: "a new client per poll",
}
LANES = (10, 50)
MOST_OF_BARE = 1.15
MOST_OF_OBVIOUS = 0.65
_LATENCY = 0.002


def rows(rounds: Sequence[Round], *, lanes: int) -> list[dict[str, object]]:
    """Return what was measured with so many *lanes*, for people."""
    return [
        {
            "lanes": lanes,
            "contender": CONTENDERS[name],
            "CPU us per poll": round(typical(rounds, name), 1),
            "x bare": round(ratio(rounds, name, BARE), 3),
        }
        for name in rounds[0]
    ]


def gates(rounds: Sequence[Round], *, lanes: int) -> list[Gate]:
    """Return what is promised of so many *lanes*."""
    return [
        Gate(
            f"CPU per poll / bare exchange, {lanes} lanes",
            ratio(rounds, POLLER, BARE),
            most=MOST_OF_BARE,
        ),
        Gate(
            f"CPU per poll / the obvious way, {lanes} lanes",
            ratio(rounds, POLLER, OBVIOUS),
            most=MOST_OF_OBVIOUS,
        ),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = plottable(options("e2e", __doc__, rounds=15))
    parser.add_argument("--sessions", type=int, default=5000, help="how many (5000)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (0.5)")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES, help="(10 50)")
    asked = parser.parse_args(arguments)
    table, promised = list[dict[str, object]](), list[Gate]()
    with running(_LATENCY, result="in_progress") as base_url:
        for lanes in asked.lanes:
            rounds = _measured(
                (base_url, lanes, asked.sessions, asked.seconds), rounds=asked.rounds
            )
            table += rows(rounds, lanes=lanes)
            promised += gates(rounds, lanes=lanes)
    show(table, as_json=asked.json)
    if asked.plot is not None:
        # Beside the dearest by far the others would all look alike.
        bars = {CONTENDERS[name]: typical(rounds, name) for name in CONTENDERS if name != NEW}
        title = f"One poll, {lanes} connections"
        draw_bars(bars, asked.plot, title=title, unit="microseconds of CPU time")
    return judge(promised, asked)


def _measured(stage: tuple[object, ...], *, rounds: int) -> list[Round]:
    with ExitStack() as stack:
        # All are made ready, and then asked one after the other.
        children = {
            name: stack.enter_context(child("_polled", name, *stage)) for name in CONTENDERS
        }
        for each in children.values():
            each.hear()
        return take_turns(
            {name: partial(_asked, each) for name, each in children.items()}, rounds=rounds
        )


def _asked(contender: Child) -> float:
    return float(contender.ask())
