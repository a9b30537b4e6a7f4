"""Times as the records write them: ISO-8601 UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_of_ms(ts_ms: int) -> str:
    """`2026-01-02T03:04:05.678Z` for epoch milliseconds."""
    moment = datetime.fromtimestamp(ts_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts_ms % 1000:03d}Z"


def ms_of_iso(text: str) -> int:
    """Epoch milliseconds of an ISO-8601 time. Raises ValueError when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
