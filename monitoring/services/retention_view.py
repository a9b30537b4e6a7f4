"""A retention run as its page shows it."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import DatabaseError

from failover.domain.config import BadConfigDocument
from failover.domain.config_sections import struct_fields
from monitoring.domain.retention_config import RetentionConfig
from monitoring.services.retention import configured_retention


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a run. `outcome`: DELETED, WOULD_DELETE, ERROR, FOREIGN or KEPT."""

    path: str
    outcome: str
    reason: str


def files_of(report: dict[str, Any]) -> tuple[FileRow, ...]:
    """What failed first, then what was deleted, what is not ours, and what was kept."""
    reasons = report.get("reasons", {})
    gone = "WOULD_DELETE" if report.get("dryRun") else "DELETED"
    failed = {error["file"]: error["error"] for error in report.get("errors", ())}
    foreign = set(report.get("foreignFiles", ()))
    rows = [FileRow(path=path, outcome="ERROR", reason=text) for path, text in failed.items()]
    rows += [
        FileRow(path=path, outcome=gone, reason=reasons.get(path, ""))
        for path in report.get("deletedFiles", ())
    ]
    kept = [path for path in report.get("keptFiles", ()) if path not in failed]
    for path in sorted(kept, key=lambda path: path not in foreign):
        outcome = "FOREIGN" if path in foreign else "KEPT"
        rows.append(FileRow(path=path, outcome=outcome, reason=reasons.get(path, "")))
    return tuple(rows)


def ages() -> list[tuple[str, int]] | None:
    """The ages in force by their names in the config; None while there is no valid config."""
    try:
        config = configured_retention()
    except (BadConfigDocument, DatabaseError):
        return None
    return [
        (field.encode_name, getattr(config, field.name)) for field in struct_fields(RetentionConfig)
    ]
