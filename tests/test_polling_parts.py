"""The small parts of the polling: counts, queues, words."""

import math

import pytest

from identomat_async._model._result import SessionResult
from identomat_async._model._status import SessionStatus
from identomat_async._polling._entry import ASKED, Entry
from identomat_async._polling._halt import Halt
from identomat_async._polling._hub import Hub, known
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._outcomes import (
    DeadlinePassed,
    Delivery,
    Outcome,
    PollFailed,
    SessionGone,
    Settled,
)
from identomat_async._polling._raising import result_of
from identomat_async._polling._roster import Roster
from identomat_async._polling._state import PollState
from identomat_async._polling._tally import Tally
from identomat_async._polling._waiters import Group, Member
from identomat_async._polling._watch import Until, Watch, ends
from identomat_async.errors import (
    AuthenticationError,
    IdentomatError,
    ServerError,
    SessionNotFoundError,
    SignatureError,
    WaitTimeoutError,
)
from identomat_async.events import Resumed

APPROVED, REVIEW = SessionStatus.APPROVED, SessionStatus.MANUAL_CHECK
OPEN, UNKNOWN = SessionStatus.IN_PROGRESS, SessionStatus("Anna Example")
NO, FORGED, DOWN = AuthenticationError("no"), SignatureError("no"), ServerError("down")


def settled(status: SessionStatus = APPROVED) -> Settled:
    return Settled(token="t", result=SessionResult(status=status), polls=2, waited=61.2)


@pytest.mark.parametrize("status", [*SessionStatus, UNKNOWN])
def test_unknown_never_ends_and_manual_check_only_for_who_does_not_wait_on(
    status: SessionStatus,
) -> None:
    assert ends(status, Until.TERMINAL) is status.is_terminal
    assert ends(status, Until.DECIDED) is (status.is_terminal and status is not REVIEW)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (settled(), "settled as APPROVED after 61 s and 2 looks"),
        (settled(REVIEW), "an operator may still decide"),
        (DeadlinePassed(token="t", status=OPEN), "the last status was IN_PROGRESS"),
        (DeadlinePassed(token="t", status=UNKNOWN), "the last status was unknown"),
        (DeadlinePassed(token="t"), "no status was seen"),
        (SessionGone(token="t"), "unsigned"),
        (SessionGone(token="t", verified=True), "with a signature"),
        (PollFailed(token="t", last_error=DOWN), "the last look failed with ServerError"),
    ],
)
def test_an_outcome_explains_itself_without_what_the_service_said(
    outcome: Outcome, words: str
) -> None:
    assert words in outcome.explain()
    assert "Anna" not in outcome.explain() + repr(outcome)


def test_a_delivery_names_its_session_and_a_watch_hides_it() -> None:
    delivery = Delivery(id="1", outcome=DeadlinePassed(token="secret", reference="user:42"))

    assert (delivery.token, delivery.reference) == ("secret", "user:42")
    for shown in (repr(delivery), repr(Watch("secret", reference="user:42"))):
        assert "secret" not in shown
        assert "user:42" not in shown


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (SessionGone(token="t", verified=True), SessionNotFoundError),
        (DeadlinePassed(token="t", last_error=DOWN), WaitTimeoutError),
        (PollFailed(token="t"), WaitTimeoutError),
        (PollFailed(token="t", last_error=DOWN), ServerError),
    ],
)
def test_what_is_no_result_is_raised(outcome: Outcome, kind: type[IdentomatError]) -> None:
    with pytest.raises(kind) as caught:
        result_of(outcome)

    assert type(caught.value) is kind
    assert caught.value is not DOWN


def test_a_result_is_returned() -> None:
    assert result_of(settled()).status is APPROVED


def test_two_refusals_close_together_halt() -> None:
    halt = Halt()
    assert [halt.failed(NO, now) for now in (0, 11, 20, 21)] == [False, False, True, False]
    assert halt.opens_at == math.inf
    assert halt.answered()
    assert not halt.answered()
    assert halt.opens_at == -math.inf


def test_three_bad_signatures_in_a_row_halt_and_other_errors_do_not() -> None:
    halt = Halt()
    assert not any(halt.failed(DOWN, 0) for _ in range(9))
    assert [halt.failed(FORGED, 0) for _ in range(3)] == [False, False, True]


def test_after_a_good_signature_three_bad_ones_make_looks_rare_and_six_halt() -> None:
    halt = Halt()
    halt.answered()
    assert not any(halt.failed(FORGED, 10) for _ in range(3))
    assert halt.opens_at == 10
    halt.probing(10)
    assert halt.opens_at == 11
    assert [halt.failed(FORGED, 11) for _ in range(3)] == [False, False, True]
    assert halt.opens_at == math.inf


