"""Connections to the bus (Redis or Valkey): one place for time limits and the protocol version."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_TIMEOUT_S = 2.0
SOCKET_TIMEOUT_S = 5.0
BLOCK_MS = 1_000  # of a blocking read; well below the socket's time limit


def connect_bus(url: str, *, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """A client for `redis://…`, `rediss://…` or `unix://…`, bytes in and out. It connects on first use.

    It never retries by itself: writers and readers of streams know what may be sent again.
    """
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
