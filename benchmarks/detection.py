"""How soon a decision is found out, for how many polls, beside the least possible."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import attrs
from tenacity import wait_exponential_jitter, wait_fixed
from tenacity.wait import wait_base

from benchmarks._detecting import Plan, Record, carry_out, excess
from benchmarks._people import LAWS, USUAL, Law
from benchmarks._report import Gate, judge, options, plottable, show
from identomat_async import wait_learned, wait_person

RATE = 40.0
PERSON, LEARNED, FIXED, BACKOFF = (
    "wait_person()",
    "wait_learned()",
    "wait_fixed(5)",
    "wait_exponential_jitter()",
)
# Seconds for which looks are counted: more where a hundredth counts.
SPAN, LONG = 600.0, 1800.0
PAST, _PAST_SPAN = 2000, 1000.0
_OTHER_SEED = 5
# Rates of the picture, beside the usual one.
_RATES = (20.0, 80.0)

POLLS_ONLY = {PERSON: 1.08, LEARNED: 1.03}
EVERY_REQUEST = {PERSON: 1.15, LEARNED: 1.10}
LEAST_USED = 0.97

Past = tuple[Sequence[float], Sequence[float]]


@attrs.frozen(kw_only=True)
class Case:
    """A schedule, and people who are watched by it."""

    schedule: str
    law: Law
    rate: float = RATE
    span: float = SPAN

    def plan(self, pasts: Mapping[str, Past]) -> Plan:
        """Return what there is to be done, if *pasts* is known of each law."""
        # Whose median has changed since is watched as the usual people were.
        wait = _wait(self.schedule, pasts.get(self.law.name, pasts[USUAL.name]))
        return Plan(law=self.law, wait=wait, rate=self.rate, span=self.span)


def _wait(schedule: str, past: Past) -> wait_base:
    decided, undecided = past
    waits: dict[str, wait_base] = {
        PERSON: wait_person(),
        LEARNED: wait_learned(decided, censored=undecided),
        FIXED: wait_fixed(5),
        BACKOFF: wait_exponential_jitter(max=60),
    }
    return waits[schedule]


CASES = (
    *(Case(schedule=schedule, law=USUAL, span=LONG) for schedule in (PERSON, LEARNED)),
    *(Case(schedule=schedule, law=USUAL) for schedule in (FIXED, BACKOFF)),
    *(
        Case(schedule=schedule, law=law)
        for law in LAWS
        if law is not USUAL
        for schedule in (PERSON, LEARNED, FIXED)
    ),
)


@attrs.frozen(kw_only=True)
class Figures:
    """
    What comes of a case.

    Attributes:
        polls_only: Mean delay times polls per session, divided by the least possible.
        every_request: The same with all requests.
        rate: Requests per second, divided by the ceiling.
        excess: By how many requests the ceiling was exceeded in any span; none if not
            above 0.
    """

    polls_only: float
    every_request: float
    rate: float
    excess: float


def figures(case: Case, record: Record) -> Figures:
    """Return what is promised of *case*."""
    share = record.delay / case.law.least()
    return Figures(
        polls_only=share * record.polls,
        every_request=share * record.requests,
        rate=record.rate / case.rate,
        excess=excess(record.times, case.rate),
    )


def gates(found: Mapping[tuple[str, str], Figures]) -> list[Gate]:
    """Return what is promised, of *found* by law and schedule."""
    usual = USUAL.name
    promised: list[Gate] = []
    for schedule, most in POLLS_ONLY.items():
        figures = found[usual, schedule]
        name = f"{schedule}: delay x polls / least"
        promised += [
            Gate(f"{name}, polls only", figures.polls_only, most=most),
            Gate(f"{name}, every request", figures.every_request, most=EVERY_REQUEST[schedule]),
            Gate(f"{schedule}: requests/s / ceiling", figures.rate, most=1, least=LEAST_USED),
        ]
    for (law, schedule), figures in found.items():
        if schedule == PERSON:
            share = figures.every_request / found[law, FIXED].every_request
            promised.append(Gate(f"{law}: {schedule} / {FIXED}", share, most=1))
    worst = max(figures.excess for figures in found.values())
    promised.append(Gate("requests over the ceiling in any span", worst, most=0))
    return promised


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    asked = plottable(options("detection", __doc__)).parse_args(arguments)
    drawn = _drawn() if asked.plot is not None else []
    cases = [*CASES, *drawn]
    records = _measure(cases)
    found = {case: figures(case, record) for case, record in zip(cases, records, strict=True)}
    show(
        [_row(case, record, found[case]) for case, record in zip(CASES, records, strict=False)],
        as_json=asked.json,
    )
    if asked.plot is not None:
        draw(list(zip(cases, records, strict=True)), asked.plot)
    return judge(gates({(case.law.name, case.schedule): found[case] for case in CASES}), asked)


def _measure(cases: Sequence[Case]) -> list[Record]:
    # In virtual time nothing is disturbed by what goes on beside it.
    context = multiprocessing.get_context("spawn")
    laws = [law for law in LAWS if not law.is_changed]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        pasts = dict(zip([law.name for law in laws], pool.map(past, laws), strict=True))
        return list(pool.map(carry_out, [case.plan(pasts) for case in cases]))


def past(law: Law) -> Past:
    """Return what a poller has learned of 2,000 sessions: decided and undecided ones."""
    plan = Plan(
        law=law, wait=wait_person(), rate=RATE, span=_PAST_SPAN, seed=_OTHER_SEED, evenly=False
    )
    decided, undecided = carry_out(plan).past
    share = len(undecided) / (len(decided) + len(undecided))
    censored = round(share * PAST)
    return decided[: PAST - censored], undecided[:censored]


def _drawn() -> list[Case]:
    return [
        Case(schedule=schedule, law=USUAL, rate=rate)
        for rate in _RATES
        for schedule in (PERSON, LEARNED, FIXED, BACKOFF)
    ]


def draw(results: Sequence[tuple[Case, Record]], file: Path) -> None:
    """Draw the delay over the polls, for the usual people."""
    import matplotlib as mpl  # noqa: PLC0415 - wanted for pictures only

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    points: dict[str, list[tuple[float, float]]] = {}
    for case, record in results:
        if case.law is USUAL:
            points.setdefault(case.schedule, []).append((record.polls, record.delay))
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    every = sorted(polls for drawn in points.values() for polls, _ in drawn)
    least = [USUAL.least() / polls for polls in every]
    axes.plot(every, least, color="0.6", linestyle="--", label="the least possible")
    for schedule, drawn in points.items():
        axes.plot(*zip(*sorted(drawn), strict=True), marker="o", label=schedule)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="polls per session",
        ylabel="mean seconds until a decision is found out",
        title="Detection delay over polls",
    )
    axes.legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _row(case: Case, record: Record, found: Figures) -> dict[str, object]:
    late = sorted(record.delays)
    return {
        "people": case.law.name,
        "schedule": case.schedule,
        "delay s": round(record.delay, 2),
        "p99 s": round(late[int(0.99 * (len(late) - 1))], 1),
        "polls": round(record.polls, 2),
        "first looks": round(record.first, 2),
        "confirming": round(record.confirming, 2),
        "polls only / least": round(found.polls_only, 3),
        "every request / least": round(found.every_request, 3),
        "requests/s": round(record.rate, 2),
    }
