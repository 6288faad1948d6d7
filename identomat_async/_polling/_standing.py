"""How a poller stands, for whoever runs it."""

import attrs

from identomat_async._polling._desk import Desk
from identomat_async._polling._engine import Engine
from identomat_async._polling._ledger import Ledger
from identomat_async._polling._outbox import Outbox
from identomat_async._polling._purge import Purger
from identomat_async._polling._stats import LimitedBy, PollerStats
from identomat_async.events import Role


@attrs.define(eq=False, repr=False, kw_only=True)
class Standing:
    """
    Reads the parts of a poller, in any thread; changes none of them.

    So what the event loop may change meanwhile is never gone through, only counted or copied.
    """

    engine: Engine
    desk: Desk
    outbox: Outbox
    ledger: Ledger | None
    purger: Purger | None

    def stats(self) -> PollerStats:
        """Return how the poller stands."""
        engine, learner, now = self.engine, self.engine.learner, self.engine.glance()
        due = engine.roster.agenda.due(now)
        return PollerStats(
            role=self._role,
            watched=len(engine.roster.live),
            due=due + len(engine.roster.held),
            in_flight=engine.in_flight,
            buffered=len(self.outbox),
            unacked=len(self.outbox.unacked),
            oldest_unacked=self.outbox.oldest_unacked,
            undeleted=0 if self.purger is None else len(self.purger.undeleted),
            limited_by=self._limited_by(is_anybody_due=due > 0),
            stretch=learner.stretch,
            observer_errors=learner.hub.errors,
            **learner.tally.figures(now),
        )

    @property
    def _role(self) -> Role:
        if self.ledger is not None and self.ledger.role != "idle":
            return self.ledger.role
        return "active" if self.engine.is_running else "idle"

    def _limited_by(self, *, is_anybody_due: bool) -> LimitedBy:
        # That is weighed while there is somebody to be looked at.
        engine, learner = self.engine, self.engine.learner
        is_stretched = self.desk.is_starved or learner.stretch > 1
        is_paused = learner.outage.is_down or engine.source.pause.remaining() > 0
        reasons: tuple[tuple[LimitedBy, bool], ...] = (
            ("stand_by", self._role == "stand_by"),
            ("halted", learner.halt.error is not None),
            ("paused", is_paused),
            ("consumer", bool(engine.roster.held)),
            ("rate", is_stretched and bool(engine.roster.live)),
            ("in_flight", is_anybody_due and engine.gates.is_full),
            ("nothing", True),
        )
        return next(reason for reason, applies in reasons if applies)
