"""An outcome as the return value or exception of a wait."""

import copy

from identomat_async._model._result import SessionResult
from identomat_async._polling._outcomes import DeadlinePassed, Outcome, SessionGone, Settled
from identomat_async.errors import IdentomatError, SessionNotFoundError, WaitTimeoutError


def result_of(outcome: Outcome) -> SessionResult:
    """
    Return the result of a session that was settled, or raise what happened instead.

    Raises:
        WaitTimeoutError: The deadline passed.
        SessionNotFoundError: The service does not know the session.
        IdentomatError: No verdict could be read; the error of the last look.
    """
    if isinstance(outcome, Settled):
        return outcome.result
    raise _error(outcome)


def _error(outcome: Outcome) -> IdentomatError:
    if isinstance(outcome, SessionGone):
        return SessionNotFoundError(
            outcome.explain(),
            verified=outcome.verified,
            code="SESSION_NOT_FOUND",
            operation="result",
            attempts=outcome.polls,
            elapsed=outcome.waited,
        )
    if isinstance(outcome, DeadlinePassed) or outcome.last_error is None:
        return WaitTimeoutError(
            outcome.explain(),
            last=outcome.status,
            polls=outcome.polls,
            waited=outcome.waited,
            operation="result",
            attempts=outcome.polls,
            elapsed=outcome.waited,
            retryable=True,
            reason="deadline",
        )
    return copy.copy(outcome.last_error)
