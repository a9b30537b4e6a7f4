"""What is shown of replays: the status of the shared one, those beside it, and all runs there were."""

from __future__ import annotations

from typing import Any

import msgspec

from failover.domain.run_mode import RunMode
from replay.domain.replay_status import IDLE
from replay.models import ENDED_STATES, JobState, ReplayJob, ReplayRun
from replay.services import job_rows
from replay.services.run_mode_rows import RunModeRows

_IDLE: dict[str, Any] = msgspec.to_builtins(IDLE)
_NOT_BEGUN = (JobState.QUEUED, JobState.STARTING)


def run_mode() -> RunMode:
    return RunModeRows().read()


def status() -> dict[str, Any]:
    """ReplayStatus of the shared replay; after its end, of the last one with how it ended."""
    mode = run_mode()
    jobs = ReplayJob.objects.filter(isolated=False)
    job = jobs.filter(pk=mode.job_id).first() if mode.is_replay else jobs.order_by("-pk").first()
    beside = [job_status(other) for other in job_rows.under_way() if other.isolated]
    return {**job_status(job), "runMode": mode.run_mode, "isolated": beside}


def job_status(job: ReplayJob | None) -> dict[str, Any]:
    """What the engine last said, corrected by what the job says since."""
    if job is None:
        return {**_IDLE, "jobId": None, "state": None}
    is_over = job.state in ENDED_STATES
    said = job.status or {}
    return {
        **_IDLE,
        **({"speedFactor": job.wanted_speed, "loop": job.wanted_loop} if not said else {}),
        **said,
        "sessionId": job.session_id,
        "mode": job.mode,
        "running": not is_over and job.state not in _NOT_BEGUN,
        **({"etaSeconds": None, "paused": False} if is_over else {}),
        "error": job.error or None,
        "jobId": job.pk,
        "state": str(job.state),
    }


def runs(session_id: str | None, first: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """Runs, newest first, those of the command line included, and how many there are.

    A job that failed before its first lap is shown as well: somebody asked for it.
    """
    kept, failed = ReplayRun.objects.all(), ReplayJob.objects.filter(run_ids=[])
    if session_id is not None:
        kept = kept.filter(report__sessionId=session_id)
        failed = failed.filter(session_id=session_id)
    failed = failed.filter(state__in=(JobState.FAILED, JobState.LOST))
    rows = [run_row(run) for run in kept.order_by("-created_at")[: first + most]]
    rows += [_failed_row(job) for job in failed.order_by("-pk")[: first + most]]
    rows.sort(key=lambda row: row["createdAt"], reverse=True)
    return rows[first : first + most], kept.count() + failed.count()


def run_row(run: ReplayRun) -> dict[str, Any]:
    report = run.report or {}
    return {
        "runId": run.run_id,
        "createdAt": run.created_at,
        "sessionId": report.get("sessionId"),
        "recording": run.recording,
        "mode": run.mode,
        "state": "DONE" if run.complete else "STOPPED",
        "symbols": run.symbols,
        "from": run.range_from,
        "to": run.range_to,
        "configVersion": run.config_version,
        "events": run.messages,
        "orders": run.orders,
        "fills": run.fills,
        "trades": run.trades,
        "netPnl": run.net_pnl_usdt,
        "fees": run.fees_usdt,
        "maxDrawdown": (report.get("metrics") or {}).get("maxDrawdown"),
        "elapsedSeconds": run.elapsed_s,
        "digest": run.digest,
        "error": "",
    }


def _failed_row(job: ReplayJob) -> dict[str, Any]:
    nothing = dict.fromkeys(("events", "orders", "fills", "trades"), 0)
    money = dict.fromkeys(("netPnl", "fees", "elapsedSeconds"), 0.0)
    return {
        "runId": "", "createdAt": job.requested_at, "sessionId": job.session_id, "recording": "",
        "mode": job.mode, "state": str(job.state), "symbols": [], "from": None, "to": None,
        "configVersion": "", **nothing, **money, "maxDrawdown": None, "digest": "",
        "error": job.error,
    }  # fmt: skip
