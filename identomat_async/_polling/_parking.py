"""Sessions that somebody here waits for, while another process polls them."""

from collections.abc import Iterable

import attrs

from identomat_async._polling._engine import Engine
from identomat_async._polling._entry import Entry
from identomat_async._polling._step import is_over
from identomat_async._polling._waits import SELDOM


class Parking:
    """Keeps them off the agenda but for the moments at which time is up for somebody."""

    def __init__(self, engine: Engine) -> None:
        self.tokens: set[str] = engine.parked
        self._engine = engine

    def park(self, entry: Entry) -> None:
        """Look at a session only when time is up for somebody, or seldom."""
        self.tokens.add(entry.state.token)
        now = self._engine.now()
        # Who is as good as due is looked at: its end would no longer count as one that is ahead.
        if not is_over(entry.due, now):
            due = min(entry.first_end(now), now + SELDOM)
            if not (entry.due == due or now + SELDOM / 2 < entry.due < due):
                self._engine.roster.put(entry, due)

    def unpark(self, tokens: Iterable[str]) -> None:
        """Look at sessions now, and read what they have come to."""
        now, roster = self._engine.now(), self._engine.roster
        for token in tokens:
            entry = roster.live.get(token)
            if entry is not None:
                entry.state = attrs.evolve(entry.state, fresh=True)
                roster.put(entry, now)
        self.tokens.difference_update(set(tokens))
        self._engine.wake()
