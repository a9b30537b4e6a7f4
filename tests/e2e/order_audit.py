"""What must hold of a data directory's order log, whatever was killed meanwhile."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def order_lines(data_dir: Path) -> list[Line]:
    """Whole lines of the write-ahead order log, in order."""
    lines: list[Line] = []
    for path in sorted((data_dir / "orders").glob("day-*.jsonl")):
        whole, _, _ = path.read_text().rpartition("\n")
        lines += [json.loads(line) for line in whole.splitlines()]
    return lines


def faults(lines: list[Line]) -> list[str]:
    """Everything wrong with the log: gaps, orders placed twice, fills taken twice, trades not flat."""
    found = []
    numbers = [line["seq"] for line in lines]
    if numbers != list(range(1, len(lines) + 1)):
        wrong = [n for n, number in enumerate(numbers, start=1) if n != number]
        found.append(f"seq is not gap-free from {wrong[0]}")
    placed = [
        line["clientOrderId"]
        for line in lines
        if line["kind"] == "INTENT" and line["command"] == "PLACE"
    ]
    found += _twice("placed", placed)
    found += _twice("sent", [line["clientOrderId"] for line in lines if line["kind"] == "SENT"])
    found += _twice("filled", [line["execId"] for line in lines if line["kind"] == "FILL"])
    return found + _closed_but_not_flat(lines)


def _twice(what: str, names: list[str]) -> list[str]:
    return [f"{what} {count} times: {name}" for name, count in Counter(names).items() if count > 1]


def _closed_but_not_flat(lines: list[Line]) -> list[str]:
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        if line["kind"] == "FILL":
            sign = 1 if line["side"] == "BUY" else -1
            held[line["planId"]] += sign * Decimal(str(line["fillQty"]))
    closed = [line["trade"]["planId"] for line in lines if line.get("event") == "TRADE_CLOSED"]
    return [f"closed with {held[plan]} open: {plan}" for plan in closed if held[plan]] + _twice(
        "closed", closed
    )
