"""Every error is plain scalars that travel."""

import copy
import pickle
from typing import Any

import pytest

from identomat_async import errors
from identomat_async.errors import IdentomatError

FACTS = {
    "operation": "result",
    "attempts": 3,
    "elapsed": 1.5,
    "retryable": True,
    "maybe_applied": True,
    "reason": "json",
}
OWN: dict[str, dict[str, object]] = {
    "ConnectionFailedError": {"errno": 111, "tls": True},
    "ApiError": {"status_code": 418, "code": "SESSION_NOT_FOUND"},
    "_LaterError": {"retry_after": 2.5},
    "_SessionError": {"verified": True},
    "WaitTimeoutError": {"last": "IN_PROGRESS", "polls": 7, "waited": 30.0},
}


def _tree(cls: type[IdentomatError]) -> list[type[IdentomatError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _tree(sub))]


EVERY = [cls for cls in _tree(IdentomatError) if cls.__module__ == errors.__name__]


def _fields(cls: type[IdentomatError]) -> dict[str, Any]:
    own = [OWN.get(each.__name__, {}) for each in cls.__mro__]
    return {name: value for fields in [FACTS, *own] for name, value in fields.items()}


@pytest.mark.parametrize("cls", EVERY)
def test_every_error_pickles_and_copies_with_equal_fields(cls: type[IdentomatError]) -> None:
    fields = _fields(cls)
    error = cls("it failed", **fields)

    pickled = [
        pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - made here
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]

    for again in [*pickled, copy.copy(error), copy.deepcopy(error), error]:
        assert type(again) is cls
        assert str(again) == "it failed"
        assert again.args == ("it failed",)
        assert vars(again) == fields


@pytest.mark.parametrize("cls", EVERY)
def test_every_error_can_be_made_of_a_message_alone(cls: type[IdentomatError]) -> None:
    fields = vars(cls("it failed"))

    assert fields.keys() == _fields(cls).keys()
    assert all(value in (None, 0, False) for value in fields.values())


@pytest.mark.parametrize("cls", EVERY)
def test_a_fact_that_an_error_does_not_have_is_not_dropped(cls: type[IdentomatError]) -> None:
    with pytest.raises(TypeError, match="verifed"):
        cls("it failed", verifed=True)  # type: ignore[call-arg]


def test_the_tree_is_as_drawn() -> None:
    drawn = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}

    assert drawn - {"TimeoutError"} == {c.__name__ for c in EVERY if not c.__name__.startswith("_")}
    assert issubclass(errors.RequestTimeoutError, TimeoutError)
    assert issubclass(errors.WaitTimeoutError, TimeoutError)
    assert issubclass(errors.ResponseTooLargeError, errors.ResponseDecodeError)
    assert not issubclass(errors.SessionInvalidError, errors.SessionNotFoundError)
