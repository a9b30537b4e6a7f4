"""Times as the records write them: ISO-8601 UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from failover.domain.days import iso_ms


def iso_of_ms(ts_ms: int) -> str:
    """`2026-01-02T03:04:05.678Z` for epoch milliseconds."""
    return iso_ms(ts_ms * 1_000_000)


def ms_of_iso(text: str) -> int:
    """Epoch milliseconds of an ISO-8601 time. Raises ValueError when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
