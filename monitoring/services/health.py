"""The system's health as one record, and the file that others read it from."""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import datetime
from typing import Any

import psutil
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from failover.adapters.archive import Archive
from failover.models import ConfigActivation
from failover.services.archive_place import active_logging
from market.models import RecordingCheckRun
from monitoring.domain.health import health_snapshot
from monitoring.domain.retention_health import LastRetention, RetentionSeen
from monitoring.models import RetentionRun
from monitoring.services import live

EVERY_S = 1.0
_process = psutil.Process()


def current_health() -> dict[str, Any]:
    """HealthSnapshot (records.md), made from the last heartbeats and this process's own measurements."""
    view = live.bus_view()
    resources = {
        "cpuPct": psutil.cpu_percent(),
        "rssMb": round(_process.memory_info().rss / 1e6, 1),
        "diskFreePct": _disk_free_pct(),
        "busLagMs": None if view.bus_lag_ms is None else round(view.bus_lag_ms, 2),
        "dbLatencyMs": _database_latency_ms(),
    }
    return health_snapshot(view.beats, live.now_ms(), resources, data_quality(), retention_seen())


def data_quality() -> dict[str, Any] | None:
    """What the last check of recorded files found; None when there was none yet, or no database."""
    try:
        row = RecordingCheckRun.objects.first()
    except DatabaseError:
        return None
    if row is None:
        return None
    return {
        "checkedAt": row.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "path": row.path,
        "errors": row.errors,
        "warnings": row.warnings,
        "problems": row.problems,
    }


def retention_seen() -> RetentionSeen | None:
    """The last run of the retention job that was no dry run; None when the database does not answer."""
    try:
        runs = RetentionRun.objects.filter(dry_run=False).defer("report")
        row = runs.order_by("-timestamp", "-pk").first()
        if row is None:
            return RetentionSeen(last=None, first_start_ms=_first_start_ms())
    except DatabaseError:
        return None
    last = LastRetention(
        run_id=row.run_id,
        at_ms=_ms(row.timestamp),
        deleted=row.deleted,
        kept=row.kept,
        errors=row.errors,
        freed_bytes=row.freed_bytes,
        failure=row.failure,
    )
    return RetentionSeen(last=last)


def _first_start_ms() -> int | None:
    """The first start activates the first version of the trading config. Raises: DatabaseError."""
    first = ConfigActivation.objects.order_by("sequence").first()
    return None if first is None else _ms(first.activated_at)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


async def keep_health_file() -> None:
    """Write `system/health_snapshot.json` through the archive every second until cancelled."""
    logging = await asyncio.to_thread(active_logging)
    archive = Archive(logging.folder(settings.DATA_DIR), logging)
    try:
        while True:
            archive.write_health_snapshot(await asyncio.to_thread(_measured))
            await asyncio.sleep(EVERY_S)
    finally:
        archive.close(timeout_s=1.0)


def _measured() -> dict[str, Any]:
    close_old_connections()
    return current_health()


def _disk_free_pct() -> float | None:
    try:
        usage = shutil.disk_usage(settings.DATA_DIR)
    except OSError:
        return None
    return round(usage.free / usage.total * 100, 1)


def _database_latency_ms() -> float | None:
    started_s = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return None
    return round((time.perf_counter() - started_s) * 1000, 2)
