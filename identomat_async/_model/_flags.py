"""The flags a session is begun with."""

from collections.abc import Mapping, Sequence
from typing import cast

import attrs

from identomat_async._edge import made_at_edge
from identomat_async._model._sendable import sendable_members
from identomat_async._model._values import Members
from identomat_async.errors import ConfigurationError

_URLS = ("return_url", "switch_device_url")


def _tuple_of(value: Sequence[str] | None) -> Sequence[str] | None:
    # A text is a sequence too, of its letters; it stays what it is and is refused below.
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _members_of(value: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(
            'extra must be a mapping of flags, such as {"skip_agreement": True}'
        )
    return Members(sendable_members(value, "extra"))


def _no_members() -> Mapping[str, object]:
    return {}


@made_at_edge
@attrs.frozen(kw_only=True, repr=False)
class Flags:
    """
    What a session shall check and how its page shall behave.

    Every flag is optional. None means: not sent, so that the service's default counts,
    which is given below for each. A flag that is set is sent under exactly the name it has
    here, whatever its value; also False is sent. What cannot work is refused at once.

    Two flags mean less when `begin` is given steps: `skip_face` and `skip_document` then
    keep the default liveness and identity-document steps from being added beside yours.

    The `repr` shows the flags that are set; not the URLs, which may name a person, and of
    `extra` only how many there are.

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        return_url: Where the browser goes afterwards, a URL or an app's deep link. Not
            sent: the page is meant to be embedded in an iframe.
        liveness: Check liveness. Default False.
        language: Language of the page: ``en`` (default), ``es``, ``ka``, ``uk``, ``ru``,
            ``uz``, ``it``, ``gr`` (Greek), ``tr``, ``ro``, ``ar``, ``de``, ``pl``, ``hi``,
            ``bn``, ``az``, ``ja``, ``pt``, ``fr``, ``kk``, ``sv`` and others.
        document_types: Identity documents allowed: ``id``, ``passport``,
            ``driver_license``, ``residence_license``. Default: all.
        document_countries: Countries whose documents are allowed, in three letters such
            as ``USA``, ``DEU``, ``ITA``. Default: all.
        general_document_types: Proofs of address and the like that are allowed:
            ``bank_statement``, ``utility_bill``, ``drivers_license`` (with an *s*, unlike
            in `document_types`). Works only together with `allow_general_document_capture`
            or `allow_general_document_upload`.
        allow_general_document_capture: Allow taking a picture of a general document.
            Default False.
        allow_general_document_upload: Allow uploading a general document. Default False.
        skip_document: Skip the scan of an identity document. Default False.
        skip_face: Skip the scan of the face. Default False.
        allow_document_upload: Allow an image file as the identity document. Default False.
        allow_face_upload: Allow an image file as the selfie. Default False.
        allow_face_doc_upload: Allow an image file of the person holding the document.
            Default False.
        require_face_document: Ask for a picture of the person holding the document.
            Default False.
        disable_document_capture: Do not take pictures of documents with the camera.
            Default False.
        skip_desktop: On a computer show only a QR code to go on with a phone. Default
            False.
        capture_double_page_passport: Take both pages of a passport. Default False.
        require_email_check: Verify an e-mail address. Default False.
        require_email: Ask for an e-mail address. Default False.
        require_phone_number_check: Verify a phone number. Default False.
        require_phone_number: Ask for a phone number. Default False.
        switch_device_url: URL in the QR code that is shown when there is no camera or no
            access to it. Newer versions of the service show no QR code without it.
        restrict_url_sharing: Do not let another browser continue the session. When the
            camera is denied, a QR code appears only if `switch_device_url` is set. Default
            False.
        optional_continue_on_another_device: Show a tab for changing the device. Default
            False.
        multiple_participants: Let several people join a video call. Default False.
        cascading_identity_verification: Cascading verification, for the SDKs. Default
            False.
        requireHdMedia: Require a camera of 1080p for liveness and identity documents, else
            show a QR code. The service spells this one flag so. Default False.
        extra: Any other flags by name, such as ``{"skip_agreement": True}``; sent as they
            are.

    Raises:
        ConfigurationError: A value has the wrong type, or the flags cannot work together.
    """

    return_url: str | None = None
    liveness: bool | None = None
    language: str | None = None
    document_types: Sequence[str] | None = attrs.field(default=None, converter=_tuple_of)
    document_countries: Sequence[str] | None = attrs.field(default=None, converter=_tuple_of)
    general_document_types: Sequence[str] | None = attrs.field(default=None, converter=_tuple_of)
    allow_general_document_capture: bool | None = None
    allow_general_document_upload: bool | None = None
    skip_document: bool | None = None
    skip_face: bool | None = None
    allow_document_upload: bool | None = None
    allow_face_upload: bool | None = None
    allow_face_doc_upload: bool | None = None
    require_face_document: bool | None = None
    disable_document_capture: bool | None = None
    skip_desktop: bool | None = None
    capture_double_page_passport: bool | None = None
    require_email_check: bool | None = None
    require_email: bool | None = None
    require_phone_number_check: bool | None = None
    require_phone_number: bool | None = None
    switch_device_url: str | None = None
    restrict_url_sharing: bool | None = None
    optional_continue_on_another_device: bool | None = None
    multiple_participants: bool | None = None
    cascading_identity_verification: bool | None = None
    requireHdMedia: bool | None = None  # noqa: N815 - the service spells it so
    extra: Mapping[str, object] = attrs.field(factory=_no_members, converter=_members_of)

    def __attrs_post_init__(self) -> None:
        for name in self.extra:
            if name in _ANNOTATIONS:
                raise ConfigurationError(
                    f"extra must not hold {name}, which is a flag of its own: "
                    f"write Flags({name}=...)"
                )
        check_flags(named(self))

    def __repr__(self) -> str:
        shown = [
            f"{name}={'<hidden>' if name in _URLS else repr(value)}"
            for name, value in named(self).items()
        ]
        extra = getattr(self, "extra", None)  # it may have been refused
        return f"Flags({', '.join([*shown, f'extra={extra!r}'] if extra else shown)})"


def named(flags: Flags) -> dict[str, object]:
    """Give the documented flags that are set, by name."""
    values = {name: cast("object", getattr(flags, name, None)) for name in _ANNOTATIONS}
    return {name: value for name, value in values.items() if value is not None}


def check_flags(flags: Mapping[str, object]) -> None:
    """
    Refuse flags that cannot work.

    Args:
        flags: Flags by name; those that are None or not documented are not looked at.

    Raises:
        ConfigurationError: A value has the wrong type, or the flags cannot work together.
    """
    for name, value in flags.items():
        if value is not None and name in _ANNOTATIONS:
            _check(name, value)
    if flags.get("general_document_types") and not (
        flags.get("allow_general_document_capture") or flags.get("allow_general_document_upload")
    ):
        raise ConfigurationError(
            "general_document_types works only together with "
            "allow_general_document_capture=True or allow_general_document_upload=True: "
            "set one of them"
        )


def _check(name: str, value: object) -> None:
    annotation = _ANNOTATIONS[name]
    if annotation == bool | None:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} must be True or False, or None to leave it out")
    elif annotation == str | None:
        _check_text(name, value)
    elif not _is_list_of_texts(value):
        raise ConfigurationError(
            f'{name} must be a list of texts that are not empty, such as ["..."]'
        )


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a text, or None to leave it out")
    if not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"{name} must not hold spaces or control characters; in a URL quote them (%20)"
        )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) and each and each.isprintable()
        for each in cast("list[object]", value)
    )


_ANNOTATIONS: dict[str, object] = {
    field.name: field.type for field in attrs.fields(Flags) if field.name != "extra"
}
