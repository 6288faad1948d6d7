"""`begin`, `result`, `delete`, `media`, `screening` and `hash`, against a served sandbox."""

import json
import re
import stat
from collections.abc import Generator
from pathlib import Path

import pytest

from identomat_async import IdentomatClient
from identomat_async.sandbox import Script
from tests._cli_ground import Place, screen_of, serving


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with serving(screening=1.0) as place:
        place.sandbox.script("approved")
        yield place


def planted(place: Place, status: str, token: str = "") -> str:
    token = token or f"{status}-{len(place.sandbox.tokens)}"
    place.sandbox.plant(token, status)
    return token


def number_of(place: Place, token: str) -> str:
    return place.sandbox.truth(token).person_number


# begin


def test_begin_writes_the_token_and_says_where_the_person_goes(place: Place) -> None:
    done = place.run("begin")

    (token,) = done.stdout.splitlines()
    assert done.exit_code == 0
    assert token in place.sandbox.tokens
    assert f"?session_token={token}\n" in done.stderr


def test_begin_writes_json_that_can_be_watched(place: Place) -> None:
    done = place.run("begin", "--json", "--reference", "user:1")

    begun = json.loads(done.stdout)
    assert done.stderr == ""
    assert begun["reference"] == "user:1"
    assert begun["url"].endswith(begun["token"])
    assert place.run("watch", stdin=done.stdout).exit_code == 0


def test_begin_writes_the_address_alone(place: Place) -> None:
    done = place.run("begin", "--url")

    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""


def test_flags_and_steps_go_to_the_service(place: Place, tmp_path: Path) -> None:
    flags, steps = tmp_path / "flags.json", tmp_path / "steps.json"
    flags.write_text('{"skip_document": true}')
    question = {"key": "q", "type": "boolean", "title": {"en": "Well?"}}
    steps.write_text(
        json.dumps([{"type": "user-questionnaire", "key": "k", "questions": [question]}])
    )
    parent = place.run("begin", "--config-id", "of-the-parent").stdout.strip()

    begun = place.run(
        *("begin", "--flags", str(flags), "--flag", "skip_face", "--flag", "language=de"),
        *("--flag", "document_types=[]", "--steps", str(steps), "--parent", parent),
        *("--config-id", "mine"),
    )

    token = begun.stdout.strip()
    raw = json.loads(place.run("result", token, "--json", "--show-personal").stdout)["result"]
    assert begun.exit_code == 0
    assert raw["configId"] == "mine"
    assert [each["key"] for each in raw["questionnaires"]] == ["k"]
    assert raw["document_type"] == ""


@pytest.mark.parametrize(
    ("options", "content", "said"),
    [
        (("--flag", "=x"), "", "NAME=VALUE"),
        (("--flags", "{file}"), "[]", "object of flags"),
        (("--flags", "{file}"), "{", "does not hold JSON"),
        (("--steps", "{file}"), "{}", "list of steps"),
        (("--flag", "liveness=1"), "", "liveness must be True or False"),
        (("--steps", "/no/such/file"), "", "does not exist"),
    ],
)
def test_what_cannot_be_begun_is_refused_in_one_line(
    place: Place, tmp_path: Path, options: tuple[str, str], content: str, said: str
) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    before = place.sandbox.request_count

    done = place.run("begin", *(option.format(file=file) for option in options))

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert place.sandbox.request_count == before


# result


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("approved", 0),
        ("rejected", 3),
        ("manual_check", 4),
        ("disagreed", 5),
        ("in_progress", 6),
        ("Anna Example", 6),
    ],
)
def test_the_exit_code_says_the_status(place: Place, status: str, code: int) -> None:
    place.sandbox.plant(f"one-{code}-{len(status)}", status)

    done = place.run("result", f"one-{code}-{len(status)}", "--json")

    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == code
    assert done.stderr == ""
    assert told["outcome"] == ("open" if code == 6 else "settled")
    assert "Anna" not in done.stdout


def test_nothing_personal_is_shown_unless_asked_for(place: Place) -> None:
    token = planted(place, "approved")
    number = number_of(place, token)

    for options in ((), ("--json",)):
        hidden = place.run("result", token, *options)
        shown = place.run("result", token, *options, "--show-personal")
        assert number not in hidden.output
        assert number in shown.stdout
        assert ("--show-personal" in hidden.stderr) is (options == ())
        assert shown.stderr == ""
        assert "\x1b" not in hidden.output + shown.output


