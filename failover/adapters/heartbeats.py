"""Signs of life on the bus: one expiring key per service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis

from failover.domain.heartbeat import Heartbeat

EXPIRES_S = 10


_DECODER = msgspec.msgpack.Decoder(Heartbeat)


def heartbeat_key(prefix: str, service: str) -> str:
    return f"{prefix}heartbeat:{service}"


async def write_heartbeat(client: Redis, prefix: str, beat: Heartbeat) -> None:
    """Raises: RedisError, OSError, TimeoutError when the bus does not take it."""
    await client.set(
        heartbeat_key(prefix, beat.service), msgspec.msgpack.encode(beat), ex=EXPIRES_S
    )


async def read_heartbeats(
    client: Redis, prefix: str, services: Iterable[str]
) -> dict[str, Heartbeat]:
    """The last beat of each service that has one (a service silent for `EXPIRES_S` has none)."""
    names = list(services)
    values: list[Any] = await client.mget([heartbeat_key(prefix, name) for name in names])
    return {
        name: _DECODER.decode(value)
        for name, value in zip(names, values, strict=True)
        if value is not None
    }
