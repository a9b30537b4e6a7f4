"""Keeps what checks of the recordings found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db import DatabaseError

from market.adapters.recording_archiver import ArchivedFile
from market.domain.recording_findings import RecordingReport
from market.models import RecordingCheckRun


def keep_report(report: RecordingReport, source: str, archived: Sequence[ArchivedFile] = ()) -> str:
    """Write the row of a check; returns why it could not be written, "" when it was."""
    try:
        RecordingCheckRun.objects.create(
            timestamp=datetime.fromisoformat(report.timestamp),
            source=source,
            path=report.path[:500],
            files=len(report.files),
            rows=report.rows,
            bytes=report.bytes,
            errors=report.errors,
            warnings=report.warnings,
            problems=msgspec.to_builtins(report.problems),
            findings=msgspec.to_builtins(report.findings),
            archived=msgspec.to_builtins(list(archived)),
            seconds=report.seconds,
        )
    except DatabaseError as error:
        return str(error)
    return ""
