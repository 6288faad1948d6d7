"""Finds and runs the code that stands in the documentation."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from identomat_async import IdentomatClient
from identomat_async.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def blocks_of(page: Path, language: str = "python") -> list[str]:
    """Return each block in a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def run_code(code: str, **given: Any) -> dict[str, Any]:
    """Run Python of a page with what it takes as given; return what it defines."""
    # Where the page reads the environment, the test has a client of its own.
    assert "IdentomatClient.from_env()" in code
    code = code.replace("IdentomatClient.from_env()", "own_client()")
    exec(code.replace("anyio.run(main)\n", ""), given)  # noqa: S102 - our own
    return given


def run_code_of(name: str, **given: Any) -> dict[str, Any]:
    """Run all the Python of a page, one block after the other."""
    return run_code("\n".join(blocks_of(DOCS / name)), **given)


def sandbox_client(sandbox: Sandbox) -> Callable[[], IdentomatClient]:
    """Return what makes a client of *sandbox*, in process."""
    return partial(IdentomatClient, "key", base_url=sandbox.base_url, transport=sandbox.transport)
