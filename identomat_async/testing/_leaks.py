"""A guard that looks for secrets where others might read them."""

import base64
import gc
import json
import logging
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

_PACKAGE = "identomat_async"
# They play the service and the test, who know everything.
_KNOWING = (f"{_PACKAGE}.sandbox", f"{_PACKAGE}.testing")


class LeakGuard:
    """
    Finds planted secrets in logs, reprs and tracebacks.

    While its block lasts it keeps every record of every logger, at any level that is on.
    `check` also looks at the repr of all that is alive of this library, and at every
    exception that is: text, arguments, traceback, and the variables in the frames that
    are the library's. Secrets are found as they are, in base64, hexadecimal, JSON, in a
    URL, and backwards.

    Args:
        secrets: What nobody must see.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles: dict[str, int] = {}
        self._count = 0
        self._keeper = _Keeper()
        self.plant(*secrets)

    def __repr__(self) -> str:
        return f"<LeakGuard secrets={self._count}>"

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._keeper)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self._keeper)

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
        Look everywhere now.

        Args:
            things: What to look at besides: a text, or anything that has a repr.

        Raises:
            AssertionError: A secret was found. It is named by its number in the order of
                planting, since the message is read by others.
        """
        texts = [(_name(thing), _text(thing)) for thing in (*things, *_alive())]
        records = [("a log record", text) for text in self._keeper.texts]
        found = [
            f"secret {number} is in {where}"
            for where, text in (*texts, *records)
            for number in sorted({n for needle, n in self._needles.items() if needle in text})
        ]
        if found:
            raise AssertionError("; ".join(dict.fromkeys(found)))


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
    for thing in gc.get_objects():
        module = getattr(type(thing), "__module__", None)
        if isinstance(thing, BaseException) or (
            isinstance(module, str)
            and module.startswith(_PACKAGE)
            and not module.startswith(_KNOWING)
        ):
            yield thing


def _name(thing: object) -> str:
    kind = type(thing).__name__
    return f"an error ({kind})" if isinstance(thing, BaseException) else f"the repr of a {kind}"


def _text(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    if not isinstance(thing, BaseException):
        return repr(thing)
    shown = traceback.format_exception(thing)
    return "\n".join([repr(thing), repr(thing.args), *shown, *_variables(thing)])


def _variables(error: BaseException) -> Iterator[str]:
    """Show what error trackers do: the variables of the library's frames."""
    step = error.__traceback__
    while step is not None:
        name = step.tb_frame.f_globals.get("__name__", "")
        if name.startswith(_PACKAGE) and not name.startswith(_KNOWING):
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
        code = base64.b64encode(bytes(before) + raw).decode()
        yield code[4 if before else 0 : -4]
