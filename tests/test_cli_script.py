"""The script files of `identomat sandbox --script`."""

from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest

from identomat_async._cli._script_file import Play, play_of, read_script
from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Sandbox, Script
from tests._cli_ground import Place, serving
from tests.test_cli_sandbox import running

FILE = """
afterwards = "random"

[[session]]
status = "approved"
after = 30
times = 2

[[session]]
status = "manual_check"
after = "20s"
then = [{ status = "approved", after = "2h" }]

[[session]]
token = "old"
status = "rejected"
begun = "1h"
"""
OTHERS = Script.of("abandoned")


@pytest.fixture
def play(tmp_path: Path) -> Play:
    file = tmp_path / "play.toml"
    file.write_text(FILE)
    return read_script(file)


def lives(play: Play, count: int) -> list[Script]:
    draw, rng = play.life(lambda _: OTHERS), Random(1)  # noqa: S311  # nothing secret is drawn
    return [draw(rng) for _ in range(count)]


def test_sessions_live_as_they_are_told_and_then_as_others_do(play: Play) -> None:
    approved = Script.of("approved", after=30)
    reviewed = Script.of("manual_check", after=20).then("approved", after=7200)

    assert lives(play, 5) == [approved, approved, reviewed, OTHERS, OTHERS]


def test_they_live_so_again_and_again_unless_it_says_otherwise() -> None:
    play = play_of({"session": [{"status": "approved"}, {"status": "abandoned"}]})

    approved, left = Script.of("approved"), Script()
    assert lives(play, 5) == [approved, left, approved, left, approved]


def test_old_sessions_are_there_from_the_start(play: Play) -> None:
    sandbox = Sandbox(now=lambda: 10_000.0)

    play.plant(sandbox)

    truth = sandbox.truth("old")
    assert (truth.status, truth.begun_at) == ("rejected", 6400.0)


def test_with_old_sessions_alone_the_others_are_as_ever() -> None:
    play = play_of({"session": [{"token": "a", "status": "approved"}]})

    assert lives(play, 2) == [OTHERS, OTHERS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("session = 1", "session is a list of tables"),
        ("session = [1]", "session is a list of tables"),
        ("", "there is no [[session]]"),
        ("[[session]]", "session 1: status is a text"),
        ("[[session]]\nstatus = 1", "session 1: status is a text"),
        ("[[session]]\nstatus = 'a'\nafter = 'soon'", "session 1: after is a span"),
        ("[[session]]\nstatus = 'a'\nafter = true", "session 1: after is a span"),
        ("[[session]]\nstatus = 'a'\nafter = []", "session 1: after is a span"),
        ("[[session]]\nstatus = 'a'\nafter = -1", "session 1: after is a span"),
        ("[[session]]\nstatus = 'a'\nthen = {}", "then is a list of tables"),
        ("[[session]]\nstatus = 'a'\nthen = [{}]", "session 1, then 1: status is a text"),
        (
            "[[session]]\nstatus = 'a'\nthen = [{x = 1}]",
            "then 1: nothing is known by the name of x",
        ),
        ("[[session]]\nstatus = 'a'\nthen = [{status = 'abandoned'}]", "'abandoned' is no status"),
        ("[[session]]\nstatus = 'a'\ntimes = 0", "session 1: times is a whole number"),
        ("[[session]]\nstatus = 'a'\ntimes = true", "session 1: times is a whole number"),
        ("[[session]]\nstatus = 'a'\ntimes = 1.5", "session 1: times is a whole number"),
        ("[[session]]\nstatus = 'a'\nbegun = 1", "session 1: begun needs a token"),
        ("[[session]]\nstatus = 'a'\ntoken = ''", "session 1: token is a text"),
        ("[[session]]\nstatus = 'a'\ntoken = 1", "session 1: token is a text"),
        ("[[session]]\nstatus = 'a'\ntoken = 'a'\ntimes = 2", "there is one such session"),
        ("[[session]]\nstatus = 'a'\nstatuss = 'b'", "nothing is known by the name of statuss"),
        ("afterwards = 'never'", 'afterwards is "repeat" or "random"'),
        ("x = 1", "the file: nothing is known by the name of x"),
        ("[[", "is not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "play.toml"
    file.write_text(text)

    with pytest.raises(ConfigurationError) as raised:
        read_script(file)

    assert str(raised.value).startswith(str(file))
    assert said in str(raised.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "play.toml"
    file.write_bytes(b"\xff")

    with pytest.raises(ConfigurationError, match="is not TOML"):
        read_script(file)


def test_a_sandbox_plays_a_script(tmp_path: Path) -> None:
    file = tmp_path / "play.toml"
    file.write_text("[[session]]\nstatus = 'approved'\n[[session]]\nstatus='rejected'\ntoken='old'")
    with running("--script", str(file)) as sandbox:
        token = sandbox.ask("begin", config_id="c").json()
        told = [
            sandbox.ask("result", session_token=each).json()["result"] for each in (token, "old")
        ]
        sandbox.interrupt()

    assert told == ["approved", "rejected"]


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with serving() as place:
        yield place


def test_a_script_that_makes_no_sense_is_one_line(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "play.toml"
    file.write_text("x = 1")

    done = place.run("sandbox", "--port", "0", "--script", str(file))

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
