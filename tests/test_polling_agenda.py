"""Who is due next."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async._polling._agenda import TICK, Agenda


class Item:
    def __init__(self) -> None:
        self.place: object = None


def check_counts(agenda: Agenda[Item], standing: int) -> None:
    """Nothing is left behind but what is counted, and will be swept out."""
    ticks = [agenda._current, *agenda._ticks.values(), *agenda._first_ticks.values()]
    assert agenda._standing == standing
    assert sum(map(len, ticks)) == standing + agenda._shadows


def test_an_empty_agenda_is_never_due() -> None:
    agenda: Agenda[Item] = Agenda()

    assert agenda.pop(1e9) is None
    assert agenda.next_due() == math.inf


def test_those_of_one_tick_come_in_the_order_they_were_put() -> None:
    agenda, items = Agenda[Item](), [Item(), Item(), Item()]
    for item in items:
        agenda.put(item, 5.0)

    assert agenda.pop(5.0) is items[0]
    assert agenda.next_due() == 5.0
    assert [agenda.pop(5.0), agenda.pop(5.0), agenda.pop(5.0)] == [*items[1:], None]


def test_who_is_put_first_goes_before_all_who_have_been_due_for_long() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(5)]
    for due, item in enumerate(items[:3]):
        agenda.put(item, float(due))
    agenda.put(items[3], 4.0, first=True)

    assert agenda.pop(3.0) is items[0]
    assert agenda.next_due() <= 3.0
    assert agenda.due(5.0) == 3
    agenda.put(items[2], 4.0, first=True)
    assert [agenda.pop(4.0) for _ in range(4)] == [items[3], items[2], items[1], None]
    agenda.put(items[4], 9.0, first=True)
    assert agenda.next_due() == 9.0


def test_who_is_put_first_while_it_is_due_already_comes_once() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(3)]
    for item in items:
        agenda.put(item, 1.0)
    assert agenda.pop(1.0) is items[0]
    agenda.put(items[2], 1.0, first=True)

    assert [agenda.pop(1.0), agenda.pop(1.0), agenda.pop(1.0)] == [items[2], items[1], None]
    assert agenda.next_due() == math.inf


def test_many_are_put_at_once_as_if_one_by_one() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(5)]
    agenda.put(items[0], 2.0)
    agenda.put_new(items[1:], [2.0, 1.5, 2.0 + TICK, 1.5])

    check_counts(agenda, 5)
    assert [agenda.has(item) for item in items] == [True] * 5
    assert (agenda.next_due(), agenda.due(2.0), agenda.due(3.0)) == (1.5, 4, 5)
    assert [agenda.pop(1.5) for _ in range(3)] == [items[2], items[4], None]
    agenda.remove(items[1])
    assert [agenda.pop(9.0) for _ in range(3)] == [items[0], items[3], None]
    assert agenda.next_due() == math.inf


def test_many_need_a_time_each() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Agenda[Item]().put_new([Item(), Item()], [1.0])


def test_shadows_of_those_who_were_put_at_once_are_swept_out_too() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(101)]
    agenda.put_new(items, [5.0] * 101)
    for number, item in enumerate(items):
        agenda.put(item, 6.0 + number)

    assert [agenda.pop(200.0) for _ in items] == items


def test_one_that_is_moved_away_and_back_comes_once() -> None:
    agenda, item = Agenda[Item](), Item()
    for due in (5.0, 9.0, 5.0, 5.0):
        agenda.put(item, due)

    assert agenda.pop(5.0) is item
    assert agenda.pop(20.0) is None


def test_those_who_are_due_are_listed_as_they_would_come() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(6)]
    for due, item in zip((2.0, 1.0, 1.0, 3.0, 9.0, 2.5), items, strict=True):
        agenda.put(item, due)
    assert agenda.pop(1.0) is items[1]
    for due in (3.0, 1.5, 3.0):
        agenda.put(items[3], due)
    agenda.remove(items[5])
    agenda.put(items[5], 2.0, first=True)

    assert agenda.overdue(5.0) == [items[2], items[0], items[3]]
    assert [agenda.has(item) for item in items] == [True, False, True, True, True, True]


@pytest.mark.parametrize("first", [True, False])
def test_nobody_is_lost_who_is_moved_while_shadows_are_swept_out(first: bool) -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(101)]
    for item in items:
        agenda.put(item, 5.0)
    for number, item in enumerate(items):
        agenda.put(item, 6.0 + number, first=first)

    assert [agenda.pop(200.0) for _ in items] == items
    assert agenda.pop(200.0) is None


def test_what_is_left_behind_is_swept_out_once_it_is_the_most() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(200)]
    for item in items:
        agenda.put(item, 5.0)
    for count, item in enumerate(items[:133], 1):
        agenda.remove(item)
        check_counts(agenda, 200 - count)
        assert item.place is None
        # When there are more shadows than there are who stand, and than is worth it.
        assert agenda._shadows == (count if count <= 100 else count - 101)
    agenda.remove(items[0])
    check_counts(agenda, 67)
    assert agenda.due(5.0) == 67


def test_those_put_first_leave_nothing_behind_either() -> None:
    agenda, items = Agenda[Item](), [Item() for _ in range(8)]
    for item in items:
        agenda.put(item, 5.0, first=True)
    for item in items[:3]:
        agenda.put(item, 6.0)
    check_counts(agenda, 8)
    assert agenda.due(5.0) == 5
    assert agenda.pop(5.0) is items[3]
    check_counts(agenda, 7)


Steps = list[tuple[str, int, float]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "first", "remove", "pop"]),
            st.integers(0, 4),
            st.floats(0.1, 20.0),
        )
    )
)
def test_everybody_comes_when_due_and_nobody_before_or_twice(steps: Steps) -> None:
    agenda, items, now = Agenda[Item](), [Item() for _ in range(5)], 1.7e9
    dues: dict[Item, float] = {}
    for what, which, span in [*steps, ("pop", 0, 1000.0)]:
        item = items[which]
        if what in {"put", "first"}:
            agenda.put(item, now + span, first=what == "first")
            dues[item] = now + span
        elif what == "remove":
            agenda.remove(item)
            dues.pop(item, None)
        else:
            now += span
            assert agenda.next_due() <= min(dues.values(), default=math.inf) + 2 * TICK
            while (popped := agenda.pop(now)) is not None:
                assert dues.pop(popped) <= now + 1e-6
            assert all(due > now - 2 * TICK for due in dues.values())
        check_counts(agenda, len(dues))
    assert not dues
