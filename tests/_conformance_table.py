"""The conformance table as values: what can go wrong, and what must come of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

PATH = Path(__file__).with_name("conformance.json")

Facts = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Row:
    """
    One thing that goes wrong.

    Attributes:
        id: Its name, which stays.
        part: The part of the table that it is in.
        says: What happens.
        note: What else a user should know.
        cause: What brings it about; see `tests._conformance_stage.STAGES`.
        ways: In which ways, all with the same result; for faults their ids.
        signed: Whether requests and answers are signed.
        attempts: The client's attempts, fewer where each is dear.
        timeout: The client's timeout in seconds, where one has to pass.
        deadline: The deadline of each call in seconds, where one has to pass.
        session: What the session that is polled has come to when it begins.
        connection: Whether the connection is kept for the next request; None for either.
        comes: What must come of each operation.
    """

    id: str
    part: str
    says: str
    note: str = ""
    cause: str
    ways: tuple[str, ...] = attrs.field(converter=tuple)
    signed: bool = False
    attempts: int = 3
    timeout: float | None = None
    deadline: float | None = None
    session: str | None = None
    connection: str | None
    comes: Mapping[str, Facts]

    def __str__(self) -> str:
        return self.id

    def in_slow_motion(self, factor: float) -> Self:
        """Return the same with so many times the time."""
        timeout = None if self.timeout is None else self.timeout * factor
        deadline = None if self.deadline is None else self.deadline * factor
        return attrs.evolve(self, timeout=timeout, deadline=deadline)

    def due(self) -> dict[str, Facts]:
        """Return what must come of each operation."""
        return {name: self._due(facts) for name, facts in self.comes.items()}

    def _due(self, facts: Facts) -> Facts:
        due = dict(facts)
        if self.attempts == 1:
            due["requests"] = 1
        return due | {"connection": self.connection_after(facts)}

    def connection_after(self, facts: Facts) -> str | None:
        """Return what becomes of the connection, None where anything may."""
        # What is gone already is told by the service itself, and nothing strikes that.
        return None if facts.get("value") == "gone" else self.connection


def table() -> tuple[Row, ...]:
    """Read the table."""
    return tuple(Row(**each) for each in json.loads(PATH.read_text())["rows"])
