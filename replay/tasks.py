"""Slow work of replay for Celery workers."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from celery import shared_task
from celery.worker import state
from celery.worker.state import revoked

from replay.adapters.session_paths import open_market_data
from replay.domain.backtest_parts import BacktestJob, PartResult
from replay.services.backtest_celery import TASK_NAME
from replay.services.backtest_run import Stopped
from replay.services.backtest_workers import run_jobs
from replay.services.job_process import run_in_process
from replay.services.profile_run import update_lines, update_profiles
from replay.services.profile_updater import Stopped as UpdateStopped
from replay.services.replay_jobs import REPLAY_TASK
from replay.services.session_jobs import BUILD_TASK, run_build_process

logger = logging.getLogger(__name__)


@shared_task(name=TASK_NAME, bind=True)
def backtest_job(self: Any, job: str) -> dict[str, Any]:
    """One job of a backtest, given and answered as JSON; the worker must see the same paths.

    It runs in a process of its own: the worker keeps its interpreter and its memory. Running twice gives
    the same answer. A revoked task stops between two chunks.
    """
    told = -1

    def show(read: int, total: int) -> None:
        nonlocal told
        if total and (percent := read * 100 // total) != told:
            told = percent
            self.update_state(state="PROGRESS", meta={"read": read})

    asked = msgspec.json.decode(job, type=BacktestJob)
    runs = run_jobs(
        [asked],
        open_market_data,
        processes=1,
        on_progress=show,
        should_stop=lambda: self.request.id in revoked,
    )
    try:
        ((_, outcome),) = runs
    except Stopped:
        return {"stopped": True}
    kind = "part" if isinstance(outcome, PartResult) else "failure"
    return {kind: msgspec.json.encode(outcome).decode()}


@shared_task(name="profileUpdater", bind=True)
def profile_updater(self: Any) -> dict[str, Any]:
    """Thresholds per symbol from the recordings of the last days, proposed with their evidence.

    The clock of the worker calls it daily. Running twice proposes once. It stops between two chunks when it
    is revoked or the worker drains; the next day's run makes up for it.
    """
    try:
        update = update_profiles(
            lambda day: open_market_data([day]),
            should_stop=lambda: self.request.id in revoked or _is_draining(),
        )
    except UpdateStopped:
        return {"stopped": True}
    for line in update_lines(update):
        logger.info("profile_updater", extra={"told": line})
    return {
        "version": update.version.pk if update.version else None,
        "symbols": sorted(update.proposal.changes),
        "notes": list(update.proposal.notes),
    }


def _is_draining() -> bool:
    """`failover.services.worker` and Celery itself put an exit code there."""
    return vars(state)["should_stop"] is not None


@shared_task(name=REPLAY_TASK, bind=True)
def replay_job(self: Any, job_id: int) -> str:
    """One replay, in a process of its own; returns the state it ended in.

    Delivered twice it runs once: a job is claimed before it begins. It stops when it is revoked or the
    worker drains.
    """
    return run_in_process(job_id, lambda: self.request.id in revoked or _is_draining())


@shared_task(name=BUILD_TASK, bind=True)
def build_session_job(self: Any, job_id: int) -> str:
    """One session build, in a process of its own; returns the state it ended in.

    Delivered twice it runs once. It stops when it is revoked or the worker drains.
    """
    return run_build_process(job_id, lambda: self.request.id in revoked or _is_draining())
