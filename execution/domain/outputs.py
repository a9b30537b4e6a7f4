"""What the execution core wants done, in the order it wants it done."""

from __future__ import annotations

from typing import Any

import msgspec

from execution.domain.venue import AmendOrder, CancelOrder, PlaceOrder, SetLeverage
from strategy.domain.messages import ExecutionEvent, ExecutionSnapshot


class LogLine(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """One line of the write-ahead order log, ready for JSON; on disk before anything after it is done."""

    record: dict[str, Any]


def is_sent_line(line: LogLine) -> bool:
    """Whether a line says that a command has left: it is written after that, all others before."""
    return bool(line.record["kind"] == "SENT")


class RecordRow(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """One row for `execution.records` and the ORM projection; `row["record"]` says which kind."""

    row: dict[str, Any]


ExecutionOutput = (
    LogLine
    | SetLeverage
    | PlaceOrder
    | AmendOrder
    | CancelOrder
    | ExecutionEvent
    | ExecutionSnapshot
    | RecordRow
)
