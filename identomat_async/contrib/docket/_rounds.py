"""What a worker does with a session whose turn it is: one look, and what follows from it."""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime

import anyio
import attrs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from identomat_async._budget import RateBudget
from identomat_async._clock import Clock
from identomat_async._polling._asking import asked
from identomat_async._polling._courier import Handler, refusal
from identomat_async._polling._gates import Gates
from identomat_async._polling._halt import Halt
from identomat_async._polling._learner import is_outage
from identomat_async._polling._outage import Outage
from identomat_async._polling._outcomes import DeadlinePassed, Delivery, Outcome
from identomat_async._polling._policy import Pending, PollPolicy
from identomat_async._polling._redelivery import is_reversed, outcome_without_document, read_again
from identomat_async._polling._source import ResultSource
from identomat_async._polling._state import PollState
from identomat_async._polling._step import Answer, nudged, poll_step
from identomat_async._polling._tally import Tally
from identomat_async.contrib.docket._errand import Errand, key_of
from identomat_async.contrib.docket._rate import Place, SharedRate
from identomat_async.errors import IdentomatError

# A place in the rate that is further away than this is not waited for on the spot; and where
# turns come late of late, one that is further away than the other. What came later than that
# came after a standstill, or by a clock that is wrong, and says no more.
LEAD, _LONGEST_LEAD = 0.5, 2.0
# By how much of the lateness of one turn the mean moves, and the share of the hands that may
# be bound by those who have come early for it.
_RECENT, _EARLY = 0.05, 0.8
# Refused deliveries come again after so many seconds, doubling.
_FIRST_AGAIN, _LAST_AGAIN = 1.0, 300.0
# The longest that a session is put off while the service is down or refuses the account.
_LONGEST_REST = 30.0

Then = tuple[Errand, float]
# Which sessions: the server's address, and what its keys begin with.
Server = tuple[str, str]

# The sessions whose handler the running code is a part of, in worker threads too: on which
# server, and where it is kept what the handler has watched again.
Handled = tuple[Server, str, "dict[str, Then | None]"]
_handling: ContextVar[tuple[Handled, ...]] = ContextVar("handling", default=())

_logger = logging.getLogger("identomat_async")


