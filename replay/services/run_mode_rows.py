"""The run mode in the database: one row, and every change of it conditional on what was seen.

rows = RunModeRows()
epoch = rows.take(job, ...)          # LIVE -> REPLAY; None: somebody else was faster
while rows.beat(epoch, ...): ...     # False: the row is no longer ours, end at once
rows.release(epoch)                  # REPLAY -> LIVE
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from failover.domain.run_mode import LIVE, RunMode
from replay.domain.config import ReplayConfig
from replay.models import ENDED_STATES, JobState, ReplayJob, RunModeRow

_ROW = 1
ENGINE_SILENT = "the engine gave no sign of life for too long; LIVE has returned"


class RunModeRows:
    """Keeps the row; all methods raise DatabaseError."""

    def read(self) -> RunMode:
        row = RunModeRow.objects.filter(pk=_ROW).first()
        return _mode(row) if row is not None else LIVE

    def take(self, job: ReplayJob, config: ReplayConfig) -> int | None:
        """Switch to REPLAY for `job`; returns the new epoch, or None where REPLAY is on already."""
        RunModeRow.objects.get_or_create(pk=_ROW)
        epoch = self.read().epoch
        with transaction.atomic():
            changed = _held(epoch, "LIVE").update(
                run_mode="REPLAY",
                epoch=epoch + 1,
                job=job,
                session_id=job.session_id,
                since=datetime.now(UTC),
                by=job.requested_by,
                beats=0,
                speed_factor=job.wanted_speed,
                paused=False,
                market_ts="",
                start_timeout_s=config.start_timeout_s,
                heartbeat_timeout_s=config.heartbeat_timeout_s,
            )
            if not changed:
                return None
            ReplayJob.objects.filter(pk=job.pk).update(epoch=epoch + 1)
        return epoch + 1

    def beat(
        self, epoch: int, *, speed_factor: float | None, paused: bool, market_ts: str | None
    ) -> bool:
        """A sign of life, with what the badge shows; False when the row is not held under `epoch`."""
        return bool(
            _held(epoch, "REPLAY").update(
                beats=F("beats") + 1,
                speed_factor=speed_factor,
                paused=paused,
                market_ts=market_ts or "",
            )
        )

    def holds(self, epoch: int) -> bool:
        return _held(epoch, "REPLAY").exists()

    def release(self, epoch: int) -> bool:
        """Back to LIVE; False when that has happened already."""
        return bool(_held(epoch, "REPLAY").update(**_live(epoch)))

    def give_up(self, seen: RunMode) -> bool:
        """Back to LIVE if nothing has changed since `seen`; its job is LOST then."""
        with transaction.atomic():
            still = _held(seen.epoch, "REPLAY").filter(beats=seen.beats)
            if not still.update(**_live(seen.epoch)):
                return False
            lost = ReplayJob.objects.filter(pk=seen.job_id).exclude(state__in=ENDED_STATES)
            lost.update(state=JobState.LOST, ended_at=datetime.now(UTC), error=ENGINE_SILENT)
        return True


def _held(epoch: int, run_mode: str) -> QuerySet[RunModeRow]:
    return RunModeRow.objects.filter(pk=_ROW, epoch=epoch, run_mode=run_mode)


def _live(epoch: int) -> dict[str, Any]:
    return {
        "run_mode": "LIVE", "epoch": epoch + 1, "job": None, "session_id": "", "by": "",
        "since": datetime.now(UTC), "beats": 0, "speed_factor": None, "paused": False, "market_ts": "",
    }  # fmt: skip


def _mode(row: RunModeRow) -> RunMode:
    return RunMode(
        run_mode="REPLAY" if row.run_mode == "REPLAY" else "LIVE",
        epoch=row.epoch,
        session_id=row.session_id,
        speed_factor=row.speed_factor,
        paused=row.paused,
        market_ts=row.market_ts or None,
        since=row.since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if row.since
        else None,
        by=row.by,
        job_id=row.job_id or 0,
        beats=row.beats,
        start_timeout_s=row.start_timeout_s,
        heartbeat_timeout_s=row.heartbeat_timeout_s,
    )
