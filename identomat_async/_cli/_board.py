"""What is known of the sessions that are waited for; no clock, no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import attrs

from identomat_async._cli._exits import Exit
from identomat_async._cli._tokens import Item
from identomat_async._cli._told import Told, status_word


@attrs.define(eq=False, kw_only=True)
class Board:
    """
    Who is still open, and what became of the others.

    Attributes:
        open: Sessions without an outcome, in order.
        ended: Outcomes, by what they count as.
        code: What it all counts as so far.
        is_fed: Whether no more sessions will come.
    """

    open: dict[str, Item] = attrs.field(factory=dict[str, Item])
    ended: Counter[str] = attrs.field(factory=Counter[str])
    code: Exit = Exit.FINE
    is_fed: bool = False

    def add(self, items: Iterable[Item]) -> None:
        """Take sessions on; one that is open already stays as it is."""
        for item in items:
            self.open.setdefault(item.token, item)

    def end(self, told: Told) -> None:
        """Note what became of a session."""
        self.open.pop(told.token, None)
        self.note(told.code)
        self.ended[word_for(told)] += 1

    def note(self, code: Exit) -> None:
        """Note that something counts as *code*."""
        self.code = max(self.code, code)

    @property
    def done(self) -> int:
        """How many have an outcome."""
        return sum(self.ended.values())

    @property
    def total(self) -> int:
        """How many there are so far."""
        return self.done + len(self.open)

    def first(self, count: int) -> Iterator[Item]:
        """Give the first of those that are open."""
        return islice(self.open.values(), count)

    def counts(self) -> str:
        """Say in one line what there is, the most frequent first."""
        said = [f"{count} {word}" for word, count in self.ended.most_common()]
        if self.open:
            said.append(f"{len(self.open)} open")
        return ", ".join(said) or "no sessions"


def word_for(told: Told) -> str:
    """Name what is counted: the status of a settled session, otherwise what happened."""
    if told.outcome in {"settled", "open"}:
        return status_word(told.status) or told.outcome
    return told.outcome.replace("_", " ")
