"""The stray benchmark: what its gates count, and one tiny run."""

import json

import pytest

from benchmarks import stray


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("tokens", "tokens wrong"),
        ("verdicts", "verdicts wrong"),
        ("results", "results wrong"),
        ("media", "media wrong"),
        ("deletions", "deletions wrong"),
        ("lost", "lost"),
    ],
)
def test_one_of_a_thousand_misses_the_gate(name: str, gate: str) -> None:
    clean = {"media_read": 900}

    assert all(each.holds for each in stray.gates(stray.Wrong(**clean), 1000))
    missed = stray.gates(stray.Wrong(**clean | {name: 1}), 1000)
    assert [each.name for each in missed if not each.holds] == [gate]


def test_who_reads_hardly_any_picture_misses_the_gate() -> None:
    gates = stray.gates(stray.Wrong(media_read=499), 1000)

    assert [each.name for each in gates if not each.holds] == ["pictures read"]


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["httpx", "httpx2"])
def test_a_small_stray_run_holds_its_gates(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = stray.run(["--sessions", "12", "--check", "--json", "--signed", "--engine", engine])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert lines[0]["struck"] == lines[0]["requests"] > 60
    assert all(line["holds"] for line in lines[2:])
