"""What is said to the engine and asked of it, in terms of sessions."""

import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import anyio
import attrs
from docket import Disposition, Docket, ExecutionState
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from identomat_async.contrib.docket._errand import Errand, key_of
from identomat_async.contrib.docket._server import lacks
from identomat_async.errors import JournalError

# The name of the task, the same in every version: workers of the next one find what those
# of this one have left.
TASK: Final = "identomat_poll"
# How often to see whether a look is over, and for how long a nudge is news.
_GLANCE = 0.05
_NEWS = 60
_AWAITED = (ExecutionState.SCHEDULED.value.encode(), ExecutionState.QUEUED.value.encode())
_RUNNING = ExecutionState.RUNNING.value.encode()
# So often it is tried to add what is neither there nor taken.
_TRIES = 200
# What is discarded gets another generation: by that the engine tells a run that was overtaken,
# which then schedules no other. The engine's own way to cancel does not look at the generation,
# and takes several steps: who is watched again in between would be taken away with it, and who
# is cut off in between would leave a session that can be neither watched nor discarded.
_DISCARD = """
local run, queue, stream, parked, progress = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local key, span, channel = ARGV[1], ARGV[2], ARGV[3]
local state = redis.call('HGET', run, 'state')
if state ~= 'scheduled' and state ~= 'queued' and state ~= 'running' then
    return 0
end
local message = redis.call('HGET', run, 'stream_id')
if message then
    redis.call('XDEL', stream, message)
end
redis.call('ZREM', queue, key)
redis.call('DEL', parked, progress)
redis.call('HDEL', run, 'known', 'stream_id')
redis.call('HINCRBY', run, 'generation', 1)
redis.call('HSET', run, 'state', 'cancelled')
redis.call('EXPIRE', run, span)
redis.call('PUBLISH', channel, key)
return 1
"""
_logger = logging.getLogger("identomat_async")


@attrs.frozen
class Link:
    """
    The sessions that are watched, as the engine keeps them.

    Every method raises `JournalError` if the server cannot be reached.
    """

    docket: Docket

    @property
    def rate_key(self) -> str:
        """Where the shared rate is kept."""
        return self.docket.key("identomat-rate")

    @property
    def nudge_key(self) -> str:
        """What the keys of nudges begin with."""
        return self.docket.key("identomat-nudge")

    async def add(self, errands: Sequence[tuple[Errand, float]], *, anew: bool = True) -> int:
        """
        Have sessions looked at, each after so many seconds; return how many were added.

        One that is there already stays as it is. But a look that is under way may be the last
        one: so *anew* that is waited for, and without it counts as being there.
        """
        added = tries = 0
        left: list[tuple[Errand, float]] = list(errands)
        while left:
            now = datetime.now(UTC)
            calls = [
                self.docket.call(
                    TASK, now + timedelta(seconds=delay), key_of(errand.entry.state.token)
                )(errand.to_json())
                for errand, delay in left
            ]
            with told():
                executions = await self.docket.add_many(calls)
            if any(each.disposition is Disposition.FAILED for each in executions):
                raise JournalError("the server did not take all that is to be watched")
            added += sum(each.disposition is Disposition.SCHEDULED for each in executions)
            there = [
                errand
                for errand, each in zip(left, executions, strict=True)
                if each.disposition is Disposition.ALREADY_SCHEDULED
            ]
            if not (anew and there):
                break
            states = await self._states([key_of(each.entry.state.token) for each, _ in there])
            tries = 0 if _RUNNING in states else tries + 1
            if tries > _TRIES:
                raise JournalError("the server neither takes nor has all that is to be watched")
            # Where it is over by now it was the last one, as likely as not.
            left = [
                errand for errand, state in zip(there, states, strict=True) if state not in _AWAITED
            ]
            if left:
                await anyio.sleep(_GLANCE)
        return added

    async def _states(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        with told():
            async with self.docket.redis() as client, cast("Redis", client).pipeline() as pipeline:
                for key in keys:
                    pipeline.hget(self.docket.runs_key(key), "state")
                return cast("list[bytes | None]", await pipeline.execute())

    async def discard(self, token: str) -> bool:
        """Have a session looked at no more; return whether it was."""
        key, engine = key_of(token), self.docket
        keys = (
            engine.runs_key(key),
            engine.queue_key,
            engine.stream_key,
            engine.parked_task_key(key),
            engine.key(f"progress:{key}"),
        )
        span = int(engine.execution_ttl.total_seconds())
        facts = (key, span, engine.cancel_channel(key))
        with told():
            async with engine.redis() as client:
                return bool(await cast("Redis", client).eval(_DISCARD, len(keys), *keys, *facts))

    async def nudge(self, token: str) -> None:
        """Have a session that is watched looked at now."""
        key = key_of(token)
        with told():
            async with self.docket.redis() as client:
                server = cast("Redis", client)
                await server.set(f"{self.nudge_key}:{key}", b"1", ex=_NEWS)
                # Forward in the engine's own calendar, if it stands there.
                due = {key: datetime.now(UTC).timestamp()}
                await server.zadd(self.docket.queue_key, due, xx=True, lt=True)

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Be connected for the length of a block; warn of what the server lacks."""
        with told():
            await self.docket.__aenter__()
        try:
            for setting in await self.lacking():
                _logger.warning("the Redis or Valkey server needs %s", setting)
            yield
        finally:
            # Connections are closed also when this is left by a cancellation.
            with anyio.CancelScope(shield=True):
                await self.docket.__aexit__(None, None, None)

    async def lacking(self) -> Sequence[str]:
        """Return what to change for the server to lose nothing; nothing if it does not say."""
        with told():
            async with self.docket.redis() as client:
                server = cast("Redis", client)
                await server.ping()  # pyright: ignore[reportUnknownMemberType]
                try:
                    kept = await server.config_get("append*")  # pyright: ignore[reportUnknownMemberType]
                    room = await server.config_get("maxmemory*")  # pyright: ignore[reportUnknownMemberType]
                except ResponseError:
                    return ()  # a service that hides its settings
        return lacks(kept | room)

    async def standing(self) -> tuple[int, int]:
        """Return how many sessions are watched, and how many of them are due."""
        with told():
            async with self.docket.redis() as server, server.pipeline() as pipeline:
                pipeline.zcard(self.docket.queue_key)
                pipeline.zcount(self.docket.queue_key, 0, datetime.now(UTC).timestamp())
                pipeline.xlen(self.docket.stream_key)
                parked, overdue, queued = await pipeline.execute()
        return parked + queued, overdue + queued


@contextmanager
def told() -> Generator[None]:
    """Have what goes wrong with the server leave as a `JournalError`, without what was said."""
    try:
        yield
    except RedisError as error:
        name = type(error).__name__
    else:
        return
    raise JournalError(f"the Redis or Valkey server did not do it: {name}")
