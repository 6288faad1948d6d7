"""Every figure that is promised, measured one after the other; half an hour on a quiet machine."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks._report import options, show

RUNS: tuple[tuple[str, ...], ...] = (
    ("imports",),
    ("decode",),
    ("e2e",),
    ("schedule",),
    ("memory",),
    ("detection",),
    ("outage",),
    ("lanes",),
    ("idle",),
    ("latency",),
    ("churn",),
    *((name, "--engine", "httpx2") for name in ("lanes", "idle", "latency", "churn")),
    ("sandbox",),
    ("journal",),
    ("gather", "--quick"),
    ("stray",),
    ("stray", "--signed"),
    ("soak", "--seed", "1"),
    ("soak", "--seed", "2"),
    ("soak", "--seed", "3"),
    ("soak", "--seed", "1", "--signed"),
    ("soak", "--seed", "1", "--engine", "httpx2"),
    ("soak", "--seed", "1", "--pauses", "--sessions", "300", "--quick"),
)


def gates_in(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the gates among the JSON lines of a benchmark."""
    for line in lines:
        said = json.loads(line) if line.startswith("{") else {}
        if "holds" in said:
            yield said


def rows_of(name: str, lines: Sequence[str], code: int) -> list[dict[str, object]]:
    """
    Return a row of the table for each gate of one run.

    A run that shows none is judged by its exit *code*, and so is one that failed though all
    that it shows holds.
    """
    gates = list(gates_in(lines))
    rows: list[dict[str, object]] = [
        {
            "benchmark": name,
            "gate": gate["name"],
            "figure": float(f"{gate['figure']:.4g}"),
            "bound": _bound(gate),
            "": "ok" if gate["holds"] else "MISSED",
        }
        for gate in gates
    ]
    if not gates or (code and all(gate["holds"] for gate in gates)):
        verdict = "MISSED" if code else "ok"
        rows.append(
            {"benchmark": name, "gate": "exit code", "figure": code, "bound": "= 0", "": verdict}
        )
    return rows


def _bound(gate: Mapping[str, Any]) -> str:
    bounds = (("<=", gate["most"]), (">=", gate["least"]))
    return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def measured(run: Sequence[str]) -> list[dict[str, object]]:
    """Run one benchmark in a process of its own; return the rows that come of it."""
    command = [sys.executable, "-m", "benchmarks", *run, "--check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    print(done.stderr, end="", file=sys.stderr)
    return rows_of(" ".join(run), done.stdout.splitlines(), done.returncode)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    return options("all", __doc__).parse_args(arguments)


def run(arguments: Sequence[str]) -> int:
    """Measure everything, and print one table."""
    asked = parsed(arguments)
    started, rows = time.monotonic(), list[dict[str, object]]()
    for each in RUNS:
        print(f"{' '.join(each)} ...", file=sys.stderr, flush=True)
        rows += measured(each)
    show(rows, as_json=asked.json)
    if not asked.json:
        missed = sum(row[""] == "MISSED" for row in rows)
        print(f"\n{len(rows) - missed} of {len(rows)} hold; {machine()}")
        print(f"{(time.monotonic() - started) / 60:.0f} minutes")
    return int(asked.check and any(row[""] == "MISSED" for row in rows))


def machine() -> str:
    """Say when and on what it was measured."""
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"{when}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )
