"""The result document: everything Identomat says about one session."""

from collections.abc import Mapping

import attrs

from identomat_async._model._documents import GeneralDocument
from identomat_async._model._findings import (
    Questionnaire,
    RejectReason,
    TechnicalDetails,
)
from identomat_async._model._person import Person
from identomat_async._model._screening import ScreeningMatch
from identomat_async._model._status import SessionStatus
from identomat_async._model._values import Members, hidden, is_code
from identomat_async.errors import ConfigurationError, ResponseDecodeError

# Words that are safe to log. A text of the service that is none of them is not repeated.
_DOCUMENT_TYPES = frozenset({"id", "passport", "driver_license", "residence_license"})


def _no_members() -> Mapping[str, object]:
    return Members({})


@attrs.frozen(kw_only=True, field_transformer=hidden)
class SessionResult:
    """
    A session's result as the service sent it.

    A member that is missing and one that is null read alike: None, or an empty tuple.
    Only `status` is always there. Members this version does not know are in `raw`. A
    member whose type is not the documented one reads as missing and is named in
    `unreadable`; `raw` keeps its value. For `result` and `live` that is an error instead,
    since a verdict is read from them.

    Its `repr` shows nothing personal; for logs use `redacted`. Results compare by content.
    They can be pickled and copied.

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        status: The verdict, or how far the session is.
        live: Whether the person was found to be live. False also when liveness was not
            asked for, even in an approved session.
        similarity: How well the face fits the document's photo, 0 to 1; 0 when there was
            no face.
        document_type: The identity document, such as ``id`` or ``passport``; an empty
            text when there was none.
        general_documents: Proofs of address and the like.
        reject_reason: Why it was rejected; None also when the service sent empty texts.
        result_comment: What the operator wrote when deciding by hand; may be empty.
        name: Full name; may be empty. Not in the manual.
        face_images: Number of face images. Not in the manual.
        id_card_front: What was read from the front of a card: texts by
            ``<Field>_<locale>``, such as ``Surname_en_US``. Not in the manual.
        id_card_back: The same for the back.
        suggested: Meaning unknown; only an empty object has been seen.
        person: What was read from the identity document.
        technical_details: Where the person's browser was.
        config_id: The saved configuration the session was begun with.
        trusted_database_record: A state database's record; its shape is not documented.
        questionnaires: The answers to questionnaires.
        screening_matches: Possible entries on screening lists.
        raw: The whole document, unknown members included, read-only at the top. This is
            what the service said; the typed attributes are a reading of it.
        raw_bytes: The body exactly as received, which is what a signature covers.
        signature: The signature exactly as received; None when there was none.
        unreadable: Dotted paths of the members whose type is not the documented one, such
            as ``person.age``. They consist of documented names, indexes and ``*`` (for a
            name the service chose), so they are safe to log.
    """

    status: SessionStatus = attrs.field(repr=repr)
    live: bool | None = attrs.field(default=None, repr=repr)
    similarity: float | None = attrs.field(default=None, repr=repr)
    document_type: str | None = None
    general_documents: tuple[GeneralDocument, ...] = ()
    reject_reason: RejectReason | None = None
    result_comment: str | None = None
    name: str | None = None
    face_images: int | None = None
    id_card_front: Mapping[str, str] | None = None
    id_card_back: Mapping[str, str] | None = None
    suggested: Mapping[str, object] | None = None
    person: Person | None = None
    technical_details: TechnicalDetails | None = None
    config_id: str | None = None
    trusted_database_record: Mapping[str, object] | None = None
    questionnaires: tuple[Questionnaire, ...] = ()
    screening_matches: tuple[ScreeningMatch, ...] = ()
    raw: Mapping[str, object] = attrs.field(factory=_no_members)
    raw_bytes: bytes = b""
    signature: str | None = None
    unreadable: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, raw: bytes, *, signature: str | None = None) -> "SessionResult":
        """
        Read a result document that was stored.

        ``SessionResult.from_json(result.raw_bytes, signature=result.signature)`` equals
        *result*. A signature is kept and not checked.

        Args:
            raw: The document's bytes, exactly as they were received.
            signature: The signature that came with them.

        Raises:
            ResponseDecodeError: It is not a sound result document; see `reason`.
            ConfigurationError: *raw* is not bytes.
        """
        from identomat_async._model._codec import (  # noqa: PLC0415 - it imports this module
            result_or_error,
        )

        if not isinstance(raw, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            raise ConfigurationError(
                "from_json takes a stored document as bytes; give it result.raw_bytes"
            )
        result = result_or_error(raw, signature)
        # The traceback keeps this frame: a tracker that sends locals must find nothing.
        del raw, signature
        if isinstance(result, ResponseDecodeError):
            raise result
        return result

    def redacted(self) -> dict[str, object]:
        """
        Tell what may be logged: facts about the session, nothing about the person.

        Every value is a bool, a number, a word of the service's known vocabulary, or None:
        a status this version does not know is ``"UNKNOWN"``, and other texts are given
        only as there or not there. `unreadable` is a list of paths.
        """
        return {
            "status": self.status.value if self.status.is_known else "UNKNOWN",
            "live": self.live,
            "similarity": self.similarity,
            "document_type": _if_known(self.document_type),
            "config_id": self.config_id if is_code(self.config_id) else None,
            "has_reject_reason": self.reject_reason is not None,
            "has_comment": bool(self.result_comment),
            "has_person": self.person is not None,
            "face_images": self.face_images,
            "general_documents": len(self.general_documents),
            "questionnaires": len(self.questionnaires),
            "answers": sum(
                answer.answer is not None
                for each in self.questionnaires
                for answer in each.questions
            ),
            "screening_matches": len(self.screening_matches),
            "signed": self.signature is not None,
            "unreadable": list(self.unreadable),
        }


def _if_known(document_type: str | None) -> str | None:
    return document_type if document_type in _DOCUMENT_TYPES else None
