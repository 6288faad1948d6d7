"""On what terms a session is watched: what callers say, checked."""

import math
from datetime import datetime
from functools import lru_cache
from typing import Self

import attrs
from tenacity.wait import wait_base

from identomat_async._clock import Deadline, Seconds, deadline_at, seconds, timestamp
from identomat_async._model._token import checked_token
from identomat_async._polling._person import wait_person
from identomat_async._polling._policy import PollPolicy
from identomat_async._polling._source import ResultSource
from identomat_async._polling._state import PollState
from identomat_async._polling._watch import Until, Watch
from identomat_async.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class Terms:
    """
    On what terms a session is watched unless the caller says otherwise.

    Attributes:
        until: What ends a watch.
        deadline: When the person's time is up: seconds from the beginning of the watch,
            or an aware datetime; None for never.
        review: Seconds that an operator may take; infinity for ever.
    """

    until: Until
    deadline: float | datetime | None
    review: float

    @classmethod
    def of(cls, until: Until, deadline: Deadline | None, review: Seconds | None) -> Self:
        """
        Return the terms that a caller has put into words.

        Raises:
            ConfigurationError: They cannot be.
        """
        if isinstance(deadline, datetime):
            timestamp(deadline, name="deadline")
        elif deadline is not None:
            deadline = seconds(deadline, name="deadline")
        span = math.inf if review is None else seconds(review, name="review")
        return cls(until=checked_until(until), deadline=deadline, review=span)

    def ends_at(self, deadline: Deadline | None, now: float) -> float:
        """Return when *deadline*, or else ours, is; infinity for never."""
        if deadline is not None:
            return deadline_at(deadline, now=now)
        if self.deadline is None:
            return math.inf
        return _kept_deadline(self.deadline, now)

    def review_span(self, review: Seconds | None) -> float:
        """Return *review*, or else ours, in seconds; infinity for ever."""
        return self.review if review is None else seconds(review, name="review")

    def state_of(self, watch: str | Watch, now: float) -> PollState:
        """
        Return what is known of a watch that begins *now*, before the first look.

        Raises:
            ConfigurationError: It cannot work.
        """
        if isinstance(watch, str):
            watch = Watch(watch)
        return PollState(
            token=checked_token(watch.token),
            reference=_checked_reference(watch.reference),
            begun=begun_at(watch.begun, now),
            watched=now,
            deadline=self.ends_at(watch.deadline, now),
            until=self.until if watch.until is None else checked_until(watch.until),
            review=self.review_span(watch.review),
        )


@lru_cache(maxsize=1)
def _kept_deadline(deadline: float | datetime, now: float) -> float:
    # One object for all that come at the same time: there may be very many.
    return deadline_at(deadline, now=now)


def begun_at(begun: object, now: float) -> float:
    """
    Return when a session was begun, *now* if nobody said.

    Raises:
        ConfigurationError: *begun* is no aware datetime.
    """
    if begun is None:
        return now
    if not isinstance(begun, datetime):
        raise ConfigurationError("begun must be an aware datetime: when the session was begun")
    return min(now, deadline_at(begun, now=now, name="begun"))


def _checked_reference(reference: object) -> str | None:
    if reference is not None and not isinstance(reference, str):
        raise ConfigurationError("reference must be text")
    return reference


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


def policy_of(
    source: ResultSource, *, wait: wait_base | None, grace: Seconds, gone_window: Seconds
) -> PollPolicy:
    """
    Return how watches are conducted, in the words of a poller's arguments.

    Raises:
        ConfigurationError: They cannot be.
    """
    return PollPolicy(
        wait=wait_person() if wait is None else wait,
        retry_wait=source.retry_wait,
        grace=seconds(grace, name="grace"),
        gone_window=seconds(gone_window, name="gone_window"),
    )