def test_a_good_signature_after_three_bad_ones_opens_at_once() -> None:
    halt = Halt()
    halt.answered()
    for _ in range(3):
        halt.failed(FORGED, 10)
    halt.probing(10)

    assert not halt.answered()
    assert halt.opens_at == -math.inf
    assert not any(halt.failed(FORGED, 12) for _ in range(5))


def test_probes_come_after_30_seconds_and_double_to_five_minutes() -> None:
    halt, now, delays = Halt(), 0.0, []
    halt.probes = True
    halt.probing(now)
    halt.failed(NO, now)
    halt.failed(NO, now)
    for _ in range(6):
        delays.append(halt.opens_at - now)
        now += delays[-1]
        halt.probing(now)

    assert delays == [30, 60, 120, 240, 300, 300]


def test_a_tally_counts() -> None:
    tally = Tally()
    assert tally.lateness(0.99) == 0
    for late in (-1.0, 3.0, 1.0):
        tally.began(0.0, late, fresh=late > 2)
    tally.ended(None, 7.0)
    tally.ended(DOWN, 8.0)
    tally.ended(NO, 400.0)

    assert (tally.polls, tally.confirmations, tally.answered_at) == (3, 1, 7.0)
    assert [tally.lateness(share) for share in (0.0, 0.5, 1.0)] == [0.0, 1.0, 3.0]
    assert tally.errors(400.0) == {"AuthenticationError": 1}


async def test_an_outbox_is_a_queue_and_tells_when_it_has_room() -> None:
    calls: list[int] = []
    outbox = Outbox(2, has_room=lambda: calls.append(1))
    assert outbox.take() is outbox.take_any() is outbox.get("a") is None
    for token in "ab":
        outbox.add(DeadlinePassed(token=token))
    assert (outbox.is_full, len(outbox), "a" in outbox.tokens) == (True, 2, True)
    assert outbox.get("b") == DeadlinePassed(token="b")

    first = outbox.take()
    assert first is not None
    assert first.token == "a"
    assert calls == [1]
    assert outbox.take_any() == DeadlinePassed(token="b")
    assert calls == [1]

    outbox.hand_over(first)
    assert outbox.take_any() == first.outcome
    assert not outbox.unacked


async def test_discarding_makes_room_too() -> None:
    calls: list[int] = []
    outbox = Outbox(1, has_room=lambda: calls.append(1))
    outbox.add(DeadlinePassed(token="a"))
    for _ in range(2):
        outbox.hand_over(Delivery(id="1", outcome=DeadlinePassed(token="b")))
    outbox.hand_over(Delivery(id="2", outcome=DeadlinePassed(token="b")))
    outbox.accepted("2")
    outbox.accepted("2")
    outbox.put_down("1")
    assert ["b" in outbox, "c" in outbox] == [True, False]

    assert [outbox.discard("b"), outbox.discard("c"), calls] == [True, False, []]
    assert outbox.discard("a")
    assert calls == [1]
    assert not outbox.unacked
    assert "b" not in outbox


def test_who_listens_is_told_of_the_next_change() -> None:
    outbox = Outbox(1, has_room=int)
    event = outbox.listen()
    assert outbox.listen() is event
    outbox.notify()

    assert event.is_set()
    assert outbox.listen() is not event


def test_an_observer_that_raises_is_counted_and_in_nobodys_way() -> None:
    told: list[object] = []
    hub = Hub([lambda _: 1 / 0, told.append])
    hub.tell(Resumed())

    assert (hub.errors, told) == (1, [Resumed()])
    assert hub
    assert not Hub([])


@pytest.mark.parametrize(("status", "text"), [(None, None), (UNKNOWN, None), (OPEN, "IN_PROGRESS")])
def test_only_known_words_are_shown(status: SessionStatus | None, text: str | None) -> None:
    assert known(status) == text


def test_a_roster_keeps_who_is_wanted() -> None:
    roster = Roster()
    entry = Entry(PollState(token="t", begun=0, watched=0))
    waiter = Member(entry, Group(1), until=Until.TERMINAL, deadline=9.0, since=0.0)
    entry.add(waiter)
    roster.add(entry, 5.0)
    assert roster.agenda.pop(5.0) is entry
    roster.hold(entry)
    roster.unhold(1)
    assert not roster.held
    assert roster.agenda.pop(5.0) is entry
    entry.place = ASKED
    roster.put(entry, 7.0)
    assert entry.due == 5.0
    assert roster.settle(entry)

    roster.leave(entry, waiter)
    assert not roster.has(entry)
    assert roster.demand.live == 0
    roster.leave(entry, waiter)


def test_taking_an_outcome_back_from_a_full_box_makes_room() -> None:
    room: list[bool] = []
    outbox = Outbox(1, has_room=lambda: room.append(True))
    outbox.add(DeadlinePassed(token="one"))

    outbox.withdraw("another")
    assert not room
    outbox.withdraw("one")
    assert (room, len(outbox)) == ([True], 0)
    outbox.withdraw("one")
    assert room == [True]
