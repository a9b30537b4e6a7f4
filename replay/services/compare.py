"""Compares two runs, or a run with what was decided live over the same stretch.

comparison = compare("r12ab", "live", data_dir=…, archive=…, config=ReplayConfig())
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from failover.domain.days import iso_ms
from replay.domain.comparison import Alignment, ComparedRow, Counts, Outcome, align
from replay.domain.comparison_trades import Attribution, ComparedTrade, attribute
from replay.domain.config import ReplayConfig
from replay.services.compare_sources import (
    LIVE,
    ComparisonRefused,
    Side,
    read_live,
    read_run,
    run_folder,
)

__all__ = ["LIVE", "Comparison", "ComparisonRefused", "Comparisons", "compare"]

ROWS_BEFORE = 5
_NS_PER_MS = 1_000_000

Resolve = Callable[[Path, str], Path]


class ComparedSide(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One side as the comparison names it. `problems`: what could not be compared, and how often."""

    name: str
    run_id: str | None
    mode: str | None
    digest: str | None
    config_version: str | None
    from_: str = msgspec.field(name="from")
    to: str
    decisions: int
    trades: int
    problems: dict[str, int]
    equity: list[tuple[int, float]]


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`rows` in order of time; `first_divergence` is the first that is not EQUAL, `before_divergence` what
    both still did alike. Money in USDT, B less A."""

    a: ComparedSide
    b: ComparedSide
    symbols: list[str]
    from_: str = msgspec.field(name="from")
    to: str
    tolerance_ms: int
    equal: bool
    counts: dict[str, Counts]
    first_divergence: ComparedRow | None
    before_divergence: tuple[ComparedRow, ...]
    attribution: Attribution
    rows: tuple[ComparedRow, ...]
    notes: list[str]

    def differing_rows(self) -> tuple[ComparedRow, ...]:
        return tuple(row for row in self.rows if row.outcome is not Outcome.EQUAL)


def compare(
    a: str,
    b: str,
    *,
    data_dir: Path,
    archive: Path,
    config: ReplayConfig,
    resolve: Resolve = run_folder,
) -> Comparison:
    """`a` and `b`: run ids; one of them may be `live`. `resolve` finds the folder of a run by its name.

    Raises: ComparisonRefused.
    """
    if a == b == LIVE:
        raise ComparisonRefused("BOTH_LIVE", "one of the two must be a run: it says which stretch")
    runs = {
        name: read_run(resolve(data_dir, name), most_records=config.compare_max_records)
        for name in (a, b)
        if name != LIVE
    }
    if LIVE in (a, b):
        run = next(iter(runs.values()))
        runs[LIVE] = read_live(
            archive, run.symbols, run.from_ms, run.to_ms, most_records=config.compare_max_records
        )
    return compare_sides(runs[a], copy(runs[b]), config)


def compare_sides(a: Side, b: Side, config: ReplayConfig) -> Comparison:
    """Compare what both cover; what lies outside is counted in the notes."""
    if a.is_scoring != b.is_scoring:
        scoring = a if a.is_scoring else b
        raise ComparisonRefused(
            "OTHER_MODE",
            f"{scoring.name} has scores only; compare it with another SCORING_ONLY run",
        )
    symbols = sorted({*a.symbols} & {*b.symbols})
    from_ms, to_ms = max(a.from_ms, b.from_ms), min(a.to_ms, b.to_ms)
    if not symbols or to_ms <= from_ms:
        raise ComparisonRefused(
            "NOTHING_COMMON", f"{a.name} and {b.name} share no symbol and stretch of time"
        )
    notes = [*_cut(a, symbols, from_ms, to_ms), *_cut(b, symbols, from_ms, to_ms)]
    is_live = LIVE in (a.name, b.name)
    tolerance_ms = config.compare_live_tolerance_ms if is_live else config.compare_tolerance_ms
    alignment = align(
        a.decisions,
        b.decisions,
        tolerance_ms=tolerance_ms,
        pair_window_ms=config.compare_pair_window_ms,
    )
    attribution = attribute(a.trades, b.trades, trade_window_ms=config.compare_trade_window_ms)
    first = alignment.first_divergence
    return Comparison(
        a=_told(a),
        b=_told(b),
        symbols=symbols,
        from_=iso_ms(from_ms * _NS_PER_MS),
        to=iso_ms(to_ms * _NS_PER_MS),
        tolerance_ms=tolerance_ms,
        equal=alignment.is_equal,
        counts=alignment.counts,
        first_divergence=None if first is None else alignment.rows[first],
        before_divergence=_before(alignment),
        attribution=attribution,
        rows=alignment.rows,
        notes=notes,
    )


def _before(alignment: Alignment) -> tuple[ComparedRow, ...]:
    first = alignment.first_divergence
    return () if first is None else alignment.rows[max(first - ROWS_BEFORE, 0) : first]


def _cut(side: Side, symbols: Sequence[str], from_ms: int, to_ms: int) -> list[str]:
    """Leave what the other side covers too; says what was left out."""
    kept = [d for d in side.decisions if d.symbol in symbols and from_ms <= d.ts_ms < to_ms]
    trades = [
        t
        for t in side.trades
        if t.symbol in symbols and from_ms <= t.opened_ms and t.closed_ms < to_ms
    ]
    left_out = len(side.decisions) - len(kept)
    side.decisions, side.trades = kept, trades
    if not left_out:
        return []
    return [f"{side.name}: {left_out} decisions are outside of what both cover and not compared"]


def _told(side: Side) -> ComparedSide:
    about = side.about
    return ComparedSide(
        name=side.name,
        run_id=about.get("runId"),
        mode=about.get("mode"),
        digest=about.get("digest"),
        config_version=about.get("configVersion"),
        from_=iso_ms(side.from_ms * _NS_PER_MS),
        to=iso_ms(side.to_ms * _NS_PER_MS),
        decisions=len(side.decisions),
        trades=len(side.trades),
        problems=dict(sorted(side.problems.items())),
        equity=_equity(side.trades, side.from_ms, side.to_ms),
    )


def _equity(trades: Sequence[ComparedTrade], from_ms: int, to_ms: int) -> list[tuple[int, float]]:
    """Realised profit over time, USDT: 0 at the start, a step at each closed trade, flat to the end."""
    total = Decimal(0)
    points = [(from_ms, 0.0)]
    for trade in sorted(trades, key=lambda each: each.closed_ms):
        total += trade.pnl_usdt
        points.append((trade.closed_ms, float(total)))
    return [*points, (to_ms, float(total))]


class Comparisons:
    """The last few comparisons, so that paging does not read the files again. Not for several threads."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], Comparison] = OrderedDict()

    def get(
        self, a: str, b: str, *, data_dir: Path, archive: Path, config: ReplayConfig
    ) -> Comparison:
        """As `compare`; live files grow, so those are read each time. Raises: ComparisonRefused."""
        if LIVE in (a, b):
            return compare(a, b, data_dir=data_dir, archive=archive, config=config)
        stamps = tuple(_stamp(run_folder(data_dir, run_id)) for run_id in (a, b))
        key = (a, b, stamps, config)
        if key not in self._kept:
            self._kept[key] = compare(a, b, data_dir=data_dir, archive=archive, config=config)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _stamp(folder: Path) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in sorted(folder.glob("*.json*")))
