"""Rows into the ORM, off the hot path: a bounded queue, one thread, retries, idempotent writes.

The order path only puts. When the database is locked or down rows wait; when the queue is full the oldest
are dropped and the mark stays behind, so that `catch_up` (at start) or `manage.py rebuild_projection`
brings them back from the order log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connection, transaction
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime

from execution.models import (
    ClosedTrade,
    Fill,
    OrderQuality,
    OrderRow,
    Position,
    ProjectionMark,
)
from failover.adapters.files import read_jsonl
from failover.domain.errors import DataCorruption, StorageError

logger = logging.getLogger(__name__)

Row = dict[str, Any]
_BATCH = 500
_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 5.0
_TIMES = frozenset(
    {
        "created_at", "updated_at", "timestamp", "opened_at",
        "placed_at", "arrived_at", "first_fill_at", "ended_at",
    }
)  # fmt: skip
_MARK = "orders"
_TIME_OF_ROW: dict[type[Model], str] = {
    OrderRow: "created_at",
    Fill: "timestamp",
    ClosedTrade: "timestamp",
    OrderQuality: "timestamp",
}


class Projection:
    """The queue and its thread. `put` never blocks and never raises.

    The thread first brings in what the log of `orders_dir` has and the tables have not.
    """

    def __init__(self, orders_dir: Path, max_steps: int = 20_000) -> None:
        self.dropped = 0
        self._orders_dir = orders_dir
        self._queue: deque[tuple[Sequence[Row], int]] = deque()
        self._max_steps = max_steps
        self._wake = threading.Condition()
        self._stopping = False
        self._has_lost = False
        self._thread = threading.Thread(target=self._run, name="projection", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, rows: Sequence[Row], log_seq: int) -> None:
        with self._wake:
            if len(self._queue) >= self._max_steps:
                self._queue.popleft()
                self.dropped += 1
                self._has_lost = True
            self._queue.append((rows, log_seq))
            self._wake.notify()

    def close(self, timeout_s: float = 3.0) -> bool:
        """Write what is queued, then stop; False when the database did not take it in time."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._queue

    def _run(self) -> None:
        retry_s = _RETRY_MIN_S
        while not self._stopping and not self._caught_up():
            with self._wake:
                self._wake.wait(retry_s)
            retry_s = min(retry_s * 2, _RETRY_MAX_S)
        retry_s = _RETRY_MIN_S
        while (batch := self._next()) is not None:
            close_old_connections()
            rows = [row for step, _ in batch for row in step]
            try:
                write_rows(rows, None if self._has_lost else batch[-1][1])
            except AnyDatabaseError as error:
                logger.warning("projection_waits", extra={"reason": str(error), "rows": len(rows)})
                with self._wake:
                    self._queue.extendleft(reversed(batch))
                    if self._stopping:
                        break
                    self._wake.wait(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)
            else:
                retry_s = _RETRY_MIN_S
        connection.close()

    def _caught_up(self) -> bool:
        close_old_connections()
        try:
            count = catch_up(self._orders_dir)
        except (AnyDatabaseError, StorageError) as error:
            logger.warning("projection_waits", extra={"reason": str(error)})
            return False
        if count:
            logger.info("projection_caught_up", extra={"lines": count})
        return True

    def _next(self) -> list[tuple[Sequence[Row], int]] | None:
        with self._wake:
            while not self._queue and not self._stopping:
                self._wake.wait()
            if not self._queue:
                return None
            return [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]


def write_rows(rows: Iterable[Row], log_seq: int | None) -> None:
    """Write rows and move the mark in one transaction; writing them again changes nothing.

    Raises: DatabaseError.
    """
    by_kind: dict[str, dict[str, Row]] = {kind: {} for kind in _KEY}
    for row in rows:
        if (key := _KEY.get(row["record"])) is not None:
            by_kind[row["record"]][row[key]] = row  # the last one of a batch stands
    with transaction.atomic():
        _upsert(OrderRow, "client_order_id", [_order(r) for r in by_kind["ORDER"].values()])
        _upsert(Fill, "exec_id", [_fill(r) for r in by_kind["FILL"].values()])
        _upsert(Position, "symbol", [_position(r) for r in by_kind["POSITION"].values()])
        _upsert(ClosedTrade, "plan_id", [_trade(r) for r in by_kind["TRADE"].values()])
        _upsert(
            OrderQuality,
            "client_order_id",
            [OrderQuality(**_values(r, OrderQuality)) for r in by_kind["QUALITY"].values()],
        )
        if log_seq is not None:
            ProjectionMark.objects.update_or_create(name=_MARK, defaults={"log_seq": log_seq})


def catch_up(orders_dir: Path) -> int:
    """Project log lines the database has not seen; returns how many. Raises: DatabaseError."""
    mark = ProjectionMark.objects.filter(name=_MARK).values_list("log_seq", flat=True).first() or 0
    return _project(orders_dir, after_seq=mark)


def rebuild(orders_dir: Path) -> int:
    """Fold the whole log into the tables again. Raises: DatabaseError.

    What is older than the log reaches back stays: retention lets old days of it go, not their rows.
    """
    since = next((line["timestamp"] for line in _lines(orders_dir) if "timestamp" in line), None)
    with transaction.atomic():
        for model, time in _TIME_OF_ROW.items():
            rows: QuerySet[Any] = QuerySet(model)
            (rows if since is None else rows.filter(**{f"{time}__gte": since})).delete()
        Position.objects.all().delete()
        ProjectionMark.objects.all().delete()
    return _project(orders_dir, after_seq=0)


