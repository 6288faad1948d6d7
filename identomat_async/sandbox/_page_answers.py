"""Questionnaires as the page asks them, and what is answered."""

from collections.abc import Mapping, Sequence

import attrs

from identomat_async.sandbox._page_text import Words, words
from identomat_async.sandbox._setup import Setup, items
from identomat_async.sandbox._visit import Given

# The manual names the second in one place and the first in all others.
FOR_PERSON = frozenset({"user-questionnaire", "client-questionnaire"})
LONGEST = 2000
_UNANSWERED = "Please answer this question."
_TOO_LONG = f"Please take no more than {LONGEST} characters."
_YES, _NO = "yes", "no"

Fields = Mapping[str, Sequence[str]]
"""What a form says, by the names of its fields."""


@attrs.frozen
class Choice:
    """
    One thing to choose.

    Attributes:
        value: What the form says for it.
        title: What the person sees.
        answer: What the result says for it.
    """

    value: str
    title: Words
    answer: str | bool


@attrs.frozen(kw_only=True)
class Asked:
    """
    A question, as the page asks it.

    Attributes:
        name: The field of the form.
        title: What is asked.
        is_mandatory: Whether it has to be answered.
        takes_many: Whether several choices may be taken.
        choices: What to choose from; a question without any takes a text.
    """

    name: str
    title: Words
    is_mandatory: bool
    takes_many: bool
    choices: tuple[Choice, ...]

    def answer_in(self, fields: Fields) -> Given | None:
        """Read the answer from a form; None if there is none."""
        given = fields.get(self.name, ())
        if not self.choices:
            return next((text.strip() for text in given if text.strip()), None)
        chosen = [choice.answer for choice in self.choices if choice.value in given]
        if self.takes_many:
            return [key for key in chosen if isinstance(key, str)] or None
        return chosen[0] if chosen else None

    def error_of(self, answer: Given | None) -> str:
        """Say what is wrong with an answer; an empty text for nothing."""
        if answer is None:
            return _UNANSWERED if self.is_mandatory else ""
        too_long = isinstance(answer, str) and len(answer) > LONGEST
        return _TOO_LONG if too_long else ""


@attrs.frozen
class Reply:
    """
    What a person has answered.

    Attributes:
        answers: By the numbers of questionnaire and question.
        errors: What is wrong, by the names of the fields.
    """

    answers: Mapping[int, Mapping[int, Given]]
    errors: Mapping[str, str]


def asked_in(setup: Setup, number: int) -> tuple[Asked, ...]:
    """Return the questions of one of the session's questionnaires."""
    step = setup.questionnaires[number]
    language = language_of(setup)
    questions = items(step.get("questions"))
    return tuple(
        _asked(question, f"q{number}.{place}", language) for place, question in enumerate(questions)
    )


def read_reply(setup: Setup, fields: Fields) -> Reply:
    """Read all answers of the person from a form."""
    answers: dict[int, dict[int, Given]] = {}
    errors: dict[str, str] = {}
    for number, step in enumerate(setup.questionnaires):
        if step.get("type") not in FOR_PERSON:
            continue
        answers[number] = {}
        for place, question in enumerate(asked_in(setup, number)):
            answer = question.answer_in(fields)
            if error := question.error_of(answer):
                errors[question.name] = error
            elif answer is not None:
                answers[number][place] = answer
    return Reply(answers, errors)


def language_of(setup: Setup) -> str:
    """Return the language that the person is spoken to in."""
    language = setup.flags.get("language")
    return language if isinstance(language, str) else ""


def _asked(question: Mapping[str, object], name: str, language: str) -> Asked:
    kind = question.get("type")
    title = words(question.get("title"), language)
    return Asked(
        name=name,
        title=title if title.text else Words(str(question.get("key") or "Question")),
        is_mandatory=question.get("mandatory") is True,
        takes_many=kind == "multiple-choice",
        choices=_choices(question, kind, language),
    )


def _choices(question: Mapping[str, object], kind: object, language: str) -> tuple[Choice, ...]:
    if kind == "boolean":
        return (Choice(_YES, Words("Yes"), True), Choice(_NO, Words("No"), False))  # noqa: FBT003  # the answer itself
    if kind not in {"options", "multiple-choice"}:
        return ()
    return tuple(
        Choice(f"{place}", title if title.text else Words(key), key)
        for place, option in enumerate(items(question.get("options")))
        if isinstance(key := option.get("key"), str)
        for title in [words(option.get("title"), language)]
    )
