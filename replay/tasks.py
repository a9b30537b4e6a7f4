"""Slow work of replay for Celery workers."""

from __future__ import annotations

from typing import Any

import msgspec
from celery import shared_task
from celery.worker.state import revoked

from replay.adapters import open_market_data
from replay.domain.backtest_parts import BacktestJob, PartResult
from replay.services.backtest_celery import TASK_NAME
from replay.services.backtest_run import Stopped
from replay.services.backtest_workers import run_jobs


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
