"""The steps a session may be given, questionnaires above all."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import attrs

from identomat_async._edge import made_at_edge
from identomat_async._model._sendable import sendable_members, sound_text
from identomat_async._model._values import Members, hidden
from identomat_async.errors import ConfigurationError

T = TypeVar("T")

Text: TypeAlias = str | Mapping[str, str]


class QuestionType(enum.StrEnum):
    """
    How a question is answered.

    Attributes:
        BOOLEAN: Yes or no.
        STRING: Free text.
        OPTIONS: One of the options.
        MULTIPLE_CHOICE: Any number of the options.
    """

    BOOLEAN = "boolean"
    STRING = "string"
    OPTIONS = "options"
    MULTIPLE_CHOICE = "multiple-choice"


_CHOICES = (QuestionType.OPTIONS, QuestionType.MULTIPLE_CHOICE)


def _question_type(value: QuestionType | str) -> QuestionType:
    if value in list(QuestionType):
        return QuestionType(value)
    known = ", ".join(QuestionType)
    raise ConfigurationError(f"the type of a question must be one of: {known}")


def _text(value: Text) -> Text:
    texts: object = {"any": value} if isinstance(value, str) else value
    if not isinstance(texts, Mapping) or not texts:  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError(
            "a title or description must be a text, or a mapping of languages to texts such "
            'as {"en": "Work"}'
        )
    for language, text in cast("Mapping[object, object]", texts).items():
        _filled(language, "the language of a title or description")
        _filled(text, "a title or description")
    return value if isinstance(value, str) else Members(dict(value))


def _text_or_none(value: Text | None) -> Text | None:
    return None if value is None else _text(value)


def _filled(value: object, name: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} must be a text that is not empty")
    sound_text(value, name)


def _filled_field(instance: object, field: "attrs.Attribute[str]", value: object) -> None:
    _filled(value, f"the {field.name} of a {type(instance).__name__}")


def _true_or_false(_: object, field: "attrs.Attribute[bool | None]", value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise ConfigurationError(f"{field.name} must be True or False, or None to leave it out")


def _tuple_of(values: Iterable[T]) -> tuple[T, ...]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError("questions and options must be lists")
    return tuple(values)


def _options(values: "Iterable[Option]") -> "Sequence[Option]":
    return _tuple_of(values)


def _questions(values: "Iterable[Question]") -> "Sequence[Question]":
    return _tuple_of(values)


def _members_of(value: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise ConfigurationError("extra must be a mapping of the step's own members")
    return Members(sendable_members(value, "extra"))


def _no_members() -> Mapping[str, object]:
    return {}


@made_at_edge
@attrs.frozen(field_transformer=hidden)
class Option:
    """
    An option to choose.

    Attributes:
        key: What the answer will hold when this is chosen.
        title: What the person sees: one text, or a text for each language.
    """

    key: str = attrs.field(validator=_filled_field, repr=repr)
    title: Text = attrs.field(kw_only=True, converter=_text)


@made_at_edge
@attrs.frozen(field_transformer=hidden)
class Question:
    """
    A question of a questionnaire.

    Attributes:
        key: What the answer is found by in the result.
        type: How it is answered; a `QuestionType` or its text.
        title: What the person sees: one text, or a text for each language.
        mandatory: Whether it must be answered. None leaves that to the service.
        options: What to choose from, for `OPTIONS` and `MULTIPLE_CHOICE` only.

    Raises:
        ConfigurationError: Something is empty or of the wrong type, or the options do not
            fit the type.
    """

    key: str = attrs.field(validator=_filled_field, repr=repr)
    type: QuestionType = attrs.field(kw_only=True, converter=_question_type, repr=str)
    title: Text = attrs.field(kw_only=True, converter=_text)
    mandatory: bool | None = attrs.field(kw_only=True, default=None, validator=_true_or_false)
    options: Sequence[Option] = attrs.field(kw_only=True, default=(), converter=_options)

    def __attrs_post_init__(self) -> None:
        if self.type in _CHOICES and not self.options:
            raise ConfigurationError(
                f"the question {self.key!r} is of type {self.type} and needs options: "
                "give it options=[Option(...), ...]"
            )
        if self.options and self.type not in _CHOICES:
            raise ConfigurationError(
                f"the question {self.key!r} is of type {self.type}, which has no options: "
                "leave them out, or make it of type options or multiple-choice"
            )
        _all_are(self.options, Option, f"the options of the question {self.key!r}")
        _refuse_doubles([option.key for option in self.options], f"options of {self.key!r}")


@attrs.frozen(field_transformer=hidden)
class _Questionnaire:
    """
    What the two questionnaires have in common.

    Attributes:
        key: What the answers are found by in the result.
        questions: The questions; at least one, each with a key of its own.
        title: Heading: one text, or a text for each language.
        description: Explanation, with Markdown; as *title*.

    Raises:
        ConfigurationError: Something is empty or of the wrong type, or two questions have
            the same key.
    """

    key: str = attrs.field(validator=_filled_field, repr=repr)
    questions: Sequence[Question] = attrs.field(kw_only=True, converter=_questions)
    title: Text | None = attrs.field(kw_only=True, default=None, converter=_text_or_none)
    description: Text | None = attrs.field(kw_only=True, default=None, converter=_text_or_none)

    def __attrs_post_init__(self) -> None:
        if not self.questions:
            raise ConfigurationError(
                f"the questionnaire {self.key!r} has no questions: give it at least one"
            )
        _all_are(self.questions, Question, f"the questions of {self.key!r}")
        _refuse_doubles([question.key for question in self.questions], f"questions of {self.key!r}")


@made_at_edge
@attrs.frozen(field_transformer=hidden)
class UserQuestionnaire(_Questionnaire):
    """
    Questions the person answers on the page; sent as a step ``user-questionnaire``.

    ::

        UserQuestionnaire(
            "work",
            title={"en": "About your work"},
            questions=[Question("has-job", type=QuestionType.BOOLEAN, title="Do you work?")],
        )

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        key: What the answers are found by in the result.
        questions: The questions; at least one, each with a key of its own.
        title: Heading: one text, or a text for each language.
        description: Explanation, with Markdown; as *title*.

    Raises:
        ConfigurationError: Something is empty or of the wrong type, or two questions have
            the same key.
    """


@made_at_edge
@attrs.frozen(field_transformer=hidden)
class OperatorQuestionnaire(_Questionnaire):
    """
    Questions the company's operator answers; sent as a step ``operator-questionnaire``.

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        key: What the answers are found by in the result.
        questions: The questions; at least one, each with a key of its own.
        title: Heading: one text, or a text for each language.
        description: Explanation, with Markdown; as *title*.

    Raises:
        ConfigurationError: Something is empty or of the wrong type, or two questions have
            the same key.
    """


@made_at_edge
@attrs.frozen(field_transformer=hidden)
class Step:
    """
    Any step, also one this version knows nothing about.

    ::

        Step("identity-document", key="doc")
        Step("liveness", key="live", extra={"allow_face_upload": False})

    Source: https://coda.io/@identomat/documentation/developer-guide-123

    Attributes:
        type: The service's word for the kind of step; ``identity-document`` and
            ``liveness`` are documented.
        key: What the step is known by in the result.
        extra: The step's own members, sent as they are beside `type` and `key`.

    Raises:
        ConfigurationError: Something is empty or cannot be sent, or *extra* holds ``type``
            or ``key``.
    """

    type: str = attrs.field(validator=_filled_field, repr=repr)
    key: str = attrs.field(kw_only=True, validator=_filled_field, repr=repr)
    extra: Mapping[str, object] = attrs.field(
        kw_only=True, factory=_no_members, converter=_members_of
    )

    def __attrs_post_init__(self) -> None:
        for name in ("type", "key"):
            if name in self.extra:
                raise ConfigurationError(
                    f"extra must not hold {name}, which Step takes itself: Step(..., {name}=...)"
                )


def _all_are(values: Sequence[object], cls: type, name: str) -> None:
    if not all(isinstance(value, cls) for value in values):
        raise ConfigurationError(f"{name} must be of class {cls.__name__}")


def _refuse_doubles(keys: Sequence[str], name: str) -> None:
    doubles = sorted({key for key in keys if keys.count(key) > 1})
    if doubles:
        raise ConfigurationError(
            f"two {name} have the same key {doubles[0]!r}: give each a key of its own"
        )


AnyStep: TypeAlias = Step | UserQuestionnaire | OperatorQuestionnaire | Mapping[str, object]
