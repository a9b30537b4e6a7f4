"""Whether the daily retention job does its work, judged by its last run (records.md, HealthSnapshot)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from monitoring.domain.lamps import ERROR, OK, WARN
from monitoring.domain.times import iso_of_ms

_HOUR_MS = 3_600_000
FIRST_RUN_WITHIN_HOURS = 24
STALE_AFTER_HOURS = 26  # it runs daily; two hours for a long run or a restart


class LastRetention(Struct, frozen=True, kw_only=True):
    """The last run that was no dry run. `failure`: why it ended without a report, "" where it did not."""

    run_id: str
    at_ms: int
    deleted: int
    kept: int
    errors: int
    freed_bytes: int
    failure: str = ""


class RetentionSeen(Struct, frozen=True, kw_only=True):
    """`first_start_ms`: when the system was started for the first time, None where it never was."""

    last: LastRetention | None
    first_start_ms: int | None = None


def retention_health(seen: RetentionSeen | None, now_ms: int) -> dict[str, Any]:
    """`{status, message, lastUpdateAt, details}`; `seen` is None when it cannot be asked."""
    last = seen.last if seen is not None else None
    status, message = _judge(seen, now_ms)
    return {
        "status": status,
        "lastUpdateAt": iso_of_ms(last.at_ms) if last is not None else None,
        "message": message,
        "details": {} if last is None else {
            "runId": last.run_id, "deleted": last.deleted, "kept": last.kept, "errors": last.errors,
            "freedBytes": last.freed_bytes,
        },
    }  # fmt: skip


def _judge(seen: RetentionSeen | None, now_ms: int) -> tuple[str, str]:
    if seen is None:
        return WARN, "unknown: the database does not answer"
    if seen.last is None:
        started_ms = now_ms if seen.first_start_ms is None else seen.first_start_ms
        if now_ms - started_ms <= FIRST_RUN_WITHIN_HOURS * _HOUR_MS:
            return OK, "not run yet"
        return WARN, f"not run in the {(now_ms - started_ms) // _HOUR_MS} h since the first start"
    return _judge_run(seen.last, now_ms)


def _judge_run(last: LastRetention, now_ms: int) -> tuple[str, str]:
    if last.failure:
        return ERROR, f"failed: {last.failure}"
    age_ms = now_ms - last.at_ms
    if age_ms > STALE_AFTER_HOURS * _HOUR_MS:
        return WARN, f"last run {age_ms // _HOUR_MS} h ago"
    if last.errors:
        return WARN, f"{last.errors} errors in the report of {last.run_id}"
    return OK, f"{last.deleted} files deleted, {last.kept} kept"
