"""Sessions that another process polls, and who here is interested in them."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import islice

from identomat_async._polling._engine import Engine
from identomat_async._polling._journal._facts import Journal
from identomat_async._polling._parking import Parking
from identomat_async.errors import JournalError

# So many are asked for at a time: there may be very many, and it comes ten times a second.
_BATCH = 500


class Elsewhere:
    """
    Knows what was written down here for another to poll, and asks the journal what has ended.

    *tokens* are those; who waits here for one that is polled elsewhere is parked.
    """

    def __init__(self, journal: Journal, engine: Engine) -> None:
        self.tokens: set[str] = set()
        self._journal = journal
        self._engine = engine
        self._parking = Parking(engine)
        # Those of whom is asked next whether they have ended, and when that is worth it.
        self._round: Iterator[str] = iter(())
        self._many = _BATCH

    async def left(self, tokens: Sequence[str]) -> AbstractSet[str]:
        """Return those of *tokens* that another process polls; somebody here waits for them."""
        left = await self._journal.watching(tokens)
        self._parking.tokens.update(left)
        return left

    def add(self, tokens: Iterable[str]) -> None:
        """Note what was written down here."""
        self.tokens.update(tokens)

    async def forget_ended(self) -> None:
        """Where there are many, keep none that have ended."""
        if len(self.tokens) >= self._many:
            asked = list(self.tokens)
            with suppress(JournalError):  # they are watched all the same
                self.tokens.difference_update(set(asked) - await self._journal.watching(asked))
            self._many = max(_BATCH, 2 * len(self.tokens))

    async def keep_up(self) -> None:
        """Ask of a few whether they have ended."""
        live, some = self._engine.roster.live, list(islice(self._round, _BATCH))
        if not some:
            self._parking.tokens.intersection_update(live)
            self._round = iter([*self.tokens, *live])
            some = list(islice(self._round, _BATCH))
        if some:
            left = await self._journal.watching(some)
            ended = set(some) - left
            self.tokens -= ended
            self._parking.unpark(self._parking.tokens & ended)
            for token in left & live.keys():
                self._parking.park(live[token])

    def take_over(self) -> None:
        """Have it polled here from now on."""
        self.tokens.clear()
        self._parking.unpark(self._parking.tokens)

    def discard(self, token: str) -> None:
        """Forget a session."""
        self.tokens.discard(token)

    def clear(self) -> None:
        """Forget everything."""
        self.tokens.clear()
        self._parking.tokens.clear()
