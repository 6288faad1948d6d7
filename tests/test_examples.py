"""The examples, run: whole flows, what is written down, and what they survive."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi.testclient import TestClient

from examples import script, trio_app, worker
from identomat_async import (
    DeadlinePassed,
    Delivery,
    Outcome,
    PollFailed,
    ResultPoller,
    SessionGone,
    SessionResult,
    SessionStatus,
    Settled,
)
from identomat_async.sandbox import Front, Mode, Sandbox, Script
from tests._web_app import serving

ROOT = Path(__file__).parent.parent


def until(reached: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Ask again and again, on real time, until there is an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := reached():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


# A web app


def _settled(status: str) -> Settled:
    result = SessionResult.from_json(json.dumps({"result": status}).encode())
    return Settled(token="token-7", status=result.status, result=result)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE", str(tmp_path / "checks.sqlite"))
    monkeypatch.setenv("JOURNAL", str(tmp_path / "journal.sqlite"))
    return tmp_path / "checks.sqlite"


def rows(database: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT customer, token, delivery, verdict FROM checks").fetchall()


def told(web: Any, customer: str) -> list[str]:
    with web.stream("GET", f"/checks/{customer}/events") as answer:
        *statuses, end = answer.read().decode().removesuffix("\n\n").split("\n\n")
    assert end.startswith("event: end\n")
    return [status.removeprefix("data: ") for status in statuses]


def test_a_person_goes_comes_back_and_is_told_the_verdict(
    identomat_server: Any, identomat_sandbox: Any, identomat_env: Any, database: Path
) -> None:
    from examples.fastapi_app import app  # noqa: PLC0415 - it reads the environment that is set

    identomat_sandbox.script("abandoned")
    with TestClient(app, follow_redirects=False) as web:
        gone = web.post("/checks/customer-7")
        ((_, token, _, _),) = rows(database)
        assert gone.status_code == 303
        assert gone.headers["location"].endswith(token)
        assert web.get("/healthz").json() == {"watched": 1, "limited_by": "nothing"}

        identomat_sandbox.decide(token, "approved")
        assert "EventSource" in web.get("/checks/customer-7").text
        events = told(web, "customer-7")
        assert web.get("/checks/nobody").status_code == 404
        assert web.get("/checks/nobody/events").status_code == 404

    assert events[-1] == "APPROVED"
    assert set(events) <= {"APPROVED", "IN_PROGRESS"}
    ((customer, _, delivery, verdict),) = rows(database)
    assert (customer, verdict) == ("customer-7", "APPROVED")
    assert delivery


def test_the_same_delivery_twice_is_written_down_once(database: Path) -> None:
    from examples import fastapi_app  # noqa: PLC0415

    fastapi_app.ask(
        "INSERT INTO checks VALUES (NULL, 'customer-7', 'token-7', ?, NULL, NULL)",
        datetime.now(UTC).isoformat(),
    )
    outcome = _settled("approved")

    for attempt in (1, 2):
        fastapi_app.keep(Delivery(id="first", outcome=outcome, attempt=attempt))
    fastapi_app.keep(Delivery(id="second", outcome=_settled("rejected")))

    assert rows(database) == [("customer-7", "token-7", "first", "APPROVED")]


OUTCOMES = [
    (_settled("approved"), "APPROVED", True),
    (_settled("rejected"), "REJECTED", True),
    (_settled("disagreed"), "DISAGREED", True),
    (_settled("manual_check"), "MANUAL_CHECK", False),
    (DeadlinePassed(token="token-7"), "EXPIRED", True),
    (DeadlinePassed(token="token-7", status=SessionStatus.MANUAL_CHECK), "MANUAL_CHECK", False),
    (SessionGone(token="token-7"), "EXPIRED", True),
    (PollFailed(token="token-7", status=SessionStatus.APPROVED), None, False),
]


@pytest.mark.parametrize(("outcome", "verdict", "is_final"), OUTCOMES)
def test_what_is_pending_or_unknown_leaves_the_row_open_for_a_later_verdict(
    outcome: Outcome, verdict: str | None, is_final: bool, database: Path
) -> None:
    from examples import fastapi_app  # noqa: PLC0415

    fastapi_app.ask("INSERT INTO checks VALUES (NULL, 'c', 'token-7', '', NULL, NULL)")
    fastapi_app.keep(Delivery(id="first", outcome=outcome))
    first = rows(database)
    fastapi_app.keep(Delivery(id="second", outcome=_settled("approved")))

    assert first == [("c", "token-7", "first" if is_final else None, verdict)]
    assert rows(database)[0][2:] == (("first", verdict) if is_final else ("second", "APPROVED"))


def test_who_begins_twice_is_sent_to_the_same_check_and_a_verdict_is_never_wiped(
    identomat_server: Any, identomat_sandbox: Any, identomat_env: Any, database: Path
) -> None:
    from examples.fastapi_app import app, latest  # noqa: PLC0415

    identomat_sandbox.script("abandoned")
    with TestClient(app, follow_redirects=False) as web:
        first, again = (web.post("/checks/anna").headers["location"] for _ in range(2))
        identomat_sandbox.decide(identomat_sandbox.tokens[0], "rejected")
        web.get("/checks/anna")
        until(lambda: rows(database)[0][3])
        anew = web.post("/checks/anna").headers["location"]

    assert first == again != anew
    assert anew.endswith(latest("anna")[0])
    assert [row[3] for row in rows(database)] == ["REJECTED", None]


def test_who_comes_back_to_a_check_that_nobody_watches_is_watched_again(
    identomat_server: Any, identomat_sandbox: Any, identomat_env: Any, database: Path
) -> None:
    from examples import fastapi_app  # noqa: PLC0415

    identomat_sandbox.plant("token-7", "approved")
    with TestClient(fastapi_app.app) as web:
        fastapi_app.ask("INSERT INTO checks VALUES (NULL, 'anna', 'token-7', '', NULL, NULL)")
        for _ in range(2):  # the second time it is looked at at once
            assert web.get("/checks/anna").status_code == 200
        assert told(web, "anna")[-1] == "APPROVED"
        watched = web.get("/healthz").json()["watched"]
        web.get("/checks/anna")
        assert web.get("/healthz").json()["watched"] == watched == 0


def test_a_web_app_that_is_killed_loses_nobody(database: Path) -> None:
    sandbox = Sandbox("company-key", "secret-key")
    keys = {"IDENTOMAT_COMPANY_KEY": "company-key", "IDENTOMAT_SECRET_KEY": "secret-key"}
    with sandbox.serve() as server:
        with serving(server, database, **keys) as web:
            for number in range(20):
                assert web.post(f"/checks/customer-{number}").status_code == 303
            web.kill()
        for _, token, _, _ in rows(database):
            sandbox.decide(token, "approved")
        with serving(server, database, **keys) as web:
            for number in range(20):
                assert web.get(f"/checks/customer-{number}").status_code == 200
            until(lambda: all(verdict for *_, verdict in rows(database)))

    assert {verdict for *_, verdict in rows(database)} == {"APPROVED"}
    assert len({delivery for _, _, delivery, _ in rows(database)}) == 20


def test_a_web_app_says_when_its_key_is_revoked_and_keeps_its_people(database: Path) -> None:
    sandbox = Sandbox("company-key", life=Script.of("approved"))
    front = Front()
    with (
        sandbox.serve(front=front) as server,
        serving(server, database, IDENTOMAT_COMPANY_KEY="company-key") as web,
    ):
        for number in range(5):
            web.post(f"/checks/customer-{number}")
        front.mode = Mode.key_revoked()
        for number in range(5):
            assert web.get(f"/checks/customer-{number}").status_code == 200
        ill = until(lambda: (got := web.get("/healthz")).status_code == 503 and got.json())
        assert web.get("/checks/customer-1").status_code == 200

    assert ill == {"watched": 5, "limited_by": "halted"}
    assert {verdict for *_, verdict in rows(database)} == {None}


def test_verdicts_arrive_once_the_key_is_accepted_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.fastapi_app import app  # noqa: PLC0415

    sandbox = Sandbox("company-key", life=Script.of("approved"))
    front = Front()
    with sandbox.serve(front=front) as server:
        monkeypatch.setenv("IDENTOMAT_COMPANY_KEY", "company-key")
        monkeypatch.setenv("IDENTOMAT_BASE_URL", server.base_url)
        monkeypatch.delenv("IDENTOMAT_SECRET_KEY", raising=False)
        with TestClient(app, follow_redirects=False) as web:
            for number in range(5):
                web.post(f"/checks/customer-{number}")
            front.mode = Mode.key_revoked()
            web.get("/checks/customer-0")
            until(lambda: web.get("/healthz").status_code == 503)
            before = rows(database)
            front.mode = Mode.up()
            # It would ask again by itself, within half a minute.
            assert web.portal is not None
            web.portal.call(app.state.poller.resume)
            for number in range(5):
                web.get(f"/checks/customer-{number}")
            until(lambda: all(verdict for *_, verdict in rows(database)))
            well = web.get("/healthz")

    assert {verdict for *_, verdict in before} == {None}
    assert {verdict for *_, verdict in rows(database)} == {"APPROVED"}
    assert well.status_code == 200


def test_a_verdict_that_was_written_when_the_app_was_killed_is_written_once(
    database: Path,
) -> None:
    sandbox = Sandbox("company-key", life=Script.of("approved"))
    keys = {"IDENTOMAT_COMPANY_KEY": "company-key"}
    with sandbox.serve() as server:
        with serving(server, database, app="tests._dying_web_app:app", **keys) as web:
            web.post("/checks/anna")
            with suppress(httpx.TransportError):
                web.get("/checks/anna")
            web.process.wait(timeout=20)
        written = rows(database)
        sandbox.decide(written[0][1], "rejected")  # what is read again must change nothing
        with serving(server, database, **keys) as web:
            until(lambda: web.get("/healthz").json()["watched"] == 0)
            until(lambda: sandbox.truth(written[0][1]).polls > 2)
        again = rows(database)

    ((_, _, delivery, verdict),) = written
    assert verdict == "APPROVED"
    assert delivery
    assert again == written


# A worker


@contextmanager
def working(server: Any, stdin: Any = subprocess.PIPE) -> Generator[subprocess.Popen[str]]:
    environment = os.environ | {
        "IDENTOMAT_COMPANY_KEY": "company-key",
        "IDENTOMAT_BASE_URL": server.base_url,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "examples.worker"],
        cwd=ROOT,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told_to(number: int) -> None:
    sandbox = Sandbox("company-key")
    sandbox.plant("session-1")
    with sandbox.serve() as server, working(server) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("no token\nsession-1\nno token\n")
        process.stdin.flush()
        said = process.stderr.readline()
        process.stderr.readline()
        process.send_signal(number)
        _, ended = process.communicate(timeout=20)

    assert said.startswith("a line was left out: a session token is")
    assert "no token" not in said
    assert ended == "ended; 1 sessions are open\n"
    assert process.returncode == 0


def test_a_worker_takes_its_tokens_from_a_file_too(tmp_path: Path) -> None:
    sandbox = Sandbox("company-key")
    file = tmp_path / "tokens.txt"
    file.write_text("session-1\nsession-2\nno token")
    with file.open() as stdin, sandbox.serve() as server, working(server, stdin) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, ended = process.communicate(timeout=20)

    assert ended == "ended; 2 sessions are open\n"
    assert process.returncode == 0


async def test_what_a_worker_writes_names_the_session_and_nobody(
    capsys: Any, identomat_sandbox: Any, identomat_client: Any, identomat_clock: Any
) -> None:
    identomat_sandbox.plant("session-1", Script.of("rejected", after=60))
    poller = ResultPoller(identomat_client)
    async with anyio.create_task_group() as tasks:
        await tasks.start(poller.run, worker.write)
        await poller.watch("session-1")
        await identomat_clock.advance(120)
        await poller.drain()

    line = json.loads(capsys.readouterr().out)
    assert line == {"token": "session-1", "outcome": "Settled", "status": "REJECTED"}


# A script


@pytest.mark.parametrize(
    ("status", "code", "kept", "left"),
    [
        pytest.param("approved", 0, True, False, id="approved"),
        pytest.param("rejected", 1, False, False, id="rejected"),
        pytest.param("manual_check", 2, False, True, id="review"),
        pytest.param("abandoned", 2, False, True, id="nobody"),
    ],
)
async def test_a_script_saves_the_evidence_and_leaves_no_session_behind(
    status: str,
    code: int,
    kept: bool,
    left: bool,
    tmp_path: Path,
    identomat_sandbox: Any,
    identomat_client: Any,
    identomat_clock: Any,
) -> None:
    identomat_sandbox.script(status, after=100)
    identomat_clock.jump()

    assert await script.verify(identomat_client, tmp_path / "evidence") == code

    assert (tmp_path / "evidence" / "face.jpg").exists() is kept
    (token,) = identomat_sandbox.tokens
    assert identomat_sandbox.truth(token).deleted is not left


@pytest.mark.parametrize(
    ("name", "given"), [("script", []), ("trio_app", []), ("trio_app", ["many"])]
)
def test_bad_usage_is_one_line(name: str, given: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", f"examples.{name}", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"usage: python -m examples.{name} ")
    assert done.stderr.count("\n") == 1


# Trio


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_people_are_verified_at_once_in_a_trio_program(
    anyio_backend: str,
    capsys: Any,
    identomat_sandbox: Any,
    identomat_client: Any,
    identomat_clock: Any,
) -> None:
    identomat_sandbox.script("approved", after=70)
    identomat_clock.jump()

    await trio_app.verify_all(3, identomat_client)

    said = capsys.readouterr().out
    assert said.count("goes to http") == 3
    assert said.count(f": {SessionStatus.APPROVED}") == 3


# Django


def test_both_databases_are_told_the_same() -> None:
    named = re.compile(r"^def verdict_of.*?(?=^def )", re.DOTALL | re.MULTILINE)
    shown = [
        named.findall((ROOT / "examples" / f"{name}.py").read_text())
        for name in ("fastapi_app", "django_command")
    ]

    assert shown[0] == shown[1] != []


def test_a_management_command_awaits_what_is_open_in_its_own_table(tmp_path: Path) -> None:
    program = """
import sys
from datetime import UTC, datetime, timedelta
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["tests._shop.apps.Shop"], USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
)
django.setup()
from django.db import connection
from examples.django_command import Command
from tests._shop.models import Check
with connection.schema_editor() as editor:
    editor.create_model(Check)
long_ago = datetime.now(UTC) - timedelta(minutes=4)
for token in ("one", "two", "three"):
    Check.objects.create(token=token, begun=long_ago)
Check.objects.create(token="done", begun=long_ago, delivery="before", verdict="REJECTED")
Command().handle()
print(sorted(Check.objects.values_list("token", "verdict")))
"""
    sandbox = Sandbox("company-key", life=Script.of("approved"))
    for token in ("one", "two", "three"):
        sandbox.plant(token, Script.of("approved", after=1), begun=time.monotonic() - 240)
    with sandbox.serve() as server:
        environment = os.environ | {
            "IDENTOMAT_COMPANY_KEY": "company-key",
            "IDENTOMAT_BASE_URL": server.base_url,
        }
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", program, str(tmp_path / "shop.sqlite")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "3 checks were looked at"
    assert second == str(
        [("done", "REJECTED"), ("one", "APPROVED"), ("three", "APPROVED"), ("two", "APPROVED")]
    )
