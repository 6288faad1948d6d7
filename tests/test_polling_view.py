"""What a poller says of one session when it is asked."""

from datetime import UTC, datetime, timedelta

import anyio
from tenacity import wait_fixed

from identomat_async import ResultPoller, SessionStatus, errors


async def test_a_session_is_shown_as_it_stands(source) -> None:
    source.says("a", "in_progress")
    begun = datetime.now(UTC) - timedelta(minutes=2)
    async with ResultPoller(source, wait=wait_fixed(10)) as poller:
        await poller.watch("a", reference="user:1", begun=begun, deadline=600)
        await anyio.sleep(11)
        shown = poller.session("a")

    assert shown is not None
    assert (shown.token, shown.reference) == ("a", "user:1")
    assert (shown.status, shown.last_error) == (SessionStatus.IN_PROGRESS, None)
    assert shown.polls in {1, 2}
    assert 0 < shown.next_look < 12
    assert abs(shown.begun - begun) < timedelta(seconds=1)
    assert shown.deadline is not None
    assert "user:1" not in repr(shown)


async def test_what_failed_and_what_is_under_way_can_be_seen(source) -> None:
    source.says("a", errors.ServerError("no"))
    source.latency = 1.0
    async with ResultPoller(source, wait=wait_fixed(10), deadline=None) as poller:
        await poller.watch("a")
        poller.nudge("a")
        await anyio.sleep(0.5)
        during = poller.session("a")
        await anyio.sleep(1)
        after = poller.session("a")

    assert during is not None
    assert (during.next_look, during.polls, during.deadline) == (0.0, 0, None)
    assert after is not None
    assert (after.status, after.polls) == (None, 1)
    assert isinstance(after.last_error, errors.ServerError)


async def test_nobody_is_shown_who_is_not_looked_at(source) -> None:
    source.says("a", "approved")
    async with ResultPoller(source) as poller:
        assert poller.session("a") is None
        await poller.watch("a")
        assert poller.session("a") is not None
        assert [outcome.token async for outcome in poller] == ["a"]
        assert poller.session("a") is None
