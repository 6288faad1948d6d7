"""What the page on other engines shows works, with the engines left out."""

from collections import deque
from functools import partial
from typing import Any

import anyio
import pytest

from identomat_async import (
    DeadlinePassed,
    IdentomatClient,
    Outcome,
    PollState,
    RetryPolicy,
    Settled,
)
from identomat_async.sandbox import Sandbox
from tests._docs_ground import run_code_of


class Ground:
    """A service, a page and an application."""

    def __init__(self) -> None:
        self.sandbox = Sandbox("key")
        self.delivered: list[Outcome] = []
        self.failures = 0
        self.page = run_code_of("engines.md", own_client=self.client, deliver=self.deliver)

    def client(self) -> IdentomatClient:
        return IdentomatClient(
            "key",
            base_url=self.sandbox.base_url,
            transport=self.sandbox.transport,
            retry=RetryPolicy(attempts=1),
        )

    async def deliver(self, outcome: Outcome) -> None:
        if self.failures:
            self.failures -= 1
            raise LookupError("the database is away")
        self.delivered.append(outcome)


class Queue:
    """Jobs as a queue keeps them: by time, and one of a name for ever."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[str, float]] = deque()
        self.names: set[str] = set()

    async def enqueue_job(
        self, function: str, stored: str, *, _defer_by: float, _job_id: str | None = None
    ) -> None:
        assert function == "poll"
        if _job_id is None or _job_id not in self.names:
            self.jobs.append((stored, _defer_by))
        self.names.add(_job_id or "")


@pytest.fixture
def ground() -> Ground:
    return Ground()


async def test_jobs_that_follow_each_other_deliver_once(ground):
    ground.sandbox.script("approved", after=300)
    queue = Queue()
    async with ground.client() as client:
        ctx = {"client": client, "redis": queue, "deliver": ground.deliver}
        token = await client.begin()
        ground.failures = 1
        await queue.enqueue_job("poll", ground.page["watch"](token, reference="7"), _defer_by=50)
        while queue.jobs:
            stored, delay = queue.jobs.popleft()
            assert 0 < delay <= 300
            await anyio.sleep(delay)
            # The worker dies after it, and the job is done again.
            for _ in range(2 if len(queue.names) == 2 else 1):
                try:
                    await ground.page["poll"](ctx, stored)
                except LookupError:
                    assert ground.failures == 0

    (outcome,) = ground.delivered
    assert isinstance(outcome, Settled)
    assert (outcome.token, outcome.reference) == (token, "7")
    assert outcome.polls >= 3


async def test_a_workflow_sleeps_between_looks_and_begins_anew_in_the_end(ground):
    ground.sandbox.script("rejected", after=100)
    anew: list[str] = []
    async with ground.client() as client:
        stored = ground.page["watch"](await client.begin())
        never = ground.page["watch"](await client.begin(), minutes=1e6)

    async def execute(activity: Any, stored: str) -> Any:
        return await activity(stored)

    verification = partial(
        ground.page["verification"], execute=execute, sleep=anyio.sleep, begin_anew=anew.append
    )
    await verification(stored)
    assert [outcome.result.status.is_approved for outcome in ground.delivered] == [False]
    assert not anew

    async def open_for_ever(_: Any, stored: str) -> Any:
        return [stored, 1.0]

    await verification(never, execute=open_for_ever)
    assert anew == [never]


async def test_time_that_is_up_ends_it(ground):
    async with ground.client() as client:
        stored = ground.page["watch"](await client.begin(), minutes=0)
        assert await ground.page["turn"](client, stored, ground.deliver) is None

    assert [type(outcome) for outcome in ground.delivered] == [DeadlinePassed]


async def test_an_error_is_no_end_but_another_look(ground):
    async with ground.client() as client:
        stored = ground.page["watch"](await client.begin())
        ground.sandbox.fail(1, "F38")
        again, delay = await ground.page["turn"](client, stored, ground.deliver)

    assert PollState.from_json(again).failures == 1
    assert delay > 0
    assert not ground.delivered


class Task:
    """A task as Celery binds it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []

    def apply_async(self, *, args: list[str], countdown: float) -> None:
        self.sent.append((args[0], countdown))


def test_a_plain_task_sends_itself_again_until_it_is_over(ground):
    ground.sandbox.script("approved", after=0)

    async def begin() -> list[str]:
        async with ground.client() as client:
            return [await client.begin()]

    (token,) = anyio.run(begin)
    task, stored = Task(), ground.page["watch"](token)
    ground.sandbox.fail(1, "F38")
    ground.page["poll_task"](task, stored)
    ((again, countdown),) = task.sent
    assert countdown > 0
    ground.page["poll_task"](task, again)

    assert [outcome.token for outcome in ground.delivered] == [token]
    assert len(task.sent) == 1
