"""A guard that looks for secrets where others might read them."""

import base64
import gc
import json
import logging
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, cast

_PACKAGE = "identomat_async"
# A shorter piece of base64 stands in many a text by chance.
_LEAST_CODE = 6
# They play the service and the test, who know everything.
_KNOWING = (f"{_PACKAGE}.sandbox", f"{_PACKAGE}.testing")


class LeakGuard:
    """
    Finds planted secrets in logs, reprs and tracebacks.

    While its block lasts it keeps what reaches the root logger, from DEBUG on.
    `check` also looks at the repr of all that is alive of this library, and at every
    exception that is and was not before the guard: text, arguments, and the variables in
    the frames of its traceback that are the library's. Secrets are found as they are, in
    base64, hexadecimal, JSON, in a URL, and backwards.

    Args:
        secrets: What nobody must see.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles: dict[str, int] = {}
        self._count = 0
        self._level = logging.NOTSET
        self._keeper = _Keeper()
        # Kept, so that no other gets the place in memory by which it is known.
        self._before = [thing for thing in _alive() if isinstance(thing, BaseException)]
        self.plant(*secrets)

    def __repr__(self) -> str:
        return f"<LeakGuard secrets={self._count}>"

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self._keeper)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        root = logging.getLogger()
        root.removeHandler(self._keeper)
        root.setLevel(self._level)

    def plant(self, *secrets: str) -> None:
        """
        Look for these too.

        Args:
            secrets: Texts of four characters or more; a shorter one is found by chance.

        Raises:
            ValueError: One is too short.
        """
        for secret in secrets:
            if len(secret) < 4:  # noqa: PLR2004 - the docstring says it
                raise ValueError("a secret of less than four characters is found by chance")
            self._count += 1
            self._needles |= dict.fromkeys(_spellings(secret), self._count)

    def check(self, *things: object) -> None:
        """
        Look now: at *things* if there are any, else everywhere.

        Args:
            things: Texts, errors, or anything that has a repr.

        Raises:
            AssertionError: A secret was found. It is named by its number in the order of
                planting, since the message is read by others.
        """
        found = [
            f"secret {number} is in {where}"
            for where, text in (map(_shown, things) if things else self._everything())
            for number in sorted({n for needle, n in self._needles.items() if needle in text})
        ]
        if found:
            raise AssertionError("; ".join(dict.fromkeys(found)))

    def _everything(self) -> Iterator[tuple[str, str]]:
        known = {id(error) for error in self._before}
        yield from (("a log record", text) for text in self._keeper.texts)
        yield from (_shown(thing) for thing in _alive() if id(thing) not in known)


class _Keeper(logging.Handler):
    """Keeps what was logged, the way a file would show it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name != "msg"}
        self.texts.append(f"{self.format(record)}\n{extra!r}")


def _alive() -> Iterator[object]:
    """Find what is alive of this library, and every exception."""
    wanted: dict[type, bool] = {}
    for thing in cast("list[object]", gc.get_objects()):
        kind = type(thing)
        if kind not in wanted:
            # Not isinstance, which wakes what pretends to be something else.
            wanted[kind] = issubclass(kind, BaseException) or _is_ours(kind.__module__)
        if wanted[kind]:
            yield thing


def _is_ours(module: object) -> bool:
    return (
        isinstance(module, str) and module.startswith(_PACKAGE) and not module.startswith(_KNOWING)
    )


def _shown(thing: object) -> tuple[str, str]:
    """Say what a thing is, and what others see of it."""
    kind = type(thing).__name__
    if isinstance(thing, str):
        return "a text", thing
    if not isinstance(thing, BaseException):
        return f"the repr of a {kind}", repr(thing)
    # Without the lines of source, where a test may well have written what it plants.
    parts = [repr(thing), repr(thing.args), *traceback.format_exception_only(thing)]
    return f"an error ({kind})", "\n".join([*parts, *_variables(thing)])


def _variables(error: BaseException) -> Iterator[str]:
    """Show what error trackers do: the variables of the library's frames."""
    step = error.__traceback__
    while step is not None:
        if _is_ours(step.tb_frame.f_globals.get("__name__")):
            yield repr(step.tb_frame.f_locals)
        step = step.tb_next


def _spellings(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield secret
    yield secret[::-1]
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote_plus(secret)
    yield raw.hex()
    yield raw.hex().upper()
    for before in range(3):
        # Where it begins in a longer text decides how base64 spells it.
        code = base64.b64encode(bytes(before) + raw).decode()[4 if before else 0 : -4]
        if len(code) >= _LEAST_CODE:
            yield code
