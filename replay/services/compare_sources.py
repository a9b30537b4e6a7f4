"""The two kinds of sides that can be compared: the files of a run, and what was decided live.

    data/replay/runs/<runId>/{report.json, events.jsonl, orders.jsonl, trades.jsonl}
    data/events/<symbol>*.jsonl, data/orders/day-*.jsonl, data/trades_log/day-*.jsonl

Live files are read for the range and the symbols of the other side. What is damaged is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from failover.adapters.files import read_json_snapshot, read_jsonl
from failover.domain.errors import DataCorruption, StorageError
from replay.domain.comparison import Decision
from replay.domain.comparison_records import (
    BadRecord,
    compared_trade,
    instant_ms,
    order_decision,
    score_decision,
    state_decision,
    trade_decision,
)
from replay.domain.comparison_trades import ComparedTrade

LIVE = "live"
SCORING_ONLY = "SCORING_ONLY"
RUNS_FOLDER = Path("replay") / "runs"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FILES: Mapping[str, Callable[[Mapping[str, Any]], Decision | None]] = {
    "events": state_decision,
    "orders": order_decision,
    "trades": trade_decision,
}


class ComparisonRefused(Exception):
    """The sides cannot be compared: `code` NOT_FOUND, BAD_ID, BOTH_LIVE, OTHER_MODE,
    NOTHING_COMMON, UNFINISHED, TOO_LARGE, BROKEN."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True, kw_only=True)
class Side:
    """What one side decided. `from_ms`, `to_ms` (exclusive): the stretch of market time it covers."""

    name: str
    symbols: tuple[str, ...]
    from_ms: int
    to_ms: int
    about: dict[str, Any] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    trades: list[ComparedTrade] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def is_scoring(self) -> bool:
        return self.about.get("mode") == SCORING_ONLY


def is_run_id(text: str) -> bool:
    """Whether it may name a folder of a run: no separator, no leading dot."""
    return _RUN_ID.fullmatch(text) is not None and ".." not in text


def run_folder(data_dir: Path, run_id: str) -> Path:
    """Raises: ComparisonRefused (BAD_ID, NOT_FOUND)."""
    if not is_run_id(run_id):
        raise ComparisonRefused("BAD_ID", f"{run_id[:80]!r} is no id of a run")
    folder = data_dir / RUNS_FOLDER / run_id
    if not folder.is_dir():
        raise ComparisonRefused("NOT_FOUND", f"there is no run {run_id!r} in {RUNS_FOLDER}")
    return folder


def read_run(folder: Path, *, most_records: int) -> Side:
    """One finished run. Raises: ComparisonRefused."""
    try:
        report = read_json_snapshot(folder / "report.json")
    except (StorageError, DataCorruption) as error:
        raise ComparisonRefused("BROKEN", str(error)) from error
    if report is None:
        raise ComparisonRefused(
            "UNFINISHED", f"{folder.name} has no report.json: it has not ended well"
        )
    side = _side_of(report, folder)
    reader = _Reader(side, most_records)
    files = {"scores": score_decision} if side.is_scoring else _FILES
    for name, parse in files.items():
        path = folder / f"{name}.jsonl"
        reader.take(read_jsonl(path, on_bad=reader.count_bad), parse)
    return side


def _side_of(report: dict[str, Any], folder: Path) -> Side:
    assumptions = report.get("assumptions") or {}
    try:
        return Side(
            name=str(report.get("runId") or folder.name),
            symbols=tuple(map(str, report["symbols"])),
            from_ms=instant_ms(report["from"]),
            to_ms=instant_ms(report["to"]) + 1,
            about={
                "runId": report.get("runId"),
                "mode": report.get("mode"),
                "digest": report.get("digest"),
                "configVersion": assumptions.get("configVersion"),
                "complete": report.get("complete"),
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ComparisonRefused("BROKEN", f"{folder.name}/report.json: {error!r}") from error


def read_live(
    archive: Path, symbols: Sequence[str], from_ms: int, to_ms: int, *, most_records: int
) -> Side:
    """What was decided live in [from_ms, to_ms) for `symbols`. Raises: ComparisonRefused (TOO_LARGE)."""
    side = Side(name=LIVE, symbols=tuple(symbols), from_ms=from_ms, to_ms=to_ms)
    reader = _Reader(side, most_records)
    days = [*_days(from_ms, to_ms)]
    for symbol in sorted(filter(_SYMBOL.fullmatch, symbols)):
        for path in _event_files(archive / "events", symbol, from_ms):
            reader.take(read_jsonl(path, on_bad=reader.count_bad), state_decision)
    for name, parse in (("orders", order_decision), ("trades_log", trade_decision)):
        for day in days:
            path = archive / name / f"day-{day}.jsonl"
            reader.take(read_jsonl(path, on_bad=reader.count_bad), parse)
    side.about = {"runId": None, "mode": ", ".join(sorted(reader.modes)) or None}
    return side


def _event_files(folder: Path, symbol: str, from_ms: int) -> Iterator[Path]:
    """Files of past days by their name's day, and the one that is written."""
    first = f"{_EPOCH + timedelta(milliseconds=from_ms):%Y-%m-%d}"
    for path in sorted(folder.glob(f"{symbol}-????-??-??.jsonl")):
        if path.name[len(symbol) + 1 :][:10] >= first:
            yield path
    yield folder / f"{symbol}.jsonl"


def _days(from_ms: int, to_ms: int) -> Iterator[str]:
    day = (_EPOCH + timedelta(milliseconds=from_ms)).date()
    last = (_EPOCH + timedelta(milliseconds=max(to_ms - 1, from_ms))).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


class _Reader:
    """Puts records into a side: those of its symbols and its stretch of time; trades that lie in it whole."""

    def __init__(self, side: Side, most_records: int) -> None:
        self.side = side
        self.modes: set[str] = set()
        self._symbols = frozenset(side.symbols)
        self._left = most_records

    def count_bad(self, bad: DataCorruption) -> None:
        self.side.problems[f"{Path(bad.path).name}: a line that is no JSON"] += 1

    def take(
        self,
        records: Iterator[dict[str, Any]],
        parse: Callable[[Mapping[str, Any]], Decision | None],
    ) -> None:
        for record in records:
            self._left -= 1
            if self._left < 0:
                raise ComparisonRefused(
                    "TOO_LARGE", f"{self.side.name} has more records than replay.compareMaxRecords"
                )
            if record.get("symbol") not in self._symbols:
                continue
            try:
                decision = parse(record)
                if decision is not None and self._is_within(decision.ts_ms):
                    self._put(decision, record, is_trade=parse is trade_decision)
            except BadRecord as bad:
                self.side.problems[str(bad)[:120]] += 1

    def _is_within(self, ts_ms: int) -> bool:
        return self.side.from_ms <= ts_ms < self.side.to_ms

    def _put(self, decision: Decision, record: Mapping[str, Any], *, is_trade: bool) -> None:
        if mode := record.get("mode"):
            self.modes.add(str(mode))
        if is_trade:
            trade = compared_trade(record)
            if trade.opened_ms < self.side.from_ms:
                self.side.problems["trades that began before the stretch compared"] += 1
                return
            self.side.trades.append(trade)
        self.side.decisions.append(decision)
