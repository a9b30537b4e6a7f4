"""The backtest reports on disk, listed and served to staff."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from replay.services.backtest_reports import REPORTS_FOLDER, ReportEntry, list_reports

LISTED = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def newest() -> list[tuple[str, ReportEntry]]:
    """(name of its folder, what it says) of each report, youngest first."""
    found = ((report.html.parent.name, report) for report in list_reports(Path(settings.DATA_DIR)))
    return [(name, report) for name, report in found if _is_named(name)][:LISTED]


def content(name: str) -> bytes | None:
    """One report as it was written; None when there is none of that name."""
    path = Path(settings.DATA_DIR) / REPORTS_FOLDER / name / "report.html"
    return path.read_bytes() if _is_named(name) and path.is_file() else None


def _is_named(name: str) -> bool:
    """A plain name: nothing that climbs out of the folder."""
    return _NAME.fullmatch(name) is not None
