"""Ordering replays: what may start, what is under way, what is wanted of it. The engine is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction
from redis.exceptions import RedisError

from failover.adapters.bus import connect_bus
from failover.adapters.heartbeats import read_heartbeats
from failover.domain.heartbeat import Heartbeat
from failover.services.config_view import config_in_use
from replay.domain.config import ReplayConfig, ReplayMode
from replay.domain.sessions import ReplayManifest
from replay.domain.switch_rules import LEAVING, reason_to_stay
from replay.models import ENDED_STATES, JobState, ReplayJob
from replay.services import job_rows
from replay.services.run_mode_rows import RunModeRows

logger = logging.getLogger(__name__)

REPLAY_TASK = "replayJob"


class ReplayNotNow(Exception):
    """The order is sound and the state of things forbids it; `code` and text say what."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """One replay as it was asked for; `speed` None = as fast as it goes."""

    session_id: str
    mode: ReplayMode
    speed: float | None
    by: str
    loop: bool = False
    paused: bool = False
    isolated: bool = False
    from_ns: int | None = None
    config: str = "active"


def replay_config() -> ReplayConfig:
    """The section in force."""
    section: ReplayConfig = config_in_use().document["replay"]
    return section


def start(order: RunOrder, manifest: ReplayManifest, send: Callable[[int], None]) -> ReplayJob:
    """Make the job and `send` it to the worker; a shared one switches the system to REPLAY at once.

    Raises: ReplayNotNow, DatabaseError; nothing has changed then.
    """
    config = replay_config()
    _check(order, config, manifest)
    job = _job(order)
    if not order.isolated:
        _switch(job, config)
    try:
        send(job.pk)
    except Exception as error:  # whatever the broker's client raises
        _undo(job, f"the worker's queue did not take it: {error}")
        raise ReplayNotNow(
            "QUEUE_DOWN", "The worker's queue is not reachable; nothing was started."
        ) from error
    return ReplayJob.objects.get(pk=job.pk)


def _check(order: RunOrder, config: ReplayConfig, manifest: ReplayManifest) -> None:
    if not config.enabled:
        raise ReplayNotNow("REPLAY_DISABLED", "Replays are switched off (config: replay.enabled).")
    if order.from_ns is not None and not manifest.from_ns <= order.from_ns < manifest.to_ns:
        raise ReplayNotNow("OUTSIDE_SESSION", "`from` is outside the session's range.")
    if order.isolated:
        running = sum(job.isolated for job in job_rows.under_way())
        if running >= config.max_isolated_runs:
            raise ReplayNotNow(
                "TOO_MANY_RUNS", f"{running} isolated replays are under way; that is the limit."
            )
        return
    environment = settings.ENVIRONMENT
    beats = heartbeats() if environment.execution_mode == "LIVE" else {}
    if reason := reason_to_stay(environment.execution_mode, beats.get("execution")):
        raise ReplayNotNow("POSITION_OPEN", f"LIVE is not left: {reason}.")


def heartbeats() -> dict[str, Heartbeat]:
    """Those of the services that must follow a switch; empty while the bus is away."""
    try:
        return async_to_sync(_heartbeats)()
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning("heartbeats_unreadable", extra={"reason": str(error)})
        return {}


async def _heartbeats() -> dict[str, Heartbeat]:
    client = connect_bus(settings.REDIS_URL)
    try:
        return await read_heartbeats(client, settings.BUS_PREFIX, LEAVING)
    finally:
        await client.aclose()


def _job(order: RunOrder) -> ReplayJob:
    return ReplayJob.objects.create(
        session_id=order.session_id,
        mode=order.mode,
        isolated=order.isolated,
        requested_by=order.by[:150],
        requested_at=datetime.now(UTC),
        config=order.config,
        wanted_speed=order.speed,
        wanted_loop=order.loop,
        wanted_pause=order.paused,
        wanted_seek_ns=order.from_ns,
    )


def _switch(job: ReplayJob, config: ReplayConfig) -> None:
    rows = RunModeRows()
    if rows.take(job, config) is None:
        held = rows.read()
        job.delete()
        raise ReplayNotNow(
            "REPLAY_RUNNING", f"Session {held.session_id} is being replayed already; stop it first."
        )


def _undo(job: ReplayJob, why: str) -> None:
    job.refresh_from_db()
    with transaction.atomic():
        job_rows.note_end(job.pk, JobState.FAILED, error=why)
        RunModeRows().release(job.epoch)


# -- what is under way ------------------------------------------------------------------------------------


def shared_job() -> ReplayJob | None:
    """The one that holds the run mode, or None in LIVE."""
    mode = RunModeRows().read()
    return ReplayJob.objects.filter(pk=mode.job_id).first() if mode.is_replay else None


def job_of(job_id: int | None) -> ReplayJob:
    """The job an order is meant for: the one named, or the shared one. Raises: ReplayNotNow."""
    if job_id is None:
        job = shared_job()
        if job is None:
            raise ReplayNotNow("NOTHING_RUNNING", "No replay is running in the shared system.")
        return job
    job = ReplayJob.objects.filter(pk=job_id).first()
    if job is None or job.state in ENDED_STATES:
        raise ReplayNotNow("NOTHING_RUNNING", f"Replay {job_id} is not under way.")
    return job


def command(job: ReplayJob, **wanted: Any) -> None:
    """Say what is wanted of the engine from now on. Raises: ReplayNotNow when it has just ended."""
    if not job_rows.order(job.pk, **wanted):
        raise ReplayNotNow("NOTHING_RUNNING", f"Replay {job.pk} has just ended.")


def stop(job: ReplayJob) -> None:
    """End it: an engine under way ends after its piece at hand; one not begun never begins.

    Raises: ReplayNotNow when it has just ended.
    """
    with transaction.atomic():
        waiting = ReplayJob.objects.filter(pk=job.pk, state=JobState.QUEUED)
        if waiting.update(
            state=JobState.STOPPED, ended_at=datetime.now(UTC), error="stopped before it began"
        ):
            RunModeRows().release(job.epoch)
            return
    command(job, wanted_stop=True)


def is_in_use(session_id: str) -> bool:
    """Whether a replay of it is under way: it must not be deleted then."""
    return any(job.session_id == session_id for job in job_rows.under_way())
