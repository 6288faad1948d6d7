"""The lives of a sandbox's sessions, as a TOML file tells them."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import cast

import attrs

from identomat_async._cli._durations import seconds_of
from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import Life, Sandbox, Script

_MEMBERS = {"status", "after", "then", "times", "token", "begun"}
_STEP = {"status", "after"}
_LAST = ("repeat", "random")


@attrs.frozen(kw_only=True)
class Planted:
    """A session that is there from the start, begun so many seconds before."""

    token: str
    script: Script
    age: float


@attrs.frozen(kw_only=True)
class Play:
    """
    What a script file tells.

    Attributes:
        lives: The sessions that will be begun, in order.
        planted: Those that are there from the start.
        afterwards: Whether the lives come again after the last, or random people do.
    """

    lives: tuple[Script, ...]
    planted: tuple[Planted, ...]
    afterwards: str

    def life(self, others: Life) -> Life:
        """Return what draws the lives; *others* draws those that are not told here."""
        if not self.lives:
            return others
        told = self._told()

        def draw(rng: Random) -> Script:
            return next(told, None) or others(rng)

        return draw

    def plant(self, sandbox: Sandbox) -> None:
        """Put those there who are there from the start."""
        for each in self.planted:
            sandbox.plant(each.token, each.script, begun=sandbox.now() - each.age)

    def _told(self) -> Iterator[Script]:
        yield from self.lives
        while self.afterwards == "repeat":
            yield from self.lives


def read_script(file: Path) -> Play:
    """
    Read a script file.

    Raises:
        ConfigurationError: It is none; the message says where and why.
        OSError: It cannot be read.
    """
    try:
        members = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from None
    try:
        return play_of(members)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None


def play_of(members: Mapping[str, object]) -> Play:
    """
    Make sense of what a script file holds.

    Raises:
        ConfigurationError: It makes none.
    """
    _refuse_others(members, {"afterwards", "session"}, "the file")
    afterwards = members.get("afterwards", "repeat")
    if afterwards not in _LAST:
        raise ConfigurationError('afterwards is "repeat" or "random"')
    sessions = _tables(members.get("session", []), "session")
    if not sessions:
        raise ConfigurationError("there is no [[session]]")
    lives: list[Script] = []
    planted: list[Planted] = []
    for number, session in enumerate(sessions, start=1):
        where = f"session {number}"
        _refuse_others(session, _MEMBERS, where)
        script = _script(session, where)
        if "token" in session:
            planted.append(_planted(session, script, where))
        else:
            lives += [script] * _times(session, where)
    return Play(lives=tuple(lives), planted=tuple(planted), afterwards=str(afterwards))


def _script(session: Mapping[str, object], where: str) -> Script:
    script = Script.of(_status(session, where), after=_span(session, "after", where))
    for number, step in enumerate(_tables(session.get("then", []), "then"), start=1):
        place = f"{where}, then {number}"
        _refuse_others(step, _STEP, place)
        script = script.then(_status(step, place), after=_span(step, "after", place))
    return script


def _planted(session: Mapping[str, object], script: Script, where: str) -> Planted:
    token = session["token"]
    if not isinstance(token, str) or not token or "times" in session:
        raise ConfigurationError(f"{where}: token is a text, and there is one such session")
    return Planted(token=token, script=script, age=_span(session, "begun", where))


def _times(session: Mapping[str, object], where: str) -> int:
    times = session.get("times", 1)
    if isinstance(times, bool) or not isinstance(times, int) or times < 1:
        raise ConfigurationError(f"{where}: times is a whole number, 1 or more")
    if "begun" in session:
        raise ConfigurationError(f"{where}: begun needs a token; others begin when a client says")
    return times


def _status(members: Mapping[str, object], where: str) -> str:
    status = members.get("status")
    if not isinstance(status, str) or not status:
        raise ConfigurationError(f'{where}: status is a text, such as "approved" or "abandoned"')
    return status


def _span(members: Mapping[str, object], name: str, where: str) -> float:
    value = members.get(name, 0)
    seconds = seconds_of(value) if isinstance(value, str | int | float) else None
    if seconds is None or isinstance(value, bool):
        raise ConfigurationError(f'{where}: {name} is a span of time, such as 30 or "2h"')
    return seconds


def _tables(value: object, name: str) -> Sequence[Mapping[str, object]]:
    if not isinstance(value, list) or not all(
        isinstance(each, dict) for each in cast("list[object]", value)
    ):
        raise ConfigurationError(f"{name} is a list of tables: [[{name}]]")
    return cast("list[Mapping[str, object]]", value)


def _refuse_others(members: Mapping[str, object], known: set[str], where: str) -> None:
    others = sorted(members.keys() - known)
    if others:
        raise ConfigurationError(
            f"{where}: nothing is known by the name of {others[0]}; there are"
            f" {', '.join(sorted(known))}"
        )
