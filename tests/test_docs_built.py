"""The pages that are built: all promises on the first, everything public in the reference."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from identomat_async import PollPolicy, RateBudget, RetryPolicy
from tests._docs_ground import ROOT
from tests.public_api import everything, members


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    subprocess.run(  # noqa: S603  # our own pages
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(site)],
        cwd=ROOT,
        check=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    return site


@pytest.mark.docs
def test_the_first_page_says_what_readme_promises_with_links_that_lead_there(site: Path) -> None:
    page = (site / "index.html").read_text()
    intro = (ROOT / "README.md").read_text().partition("[end:intro]")[0]

    promises = re.findall(r"^- \*\*(.*?)\*\*", intro, re.MULTILINE)

    assert len(promises) == 5
    assert [said for said in promises if f"<strong>{said}</strong>" not in page] == []
    assert re.search(r'<a href="faults/">a table</a>', page)
    assert page.index('<h2 id="an-example">') < page.index("SessionStatus")


@pytest.mark.docs
def test_every_public_name_and_method_has_a_place_in_the_reference(site: Path) -> None:
    reference = (site / "reference" / "index.html").read_text()
    names = {
        each
        for name, kind in everything()
        if inspect.isclass(kind) or inspect.isfunction(kind)
        for each in (name, *methods(name, kind))
    }

    missing = [name for name in sorted(names) if f'id="{name}"' not in reference]

    assert missing == []
    assert "identomat_async.IdentomatClient.begin" in names


def methods(name: str, kind: Any) -> list[str]:
    """Return the full names of what a class offers; what is left out explains itself."""
    found = members(kind) if inspect.isclass(kind) else ()
    return [f"{name}.{each}" for each, _ in found if not each.startswith(("_", "test_"))]


@pytest.mark.parametrize("kind", [RateBudget, RetryPolicy, PollPolicy])
def test_a_class_whose_signature_is_not_shown_says_its_defaults(kind: type) -> None:
    # What is indented deeper belongs to the line before.
    text = re.sub(r"\n {5,}", " ", inspect.getdoc(kind) or "")
    said = dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))
    figures = {
        field.name: f"{field.default:g} by default"
        for field in attrs.fields(kind)
        if isinstance(field.default, int | float)
    }

    assert figures
    assert [name for name, words in figures.items() if words not in said[name]] == []
