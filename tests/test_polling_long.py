"""A day in the life of a poller: sessions of every kind, and what became of each."""

import functools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import pytest

from identomat_async import (
    ConnectionFailedError,
    DeadlinePassed,
    Delivery,
    Outcome,
    PollFailed,
    RateBudget,
    RequestTimeoutError,
    ResponseDecodeError,
    ResultPoller,
    ServerError,
    SessionGone,
    SessionInvalidError,
    SessionNotFoundError,
    SessionStatus,
    Settled,
    Until,
    wait_person,
)

HOUR = 3600.0
DEADLINE = 1800.0
RATE, PLACES = 50, 20
FAULTS = (
    ServerError("down", status_code=503, retryable=True),
    RequestTimeoutError("slow", retryable=True),
    ConnectionFailedError("refused", retryable=True),
)
# Weights of the kinds of lives, roughly as they come.
KINDS = {
    "quick": 50,
    "slow": 12,
    "abandoned": 15,
    "reviewed": 10,
    "decided after review": 8,
    "gone": 2,
    "invalid": 1,
    "unreadable": 2,
}
NEVER_READ = {
    "gone": SessionNotFoundError("?", status_code=200),
    "invalid": SessionInvalidError("?", status_code=200),
    "unreadable": ResponseDecodeError("not JSON", reason="json"),
}


@attrs.frozen(kw_only=True)
class Life:
    """A session: begun at a time, and then of one status after the other."""

    token: str
    kind: str
    begun: float
    statuses: tuple[tuple[float, str], ...]
    until: Until

    def status(self, at: float) -> str:
        return [status for since, status in self.statuses if since <= at][-1]


def life(number: int, begun: float, review: float, chance: random.Random) -> Life:
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    person = begun + chance.lognormvariate(math.log(180), 0.6)
    verdict = chance.choice(["approved", "approved", "rejected"])
    after: dict[str, tuple[tuple[float, str], ...]] = {
        "quick": ((person, verdict),),
        "slow": ((begun + chance.uniform(900, 2100), verdict),),
        "reviewed": ((person, "manual_check"),),
        "decided after review": (
            (person, "manual_check"),
            (person + chance.uniform(0, 1.2) * review, verdict),
        ),
    }
    return Life(
        token=f"session-{number}",
        kind=kind,
        begun=begun,
        statuses=((-math.inf, "in_progress"), *after.get(kind, ())),
        until=Until.DECIDED if kind == "decided after review" else Until.TERMINAL,
    )