def _project(orders_dir: Path, after_seq: int) -> int:
    count, rows, seq = 0, [], after_seq
    for line in _lines(orders_dir):
        if int(line.get("seq", 0)) <= after_seq:
            continue
        count += 1
        seq = int(line["seq"])
        rows += rows_of_line(line)
        if len(rows) >= _BATCH:
            write_rows(rows, seq)
            rows = []
    write_rows([*rows, *_positions(orders_dir)], seq)
    return count


def _lines(orders_dir: Path) -> Iterator[Row]:
    for path in sorted(orders_dir.glob("day-*.jsonl")):
        yield from read_jsonl(path, on_bad=_report)


def _report(bad: DataCorruption) -> None:
    logger.error("data_corruption", extra={"reason": str(bad)})


def rows_of_line(line: Row) -> list[Row]:
    """What one line of the order log says to the tables (positions are a fold of fills)."""
    if line.get("event") == "TRADE_CLOSED":
        return [line["trade"]]
    if line.get("event") == "ORDER_QUALITY":
        return [line["quality"]]
    if line.get("event") == "FOREIGN_FILL":
        return [line["fill"]]
    if not line.get("clientOrderId"):
        return []
    rows = [{**line, "record": "ORDER"}]
    if line["kind"] == "FILL":
        figures = {"price": line["fillPrice"], "qty": line["fillQty"], "timestamp": line["fillTs"]}
        rows.append({**line, "record": "FILL", **figures})
    return rows


def _positions(orders_dir: Path) -> list[Row]:
    """The last position row of each symbol: fills of a plan, the stop of its last stop order.

    Of several plans the one that still holds something counts: a late fill of an ended one is undone
    beside it.
    """
    plans: dict[str, dict[str, Row]] = {}
    for line in _lines(orders_dir):
        symbol, plan = line.get("symbol"), line.get("planId")
        if symbol and line.get("event") == "FOREIGN_FILL":
            _take_over(plans.get(symbol, {}), line["fill"])
        if not symbol or not line.get("clientOrderId") or line["kind"] not in ("FILL", "UPDATE"):
            continue
        row = plans.setdefault(symbol, {}).get(plan or "")
        if row is None:
            if line["kind"] != "FILL" or not _adds(line):
                continue
            row = plans[symbol][plan or ""] = _empty_position(line)
        row["timestamp"] = line["timestamp"]
        if line["kind"] == "FILL":
            _add_fill(row, line)
        elif line["leg"] == "STOP":
            row["stopPrice"] = line["triggerPrice"]
    return [_standing(list(rows.values())) for rows in plans.values() if rows]


def _standing(rows: list[Row]) -> Row:
    return next((row for row in reversed(rows) if row["qty"]), rows[-1])


def _take_over(rows: dict[str, Row], fill: Row) -> None:
    """The venue liquidated what is held."""
    for row in rows.values():
        if fill["execType"] == "BustTrade" and row["qty"]:
            row["qty"] = max(round(row["qty"] - fill["qty"], 12), 0.0)
            row["timestamp"] = fill["timestamp"]


def _empty_position(line: Row) -> Row:
    return {
        "record": "POSITION",
        "symbol": line["symbol"],
        "side": "LONG" if line["side"] == "BUY" else "SHORT",
        "planId": line["planId"],
        "requestId": line["requestId"],
        "openedAt": line["timestamp"],
        "stopPrice": None,
        "tps": [],
        "qty": 0.0,
        "avgEntry": None,
        "timestamp": line["timestamp"],
    }


def _adds(line: Row) -> bool:
    """Whether the leg makes its position larger."""
    return bool(line["leg"] == "ENTRY" or line["leg"].startswith("DCA"))


def _add_fill(row: Row, line: Row) -> None:
    held = row["qty"]
    if not _adds(line):
        row["qty"] = round(held - line["fillQty"], 12)
        return
    value = held * (row["avgEntry"] or 0.0) + line["fillQty"] * line["fillPrice"]
    row["qty"] = round(held + line["fillQty"], 12)
    row["avgEntry"] = value / row["qty"]


# -- rows to models ------------------------------------------------------------------------------------

_KEY = {
    "ORDER": "clientOrderId",
    "FILL": "execId",
    "POSITION": "symbol",
    "TRADE": "planId",
    "QUALITY": "clientOrderId",
}


def _upsert(model: type[Model], key: str, objects: Sequence[Model]) -> None:
    if not objects:
        return
    fields = [name for name, _ in _columns(model) if name not in ("id", key)]
    model._default_manager.bulk_create(  # noqa: SLF001  (Django's documented way)
        objects, update_conflicts=True, unique_fields=[key], update_fields=fields
    )


def _order(row: Row) -> OrderRow:
    return OrderRow(**_values(row, OrderRow))


def _fill(row: Row) -> Fill:
    return Fill(**_values(row, Fill))


def _position(row: Row) -> Position:
    return Position(**_values({**row, "updatedAt": row["timestamp"]}, Position))


def _trade(row: Row) -> ClosedTrade:
    return ClosedTrade(**_values(row, ClosedTrade))


def _values(row: Row, model: type[Model]) -> dict[str, Any]:
    """Fields of `model` from a camelCase row; a null becomes '' where the column takes none."""
    values: dict[str, Any] = {}
    for column, is_nullable in _columns(model):
        name = _camel(column)
        if column == "id" or name not in row:
            continue
        value = row[name]
        if value is None and not is_nullable:
            value = ""
        values[column] = parse_datetime(value) if column in _TIMES and value else value
    return values


def _columns(model: type[Model]) -> list[tuple[str, bool]]:
    """(name, whether it may be null) of each column."""
    return [(f.name, f.null) for f in model._meta.concrete_fields]  # noqa: SLF001  (a documented API)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
