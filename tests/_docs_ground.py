"""Runs the code that stands in the documentation."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"


def code_of(name: str) -> str:
    """Return the Python of a page, one block after the other."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL))


def run_code_of(name: str, **given: Any) -> dict[str, Any]:
    """Run the Python of a page with what it takes as given; return what it defines."""
    code = code_of(name)
    # Where the page reads the environment, the test has a client of its own.
    assert "IdentomatClient.from_env()" in code
    exec(code.replace("IdentomatClient.from_env()", "own_client()"), given)  # noqa: S102 - our own
    return given
