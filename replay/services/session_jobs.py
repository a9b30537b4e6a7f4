"""Building sessions as jobs of the worker: ordered, watched and stopped through rows.

    job_id = start_build(options, user, SessionShelf(settings.DATA_DIR))
    build_status(job_id)        # {jobId, state, sessionId, progressPct, etaSeconds, error, …}

The build runs in a process of its own, `manage.py build_session --job ID` (`session_build_job`): it takes a
whole processor, and the worker has to go on beating. The process writes its row about once a second; a row
that is RUNNING and has not been written for `LOST_AFTER_S` is that of a dead process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from celery import current_app

from execution.domain.profile import execution_settings_of
from failover.services.config_view import config_in_use
from replay.domain.config import ReplayConfig
from replay.domain.sessions import (
    BuildReplayOptions,
    SessionFacts,
    SessionFees,
    SessionRefused,
    checked_options,
)
from replay.models import ENDED_STATES, JobState, ReplayJob, SessionBuild
from replay.services.job_process import run_command
from replay.services.session_rows import forget_row
from strategy.domain.profile import decision_config_of

BUILD_TASK = "buildSession"
LOST_AFTER_S = 30.0


class BuildStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One build as the API and the page show it."""

    job_id: int
    state: str
    session_id: str
    phase: str
    progress_pct: float
    events: int
    last_event_timestamp: str | None
    eta_seconds: float | None
    requested_by: str
    requested_at: str
    started_at: str | None
    ended_at: str | None
    error: dict[str, Any] | None  # {code, message, fields}


class SessionNames(Protocol):
    """What is taken, by name."""

    def exists(self, session_id: str) -> bool: ...


class DeletableSessions(SessionNames, Protocol):
    def delete_session(self, session_id: str) -> bool: ...


def start_build(options: BuildReplayOptions, user: str, store: SessionNames | None = None) -> int:
    """Check the order, keep it and hand it to the worker; returns the id for `build_status`.

    With a `store` a name that is taken is refused at once. `maxEvents` left out is the config's
    `replay.maxEventsPerSession`.
    Raises: SessionRefused (what can be known at once; QUEUE_DOWN), DatabaseError.
    """
    options = with_default_limit(options)
    checked_options(options)
    if store is not None and options.session_id is not None and store.exists(options.session_id):
        raise SessionRefused(
            "EXISTS",
            f"there is a session {options.session_id!r} already",
            {"sessionId": "is taken"},
        )
    build = SessionBuild.objects.create(
        session_id=options.session_id or "",
        options=msgspec.to_builtins(options),
        requested_by=user[:150],
        requested_at=datetime.now(UTC),
    )
    try:
        current_app.send_task(BUILD_TASK, [build.pk])
    except Exception as error:  # whatever the broker's client raises
        end_build(
            build.pk, JobState.FAILED, ("QUEUE_DOWN", "the worker's queue did not take it", {})
        )
        raise SessionRefused(
            "QUEUE_DOWN", f"the worker's queue is not reachable ({error}); nothing was started"
        ) from error
    return int(build.pk)


def build_status(job_id: int) -> BuildStatus | None:
    """None where there is no such build. A RUNNING one whose process is dead becomes LOST here."""
    build = SessionBuild.objects.filter(pk=job_id).first()
    if build is None:
        return None
    if build.state == JobState.RUNNING and _is_silent(build):
        end_build(
            job_id, JobState.LOST, ("LOST", "the building process is gone; order it again", {})
        )
        build.refresh_from_db()
    return _status(build)


def builds_under_way() -> list[BuildStatus]:
    """Oldest first."""
    rows = SessionBuild.objects.exclude(state__in=ENDED_STATES).order_by("pk")
    return [status for row in rows if (status := build_status(row.pk)) is not None]


def stop_build(job_id: int) -> bool:
    """Ask a build to end; False when it has ended already. One that waits ends at once."""
    waiting = SessionBuild.objects.filter(pk=job_id, state=JobState.QUEUED)
    if waiting.update(state=JobState.STOPPED, ended_at=datetime.now(UTC)):
        return True
    running = SessionBuild.objects.filter(pk=job_id, state=JobState.RUNNING)
    return bool(running.update(wanted_stop=True))


