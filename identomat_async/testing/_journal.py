"""What any journal has to do, as tests that a class of yours inherits."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ClassVar

import anyio
import attrs

from identomat_async import (
    DeadlinePassed,
    Journal,
    JournalEntry,
    Note,
    Outcome,
    PollFailed,
    SessionGone,
    SessionStatus,
    Settled,
    Until,
)
from identomat_async.errors import ConfigurationError
from identomat_async.testing._journal_ground import (
    DOWN,
    NOW,
    PERSON,
    Held,
    MakeJournal,
    delivery_of,
    document_of,
    earlier,
    settled,
    state_of,
)

_Check = Callable[["JournalConformance", MakeJournal], Coroutine[Any, Any, None]]


def _run(check: _Check) -> Callable[["JournalConformance", MakeJournal], None]:
    # By itself, so that no plugin for coroutines is needed.
    @wraps(check)
    def test(self: "JournalConformance", make_journal: MakeJournal) -> None:
        anyio.run(check, self, make_journal, backend=self.backend)

    return test


class JournalConformance:
    """
    Tests of a `Journal` of your own.

    Inherit them in a class that pytest collects, and give that the fixture ``make_journal``:
    a function that returns another journal at each call, all with one memory, which is empty
    when a test begins. Each stands for a process, and one that follows another for a restart.
    What they ask for is what the docstrings of `Journal` promise.

    Attributes:
        backend: The backend of anyio that they are run on.
    """

    backend: ClassVar[str] = "asyncio"

    def memory(self) -> bytes:
        """Return all that the memory holds, in which nobody's name may be found; override it."""
        raise ConfigurationError("override memory(): all that the journal's memory holds")

    @_run
    async def test_what_is_watched_is_there_after_a_restart(
        self, make_journal: MakeJournal
    ) -> None:
        first = state_of("one", reference="user:1", deadline=NOW + 60, review=30.0)
        endless = state_of("two", until=Until.DECIDED)
        await earlier(make_journal, lambda it: it.watched([first, endless], leave_notes=False))

        async with Held(make_journal()) as journal:
            assert await journal.live() == [JournalEntry(state=first), JournalEntry(state=endless)]

    @_run
    async def test_watched_twice_is_one_watch_with_the_wider_terms(
        self, make_journal: MakeJournal
    ) -> None:
        first = state_of("one", reference="user:1", deadline=NOW + 60, review=300.0)
        later = state_of(
            "one", deadline=NOW + 900, review=30.0, until=Until.DECIDED, watched=NOW + 9
        )
        named = state_of("one", reference="user:2", deadline=NOW + 5, review=1.0, watched=NOW + 10)

        async with Held(make_journal()) as journal:
            await journal.watched([first], leave_notes=False)
            await journal.watched([later], leave_notes=False)
            (entry,) = await journal.live()
            await journal.watched([named], leave_notes=False)
            (last,) = await journal.live()

        assert entry.state.reference == "user:1", "without a new reference the old one stays"
        wider = (NOW + 900, 300.0, Until.DECIDED)
        for state in (entry.state, last.state):
            assert (state.deadline, state.review, state.until) == wider
        assert last.state.reference == "user:2", "the last reference counts"
        assert last.state.watched == NOW, "it is the first watch that goes on"

    @_run
    async def test_one_at_a_time_holds_it(self, make_journal: MakeJournal) -> None:
        one, other = make_journal(), make_journal()

        assert await one.acquire()
        assert not await other.acquire()
        await one.release()
        assert await other.acquire(), "what was released can be held by another"
        await other.release()

    @_run
    async def test_reconciling_adds_what_is_not_there_and_changes_nothing(
        self, make_journal: MakeJournal
    ) -> None:
        async with Held(make_journal()) as journal:
            await journal.watched(
                [state_of("one", deadline=NOW + 60), state_of("two")], leave_notes=False
            )
            await journal.known([delivery_of(settled("two"))], at=NOW)
            before = await journal.live()
            asked = [state_of("one", deadline=NOW + 900), state_of("two"), state_of("three")]
            added = await journal.reconcile(asked, leave_notes=False)
            after = await journal.live()

        assert list(added) == [False, False, True]
        assert after == [*before, JournalEntry(state=asked[2])]

    @_run
    async def test_what_a_look_found_out_is_kept_until_the_next(
        self, make_journal: MakeJournal
    ) -> None:
        seen = attrs.evolve(
            state_of("one"),
            status=SessionStatus.MANUAL_CHECK,
            reviewed=NOW + 5,
            polls=7,
            fresh=True,
            early=(NOW + 10, NOW + 20),
        )

        async def look(journal: Journal) -> None:
            await journal.watched([state_of("one")], leave_notes=False)
            await journal.seen([(seen, NOW + 300)])
            await journal.seen([(state_of("nobody"), NOW + 300)])

        await earlier(make_journal, look)
        async with Held(make_journal()) as journal:
            entries = await journal.live()
            await journal.watched([state_of("one")], leave_notes=False)
            (again,) = await journal.live()

        assert entries == [JournalEntry(state=seen, due=NOW + 300)]
        assert again.due is None, "who is watched again is due at once"
        assert again.state == seen

    @_run
    async def test_what_a_watch_has_come_to_is_there_after_a_restart(
        self, make_journal: MakeJournal
    ) -> None:
        outcomes: list[Outcome] = [
            settled("one", polls=9, waited=61.5),
            DeadlinePassed(token="two", status=SessionStatus.IN_PROGRESS, last_error=DOWN),
            SessionGone(token="three", verified=True),
            PollFailed(token="four"),
        ]

        async def end(journal: Journal) -> None:
            states = [state_of(outcome.token, deadline=NOW) for outcome in outcomes]
            await journal.watched(states, leave_notes=False)
            stand = await journal.known([delivery_of(each) for each in outcomes], at=NOW + 1)
            assert list(stand) == [True] * 4

        await earlier(make_journal, end)
        async with Held(make_journal()) as journal:
            entries = await journal.live()
            assert await journal.watching([each.token for each in outcomes]) == set()

        assert [entry.delivery for entry in entries] == [f"id-of-{e.token}" for e in outcomes]
        assert [entry.outcome for entry in entries] == [type(each).__name__ for each in outcomes]
        assert [entry.verified for entry in entries] == [False, False, True, False]
        assert [entry.last_error for entry in entries] == [None, "ServerError", None, None]
        first = entries[0]
        assert (first.state.status, first.state.polls) == (SessionStatus.APPROVED, 9)
        assert first.waited == 61.5

    @_run
    async def test_an_outcome_does_not_stand_for_what_was_discarded_or_wants_more(
        self, make_journal: MakeJournal
    ) -> None:
        review = settled("stricter", status="manual_check")
        late = DeadlinePassed(token="later", status=SessionStatus.IN_PROGRESS)

        async with Held(make_journal()) as journal:
            states = [state_of(name, deadline=NOW) for name in ("gone", "stricter", "later")]
            await journal.watched(states, leave_notes=False)
            await journal.discard("gone", leave_notes=False)
            await journal.watched(
                [state_of("stricter", until=Until.DECIDED), state_of("later", deadline=NOW + 900)],
                leave_notes=False,
            )
            ends = [delivery_of(each) for each in (settled("gone"), review, late)]
            stand = await journal.known(ends, at=NOW + 1)
            entries = await journal.live()

        assert list(stand) == [False, False, False]
        assert [entry.state.token for entry in entries] == ["stricter", "later"]
        assert [entry.delivery for entry in entries] == [None, None], "they are watched on"

    @_run
    async def test_what_is_finished_comes_no_more(self, make_journal: MakeJournal) -> None:
        async def accept(journal: Journal) -> None:
            await journal.watched([state_of("one"), state_of("two")], leave_notes=False)
            await journal.known([delivery_of(settled("one"))], at=NOW + 1)
            await journal.finished({"id-of-one": "hash-of-one"}, at=NOW + 2)

        await earlier(make_journal, accept)
        async with Held(make_journal()) as journal:
            assert [entry.state.token for entry in await journal.live()] == ["two"]
            assert await journal.watching(["one", "two"]) == {"two"}
            assert not await journal.discard("one", leave_notes=False)
            (added,) = await journal.reconcile([state_of("one")], leave_notes=False)
            assert added, "a session that is finished can be watched again"

    @_run
    async def test_what_was_accepted_comes_no_more_and_is_kept_to_be_deleted(
        self, make_journal: MakeJournal
    ) -> None:
        async def accept(journal: Journal) -> None:
            await journal.watched([state_of("one"), state_of("two")], leave_notes=False)
            await journal.known([delivery_of(settled("one"))], at=NOW + 1)
            await journal.accepted("id-of-one", at=NOW + 2)

        await earlier(make_journal, accept)
        async with Held(make_journal()) as journal:
            entries = await journal.live()
            assert not await journal.discard("one", leave_notes=False)
            (added,) = await journal.reconcile([state_of("one")], leave_notes=False)
            assert not added, "it is still there"
            await journal.finished({"id-of-one": "hash-of-one"}, at=NOW + 3)
            left = await journal.live()

        assert [(entry.delivery, entry.accepted) for entry in entries] == [
            ("id-of-one", True),
            (None, False),
        ]
        assert [entry.state.token for entry in left] == ["two"]

    @_run
    async def test_a_watch_inside_the_handler_is_not_ended_by_the_old_acceptance(
        self, make_journal: MakeJournal
    ) -> None:
        again = state_of("one", watched=NOW + 2, until=Until.DECIDED, reference="second")

        async with Held(make_journal()) as journal:
            await journal.watched([state_of("one", reference="first")], leave_notes=False)
            await journal.known([delivery_of(settled("one", status="manual_check"))], at=NOW + 1)
            await journal.watched([again], leave_notes=False)
            both = await journal.live()
            await journal.finished({"id-of-one": "hash-of-one"}, at=NOW + 3)
            left = await journal.live()

        assert [entry.delivery for entry in both] == ["id-of-one", None]
        assert left == [JournalEntry(state=again)]

    @_run
    async def test_what_the_handler_refused_is_kept_with_the_class_of_its_error(
        self, make_journal: MakeJournal
    ) -> None:
        async def refuse(journal: Journal) -> None:
            await journal.watched([state_of("one", reference="user:1")], leave_notes=False)
            await journal.known([delivery_of(settled("one"))], at=NOW + 1)
            await journal.refused("id-of-one", attempts=3, error="OSError")
            await journal.refer("id-of-one", "user:2")

        await earlier(make_journal, refuse)
        async with Held(make_journal()) as journal:
            (entry,) = await journal.live(["one"])

        assert (entry.attempts, entry.handler_error) == (3, "OSError")
        assert entry.state.reference == "user:2"

    @_run
    async def test_a_delivery_that_comes_again_keeps_its_id(
        self, make_journal: MakeJournal
    ) -> None:
        known = delivery_of(settled("one", waited=60.0))

        async with Held(make_journal()) as journal:
            await journal.watched([state_of("one")], leave_notes=False)
            await journal.known([known], at=NOW + 1)
            reversed_ = attrs.evolve(
                known, outcome=settled("one", status="rejected", waited=61.0), redelivered=True
            )
            (stands,) = await journal.known([reversed_], at=NOW + 2)
            (entry,) = await journal.live()
            await journal.discard("one", leave_notes=False)
            (stands_no_more,) = await journal.known([reversed_], at=NOW + 3)

        assert stands
        assert (entry.delivery, entry.state.status) == ("id-of-one", SessionStatus.REJECTED)
        assert not stands_no_more

    @_run
    async def test_what_was_written_before_stands(self, make_journal: MakeJournal) -> None:
        known = delivery_of(settled("one"))

        async with Held(make_journal()) as journal:
            await journal.watched([state_of("one")], leave_notes=False)
            first = await journal.known([known], at=NOW + 1)
            again = await journal.known([known], at=NOW + 2)

        assert (list(first), list(again)) == ([True], [True])

    @_run
    async def test_an_outcome_that_nobody_was_given_can_be_a_watch_again(
        self, make_journal: MakeJournal
    ) -> None:
        async with Held(make_journal()) as journal:
            await journal.watched([state_of("one"), state_of("two")], leave_notes=False)
            await journal.known(
                [delivery_of(settled("one")), delivery_of(settled("two"))], at=NOW + 1
            )
            await journal.reopen("id-of-one")
            await journal.watched([state_of("two", reference="next")], leave_notes=False)
            await journal.reopen("id-of-two")
            entries = {entry.state.token: entry for entry in await journal.live()}
            watching = await journal.watching(["one", "two"])

        assert watching == {"one", "two"}
        assert all(entry.delivery is None for entry in entries.values())
        assert entries["two"].state.reference == "next", "the watch that is there stands for both"

    @_run
    async def test_nothing_is_left_of_what_was_discarded(self, make_journal: MakeJournal) -> None:
        async with Held(make_journal()) as journal:
            await journal.watched([state_of("one"), state_of("two")], leave_notes=False)
            await journal.known([delivery_of(settled("two"))], at=NOW + 1)
            asked = ("one", "two", "one", "nobody")
            found = [await journal.discard(token, leave_notes=False) for token in asked]
            assert await journal.live() == []

        assert found == [True, True, False, False]

    @_run
    async def test_whoever_polls_is_told_what_others_did(self, make_journal: MakeJournal) -> None:
        polling, other = make_journal(), make_journal()
        assert await polling.acquire()
        try:
            await other.watched([state_of("one"), state_of("two")], leave_notes=True)
            await other.reconcile([state_of("one"), state_of("three")], leave_notes=True)
            await other.discard("two", leave_notes=True)
            await other.discard("nobody", leave_notes=True)
            other.nudge("one")
            other.nudge("nobody")
            notes: list[Note] = []
            with anyio.move_on_after(5):
                while len(notes) < 5:
                    notes += await polling.notes()
                    await anyio.sleep(0.01)
            late = await polling.notes()
        finally:
            await polling.release()
            await other.release()

        told = [(note.kind, note.token) for note in notes]
        assert told == [
            ("watch", "one"),
            ("watch", "two"),
            ("watch", "three"),
            ("discard", "two"),
            ("nudge", "one"),
        ]
        assert list(late) == [], "each note is taken once"

    @_run
    async def test_many_sessions_are_asked_for_at_once(self, make_journal: MakeJournal) -> None:
        tokens = [f"token-{number}" for number in range(3000)]

        async with Held(make_journal()) as journal:
            await journal.watched([state_of(token) for token in tokens], leave_notes=False)
            assert [entry.state.token for entry in await journal.live()] == tokens
            asked = [*tokens[::3], "nobody"]
            assert {entry.state.token for entry in await journal.live(asked)} == set(tokens[::3])
            assert await journal.watching(asked) == set(tokens[::3])

    @_run
    async def test_nothing_of_a_person_is_remembered(self, make_journal: MakeJournal) -> None:
        unknown = Settled(token="two", status=SessionStatus(PERSON), result=document_of("approved"))

        async def end(journal: Journal) -> None:
            await journal.watched([state_of("one"), state_of("two")], leave_notes=False)
            seen = attrs.evolve(state_of("one"), status=SessionStatus(PERSON))
            await journal.seen([(seen, NOW)])
            await journal.known([delivery_of(settled("one")), delivery_of(unknown)], at=NOW + 1)

        await earlier(make_journal, end)
        assert PERSON.encode() not in self.memory()