def test_a_token_may_come_from_a_pipe(place: Place) -> None:
    token = planted(place, "approved")

    assert place.run("result", "-", stdin=f"{token}\n").exit_code == 0
    assert "no token on stdin" in place.run("result", "-", stdin="# nobody\n").stderr


def test_text_of_the_service_cannot_control_a_terminal(place: Place) -> None:
    place.sandbox.plant("hostile", Script.of("\x1b[2J\nred\x9b", after=0))

    shown = place.run("result", "hostile", "--show-personal")
    line = place.run("result", "hostile", "--show-personal", "--json")

    assert "\x1b" not in shown.stdout + line.stdout
    assert "\x9b" not in shown.stdout + line.stdout
    assert r"\x1b[2J red\x9b" in shown.stdout


def test_a_session_that_is_not_there_is_one_line(place: Place) -> None:
    done = place.run("result", "nobody")

    assert (done.exit_code, done.stdout) == (7, "")
    assert done.stderr == "identomat: the service does not know this session\n"


# delete


def test_delete_asks_nobody_in_a_pipe(place: Place) -> None:
    token = planted(place, "approved")

    done = place.run("delete", token)

    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert not place.sandbox.truth(token).deleted


def test_delete_tells_what_was_there(place: Place) -> None:
    token = planted(place, "rejected")

    told = [json.loads(place.run("delete", "--yes", "--json", token).stdout) for _ in range(2)]
    words = [place.run("delete", "-y", "-", stdin=planted(place, "approved")).stdout]
    words.append(place.run("delete", "-y", token).stdout)

    assert [each["was_there"] for each in told] == [True, False]
    assert [each["status"] for each in told] == ["REJECTED", None]
    assert "deleted; it was APPROVED" in words[0]
    assert "gone already" in words[1]


def test_one_that_cannot_be_deleted_does_not_stop_the_others(place: Place) -> None:
    wrong, right = planted(place, "approved"), planted(place, "approved")
    place.sandbox.invalidate(wrong)

    done = place.run("delete", "-y", wrong, right)

    assert done.exit_code == 7
    assert "was not deleted" in done.stderr
    assert place.sandbox.truth(right).deleted


def test_a_key_that_is_refused_ends_it(place: Place) -> None:
    with serving(company_key="another-key") as other:
        done = other.run("delete", "-y", "a", "b")

    assert done.exit_code == 9
    assert other.sandbox.requests["delete"] == 1


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_on_a_terminal_delete_asks(place: Place, answer: str, code: int) -> None:
    token, other = planted(place, "approved"), planted(place, "approved")
    tokens = (token,) if answer == "y" else (token, other)

    done, screen = screen_of(place, "delete", *tokens, typed=f"{answer}\n")

    assert done == code
    assert ("this session" if answer == "y" else "these 2 sessions") in screen
    assert place.sandbox.truth(token).deleted is (answer == "y")


def test_who_walks_away_from_the_question_has_said_no(place: Place) -> None:
    token = planted(place, "approved")

    code, screen = screen_of(place, "delete", token, typed="\x04")

    assert code == 1
    assert "Traceback" not in screen
    assert not place.sandbox.truth(token).deleted


# media


