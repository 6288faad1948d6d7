"""The page about faults says what the conformance table says."""

from pathlib import Path

import pytest

from tests._conformance_table import table
from tests.faults_table import PATH, main, page


def test_the_page_is_up_to_date() -> None:
    assert PATH.read_text() == page(), "run python -m tests.faults_table --write"


def test_every_row_is_on_the_page_once() -> None:
    for row in table():
        assert page().count(f"\n| {row.id} | {row.says}") == 1


def test_it_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    main(["--write"], path=tmp_path / "page.md")

    assert capsys.readouterr().out == (tmp_path / "page.md").read_text() == page()
