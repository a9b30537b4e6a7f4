"""News of an activation on the bus, so that services need not wait for their next look into the database."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from failover.adapters.streams import MessageCodec
from failover.domain.config_versions import StoredVersion

logger = logging.getLogger(__name__)

CONFIG_STREAM = "config.activations"
CONFIG_CODEC = MessageCodec(StoredVersion)
_TIMEOUT_S = 1.0
_KEPT = 100


def publish_activation(url: str, prefix: str, stored: StoredVersion) -> bool:
    """Tell every service; False when the bus is away (they look into the database as well)."""
    entry: dict[Any, Any] = {
        b"r": uuid.uuid4().hex[:16], b"n": 1, b"c": 1, b"d": CONFIG_CODEC.encode(stored),
    }  # fmt: skip
    client = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.xadd(prefix + CONFIG_STREAM, entry, maxlen=_KEPT, approximate=True)
    except (RedisError, OSError) as error:
        logger.warning("config_news_not_sent", extra={"reason": repr(error)})
        return False
    finally:
        client.close()
    return True
