"""
How many mutants of the code that everything hangs on the tests find: `nox -s mutation`.

The score is raw: whatever mutmut makes counts, equivalent or not.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

LEAST = 0.9
AREAS = {
    "retry": ["_wire/_retry"],
    "signing": ["_wire/_signing"],
    "decoding": ["_model/_codec", "_model/_json", "_model/_kinds", "_model/_status"],
    "watch list": ["_polling/_agenda"],
    "schedule": [
        "_polling/_density",
        "_polling/_learned",
        "_polling/_person",
        "_polling/_schedule",
    ],
    "budget": ["_budget", "_places", "_polling/_demand"],
    "journal": ["_polling/_journal/_sql", "_polling/_journal/_tables"],
}
# What happens while it is imported is mutated only where each mutant is imported anew.
ANEW = ["_model/_codec"]
TESTS = [
    "tests/test_client_retries.py",
    "tests/test_ground_budget.py",
    "tests/test_hostile_documents.py",
    "tests/test_journal_doubt.py",
    "tests/test_journal_file.py",
    "tests/test_journal_sweep.py",
    "tests/test_model_codec.py",
    "tests/test_model_json.py",
    "tests/test_model_status.py",
    "tests/test_model_values.py",
    "tests/test_polling_agenda.py",
    "tests/test_polling_budget.py",
    "tests/test_polling_demand.py",
    "tests/test_polling_learned.py",
    "tests/test_polling_schedule.py",
    "tests/test_signature_forgeries.py",
    "tests/test_testing_journal.py",
    "tests/test_wire_protocol.py",
    "tests/test_wire_retry_table.py",
]
TESTS_ANEW = [test for test in TESTS if "_model_" in test]
# They look into code and frames, and mutmut's own stand between.
UNFIT = [
    (
        "tests/test_signature_forgeries.py::"
        "test_the_digests_are_compared_without_telling_how_much_of_them_fits"
    ),
    "tests/test_model_json.py::test_no_text_of_the_body_is_in_the_error_or_its_traceback",
]
# Seconds for one test.
LONGEST = 30
ROOT = Path("build", "mutation")
# mutmut's exit codes of a mutant that its tests have let through, or that none runs.
_SURVIVED = (0, 5, 33)


def prepare(folder: Path, modules: list[str], tests: list[str], **options: str) -> None:
    """Copy the tree into *folder*, with what mutmut is to do there."""
    ignored = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "mutants")
    shutil.copytree(".", folder, ignore=ignored)
    parser = ConfigParser()
    parser["mutmut"] = {
        "source_paths": "identomat_async",
        "only_mutate": _lines(f"identomat_async/{module}.py" for module in modules),
        "also_copy": _lines(["pytest_identomat", "benchmarks", "docs", "examples", "README.md"]),
        # A mutant that waits for ever is found by that, and need not be waited for.
        "pytest_add_cli_args": _lines(
            ["-p", "no:cacheprovider", f"--timeout={LONGEST}", *_deselected()]
        ),
        "pytest_add_cli_args_test_selection": _lines(tests),
        **options,
    }
    with (folder / "setup.cfg").open("w") as file:
        parser.write(file)


def _deselected() -> Iterator[str]:
    for test in UNFIT:
        yield from ("--deselect", test)


def _lines(each: Iterator[str] | list[str]) -> str:
    return "\n" + "\n".join(each)


def ends_of(folder: Path, module: str) -> dict[str, int | None]:
    """Return what the tests of each mutant of a module came to; None: they were not run."""
    meta = folder / "mutants" / "identomat_async" / f"{module}.py.meta"
    ends: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return ends


def passes_anew(name: str) -> bool:
    """
    Tell whether all tests pass with the mutant *name*; with none if that is empty.

    mutmut runs the tests that were seen to call what is mutated. What is called while a module
    is imported is seen in one of them at most, whichever it is that imports it.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603 - ours
        [*command, *_deselected(), *TESTS_ANEW],
        cwd=ROOT / "anew" / "mutants",
        env={**os.environ, "MUTANT_UNDER_TEST": name, "PYTHONPATH": "."},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def survivors(module: str, ends: dict[str, int | None]) -> list[str]:
    """Return the mutants of a module that no test has found."""
    alive = [name for name, code in ends.items() if code is None or code in _SURVIVED]
    return [name for name in alive if passes_anew(name)] if module in ANEW else alive


def report() -> int:
    """Print a table and what has survived; return 1 if an area has too much of it."""
    if not passes_anew(""):
        raise SystemExit("the tests fail without any mutant")
    alive, is_missed = list[str](), False
    for area, modules in AREAS.items():
        count, left = 0, list[str]()
        for module in modules:
            ends = ends_of(ROOT / ("anew" if module in ANEW else "fork"), module)
            count += len(ends)
            left += survivors(module, ends)
        score = 1 - len(left) / count
        sys.stdout.write(f"| {area} | {count} | {len(left)} | {score:.1%} |\n")
        alive += left
        is_missed |= score < LEAST
    sys.stdout.writelines(f"{name}\n" for name in alive)
    return int(is_missed)


def main() -> int:
    """Have mutmut mutate and test, and report."""
    shutil.rmtree(ROOT, ignore_errors=True)
    forked = [each for modules in AREAS.values() for each in modules if each not in ANEW]
    prepare(ROOT / "fork", forked, TESTS)
    prepare(
        ROOT / "anew",
        ANEW,
        TESTS_ANEW,
        process_isolation="forkserver",
        forkserver_warmup="none",
        timeout_constant="60.0",  # to import takes longer than most tests
    )
    for kind in ("fork", "anew"):
        command = [sys.executable, "-m", "mutmut", "run"]
        subprocess.run(command, cwd=ROOT / kind, check=True)  # noqa: S603 - ours
    return report()


if __name__ == "__main__":
    sys.exit(main())
