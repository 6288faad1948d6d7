"""Flags and steps as the service takes them: only what was set, under its own name."""

from collections.abc import Iterable, Mapping
from typing import cast

import attrs

from identomat_async._model._flags import Flags, check_flags, named
from identomat_async._model._sendable import sendable, sendable_members
from identomat_async._model._steps import AnyStep, OperatorQuestionnaire, Step, UserQuestionnaire
from identomat_async.errors import ConfigurationError

_QUESTIONNAIRES = {
    UserQuestionnaire: "user-questionnaire",
    OperatorQuestionnaire: "operator-questionnaire",
}


def encode_flags(flags: Flags | Mapping[str, object]) -> dict[str, object]:
    """
    Make the `flags` of a request.

    Args:
        flags: `Flags`, of which only what was set is sent, or a mapping of flags by name,
            which is sent as it is.

    Raises:
        ConfigurationError: The flags of a mapping cannot work, or cannot be written as
            JSON.
    """
    if isinstance(flags, Flags):
        return {**sendable_members(named(flags), "flags"), **flags.extra}
    if not isinstance(flags, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError("flags must be Flags(...) or a mapping of flags by name")
    plain = sendable_members(flags, "flags")
    check_flags(plain)
    return plain


def encode_steps(steps: Iterable[AnyStep]) -> list[dict[str, object]]:
    """
    Make the `steps` of a request.

    Args:
        steps: Steps in the order they are to be taken. A mapping is sent as it is.

    Raises:
        ConfigurationError: It is not a list of steps, or a mapping cannot be written as
            JSON.
    """
    if isinstance(steps, str | Mapping) or not isinstance(steps, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError("steps must be a list of steps; put a single one into a list")
    return [_encode_step(step, f"steps[{index}]") for index, step in enumerate(steps)]


def _encode_step(step: AnyStep, name: str) -> dict[str, object]:
    if isinstance(step, Step):
        return {"type": step.type, "key": step.key, **step.extra}
    if isinstance(step, UserQuestionnaire | OperatorQuestionnaire):
        return {"type": _QUESTIONNAIRES[type(step)], **_what_is_set(step, name)}
    if isinstance(step, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        return sendable_members(step, name)
    raise ConfigurationError(
        f"{name} must be a Step, UserQuestionnaire, OperatorQuestionnaire or a mapping"
    )


def _what_is_set(instance: object, name: str) -> dict[str, object]:
    values = attrs.asdict(
        cast("attrs.AttrsInstance", instance), filter=lambda _, value: value not in (None, ())
    )
    return cast("dict[str, object]", sendable(values, name))
