"""
Which JSON value may become which Python value; nothing is ever coerced.

A kind reads in two ways. `read` is quick and gives up at the first value of a wrong type.
`salvage` is for what gave up: it drops the wrong values, says where they were, and leaves
a document that `read` can read.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeGuard, cast

import attrs

from identomat_async._model._status import SessionStatus, status_of
from identomat_async._model._values import Members

GONE = object()

_ONLY_TEXT = frozenset({str})


class MismatchError(Exception):
    """A value's type is not the documented one. Never leaves this room."""


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether a value of a document is an object of JSON."""
    return value.__class__ is dict


def is_array(value: object) -> TypeGuard[list[object]]:
    """Tell whether a value of a document is an array of JSON."""
    return value.__class__ is list


class Kind(Protocol):
    """How values of one documented type are read. Null is a value of every kind."""

    @property
    def read(self) -> Callable[[object, object], object]:
        """Make the Python value, or raise `MismatchError`; the second argument is unused."""
        ...

    def salvage(self, value: object, path: str, unreadable: list[str]) -> object:
        """Give what can be read of *value*, or `GONE`; add the path of all that cannot."""
        ...


@attrs.frozen
class Scalar:
    """A value with nothing inside that could be kept when it is wrong."""

    read: Callable[[object, object], object]

    def salvage(self, value: object, path: str, unreadable: list[str]) -> object:
        """As `Kind.salvage`."""
        try:
            self.read(value, None)
        except MismatchError:
            unreadable.append(path)
            return GONE
        return value


@attrs.frozen
class Listing:
    """An array of values of one kind, none of them null; null itself reads as empty."""

    item: Kind

    def read(self, value: object, _: object) -> tuple[object, ...]:
        """As `Kind.read`."""
        if value is None:
            return ()
        if not is_array(value) or None in value:
            raise MismatchError
        read = self.item.read
        return tuple([read(each, None) for each in value])

    def salvage(self, value: object, path: str, unreadable: list[str]) -> object:
        """As `Kind.salvage`."""
        if value is None:
            return None
        if not is_array(value):
            unreadable.append(path)
            return GONE
        kept: list[object] = []
        for index, each in enumerate(value):
            place = f"{path}.{index}"
            if each is None:
                unreadable.append(place)
            elif (sound := self.item.salvage(each, place, unreadable)) is not GONE:
                kept.append(sound)
        return kept


@attrs.frozen
class Record:
    """
    An object with documented members; others are ignored.

    Attributes:
        members: The kind of each documented member, by its name in JSON.
        build: Makes the Python value of an object whose members are all sound.
    """

    members: Mapping[str, Kind]
    build: Callable[[dict[str, object]], object]

    def read(self, value: object, _: object) -> object:
        """As `Kind.read`."""
        if is_object(value):
            return self.build(value)
        if value is None:
            return None
        raise MismatchError

    def salvage(self, value: object, path: str, unreadable: list[str]) -> object:
        """As `Kind.salvage`."""
        if value is None:
            return None
        if not is_object(value):
            unreadable.append(path)
            return GONE
        return self.salvage_members(value, path, unreadable)

    def salvage_members(
        self, members: Mapping[str, object], path: str, unreadable: list[str]
    ) -> dict[str, object]:
        """Give the documented members of an object that can be read."""
        prefix = f"{path}." if path else ""
        sound = {
            name: kind.salvage(members[name], prefix + name, unreadable)
            for name, kind in self.members.items()
            if name in members
        }
        return {name: value for name, value in sound.items() if value is not GONE}


@attrs.frozen
class Texts:
    """An object of texts under any names; a null in it reads as missing."""

    def read(self, value: object, _: object) -> Members[object] | None:
        """As `Kind.read`."""
        if value is None:
            return None
        if not is_object(value):
            raise MismatchError
        texts = _without_nulls(value)
        if not _ONLY_TEXT.issuperset(map(type, texts.values())):
            raise MismatchError
        return Members(texts)

    def salvage(self, value: object, path: str, unreadable: list[str]) -> object:
        """As `Kind.salvage`."""
        if value is None:
            return None
        if not is_object(value):
            unreadable.append(path)
            return GONE
        texts = _without_nulls(value)
        sound = {name: text for name, text in texts.items() if text.__class__ is str}
        if len(sound) != len(texts):
            # The names are the service's own: they do not belong in a path.
            unreadable.append(f"{path}.*")
        return sound


def _without_nulls(members: dict[str, object]) -> dict[str, object]:
    if None not in members.values():
        return members
    return {name: value for name, value in members.items() if value is not None}


def text(value: object, _: object) -> object:
    """Read a text."""
    if value.__class__ is str or value is None:
        return value
    raise MismatchError


_CHOSEN = Listing(Scalar(text))


def boolean(value: object, _: object) -> object:
    """Read a bool; ``0``, ``1`` and ``"false"`` are none."""
    if value.__class__ is bool or value is None:
        return value
    raise MismatchError


def integer(value: object, _: object) -> object:
    """Read a whole number; ``true`` and ``1.0`` are none."""
    if value.__class__ is int or value is None:
        return value
    raise MismatchError


def number(value: object, _: object) -> object:
    """Read a number as a float; ``true`` is none, nor is what no float can hold."""
    if value.__class__ is float or value is None:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise MismatchError


def answer(value: object, _: object) -> object:
    """Read what a question may be answered with: a text, a bool, or several texts."""
    if is_array(value):
        return _CHOSEN.read(value, None)
    if value.__class__ is bool:
        return value
    return text(value, None)


def status(value: object, _: object) -> SessionStatus:
    """Read a session's status; that it is a text has been seen to."""
    return status_of(cast("str", value))


def members(value: object, _: object) -> Members[object] | None:
    """Read an object of unknown shape."""
    if is_object(value):
        return Members(value)
    if value is None:
        return None
    raise MismatchError


def as_it_is(value: object, _: object) -> object:
    """Take what does not come from the service."""
    return value
