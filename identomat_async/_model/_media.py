"""The images and the video of a session."""

import enum

import attrs

from identomat_async._model._values import hidden


class Media(enum.StrEnum):
    """
    What can be fetched of a session; the value is the last part of the method's path.

    Which of them exist depends on the document: an ``id`` has a front and a back, a
    ``passport`` its page with the photo.

    Source: https://coda.io/@identomat/documentation/developer-guide-123
    """

    CARD_FRONT = "card-front"
    CARD_BACK = "card-back"
    PASSPORT = "passport"
    FACE = "face"
    FACE_VIDEO = "face-video"


def _size(content: bytes) -> str:
    return f"<{len(content)} bytes>"


@attrs.frozen(field_transformer=hidden)
class MediaContent:
    """
    An image or video as the service sent it.

    Attributes:
        content: The bytes of the file.
        content_type: What the service says it is, such as ``image/jpeg``.
    """

    content: bytes = attrs.field(repr=_size)
    content_type: str = attrs.field(kw_only=True)
