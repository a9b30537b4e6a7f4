"""One run of a replay as its page shows it: figures, curves, trades."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

from replay.domain.curves import CurvePoints, falls_below_peak, summed
from replay.models import ReplayRun
from replay.services.backtest_charts import line_chart
from replay.services.replay_view import run_row

TRADES_SHOWN = 500


def report_of(run_id: str) -> dict[str, Any] | None:
    """None where there is no such run."""
    run = ReplayRun.objects.filter(run_id=run_id).first()
    if run is None:
        return None
    report = run.report or {}
    folder = settings.DATA_DIR / "replay" / "runs" / run_id
    return {
        "run": run_row(run),
        "report": report,
        "metrics": report.get("metrics"),
        "charts": _charts(report),
        "trades": _first_lines(folder / "trades.jsonl", TRADES_SHOWN),
        "most": TRADES_SHOWN,
    }


def _charts(report: dict[str, Any]) -> list[tuple[str, SafeString]]:
    """(title, SVG); made here from numbers alone, so nothing in it can be markup of a stranger."""
    if not report.get("equity"):
        return []
    points = msgspec.convert(report["equity"], CurvePoints)
    if len(points.starts_ns) < 2:
        return []
    profit = summed([(points, float(report.get("deposit", 0.0)))])
    if not profit.value.any():
        return []  # nothing was traded: a flat line says less than the figures
    spans = [(points.starts_ns[0], points.starts_ns[-1] + points.bucket_ns)]
    drawn = (
        ("Equity: profit and loss since the start", line_chart(profit, spans, unit="USDT", kind="profit")),
        ("Drawdown: below the highest equity so far",
         line_chart(falls_below_peak(profit), spans, unit="USDT", kind="fall")),
    )  # fmt: skip
    return [(title, mark_safe(svg)) for title, svg in drawn]  # noqa: S308  (numbers only)


def _first_lines(path: Path, most: int) -> list[dict[str, Any]]:
    """The first records of a file of lines; a run of the command line may have none."""
    try:
        with path.open("rb") as lines:
            return [msgspec.json.decode(line) for line in islice(lines, most)]
    except (OSError, msgspec.DecodeError):
        return []
