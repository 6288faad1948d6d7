"""
What one answer means for one watch: the core that every engine shares.

State in, state out: no clock, no await, no I/O, and no randomness but what the policy
brings.
"""

from datetime import datetime
from typing import TypedDict

import attrs

from identomat_async._clock import timestamp
from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._density import REVIEW
from identomat_async._polling._outcomes import (
    DeadlinePassed,
    Outcome,
    PollFailed,
    SessionGone,
    Settled,
)
from identomat_async._polling._policy import NO_LOAD, Load, Pending, PollPolicy, Step
from identomat_async._polling._schedule import FLOOR, consult
from identomat_async._polling._state import Doubt, DoubtKind, PollState, Trouble
from identomat_async._polling._watch import DECIDED, MANUAL_CHECK, ends
from identomat_async.errors import (
    AuthenticationError,
    IdentomatError,
    ResponseDecodeError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
)

Answer = SessionResult | SessionStatus | IdentomatError

# So often something must be seen, each time on another connection, before it is believed.
_PROOF = 3
# A timer or a rounding error this early does not make anybody miss a deadline.
TOLERANCE = 0.001
# When a nudged session is looked at, in seconds from the nudge.
NUDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0)
# A document that arrived whole and cannot be read; anything else may be a passing fault.
_UNREADABLE = ("json", "shape", "too-large")


def poll_step(
    state: PollState,
    answer: Answer,
    *,
    policy: PollPolicy,
    now: datetime,
) -> Step:
    """
    Decide what an answer means.

    Args:
        state: What was known before the look.
        answer: What it brought: a status (from any connection), a whole document (as the
            first answer of a new connection), or the error it ended with.
        policy: How the watch is conducted.
        now: When the look was begun, as an aware datetime.

    Returns:
        `Pending`, with what is known now and when to look again; or the outcome. Only a
        whole document settles a session or lets its deadline pass: a bare status that
        would do so asks for one.

    Raises:
        ConfigurationError: *now* has no time zone.
    """
    return step(state, answer, policy=policy, now=timestamp(now, name="now"))


def step(
    state: PollState, answer: Answer, *, policy: PollPolicy, now: float, load: Load = NO_LOAD
) -> Step:
    """Do what `poll_step` does, with *now* in seconds since the epoch, under *load*."""
    if isinstance(answer, IdentomatError):
        return _after_error(state, answer, policy, now, load)
    status = answer if isinstance(answer, SessionStatus) else answer.status
    if ends(status, state.until):
        if isinstance(answer, SessionResult):
            return settled(_answered(state, answer, now), answer, now)
        return confirming(state, status, now)
    known = _answered(state, answer, now)
    # A review changes how often the session is looked at, and until when.
    is_rumour = status is MANUAL_CHECK and known.reviewed is None
    if not is_rumour and not is_over(known.ends_at, now):
        return _pending(known, status, policy, now, load)
    if isinstance(answer, SessionResult):
        return deadline_passed(known, now)
    return confirming(state, status, now)


def open_for(
    state: PollState, *, policy: PollPolicy, now: float, load: Load = NO_LOAD
) -> float | None:
    """
    Return the delay to the next look if a look at *now* said that the session is in progress.

    It is what `step` comes to, which then changes nothing but the status and the count;
    None if there is more to it. Asked at nearly every look, it has no room for detours.
    """
    is_plain = state.trouble is None and not state.early and not state.fresh
    density = policy.density
    if density is None or not is_plain or state.status is MANUAL_CHECK:
        return None
    gap = density.gap(
        now - state.begun,
        stretch=load.stretch,
        share=_jitter(policy),
        ahead=load.ahead,
        at_most=load.at_most,
    )
    delay = max(gap, FLOOR)
    return delay if delay < state.deadline - now else None


def confirming(state: PollState, status: SessionStatus, now: float) -> Pending:
    """Ask for the document at once: a kept connection gave a *status* that would end it."""
    return Pending(state=_answered(state, status, now, fresh=True), delay=0.0)


def nudged(state: PollState, now: float) -> tuple[PollState, bool]:
    """
    Return *state* with looks ahead of the schedule: the person has just come back.

    And whether that is news. Who reloads a page again and again brings no more looks than
    one every two seconds.
    """
    if state.early and now - (state.early[-1] - NUDGES[-1]) < NUDGES[1]:
        return state, False
    return attrs.evolve(state, early=tuple(now + after for after in NUDGES)), True


