"""The page of all sessions: what it tells live, and what an operator does there."""

import json
import re
from typing import Any

import anyio
import pytest

from identomat_async.sandbox import Sandbox, Script
from tests._pages_ground import (
    ANSWERED,
    ANSWERS,
    TOKEN,
    begun,
    get,
    post,
    questionnaire,
    result,
)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(life=Script.of("approved", after=20))


async def test_an_operator_decides_from_the_list(sandbox: Sandbox) -> None:
    begun(sandbox)
    sandbox.decide(TOKEN, "manual_check")

    answer = await post(
        sandbox,
        "/sessions/decide",
        session_token=TOKEN,
        verdict="rejected",
        reason="face_mismatch",
        description="Somebody else.",
    )

    document = await result(sandbox)
    assert answer.status_code == 204
    assert document["result"] == "rejected"
    assert document["result_comment"] == "checked by hand"
    assert document["reject_reason"]["description"] == "Somebody else."


async def test_an_operator_keeps_the_answers_of_the_person(sandbox: Sandbox) -> None:
    path = begun(sandbox, questionnaire())
    await post(sandbox, path, verdict="manual_check", **ANSWERS)

    await post(sandbox, "/sessions/decide", session_token=TOKEN, verdict="approved", after="60")
    await anyio.sleep(61)

    document = await result(sandbox)
    assert document["result"] == "approved"
    assert document["questionnaires"] == [{"key": "work", "questions": ANSWERED}]


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"session_token": "x", "verdict": "approved"}, 404, "no such session"),
        ({"session_token": TOKEN, "verdict": "disagreed"}, 400, "approved, manual_check, rejected"),
        ({"session_token": TOKEN}, 400, "verdict"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "-1"}, 400, "seconds"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "soon"}, 400, "seconds"),
        ({"session_token": TOKEN, "verdict": "approved", "after": "nan"}, 400, "seconds"),
    ],
)
async def test_what_an_operator_cannot_do_is_said(
    sandbox: Sandbox, form: dict[str, str], status: int, said: str
) -> None:
    begun(sandbox)

    answer = await post(sandbox, "/sessions/decide", **form)

    assert answer.status_code == status
    assert said in answer.text
    assert sandbox.truth(TOKEN).script == Script.of("approved", after=20)


async def test_what_is_decided_stays_so(sandbox: Sandbox) -> None:
    begun(sandbox)
    sandbox.decide(TOKEN, "Approved")

    answer = await post(sandbox, "/sessions/decide", session_token=TOKEN, verdict="rejected")

    assert (answer.status_code, answer.text) == (409, "It is approved already.")
    assert sandbox.truth(TOKEN).status == "Approved"


async def test_older_sessions_are_a_page_away(sandbox: Sandbox) -> None:
    for number in range(250):
        sandbox.plant(f"t{number}")

    first = await get(sandbox, "/sessions")
    second = await get(sandbox, "/sessions?skip=100")
    last = await get(sandbox, "/sessions?skip=200")
    nonsense = await get(sandbox, "/sessions?skip=-1")

    assert re.findall(r"\?skip=\d+", first.text) == ["?skip=0", "?skip=100"]
    assert re.findall(r"\?skip=\d+", second.text) == ["?skip=100", "?skip=0", "?skip=200"]
    assert re.findall(r"\?skip=\d+", last.text) == ["?skip=200", "?skip=100"]
    assert nonsense.text == first.text


class Listener:
    """A browser that listens, without a socket."""

    def __init__(self, sandbox: Sandbox, query: bytes = b"") -> None:
        self._sandbox = sandbox
        self._query = query
        self.events: list[dict[str, Any]] = []
        self.beats = 0

    async def listen(self, seconds: float) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": "/sessions/events",
            "raw_path": b"/sessions/events",
            "query_string": self._query,
            "root_path": "",
            "headers": [(b"host", b"localhost")],
        }
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            for message in asked:
                return message
            await anyio.sleep(seconds)
            return {"type": "http.disconnect"}

        await self._sandbox.app(scope, receive, self._hear)

    async def _hear(self, message: Any) -> None:
        for line in message.get("body", b"").decode().split("\n\n"):
            if line.startswith("data: "):
                self.events.append(json.loads(line.removeprefix("data: ")))
            self.beats += line == ": still here"


async def test_who_listens_is_told_what_has_changed_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.plant("older")
    begun(sandbox)
    listener = Listener(sandbox)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.listen, 60)
        await anyio.sleep(5)
        await result(sandbox)
        await anyio.sleep(5)
        sandbox.decide(TOKEN, "manual_check", after=3600)
        sandbox.invalidate("older")
        await anyio.sleep(5)
        sandbox.delete(TOKEN)

    first, polled, decided, deleted = (event["rows"] for event in listener.events)
    assert [row["token"] for row in first] == [TOKEN, "older"]
    assert first[0] == {
        "token": TOKEN,
        "status": "in_progress",
        "age": 0,
        "polls": 0,
        "polled": None,
        "next": ["approved", 20],
    }
    assert (polled[0]["polls"], polled[0]["polled"]) == (1, pytest.approx(0.5, abs=0.5))
    assert decided[0]["next"] == ["manual_check", pytest.approx(3600, abs=1)]
    assert decided[1]["status"] == "invalid"
    assert (deleted[0]["status"], deleted[0]["next"]) == ("deleted", None)
    assert listener.events[0]["total"] == 2
    assert 1 <= listener.beats <= 4


async def test_older_sessions_can_be_listened_to(sandbox: Sandbox) -> None:
    for number in range(150):
        sandbox.plant(f"t{number}")
    listener = Listener(sandbox, b"skip=100")

    await listener.listen(1)

    (event,) = listener.events
    assert [row["token"] for row in event["rows"]] == [f"t{n}" for n in range(49, -1, -1)]
    assert event["total"] == 150


async def test_a_browser_that_goes_before_it_has_asked_is_not_answered(sandbox: Sandbox) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
    }
    said: list[Any] = []

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await sandbox.app(scope, gone, send)

    assert said == []
