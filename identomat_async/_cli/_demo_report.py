"""What the demo came to, in figures and how they are printed."""

import json
from collections.abc import Mapping

import attrs
from rich.table import Table

from identomat_async import DeadlinePassed, Outcome, Settled


def label_of(outcome: Outcome) -> str:
    """Name what an outcome counts as: the status of a settled session, or its class."""
    match outcome:
        case Settled():
            return outcome.result.status.value
        case DeadlinePassed():
            return "deadline passed"
        case _:
            return "no verdict"


@attrs.frozen(kw_only=True)
class Report:
    """
    The figures of one demo.

    Attributes:
        sessions: Sessions begun.
        settled: Sessions settled, by status.
        deadline_passed: Sessions of people who left.
        wrong: Outcomes that are not what happened.
        lost: Sessions without an outcome.
        doubled: Sessions with more than one.
        requests: All requests that the sandbox counted.
        polls_per_session: Requests for a result, confirming reads included, per session.
        delay_median: Seconds from a session's settling to its outcome; None if none settled.
        delay_p99: The same, 99th percentile.
        seconds: How long it all took.
    """

    sessions: int
    settled: Mapping[str, int]
    deadline_passed: int
    wrong: int
    lost: int
    doubled: int
    requests: int
    polls_per_session: float
    delay_median: float | None
    delay_p99: float | None
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether no verdict was wrong, lost or doubled."""
        return not (self.wrong or self.lost or self.doubled)

    @property
    def exit_code(self) -> int:
        """What the process is to end with."""
        return 0 if self.is_clean else 1


def counted(outcomes: Mapping[str, int]) -> str:
    """Write counts in one line, the largest first."""
    ordered = sorted(outcomes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {label}" for label, count in ordered)


def as_json(report: Report) -> str:
    """Write a report as one line of JSON; times are seconds."""
    return json.dumps(attrs.asdict(report, value_serializer=_rounded))


def as_table(report: Report) -> Table:
    """Lay a report out for people."""
    table = Table(title="identomat demo", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("sessions begun", str(report.sessions))
    for status, count in sorted(report.settled.items()):
        table.add_row(f"settled: {status}", str(count))
    table.add_row("left, deadline passed", str(report.deadline_passed), end_section=True)
    table.add_row("requests spent", str(report.requests))
    table.add_row("polls per session", f"{report.polls_per_session:.1f}")
    table.add_row("detection delay, median", _seconds(report.delay_median))
    table.add_row("detection delay, p99", _seconds(report.delay_p99))
    table.add_row("took", _seconds(report.seconds), end_section=True)
    table.add_row(
        "wrong / lost / doubled verdicts",
        f"{report.wrong} / {report.lost} / {report.doubled}",
        style="bold green" if report.is_clean else "bold red",
    )
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _rounded(_: object, __: object, value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value
