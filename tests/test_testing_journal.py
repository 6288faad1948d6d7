"""The journals here are what the tests for anybody's journal ask for, and a bad one is not."""

from pathlib import Path

import pytest

from identomat_async import ConfigurationError, MemoryJournal, SqliteJournal
from identomat_async.testing import JournalConformance, MakeJournal


class TestSqliteJournal(JournalConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal.db"

    @pytest.fixture
    def make_journal(self) -> MakeJournal:
        return lambda: SqliteJournal(self.path)

    def memory(self) -> bytes:
        return b"".join(each.read_bytes() for each in self.path.parent.iterdir() if each.is_file())


class TestSqliteJournalOnTrio(TestSqliteJournal):
    backend = "trio"


class TestMemoryJournal(JournalConformance):
    @pytest.fixture
    def make_journal(self) -> MakeJournal:
        self.journal = MemoryJournal()
        return lambda: self.journal

    def memory(self) -> bytes:
        assert self.journal._connection is not None
        return self.journal._connection.serialize()


class Faulty(MemoryJournal):
    """A journal that somebody got wrong, in one of its methods."""

    fault = ""

    async def acquire(self):
        held = await super().acquire()
        if self.fault == "held by nobody":
            return False
        return held or self.fault == "held by all"

    async def watched(self, states, *, leave_notes):
        if self.fault == "forgets":
            return
        if self.fault == "last terms":
            for state in states:
                await super().discard(state.token, leave_notes=False)
        await super().watched(states, leave_notes=leave_notes)

    async def reconcile(self, states, *, leave_notes):
        if self.fault == "reconciles all":
            await super().watched(states, leave_notes=leave_notes)
            return [True] * len(states)
        return await super().reconcile(states, leave_notes=leave_notes)

    async def seen(self, looks):
        if self.fault != "forgets looks":
            await super().seen(looks)

    async def known(self, deliveries, *, at):
        if self.fault == "forgets outcomes":
            return [True] * len(deliveries)
        if self.fault == "knows no redelivery" and deliveries[0].redelivered:
            return [False]
        if self.fault == "knows once" and (await super().live())[0].delivery == deliveries[0].id:
            return [False]
        stand = await super().known(deliveries, at=at)
        return [True] * len(stand) if self.fault == "all stands" else stand

    async def finished(self, deliveries, *, at):
        if self.fault == "drops the next watch":
            for name in deliveries:
                await super().discard(name.removeprefix("id-of-"), leave_notes=False)
        if self.fault != "finishes nothing":
            await super().finished(deliveries, at=at)

    async def accepted(self, delivery, *, at):
        if self.fault == "forgets what is to be deleted":
            await super().finished({delivery: "hash"}, at=at)
        else:
            await super().accepted(delivery, at=at)

    async def refused(self, delivery, *, attempts, error):
        if self.fault != "forgets refusals":
            await super().refused(delivery, attempts=attempts, error=error)

    async def reopen(self, delivery):
        if self.fault != "opens nothing again":
            await super().reopen(delivery)

    async def discard(self, token, *, leave_notes):
        return await super().discard(token, leave_notes=leave_notes) or self.fault == "lies"

    async def live(self, tokens=None):
        return (await super().live(tokens))[: 100 if self.fault == "a page" else None]

    async def notes(self):
        return () if self.fault == "tells nobody" else await super().notes()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("held by all", "one_at_a_time_holds_it"),
        ("held by nobody", "nothing_is_left_of_what_was_discarded"),
        ("forgets", "what_is_watched_is_there_after_a_restart"),
        ("last terms", "watched_twice_is_one_watch_with_the_wider_terms"),
        ("reconciles all", "reconciling_adds_what_is_not_there_and_changes_nothing"),
        ("forgets looks", "what_a_look_found_out_is_kept_until_the_next"),
        ("forgets outcomes", "what_a_watch_has_come_to_is_there_after_a_restart"),
        ("knows once", "what_was_written_before_stands"),
        ("all stands", "an_outcome_does_not_stand_for_what_was_discarded_or_wants_more"),
        ("finishes nothing", "what_is_finished_comes_no_more"),
        (
            "forgets what is to be deleted",
            "what_was_accepted_comes_no_more_and_is_kept_to_be_deleted",
        ),
        ("drops the next watch", "a_watch_inside_the_handler_is_not_ended_by_the_old_acceptance"),
        ("forgets refusals", "what_the_handler_refused_is_kept_with_the_class_of_its_error"),
        ("knows no redelivery", "a_delivery_that_comes_again_keeps_its_id"),
        ("opens nothing again", "an_outcome_that_nobody_was_given_can_be_a_watch_again"),
        ("lies", "nothing_is_left_of_what_was_discarded"),
        ("tells nobody", "whoever_polls_is_told_what_others_did"),
        ("a page", "many_sessions_are_asked_for_at_once"),
        ("keeps persons", "nothing_of_a_person_is_remembered"),
    ],
)
def test_each_test_notices_what_it_is_for(
    fault: str, test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, suite = Faulty(), JournalConformance()
    monkeypatch.setattr(suite, "memory", lambda: b"Conformance-Canary")
    journal.fault = fault

    with pytest.raises(AssertionError):
        getattr(suite, f"test_{test}")(lambda: journal)


def test_there_is_a_fault_for_every_test() -> None:
    marks = test_each_test_notices_what_it_is_for.pytestmark  # type: ignore[attr-defined]
    faults = {f"test_{test}" for _, test in marks[0].args[1]}

    assert faults == {name for name in dir(JournalConformance) if name.startswith("test_")}


def test_a_memory_that_nobody_shows_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="override memory"):
        JournalConformance().memory()
