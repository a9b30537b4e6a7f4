"""The reports that lie in the data folder, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

REPORTS_FOLDER = "backtests"


class _Run(msgspec.Struct, rename="camel"):
    run_id: str
    created_at: str
    profile: str
    config_version: str


class _Verdict(msgspec.Struct, rename="camel"):
    can_judge: bool
    headline: str


class _Result(msgspec.Struct, rename="camel"):
    trades: int
    net_pnl: float


class _Statistics(msgspec.Struct, rename="camel"):
    trials: int
    deflated_sharpe: float | None = None


class _Report(msgspec.Struct):
    run: _Run
    verdict: _Verdict
    result: _Result
    statistics: _Statistics


class ReportEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One report: enough for a line in a list. `html` is the page's path."""

    run_id: str
    created_at: str
    profile: str
    config_version: str
    can_judge: bool
    headline: str
    trades: int
    net_pnl: float
    trials: int
    deflated_sharpe: float | None
    html: Path


_decode = msgspec.json.Decoder(_Report).decode


def list_reports(data_dir: Path) -> list[ReportEntry]:
    """Reports under `data_dir`/backtests, newest first; what is no whole report is passed over."""
    return sorted(
        _found(data_dir / REPORTS_FOLDER), key=lambda entry: entry.created_at, reverse=True
    )


def _found(folder: Path) -> Iterator[ReportEntry]:
    for path in folder.glob("*/report.json"):
        html = path.with_name("report.html")
        try:
            report = _decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        if html.is_file():
            yield ReportEntry(
                run_id=report.run.run_id,
                created_at=report.run.created_at,
                profile=report.run.profile,
                config_version=report.run.config_version,
                can_judge=report.verdict.can_judge,
                headline=report.verdict.headline,
                trades=report.result.trades,
                net_pnl=report.result.net_pnl,
                trials=report.statistics.trials,
                deflated_sharpe=report.statistics.deflated_sharpe,
                html=html,
            )
