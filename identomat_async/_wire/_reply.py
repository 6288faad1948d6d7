"""A reply as it was received. No I/O."""

from collections.abc import Sequence

import attrs

_LONGEST_HINT = 256
_TEXTS = ("json", "html", "xml")
# With these JSON, web pages and the blanks before them begin, and no image or video.
PAGE_MARKS = frozenset(bytes([mark]) for mark in b'{["<-0123456789ntf \t\r\n\xef')


# Not frozen: one is made at every look, and that would take twice as long.
@attrs.define(kw_only=True)
class Reply:
    """
    A reply as it was received.

    Attributes:
        status: The HTTP status.
        headers: Name (lower case) and value of each, in order.
        body: The exact bytes; empty when they went to a file.
        head: The first byte of what went to a file.
        digest: The HMAC of the bytes that went to a file, None when *body* holds them or
            they need not be signed.
        received: When it came, by the wall clock, in seconds since the epoch.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    head: bytes = attrs.field(default=b"", repr=False)
    digest: bytes | None = attrs.field(default=None, repr=False)
    received: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of every header *name* (lower case)."""
        return [value for key, value in self.headers if key == name]

    def short_values(self, name: bytes) -> list[bytes]:
        """Return those of 256 bytes at most; what is longer is no hint but an attack."""
        return [value for value in self.values(name) if len(value) <= _LONGEST_HINT]


def content_type_of(reply: Reply) -> str:
    """Return the content type in lower case, empty when there is none."""
    for name, value in reply.headers:
        if name == b"content-type":
            return value.decode("latin-1").lower()
    return ""


def is_text(reply: Reply) -> bool:
    """Tell whether *reply* calls itself JSON, XML or any text, so that it can be no medium."""
    content_type = content_type_of(reply).lstrip()
    return content_type.startswith("text/") or any(kind in content_type for kind in _TEXTS)
