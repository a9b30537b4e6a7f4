"""One replay job in a process of its own: claims it, beats, obeys, replays, and gives the run mode back.

The thread that replays does nothing else. Another one beats twice a second: it tells the database how far the
engine is, fetches what is wanted of it, and finds out when the job or the run mode is no longer ours, which
ends the engine. It may not write for as long as others wait for its beats (the database is away): then the
others have given it up, and it ends as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec
from django.db import (
    DatabaseError,
    InterfaceError,
    close_old_connections,
    connections,
    transaction,
)

from failover.domain.config import BadConfigDocument
from failover.domain.heartbeat import Heartbeat
from market.domain.recordings import BadRecording
from replay.domain.config import ReplayMode
from replay.domain.replay_status import RunReplayOptions
from replay.domain.sessions import SessionRefused
from replay.domain.switch_rules import reason_to_stay, still_live
from replay.models import JobState, ReplayJob
from replay.services import job_rows
from replay.services.engine import ReplayEngine, ReplayRefused
from replay.services.run_mode_rows import RunModeRows

logger = logging.getLogger(__name__)

BEAT_S = 0.5
_EXPECTED = (SessionRefused, ReplayRefused, BadRecording, BadConfigDocument, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParts:
    """What a job runs with. `heartbeats` are asked for by a shared one until all services have left LIVE."""

    make_engine: Callable[[ReplayJob], ReplayEngine]
    heartbeats: Callable[[], dict[str, Heartbeat]]
    execution_mode: str
    switch_timeout_s: float
    heartbeat_timeout_s: float


def run_job(job_id: int, parts: JobParts, stopping: threading.Event | None = None) -> str:
    """Run it to its end; returns its state, or "" where somebody else has it or had it.

    `stopping` ends it from outside (a signal). Raises only what is a defect of ours, after the job is FAILED.
    """
    job = job_rows.claim(job_id)
    if job is None:
        return ""
    holder = _Holder(job, parts, stopping or threading.Event())
    holder.start()
    try:
        state, error = _replayed(job, holder, parts)
    except BaseException as defect:
        holder.end(JobState.FAILED, f"{type(defect).__name__}: {defect}")
        raise
    return holder.end(state, error)


def _replayed(job: ReplayJob, holder: _Holder, parts: JobParts) -> tuple[JobState, str]:
    try:
        if not job.isolated:
            _leave_live(job, holder, parts)
        job = holder.take_orders()
        options = RunReplayOptions(
            speed_factor=job.wanted_speed,
            loop=job.wanted_loop,
            paused=job.wanted_pause,
            inject_mode=cast("ReplayMode", job.mode),
            from_ns=job.wanted_seek_ns,
        )
        holder.engine.run_session(job.session_id, options)
    except _EXPECTED as error:
        return JobState.FAILED, str(error)
    if holder.lost:
        return JobState.LOST, holder.lost
    return (JobState.STOPPED if holder.was_stopped else JobState.DONE), ""


def _leave_live(job: ReplayJob, holder: _Holder, parts: JobParts) -> None:
    """Wait until market has closed its connector and execution takes no entry, and look once more.

    Raises: ReplayRefused when that does not come about, or a LIVE position was opened in the last moment.
    """
    deadline_s = time.monotonic() + parts.switch_timeout_s
    while left := still_live(job.epoch, beats := parts.heartbeats()):
        if time.monotonic() > deadline_s:
            raise ReplayRefused(
                f"{' and '.join(left)} did not leave LIVE within {parts.switch_timeout_s:g} s"
            )
        if holder.over.wait(0.1):
            return
    if reason := reason_to_stay(parts.execution_mode, beats.get("execution")):
        raise ReplayRefused(f"LIVE is not left: {reason}")


class _Holder:
    """Keeps job and run mode while the engine works; the first end counts."""

    def __init__(self, job: ReplayJob, parts: JobParts, stopping: threading.Event) -> None:
        self.engine = parts.make_engine(job)
        self.lost = ""
        self.was_stopped = False
        self.over = threading.Event()  # the engine has been told to end
        self._job = job
        self._limit_s = parts.heartbeat_timeout_s
        self._stopping = stopping
        self._done = threading.Event()
        self._seen_order = job.order_number
        self._thread = threading.Thread(target=self._beat_forever, name="replay-beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take_orders(self) -> ReplayJob:
        """What was wanted until now is what the engine begins with; the rest is obeyed once it runs."""
        with transaction.atomic():
            waiting = ReplayJob.objects.filter(pk=self._job.pk)
            job = waiting.select_for_update().get()
            waiting.update(wanted_seek_ns=None)
        self._seen_order = job.order_number
        return job

    def end(self, state: JobState, error: str) -> str:
        """Say how it ended and give the run mode back."""
        self._done.set()
        self._thread.join()
        status = msgspec.to_builtins(self.engine.get_status())
        job_rows.note_end(self._job.pk, state, error=error, status=status)
        if self._job.epoch:
            RunModeRows().release(self._job.epoch)
        return str(state)

    def _beat_forever(self) -> None:
        beaten_s = time.monotonic()
        while not self._done.is_set():
            try:
                close_old_connections()
                self._beat()
                beaten_s = time.monotonic()
            except (DatabaseError, InterfaceError) as error:
                if time.monotonic() - beaten_s > self._limit_s:
                    self._lose(f"the database was away for too long: {error}")
            except Exception as defect:
                logger.exception("replay_beat_failed", extra={"job": self._job.pk})
                self._lose(f"{type(defect).__name__}: {defect}")
            if self._stopping.wait(BEAT_S) and not self.over.is_set():
                self._stop()
            if self.over.is_set():
                self._done.wait(BEAT_S)  # the signal stays set: no busy loop
        connections.close_all()

    def _beat(self) -> None:
        status = self.engine.get_status()
        if self._job.epoch and not RunModeRows().beat(
            self._job.epoch,
            speed_factor=status.speed_factor,
            paused=status.paused,
            market_ts=status.last_event_timestamp,
        ):
            self._lose("the run mode was given back to LIVE by somebody else")
        if not job_rows.note_beat(self._job.pk, msgspec.to_builtins(status)):
            self._lose("the job was ended by somebody else")
        self._obey()

    def _obey(self) -> None:
        job = ReplayJob.objects.get(pk=self._job.pk)
        if job.wanted_stop and not self.over.is_set():
            self._stop()
        engine = self.engine
        if job.order_number == self._seen_order or not engine.get_status().running:
            return
        self._seen_order = job.order_number
        engine.set_loop(job.wanted_loop)
        if engine.get_status().speed_factor != job.wanted_speed:
            engine.set_speed(job.wanted_speed)
        if job.wanted_seek_ns is not None:
            ReplayJob.objects.filter(pk=job.pk).update(wanted_seek_ns=None)
            engine.seek(job.wanted_seek_ns)
        if job.wanted_pause:
            engine.pause()
        else:
            engine.resume()

    def _stop(self) -> None:
        self.was_stopped = True
        self.over.set()
        self.engine.stop()

    def _lose(self, why: str) -> None:
        if not self.lost and not self._done.is_set():
            self.lost = why
            logger.error("replay_lost", extra={"job": self._job.pk, "reason": why})
            self.over.set()
            self.engine.stop()
