"""What else a result document holds: reasons, answers, technical details."""

from typing import TypeAlias

import attrs

from identomat_async._model._values import code, hidden

AnswerValue: TypeAlias = str | bool | tuple[str, ...] | None


@attrs.frozen(kw_only=True, field_transformer=hidden)
class RejectReason:
    """
    Why a session was rejected.

    Attributes:
        value: The reason's code, such as ``face_mismatch``. The list of codes is not
            public.
        description: An explanation for people; may be empty although there is a code.
    """

    value: str | None = attrs.field(default=None, repr=code)
    description: str | None = None


@attrs.frozen(kw_only=True, field_transformer=hidden)
class Answer:
    """
    What was answered to one question of a questionnaire.

    Attributes:
        key: The question's key.
        answer: A text, a bool, the key of the option chosen, or the keys of the options
            chosen; None when the question was not answered.
    """

    key: str | None = attrs.field(default=None, repr=code)
    answer: AnswerValue = None


@attrs.frozen(kw_only=True, field_transformer=hidden)
class Questionnaire:
    """
    A questionnaire of the session, with its answers.

    Attributes:
        key: The step's key.
        status: Seen in stored questionnaires, such as ``approved``; not in the manual.
        questions: The answers, in the order of the questions.
    """

    key: str | None = attrs.field(default=None, repr=code)
    status: str | None = attrs.field(default=None, repr=code)
    questions: tuple[Answer, ...] = ()


@attrs.frozen(kw_only=True, field_transformer=hidden)
class TechnicalDetails:
    """
    Where the person's browser was.

    Attributes:
        remote_address: IP address.
        user_agent: What the browser calls itself.
        country_code: Country of the address, two letters (all others have three).
    """

    remote_address: str | None = None
    user_agent: str | None = None
    country_code: str | None = None
