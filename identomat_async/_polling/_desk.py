"""Where watches and waits are taken on: which session, until when, first looked at when."""

import math
from collections.abc import Sequence

import attrs

from identomat_async._clock import Deadline, Seconds, deadline_at, seconds, timestamp
from identomat_async._model._token import checked_token
from identomat_async._polling._engine import Engine
from identomat_async._polling._entry import Entry, Group, Waiter
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import Until, Watch, ends, stricter
from identomat_async._polling._schedule import FLOOR, wait_person
from identomat_async._polling._state import PollState
from identomat_async._polling._step import nudged
from identomat_async.errors import ConfigurationError
from identomat_async.events import Starved

# With fewer looks than this within a deadline, finding out is a matter of luck.
_LEAST_LOOKS = 5
# A batch is spread by the demand there is so far.
_WEIGHED_EVERY = 256


@attrs.frozen(kw_only=True)
class Terms:
    """
    On what terms a session is watched unless the caller says otherwise.

    Attributes:
        until: What ends a watch.
        deadline: When the person's time is up; None for never.
        review: Seconds that an operator may take; None for ever.
    """

    until: Until
    deadline: Deadline | None
    review: Seconds | None

    def ends_at(self, deadline: Deadline | None, now: float) -> float:
        """Return when *deadline*, or else ours, is; infinity for never."""
        chosen = self.deadline if deadline is None else deadline
        return math.inf if chosen is None else deadline_at(chosen, now=now)

    def review_span(self, review: Seconds | None) -> float:
        """Return *review*, or else ours, in seconds; infinity for ever."""
        chosen = self.review if review is None else review
        return math.inf if chosen is None else seconds(chosen, name="review")


class Desk:
    """Takes watches and waits on."""

    def __init__(self, engine: Engine, outbox: Outbox, terms: Terms) -> None:
        terms.ends_at(None, 0.0)
        terms.review_span(None)
        self.watching = 0
        self.is_starved = False
        self.terms = terms
        self._engine = engine
        self._roster = engine.roster
        self._outbox = outbox

    def has(self, token: str) -> bool:
        """Tell whether a session is watched and its outcome not handed over."""
        entry = self._roster.live.get(token)
        return token in self._outbox or (entry is not None and entry.delivers)

    def watch(self, watch: Watch) -> None:
        """
        Take a watch on; the same session watched twice is one watch.

        Raises:
            ConfigurationError: It cannot work; nothing was changed.
        """
        state = self._after_outcome(self._state_for(watch))
        if state is not None:
            entry = self._roster.live.get(state.token)
            if entry is None:
                self._begin(state)
            else:
                self._join(entry, state)

    def wait(
        self, token: str, group: Group, *, deadline: float, until: Until, due: float
    ) -> tuple[Entry, Waiter]:
        """Let *group* wait for a session, which is looked at first at *due* if it is new."""
        now = self._engine.now()
        waiter = Waiter(group, until=until, deadline=deadline, since=now)
        entry = self._roster.live.get(token)
        if entry is None:
            state = PollState(token=token, begun=now, watched=now, deadline=deadline, until=until)
            entry = Entry(state)
            entry.waiters = (waiter,)
            self._roster.add(entry, due)
        else:
            entry.waiters = (*entry.waiters, waiter)
            entry.widen()
            sooner = due if not entry.state.polls else deadline
            self._roster.put(entry, min(entry.due, sooner))
        self._engine.wake()
        return entry, waiter

    def nudge(self, token: str) -> bool:
        """Look at a session at once and soon again; False if it is not looked at."""
        entry = self._roster.live.get(token)
        if entry is None:
            return False
        now = self._engine.now()
        entry.state = nudged(entry.state, now)
        self._roster.put(entry, now)
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
        is_known = self._outbox.discard(token) or is_watched
        self._outbox.notify()  # an iteration may have waited for this one alone
        return is_known

    def _state_for(self, watch: Watch) -> PollState:
        now = self._engine.now()
        begun = watch.begun
        return PollState(
            token=checked_token(watch.token),
            reference=watch.reference,
            begun=now if begun is None else timestamp(begun, name="begun"),
            watched=now,
            deadline=self.terms.ends_at(watch.deadline, now),
            until=self.terms.until if watch.until is None else checked_until(watch.until),
            review=self.terms.review_span(watch.review),
        )

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

    def _begin(self, state: PollState) -> None:
        entry = Entry(state)
        entry.delivers = True
        self.watching += 1
        self._roster.add(entry, self._first_look(state))
        self._engine.wake()
        if not len(self._roster.live) % _WEIGHED_EVERY:
            self._engine.weigh()
        self._mind_the_rate()

    def _join(self, entry: Entry, state: PollState) -> None:
        review, watched = state.review, state.watched
        if entry.delivers:
            watched = entry.state.watched
            entry.until = stricter(entry.until, state.until)
            entry.deadline = max(entry.deadline, state.deadline)
            review = max(entry.state.review, review)
        else:
            entry.delivers = True
            entry.until, entry.deadline = state.until, state.deadline
            self.watching += 1
            # Those who wait for it may have longer.
            self._roster.put(entry, min(entry.due, max(state.deadline, state.watched)))
            self._engine.wake()
        reference = entry.state.reference if state.reference is None else state.reference
        entry.state = attrs.evolve(entry.state, reference=reference, review=review, watched=watched)
        entry.widen()

    def _first_look(self, state: PollState) -> float:
        policy, load = self._engine.learner.policy, self._engine.learner.load
        share = policy.random()
        if isinstance(policy.wait, wait_person):
            gap = policy.wait.gap(state.watched - state.begun, stretch=load.stretch, share=share)
        else:
            gap = share * max(FLOOR, load.at_least)
        return min(state.watched + gap, max(state.deadline, state.watched))

    def _mind_the_rate(self) -> None:
        now, rate = self._engine.now(), self._engine.rate
        span = self.terms.ends_at(None, now) - now
        if rate is None or not math.isfinite(span):
            return
        was_starved, live = self.is_starved, len(self._roster.live)
        self.is_starved = live * _LEAST_LOOKS > rate * span
        if self.is_starved and not was_starved:
            self._engine.learner.hub.tell(Starved(watched=live, per_second=rate))


def checked_until(value: str) -> Until:
    """
    Return *value* as an `Until`.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return Until(value)
    except ValueError:
        pass
    raise ConfigurationError("until must be Until.TERMINAL or Until.DECIDED")


def spread(tokens: Sequence[str], *, now: float, rate: float | None) -> list[float]:
    """Return when each of a set is looked at first: at once, as quickly as *rate* allows."""
    gap = 0.0 if rate is None else 1 / rate
    return [now + index * gap for index in range(len(tokens))]
