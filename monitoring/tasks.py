"""Slow work of monitoring for Celery workers."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from celery.worker import state
from celery.worker.state import revoked

from monitoring.services.retention import (
    AlreadyRunning,
    configured_retention,
    keep_failure,
    keep_report,
    run_retention,
)

logger = logging.getLogger(__name__)


@shared_task(name="retention", bind=True)
def retention(self: Any) -> dict[str, Any]:
    """Delete what is old and needed by nothing; the clock of the worker calls it daily.

    Running twice deletes nothing more. It stops between two files when it is revoked or the worker drains;
    the next run goes on.
    """
    try:
        config = configured_retention()
        report = run_retention(
            config=config, should_stop=lambda: self.request.id in revoked or _is_draining()
        )
    except AlreadyRunning as error:
        return {"refused": f"another retention run is at it (pid {error})"}
    except Exception as error:
        if reason := keep_failure(error):
            logger.error("retention_report_not_kept", extra={"reason": reason})
        raise
    if reason := keep_report(report, config):
        logger.error("retention_report_not_kept", extra={"reason": reason})
    return {
        "runId": report.run_id,
        "deleted": len(report.deleted_files),
        "kept": len(report.kept_files),
        "errors": len(report.errors),
    }


def _is_draining() -> bool:
    """`failover.services.worker` and Celery itself put an exit code there."""
    return vars(state)["should_stop"] is not None