def given_up(
    state: PollState, *, ends_at: float, due: float, policy: PollPolicy, now: float
) -> PollFailed | None:
    """
    Return the outcome of a session that could not be looked at for too long, None if it could.

    Args:
        state: What is known of it.
        ends_at: When time is up.
        due: When it should have been looked at.
        policy: How the watch is conducted.
        now: The time.
    """
    # One fault is not an outage, but many held everybody up: since when does not matter.
    since = due if state.trouble is None else state.watched
    if not is_over(max(ends_at, since) + policy.grace, now):
        return None
    return PollFailed(**_facts(state, now))


def unanswered(
    state: PollState, *, ends_at: float, policy: PollPolicy, now: float
) -> PollFailed | None:
    """
    Return the outcome of a session whose looks have failed for too long; None if they have not.

    Args:
        state: What is known of it after the last look.
        ends_at: When time is up for whoever asks.
        policy: How the watch is conducted.
        now: When the last look was begun.
    """
    # What is wrong with the account ends no watch.
    is_ours = isinstance(state.last_error, AuthenticationError | SignatureError)
    is_long = _is_given_up(state, ends_at, policy, now)
    return PollFailed(**_facts(state, now)) if is_long and not is_ours else None


def is_over(deadline: float, now: float) -> bool:
    """Tell whether a look begun *now* was begun at or after *deadline*."""
    return now >= deadline - TOLERANCE


def settled(state: PollState, result: SessionResult, now: float) -> Settled:
    """Return the outcome of a session whose *result* has come."""
    return Settled(**_facts(state, now), result=result)


def deadline_passed(state: PollState, now: float) -> DeadlinePassed:
    """Return the outcome of a session that is still open when time is up."""
    return DeadlinePassed(**_facts(state, now))


class _Facts(TypedDict):
    token: str
    reference: str | None
    status: SessionStatus | None
    polls: int
    waited: float
    last_error: IdentomatError | None


def _facts(state: PollState, now: float) -> _Facts:
    return {
        "token": state.token,
        "reference": state.reference,
        "status": state.status,
        "polls": state.polls,
        "waited": max(0.0, now - state.watched),
        "last_error": state.last_error,
    }


def _answered(
    state: PollState, answer: SessionStatus | SessionResult, now: float, *, fresh: bool = False
) -> PollState:
    status, is_first_review = answer, False
    if isinstance(status, SessionResult):
        status = status.status
        is_first_review = status is MANUAL_CHECK and state.reviewed is None
    # Spelled out, since this runs at every look and `attrs.evolve` takes five times as long.
    return PollState(
        token=state.token,
        begun=state.begun,
        watched=state.watched,
        deadline=state.deadline,
        until=state.until,
        reference=state.reference,
        review=state.review,
        reviewed=now if is_first_review else state.reviewed,
        status=status,
        polls=state.polls + 1,
        fresh=fresh,
        early=state.early,
    )


def _after_error(
    state: PollState, error: IdentomatError, policy: PollPolicy, now: float, load: Load
) -> Step:
    kind = _doubt_kind(error)
    was_fresh = state.fresh
    trouble = Trouble(
        failures=state.failures + 1,
        since=now if state.failing_since is None else state.failing_since,
        error=error,
        doubt=state.doubt,
    )
    state = attrs.evolve(state, polls=state.polls + 1, trouble=trouble)
    if kind is None:
        return _unanswered(state, error, policy, now, load)
    doubt = _doubted(state, kind, now)
    state = attrs.evolve(state, fresh=True, trouble=attrs.evolve(trouble, doubt=doubt))
    is_proven = doubt.count >= _PROOF and is_over(doubt.since + policy.gone_window, now)
    is_signed = getattr(error, "verified", False)
    # A signature does not say for which session; on a fresh connection it can only be ours.
    is_verified = is_signed and was_fresh
    if is_proven or is_verified:
        return _believed(state, kind, now, verified=is_verified)
    if kind == "unreadable" or _is_given_up(state, state.ends_at, policy, now):
        return _unanswered(state, error, policy, now, load)
    if is_signed:
        return _look_in(state, FLOOR, now)
    # Said once it is no evidence, and so no answer either: past the deadline it is asked on.
    again = policy.gone_window / (_PROOF - 1) * (1 + policy.jitter * policy.random())
    return _look_in(state, max(again, FLOOR), now)


