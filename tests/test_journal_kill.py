"""Processes that die at the worst moment, and what the next one does."""

import random
import signal
import time
from collections import Counter

import pytest

from tests._journal_processes import Stage


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("moment", ["status-known", "handler-done"])
def test_what_dies_before_the_ack_is_delivered_again_under_the_same_id(stage, moment, backend):
    with stage.process("--sessions", 1, "--die", moment, "--backend", backend) as process:
        assert process.wait(timeout=30) == -signal.SIGKILL
    before = stage.lines("given")
    stage.finish("--backend", backend)

    given = stage.lines("given")
    assert len(before) == (moment == "handler-done")
    assert [line["redelivered"] for line in given] == [*[False] * len(before), True]
    assert len({line["id"] for line in given}) == 1
    stage.check_files()
    stage.check_integrity()


def test_what_dies_between_the_ack_and_watching_on_goes_on(stage):
    with stage.process("--sessions", 1, "--die", "acked", "--again") as process:
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert len(stage.lines("watched again")) == 1
    stage.finish("--again")

    first, *others = stage.lines("given")
    # The second may have come before the ack of the first; then it comes again, and says so.
    assert len({line["id"] for line in others}) == 1
    assert first["id"] not in {line["id"] for line in others}
    assert [line["redelivered"] for line in (first, *others)] in ([False] * 2, [False] * 2 + [True])
    stage.check_integrity()


def test_what_dies_after_watching_on_and_before_the_ack_is_delivered_again_and_goes_on(stage):
    with stage.process("--sessions", 1, "--die", "watched-again", "--again") as process:
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert len(stage.lines("watched again")) == 1
    stage.finish("--again")

    given = stage.lines("given")
    first, again, second = (line["id"] for line in given)
    assert first == again != second
    assert [line["redelivered"] for line in given] == [False, True, False]
    assert len({line["token"] for line in given}) == 1
    stage.check_integrity()


def test_a_disk_that_is_full_for_a_while_loses_nothing(stage):
    stage.finish("--sessions", 400, "--small-disk", "--decided", 0, 2)

    watched = [line["token"] for line in stage.lines("watched")]
    assert Counter(line["reason"] for line in stage.lines("refused")) == {"io": 1}
    assert len(watched) == 400
    assert {token: len(given) for token, given in stage.given().items()} == dict.fromkeys(
        watched, 1
    )
    stage.check_integrity()


def test_a_stand_by_polls_within_a_second_of_the_others_death(stage):
    with stage.process("--sessions", 30, "--stay", "--decided", 3, 5) as active:
        stage.ready(active)
        stage.until(lambda: stage.lines("all watched", active.pid), active)
        token = stage.lines("watched")[0]["token"]
        with stage.process("--wait", token, "--stay", "--first", 30, "--sessions", 30,
                           "--decided", 3, 5) as stand_by:  # fmt: skip
            assert stage.ready(stand_by)["role"] == "stand_by"
            stage.until(lambda: stage.lines("all watched", stand_by.pid), stand_by)
            stage.until(lambda: len({line["token"] for line in stage.lines("look")}) == 60)
            killed = time.time()
            active.kill()
            active.wait()
            stage.until(lambda: len(stage.given()) == 60, stand_by)
            stage.until(lambda: stage.lines("waited", stand_by.pid), stand_by)

    first = stage.lines("look", stand_by.pid)[0]["at"]
    # Not one look while the other one was there, and the first soon after.
    assert first > stage.lines("look", active.pid)[-1]["at"]
    assert first - killed < 1
    assert {line["status"] for line in stage.lines("waited")} == {"APPROVED"}
    # What the other had given and not written down as accepted comes once more, and says so.
    for given in stage.given().values():
        assert [line["redelivered"] for line in given] in ([False], [False, True])
    stage.check_integrity()


@pytest.mark.durability
@pytest.mark.timeout(180)
def test_a_service_that_is_killed_again_and_again_loses_nothing(stage):
    chance, kills, watched = random.Random(4711), 50, 0  # noqa: S311 - no secret
    for kill in range(kills):
        options = ["--first", watched, "--sessions", min(10, 500 - watched), "--stay"]
        options += ["--pace", 0.01, "--decided", 0, 0.3, "--seed", kill]
        with stage.process(*options) as process:
            stage.ready(process)
            time.sleep(chance.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        stage.check_files()
        # One that was written down and not said to be is another session.
        watched = len(stage.lines("watched"))
    stage.finish("--first", watched, "--sessions", 500 - watched)

    given, tokens = stage.given(), {line["token"] for line in stage.lines("watched")}
    assert len(tokens) == 500
    assert not tokens - given.keys()
    for deliveries in given.values():
        # Never twice by the same process, and marked if not the first.
        assert len({line["pid"] for line in deliveries}) == len(deliveries)
        assert len({line["id"] for line in deliveries}) == 1
        assert all(line["redelivered"] for line in deliveries[1:])
    assert any(len(deliveries) > 1 for deliveries in given.values())
    stage.check_files()
    stage.check_integrity()


@pytest.mark.durability
@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_redeploy_resumes_within_two_seconds_and_loses_nothing(stage, backend):
    options = ["--backend", backend, "--stay"]
    with stage.process("--sessions", 90, "--decided", 12, 14, *options) as process:
        stage.ready(process)
        stage.until(lambda: stage.lines("all watched", process.pid), process)
        process.send_signal(signal.SIGINT)
        process.wait()
    tokens = {line["token"] for line in stage.lines("watched")}
    for ending in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        with stage.process(*options) as process:
            started = stage.ready(process)["at"]
            stage.until(
                lambda pid=process.pid: (
                    tokens == {line["token"] for line in stage.lines("look", pid)}
                ),
                process,
            )
            first = {line["token"]: line["at"] for line in stage.lines("look", process.pid)[::-1]}
            assert max(first.values()) - started <= 2
            process.send_signal(ending)
            process.wait()
    stage.finish("--backend", backend)

    given = stage.given()
    assert given.keys() == tokens
    assert all(len(deliveries) == 1 for deliveries in given.values())
    stage.check_files()
    stage.check_integrity()
