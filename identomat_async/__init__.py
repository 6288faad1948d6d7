"""
The async Python client for Identomat, and a poller that awaits very many checks at once.

`IdentomatClient` speaks to the service, `ResultPoller` waits for verdicts. What the
service says are frozen values (`SessionResult` and its parts); what went wrong is an
`IdentomatError`; a `SqliteJournal` lets a restart lose nothing, and `poll_step` is the
poller's decision as a pure function.
"""

from identomat_async import errors, events
from identomat_async._budget import RateBudget
from identomat_async._client import IdentomatClient
from identomat_async._model._documents import (
    DocumentPage,
    GeneralDocument,
    GeneralDocumentData,
    GeneralDocumentPage,
)
from identomat_async._model._findings import (
    Answer,
    Questionnaire,
    RejectReason,
    TechnicalDetails,
)
from identomat_async._model._flags import Flags
from identomat_async._model._media import Media, MediaContent
from identomat_async._model._person import Person
from identomat_async._model._result import SessionResult
from identomat_async._model._screening import ScreeningMatch, ScreeningPerson
from identomat_async._model._status import SessionStatus
from identomat_async._model._steps import (
    OperatorQuestionnaire,
    Option,
    Question,
    QuestionType,
    Step,
    UserQuestionnaire,
)
from identomat_async._polling._durations import Durations
from identomat_async._polling._journal._facts import Journal, JournalEntry, Note
from identomat_async._polling._journal._sqlite import SqliteJournal
from identomat_async._polling._journal._tables import MemoryJournal
from identomat_async._polling._learned import wait_learned
from identomat_async._polling._outcomes import (
    DeadlinePassed,
    Delivery,
    Outcome,
    PollFailed,
    SessionGone,
    Settled,
)
from identomat_async._polling._person import wait_person
from identomat_async._polling._policy import Pending, PollPolicy
from identomat_async._polling._poller import ResultPoller
from identomat_async._polling._state import Doubt, PollState, Trouble
from identomat_async._polling._stats import PollerStats
from identomat_async._polling._step import poll_step
from identomat_async._polling._sweep import sweep
from identomat_async._polling._view import WatchedSession
from identomat_async._polling._watch import Until, Watch
from identomat_async._wire._retry import RetryPolicy
from identomat_async._wire._setup import ClientOptions
from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    IdentomatError,
    JournalError,
    MediaNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ResponseTooLargeError,
    ServerError,
    SessionInvalidError,
    SessionNotFoundError,
    SignatureError,
    TransportError,
    UnexpectedRedirectError,
    WaitTimeoutError,
)

__all__ = [
    "Answer",
    "ApiError",
    "AuthenticationError",
    "ClientClosedError",
    "ClientOptions",
    "ConfigurationError",
    "ConnectionFailedError",
    "DeadlinePassed",
    "Delivery",
    "DocumentPage",
    "Doubt",
    "Durations",
    "Flags",
    "GeneralDocument",
    "GeneralDocumentData",
    "GeneralDocumentPage",
    "IdentomatClient",
    "IdentomatError",
    "Journal",
    "JournalEntry",
    "JournalError",
    "Media",
    "MediaContent",
    "MediaNotFoundError",
    "MemoryJournal",
    "Note",
    "OperatorQuestionnaire",
    "Option",
    "Outcome",
    "Pending",
    "Person",
    "PollFailed",
    "PollPolicy",
    "PollState",
    "PollerStats",
    "Question",
    "QuestionType",
    "Questionnaire",
    "RateBudget",
    "RateLimitedError",
    "RejectReason",
    "RequestTimeoutError",
    "ResponseDecodeError",
    "ResponseTooLargeError",
    "ResultPoller",
    "RetryPolicy",
    "ScreeningMatch",
    "ScreeningPerson",
    "ServerError",
    "SessionGone",
    "SessionInvalidError",
    "SessionNotFoundError",
    "SessionResult",
    "SessionStatus",
    "Settled",
    "SignatureError",
    "SqliteJournal",
    "Step",
    "TechnicalDetails",
    "TransportError",
    "Trouble",
    "UnexpectedRedirectError",
    "Until",
    "UserQuestionnaire",
    "WaitTimeoutError",
    "Watch",
    "WatchedSession",
    "errors",
    "events",
    "poll_step",
    "sweep",
    "wait_learned",
    "wait_person",
]
