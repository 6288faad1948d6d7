"""The open status."""

import copy
import gc
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async._model._status import SessionStatus, status_of

KNOWN = {
    "approved": SessionStatus.APPROVED,
    "rejected": SessionStatus.REJECTED,
    "manual_check": SessionStatus.MANUAL_CHECK,
    "in_progress": SessionStatus.IN_PROGRESS,
    "disagreed": SessionStatus.DISAGREED,
    "disagreed_with_terms": SessionStatus.DISAGREED,
}
STRANGE = [
    "", " ", "approved ", " approved", "approved\n", "approve", "approvedd", "not approved",
    "manual-check", "manual check", "manual_chec\u212a", "in_progre\u017fs", "in_progres\u017f",
    "APPROVED\x00", "\uff41pproved", "\u0430pproved", "expired",
    "unknown", "_unknown", "name", "mro",
]  # fmt: skip


@pytest.mark.parametrize(("text", "status"), KNOWN.items())
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title, str.swapcase])
def test_known_words_are_read_in_any_ascii_case(
    text: str, status: SessionStatus, case: "type[str]"
) -> None:
    assert SessionStatus(case(text)) is status
    assert status_of(case(text)) is status


@pytest.mark.parametrize("text", STRANGE)
def test_any_other_text_is_unknown_and_kept(text: str) -> None:
    status = SessionStatus(text)

    assert isinstance(status, SessionStatus)
    assert status == text
    assert hash(status) == hash(text)
    assert str(status) == status.value == text
    assert not status.is_known
    assert not status.is_approved
    assert not status.is_decided
    assert not status.is_terminal


@pytest.mark.parametrize(
    ("status", "questions"),
    [
        (SessionStatus.APPROVED, {"is_known", "is_approved", "is_decided", "is_terminal"}),
        (SessionStatus.REJECTED, {"is_known", "is_decided", "is_terminal"}),
        (SessionStatus.MANUAL_CHECK, {"is_known", "is_terminal"}),
        (SessionStatus.IN_PROGRESS, {"is_known"}),
        (SessionStatus.DISAGREED, {"is_known", "is_terminal"}),
    ],
)
def test_each_status_says_what_follows_from_it(status: SessionStatus, questions: set[str]) -> None:
    asked = ["is_known", "is_approved", "is_decided", "is_terminal"]

    assert {question for question in asked if getattr(status, question) is True} == questions
    assert status.value == status.name == status


@given(st.text() | st.sampled_from(STRANGE))
def test_no_other_text_is_ever_approved(text: str) -> None:
    expected = text.isascii() and text.lower() == "approved"

    assert SessionStatus(text).is_approved is expected
    assert status_of(text).is_approved is expected


def test_equality_is_exact() -> None:
    assert SessionStatus.APPROVED != "approved"
    assert SessionStatus("expired") == SessionStatus("expired")
    assert SessionStatus("expired") != SessionStatus("EXPIRED")


@pytest.mark.parametrize("status", [*SessionStatus, SessionStatus("ex pired")])
def test_a_status_survives_pickle_and_copies(status: SessionStatus) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(status, protocol))  # noqa: S301 - made here
        assert again == status
        assert type(again) is SessionStatus
        assert again.is_known is status.is_known
    assert copy.copy(status) is status
    assert copy.deepcopy([status])[0] is status


@pytest.mark.parametrize("value", [5, 0, None, True, b"approved", ["approved"], {}])
def test_only_a_text_can_be_a_status(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid SessionStatus"):
        SessionStatus(value)


def test_unknown_texts_are_not_remembered() -> None:
    for number in range(1000):
        SessionStatus(f"unknown-{number}")
    gc.collect()

    assert len(SessionStatus) == 5
    assert len(SessionStatus._value2member_map_) == 5
    assert not [each for each in gc.get_objects() if type(each) is str and "unknown-9" in each]


def test_an_unknown_text_is_not_in_the_repr() -> None:
    assert repr(SessionStatus("Anna Canary")) == "<SessionStatus unknown, 11 characters>"
    assert repr(SessionStatus.APPROVED) == "<SessionStatus APPROVED>"