def delete_session(session_id: str, store: DeletableSessions) -> bool:
    """Remove a session and its row; False where there is none.

    Raises: SessionRefused (IN_USE while a replay of it is under way, STORAGE), DatabaseError.
    """
    if ReplayJob.objects.filter(session_id=session_id).exclude(state__in=ENDED_STATES).exists():
        raise SessionRefused("IN_USE", f"a replay of {session_id!r} is under way; stop it first")
    is_deleted = store.delete_session(session_id)
    forget_row(session_id)
    return is_deleted


def with_default_limit(options: BuildReplayOptions) -> BuildReplayOptions:
    if options.max_events is not None:
        return options
    section: ReplayConfig = config_in_use().document["replay"]
    return msgspec.structs.replace(options, max_events=section.max_events_per_session)


def facts_in_force() -> SessionFacts:
    """What a manifest says of the config at the time of building. Raises: BadConfigDocument."""
    document = config_in_use().document
    section: ReplayConfig = document["replay"]
    execution = execution_settings_of(document).config
    return SessionFacts(
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        speed_factor=section.default_speed_factor,
        config_version=decision_config_of(document).version,
        fees=SessionFees(
            maker_fee_bps=execution.maker_fee_bps, taker_fee_bps=execution.taker_fee_bps
        ),
    )


# -- on the worker's side --------------------------------------------------------------------------------


def run_build_process(job_id: int, should_stop: Callable[[], bool]) -> str:
    """What the task does: run the build in its process; returns the state it ended in."""
    code = run_command(_command(job_id), should_stop)
    if code:
        end_build(job_id, JobState.FAILED, ("DIED", f"its process ended with code {code}", {}))
    build = SessionBuild.objects.filter(pk=job_id).first()
    return str(build.state) if build is not None else ""


def _command(job_id: int) -> Sequence[str]:
    return ["build_session", "--job", str(job_id)]


def end_build(job_id: int, state: JobState, error: tuple[str, str, dict[str, str]]) -> None:
    """Unless it has ended already; `error` is (code, message, fields)."""
    code, message, fields = error
    SessionBuild.objects.filter(pk=job_id).exclude(state__in=ENDED_STATES).update(
        state=state,
        ended_at=datetime.now(UTC),
        error_code=code,
        error=message[:2000],
        error_fields=fields,
    )


def _is_silent(build: SessionBuild) -> bool:
    since = build.beat_at or build.started_at
    return since is not None and datetime.now(UTC) - since > timedelta(seconds=LOST_AFTER_S)


def _status(build: SessionBuild) -> BuildStatus:
    is_bad = build.state in (JobState.FAILED, JobState.LOST, JobState.STOPPED) and build.error_code
    return BuildStatus(
        job_id=build.pk,
        state=build.state,
        session_id=build.session_id,
        phase=build.phase,
        progress_pct=build.progress_pct,
        events=build.events,
        last_event_timestamp=build.last_event or None,
        eta_seconds=_eta_s(build),
        requested_by=build.requested_by,
        requested_at=_iso(build.requested_at) or "",
        started_at=_iso(build.started_at),
        ended_at=_iso(build.ended_at),
        error={"code": build.error_code, "message": build.error, "fields": build.error_fields}
        if is_bad
        else None,
    )


def _eta_s(build: SessionBuild) -> float | None:
    if build.state != JobState.RUNNING or build.started_at is None or build.progress_pct < 1:
        return None
    elapsed_s = (datetime.now(UTC) - build.started_at).total_seconds()
    return round(elapsed_s * (100 - build.progress_pct) / build.progress_pct, 1)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


__all__ = [
    "BUILD_TASK",
    "BuildStatus",
    "build_status",
    "builds_under_way",
    "delete_session",
    "end_build",
    "facts_in_force",
    "run_build_process",
    "start_build",
    "stop_build",
    "with_default_limit",
]
