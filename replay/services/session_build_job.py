"""The process of one ordered build: it claims the row, builds, and writes how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import DatabaseError, close_old_connections, connections
from django.db.models import Q

from failover.domain.days import iso_ms
from replay.domain.sessions import BuildProgress, BuildReplayOptions, ReplayManifest, SessionRefused
from replay.models import JobState, SessionBuild
from replay.ports import SessionFiles
from replay.services.session_build import build_session
from replay.services.session_jobs import LOST_AFTER_S, end_build, facts_in_force
from replay.services.session_rows import keep_row

BEAT_EVERY_S = 1.0


def run_build(
    job_id: int, store: SessionFiles, *, should_stop: Callable[[], bool] = lambda: False
) -> str:
    """What the process does; returns the state the build ended in, "" where somebody else has it."""
    build = _claim(job_id)
    if build is None:
        return ""
    beat = _Beat(job_id)
    try:
        options = msgspec.convert(build.options, BuildReplayOptions)
        with beat:
            manifest = build_session(
                options,
                store,
                on_progress=beat.note,
                should_stop=lambda: beat.is_stop_wanted or should_stop(),
                facts=facts_in_force(),
            )
        keep_row(manifest)
    except SessionRefused as refused:
        state = JobState.STOPPED if refused.code == "STOPPED" else JobState.FAILED
        end_build(job_id, state, (refused.code, refused.message, refused.fields))
        return str(state)
    except BaseException as defect:
        end_build(job_id, JobState.FAILED, ("DEFECT", f"{type(defect).__name__}: {defect}", {}))
        raise
    _finish(job_id, manifest)
    return str(JobState.DONE)


def _claim(job_id: int) -> SessionBuild | None:
    """Once; also from a process that died: the task is then delivered again."""
    now = datetime.now(UTC)
    silent = Q(state=JobState.RUNNING, beat_at__lt=now - timedelta(seconds=LOST_AFTER_S))
    free = SessionBuild.objects.filter(Q(state=JobState.QUEUED) | silent, pk=job_id)
    if not free.update(state=JobState.RUNNING, started_at=now, beat_at=now):
        return None
    return SessionBuild.objects.get(pk=job_id)


class _Beat:
    """Writes the row about once a second, from a thread: the database never holds up the build."""

    def __init__(self, job_id: int) -> None:
        self.is_stop_wanted = False
        self._job_id = job_id
        self._progress: BuildProgress | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="build-beat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def note(self, progress: BuildProgress) -> None:
        self._progress = progress

    def _run(self) -> None:
        while not self._done.wait(BEAT_EVERY_S):
            try:
                close_old_connections()
                self._write()
            except DatabaseError:
                continue  # the next beat may come through; the build itself needs no database
        connections.close_all()

    def _write(self) -> None:
        values: dict[str, Any] = {"beat_at": datetime.now(UTC)}
        if (progress := self._progress) is not None:
            values |= _progress_values(progress)
        running = SessionBuild.objects.filter(pk=self._job_id, state=JobState.RUNNING)
        if not running.update(**values) or running.filter(wanted_stop=True).exists():
            self.is_stop_wanted = True


def _progress_values(progress: BuildProgress) -> dict[str, Any]:
    return {
        "session_id": progress.session_id,
        "phase": progress.phase,
        "progress_pct": progress.progress_pct,
        "events": progress.events,
        "last_event": progress.last_event_timestamp or "",
    }


def _finish(job_id: int, manifest: ReplayManifest) -> None:
    SessionBuild.objects.filter(pk=job_id, state=JobState.RUNNING).update(
        state=JobState.DONE,
        session_id=manifest.session_id,
        phase="DONE",
        progress_pct=100.0,
        events=manifest.total_events,
        last_event=iso_ms(manifest.recorder_runs[-1].last_ts),
        ended_at=datetime.now(UTC),
    )
