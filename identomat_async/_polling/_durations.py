"""How long people took: what one poller learns for the next."""

from collections.abc import Iterable
from typing import Self


class Durations(tuple[float, ...]):  # noqa: SLOT001 - a tuple has no room for slots
    """
    Seconds from begin to decision, one number per session; `wait_learned` takes them.

    ``Durations(decided, censored=...)`` makes them of such numbers; there are none of either
    by default.

    Attributes:
        censored: Seconds for which other sessions were watched that came to no decision.
    """

    censored: tuple[float, ...]

    def __new__(cls, decided: Iterable[float] = (), *, censored: Iterable[float] = ()) -> Self:
        made = super().__new__(cls, decided)
        made.censored = tuple(censored)
        return made

    def __repr__(self) -> str:
        return f"<Durations of {len(self)} sessions, and {len(self.censored)} undecided>"
