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

# A clock that is set back takes the places along that were given out by it; what is held from
# before then lies beyond all places, and is given up.
_RESERVE = """
local gap, held, urgent = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local share, late = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local nudged = redis.call('DEL', KEYS[2])
if gap == 0 then
    return {now, now, nudged}
end
local kept = redis.call('HMGET', KEYS[1], 'polls', 'urgent', 'now')
local polls, urgents = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
local back = tonumber(kept[3] or 0) - now
if back > late then
    polls, urgents = polls - back, urgents - back
    redis.call('HSET', KEYS[1], 'polls', string.format('%.0f', polls))
    redis.call('HSET', KEYS[1], 'urgent', string.format('%.0f', urgents))
end
redis.call('HSET', KEYS[1], 'now', string.format('%.0f', now))
if held > 0 and now <= held + late and held <= math.max(polls, urgents) then
    return {held, now, nudged}
end
local queue, step = 'polls', gap / (1 - share)
local place = math.max(now, polls)
if urgent then
    local other = math.max(now, urgents)
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
