"""The write-ahead log's lines about one order: its full history, with the time each stage took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from failover.services.archive_place import archive_folder
from monitoring.domain.times import ms_of_iso

MAX_LINES = 300
MAX_DAYS = 3


def order_lines(client_order_id: str, first: datetime, last: datetime) -> list[dict[str, Any]]:
    """The lines, oldest first, each with `afterMs` since the first.

    Only the days of `first` to `last` are read. A torn or foreign line is passed over: the log's own
    reader reports those.
    """
    lines = []
    for path in _day_files(first.astimezone(UTC).date(), last.astimezone(UTC).date()):
        lines += list(_lines_about(path, client_order_id))
    return _with_times(lines[:MAX_LINES])


def _day_files(first: date, last: date) -> Iterator[Path]:
    folder = archive_folder() / "orders"
    for offset in range(min((last - first).days + 1, MAX_DAYS)):
        yield folder / f"day-{first + timedelta(days=offset)}.jsonl"


def _lines_about(path: Path, client_order_id: str) -> Iterator[dict[str, Any]]:
    needle = client_order_id.encode()
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if needle not in line:
                continue
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(row, dict) and row.get("clientOrderId") == client_order_id:
                yield row


def _with_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first_ms: int | None = None
    for line in lines:
        try:
            at_ms = ms_of_iso(str(line.get("timestamp")))
        except ValueError:
            line["afterMs"] = None
            continue
        first_ms = at_ms if first_ms is None else first_ms
        line["afterMs"] = at_ms - first_ms
    return lines
