"""A watch written down and read back."""

import json
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async import errors
from identomat_async._model._status import SessionStatus
from identomat_async._polling._state import Doubt, PollState, Trouble
from identomat_async._polling._watch import Until
from identomat_async.errors import ConfigurationError, IdentomatError

CLASSES = [
    found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, IdentomatError) and name[0] != "_"
]
STATE = PollState(token="t", begun=1.0, watched=2.0)
times = st.floats(-1e12, 1e12)
doubts = st.none() | st.builds(
    Doubt, st.sampled_from(["gone", "invalid", "unreadable"]), st.just(2), times
)
states = st.builds(
    PollState,
    token=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    begun=times,
    watched=times,
    deadline=times | st.just(math.inf),
    until=st.sampled_from(Until),
    reference=st.none() | st.text(),
    review=times | st.just(math.inf),
    reviewed=st.none() | times,
    status=st.none() | st.sampled_from(SessionStatus) | st.text().map(SessionStatus),
    polls=st.integers(0, 10**9),
    fresh=st.booleans(),
    trouble=st.none()
    | st.builds(Trouble, failures=st.integers(0, 10**9), since=times, doubt=doubts),
    early=st.lists(times).map(tuple),
)


def troubled(error: IdentomatError) -> PollState:
    return attrs.evolve(STATE, trouble=Trouble(failures=1, since=3.0, error=error))


@given(states)
def test_a_state_is_read_back_as_it_was(state: PollState) -> None:
    assert PollState.from_json(state.to_json()) == state
    assert PollState.from_json(state.to_json().encode()) == state


@pytest.mark.parametrize("found", CLASSES)
def test_every_error_is_read_back(found: type[IdentomatError]) -> None:
    error = found("why", operation="result", attempts=2, elapsed=1.5, reason="json")

    read = PollState.from_json(troubled(error).to_json()).last_error

    assert type(read) is found
    assert (str(read), vars(read)) == ("why", vars(error))


def test_an_error_of_somebody_elses_is_read_back_as_ours_without_its_objects() -> None:
    class OwnError(errors.ServerError):
        pass

    error = OwnError("why", status_code=503)
    error.add_note("a note")

    read = PollState.from_json(troubled(error).to_json()).last_error

    assert type(read) is errors.ServerError
    assert vars(read) == vars(errors.ServerError("why", status_code=503))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "null", "1", "{}", '"x"', b"\xff", "[" * 100_000, "NaN"]
)
def test_what_is_no_state_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="no state"):
        PollState.from_json(text)


ERROR = {"class": "ServerError", "message": "", "facts": {}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("token", value) for value in (None, 1, "", "a b")),
        *(("begun", value) for value in (None, "1", True, math.nan, math.inf, [], 10**400)),
        *(("watched", value) for value in (None, "1")),
        *(("deadline", value) for value in ("1", False, math.nan)),
        *(("until", value) for value in (None, 1, "never", [])),
        *(("reference", value) for value in (1, {})),
        *(("status", value) for value in (1, [])),
        *(("polls", value) for value in (None, -1, 1.5, True, "1")),
        *(("fresh", value) for value in (None, 0, "no")),
        *(("early", value) for value in (None, "12", [None])),
        *(("trouble", value) for value in ("down", [], {}, 1)),
        ("of_the_future", 1),
    ],
)
def test_a_member_of_another_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError):
        PollState.from_json(json.dumps(json.loads(STATE.to_json()) | {name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("failures", value) for value in (None, -1, True)),
        *(("since", value) for value in (None, "1")),
        *(("doubt", value) for value in ("gone", [], ["bored", 1, 1], [[], 1, 1], ["gone", -1, 1])),
        *(("error", value) for value in ("down", [], {}, ERROR | {"class": 1})),
        ("error", ERROR | {"class": "TypedDict"}),
        ("error", ERROR | {"class": "Facts"}),
        ("error", ERROR | {"class": "Nonsense"}),
        ("error", ERROR | {"message": None}),
        ("error", ERROR | {"facts": None}),
        ("error", ERROR | {"facts": {"unknown": 1}}),
        ("error", ERROR | {"facts": {"reason": []}}),
        ("of_the_future", 1),
    ],
)
def test_trouble_of_another_kind_is_refused(name: str, value: object) -> None:
    members = json.loads(troubled(errors.ServerError("")).to_json())
    members["trouble"] |= {name: value}

    with pytest.raises(ConfigurationError):
        PollState.from_json(json.dumps(members))


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(PollState)])
def test_a_missing_member_is_refused(name: str) -> None:
    members = json.loads(STATE.to_json())
    del members[name]

    with pytest.raises(ConfigurationError):
        PollState.from_json(json.dumps(members))


def test_a_number_too_large_for_a_time_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        PollState.from_json(STATE.to_json().replace('"begun":1.0', '"begun":1e999'))


def test_a_repr_shows_neither_token_nor_reference() -> None:
    shown = repr(PollState(token="secret-token", begun=0, watched=0, reference="user:42"))

    assert "secret-token" not in shown
    assert "user:42" not in shown