def test_media_saves_what_there_is_for_its_owner_alone(place: Place, tmp_path: Path) -> None:
    token = place.run("begin", "--flag", "liveness", "--flag", 'document_types=["id"]').stdout
    done = place.run("media", token.strip(), "--into", str(tmp_path), "--json")

    saved = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [each["media"] for each in saved] == ["card-front", "card-back", "face", "face-video"]
    assert {Path(each["path"]) for each in saved} == set(tmp_path.iterdir())
    assert [Path(each["path"]).suffix for each in saved] == [".jpg", ".jpg", ".jpg", ".mp4"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert token.strip() not in "".join(each["path"] for each in saved)


def test_a_folder_for_media_is_made_and_no_more_than_one(place: Place, tmp_path: Path) -> None:
    token = planted(place, "approved")

    made = place.run("media", token, "face", "--into", str(tmp_path / "new"))
    again = place.run("media", token, "face", "--into", str(tmp_path / "new"))
    refused = place.run("media", token, "face", "--into", str(tmp_path / "no" / "new"))

    assert (made.exit_code, again.exit_code, refused.exit_code) == (0, 0, 1)
    assert len(list((tmp_path / "new").iterdir())) == 1
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert refused.stderr.startswith("identomat: No such file or directory")


def test_one_medium_goes_to_a_file_or_into_a_pipe(place: Place, tmp_path: Path) -> None:
    token, file = planted(place, "approved"), tmp_path / "somebody"

    saved = place.run("media", token, "face", "-o", str(file))
    piped = place.run("media", token, "face", "-o", "-")

    assert saved.stdout == f"{file}\n"
    assert piped.stdout_bytes == file.read_bytes()
    assert file.read_bytes().startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("kinds", [("face-video",), ("face", "face-video")])
def test_a_medium_that_is_not_there_is_said(
    place: Place, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    done = place.run("media", planted(place, "approved"), *kinds, "--into", str(tmp_path))

    assert done.exit_code == 7
    assert done.stderr == "The session has no face-video\n"
    assert len(list(tmp_path.iterdir())) == len(kinds) - 1


def test_a_session_without_any_is_said(place: Place, tmp_path: Path) -> None:
    token = place.run("begin", "--flag", "skip_face", "--flag", "skip_document").stdout.strip()

    done = place.run("media", token, "--into", str(tmp_path))

    assert (done.exit_code, done.stderr) == (7, "The session has no images\n")


@pytest.mark.parametrize(
    "options", [("-o", "x"), ("face", "face-video", "-o", "x"), ("face", "-o", "-", "--json")]
)
def test_an_output_that_cannot_be_is_refused(place: Place, options: tuple[str, ...]) -> None:
    assert place.run("media", "token", *options).exit_code == 2


def test_an_image_does_not_go_to_a_terminal(place: Place) -> None:
    code, screen = screen_of(place, "media", planted(place, "approved"), "face", "-o", "-")

    assert code == 2
    assert "does not belong on a terminal" in screen


def test_a_file_of_no_known_kind_keeps_its_name(place: Place) -> None:
    from identomat_async._cli._media import suffix_of  # noqa: PLC0415 - beside its test

    assert suffix_of(b"\x00\x00\x00\x18ftypisom") == ".mp4"
    assert suffix_of(b"RIFF....WEBPVP8 ") == ".webp"
    assert suffix_of(b"") == suffix_of(b"anything") == ""


def test_a_folder_that_cannot_be_written_to_is_one_line(place: Place, tmp_path: Path) -> None:
    done = place.run("media", planted(place, "approved"), "face", "-o", str(tmp_path / "no" / "x"))

    assert done.exit_code == 1
    assert re.fullmatch(r"identomat: No such file or directory.*\n", done.stderr)


# screening


def test_nobody_knows_what_the_service_says_of_a_person_that_is_not_there(place: Place) -> None:
    done = place.run("screening", "foo")

    assert (done.exit_code, done.stdout) == (8, "")
    assert done.stderr.count("\n") == 1


def test_screening_shows_how_much_there_is_and_more_if_asked_for(place: Place) -> None:
    token = planted(place, "approved")
    result = json.loads(place.run("result", token, "--json", "--show-personal").stdout)["result"]
    match = result["screeningMatches"][0]

    hidden = [place.run("screening", match["personId"], *more) for more in ((), ("--json",))]
    shown = [
        place.run("screening", "-", "--show-personal", *more, stdin=match["personId"])
        for more in ((), ("--json",))
    ]

    assert {done.exit_code for done in (*hidden, *shown)} == {0}
    assert not [done for done in hidden if "Exemplar" in done.stdout]
    assert all("Exemplar" in done.stdout for done in shown)
    assert json.loads(hidden[1].stdout)["has_name"] is True
    assert ["--show-personal" in done.stderr for done in (*hidden, *shown)] == [True] + [False] * 3


# hash


def test_hash_is_what_logs_show_and_sends_nothing(place: Place, tmp_path: Path) -> None:
    file, before = tmp_path / "tokens", place.sandbox.request_count
    file.write_text("# two\na first\n\na again\n")
    expected = IdentomatClient("canary-of-a-key").token_hash("a")

    assert place.run("hash", "a").stdout == f"{expected}\n"
    assert place.run("hash", "-f", str(file)).stdout == f"{expected}\n"
    assert place.run("hash", "-f", "-", stdin="a").stdout == f"{expected}\n"
    told = json.loads(place.run("hash", "--json", stdin="a").stdout)
    assert told == {"token": "a", "token_hash": expected}
    assert place.sandbox.request_count == before


@pytest.mark.parametrize(
    ("stdin", "said"), [("", "no session was named"), ("a\nö", "line 2: a session token")]
)
def test_tokens_that_are_none_are_refused(place: Place, stdin: str, said: str) -> None:
    done = place.run("hash", stdin=stdin)

    assert done.exit_code == 2
    assert said in done.stderr


def test_who_sits_at_a_terminal_is_asked_which(place: Place) -> None:
    code, screen = screen_of(place, "hash")

    assert code == 2
    assert "which sessions?" in screen
