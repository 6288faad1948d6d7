"""The demo itself: sessions begun, watched and held against the truth."""

import time
from collections import Counter
from functools import partial

import anyio
import attrs

from identomat_async import (
    DeadlinePassed,
    Flags,
    IdentomatClient,
    Outcome,
    RateBudget,
    ResultPoller,
)
from identomat_async._cli._demo_judge import (
    Taken,
    delays,
    doubled,
    is_wrong,
    lost,
    percentile,
    settled_in,
)
from identomat_async._cli._demo_pace import deadline_for, limit_for, rate_for, schedule_for
from identomat_async._cli._demo_report import Report, label_of
from identomat_async._cli._demo_show import Show, Standing, Tell
from identomat_async._polling._tasks import task_group
from identomat_async.sandbox import Sandbox, random_life

_KEY = "demo"
_BEGINNERS = 8
_BURST = 20


@attrs.frozen(kw_only=True)
class Plan:
    """
    What the demo is to do.

    Attributes:
        sessions: How many people.
        median: Seconds that half of those who finish stay below.
        seed: Who they are.
    """

    sessions: int
    median: float
    seed: int


@attrs.define(kw_only=True, eq=False)
class Log:
    """
    What happened.

    Attributes:
        watched: When each session's watch began, by the sandbox's clock.
        taken: Outcomes, in order.
        ended: Outcomes by what they count as.
    """

    watched: dict[str, float] = attrs.field(factory=dict[str, float])
    taken: list[Taken] = attrs.field(factory=list[Taken])
    ended: Counter[str] = attrs.field(factory=Counter[str])

    def take(self, outcome: Outcome, at: float) -> None:
        """Note an outcome."""
        self.taken.append(Taken(outcome=outcome, at=at))
        self.ended[label_of(outcome)] += 1

    def standing(self) -> Standing:
        """Say how far the demo has come."""
        return Standing(begun=len(self.watched), ended=self.ended)


async def run(plan: Plan, show: Show) -> Report:
    """Run the demo, and check all that came out."""
    # No operator decides, so that what a session settled as stays true.
    life = partial(random_life, median=plan.median, truncate=4, review=None)
    sandbox = Sandbox(_KEY, seed=plan.seed, life=life)
    log = Log()
    started = time.monotonic()
    async with (
        sandbox.serve() as server,
        IdentomatClient(_KEY, base_url=server.base_url) as client,
    ):
        with show(plan.sessions, log.standing) as tell:
            await _verify(plan, client, sandbox, log, tell)
        return report_of(log, sandbox, plan=plan, seconds=time.monotonic() - started)


async def _verify(
    plan: Plan, client: IdentomatClient, sandbox: Sandbox, log: Log, tell: Tell
) -> None:
    poller = ResultPoller(
        client,
        wait=schedule_for(plan.median),
        deadline=deadline_for(plan.median),
        # Client and sandbox share one interpreter: what a pause costs is caught up with.
        rate=RateBudget(rate_for(plan.median), burst=_BURST),
        # Sessions are still being begun when the first outcomes are there.
        forever=True,
    )
    left = iter(range(plan.sessions))

    async def begin() -> None:
        for _ in left:
            token = await client.begin(Flags(liveness=True))
            log.watched[token] = sandbox.now()
            await poller.watch(token)

    with anyio.move_on_after(limit_for(plan.median, plan.sessions)):
        async with poller, task_group() as beginning:
            for _ in range(_BEGINNERS):
                beginning.start_soon(begin)
            async for outcome in poller:
                log.take(outcome, sandbox.now())
                tell()
                if len(log.taken) >= plan.sessions and not len(poller):
                    break


def report_of(log: Log, sandbox: Sandbox, *, plan: Plan, seconds: float) -> Report:
    """Hold what came out against the truth."""
    truths = {token: sandbox.truth(token) for token in sandbox.tokens}
    patience = deadline_for(plan.median)
    late = delays(log.taken, truths)
    return Report(
        sessions=len(log.watched),
        settled=settled_in(log.taken),
        deadline_passed=sum(isinstance(each.outcome, DeadlinePassed) for each in log.taken),
        wrong=sum(
            is_wrong(
                each,
                truths[each.outcome.token],
                deadline_at=log.watched[each.outcome.token] + patience,
            )
            for each in log.taken
        ),
        # What the sandbox has begun and nobody watches is lost too.
        lost=lost(truths, log.taken),
        doubled=doubled(log.taken),
        requests=sandbox.request_count,
        polls_per_session=sandbox.requests.get("result", 0) / plan.sessions,
        delay_median=percentile(late, 0.5),
        delay_p99=percentile(late, 0.99),
        seconds=seconds,
    )
