"""
The `identomat` command line.

Each command has a module of its name, and `_app` puts them together; `main` imports that
only when it is called, so that a missing extra ends in advice. What a command finds or
counts (`_doctor_checks`, `_board`, `_demo_judge`) knows nothing of how it is shown. Data
goes to stdout and words for people to stderr, every ending has its exit code, and what is
personal is shown on request only.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import cast

# What the two extras bring, by the names under which it is imported.
_EXTRAS = frozenset(
    {
        *("typer", "rich"),
        *("h11", "jinja2", "markdown_it", "markupsafe"),
        *("python_multipart", "starlette", "uvicorn"),
    }
)
_INTERRUPTED = 130  # what shells give a program that Ctrl-C ended


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    _fill_in()
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another alphabet is no reason to end in a traceback.
        cast("TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    try:
        # Imported here so that a missing extra ends in advice, not in a traceback.
        from identomat_async._cli._app import app  # noqa: PLC0415

        app(prog_name="identomat")
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        sys.exit(f"identomat needs {package}: pip install 'identomat-async[cli,sandbox]'")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _fill_in() -> None:
    # A stream that the shell has closed (`>&-`) is None here.
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115  # as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # as above
    if sys.stdout is None:
        sys.exit("identomat: standard output is closed; send it to /dev/null to do without")
