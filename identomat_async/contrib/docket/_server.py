"""Whether a Redis or Valkey server keeps what it is told."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from identomat_async.errors import ConfigurationError

# The engine's own: its loop, its scheduler, leases, heartbeat, strikes, and our figures.
_OWN_CONNECTIONS = 8


def check_pool(url: str, concurrency: int) -> None:
    """
    See to it that as many looks as may be at a time can all speak with the server.

    Raises:
        ConfigurationError: They cannot, or *url* is none.
    """
    needed = concurrency + _OWN_CONNECTIONS
    try:
        has: int = ConnectionPool.from_url(url).max_connections  # pyright: ignore[reportUnknownMemberType]
    except (ValueError, RedisError):
        has = -1
    if has < 0:
        raise ConfigurationError("url must be that of a server, such as redis://localhost:6379/0")
    if has < needed:
        raise ConfigurationError(
            f"{concurrency} looks at a time need {needed} connections, and the pool has {has}: "
            f"add max_connections={needed} to the query of url"
        )


def lacks(settings: Mapping[Any, Any]) -> list[str]:
    """Return what to change for a server with *settings* to lose nothing, in words."""
    said = {_text(name): _text(value) for name, value in settings.items()}
    missing: list[str] = []
    if said.get("appendonly", "yes") != "yes":
        missing.append("appendonly yes (a restart loses what is watched)")
    elif said.get("appendfsync", "always") == "no":
        missing.append("appendfsync always or everysec (a crash loses half a minute)")
    is_bounded = said.get("maxmemory", "0") != "0"
    if is_bounded and said.get("maxmemory-policy", "noeviction") != "noeviction":
        missing.append("maxmemory-policy noeviction (a full server drops what is watched)")
    return missing


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
