"""A rate that machines share: each look takes the next place on the server's clock."""

import math

import attrs
from redis.asyncio import Redis

_SECOND = 1_000_000
# A look may begin so many microseconds after its place; then it has lost it. And a busy
# machine may take that much longer from there to the request.
_LATE, _BUSY = 100_000, 50_000
# The share of the rate that confirming reads have to themselves, so that they need not
# queue behind polls: they take whichever place comes first. Who has lost a place, for no fault
# of its own, takes one of theirs if it is free at once: at the end of the queue it could lose
# one after the other. But after a restart all have lost theirs, and may not form a queue there.
_URGENT = 0.1

# A clock that is set back takes the places along that were given out by it; what is held from
# before then lies beyond all places, and is given up.
_RESERVE = """
local gap, urgent_gap = tonumber(ARGV[1]), tonumber(ARGV[2])
local held, urgent, late = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local after = tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local nudged = redis.call('DEL', KEYS[2])
if after > 0 and (nudged == 1 or urgent) then
    return {0, now, nudged}
end
if gap == 0 then
    return {after > 0 and 0 or now, now, nudged}
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
if after > 0 and polls <= now + after then
    return {0, now, nudged}
end
local queue, step = 'polls', gap
local place = math.max(now, polls)
if urgent_gap > 0 and (urgent or (held > 0 and urgents <= now)) then
    local other = math.max(now, urgents)
    if other <= place then
        queue, step, place = 'urgent', urgent_gap, other
    end
end
redis.call('HSET', KEYS[1], queue, string.format('%.0f', place + step))
redis.call('PEXPIRE', KEYS[1], math.ceil((place - now) / 1000) + 60000)
return {place, now, nudged}
"""


def gaps(per_second: float | None) -> tuple[float, float]:
    """
    Return the microseconds between the places of polls, and between those of urgent reads.

    In no second more looks begin than *per_second*, though each may begin late; the second
    is 0 if urgent reads have no places of their own, and both are without a limit.
    """
    if per_second is None:
        return 0.0, 0.0
    if per_second < 2:  # noqa: PLR2004 - not enough for two queues
        return max(_SECOND, _SECOND / per_second) + _LATE + _BUSY, 0.0
    # Late as they may be, so many begin within a second as have places within a little more.
    span, whole = _SECOND + _LATE + _BUSY, math.floor(per_second)
    urgent = max(1, math.floor(per_second * _URGENT))
    return span / (whole - urgent), span / urgent


@attrs.frozen
class Place:
    """
    When a look may begin.

    Attributes:
        at: The place, in microseconds of the server's clock; 0 for none.
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

    async def reserve(
        self, server: Redis, nudges: str, *, held: int | None, urgent: bool, after: float = 0.0
    ) -> Place:
        """
        Keep a place for a look.

        Args:
            server: The Redis client.
            nudges: The key that says that the session is nudged; it is taken away.
            held: The place that is kept already.
            urgent: Whether it is a confirming read.
            after: Seconds that the look is not due for: there is a place only if the queue
                is that long, and none for who has been nudged.
        """
        facts = (held or 0, int(urgent), _LATE, math.ceil(after * _SECOND))
        arguments = (self.key, nudges, *gaps(self.per_second), *facts)
        at, now, nudged = await server.eval(_RESERVE, 2, *arguments)
        return Place(at=int(at), wait=max(0.0, (at - now) / _SECOND), is_nudged=bool(nudged))
