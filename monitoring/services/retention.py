"""The retention job: look at the data folder, decide, delete, report (phase 12 §9).

report = run_retention(now=datetime.now(UTC))           # or is_dry=True
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import DatabaseError

from failover.domain.days import iso_ms
from failover.domain.logging_config import LoggingConfig
from failover.services.config_reader import load_config
from failover.services.journal_index import forget_deleted_journals
from failover.services.run_lock import AlreadyRunning, sole_run
from monitoring.domain.retention import decide
from monitoring.domain.retention_config import RetentionConfig
from monitoring.domain.retention_places import Rule
from monitoring.domain.retention_plan import Listing, Needs, RetentionPlan, Step
from monitoring.domain.retention_report import (
    RetentionError,
    RetentionReport,
    failed_report,
    make_report,
)
from monitoring.models import RetentionRun
from monitoring.services.retention_needs import claim_on, needs_of, sessions_of
from monitoring.services.retention_tree import (
    carry_out,
    list_tree,
    open_for_writing,
    remove_empty_folders,
)
from replay.services.config_documents import configured_name
from replay.services.session_rows import forget_row

__all__ = [
    "AlreadyRunning",
    "configured_retention",
    "keep_failure",
    "keep_report",
    "run_retention",
]

logger = logging.getLogger(__name__)

_NS_PER_US = 1000


def run_retention(
    *,
    now: datetime | None = None,
    is_dry: bool = False,
    config: RetentionConfig | None = None,
    data_dir: Path | None = None,
    archive: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RetentionReport:
    """Delete what is old and needed by nothing; in a dry run only say so.

    `archive`: the folder of CONFIG.logging.baseDir within `data_dir`; None: as configured.

    Raises: AlreadyRunning when another one is at it, BadConfigDocument. A database that does not answer
    keeps what it cannot be asked about.
    """
    started = time.perf_counter()
    data_dir, now = (data_dir or settings.DATA_DIR).resolve(), now or datetime.now(UTC)
    config = config or configured_retention()
    archive = configured_archive() if archive is None else archive
    errors: list[RetentionError] = []
    with sole_run(data_dir / "run" / "retention.lock"):
        plan = make_plan(data_dir, config, now, errors.append, archive)
        done: list[Step] = list(plan.steps)
        removed: list[str] = []
        if not is_dry:
            done = _carried_out(data_dir, plan, errors, should_stop)
            removed = remove_empty_folders(data_dir, plan.empty_folders, errors.append)
    report = make_report(
        plan,
        done,
        errors,
        timestamp=f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        run_id=_new_run_id(),
        dry_run=is_dry,
        removed_folders=removed,
        elapsed_seconds=round(time.perf_counter() - started, 3),
    )
    _tell(report)
    return report


def make_plan(
    data_dir: Path,
    config: RetentionConfig,
    now: datetime,
    on_error: Callable[[RetentionError], None],
    archive: str = "",
) -> RetentionPlan:
    """What would be deleted. Decided twice: only old files are asked whether a writer has them."""
    # Needs before the listing: what is opened or claimed meanwhile is asked again before each step.
    sessions, needs = sessions_of(data_dir), needs_of(data_dir, archive)
    listing = list_tree(data_dir, sessions, on_error, archive)
    plan = _decided(listing, needs, config, now)
    if busy := open_for_writing(data_dir, plan):
        files = (msgspec.structs.replace(f, has_writer=f.path in busy) for f in listing.files)
        listing = msgspec.structs.replace(listing, files=tuple(files))
        plan = _decided(listing, needs, config, now)
    return plan


def _decided(
    listing: Listing, needs: Needs, config: RetentionConfig, now: datetime
) -> RetentionPlan:
    since_epoch = now.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return decide(listing, needs, config, since_epoch // timedelta(microseconds=1) * _NS_PER_US)


def _carried_out(
    data_dir: Path,
    plan: RetentionPlan,
    errors: list[RetentionError],
    should_stop: Callable[[], bool],
) -> list[Step]:
    done: list[Step] = []
    steps = carry_out(data_dir, plan.steps, claimed=claim_on(data_dir), on_error=errors.append)
    while not should_stop() and (step := next(steps, None)) is not None:
        done.append(step)
        if step.rule is Rule.REPLAY_SESSIONS:
            _forget_session(step.folder, errors)
        for found in step.files:
            logger.info("retention_deleted", extra={"path": found.path, "reason": step.reason})
    if any(step.rule is Rule.JOURNAL for step in done):
        _forget_journals(data_dir, errors)
    return done


def _forget_session(folder: str, errors: list[RetentionError]) -> None:
    """The row mirrors the files: it goes after them."""
    try:
        forget_row(folder.rpartition("/")[2])
    except DatabaseError as error:
        text = f"its row stays until manage.py rebuild_session_rows ({error})"
        errors.append(RetentionError(file=folder, error=text))


def _forget_journals(data_dir: Path, errors: list[RetentionError]) -> None:
    try:
        forget_deleted_journals(data_dir)
    except DatabaseError as error:
        text = f"rows of deleted files stay until the next indexing ({error})"
        errors.append(RetentionError(file="journal", error=text))


def _tell(report: RetentionReport) -> None:
    logger.info(
        "retention_done",
        extra={
            "runId": report.run_id,
            "dryRun": report.dry_run,
            "deleted": len(report.deleted_files),
            "kept": len(report.kept_files),
            "errors": len(report.errors),
            "freedBytes": report.freed_bytes,
        },
    )
    for error in report.errors:
        logger.warning("retention_error", extra={"path": error.file, "reason": error.error})


def configured_retention() -> RetentionConfig:
    """The ages in force. Raises: BadConfigDocument: with a broken config nothing may be deleted."""
    config: RetentionConfig = load_config(configured_name())["retention"]
    return config


def configured_archive() -> str:
    """The archive's folder within the data folder; empty where it is the data folder itself."""
    section: LoggingConfig = load_config(configured_name())["logging"]
    return section.folder(Path()).as_posix().removeprefix(".")


def keep_report(report: RetentionReport, config: RetentionConfig) -> str:
    """Write the row and let the oldest rows go; returns "" or why it could not be written, in one line."""
    oldest = datetime.fromisoformat(report.timestamp) - timedelta(
        days=config.retention_reports_days
    )
    try:
        _write_row(report)
        RetentionRun.objects.filter(timestamp__lt=oldest).delete()
    except DatabaseError as error:
        return _one_line(error)
    return ""


def keep_failure(error: Exception) -> str:
    """Write the row of a run that ended without a report; returns as `keep_report` does."""
    reason = _one_line(error)
    try:
        _write_row(failed_report(iso_ms(time.time_ns()), _new_run_id(), reason), failure=reason)
    except DatabaseError as unwritten:
        return _one_line(unwritten)
    return ""


def _write_row(report: RetentionReport, failure: str = "") -> None:
    RetentionRun.objects.create(
        run_id=report.run_id,
        timestamp=datetime.fromisoformat(report.timestamp),
        dry_run=report.dry_run,
        deleted=len(report.deleted_files),
        kept=len(report.kept_files),
        foreign=len(report.foreign_files),
        errors=len(report.errors),
        freed_bytes=report.freed_bytes,
        failure=failure,
        report=msgspec.to_builtins(report),
    )


def _new_run_id() -> str:
    return f"ret{uuid.uuid4().hex[:10]}"


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
