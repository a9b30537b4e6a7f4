"""What a retention run did (phase 12 §9), with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from monitoring.domain.retention_plan import RetentionPlan, Step


class RetentionError(Struct, frozen=True, kw_only=True):
    """A file that could not be listed or deleted; it stays, and the next run tries again."""

    file: str
    error: str


class RetentionReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """Paths are relative to the data folder. In a dry run `deleted_files` is what would have been deleted.

    `reasons`: why, by path, of every deleted and kept file. `foreign_files`: kept because they are not ours
    or not understood.
    """

    timestamp: str
    deleted_files: list[str]
    kept_files: list[str]
    errors: list[RetentionError]
    run_id: str
    dry_run: bool
    freed_bytes: int
    foreign_files: list[str]
    removed_folders: list[str]
    reasons: dict[str, str]
    elapsed_seconds: float
    schema_version: int = 1


def make_report(
    plan: RetentionPlan,
    done: Sequence[Step],
    errors: Sequence[RetentionError],
    *,
    timestamp: str,
    run_id: str,
    dry_run: bool,
    removed_folders: Sequence[str] = (),
    elapsed_seconds: float = 0.0,
) -> RetentionReport:
    """`done`: the steps of the plan that were carried out (all of them in a dry run)."""
    deleted = {found.path: step.reason for step in done for found in step.files}
    failed = {error.file: f"could not be deleted: {error.error}" for error in errors}
    planned = (found.path for step in plan.steps for found in step.files)
    stayed: Mapping[str, str] = {
        **{kept.path: kept.reason for kept in plan.kept},
        **{path: failed.get(path, "not reached") for path in planned if path not in deleted},
    }
    return RetentionReport(
        timestamp=timestamp,
        deleted_files=list(deleted),
        kept_files=sorted(stayed),
        errors=list(errors),
        run_id=run_id,
        dry_run=dry_run,
        freed_bytes=sum(found.size_bytes for step in done for found in step.files),
        foreign_files=[kept.path for kept in plan.kept if kept.is_foreign],
        removed_folders=list(removed_folders),
        reasons={**deleted, **stayed},
        elapsed_seconds=elapsed_seconds,
    )


def failed_report(timestamp: str, run_id: str, reason: str) -> RetentionReport:
    """Of a run that ended before it could say what it did."""
    return RetentionReport(
        timestamp=timestamp,
        deleted_files=[],
        kept_files=[],
        errors=[RetentionError(file="", error=reason)],
        run_id=run_id,
        dry_run=False,
        freed_bytes=0,
        foreign_files=[],
        removed_folders=[],
        reasons={},
        elapsed_seconds=0.0,
    )
