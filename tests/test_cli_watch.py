"""`identomat watch` and `identomat wait`, from their lines to their exit code."""

import io
import json
import signal
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import attrs
import pytest
from rich.console import Console

from identomat_async import (
    DeadlinePassed,
    IdentomatClient,
    PollFailed,
    ResultPoller,
    SessionGone,
    SessionStatus,
    Until,
    errors,
)
from identomat_async._cli import _exits, _told
from identomat_async._cli._board import Board
from identomat_async._cli._exits import Exit
from identomat_async._cli._tokens import Item, Reading
from identomat_async._cli._told import Told, of_watch
from identomat_async._cli._watch_run import Plan, Waiting
from identomat_async._cli._watch_show import picture, row_of
from identomat_async.sandbox import Sandbox, Script
from tests._cli_ground import Place, screen_of, serving

PLAN = Plan(until=Until.TERMINAL, deadline=600, review=3600, rate=50)


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with serving(life=Script.of("approved")) as place:
        for status in ("approved", "rejected", "manual_check", "in_progress"):
            place.sandbox.plant(status, status)
        yield place


# Lines in, lines out


def test_a_pipe_in_and_json_lines_out(place: Place) -> None:
    done = place.run("watch", stdin="approved user:1\n# nobody\n\nrejected\napproved\n")

    told = {each["token"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 3
    assert done.stderr == "2 of 2: 1 APPROVED, 1 REJECTED\n"
    assert told["approved"]["reference"] == "user:1"
    assert told["approved"]["outcome"] == told["rejected"]["outcome"] == "settled"
    assert told["approved"]["result"]["has_person"] is True
    assert [told[name]["exit_code"] for name in ("approved", "rejected")] == [0, 3]


def test_the_document_is_there_for_those_who_ask_for_it(place: Place) -> None:
    done = place.run("watch", "approved", "--show-personal")

    told = json.loads(done.stdout)
    number = place.sandbox.truth("approved").person_number
    assert told["result"]["person"]["personal_number"] == number


def test_words_can_be_had_in_a_pipe_too(place: Place) -> None:
    stdin = '{"token": "approved", "reference": "user:1", "begun": "2026-01-01T00:00:00"}'
    hidden = place.run("watch", "--text", stdin=stdin)
    shown = place.run("watch", "--text", "--show-personal", stdin=stdin)

    assert "settled as APPROVED" in hidden.stdout
    assert "user:1" not in hidden.stdout
    assert "(user:1)" in shown.stdout


def test_tokens_from_arguments_a_file_and_a_pipe_together(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("rejected")

    done = place.run("watch", "approved", "-", "-f", str(file), stdin="manual_check")

    assert len(done.stdout.splitlines()) == 3
    assert done.exit_code == 4


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_an_empty_pipe_is_bad_usage_and_no_approval(place: Place, options: tuple[str, ...]) -> None:
    done = place.run("watch", *options, stdin="")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "identomat: no session was named\n"


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_what_is_no_text_is_said_once_and_nobody_in_it_is_looked_at(
    place: Place, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"approved\n" + b"\x00\xff\n" * 500 + b"approved\n")
    before = place.sandbox.request_count

    done = place.run("watch", *options, "-f", str(file))

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"identomat: this is no text, from line 1 on: {file}\n")
    assert done.stderr.count("\n") == 2
    assert place.sandbox.request_count == before


def test_many_lines_that_are_wrong_are_counted(place: Place) -> None:
    done = place.run("watch", "--once", stdin="ö\n" * 40_000 + "approved\n" + "ö\n" * 40_000)

    said = done.stderr.splitlines()
    assert done.exit_code == 2
    assert len(done.stdout.splitlines()) == 1
    assert sum(" was left out: " in line for line in said) == 5
    assert "identomat: 79995 more lines were left out" in said
    assert len(said) == 7


@pytest.mark.parametrize("options", [("--once",), ("--deadline", "10")])
def test_a_line_that_is_wrong_is_said_and_left_out(place: Place, options: tuple[str, ...]) -> None:
    done = place.run("watch", *options, stdin="approved\nö-token\n{\napproved\n")

    assert done.exit_code == 2
    assert len(done.stdout.splitlines()) == (2 if "--once" in options else 1)
    assert "line 2 was left out: a session token is" in done.stderr
    assert "line 3 was left out: this is not JSON" in done.stderr
    assert "ö-token" not in done.output


def test_a_deadline_that_passed_is_an_outcome(place: Place) -> None:
    done = place.run("watch", "in_progress", "--deadline", "0")

    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 6
    assert (told["outcome"], told["status"]) == ("deadline_passed", "IN_PROGRESS")


def test_once_looks_once_and_tells_of_all(place: Place) -> None:
    before = place.sandbox.request_count

    done = place.run("watch", "--once", stdin="approved x\nin_progress\nnobody\n")

    told = {each["token"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert place.sandbox.request_count == before + 3
    assert done.exit_code == 7
    assert [told[each]["outcome"] for each in ("approved", "in_progress", "nobody")] == [
        *("settled", "open", "failed")
    ]
    assert told["approved"]["reference"] == "x"
    assert told["nobody"]["error"] == "SessionNotFoundError"
    assert "1 IN_PROGRESS" in done.stderr


@pytest.mark.parametrize("options", [("--once",), ()])
def test_a_key_that_is_refused_ends_it_and_says_who_is_open(options: tuple[str, ...]) -> None:
    with serving(company_key="another-key") as place:
        done = place.run("watch", *options, *(f"t{number}" for number in range(12)))

    opened, refused = done.stderr.splitlines()
    assert done.exit_code == 9
    assert opened.startswith("Still open: ")
    assert opened.endswith(" and 2 more")
    assert refused.startswith("identomat: the service refuses the company key")


def test_a_file_that_is_not_there_is_one_line(place: Place) -> None:
    done = place.run("watch", "-f", "/no/such/file")

    assert done.exit_code == 1
    assert done.stderr == "identomat: No such file or directory: /no/such/file\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [("--deadline", "soon"), ("--review", "2y"), ("--age", "999d"), ("--rate", "0")],
)
def test_options_that_make_no_sense_are_refused(place: Place, option: str, value: str) -> None:
    done = place.run("watch", "approved", option, value)

    assert (done.exit_code, done.stdout) == (2, "")
    assert option in done.stderr
    assert "`identomat watch --help`" in done.stderr


# wait


def test_wait_shows_the_result_and_says_the_status(place: Place) -> None:
    piped = place.run("begin").stdout

    shown = place.run("wait", "-", stdin=piped)
    told = json.loads(place.run("wait", "rejected", "--json").stdout)
    late = place.run("wait", "in_progress", "--deadline", "0s")

    assert shown.exit_code == 0
    assert "settled as APPROVED" in shown.stdout
    assert "--show-personal" in shown.stderr
    assert (told["status"], told["exit_code"]) == ("REJECTED", 3)
    assert late.exit_code == 6
    assert "the deadline passed" in late.stdout


@pytest.mark.parametrize("command", [("wait",), ("watch", "--grace", "0")])
def test_a_service_that_is_away_keeps_nobody_beyond_the_deadline(
    place: Place, command: tuple[str, ...]
) -> None:
    done = place.run(*command, "a", "--json", "--deadline", "0", "--base-url", "http://127.0.0.1:9")

    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 8
    assert (told["outcome"], told["error"]) == ("poll_failed", "ConnectionFailedError")


# On a terminal


def test_a_terminal_shows_who_is_open_and_leaves_the_outcomes(place: Place) -> None:
    code, screen = screen_of(
        place,
        *("watch", "approved", "in_progress"),
        until=("IN_PROGRESS", "1 of 2", "in 1 s"),
    )

    assert code == 130
    assert "settled as APPROVED" in screen
    assert "\x1b[?25h" in screen  # the cursor is there again
    assert "Still open: " in screen.rpartition("\x1b[?25h")[2]


def test_control_c_leaves_a_pipe_that_nobody_closes(place: Place) -> None:
    with place.start("watch") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("approved\nin_progress\n")
        process.stdin.flush()
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert process.returncode == 130
    assert told["status"] == "APPROVED"
    assert said.startswith("Still open: ")
    assert said.count("\n") == 1


def test_a_reader_that_leaves_ends_it_quietly(place: Place) -> None:
    with place.start("watch") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("approved\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write("rejected\n")
        process.stdin.flush()
        said = process.stderr.read()

    assert (process.returncode, said) == (1, "")


# The waiting itself, on time that jumps


def waiting(sandbox: Sandbox, reading: Reading) -> tuple[Waiting, list[Told]]:
    told: list[Told] = []
    client = IdentomatClient("k", base_url=sandbox.base_url, transport=sandbox.transport)
    return Waiting(client=client, reading=reading, board=Board(), tell=told.append), told


async def test_many_sessions_come_to_their_outcomes_and_a_file_is_read_in_one_go(
    tmp_path: Path,
) -> None:
    sandbox, file = Sandbox(), tmp_path / "tokens"
    for number in range(30):
        status = ("approved", "rejected", "abandoned")[number % 3]
        sandbox.plant(f"t{number}", Script.of(status, after=number))
    file.write_text("".join(f"t{number}\n" for number in range(30)))
    here, told = waiting(sandbox, Reading([], [file]))

    await here.watch(PLAN)

    assert here.board.ended == {"APPROVED": 10, "REJECTED": 10, "deadline passed": 10}
    assert here.board.code == Exit.OPEN
    assert len(told) == 30


async def test_the_age_that_is_shown_is_the_one_that_was_said_or_marked_as_supposed() -> None:
    sandbox = Sandbox(life=Script())
    for token in ("old", "told"):
        sandbox.plant(token, "in_progress")
    told = Item(token="told", begun=datetime.now(UTC) - timedelta(hours=2))
    here, _ = waiting(sandbox, Reading(["old"], []))
    here.board.add([told])
    screen = io.StringIO()
    here.console = Console(file=screen, width=100, force_terminal=True)

    with anyio.move_on_after(1.0):
        await here.watch(attrs.evolve(PLAN, age=3600.0))

    assert "~1:00:0" in screen.getvalue()
    assert "2:00:0" in screen.getvalue()
    assert "~2:00:0" not in screen.getvalue()


async def test_a_few_are_looked_at_at_once_and_many_are_not() -> None:
    requests = []
    for count in (2, 40):
        sandbox = Sandbox(life=Script.of("approved"))
        tokens = [f"t{number}" for number in range(count)]
        for token in tokens:
            sandbox.plant(token, "approved")
        here, told = waiting(sandbox, Reading(tokens, []))
        await here.watch(attrs.evolve(PLAN, rate=2.0))
        requests.append(max(each.waited for each in told))

    assert requests[0] < 5 < requests[1]


# What is told, and what is drawn


def test_every_outcome_has_a_name_and_a_code() -> None:
    invalid = errors.SessionInvalidError("no")
    outcomes = {
        "session_gone": (SessionGone(token="a"), Exit.GONE),
        "deadline_passed": (DeadlinePassed(token="a", status=SessionStatus("odd")), Exit.OPEN),
        "poll_failed": (PollFailed(token="a"), Exit.FAILED),
    }

    for name, (outcome, code) in outcomes.items():
        told = of_watch(outcome, token_hash="h")
        assert (told.outcome, told.code) == (name, code)
        assert told.document(show_personal=False)["status"] in {None, "UNKNOWN"}
    gone = of_watch(SessionGone(token="a", polls=3, waited=64.2, verified=True), token_hash="h")
    assert gone.explained == "the service does not know this session (3 looks in 64 s)"
    signed = of_watch(SessionGone(token="a", polls=1, verified=True), token_hash="h")
    assert signed.explained.endswith("(1 look in 0 s)")
    told = of_watch(PollFailed(token="a", last_error=invalid), token_hash="h")
    assert (told.code, told.error) == (Exit.GONE, "SessionInvalidError")
    assert _exits.of_error(ValueError()) is Exit.FAULT
    assert _exits.highest([]) is Exit.FINE
    assert set(_exits.MEANINGS) == set(Exit)


def test_what_is_nested_is_shown_by_its_path() -> None:
    document = {"a": {"b": [1, {"c": True}]}, "none": None, "empty": "", "no": False, "list": []}

    assert dict(_told.leaves(document)) == {"a.b[0]": "1", "a.b[1].c": "yes", "no": "no"}


def drawn(board: Board, stats: object, rows: int) -> str:
    shown = [
        row_of(item, None, token_hash=item.token, age=5, show_personal=True)
        for item in board.first(rows)
    ]
    console = Console(file=io.StringIO(), width=100)
    console.print(picture(board, shown, stats))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_a_crowd_is_drawn_in_part(source) -> None:
    stats = attrs.evolve(ResultPoller(source).stats(), limited_by="paused")
    board = Board()
    board.add([Item(token=f"t{n}", reference="[red]Anna[/red]") for n in range(30)])

    shown = drawn(board, stats, 3)

    assert "t2 ([red]Anna[/red])" in shown
    assert "27 more" in shown
    assert "0 of 30 so far" in shown
    assert "paused: " in shown
    assert "more" not in drawn(board, stats, 30)
