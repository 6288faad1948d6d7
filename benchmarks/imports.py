"""What `import identomat_async` costs beyond `import httpx`."""

import argparse
import resource
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmarks._report import Gate, judge, options, show
from benchmarks._rounds import Round, take_turns, typical

MOST = 150.0
MODULES = ("identomat_async", "httpx", "sys")


def milliseconds(module: str) -> float:
    """Import a module in a process of its own; return the milliseconds of CPU that took."""
    before = _spent()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)  # noqa: S603 - ours
    return 1000 * (_spent() - before)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def beyond(rounds: Sequence[Round]) -> float:
    """Return the median of what is spent beyond httpx in the same round."""
    return median(each["identomat_async"] - each["httpx"] for each in rounds)


def gates(rounds: Sequence[Round]) -> list[Gate]:
    """Say what is promised."""
    return [Gate("ms of CPU to import, beyond httpx", beyond(rounds), most=MOST)]


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    return options("imports", __doc__, rounds=21).parse_args(arguments)


def run(arguments: Sequence[str]) -> int:
    """Measure, print, judge."""
    asked = parsed(arguments)
    for module in MODULES:
        milliseconds(module)  # compiled now, if it was not
    rounds = take_turns(
        {module: partial(milliseconds, module) for module in MODULES}, rounds=asked.rounds
    )
    rows = [
        {
            "import": "nothing" if module == "sys" else module,
            "ms of CPU": round(typical(rounds, module), 1),
        }
        for module in MODULES
    ]
    show(rows, as_json=asked.json)
    return judge(gates(rounds), asked)
