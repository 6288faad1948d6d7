"""A rate that machines share: each look takes the next place on the server's clock."""

import attrs
from redis.asyncio import Redis

# A look may begin so many microseconds after its place; then it has lost it. The pace leaves
# room for that, so that in no second more looks begin than the rate allows.
_LATE = 100_000
_PACE = 0.9
# The share of the pace that confirming reads have to themselves, so that they need not
# queue behind polls. They take whichever place comes first.
_URGENT = 0.1
_SECOND = 1_000_000

_RESERVE = """
local gap, held, urgent = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local share, late = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local nudged = redis.call('DEL', KEYS[2])
if gap == 0 then
    return {now, now, nudged}
end
if held > 0 and now <= held + late then
    return {held, now, nudged}
end
local queue, step = 'polls', gap / (1 - share)
local place = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'polls') or 0))
if urgent then
    local other = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'urgent') or 0))
    if other <= place then
        queue, step, place = 'urgent', gap / share, other
    end
end
redis.call('HSET', KEYS[1], queue, string.format('%.0f', place + step))
redis.call('PEXPIRE', KEYS[1], math.ceil((place - now) / 1000) + 60000)
return {place, now, nudged}
"""


@attrs.frozen
class Place:
    """
    When a look may begin.

    Attributes:
        at: The place, in microseconds of the server's clock.
        wait: Seconds until then.
        is_nudged: Whether somebody has nudged the session since the last look.
    """

    at: int
    wait: float
    is_nudged: bool

    def is_lost_after(self, seconds: float) -> bool:
        """Tell whether *seconds* from when it was given out are too late for it."""
        return seconds > self.wait + _LATE / _SECOND


@attrs.frozen
class SharedRate:
    """
    At most so many looks per second, by all workers together.

    Args:
        key: Where the server keeps it.
        per_second: Looks per second, confirming reads included; None for no limit.
    """

    key: str
    per_second: float | None

    async def reserve(self, server: Redis, nudges: str, *, held: int | None, urgent: bool) -> Place:
        """
        Keep a place for a look.

        Args:
            server: The Redis client.
            nudges: The key that says that the session is nudged; it is taken away.
            held: The place that is kept already.
            urgent: Whether it is a confirming read.
        """
        gap = 0.0 if self.per_second is None else _SECOND / (_PACE * self.per_second)
        arguments = (self.key, nudges, gap, held or 0, int(urgent), _URGENT, _LATE)
        at, now, nudged = await server.eval(_RESERVE, 2, *arguments)
        return Place(at=int(at), wait=max(0.0, (at - now) / _SECOND), is_nudged=bool(nudged))
