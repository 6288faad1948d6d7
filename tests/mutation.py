"""What the last `mutmut run` came to, area by area: `nox -s mutation` runs and judges it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

LEAST = 0.9
AREAS = {
    "retry": ("_wire/_retry",),
    "signing": ("_wire/_signing",),
    "decoding": ("_model/_codec", "_model/_json", "_model/_kinds", "_model/_status"),
    "watch list": ("_polling/_agenda",),
    "schedule": (
        "_polling/_density",
        "_polling/_learned",
        "_polling/_person",
        "_polling/_schedule",
    ),
    "budget": ("_budget", "_polling/_demand"),
    "journal": ("_polling/_journal_sql", "_polling/_journal_tables"),
}
# mutmut's exit codes of a mutant that its tests have let through, or that none runs.
_SURVIVED = (0, 5, 33)


def ends_of(module: str) -> Iterator[tuple[str, int | None]]:
    """Yield the mutants of a module with what their tests came to; None: not run."""
    meta = Path("mutants", "identomat_async", f"{module}.py.meta")
    ends: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return iter(ends.items())


def main() -> int:
    """Print a table and what has survived; return 1 if an area has too much of it."""
    survivors, missed = list[str](), False
    for area, modules in AREAS.items():
        ends = [each for module in modules for each in ends_of(module)]
        alive = [name for name, code in ends if code is None or code in _SURVIVED]
        score = 1 - len(alive) / len(ends)
        sys.stdout.write(f"| {area} | {len(ends)} | {len(alive)} | {score:.1%} |\n")
        survivors += alive
        missed |= score < LEAST
    sys.stdout.writelines(f"{name}\n" for name in survivors)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
