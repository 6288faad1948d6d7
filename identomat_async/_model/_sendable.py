"""What may go into a request: plain JSON values, made of what the caller gave."""

import math
from collections.abc import Mapping
from typing import cast

from identomat_async.errors import ConfigurationError

_DEEPEST = 64


def sendable(value: object, name: str) -> object:
    """
    Make plain JSON of a value: tuples become lists, mappings become dicts.

    Args:
        value: Anything.
        name: Where it stands, for the error.

    Raises:
        ConfigurationError: It cannot be sent. The message names the place, not the value.
    """
    return _plain(value, name, _DEEPEST)


def sendable_members(members: Mapping[str, object], name: str) -> dict[str, object]:
    """Make plain JSON of a mapping, as `sendable` does."""
    return _plain_members(members, name, _DEEPEST)


def _plain(value: object, name: str, levels: int) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str.__str__(sound_text(value, name))  # of an enum's member its text
    if isinstance(value, float) and math.isfinite(value):
        return value
    if levels and isinstance(value, Mapping):
        return _plain_members(cast("Mapping[str, object]", value), name, levels)
    if levels and isinstance(value, list | tuple):
        values = cast("list[object]", value)
        return [_plain(each, f"{name}[{index}]", levels - 1) for index, each in enumerate(values)]
    raise ConfigurationError(
        f"{name} cannot be sent: only texts, booleans, finite numbers, None, and lists and "
        f"mappings of these have a form in JSON, to a depth of {_DEEPEST}"
    )


def _plain_members(members: Mapping[str, object], name: str, levels: int) -> dict[str, object]:
    if not all(isinstance(key, str) for key in members):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(f"{name} cannot be sent: every name in it must be a text")
    return {
        sound_text(key, f"a name in {name}"): _plain(value, f"{name}.{key}", levels - 1)
        for key, value in members.items()
    }


def sound_text(value: str, name: str) -> str:
    """Give a text back if it can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        pass
    else:
        return value
    del value
    raise ConfigurationError(f"{name} holds half a character and cannot be written as UTF-8")
