"""The backtest reports on disk: `data/backtests/<name>/report.html`, listed and served to staff."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

LISTED = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True, slots=True)
class BacktestReport:
    name: str
    written_at: datetime
    size_kib: int


def newest() -> list[BacktestReport]:
    """The reports, youngest first; none while there is no folder."""
    folder = _folder()
    if not folder.is_dir():
        return []
    found = [_report(path) for path in folder.glob("*/report.html") if _is_named(path.parent.name)]
    return sorted(found, key=lambda report: report.written_at, reverse=True)[:LISTED]


def content(name: str) -> bytes | None:
    """One report as it was written; None when there is none of that name."""
    path = _folder() / name / "report.html"
    return path.read_bytes() if _is_named(name) and path.is_file() else None


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "backtests"


def _is_named(name: str) -> bool:
    """A plain name: nothing that climbs out of the folder."""
    return _NAME.fullmatch(name) is not None


def _report(path: Path) -> BacktestReport:
    status = path.stat()
    written_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return BacktestReport(
        name=path.parent.name, written_at=written_at, size_kib=status.st_size // 1024
    )
