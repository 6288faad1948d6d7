"""The images and the video of a session: tiny, well-formed at the start, each its own."""

from identomat_async.sandbox._documents import document_type
from identomat_async.sandbox._people import Invented
from identomat_async.sandbox._setup import Setup

MEDIA = ("card-front", "card-back", "passport", "face", "face-video")

_JFIF = bytes.fromhex("ffd8 ffe0 0010 4a46494600 0101 00 0001 0001 00 00")
_END_OF_IMAGE = bytes.fromhex("ffd9")
_MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"


def kinds_of(setup: Setup, person: Invented) -> frozenset[str]:
    """Say which media a session leaves behind."""
    kinds: set[str] = set()
    shown = document_type(setup, person)
    if shown:
        kinds |= {"passport"} if shown == "passport" else {"card-front", "card-back"}
    if setup.asks_face:
        kinds.add("face")
    if setup.asks_liveness:
        kinds.add("face-video")
    return frozenset(kinds)


def content_of(kind: str, person: Invented) -> tuple[bytes, str]:
    """
    Make an image or video of a person.

    Returns:
        The bytes and their content type.
    """
    mark = f"{kind} of {person.personal_number}".encode()
    if kind == "face-video":
        return _MP4 + (len(mark) + 8).to_bytes(4) + b"free" + mark, "video/mp4"
    comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2) + mark
    return _JFIF + comment + _END_OF_IMAGE, "image/jpeg"
