"""A comparison of two runs as its page shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from django.conf import settings

from failover.domain.config import BadConfigDocument
from failover.services.archive_place import archive_folder
from failover.services.config_reader import load_config
from replay.domain.comparison import ComparedRow, Decision
from replay.domain.config import ReplayConfig
from replay.services.compare import LIVE, Comparison, Comparisons
from replay.services.compare_sources import RUNS_FOLDER, is_run_id
from replay.services.config_documents import configured_name

RUNS_OFFERED = 50
_comparisons, _one_at_a_time = Comparisons(), Lock()

_PART_NAMES = {
    "entry": "Entry price",
    "exit": "Exit price",
    "quantity": "Quantity",
    "fees": "Fees",
    "funding": "Funding",
    "rounding": "Rounding of the records",
    "only_a": "Trades only in A",
    "only_b": "Trades only in B",
}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of a decision, as text."""

    name: str
    text: str
    is_different: bool


class ShownRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: times as datetimes, facts as texts; a side that has nothing is None."""

    row: ComparedRow
    at: datetime
    a: tuple[Fact, ...] | None
    b: tuple[Fact, ...] | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the difference in PnL; `share` is its size to the largest one, %."""

    label: str
    usdt: Decimal
    share: float


def comparison(a: str, b: str) -> Comparison:
    """Raises: ComparisonRefused."""
    data_dir = Path(settings.DATA_DIR)
    archive = archive_folder() if LIVE in (a, b) else data_dir
    with _one_at_a_time:  # pages of one comparison read its files once
        return _comparisons.get(a, b, data_dir=data_dir, archive=archive, config=_config())


def _config() -> ReplayConfig:
    try:
        config: ReplayConfig = load_config(configured_name())["replay"]
    except BadConfigDocument:  # looking must work, whatever state the config is in
        return ReplayConfig()
    return config


def newest_runs() -> list[str]:
    """Ids of finished runs that can be compared, youngest first."""
    folder = Path(settings.DATA_DIR) / RUNS_FOLDER
    if not folder.is_dir():
        return []
    found = [
        (report.stat().st_mtime_ns, report.parent.name)
        for report in folder.glob("*/report.json")
        if is_run_id(report.parent.name)
    ]
    return [name for _, name in sorted(found, reverse=True)[:RUNS_OFFERED]]


def shown_row(row: ComparedRow) -> ShownRow:
    return ShownRow(
        row=row,
        at=datetime.fromtimestamp(row.ts_ms / 1000, UTC),
        a=_facts(row.a, row.differing),
        b=_facts(row.b, row.differing),
    )


def _facts(decision: Decision | None, differing: tuple[str, ...]) -> tuple[Fact, ...] | None:
    if decision is None:
        return None
    return tuple(
        Fact(name=name, text=_text(value), is_different=name in differing)
        for name, value in decision.facts.items()
        if value is not None or name in differing
    )


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def first_divergence(found: Comparison) -> dict[str, Any] | None:
    """The row with both sides, and what both did alike before it."""
    if found.first_divergence is None:
        return None
    before = [shown_row(row) for row in found.before_divergence]
    return {"shown": shown_row(found.first_divergence), "before": before}


def parts(found: Comparison) -> list[Part]:
    """What the difference is made of, the zero ones left out."""
    values = {name: getattr(found.attribution.parts, name) for name in _PART_NAMES}
    largest = max(map(abs, values.values()), default=Decimal(0))
    return [
        Part(label=label, usdt=values[name], share=float(abs(values[name]) / largest * 100))
        for name, label in _PART_NAMES.items()
        if values[name]
    ]
