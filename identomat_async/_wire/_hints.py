"""What the headers of a reply say beside it: how long to wait, and whether it was kept. No I/O."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from identomat_async._wire._reply import Reply

_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?", re.ASCII)
# A quota by its name, and its parameters: whole numbers, among others.
_QUOTA = re.compile(rb'\s*"[^"]{0,64}"((?:\s*;\s*[a-z]{1,8}=(?:[0-9]{1,10}|:[^:]{0,64}:))+)\s*')
_PARAMETER = re.compile(rb";\s*([rt])=([0-9]+)")
_LONGEST_DATE = 64
# What caches between here and the service call an answer that they kept from earlier.
_CACHE_HEADERS = (b"x-cache", b"x-cache-status", b"cf-cache-status", b"cache-status")
_HINTS = frozenset((b"age", *_CACHE_HEADERS))
_KEPT = (b"hit", b"stale", b"updating", b"revalidated")


def retry_after(reply: Reply) -> float | None:
    """
    Return the seconds that a reply asks to wait, None when it says nothing usable.

    Decimal seconds, or an HTTP date less the reply's own ``Date`` (our wall clock where it
    has none). Of several values the largest counts; senseless ones are ignored.
    """
    dates = [date for date in map(_http_date, reply.values(b"date")) if date is not None]
    since = dates[0] if dates else reply.received
    values = reply.short_values(b"retry-after")
    asked = [seconds for value in values for seconds in _asked(value, since)]
    return max(asked, default=None)


def exhausted(reply: Reply) -> float:
    """
    Return the seconds for which no request is left, 0 if the reply does not say so.

    That is a quota of the ``RateLimit`` header with ``r=0``, and its ``t``, as in
    draft-ietf-httpapi-ratelimit-headers-10; of several the longest. Anything else is
    ignored: what is left is no reason to ask sooner.
    """
    for name, _ in reply.headers:
        if name == b"ratelimit":
            break
    else:  # nearly always
        return 0.0
    items = [item for value in reply.short_values(b"ratelimit") for item in value.split(b",")]
    quotas = [quota for quota in map(_QUOTA.fullmatch, items) if quota is not None]
    told = [dict(_PARAMETER.findall(quota[1])) for quota in quotas]
    return max(
        (float(quota.get(b"t", 0)) for quota in told if quota.get(b"r") == b"0"), default=0.0
    )


def _asked(value: bytes, since: float) -> list[float]:
    until = _http_date(value)
    if until is not None:
        return [max(0.0, until - since)]
    texts = [text.strip() for text in value.decode("latin-1").split(",")]
    return [float(text) for text in texts if _SECONDS.fullmatch(text)]


def _http_date(value: bytes) -> float | None:
    if len(value) > _LONGEST_DATE:
        return None
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def is_cached(reply: Reply) -> bool:
    """Tell whether a cache on the way kept *reply* from earlier."""
    if _HINTS.isdisjoint(name for name, _ in reply.headers):  # nearly always
        return False
    ages = [age.strip() for value in reply.short_values(b"age") for age in value.split(b",")]
    if any(age.isdigit() and age.strip(b"0") for age in ages):
        return True
    values = [value for name in _CACHE_HEADERS for value in reply.short_values(name)]
    return any(_is_hit(entry) for value in values for entry in value.lower().split(b","))


def _is_hit(entry: bytes) -> bool:
    # ``TCP_HIT from proxy``, or as RFC 9211 has it, ``name; hit; ttl=5``.
    first, *parameters = (part.split() for part in entry.split(b";"))
    return [b"hit"] in parameters or any(word.endswith(_KEPT) for word in first[:1])
