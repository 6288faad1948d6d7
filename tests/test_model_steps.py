"""Steps: what is sent, and what is refused before anything is."""

import json
import pickle
from typing import Any

import pytest

from identomat_async._model._encode import encode_steps
from identomat_async._model._steps import (
    OperatorQuestionnaire,
    Option,
    Question,
    QuestionType,
    Step,
    UserQuestionnaire,
)
from identomat_async.errors import ConfigurationError

YES_NO = Question("has-job", type=QuestionType.BOOLEAN, title="Do you work?")
LOW = Option("low", title="Below 1000")


def test_a_questionnaire_is_sent_in_the_documented_shape() -> None:
    step = UserQuestionnaire(
        "work",
        title="About your work",
        description={"en": "Please answer **honestly**.", "ka": "..."},
        questions=[
            Question(
                "has-job",
                type=QuestionType.BOOLEAN,
                mandatory=True,
                title={"en": "Do you have a job?"},
            ),
            Question("employer", type="string", mandatory=False, title="Employer's name"),
            Question("band", type="options", title="Income", options=[LOW]),
            Question(
                "sources",
                type="multiple-choice",
                title="Sources",
                options=(Option("salary", title={"en": "Salary"}), Option("rent", title="Rent")),
            ),
        ],
    )

    (encoded,) = encode_steps([step])

    assert encoded == {
        "type": "user-questionnaire",
        "key": "work",
        "title": "About your work",
        "description": {"en": "Please answer **honestly**.", "ka": "..."},
        "questions": [
            {
                "type": "boolean",
                "key": "has-job",
                "mandatory": True,
                "title": {"en": "Do you have a job?"},
            },
            {"type": "string", "key": "employer", "mandatory": False, "title": "Employer's name"},
            {
                "type": "options",
                "key": "band",
                "title": "Income",
                "options": [{"key": "low", "title": "Below 1000"}],
            },
            {
                "type": "multiple-choice",
                "key": "sources",
                "title": "Sources",
                "options": [
                    {"key": "salary", "title": {"en": "Salary"}},
                    {"key": "rent", "title": "Rent"},
                ],
            },
        ],
    }
    assert json.loads(json.dumps(encoded)) == encoded


def test_an_operator_questionnaire_sends_only_what_was_set() -> None:
    assert encode_steps([OperatorQuestionnaire("call", questions=[YES_NO])]) == [
        {
            "type": "operator-questionnaire",
            "key": "call",
            "questions": [{"key": "has-job", "type": "boolean", "title": "Do you work?"}],
        }
    ]


def test_any_other_step_and_any_mapping_is_sent_as_it_is() -> None:
    steps = [
        Step("liveness", key="live", extra={"allow_face_upload": False, "list": (1,)}),
        Step("identity-document", key="doc"),
        {"type": "new", "key": "n", "values": (1, 2)},
    ]

    assert encode_steps(iter(steps)) == [
        {"type": "liveness", "key": "live", "allow_face_upload": False, "list": [1]},
        {"type": "identity-document", "key": "doc"},
        {"type": "new", "key": "n", "values": [1, 2]},
    ]
    assert encode_steps([]) == []


@pytest.mark.parametrize("type_", list(QuestionType))
def test_options_are_given_exactly_where_there_is_a_choice(type_: QuestionType) -> None:
    needs = type_ in {QuestionType.OPTIONS, QuestionType.MULTIPLE_CHOICE}

    with pytest.raises(ConfigurationError, match=r"'q'.*options"):
        Question("q", type=type_, title="?", options=[] if needs else [LOW])

    question = Question("q", type=str(type_), title="?", options=[LOW] if needs else [])
    assert question.type is type_


@pytest.mark.parametrize("type_", ["checkbox", "", "BOOLEAN", 5, None, ["boolean"]])
def test_an_unknown_type_of_question_is_refused_with_the_known_ones(type_: Any) -> None:
    with pytest.raises(ConfigurationError, match="boolean, string, options, multiple-choice"):
        Question("q", type=type_, title="?")


