"""Which sessions are meant: tokens from arguments, files and pipes, each line on its own."""

import json
import sys
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self, cast

import anyio
import attrs
from anyio.lowlevel import checkpoint

from identomat_async import Watch
from identomat_async._model._token import checked_token
from identomat_async.errors import ConfigurationError

_CHUNK = 65536
_PIPE = "-"
# So many wrong lines of a file are said one by one, and the others counted.
_SAID = 5


@attrs.frozen(kw_only=True)
class Item:
    """
    One session that was named.

    Attributes:
        token: The session.
        reference: What the application calls it, None if it was not said.
        begun: When it was begun, None if it was not said.
        is_supposed: Whether *begun* is no more than what is supposed of all that do not say.
    """

    token: str = attrs.field(repr=False)
    reference: str | None = attrs.field(default=None, repr=False)
    begun: datetime | None = None
    is_supposed: bool = False

    def supposing(self, begun: datetime) -> Self:
        """Return the same, begun at *begun* unless it was said."""
        return self if self.begun else attrs.evolve(self, begun=begun, is_supposed=True)

    def watch(self) -> Watch:
        """Return the watch."""
        return Watch(self.token, reference=self.reference, begun=self.begun)


def parse_line(line: str) -> Item | None:
    """
    Read one line: a token, or a token and a reference, or a JSON object that has them.

    The object may be what `identomat begin --json` wrote. Empty lines and those that begin
    with ``#`` mean nothing.

    Raises:
        ConfigurationError: It is something else; it is not repeated.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    if text.startswith("{"):
        return _of_members(text)
    token, *rest = text.split(maxsplit=1)
    return Item(token=checked_token(token), reference=rest[0] if rest else None)


def _of_members(text: str) -> Item:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError("this is not JSON") from None
    reference, begun = members.get("reference"), members.get("begun")
    if not isinstance(reference, str | None):
        raise ConfigurationError("a reference is a text")
    return Item(
        token=checked_token(members.get("token")), reference=reference, begun=_moment(begun)
    )


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigurationError("begun is a time in ISO 8601") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def one_token(token: str) -> str:
    """
    Return the token that is meant: itself, or for ``-`` the first line of stdin.

    Raises:
        ConfigurationError: It is none.
    """
    if token != _PIPE:
        return checked_token(token)
    line = sys.stdin.readline()
    item = parse_line(line)
    if item is None:
        raise ConfigurationError("there is no token on stdin")
    return item.token


def sources_of(tokens: Sequence[str], file: Path | None) -> tuple[list[str], list[Path]]:
    """
    Return the tokens that were named, and which files to read more from; ``-`` is stdin.

    Without any, stdin is read unless somebody sits at it.

    Raises:
        ConfigurationError: No tokens were named at all, or one cannot be one.
    """
    named = [checked_token(token) for token in tokens if token != _PIPE]
    files = [] if file is None else [file]
    if _PIPE in tokens and Path(_PIPE) not in files:
        files.append(Path(_PIPE))
    if not named and not files:
        if sys.stdin.isatty():
            raise ConfigurationError("which sessions? Give tokens, a file with --file, or a pipe")
        files.append(Path(_PIPE))
    return named, files


@contextmanager
def opened(file: Path) -> Generator[BinaryIO]:
    """
    Open a file, or stdin, unbuffered: what a buffer holds could not be waited for.

    Raises:
        OSError: It cannot be opened.
    """
    if file == Path(_PIPE):
        yield cast("BinaryIO", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
    else:
        with file.open("rb", buffering=0) as raw:
            yield cast("BinaryIO", raw)


def named_items(tokens: Sequence[str], file: Path | None) -> list[Item]:
    """
    Return all the sessions that are meant, each once, when there is no hurry.

    Raises:
        ConfigurationError: There are none, or one is wrong.
        OSError: A file cannot be read.
    """
    named, files = sources_of(tokens, file)
    items = [Item(token=token) for token in named]
    for each in files:
        items += _items_in(each)
    if not items:
        raise ConfigurationError("no session was named")
    return list({item.token: item for item in items}.values())


def _items_in(file: Path) -> Iterator[Item]:
    with opened(file) as raw:
        lines = raw.read().decode(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            item = parse_line(line)
        except ConfigurationError as error:
            raise ConfigurationError(f"line {number}: {error}") from None
        if item is not None:
            yield item


@attrs.define(eq=False)
class Reading:
    """
    What comes in line by line, in batches, as soon as it is there.

    Attributes:
        named: The tokens that were arguments.
        files: What else is read, one after the other.
        wrong: What was wrong with lines that were left out, and which they were; whoever
            has said it takes it away.
    """

    named: Sequence[str]
    files: Sequence[Path]
    wrong: list[str] = attrs.field(factory=list[str])

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Give what there is, as soon as there is something."""
        if self.named:
            yield [Item(token=token) for token in self.named]
        for file in self.files:
            number, left_out = 0, 0
            with opened(file) as raw:
                async for lines in lines_of(raw):
                    if any(b"\0" in line for line in lines):
                        self.wrong.append(f"this is no text, from line {number + 1} on: {file}")
                        break
                    items, wrong = _items_of(lines, before=number)
                    self.wrong += wrong[: max(0, _SAID - left_out)]
                    left_out += len(wrong)
                    number += len(lines)
                    if items:
                        yield items
            if left_out > _SAID:
                self.wrong.append(f"{left_out - _SAID} more lines were left out")


def _items_of(lines: Iterable[bytes], *, before: int) -> tuple[list[Item], list[str]]:
    """Return the sessions in some lines, and what is wrong with the other lines."""
    items: list[Item] = []
    wrong: list[str] = []
    for number, line in enumerate(lines, start=before + 1):
        try:
            item = parse_line(line.decode(errors="replace"))
        except ConfigurationError as error:
            wrong.append(f"line {number} was left out: {error}")
        else:
            items += [] if item is None else [item]
    return items, wrong


async def lines_of(file: BinaryIO) -> AsyncIterator[list[bytes]]:
    """Give the lines of an unbuffered file as they come, all that are there at a time."""
    rest = b""
    while chunk := await _some(file):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        yield [rest]


async def _some(file: BinaryIO) -> bytes:
    # Not in a thread: nothing could end it while nobody writes. What cannot be waited for,
    # such as a file on a disk or a buffer in memory, is there already.
    with suppress(OSError):
        await anyio.wait_readable(file.fileno())
    chunk = file.read(_CHUNK)
    await checkpoint()
    return chunk
