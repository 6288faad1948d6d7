"""What is told to observers."""

import attrs
import pytest

from identomat_async import events

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event)
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_frozen_value_that_names_a_session_by_its_hash_only(
    kind: type[events.Event],
) -> None:
    names = [field.name for field in attrs.fields(kind)]
    event = kind(**dict.fromkeys(names, "x"))

    assert event == kind(**dict.fromkeys(names, "x"))
    assert not {"token", "reference", "result"} & set(names)
    assert ("token_hash" in names) is issubclass(kind, events.SessionEvent)
    for name in names:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(event, name, "y")
