"""What is active, for those who only show it: pages, lamps, reports."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.db import DatabaseError

from failover.domain.config_versions import ActiveConfig, StoredVersion, use_stored
from failover.services.config_files import load_configured
from failover.services.config_store import read_stored


def config_in_use() -> ActiveConfig:
    """The active version: `number`, `document`, and `problem` when it cannot be used (CONFIG_INVALID).

    Before the first start, and while the database is silent, the document that TRADING_CONFIG names
    (`number` 0). One query. Raises: BadConfigDocument when that document is what is wrong.
    """
    try:
        stored = read_stored()
    except DatabaseError:
        stored = None
    return _used(stored) if stored else ActiveConfig(document=load_configured(settings))


@lru_cache(maxsize=4)
def _used(stored: StoredVersion) -> ActiveConfig:
    return use_stored(stored)
