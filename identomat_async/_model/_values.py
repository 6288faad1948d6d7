"""How the values of this room hold and hide what they know."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs

V_co = TypeVar("V_co", covariant=True)

_LONGEST_CODE = 64


class Members(Mapping[str, V_co], Generic[V_co]):
    """
    A read-only mapping that tells nobody what it holds.

    It compares equal to any mapping with the same content; `dict(members)` makes an
    ordinary one. Its `repr` shows a count, since the content may be personal. What is
    nested inside is not frozen.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, V_co]) -> None:
        self._members = members

    def __getitem__(self, name: str) -> V_co:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __hash__(self) -> int:
        return hash(frozenset(self._members))

    def __reduce__(self) -> tuple[type["Members[V_co]"], tuple[Mapping[str, V_co]]]:
        return Members, (self._members,)

    def __repr__(self) -> str:
        return f"<{len(self)} members>"


def hidden(_: type, fields: "list[attrs.Attribute[Any]]") -> "list[attrs.Attribute[Any]]":
    """
    Keep every field out of the `repr` that does not ask to be in it.

    A `field_transformer` for attrs: a field shows only when its `repr=` is a function,
    such as `repr` itself or `code`. A field added later is hidden until somebody has
    thought about it.
    """
    return [field if callable(field.repr) else field.evolve(repr=False) for field in fields]


def code(value: object) -> str:
    """Show a key or code of the service's own vocabulary; hide what does not look like one."""
    if value is None:
        return "None"
    return repr(value) if is_code(value) else "<hidden>"


def is_code(value: object) -> bool:
    """Tell whether a value is a short ASCII word of letters, digits, ``_`` and ``-``."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_CODE
        and value.isascii()
        and value.replace("_", "a").replace("-", "a").isalnum()
    )