@pytest.mark.parametrize("empty", ["", " ", None, 5, "\ud800"])
def test_no_key_and_no_type_may_be_empty(empty: Any) -> None:
    for make in (
        lambda: Option(empty, title="x"),
        lambda: Question(empty, type="string", title="x"),
        lambda: UserQuestionnaire(empty, questions=[YES_NO]),
        lambda: Step(empty, key="x"),
        lambda: Step("x", key=empty),
    ):
        with pytest.raises(ConfigurationError, match=r"must be a text that is not empty|UTF-8"):
            make()


@pytest.mark.parametrize(
    "text", ["", "  ", {}, {"en": ""}, {"": "x"}, {"en": 5}, {1: "x"}, 5, ["x"], {"en": "\udc00"}]
)
def test_no_title_and_no_description_may_be_empty(text: Any) -> None:
    for make in (
        lambda: Option("x", title=text),
        lambda: Question("x", type="string", title=text),
        lambda: UserQuestionnaire("x", questions=[YES_NO], title=text),
        lambda: UserQuestionnaire("x", questions=[YES_NO], description=text),
    ):
        with pytest.raises(ConfigurationError, match="title or description"):
            make()


@pytest.mark.parametrize("cls", [UserQuestionnaire, OperatorQuestionnaire])
def test_a_questionnaire_has_questions_with_keys_of_their_own(cls: Any) -> None:
    with pytest.raises(ConfigurationError, match="has no questions"):
        cls("work", questions=[])
    with pytest.raises(ConfigurationError, match="the same key 'has-job'"):
        cls("work", questions=[YES_NO, YES_NO])
    with pytest.raises(ConfigurationError, match="must be of class Question"):
        cls("work", questions=[{"key": "has-job"}])


def test_options_have_keys_of_their_own() -> None:
    with pytest.raises(ConfigurationError, match="the same key 'low'"):
        Question("q", type="options", title="?", options=[LOW, LOW])
    with pytest.raises(ConfigurationError, match="must be of class Option"):
        Question("q", type="options", title="?", options=["low"])  # type: ignore[list-item]


@pytest.mark.parametrize("values", ["text", {"a": 1}, 5])
def test_questions_and_steps_are_lists(values: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be lists"):
        UserQuestionnaire("work", questions=values)
    with pytest.raises(ConfigurationError, match="must be a list of steps"):
        encode_steps(values)


def test_a_single_step_is_not_a_list() -> None:
    step: Any = Step("liveness", key="live")

    with pytest.raises(ConfigurationError, match="must be a list of steps"):
        encode_steps(step)


def test_a_strange_step_is_refused_by_its_place() -> None:
    steps: Any = [Step("liveness", key="live"), "identity-document"]

    with pytest.raises(ConfigurationError, match=r"steps\[1\] must be a Step"):
        encode_steps(steps)
    with pytest.raises(ConfigurationError, match=r"steps\[0\]\.key\[0\] cannot be sent"):
        encode_steps([{"key": [object()]}])


def test_mandatory_is_a_bool() -> None:
    mandatory: Any = "yes"

    with pytest.raises(ConfigurationError, match="mandatory must be True or False"):
        Question("q", type="string", title="?", mandatory=mandatory)


@pytest.mark.parametrize("name", ["type", "key"])
def test_extra_does_not_hold_what_a_step_takes_itself(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"extra must not hold {name}"):
        Step("liveness", key="live", extra={name: "x"})


@pytest.mark.parametrize("extra", [5, ["x"], {1: 2}, {"x": object()}])
def test_extra_is_a_mapping_that_can_be_sent(extra: Any) -> None:
    with pytest.raises(ConfigurationError, match="extra"):
        Step("liveness", key="live", extra=extra)


def test_steps_are_equal_by_content_and_travel() -> None:
    steps = [
        Step("liveness", key="live", extra={"first_name": "Anna"}),
        UserQuestionnaire("work", title={"en": "Work"}, questions=[YES_NO]),
    ]

    assert pickle.loads(pickle.dumps(steps)) == steps  # noqa: S301 - made here
    assert len({hash(step) for step in steps}) == 2


def test_the_repr_shows_keys_and_types_only() -> None:
    prefilled = Step("user-data", key="data", extra={"first_name": "Anna-Canary"})

    assert repr(prefilled) == "Step(type='user-data', key='data')"
    assert repr(YES_NO) == "Question(key='has-job', type=boolean)"
    assert repr(UserQuestionnaire("w", questions=[YES_NO])) == "UserQuestionnaire(key='w')"
