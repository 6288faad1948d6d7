"""Waits that end otherwise than by a look at their own deadline, and crowds that are held."""

import anyio
import pytest
from tenacity import wait_fixed

from identomat_async import ClientClosedError, DeadlinePassed, IdentomatClient, ResultPoller
from identomat_async.errors import AuthenticationError

REFUSED = AuthenticationError("no", status_code=401)


async def test_the_same_session_twice_in_a_crowd_is_one_watch(source):
    source.decides("one", "approved", after=10)
    async with ResultPoller(source) as poller:
        await poller.watch_many(["one", "two", "one"])
        await poller.watch_many(["one"])
        await poller.discard("two")

        assert len(poller) == 1
        assert [outcome.token async for outcome in poller] == ["one"]


@pytest.mark.thorough
async def test_a_crowd_that_was_held_back_for_a_slow_consumer_goes_on(source):
    names = [f"t{number}" for number in range(1500)]
    for name in names:
        source.decides(name, "approved", after=0)
    async with ResultPoller(source, rate=None, buffer=1) as poller:
        await poller.watch_many(names)
        await anyio.sleep(60)
        held = len(poller._core.engine.roster.held)
        seen = [outcome.token async for outcome in poller]

    assert held > 1000
    assert sorted(seen) == sorted(names)


@pytest.mark.parametrize("is_alone", [True, False])
async def test_who_waits_for_a_session_that_was_held_back_is_served(source, is_alone):
    source.decides("first", "approved", after=0)
    source.decides("held", "approved", after=400)
    async with ResultPoller(source, buffer=1, wait=wait_fixed(5)) as poller:
        await poller.watch("held")
        await anyio.sleep(60)
        await poller.watch("first")
        await anyio.sleep(500)
        assert poller.stats().limited_by == "consumer"
        began = anyio.current_time()

        if is_alone:
            result = await poller.wait("held", deadline=300)
        else:
            result = (await poller.wait_all(["held"], deadline=300))["held"]

        assert result.status.is_approved
        assert anyio.current_time() - began < 1


async def test_who_waits_for_a_session_that_was_held_back_shares_its_schedule(source):
    source.decides("first", "approved", after=0)
    source.decides("held", "approved", after=400)
    async with ResultPoller(source, buffer=1, wait=wait_fixed(5)) as poller:
        await poller.watch("held")
        await anyio.sleep(10)
        await poller.watch("first")
        await anyio.sleep(50)
        seen = len(source.looks)

        result = await poller.wait("held", deadline=900)

    assert result.status.is_approved
    assert len(source.looks) - seen == pytest.approx(340 / 5 + 2, rel=0.1)


async def test_a_refused_account_ends_a_wait_for_many(source):
    for name in ("a", "b", "c"):
        source.lives(name, lambda _: REFUSED)

    with pytest.raises(AuthenticationError):
        await ResultPoller(source).wait_all(["a", "b", "c"])


async def test_a_look_that_follows_another_is_cut_off_in_its_own_time(source):
    source.timeout = 0.3
    source.lives("slow", lambda _: 0.2)
    source.lives("hangs", lambda _: 3600.0)
    async with ResultPoller(source, max_in_flight=1) as poller:
        await poller.watch_many(["slow", "hangs"])
        poller.nudge("slow")
        poller.nudge("hangs")
        await anyio.sleep(0.6)
        errors = poller.stats().errors

    assert errors == {"RequestTimeoutError": 1}


async def test_a_wait_for_many_ends_in_time_though_every_look_hangs(source):
    source.timeout = 20.0
    for name in ("a", "b"):
        source.says(name, 3600.0)
    began = anyio.current_time()

    outcomes = await ResultPoller(source, max_in_flight=1).wait_all(["a", "b"], deadline=30)

    assert all(isinstance(outcome, DeadlinePassed) for outcome in outcomes.values())
    assert 30 <= anyio.current_time() - began <= 51


async def test_a_wait_without_end_has_none(source):
    source.decides("one", "approved", after=4000)

    result = await ResultPoller(source, deadline=None).wait("one")

    assert result.status.is_approved


async def test_a_wait_for_many_takes_the_polling_over(source):
    source.decides("first", "approved", after=5)
    source.decides("second", "approved", after=50)
    poller = ResultPoller(source)
    outcomes = {}

    async def wait_for_second() -> None:
        outcomes.update(await poller.wait_all(["second"]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.wait, "first")
        await anyio.sleep(0.1)
        tasks.start_soon(wait_for_second)

    assert outcomes["second"].status.is_approved


async def test_a_closed_client_is_not_looked_through():
    client = IdentomatClient("key")
    await client.aclose()

    with pytest.raises(ClientClosedError):
        await client.source.look("t", fresh=False)
