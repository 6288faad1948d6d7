"""Which faults there are, and which of them strikes which request. Pure."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import takewhile
from types import MappingProxyType

import attrs

from identomat_async.errors import ConfigurationError

ALL = frozenset({"begin", "result", "delete", "media", "other"})
_DOCUMENTS = frozenset({"result", "delete"})
_JSON = ALL - {"media"}
_STALLS = frozenset({"F11", "F12", "F13"})
_STALL_WEIGHT = 0.3
# So often a client has to meet what it may then believe.
_PROOF = 3


@attrs.frozen(kw_only=True)
class Fault:
    """
    One thing that a server, or what stands in front of it, does wrong.

    Attributes:
        id: Its row and variant, such as ``"F14-short"``.
        says: What happens, in a few words.
        operations: Whose answers it can strike: ``"begin"``, ``"result"``, ``"delete"``,
            ``"media"``, ``"other"``.
        acts: Whether the service acts on the request all the same.
        halts: Whether a client rightly stops asking for long after one or two of them;
            such faults strike only when they are asked for by name.
        is_signing: Whether it is a fault of the signature, so that it needs one.
        proves: What a client rightly believes when it meets it three times and no good
            answer in between: that the session is ``"gone"``, or its document
            ``"unreadable"``. None for nothing, however often.
    """

    id: str
    says: str
    operations: frozenset[str] = ALL
    acts: bool = True
    halts: bool = False
    is_signing: bool = False
    proves: str | None = None

    @property
    def row(self) -> str:
        """The row alone, such as ``"F14"``."""
        return self.id.partition("-")[0]


def _of(name: str, says: str, operations: frozenset[str] = ALL, *, acts: bool = True) -> Fault:
    return Fault(id=name, says=says, operations=operations, acts=acts)


def _statuses(row: str, *statuses: int, acts: bool = False) -> tuple[Fault, ...]:
    return tuple(_of(f"{row}-{status}", f"HTTP {status}", acts=acts) for status in statuses)


def _proving(what: str, *faults: Fault) -> tuple[Fault, ...]:
    return tuple(attrs.evolve(fault, proves=what) for fault in faults)


def _broken_json() -> tuple[Fault, ...]:
    ways = {
        "cut": "half of the JSON",
        "trailing": "JSON and something after it",
        "twice": "a member that is there twice",
        "nan": "a number that is none",
        "deep": "JSON 200 levels deep",
        "digits": "a number of 5,000 digits",
        "surrogate": "half a character, escaped",
        "utf16": "UTF-16",
        "bom": "a byte order mark first",
        "latin1": "Latin-1",
    }
    return _proving("unreadable", *(_of(f"F27-{way}", s, _JSON) for way, s in ways.items()))


def _senseless_times() -> tuple[Fault, ...]:
    ways = {
        "date": "asks to wait until a date",
        "past": "until a date that is past",
        "negative": "for less than no time",
        "huge": "for 1e309 seconds",
        "nan": "for NaN seconds",
        "zero": "for no time",
        "two": "for two times at once",
    }
    named = tuple(_of(f"F47-{way}", f"429 that {says}", acts=False) for way, says in ways.items())
    far = Fault(id="F47-far", says="429 for 99999999 seconds", acts=False, halts=True)
    return (*named, far, _of("F47-clock", "an answer whose Date is off by a day"))


_EVERY = (
    _of("F6", "reset instead of an answer", acts=False),
    _of("F7", "closed instead of an answer", acts=False),
    _of("F8", "the connection is closed when the next request comes", frozenset({"result"})),
    _of("F9-close", "acts, then closes"),
    _of("F9-reset", "acts, then resets"),
    _of("F10-status", "half a status line"),
    _of("F10-headers", "half of the headers"),
    _of("F11-answer", "silence instead of an answer"),
    _of("F11-headers", "silence in the headers"),
    _of("F11-body", "silence in the body"),
    _of("F12", "one byte every 50 ms, for ever"),
    _of("F13", "103 Early Hints, for ever"),
    _of("F14-short", "a body shorter than its length"),
    _of("F14-chunks", "chunks that break off"),
    _of("F14-reset", "reset in the body"),
    _of("F15-chunk", "a chunk without a size"),
    _of("F15-garbage", "bytes that are not HTTP"),
    _of("F15-lengths", "two lengths"),
    _of("F16", "text without any HTTP around it"),
    _of("F17", "a length, and chunks too"),
    _of("F18", "another session's signed answer, in the same packet"),
    _of("F19", "another session's signed answer, 1 to 20 ms late"),
    _of("F20", "a header of 200 kB"),
    _of("F21", "5,000 headers"),
    *_proving(
        "unreadable",
        _of("F22-chunks", "a body without end"),
        _of("F22-length", "a body of 100 GB, by its length"),
    ),
    _of("F23-bomb", "20 MB of nothing, compressed"),
    _of("F23-nested", "compressed 200 times over"),
    _of("F24-bad", "called gzip, and is not"),
    _of("F24-cut", "gzip that breaks off"),
    _of("F25", "a web page with HTTP 200", acts=False),
    _of("F26-empty", "HTTP 200 and nothing"),
    _of("F26-204", "HTTP 204"),
    *_broken_json(),
    *_proving(
        "unreadable",
        _of("F28-decisive", "a verdict or token of the wrong type", _JSON),
        _of("F28-live", '"live" is a text', _DOCUMENTS),
    ),
    _of("F28-status", "a status nobody knows", _DOCUMENTS),
    *_proving(
        "gone",
        _of("F29-200", '"SESSION_NOT_FOUND" with HTTP 200', ALL - {"begin"}, acts=False),
        _of("F29-404", '"SESSION_NOT_FOUND" with HTTP 404', ALL - {"begin"}, acts=False),
    ),
    _of("F30-code", "an error code nobody knows, with HTTP 200", acts=False),
    _of("F30-argument", "argumentError with HTTP 200", acts=False),
    Fault(id="F31-missing", says="no signature", is_signing=True),
    Fault(id="F31-wrong", says="a signature with another key", is_signing=True),
    Fault(id="F31-bytes", says="a signature of other bytes", is_signing=True),
    Fault(id="F31-two", says="two signatures", is_signing=True),
    *_statuses("F32", 301, 302, 303, 307, 308),
    *_statuses("F33", 400, 405, 411, 413, 414, 415, 422),
    *(attrs.evolve(fault, halts=True) for fault in _statuses("F34", 401, 403, 407)),
    _of("F35", "HTTP 404 for a medium", frozenset({"media"}), acts=False),
    *_statuses("F36", 408, 425),
    *_statuses("F37", 409, 423),
    _of("F38-later", "429 with Retry-After", acts=False),
    _of("F38-bare", "429 without Retry-After", acts=False),
    *_statuses("F39", 500, 501, 505, 507, acts=True),
    *_statuses("F40", 502, 504, 520, 521, 522, 523, 524, 525, 526, 527, acts=True),
    _of("F41-later", "503 with Retry-After", acts=False),
    _of("F41-bare", "503 without Retry-After"),
    _of("F42", "the answer names another session", _DOCUMENTS),
    _of("F43-replayed", "an older answer once more", frozenset({"result"})),
    _of("F43-cached", "an older answer out of a cache", frozenset({"result"})),
    _of("F44-cookies", "50 cookies"),
    _of("F44-close", "Connection: close"),
    _of("F45", "an early 413, then closed", acts=False),
    *_senseless_times(),
)

FAULTS = MappingProxyType({fault.id: fault for fault in _EVERY})
"""Every fault that can strike a single request, by its id."""

ELSEWHERE = MappingProxyType(
    {
        "F1": 'a closed port: Mode.down("refuse")',
        "F2": 'a port that does not answer: Mode.down("unreachable")',
        "F3": "names are resolved on the client's side",
        "F4": "give the front an ssl_context that the client does not trust",
        "F5": 'a TLS handshake that is cut or stalls: Mode.down("reset") or ("silent")',
        "F46": "an address that changes is the network's",
        "F48": "the client's own limits",
        "F49": "the client's own pool",
    }
)
"""Rows of the fault matrix that no answer can cause, and what does."""

PASSING = tuple(fault for fault in _EVERY if not fault.halts)
"""What strikes unless something else is asked for."""


def faults_named(names: Iterable[str]) -> tuple[Fault, ...]:
    """
    Return the faults that *names* mean: rows (``"F14"``) or single ones (``"F14-short"``).

    Raises:
        ConfigurationError: There is none of that name.
    """
    found: dict[str, Fault] = {}
    for name in names:
        meant = {each.id: each for each in _EVERY if name in {each.id, each.row}}
        if not meant:
            hint = f"; {ELSEWHERE[name]}" if name in ELSEWHERE else ""
            raise ConfigurationError(f"{name!r} is no fault of a single request{hint}")
        found |= meant
    return tuple(found.values())


def family_of(operation: str) -> str:
    """Return which of `Fault.operations` a method belongs to."""
    if operation.startswith("result/"):
        return "media"
    return operation if operation in ALL else "other"


def fault_for(
    seed: int,
    operation: str,
    token: str,
    n: int,
    share: float,
    *,
    kinds: tuple[Fault, ...] = PASSING,
    most: int | None = 6,
) -> Fault | None:
    """
    Decide which fault strikes a request, if any; the same in every process and order.

    Rows are equally likely, but for the three that stall (0.3); the variants of a row
    share its weight.

    Args:
        seed: Chooses among all possible runs.
        operation: The method, such as ``"result"`` or ``"result/face"``.
        token: The session; for a `begin` what stands for it.
        n: The how-manieth request of *operation* for *token* it is, from 1.
        share: How likely a fault is, 0 to 1.
        kinds: The faults to choose from.
        most: How many may strike one method for one token, so that success stays possible;
            None for no limit. For the same reason the third that would prove what is not true (see
            `Fault.proves`) gives way to another one of *kinds*, if there is any.
    """

    def strikes(request: int) -> bool:
        return chance(seed, "strikes", operation, token, request) < share

    def drawn(request: int) -> Fault | None:
        if not strikes(request) or _is_spared(strikes, request, most):
            return None
        return _picked(kinds, operation, chance(seed, operation, token, request))

    fault = drawn(n)
    if fault is None or fault.proves is None or most is None:
        return fault
    # Whatever struck in between, a good answer did not come.
    before = takewhile(bool, map(drawn, range(n - 1, 0, -1)))
    if sum(each is not None and each.proves == fault.proves for each in before) < _PROOF - 1:
        return fault
    others = tuple(each for each in kinds if each.proves != fault.proves)
    return _picked(others, operation, chance(seed, operation, token, n)) or fault


def chance(seed: int, *what: object) -> float:
    """Draw a number from 0 to 1 that depends on nothing but the arguments."""
    said = "\0".join(map(str, what)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, key=str(seed).encode(), digest_size=7).digest()) / 2**56


def _is_spared(strikes: Callable[[int], bool], n: int, most: int | None) -> bool:
    if most is None:
        return False
    struck = 0
    for earlier in range(1, n):
        if struck >= most:
            break
        struck += strikes(earlier)
    return struck >= most


def _picked(kinds: tuple[Fault, ...], operation: str, drawn: float) -> Fault | None:
    candidates = _weighted(kinds, family_of(operation))
    left = drawn * sum(weight for _, weight in candidates)
    for fault, weight in candidates:
        left -= weight
        if left < 0:
            return fault
    return None


@lru_cache
def _weighted(kinds: tuple[Fault, ...], family: str) -> tuple[tuple[Fault, float], ...]:
    possible = [fault for fault in kinds if family in fault.operations]
    rows = [fault.row for fault in possible]
    return tuple(
        (fault, (_STALL_WEIGHT if fault.row in _STALLS else 1.0) / rows.count(fault.row))
        for fault in possible
    )
