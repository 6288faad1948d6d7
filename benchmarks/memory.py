"""Memory per parked session, and the time to take a hundred thousand on."""

from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks._child import measure
from benchmarks._picture import draw_bars
from benchmarks._report import Gate, judge, options, plottable, show
from benchmarks._rounds import Round, ratio, take_turns, typical

SESSIONS = 100_000
# What is known to be large is weighed with fewer.
_FEWER = 5
_LARGE = ("retrying-task",)
WATCHED, AWAITED, TASK = "watched", "awaited", "with-a-task"
PARKED = {
    WATCHED: "watched by `watch_many`",
    "watched-singly": "watched one by one",
    AWAITED: "awaited by one `wait_all`",
    TASK: "awaited by a task of the caller's each",
    "bare-task": "a bare asyncio task each",
    "retrying-task": "an anyio task and AsyncRetrying each",
}
WATCH, TASKS = "start-watching", "start-tasks"
STARTED = {WATCH: "watched by `watch_many`", TASKS: "anyio tasks started"}


def gates(kilobytes: Mapping[str, float], rounds: Sequence[Round]) -> list[Gate]:
    """Return what is promised."""
    return [
        Gate("KB per watched session", kilobytes[WATCHED], most=0.45),
        Gate("KB per session and waiter", kilobytes[AWAITED], most=0.60),
        Gate("KB per session and task", kilobytes[TASK], most=1.5),
        Gate("time to watch / to start tasks", ratio(rounds, WATCH, TASKS), most=1 / 15),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = plottable(options("memory", __doc__, rounds=5))
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="how many (100000)")
    parser.add_argument(
        "--explain",
        choices=PARKED,
        metavar="KIND",
        help=f"which lines hold it: {', '.join(PARKED)}",
    )
    asked = parser.parse_args(arguments)
    if asked.explain is not None:
        print(measure("_parked", asked.explain, asked.sessions // _FEWER, "explain"), end="")
        return 0
    kilobytes = {kind: _weigh(kind, asked.sessions) for kind in PARKED}
    rounds = take_turns(
        {kind: partial(_parked, kind, asked.sessions) for kind in STARTED}, rounds=asked.rounds
    )
    show(_memory_rows(kilobytes), as_json=asked.json)
    show(_start_rows(rounds), as_json=asked.json)
    if asked.plot is not None:
        bars = {words: kilobytes[kind] for kind, words in PARKED.items()}
        draw_bars(bars, asked.plot, title="One parked session", unit="KB of resident memory")
    return judge(gates(kilobytes, rounds), asked)


def _weigh(kind: str, sessions: int) -> float:
    return _parked(kind, sessions // _FEWER if kind in _LARGE else sessions)


def _parked(kind: str, sessions: int) -> float:
    return float(measure("_parked", kind, sessions))


def _memory_rows(kilobytes: Mapping[str, float]) -> list[dict[str, object]]:
    return [
        {"one session": PARKED[kind], "KB": round(each, 3), "x ours": each / kilobytes[WATCHED]}
        for kind, each in kilobytes.items()
    ]


def _start_rows(rounds: Sequence[Round]) -> list[dict[str, object]]:
    return [
        {
            "all sessions": words,
            "CPU s": round(typical(rounds, kind), 3),
            "x tasks": round(ratio(rounds, kind, TASKS), 4),
        }
        for kind, words in STARTED.items()
    ]
