"""What was found means: in order or not, and what to do about it. No I/O."""

import ssl
from typing import Literal, Self

import attrs

from identomat_async.errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailedError,
    IdentomatError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    SessionNotFoundError,
    SignatureError,
    UnexpectedRedirectError,
)

Verdict = Literal["fine", "note", "wrong"]

# The service's clock is told in whole seconds, and the answer took its time.
_CLOCK_NOTED = 5.0
_CLOCK_WRONG = 60.0
_DAY = 86400.0
_SOON = 14 * _DAY
# As OpenSSL counts them.
_EXPIRED, _UNKNOWN_ISSUERS, _OTHER_NAMES = 10, (18, 19, 20, 21), (62, 64)
_OPEN_TO_OTHERS = 0o077


@attrs.frozen
class Check:
    """
    One thing that was looked at.

    Attributes:
        name: What it is.
        verdict: Whether it is in order; a note is no fault.
        found: What was found, nothing secret.
        fix: What to do, None if there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    fix: str | None = None

    @classmethod
    def fine(cls, name: str, found: str) -> Self:
        """Tell what is in order."""
        return cls(name, "fine", found)

    @classmethod
    def note(cls, name: str, found: str, fix: str | None = None) -> Self:
        """Tell what is good to know."""
        return cls(name, "note", found, fix)

    @classmethod
    def wrong(cls, name: str, found: str, fix: str) -> Self:
        """Tell what is wrong, and what to do."""
        return cls(name, "wrong", found, fix)


def check_mode(name: str, mode: int) -> Check | None:
    """Tell whether a file with a key is open to others, None if it is not."""
    if not mode & _OPEN_TO_OTHERS:
        return None
    return Check.note(
        "key file",
        f"others on this machine can read {name} (mode {mode & 0o777:04o})",
        f"chmod 600 {name}",
    )


def check_clock(theirs: float | None, ours: float) -> Check:
    """Hold the service's clock and ours against each other, both in seconds since the epoch."""
    if theirs is None:
        return Check.note("clock", "the service does not tell its time, so ours is not checked")
    apart = ours - theirs
    if abs(apart) <= _CLOCK_NOTED:
        return Check.fine("clock", "this machine's clock and the service's agree")
    found = f"this machine's clock is {abs(apart):.0f} s {'ahead' if apart > 0 else 'behind'}"
    fix = "set it by the network (NTP): deadlines that are dates and certificates depend on it"
    if abs(apart) <= _CLOCK_WRONG:
        return Check.note("clock", found, fix)
    return Check.wrong("clock", found, fix)


def check_tls(version: str | None, expires: float | None, now: float) -> Check:
    """Tell how a connection is protected."""
    found = f"{version}, the certificate is trusted"
    if expires is None:
        return Check.fine("TLS", found)
    left = expires - now
    said = f"{found} and ends in {left / _DAY:.0f} days"
    if left > _SOON:
        return Check.fine("TLS", said)
    return Check.note("TLS", said, "tell the service's operator, unless it renews by itself")


def said_of_tls(error: OSError) -> Check:
    """Tell why there was no protected connection."""
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code == _EXPIRED:
        return Check.wrong(
            "TLS",
            "the certificate has ended",
            "check this machine's date; if it is right, the service has to renew",
        )
    if code in _OTHER_NAMES:
        return Check.wrong(
            "TLS",
            "the certificate is for another name",
            "check the host in the base URL; something on the way may answer in its place",
        )
    if code in _UNKNOWN_ISSUERS:
        return Check.wrong(
            "TLS",
            "nobody we trust has signed the certificate",
            "if a proxy of your company opens TLS, give its certificate with --ca-file",
        )
    if code is not None:
        return Check.wrong(
            "TLS",
            f"the certificate is not accepted (code {code})",
            "look at it: openssl s_client -connect HOST:PORT",
        )
    return Check.wrong(
        "TLS",
        "there is no TLS 1.2 or later",
        "check the port of the base URL; something on the way may be too old",
    )


def check_account(error: IdentomatError | None) -> Check:
    """
    Tell what the service made of our keys.

    Args:
        error: What became of a question about a session that cannot exist; None if it was
            answered all the same.
    """
    if isinstance(error, SessionNotFoundError):
        return Check.fine("account", "the service answers, and does not refuse the company key")
    if error is None:
        return Check.note("account", "the service knows a session that was never begun")
    fix = next(advice for kind, advice in _ADVICE if isinstance(error, kind))
    return Check.wrong("account", str(error), fix)


def check_signature(*, is_signed: bool, is_proved: bool) -> Check:
    """Tell whether answers are signed."""
    if not is_signed:
        return Check.note(
            "signature",
            "requests are not signed, since there is no secret key",
            "if your company key came with one, set IDENTOMAT_SECRET_KEY or give --secret-file",
        )
    if is_proved:
        return Check.fine("signature", "requests are accepted, and the answers' are valid")
    return Check.note(
        "signature",
        "requests are signed; answers' signatures were not seen, since errors have none",
        "prove it with --begin, which begins a session and deletes it",
    )


_ADVICE: tuple[tuple[type[IdentomatError], str], ...] = (
    (
        AuthenticationError,
        "check the company key, and the secret key if it has one (Settings, Integration, API)",
    ),
    (SignatureError, "check that the secret key belongs to the company key"),
    (UnexpectedRedirectError, "check the base URL: its path too, such as /external-api/"),
    (RateLimitedError, "wait, or use fewer requests: --rate, a RateBudget for all clients"),
    (ServerError, "try again later; the service is not well"),
    (RequestTimeoutError, "try again later; the service is slow, or something on the way is"),
    (ConnectionFailedError, "see the lines above"),
    (ApiError, "check the base URL: its path too, such as /external-api/"),
    (IdentomatError, "something on the way may answer in the service's place"),
)