@attrs.define(eq=False, repr=False, kw_only=True)
class Rounds:
    """
    Looks at one session after the other, as their turns come, and hands over the outcomes.

    Args:
        source: Where results come from.
        sessions: Which sessions these are.
        policy: How the watches are conducted.
        rate: What all workers together may ask.
        concurrency: How many sessions are in hand at most.
        server: The Redis client.
        nudge_key: Returns where a nudge of the session with that key is kept.
        handler: Takes deliveries.
        handler_timeout: Seconds that it may take.
        tally: Where it is counted.

    Attributes:
        again: What the handler has had watched again, by token, of those in hand.
    """

    source: ResultSource
    sessions: Server
    policy: PollPolicy
    rate: SharedRate
    concurrency: int
    server: Redis
    nudge_key: str
    handler: Handler
    handler_timeout: float
    tally: Tally
    clock: Clock = attrs.field(factory=Clock)
    gates: Gates = attrs.field(init=False)
    in_flight: int = 0
    again: dict[str, Then | None] = attrs.field(factory=dict)
    _late: float = 0.0

    def __attrs_post_init__(self) -> None:
        halt = Halt()
        halt.probes = True
        # How many there are at a time is the engine's to say.
        self.gates = Gates(
            source=self.source,
            budget=RateBudget(None, max_in_flight=1_000_000),
            outage=Outage(),
            halt=halt,
        )

    async def turn(self, errand: Errand, due: float) -> Then | None:
        """
        Look at a session that was *due*, and hand over what it has come to.

        Returns:
            What is known now and the seconds to the next turn; None if there is none.
        """
        state = errand.entry.state
        late = min(max(0.0, self.clock.now() - due), _LONGEST_LEAD)
        self._late += _RECENT * (late - self._late)
        if errand.entry.delivery is not None:
            if (outcome := outcome_without_document(errand.entry)) is not None:
                return await self._deliver(errand, outcome)
            state = read_again(errand.entry, until=self.clock.now() + self.policy.grace)
        was_open = _was_open(state)
        while True:
            place = await self._place(errand, urgent=state.fresh)
            if place.is_nudged:
                state, _ = nudged(state, self.clock.now())
                errand = self._known(errand, state)
            if place.wait > self._lead():
                return self._parked(errand, place)
            looked = await self._look(state, due)
            if looked is None:
                rest = self.gates.service_opens_at(now := self.clock.now(), self.clock) - now
                return attrs.evolve(errand, place=None), min(max(rest, LEAD), _LONGEST_REST)
            answer, began = looked
            then = poll_step(
                state, answer, policy=self.policy, now=datetime.fromtimestamp(began, UTC)
            )
            if not isinstance(then, Pending):
                return await self._ended(errand, state, then, began, was_open=was_open)
            state = then.state
            errand = self._known(errand, state)
            if then.delay > 0:
                place = await self._next_place(errand, after=then.delay)
                if not place.is_nudged:
                    return self._parked(errand, place) if place.at else (errand, then.delay)
                state, _ = nudged(state, self.clock.now())
                errand = self._known(errand, state)

    def _parked(self, errand: Errand, place: Place) -> Then:
        return attrs.evolve(errand, place=place.at), max(0.0, place.wait - self._lead())

    def _lead(self) -> float:
        return lead_of(self._late, self.rate.per_second, self.concurrency)

    def _known(self, errand: Errand, state: PollState) -> Errand:
        # What was settled once stays so while it is read again for its delivery.
        if errand.entry.delivery is not None:
            return attrs.evolve(errand, place=None)
        return errand.with_state(state)

    async def _next_place(self, errand: Errand, *, after: float) -> Place:
        # In a long queue it is taken now: to come back only for that would be half the work
        # of everybody. And who is nudged during a look is looked at again.
        nudge = f"{self.nudge_key}:{key_of(errand.entry.state.token)}"
        urgent = errand.entry.state.fresh
        try:
            return await self.rate.reserve(
                self.server, nudge, held=None, urgent=urgent, after=after
            )
        except RedisError as error:
            # Without it the session comes back when it is due, and with what is known now.
            _logger.warning("no place was taken ahead: %s", type(error).__name__)
            return Place(at=0, wait=0.0, is_nudged=False)

    async def _place(self, errand: Errand, *, urgent: bool) -> Place:
        nudge = f"{self.nudge_key}:{key_of(errand.entry.state.token)}"
        is_nudged, held = False, errand.place
        while True:
            began = anyio.current_time()
            place = await self.rate.reserve(self.server, nudge, held=held, urgent=urgent)
            is_nudged |= place.is_nudged
            if place.wait > self._lead():
                break
            await anyio.sleep(place.wait)
            if not place.is_lost_after(anyio.current_time() - began):
                break
            held = place.at
        return attrs.evolve(place, is_nudged=is_nudged)

    async def _look(self, state: PollState, due: float) -> tuple[Answer, float] | None:
        # None if the service is not to be asked now.
        await self.gates.claim()
        now = self.clock.now()
        self.in_flight += 1
        try:
            if self.gates.service_opens_at(now, self.clock) > now:
                return None
            self.gates.began(now)
            self.tally.began(now, now - due, fresh=state.fresh)
            answer = await asked(self.source, state)
        finally:
            self.in_flight -= 1
            self.gates.give_back()
        self._learn(answer, now, self.clock.now())
        return answer, now

    def _learn(self, answer: Answer, began: float, ended: float) -> None:
        error = answer if isinstance(answer, IdentomatError) else None
        self.tally.ended(error, ended)
        change = self.gates.outage.ended(
            ended, failed=is_outage(error), elapsed=ended - began, usual=self.tally.usual
        )
        if change is not None:
            _logger.warning("the service is %s", change)
        if error is None:
            if self.gates.halt.answered():
                _logger.warning("the service accepts the account again")
        elif self.gates.halt.failed(error, began):
            _logger.error("polling pauses: %s", type(error).__name__)

    async def _ended(
        self, errand: Errand, state: PollState, outcome: Outcome, began: float, *, was_open: bool
    ) -> Then | None:
        if errand.entry.delivery is None:
            self.tally.came_to(outcome, state, began, was_open=was_open)
            self.tally.deadlines_passed += isinstance(outcome, DeadlinePassed)
        return await self._deliver(errand, outcome)

    async def _deliver(self, errand: Errand, outcome: Outcome) -> Then | None:
        delivery, token = errand.delivery_of(outcome), outcome.token
        self.again[token] = None
        if is_reversed(errand.entry, outcome):
            name = self.source.token_hash(token)
            _logger.warning("session %s was approved, and is no longer", name)
        handling = _handling.set((*_handling.get(), (self.sessions, token, self.again)))
        error: str | None = TimeoutError.__name__
        try:
            with anyio.move_on_after(self.handler_timeout):
                error = await refusal(self.handler, delivery)
            return self.again[token] if error is None else self._refused(errand, delivery, error)
        finally:
            _handling.reset(handling)
            del self.again[token]

    def _refused(self, errand: Errand, delivery: Delivery, error: str) -> Then:
        self.tally.handler_errors += 1
        _logger.warning("the delivery handler raised %s for delivery %s", error, delivery.id)
        again = min(_FIRST_AGAIN * 2 ** (delivery.attempt - 1), _LAST_AGAIN)
        return errand.refused(delivery, error), again


def lead_of(late: float, per_second: float | None, concurrency: int) -> float:
    """
    Return how many seconds before its place in the rate a session is taken in hand.

    Args:
        late: By how many seconds turns come late of late: where the server or the machine is
            slow, places would be lost one after the other; infinity for the longest lead.
        per_second: The rate; without one no place is waited for.
        concurrency: How many may be in hand: with too many who only wait, nobody is looked at.
    """
    most = LEAD if per_second is None else _EARLY * concurrency / per_second
    return max(LEAD, min(LEAD + late, most, _LONGEST_LEAD))


def handled_here(sessions: Server, token: str) -> dict[str, Then | None] | None:
    """
    Return where a handler says what it has watched again, if it runs here.

    Args:
        sessions: Of which server.
        token: The session; None is returned if no handler that calls this was given it.
    """
    for where, handled, again in _handling.get():
        if (where, handled) == (sessions, token) and token in again:
            return again
    return None


def _was_open(state: PollState) -> bool:
    # What is known before the looks of a turn; that a review began open is taken for granted.
    is_open = state.status is not None and not state.status.is_terminal
    return is_open or state.reviewed is not None
