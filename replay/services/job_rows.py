"""Replay jobs in the database: what is wanted of an engine, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db.models import F

from replay.models import ENDED_STATES, JobState, ReplayJob


def claim(job_id: int) -> ReplayJob | None:
    """QUEUED -> STARTING, once: None where the job is not (or no longer) waiting to be started."""
    waiting = ReplayJob.objects.filter(pk=job_id, state=JobState.QUEUED)
    if not waiting.update(state=JobState.STARTING, started_at=datetime.now(UTC)):
        return None
    return ReplayJob.objects.get(pk=job_id)


def under_way() -> Iterable[ReplayJob]:
    """Jobs that have not ended, oldest first."""
    return ReplayJob.objects.exclude(state__in=ENDED_STATES).order_by("pk")


def note_run(job_id: int, run_id: str, most: int) -> list[str]:
    """A lap begins; returns the older laps that go, so that `most` stay."""
    job = ReplayJob.objects.get(pk=job_id)
    run_ids = [*job.run_ids, run_id]
    _alive(job_id).update(state=JobState.RUNNING, run_id=run_id, run_ids=run_ids[-most:])
    return run_ids[:-most]


def note_beat(job_id: int, status: dict[str, Any]) -> bool:
    """How far it is; False when the job was ended by somebody else meanwhile."""
    return bool(_alive(job_id).update(status=status, beats=F("beats") + 1))


def note_end(job_id: int, state: JobState, *, error: str = "", status: Any = None) -> bool:
    """The first end counts; False when there was one before."""
    ended: dict[str, Any] = {"state": state, "ended_at": datetime.now(UTC), "error": error[:2000]}
    if status is not None:
        ended["status"] = status
    return bool(_alive(job_id).update(**ended))


def order(job_id: int, **wanted: Any) -> bool:
    """Say what is wanted of the engine from now on; False when the job has ended."""
    return bool(_alive(job_id).update(order_number=F("order_number") + 1, **wanted))


def _alive(job_id: int) -> Any:
    return ReplayJob.objects.filter(pk=job_id).exclude(state__in=ENDED_STATES)
