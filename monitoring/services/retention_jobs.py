"""What replays and builds of sessions that are under way need: asked of their rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
from django.db import DatabaseError

from failover.domain.days import utc_day
from market.adapters.recording_files import is_day
from monitoring.domain.retention_places import FOLDER_OF, Rule
from replay.domain.sessions import BuildReplayOptions, parse_instant
from replay.models import ENDED_STATES, ReplayJob, RunModeRow, SessionBuild
from replay.services.session_jobs import builds_under_way

JOB_RULES = (Rule.REPLAY_SESSIONS, Rule.REPLAY_RUNS, Rule.JOURNAL, Rule.RAW_MARKET)
_PRIMING_NS = timedelta(days=1) // timedelta(microseconds=1) * 1000  # books are primed from before


def paths_of_jobs(data_dir: Path, unknown: dict[Rule, str]) -> dict[str, str]:
    """Paths below the data folder and who needs them; rules that cannot be asked go into `unknown`."""
    try:
        return _paths_of_replays() | _paths_of_builds(data_dir)
    except (DatabaseError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        unknown |= dict.fromkeys(JOB_RULES, f"what runs cannot be asked ({reason})")
        return {}


def _paths_of_replays() -> dict[str, str]:
    """Sessions that are replayed, and the runs being written."""
    sessions, runs = FOLDER_OF[Rule.REPLAY_SESSIONS], FOLDER_OF[Rule.REPLAY_RUNS]
    paths: dict[str, str] = {}
    for job in ReplayJob.objects.exclude(state__in=ENDED_STATES):
        who = f"replay job {job.pk}"
        paths[f"{sessions}/{job.session_id}"] = who
        for run_id in filter(None, [job.run_id, *job.run_ids]):
            paths[f"{runs}/{run_id}"] = who
    for row in RunModeRow.objects.filter(run_mode="REPLAY").exclude(session_id=""):
        paths[f"{sessions}/{row.session_id}"] = "the run mode REPLAY"
    return paths


def _paths_of_builds(data_dir: Path) -> dict[str, str]:
    """The recorded days that builds read. Raises: DatabaseError, ValueError."""
    market = FOLDER_OF[Rule.RAW_MARKET]
    folder = data_dir / market
    days = sorted(p.name for p in folder.iterdir() if is_day(p.name)) if folder.is_dir() else []
    paths: dict[str, str] = {}
    under_way = [build.job_id for build in builds_under_way()]
    for build in SessionBuild.objects.filter(pk__in=under_way).exclude(state__in=ENDED_STATES):
        options = msgspec.convert(build.options, BuildReplayOptions)
        first = utc_day(max(parse_instant(options.from_) - _PRIMING_NS, 0))
        last = utc_day(parse_instant(options.to))
        who = f"session build {build.pk}"
        paths |= {f"{market}/{day}": who for day in days if first <= day <= last}
    return paths