def _doubt_kind(error: IdentomatError) -> DoubtKind | None:
    if isinstance(error, SessionNotFoundError):
        return "gone"
    if isinstance(error, SessionInvalidError):
        return "invalid"
    is_document = isinstance(error, ResponseDecodeError) and error.reason in _UNREADABLE
    return "unreadable" if is_document else None


def _doubted(state: PollState, kind: DoubtKind, now: float) -> Doubt:
    doubt = state.doubt
    if doubt is None or doubt.kind != kind:
        doubt = Doubt(kind, 0, now)
    # A kept connection may have carried somebody else's document.
    if state.fresh or kind != "unreadable":
        doubt = Doubt(kind, doubt.count + 1, doubt.since)
    return doubt


def _believed(state: PollState, kind: DoubtKind, now: float, *, verified: bool) -> Outcome:
    if kind == "gone":
        return SessionGone(**_facts(state, now), verified=verified)
    return PollFailed(**_facts(state, now))


def _is_given_up(state: PollState, ends_at: float, policy: PollPolicy, now: float) -> bool:
    # Not from the deadline alone: after a restart it may be long past, and one fault then
    # is not an outage.
    since = now if state.failing_since is None else state.failing_since
    return is_over(max(ends_at, since) + policy.grace, now)


def _unanswered(
    state: PollState, error: IdentomatError, policy: PollPolicy, now: float, load: Load
) -> Step:
    # While nobody answers, a verdict may be there that only cannot be read.
    outcome = unanswered(state, ends_at=state.ends_at, policy=policy, now=now)
    if outcome is not None:
        return outcome
    return _pending(state, error, policy, now, load)


def _pending(
    state: PollState,
    answer: SessionStatus | IdentomatError,
    policy: PollPolicy,
    now: float,
    load: Load,
) -> Pending:
    gap, stretch = scheduled(state, answer, policy, now, load, share=_jitter(policy))
    delay = max(gap or FLOOR, FLOOR)
    early = state.early
    if early:
        early = tuple(at for at in early if at > now + TOLERANCE)
        state = attrs.evolve(state, early=early)
    if early:
        delay, stretch = min(delay, early[0] - now), 1.0
    if isinstance(answer, IdentomatError):
        if isinstance(answer, AuthenticationError | SignatureError):
            delay = FLOOR  # soon again: is it the account, or this one answer?
        again = consult(policy.retry_wait, polls=state.failures, begun=now, now=now, answer=answer)
        delay = max(delay, (again or FLOOR) * _jitter(policy))
    return _look_in(state, delay, now, unsound=gap is None, stretch=stretch)


def scheduled(
    state: PollState,
    answer: SessionStatus | IdentomatError,
    policy: PollPolicy,
    now: float,
    load: Load,
    *,
    share: float,
) -> tuple[float | None, float]:
    """
    Return the seconds to the next look, and how many times longer than wished that is.

    They are a *share* of the gap; None if the wait strategy gives no usable time.
    """
    # A MANUAL_CHECK that could not be read yet is no review, nor one that is itself the end.
    is_under_review = state.status is MANUAL_CHECK and state.reviewed is not None
    in_review = is_under_review and state.until is DECIDED
    if policy.density is not None:
        # A share of what is left to the next look, and not of the gap in seconds: those who
        # come into the busy time together would be thrown off step, and crowd at times.
        gap = policy.density.gap(
            now - state.begun,
            status=MANUAL_CHECK if in_review else None,
            stretch=load.stretch,
            share=share,
            ahead=load.ahead,
            at_most=load.at_most,
        )
        return gap, load.stretch
    wish = consult(policy.wait, polls=state.polls, begun=state.begun, now=now, answer=answer)
    if wish is None:
        return None, 1.0
    wish = max(wish, FLOOR, REVIEW if in_review else 0.0)
    return max(wish, load.at_least) * share, max(1.0, load.at_least / wish)


def _jitter(policy: PollPolicy) -> float:
    return 1 + policy.jitter * (2 * policy.random() - 1)


def _look_in(
    state: PollState, delay: float, now: float, *, unsound: bool = False, stretch: float = 1.0
) -> Pending:
    left = state.ends_at - now
    # Not if the rate has stretched the schedule: those who were begun together would come up
    # together, and be a queue in front of everybody. The next look is soon enough for them.
    if TOLERANCE < left <= delay and stretch <= 1:
        # The look at the deadline finds a verdict that has come since the last one; and
        # since its word is acted on either way, it is a fresh one.
        state, delay = attrs.evolve(state, fresh=True), left
    return Pending(state=state, delay=delay, unsound=unsound, stretch=stretch)
