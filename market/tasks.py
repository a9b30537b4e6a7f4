"""Slow work of market for Celery workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import shared_task
from celery.worker import state
from celery.worker.state import revoked
from django.conf import settings

from failover.services.config_reader import active_document
from market.adapters.recording_archiver import archived_bytes
from market.adapters.recording_check import Stopped
from market.adapters.recording_job import archive_finished_days


@shared_task(name="archiveRecordings", bind=True)
def archive_recordings(self: Any) -> dict[str, Any]:
    """Check, index and compress the recorded files of finished days; the clock of the worker calls it daily.

    Running twice does nothing more: what was compressed has no plain file. It stops between two blocks when
    it is revoked or the worker drains; the next run goes on.
    """
    document = active_document()
    config = document["recording"]
    if not config.compress_finished_days:
        return {"disabled": True}
    days = []
    try:
        for day in archive_finished_days(
            Path(settings.DATA_DIR) / "market",
            config,
            document["market"],
            source="JOB",
            should_stop=lambda: self.request.id in revoked or _is_draining(),
        ):
            days.append(day)  # noqa: PERF402  (what was done before a stop counts)
    except Stopped:
        return {"stopped": True, "days": [day.day for day in days]}
    before, after = archived_bytes(days)
    return {
        "days": [day.day for day in days],
        "bytes": before,
        "compressedBytes": after,
        "notClean": [day.day for day in days if not day.report.is_clean],
    }


def _is_draining() -> bool:
    """`failover.services.worker` and Celery itself put an exit code there."""
    return vars(state)["should_stop"] is not None
