"""Where watches and waits are taken on: which session, until when, first looked at when."""

import logging
import math
from collections.abc import Sequence
from datetime import datetime

import attrs

from identomat_async._model._token import TOKEN, checked_token
from identomat_async._polling._engine import Engine
from identomat_async._polling._entry import Entry
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._policy import Load
from identomat_async._polling._schedule import FLOOR, first_gap
from identomat_async._polling._state import PollState
from identomat_async._polling._step import nudged
from identomat_async._polling._terms import Terms, begun_at
from identomat_async._polling._waiters import Waiter
from identomat_async._polling._watch import Until, Watch, ends, stricter
from identomat_async.events import Starved, WatchBegun, WatchDiscarded

# With fewer looks than this within a deadline, finding out is a matter of luck.
_LEAST_LOOKS = 5
_logger = logging.getLogger("identomat_async")

# So many are taken on in one go.
_AT_A_TIME = 256
_KNOTS = 64
# By so much more than was reckoned with the demand is weighed again at once.
_MUCH = 1.05


class Desk:
    """Takes watches and waits on."""

    def __init__(self, engine: Engine, outbox: Outbox, terms: Terms) -> None:
        self.watching: int = 0
        self.is_starved: bool = False
        self.terms = terms
        self._engine = engine
        engine.after_weighing = self.mind_the_rate
        self._roster = engine.roster
        self._outbox = outbox
        self._hash = engine.source.token_hash
        self._gaps_for: Load | None = None
        self._gaps: Sequence[float] = ()

    def has(self, token: str) -> bool:
        """Tell whether a session is watched, and its outcome not taken or not accepted."""
        entry = self._roster.live.get(token)
        return token in self._outbox or (entry is not None and entry.delivers)

    def watch_all(self, watches: Sequence[str | Watch], *, more: int = 0) -> None:
        """
        Take watches on; the same session watched twice is one watch.

        Args:
            watches: What to watch.
            more: How many others are about to follow: the first looks are spread for all.

        Raises:
            ConfigurationError: One cannot work; those before it are taken on.
        """
        now, age = self._engine.clock.stamp(), 0.0
        try:
            age = _mean_age(watches, now)
            for start in range(0, len(watches), _AT_A_TIME):
                self.expect(len(watches) - start + more, age=age)
                self._take_on(watches[start : start + _AT_A_TIME], now)
        finally:
            self.expect(more, age=age)
            self._engine.wake()
            self.mind_the_rate()
        if watches and _logger.isEnabledFor(logging.INFO):
            self._log_first_looks(watches, now)

    def expect(self, more: int, *, age: float = 0.0) -> None:
        """Reckon with *more* sessions of such an *age*, which are about to be watched."""
        demand = self._roster.demand
        demand.coming, demand.coming_age = more, age
        # Those just begun are in their quiet time, and a few more of them make no difference.
        few = 0 if age else _AT_A_TIME
        if demand.all >= self._engine.planner.weighed_for * _MUCH + few:
            self._engine.weigh()

    def _log_first_looks(self, watches: Sequence[str | Watch], now: float) -> None:
        tokens = [each if isinstance(each, str) else each.token for each in watches]
        looks = [entry.due - now for entry in map(self._roster.live.get, tokens) if entry]
        _logger.info(
            "watching %s: first look in %.0f s; nudge looks now",
            f"{len(tokens)} sessions" if len(tokens) > 1 else self._hash(tokens[0]),
            max(looks, default=0.0),
        )

    def _take_on(self, watches: Sequence[str | Watch], now: float) -> None:
        # Calls add up here: a hundred thousand may come at once, and share what they can.
        live, waiting, made = self._roster.live, self._outbox.tokens, list[Entry]()
        terms, ends_at = self.terms, self.terms.ends_at(None, now)
        latest = self._latest_first(now, ends_at)
        gaps, random = self._first_gaps(), self._engine.learner.policy.random
        is_shaped = TOKEN.fullmatch
        # To call the class would make a dict of the names for each, at twice the cost.
        new, begin = PollState.__new__, PollState.__init__
        try:
            for watch in watches:
                if not isinstance(watch, str):
                    # It may be one of those who stand on no agenda yet.
                    made = self._enter(made, now)
                    self._watch(self.terms.state_of(watch, now))
                    continue
                state = new(PollState)
                begin(
                    state,
                    token=watch if is_shaped(watch) else checked_token(watch),
                    begun=now,
                    watched=now,
                    deadline=ends_at,
                    until=terms.until,
                    review=terms.review,
                )
                if watch in live or (waiting and watch in waiting):
                    self._watch(state)
                    continue
                live[watch] = entry = Entry(state)
                entry.delivers = True
                share = random() * _KNOTS
                knot = int(share)
                gap = gaps[knot]
                due = now + gap + (share - knot) * (gaps[knot + 1] - gap)
                if due >= ends_at:
                    # It will be the last look, and since that is acted on, a fresh one.
                    due, state.fresh = min(due, latest), True
                entry.due = due
                made.append(entry)
        finally:
            self._enter(made, now)

    def _enter(self, made: Sequence[Entry], now: float) -> list[Entry]:
        self._roster.schedule(made, begun=now)
        self._begun(made)
        return []

    def _begun(self, entries: Sequence[Entry], *, resumed: bool = False) -> None:
        self.watching += len(entries)
        hub = self._engine.learner.hub
        if hub:
            for entry in entries:
                hub.tell(WatchBegun(token_hash=self._hash(entry.state.token), resumed=resumed))

    def _watch(self, state: PollState) -> None:
        entry, later = self._roster.live.get(state.token), self._after_outcome(state)
        if later is not None and entry is not None:
            self._join(entry, later)
        elif later is not None:
            age = later.watched - later.begun
            due = self._first_look(age, later.watched, later.deadline)
            later = attrs.evolve(later, fresh=due >= later.deadline)
            entry = Entry(later, delivers=True)
            self._roster.add(entry, due)
            self._begun([entry])

    def admit(
        self, state: PollState, *, resumed: bool = False, within: float | None = None
    ) -> None:
        """
        Watch a session that is watched already, as is written down.

        Args:
            state: What is known of it.
            resumed: Whether that was not written down by who calls this.
            within: The first look comes within so many seconds, if not sooner.
        """
        entry, now = self._roster.live.get(state.token), self._engine.clock.stamp()
        if entry is not None:
            self._join(entry, state, resumed=resumed)
        else:
            due = self._first_look(max(0.0, now - state.begun), now, state.ends_at)
            entry = Entry(state, delivers=True)
            self._roster.add(entry, due)
            self._begun([entry], resumed=resumed)
        if within is not None:
            self._sooner(entry, now + within * self._engine.learner.policy.random())
        self._engine.wake()

    def clear(self) -> None:
        """Watch nothing more; who waits for a session goes on waiting."""
        for entry in list(self._roster.live.values()):
            if entry.delivers:
                entry.delivers = False
                self._roster.settle(entry)
        self.watching = 0

    def entry_for(self, token: str, *, now: float, deadline: float, until: Until) -> Entry:
        """Return the session as the engine holds it, which may be new and then has no waiter."""
        entry = self._roster.live.get(token)
        if entry is None:
            state = PollState(token=token, begun=now, watched=now, deadline=deadline, until=until)
            entry = Entry(state)
        return entry

    def join(self, waiter: Waiter, *, due: float, first: bool = False) -> None:
        """
        Let somebody wait for a session, which is looked at at *due* if it was not yet.

        That look goes before those at others if it is to be *first*.
        """
        entry = waiter.entry
        entry.add(waiter)
        if not self._roster.has(entry):
            self._roster.add(entry, due, first=first)
        else:
            entry.widen_for(waiter)
            if entry.state.token in self._roster.held:
                # It was due, and was held back because nobody waited for it.
                self._roster.put(entry, due, first=first)
            elif entry.state.polls:
                self._sooner(entry, waiter.deadline)
            elif first:
                self._roster.put(entry, min(entry.due, due), first=True)
            else:
                self._sooner(entry, due)
        self._engine.wake()

    def _sooner(self, entry: Entry, due: float) -> None:
        # Where nothing changes it keeps its place, which may be before all others.
        if due < entry.due:
            self._roster.put(entry, due)

    def nudge(self, token: str) -> bool:
        """Look at a session at once and soon again; False if it is not looked at."""
        entry = self._roster.live.get(token)
        if entry is None:
            return False
        now = self._engine.now()
        entry.state, is_news = nudged(entry.state, now)
        if is_news:
            self._roster.put(entry, now, first=True)
            self._engine.wake()
        return True

    def discard(self, token: str) -> bool:
        """Watch a session no more, and forget its outcome; False if there was nothing."""
        entry = self._roster.live.get(token)
        is_watched = entry is not None and entry.delivers
        if entry is not None and entry.delivers:
            entry.delivers = False
            self.watching -= 1
            self._roster.settle(entry)
            hub = self._engine.learner.hub
            if hub:
                hub.tell(WatchDiscarded(token_hash=self._hash(token)))
        is_known = self._outbox.discard(token) or is_watched
        self._outbox.notify()  # an iteration may have waited for this one alone
        return is_known

    def _after_outcome(self, state: PollState) -> PollState | None:
        # An outcome that nobody has taken is still the outcome of the one watch; unless
        # the new one waits for more, and then there will be a later outcome instead.
        outcome = self._outbox.get(state.token)
        if outcome is None:
            return state
        if outcome.status is not None and ends(outcome.status, state.until):
            if state.reference is not None:
                self._outbox.refer(state.token, state.reference)
            return None
        self._outbox.withdraw(state.token)
        reference = outcome.reference if state.reference is None else state.reference
        return attrs.evolve(state, reference=reference)

    def _join(self, entry: Entry, state: PollState, *, resumed: bool = False) -> None:
        review, watched = state.review, state.watched
        own = (state.until, state.deadline)
        if entry.delivers:
            watched = entry.state.watched
            own = (stricter(entry.until, state.until), max(entry.deadline, state.deadline))
            review = max(entry.state.review, review)
        else:
            entry.delivers = True
            self._begun([entry], resumed=resumed)
            # Those who wait for it may have longer.
            self._sooner(entry, max(state.deadline, state.watched))
            self._engine.wake()
        entry.own = own
        reference = entry.state.reference if state.reference is None else state.reference
        if state.begun < state.watched:
            # The application knows since when; a watch that was not told of it guessed.
            self._roster.age(entry, state.begun)
        entry.state = attrs.evolve(entry.state, reference=reference, review=review, watched=watched)
        entry.widen()

    def _first_look(self, age: float, now: float, deadline: float) -> float:
        policy, load = self._engine.learner.policy, self._engine.learner.load
        due = now + first_gap(policy.wait, load, age=age, share=policy.random())
        return min(due, self._latest_first(now, deadline))

    def _latest_first(self, now: float, deadline: float) -> float:
        # Too many for the rate: all at their deadline would be a queue in front of everybody.
        policy, load = self._engine.learner.policy, self._engine.learner.load
        is_stretched = load.at_least > FLOOR if policy.density is None else load.stretch > 1
        return math.inf if is_stretched else max(now, deadline)

    def _first_gaps(self) -> Sequence[float]:
        # Of sessions just begun, at equal steps of the share: in between a straight line
        # is good enough, since it is chance that chooses. One more, for a share of 1.
        wait, load = self._engine.learner.policy.wait, self._engine.learner.load
        if load is not self._gaps_for:
            shares = [knot / _KNOTS for knot in range(_KNOTS + 1)]
            gaps = [first_gap(wait, load, age=0.0, share=share) for share in shares]
            self._gaps_for, self._gaps = load, [*gaps, gaps[-1]]
        return self._gaps

    def mind_the_rate(self, span: float | None = None) -> None:
        """Tell if there are too many for the rate within *span* seconds, or else our deadline."""
        # What there is for us now goes by what is wanted now, which may be nothing yet.
        rate, now = self._engine.planner.rate_when_busy(), self._engine.now()
        span = self.terms.ends_at(None, now) - now if span is None else span
        if rate is None or not math.isfinite(span):
            self.is_starved = False
            return
        was_starved, live = self.is_starved, len(self._roster.live)
        self.is_starved = live * _LEAST_LOOKS > rate * max(span, 0.0)
        if self.is_starved and not was_starved:
            self._engine.learner.hub.tell(Starved(watched=live, per_second=rate))


def _mean_age(watches: Sequence[str | Watch], now: float) -> float:
    if not watches or isinstance(watches[0], str):
        return 0.0  # tokens, of sessions just begun
    # What is no time is told of when its turn comes.
    begun = (watch.begun for watch in watches if not isinstance(watch, str))
    ages = [now - begun_at(each, now) for each in begun if isinstance(each, datetime)]
    return sum(ages) / len(watches) if ages else 0.0