class Day:
    """The sessions of a day, half of them watched by a block and half by a service."""

    def __init__(
        self, source: Any, *, sessions: int, hours: float, wait: wait_person, seed: int
    ) -> None:
        self.source = source
        self.wait = wait
        self.review = hours / 3 * HOUR
        self.chance = random.Random(seed)  # noqa: S311 - nothing secret
        self.start = anyio.current_time()
        begun = sorted(self.chance.uniform(0, hours * HOUR) for _ in range(sessions))
        lives = [
            life(number, self.start + at, self.review, self.chance)
            for number, at in enumerate(begun)
        ]
        self.lives = {one.token: one for one in lives}
        for one in lives:
            source.lives(one.token, functools.partial(self.says, one))
        self.budget = RateBudget(RATE, max_in_flight=PLACES)
        self.block = self.poller(forever=True)
        self.service = self.poller()
        self.outcomes: list[tuple[str, Outcome]] = []
        self.deliveries: dict[str, Delivery] = {}

    def poller(self, **keywords: Any) -> ResultPoller:
        return ResultPoller(
            self.source,
            wait=self.wait,
            rate=self.budget,
            deadline=DEADLINE,
            review=self.review,
            grace=12 * HOUR,  # the faults are random: a dozen in a row are no outage
            **keywords,
        )

    def says(self, one: Life, _: float) -> object:
        if self.chance.random() < 0.1:
            return self.chance.choice(FAULTS)
        if one.kind in NEVER_READ:
            return NEVER_READ[one.kind]
        return one.status(anyio.current_time())

    async def pass_by(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.iterate)
            await tasks.start(self.service.run, self.handle)
            for number, one in enumerate(self.lives.values()):
                await anyio.sleep_until(one.begun)
                poller = self.service if number % 2 else self.block
                await poller.watch(one.token, reference=f"user of {one.token}", until=one.until)
            with anyio.fail_after(48 * HOUR):
                while len(self.block) or len(self.service):
                    await anyio.sleep(60)
            tasks.cancel_scope.cancel()

    async def iterate(self) -> None:
        while True:
            async with self.block:
                async for outcome in self.block:
                    self.outcomes.append(("block", outcome))
                    if self.chance.random() < 0.02:
                        await anyio.sleep(30)
                    if self.chance.random() < 0.02:
                        break

    async def handle(self, delivery: Delivery) -> None:
        await anyio.sleep(self.chance.random())
        if self.chance.random() < 0.1:
            raise LookupError
        assert delivery.id not in self.deliveries
        self.deliveries[delivery.id] = delivery
        self.outcomes.append(("service", delivery.outcome))

    def judge(self) -> None:
        """Say of every session whether it came to what it must have come to."""
        assert Counter(outcome.token for _, outcome in self.outcomes) == Counter(list(self.lives))
        assert Counter(form for form, _ in self.outcomes) == {
            "block": (len(self.lives) + 1) // 2,
            "service": len(self.lives) // 2,
        }
        for _, outcome in self.outcomes:
            judge(self.lives[outcome.token], outcome, self.review)

    def judge_load(self) -> None:
        at = [at for at, _, _ in self.source.looks]
        assert all(later - sooner >= 1 - 1e-6 for sooner, later in zip(at, at[RATE + 1 :]))  # noqa: B905
        assert self.source.peak <= PLACES
        assert self.budget.in_flight == self.source.in_flight == 0


def judge(one: Life, outcome: Outcome, review: float) -> None:
    assert outcome.reference == f"user of {one.token}"
    looked = one.begun + outcome.waited
    if one.kind in NEVER_READ:
        assert type(outcome) is (SessionGone if one.kind == "gone" else PollFailed)
        assert outcome.waited >= 60
        return
    assert isinstance(outcome, Settled | DeadlinePassed)
    assert outcome.status == SessionStatus(one.status(looked))
    if isinstance(outcome, Settled):
        assert outcome.result.person is not None
        assert outcome.result.person.personal_number == f"of {one.token}"
        assert outcome.result.status is outcome.status
        assert outcome.status.is_decided or one.until is Until.TERMINAL
    else:
        review_began = one.statuses[1][0] if len(one.statuses) > 1 else math.inf
        in_review = outcome.status is SessionStatus.MANUAL_CHECK
        end = review_began + review if in_review else one.begun + DEADLINE
        assert end - 0.01 <= looked < end + 3 * HOUR


def delays(day: Day, is_settled: Callable[[Life], bool]) -> list[float]:
    """Return how long after it was there each verdict of some lives was found."""
    return [
        day.lives[outcome.token].begun + outcome.waited - day.lives[outcome.token].statuses[-1][0]
        for _, outcome in day.outcomes
        if isinstance(outcome, Settled) and is_settled(day.lives[outcome.token])
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sessions", "hours", "wait"),
    [
        pytest.param(1_000, 2, wait_person(every=60, review=1200), id="two-hours"),
        pytest.param(
            10_000,
            24,
            wait_person(),
            id="a-day",
            marks=[pytest.mark.nightly, pytest.mark.timeout(1800)],
        ),
    ],
)
async def test_every_session_of_a_day_comes_to_its_one_true_outcome(source, sessions, hours, wait):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed of this day: {seed}")  # noqa: T201 - shown if the test fails
    day = Day(source, sessions=sessions, hours=hours, wait=wait, seed=seed)

    await day.pass_by()

    day.judge()
    day.judge_load()
    assert max(delays(day, lambda one: one.kind == "quick")) < 600
    assert max(delays(day, lambda one: one.until is Until.DECIDED)) < 3 * HOUR
    assert {type(outcome) for _, outcome in day.outcomes} == {
        Settled,
        DeadlinePassed,
        SessionGone,
        PollFailed,
    }
    assert len(anyio.get_running_tasks()) <= 5
