"""Files and sessions for the rules of retention to judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from monitoring.domain.retention import decide
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_plan import Found, Listing, Needs, RetentionPlan, SessionFacts

HOUR_NS = 3_600_000_000_000


DAY_NS = 24 * HOUR_NS


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)


NOW_NS = (NOW - EPOCH) // timedelta(microseconds=1) * 1000


CONFIG = RetentionConfig()


Sessions = dict[str, SessionFacts | None]


def day(days_ago: int) -> str:
    return f"{NOW - timedelta(days=days_ago):%Y-%m-%d}"


def a_file(path: str, *, days_ago: float = 400.0, **more: object) -> Found:
    modified_ns = NOW_NS - int(days_ago * DAY_NS)
    return msgspec.structs.replace(Found(path=path, size_bytes=10, modified_ns=modified_ns), **more)


def plan_of(
    *files: Found,
    needs: Needs | None = None,
    sessions: dict[str, SessionFacts | None] | None = None,
    folders: tuple[str, ...] = (),
    config: RetentionConfig = CONFIG,
) -> RetentionPlan:
    listing = Listing(files=files, sessions=sessions or {}, folders=folders)
    return decide(listing, needs or Needs(), config, NOW_NS)


def deleted(plan: RetentionPlan) -> list[str]:
    return [found.path for step in plan.steps for found in step.files]


def reason(plan: RetentionPlan, path: str) -> str:
    return next(kept.reason for kept in plan.kept if kept.path == path)


def a_session(
    to_days_ago: float, *, created_days_ago: float = 100.0, files: tuple[str, ...] = ()
) -> SessionFacts:
    to_ns = NOW_NS - int(to_days_ago * DAY_NS)
    created_ns = NOW_NS - int(created_days_ago * DAY_NS)
    return SessionFacts(from_ns=to_ns - HOUR_NS, to_ns=to_ns, created_ns=created_ns, files=files)
