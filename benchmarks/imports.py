"""What `import identomat_async` costs beyond `import httpx`."""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmarks._report import Gate, judge, options, show
from benchmarks._rounds import Round, take_turns, typical

MOST = 150.0
MODULES = ("identomat_async", "httpx", "sys")


def milliseconds(module: str, *, compiled: str) -> float:
    """
    Import a module in a process of its own; return the milliseconds of CPU that took.

    What is compiled is kept in the folder *compiled*, as installers do for whoever installs it,
    also where the environment says that nothing compiled is to be written.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", f"import {module}"]
    before = _spent()
    subprocess.run(command, check=True, env=environment)  # noqa: S603 - ours
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
    with tempfile.TemporaryDirectory() as compiled:
        contenders = {
            module: partial(milliseconds, module, compiled=compiled) for module in MODULES
        }
        for compile_now in contenders.values():
            compile_now()
        rounds = take_turns(contenders, rounds=asked.rounds)
    rows = [
        {
            "import": "nothing" if module == "sys" else module,
            "ms of CPU": round(typical(rounds, module), 1),
        }
        for module in MODULES
    ]
    show(rows, as_json=asked.json)
    return judge(gates(rounds), asked)
