"""How many polls does the sandbox answer on one core, and how many sessions does it hold?"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from random import Random

import attrs

from benchmarks._asking import ask, listening, request
from benchmarks._child import Child, child
from benchmarks._report import Gate, judge, options, show
from benchmarks._rounds import Round, take_turns, typical

SESSIONS = 100_000
POLLS = 10_000
ALONE, WATCHED, FRONT = "alone", "while its list is looked at", "behind a front"
_CONNECTIONS = 50
_KB = 1024


@attrs.frozen(kw_only=True)
class Held:
    """
    What the sandbox has come to when all sessions are begun.

    Attributes:
        sessions: How many it knows.
        kilobytes: Memory for each.
        begins: How many it begins in a second of CPU time.
        wrong: Answers that were none.
    """

    sessions: int
    kilobytes: float
    begins: float
    wrong: int


class Measured:
    """
    A sandbox in a process of its own, and what is asked of it.

    Args:
        process: The process, which has just been started.
    """

    def __init__(self, process: Child) -> None:
        self._process = process
        self._port = int(process.hear())
        self._tokens: list[str] = []
        self._rng = Random(1)  # the same for everybody
        self.wrong = 0

    def begin(self, sessions: int) -> Held:
        """Begin so many sessions over the wire."""
        before = self._stand()
        bodies = self._ask([request("begin/")] * sessions)
        after = self._stand()
        self._tokens = [json.loads(body) for body in bodies if body]
        self.wrong += sessions - len(set(self._tokens))
        return Held(
            sessions=int(after["sessions"]),
            kilobytes=(after["memory"] - before["memory"]) / sessions / _KB,
            begins=sessions / (after["cpu"] - before["cpu"]),
            wrong=self.wrong,
        )

    def poll(self, polls: int, *, is_watched: bool = False) -> float:
        """Poll sessions at random; return how many polls a second of CPU time answers."""
        asked = [
            request("result/", session_token=token)
            for token in self._rng.choices(self._tokens, k=polls)
        ]
        before = self._stand()
        bodies = self._ask(asked, is_watched=is_watched)
        after = self._stand()
        self.wrong += sum(b'"result":"' not in body for body in bodies)
        self.wrong += abs(int(after["polls"] - before["polls"]) - polls)
        return polls / (after["cpu"] - before["cpu"])

    def _ask(self, requests: Sequence[bytes], *, is_watched: bool = False) -> list[bytes]:
        async def asked() -> list[bytes]:
            async with listening(self._port) if is_watched else nullcontext():
                return await ask(self._port, requests, connections=_CONNECTIONS)

        return asyncio.run(asked())

    def _stand(self) -> dict[str, float]:
        said: dict[str, float] = json.loads(self._process.ask())
        return said


def gates(rounds: Sequence[Round], held: Held, *, sessions: int) -> list[Gate]:
    """Say what is promised."""
    return [
        Gate("polls per second of one core", typical(rounds, ALONE), least=2000),
        Gate("sessions held", held.sessions, least=sessions),
        Gate("answers that were wrong", held.wrong, most=0),
    ]


def run(arguments: Sequence[str]) -> int:
    """Measure; return the exit code."""
    parser = options("sandbox", __doc__, rounds=5)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"how many ({SESSIONS})")
    parser.add_argument("--polls", type=int, default=POLLS, help=f"in each round ({POLLS})")
    asked = parser.parse_args(arguments)
    with child("_sandbox_child", "plain") as one, child("_sandbox_child", "front") as other:
        plain, front = Measured(one), Measured(other)
        held = plain.begin(asked.sessions)
        front.begin(asked.polls)
        rounds = take_turns(
            {
                ALONE: partial(plain.poll, asked.polls),
                WATCHED: partial(plain.poll, asked.polls, is_watched=True),
                FRONT: partial(front.poll, asked.polls),
            },
            rounds=asked.rounds,
        )
        held = attrs.evolve(held, wrong=plain.wrong + front.wrong)
    show([attrs.asdict(held)], as_json=asked.json)
    rows = [{"sandbox": name, "polls/CPU s": round(typical(rounds, name))} for name in rounds[0]]
    show(rows, as_json=asked.json)
    return judge(gates(rounds, held, sessions=asked.sessions), asked)
