"""Builds a replay from names and paths, and an engine from a job."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from django.conf import settings

from execution.domain.profile import ExecutionSettings, execution_settings_of
from failover.services.config_reader import load_config
from replay.adapters.replay_bus import Broadcast, ReplayBus
from replay.adapters.run_files import RunFiles
from replay.adapters.run_rows import save_run
from replay.adapters.session_store import SessionStore
from replay.domain.config import ReplayMode
from replay.models import ReplayJob
from replay.services.engine import EngineParts, Lap, ReplayEngine, RunLap
from replay.services.job_run import JobParts
from replay.services.lap_runs import full_decision, scoring_only
from replay.services.lap_verify import verification
from replay.services.laps_kept import LapsKept
from replay.services.replay_jobs import heartbeats, replay_config
from replay.services.session_open import open_session
from replay.services.warm_up import warm_up
from strategy.domain.config import DecisionConfig
from strategy.domain.profile import decision_config_of


def load_settings(name: str) -> tuple[DecisionConfig, ExecutionSettings]:
    """What strategy and execution run on under `name`: a document, a file, `active` or `v7`.

    Raises: BadConfigDocument with every error.
    """
    document = load_config(name)
    return decision_config_of(document), execution_settings_of(document)


def job_parts() -> JobParts:
    """What `manage.py replay_job` runs with."""
    config = replay_config()
    return JobParts(
        make_engine=make_engine,
        heartbeats=heartbeats,
        execution_mode=settings.ENVIRONMENT.execution_mode,
        switch_timeout_s=config.switch_timeout_s,
        heartbeat_timeout_s=config.heartbeat_timeout_s,
    )


def make_engine(job: ReplayJob) -> ReplayEngine:
    """An engine for one job: an isolated one has no way to the bus, a shared one only to its namespace."""
    store = SessionStore(settings.DATA_DIR)
    laps = LapsKept(job.pk, settings.DATA_DIR / "replay" / "runs", replay_config().loop_runs_kept)

    def on_lap(lap: Lap) -> AbstractContextManager[Lap]:
        laps.begin(lap.run_id)
        if job.isolated:
            return nullcontext(lap)
        return told_on_bus(lap, settings.REDIS_URL, settings.BUS_PREFIX)

    if job.wanted_speed is not None and job.mode != "VERIFY":
        warm_up()

    return ReplayEngine(
        EngineParts(
            require_session=store.require,
            open_session=lambda name, start_ns: open_session(store, name, start_ns=start_ns),
            modes=_modes(job),
            runs_dir=laps.folder,
            new_run_id=lambda: f"p{uuid.uuid4().hex[:10]}",
            on_lap=on_lap,
            on_result=lambda report: laps.end(save_run(report)),
        )
    )


def _modes(job: ReplayJob) -> dict[ReplayMode, RunLap]:
    def load() -> tuple[DecisionConfig, ExecutionSettings]:
        return load_settings(job.config)

    return {
        "FULL_DECISION": full_decision(load, RunFiles, telemetry=not job.isolated),
        "SCORING_ONLY": scoring_only(
            load, lambda folder, run_id: RunFiles(folder, run_id, ("scores",))
        ),
        "VERIFY": verification(
            settings.DATA_DIR, lambda folder, run_id: RunFiles(folder, run_id, ())
        ),
    }


@contextmanager
def told_on_bus(lap: Lap, url: str, prefix: str) -> Iterator[Lap]:
    """The lap with an observer that tells the bus, under the replay's own namespace below `prefix`."""
    bus = ReplayBus(url, prefix, lap.run_id)
    bus.start()
    try:
        broadcast = Broadcast(bus, lap.data.instruments)
        try:
            yield replace(
                lap,
                observers=(*lap.observers, broadcast),
                on_kernel=broadcast.on_kernel,
                on_piece=broadcast.on_piece,
            )
        finally:
            broadcast.flush()
    finally:
        bus.close()
