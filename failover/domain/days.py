"""UTC days by name, as the files of a day carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_PER_DAY = 86_400_000_000_000


def utc_day(ts_ns: int) -> str:
    """The UTC day of an instant in nanoseconds since the epoch, as `YYYY-MM-DD`."""
    return _day_name(ts_ns // NS_PER_DAY)


@lru_cache(maxsize=64)
def _day_name(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def iso_ms(ts_ns: int) -> str:
    """An instant in nanoseconds since the epoch as ISO-8601 UTC with ms: `2026-01-31T12:00:00.000Z`."""
    seconds, ms = divmod(ts_ns // 1_000_000, 1000)
    return f"{_iso_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _iso_second(seconds: int) -> str:
    """Up to the second; a record holds several times of about the same one."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
