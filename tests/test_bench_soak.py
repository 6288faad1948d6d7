"""The soak benchmark: what its judge counts, and one tiny run."""

import json
from random import Random

import httpx
import pytest

from benchmarks import soak
from benchmarks._faulty import (
    COMPANY,
    TERMINAL,
    Figures,
    Verdict,
    is_right,
    judged,
    life_within,
    planted,
)
from identomat_async import DeadlinePassed, Outcome, SessionGone, SessionResult, Settled
from identomat_async.sandbox import Sandbox, Truth


@pytest.fixture
def truth() -> Truth:
    sandbox = Sandbox()
    sandbox.plant("t", "approved")
    return sandbox.truth("t")


def settled(number: str, status: str = "approved") -> Settled:
    document = {"result": status, "live": True, "person": {"personal_number": number}}
    return Settled(token="t", result=SessionResult.from_json(json.dumps(document).encode()))


def test_a_verdict_of_somebody_else_is_wrong(truth: Truth) -> None:
    own = Verdict(token="t", status="APPROVED", number=truth.person_number)

    assert is_right(own, truth)
    assert not is_right(Verdict(token="t", status="rejected", number=own.number), truth)
    assert not is_right(Verdict(token="t", status="approved", number="another"), truth)


def count(truth: Truth, *outcomes: Outcome) -> dict[str, int]:
    return {name: n for name, n in judged({"t": [*outcomes]}, {"t": truth}).items() if n}


def test_the_judge_counts_wrong_lost_and_doubled(truth: Truth) -> None:
    own, foreign = settled(truth.person_number), settled("another")

    assert count(truth, own) == {}
    assert count(truth, foreign) == {"wrong": 1}
    assert count(truth, own, own) == {"doubled": 1}
    assert count(truth) == {"lost": 1}
    assert count(truth, SessionGone(token="t", verified=False)) == {"lost": 1}
    assert count(truth, DeadlinePassed(token="t")) == {"lost": 1}


def test_who_was_abandoned_is_not_lost_when_the_deadline_has_passed() -> None:
    sandbox = Sandbox()
    sandbox.plant("t")

    assert count(sandbox.truth("t"), DeadlinePassed(token="t")) == {}
    assert count(sandbox.truth("t"), SessionGone(token="t", verified=False)) == {"lost": 1}


def test_lives_end_within_their_span_or_never() -> None:
    lives = [life_within(10)(Random(seed)) for seed in range(400)]  # noqa: S311
    ends = [script.terminal_after for script in lives]

    assert 5 < ends.count(None) < 45
    assert all(end is None or 0 <= end <= 10 for end in ends)
    assert {script.status_at(10) for script in lives} == TERMINAL | {"in_progress"}


@pytest.mark.parametrize("name", ["wrong", "lost", "doubled", "surplus", "undeleted", "tasks"])
def test_one_of_a_thousand_misses_the_gate(name: str) -> None:
    clean = {"contender": "ours", "sessions": 1000, "wrong": 0, "lost": 0}

    assert all(gate.holds for gate in soak.gates(Figures(**clean), 1000))  # type: ignore[arg-type]
    spoiled = Figures(**{**clean, name: 1})  # type: ignore[arg-type]
    assert [gate.name for gate in soak.gates(spoiled, 1000) if not gate.holds] == [name]


def test_only_who_is_abandoned_comes_to_a_deadline() -> None:
    assert soak.watched_for(20.0, is_abandoned=True) == 40
    assert soak.watched_for(20.0, is_abandoned=False) == 400


def test_no_document_that_is_served_names_its_session() -> None:
    asked = soak.parser().parse_args(["--sessions", "20"])
    sandbox, tokens = planted(asked, span=0.0)

    with sandbox.serve() as server, httpx.Client(base_url=server.base_url, trust_env=False) as http:
        for token in tokens:
            sent = {"company_key": COMPANY, "session_token": token}
            answer = http.post("result/", json=sent)
            assert answer.json()["result"] in TERMINAL | {"in_progress"}
            assert token not in answer.text


@pytest.mark.thorough
def test_a_small_soak_holds_its_gates(capsys: pytest.CaptureFixture[str]) -> None:
    code = soak.run(["--sessions", "12", "--check", "--json", "--signed", "--quick"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert (lines[0]["sessions"], len(lines)) == (12, 9)
    assert lines[0]["struck"] > 5
    assert all(line["holds"] for line in lines[1:])
