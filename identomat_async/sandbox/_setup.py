"""What a session was begun with, and what that asks of the person."""

from collections.abc import Mapping
from typing import cast

import attrs

from identomat_async.sandbox._parameters import structured
from identomat_async.sandbox._refusal import Refusal

QUESTIONNAIRES = frozenset(
    # The manual names the second in one place and the first in all others.
    {"user-questionnaire", "client-questionnaire", "operator-questionnaire"}
)
_DOCUMENT_TYPES = ("id", "passport", "driver_license", "residence_license")


@attrs.frozen
class Setup:
    """
    The parameters of one `begin`, as they were sent.

    Attributes:
        flags: The flags; unknown ones are kept.
        steps: The steps; unknown ones are kept.
        config_id: The saved configuration, if one was named.
        parent: The token of the parent session, if one was named.
    """

    flags: Mapping[str, object] = attrs.field(factory=dict[str, object])
    steps: tuple[Mapping[str, object], ...] = ()
    config_id: str | None = None
    parent: str | None = None

    @property
    def asks_document(self) -> bool:
        """Whether the person has to show an identity document."""
        return self._has_step("identity-document") or not self.flags.get("skip_document")

    @property
    def asks_face(self) -> bool:
        """Whether the person has to show their face."""
        return self.asks_liveness or not self.flags.get("skip_face")

    @property
    def asks_liveness(self) -> bool:
        """Whether it is checked that the person is alive."""
        return self._has_step("liveness") or bool(self.flags.get("liveness"))

    @property
    def document_types(self) -> tuple[str, ...]:
        """The identity documents the person may choose from."""
        return _texts(self.flags.get("document_types")) or _DOCUMENT_TYPES

    @property
    def general_document_types(self) -> tuple[str, ...]:
        """The general documents the person is asked for."""
        ways = ("allow_general_document_capture", "allow_general_document_upload")
        if not any(self.flags.get(way) for way in ways):
            return ()
        return _texts(self.flags.get("general_document_types"))

    @property
    def questionnaires(self) -> tuple[Mapping[str, object], ...]:
        """The steps that ask questions."""
        return tuple(step for step in self.steps if step.get("type") in QUESTIONNAIRES)

    def asks_for(self, datum: str) -> bool:
        """Whether the person has to give an ``"email"`` or a ``"phone_number"``."""
        names = (f"require_{datum}", f"require_{datum}_check")
        return any(bool(self.flags.get(name)) for name in names)

    def _has_step(self, kind: str) -> bool:
        return any(step.get("type") == kind for step in self.steps)


DEFAULT = Setup()


def read_setup(parameters: Mapping[str, object]) -> Setup:
    """
    Read the parameters of a `begin`.

    Raises:
        Refusal: The flags are no object, the steps no list of objects with a type, or a
            name is no text.
    """
    setup = Setup(
        flags=_read_flags(structured(parameters, "flags")),
        steps=_read_steps(structured(parameters, "steps")),
        config_id=_read_name(parameters, "config_id"),
        parent=_read_name(parameters, "parent_session_id"),
    )
    # One value for the many sessions that ask for nothing in particular.
    return DEFAULT if setup == DEFAULT else setup


def items(value: object) -> tuple[Mapping[str, object], ...]:
    """Return the objects of a JSON array; nothing for anything else."""
    if not isinstance(value, list):
        return ()
    found = cast("list[object]", value)
    return tuple(cast("dict[str, object]", item) for item in found if isinstance(item, dict))


def _read_flags(value: object) -> Mapping[str, object]:
    if value is not None and not isinstance(value, dict):
        raise Refusal.of_argument("flags")
    return cast("dict[str, object]", value) if value else {}


def _read_steps(value: object) -> tuple[Mapping[str, object], ...]:
    if value is None:
        return ()
    steps = items(value)
    if not isinstance(value, list) or len(steps) != len(cast("list[object]", value)):
        raise Refusal.of_argument("steps")
    if not all(isinstance(step.get("type"), str) for step in steps):
        raise Refusal.of_argument("steps")
    return steps


def _read_name(parameters: Mapping[str, object], name: str) -> str | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal.of_argument(name)
    return value or None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(item for item in cast("list[object]", value) if isinstance(item, str))
