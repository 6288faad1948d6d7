"""The sessions that are looked at, and when each is due. No clock, no I/O."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import attrs

from identomat_async._polling._agenda import Agenda
from identomat_async._polling._demand import Demand
from identomat_async._polling._entry import ASKED, Entry
from identomat_async._polling._state import PollState
from identomat_async._polling._waiters import Waiter
from identomat_async._polling._watch import MANUAL_CHECK


@attrs.define(eq=False, repr=False)
class Roster:
    """
    Every session by its token, on an agenda, and counted in the demand.

    *held* are those that are due and held back for a slow consumer; *never_open* are the
    tokens of those that were decided, or under review, when they were first seen; *in_review*
    is called with the state of a session when that says since when an operator is deciding.
    """

    live: dict[str, Entry] = attrs.field(factory=dict)
    demand: Demand = attrs.field(factory=Demand)
    agenda: Agenda[Entry] = attrs.field(factory=Agenda)
    held: dict[str, Entry] = attrs.field(factory=dict)
    never_open: set[str] = attrs.field(factory=set)
    in_review: Callable[[PollState], object] = lambda _: None

    def add(self, entry: Entry, due: float, *, first: bool = False) -> None:
        """Take a session on, to be looked at at *due*, *first* of those who are due then."""
        self.live[entry.state.token] = entry
        self.demand.add(entry.state.begun, in_review=entry.state.status is MANUAL_CHECK)
        entry.due = due
        self.agenda.put(entry, due, first=first)

    def schedule(self, entries: Sequence[Entry], *, begun: float) -> None:
        """Put new sessions on the agenda that are live already, all begun at the same time."""
        if entries:
            self.demand.add(begun, count=len(entries))
            self.agenda.put_new(entries, [entry.due for entry in entries])

    def know(self, entry: Entry, state: PollState) -> None:
        """Take in what is known of a session that is looked at."""
        in_review, was_in_review = state.status is MANUAL_CHECK, entry.state.status is MANUAL_CHECK
        if state.reviewed != entry.state.reviewed:
            self.in_review(state)
        entry.state = state
        if in_review is not was_in_review:
            self.demand.remove(state.begun, in_review=was_in_review)
            self.demand.add(state.begun, in_review=in_review)

    def age(self, entry: Entry, begun: float) -> None:
        """Note when a session was begun, which was not known."""
        state = entry.state
        in_review = state.status is MANUAL_CHECK
        self.demand.remove(state.begun, in_review=in_review)
        self.demand.add(begun, in_review=in_review)
        entry.state = attrs.evolve(state, begun=begun)

    def put(self, entry: Entry, due: float, *, first: bool = False) -> None:
        """
        Have a session looked at next at *due*, unless a look at it is under way.

        *first* is for those for whom somebody waits at this moment: they go before all
        others that are due.
        """
        if self.held:
            self.held.pop(entry.state.token, None)
        if entry.place is not ASKED:
            entry.due = due
            self.agenda.put(entry, due, first=first)

    def ask(self, entry: Entry) -> None:
        """Note that a look at a session is under way, wherever it stands."""
        self.agenda.remove(entry)
        entry.place = ASKED

    def drop(self, entry: Entry) -> None:
        """Look at a session no more."""
        del self.live[entry.state.token]
        self.held.pop(entry.state.token, None)
        self.never_open.discard(entry.state.token)
        self.demand.remove(entry.state.begun, in_review=entry.state.status is MANUAL_CHECK)
        self.agenda.remove(entry)

    def has(self, entry: Entry) -> bool:
        """Tell whether *entry* is still the one for its token."""
        return self.live.get(entry.state.token) is entry

    def was_open(self, entry: Entry) -> bool:
        """Tell whether a look has seen a session open."""
        return entry.state.status is not None and entry.state.token not in self.never_open

    def leave(self, entry: Entry, waiter: Waiter) -> None:
        """Forget a waiter who gave up, if it still waits."""
        was_waiting = entry.remove(waiter)
        if was_waiting and self.has(entry) and not entry.is_wide_enough_for(waiter):
            self.settle(entry)

    def waiters(self) -> Iterator[Waiter]:
        """Return those who wait for any session."""
        return (waiter for entry in self.live.values() for waiter in entry.waiters)

    def settle(self, entry: Entry) -> bool:
        """Let a session stand for those who still want it, or drop it; True if kept."""
        if entry.is_wanted:
            entry.widen()
            return True
        self.drop(entry)
        return False

    def hold(self, entry: Entry) -> None:
        """Hold a session back that is due."""
        self.held[entry.state.token] = entry

    def unhold(self, most: int) -> None:
        """Put back *most* of those that are held, the first first."""
        for entry in list(islice(self.held.values(), most)):
            self.put(entry, entry.due)
