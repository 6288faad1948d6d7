"""The service without HTTP, which also knows the truth about every session."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from random import Random
from threading import Lock

import anyio
import attrs

from identomat_async.errors import ConfigurationError
from identomat_async.sandbox import _media
from identomat_async.sandbox._documents import (
    encode,
    is_screened,
    result_document,
    screening_person,
)
from identomat_async.sandbox._people import Invented, person_of
from identomat_async.sandbox._refusal import (
    MEDIA_NOT_FOUND,
    PERSON_NOT_FOUND,
    SESSION_INVALID,
    SESSION_NOT_FOUND,
    Refusal,
)
from identomat_async.sandbox._script import CAPTURED, Life, Script
from identomat_async.sandbox._setup import DEFAULT, Setup, read_setup
from identomat_async.sandbox._truth import Glance, Truth
from identomat_async.sandbox._visit import NOBODY, Visit

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_TOKEN_LENGTH = 40
_DOCUMENTS_KEPT = 4096


def loop_time() -> float:
    """Read the clock of the running event loop; the monotonic one outside of any."""
    try:
        return anyio.current_time()
    except anyio.NoEventLoopError:
        return time.monotonic()


@attrs.define(eq=False)
class _Session:
    token: str
    begun: float
    script: Script
    setup: Setup
    polls: int = 0
    last_poll: float | None = None
    deleted: bool = False
    invalid: bool = False
    visit: Visit = NOBODY


class Service:
    """
    Sessions, their lives and what is said about them.

    Safe to use from several threads: a server's and a test's.

    Args:
        seed: Makes tokens and lives repeatable.
        life: Draws the script of each new session.
        screening: Share of people with a screening match.
        now: The clock.
    """

    def __init__(
        self, *, seed: int, life: Life, screening: float, now: Callable[[], float]
    ) -> None:
        self.now: Callable[[], float] = now
        self.life = life
        self._screening = screening
        # Two sources, so that tokens stay the same whatever lives are drawn.
        self._tokens = Random(f"{seed} tokens")  # noqa: S311  # play money
        self._lives = Random(f"{seed} lives")  # noqa: S311  # as above
        self._sessions: dict[str, _Session] = {}
        self._listed: dict[str, Invented] = {}
        self._requests: Counter[str] = Counter()
        self._lock = Lock()
        self._document = lru_cache(_DOCUMENTS_KEPT)(self._write)
        self._nothing_yet = lru_cache(_DOCUMENTS_KEPT)(_write_nothing)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of all sessions ever begun or planted, deleted ones included."""
        with self._lock:
            return tuple(self._sessions)

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests came in, by operation."""
        with self._lock:
            return dict(self._requests)

    def count(self, operation: str) -> None:
        """Note a request."""
        with self._lock:
            self._requests[operation] += 1

    def begin(self, parameters: Mapping[str, object]) -> str:
        """
        Begin a session.

        Raises:
            Refusal: A parameter cannot be read, or the parent is not known.
        """
        setup = read_setup(parameters)
        if setup.parent is not None:
            self._find(setup.parent)
        with self._lock:
            token = "".join(self._tokens.choices(_ALPHABET, k=_TOKEN_LENGTH))
            script = self.life(self._lives)
            self._sessions[token] = _Session(token, self.now(), script, setup)
        return token

    def result(self, token: str) -> bytes:
        """
        Say what is known about a session, and note that somebody asked.

        Raises:
            Refusal: There is no such session any more, or it is invalid.
        """
        now = self.note_poll(token)
        return self._said(self._find(token), now)

    def note_poll(self, token: str) -> float:
        """Note that somebody asked for a result, whatever is answered; returns when."""
        with self._lock:
            now = self.now()
            session = self._sessions.get(token)
            if session is not None:
                session.polls += 1
                session.last_poll = now
        return now

    def peek(self, token: str, *, age: float | None = None) -> bytes:
        """
        Say what `result` says, or said at an *age* in seconds; nobody has asked.

        Raises:
            Refusal: There is no such session any more, or it is invalid.
        """
        session = self._find(token)
        return self._said(session, self.now() if age is None else session.begun + age)

    def is_settled(self, token: str) -> bool:
        """Tell whether a session is there and its verdict too."""
        session = self._sessions.get(token)
        if session is None or session.deleted or session.invalid:
            return False
        return session.script.status_at(self.now() - session.begun).lower() in CAPTURED

    def delete(self, token: str) -> bytes:
        """
        Delete a session and say for the last time what was known about it.

        Raises:
            Refusal: There is no such session any more, or it is invalid.
        """
        session = self._find(token)
        said = self._said(session, self.now())
        session.deleted = True
        return said

    def media(self, token: str, kind: str) -> tuple[bytes, str]:
        """
        Return an image or video and its content type.

        Raises:
            Refusal: There is no such session, or it has no such image.
        """
        session = self._find(token)
        person = person_of(token)
        captured = session.script.status_at(self.now() - session.begun).lower() in CAPTURED
        if not captured or kind not in _media.kinds_of(session.setup, person):
            raise Refusal(MEDIA_NOT_FOUND)
        return _media.content_of(kind, person)

    def screening_person(self, person_id: str) -> bytes:
        """
        Return the details of a screening match that a result has named.

        Raises:
            Refusal: No result has named this id.
        """
        person = self._listed.get(person_id)
        if person is None:
            raise Refusal(PERSON_NOT_FOUND)
        return encode(screening_person(person, person_id))

    def plant(self, token: str, script: Script, *, begun: float | None, setup: Setup) -> None:
        """Put a session where none was begun; one with the same token is forgotten."""
        with self._lock:
            began = self.now() if begun is None else begun
            self._sessions[token] = _Session(token, began, script, setup)

    def draw(self, life: Life) -> Script:
        """Draw one script from the same source as those of new sessions."""
        with self._lock:
            return life(self._lives)

    def rescript(self, token: str, script: Script) -> None:
        """Replace the script of a session."""
        self._known(token).script = script

    def age(self, token: str) -> float:
        """Return the seconds since the begin of a session."""
        return self.now() - self._known(token).begun

    def open(self, token: str) -> tuple[Setup, Visit]:
        """
        Let a person in: from now on the session waits for them, whatever its script says.

        Raises:
            Refusal: There is no such session any more, or it is invalid.
        """
        session = self._find(token)
        with self._lock:
            if not session.visit.is_over:
                age = self.now() - session.begun
                session.script = session.script.replaced_from(age, Script())
        return session.setup, session.visit

    def decide(
        self, token: str, status: str, *, after: float = 0.0, visit: Visit | None = None
    ) -> None:
        """
        Let a session come to something, as a person or an operator does.

        Args:
            token: The session.
            status: What it comes to, ``"abandoned"`` for nothing.
            after: Seconds from now.
            visit: What the person has done on the page; None keeps what is known of it.

        Raises:
            Refusal: There is no such session any more, or it is invalid.
        """
        session = self._find(token)
        with self._lock:
            age = self.now() - session.begun
            told = Script.of(status, after=age + after)
            session.script = session.script.replaced_from(age, told)
            session.visit = session.visit if visit is None else visit

    def visit_of(self, token: str) -> Visit:
        """Say what the person of a session has done on the page."""
        return self._known(token).visit

    def glance(self, token: str) -> Glance:
        """
        Say how a session stands; nobody has asked.

        Raises:
            Refusal: There never was such a session.
        """
        session = self._sessions.get(token)
        if session is None:
            raise Refusal(SESSION_NOT_FOUND)
        return self._glance(session, self.now())

    def newest(self, *, skip: int, count: int) -> list[Glance]:
        """Look at the sessions that were begun last, the newest first."""
        with self._lock:
            sessions = list(islice(reversed(self._sessions.values()), skip, skip + count))
        now = self.now()
        return [self._glance(session, now) for session in sessions]

    def remove(self, token: str) -> None:
        """Delete a session without a request for it."""
        self._known(token).deleted = True

    def invalidate(self, token: str) -> None:
        """Let every call for this session be answered with ``SESSION_INVALID``."""
        self._known(token).invalid = True

    def truth(self, token: str) -> Truth:
        """Say what is true about a session now."""
        session = self._known(token)
        age = self.now() - session.begun
        script = session.script
        return Truth(
            status=script.status_at(age),
            begun_at=session.begun,
            settled_at=_happened(session.begun, script.terminal_after, age),
            decided_at=_happened(session.begun, script.decided_after, age),
            polls=session.polls,
            last_poll=session.last_poll,
            deleted=session.deleted,
            person_number=person_of(token).personal_number,
            script=script,
        )

    def change_clock(self, now: Callable[[], float]) -> None:
        """Go on with another clock; every session keeps its age."""
        with self._lock:
            moved = now() - self.now()
            for session in self._sessions.values():
                session.begun += moved
                if session.last_poll is not None:
                    session.last_poll += moved
            self.now = now

    def _find(self, token: str) -> _Session:
        session = self._sessions.get(token)
        if session is None or session.deleted:
            raise Refusal(SESSION_NOT_FOUND)
        if session.invalid:
            raise Refusal(SESSION_INVALID)
        return session

    def _known(self, token: str) -> _Session:
        session = self._sessions.get(token)
        if session is None:
            raise ConfigurationError("the sandbox has no such session; begin or plant it first")
        return session

    def _glance(self, session: _Session, now: float) -> Glance:
        age = now - session.begun
        status = session.script.status_at(age)
        is_there = not session.deleted and not session.invalid
        return Glance(
            token=session.token,
            status=status if is_there else "deleted" if session.deleted else "invalid",
            begun=session.begun,
            polls=session.polls,
            last_poll=session.last_poll,
            ahead=session.script.next_after(age) if is_there else None,
        )

    def _said(self, session: _Session, now: float) -> bytes:
        age = now - session.begun
        status = session.script.status_at(age)
        if status.lower() not in CAPTURED:
            return self._nothing_yet(status)
        return self._document(session, status, session.script.reviewed_by(age), session.visit)

    def _write(self, session: _Session, status: str, reviewed: bool, visit: Visit) -> bytes:  # noqa: FBT001  # lru_cache is quicker so
        person = person_of(session.token)
        screening_id = None
        if is_screened(person, self._screening):
            screening_id = f"p-{sha256(person.personal_number.encode()).hexdigest()[:16]}"
            self._listed[screening_id] = person
        document = result_document(
            status,
            session.setup,
            person,
            reviewed=reviewed,
            screening_id=screening_id,
            visit=visit,
        )
        return encode(document)


def _write_nothing(status: str) -> bytes:
    nobody = person_of("")
    return encode(result_document(status, DEFAULT, nobody, reviewed=False, screening_id=None))


def _happened(begun: float, after: float | None, age: float) -> float | None:
    return None if after is None or after > age else begun + after
