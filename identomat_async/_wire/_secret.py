"""A value that is used and never shown."""

from typing import NoReturn


class Secret:
    """A string that no repr, str, log line or pickle ever shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def reveal(self) -> str:
        """Return the string itself."""
        return self._value
