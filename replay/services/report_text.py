"""A replay's report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_TRADES_SHOWN = 40
_COLUMNS = (
    ("timestamp", "closed at"), ("symbol", "symbol"), ("side", "side"), ("qty", "qty"),
    ("entryPrice", "entry"), ("closePrice", "close"), ("fees", "fees"), ("realizedPnl", "net"),
    ("durationSeconds", "seconds"), ("exitReason", "exit"),
)  # fmt: skip


def report_lines(report: dict[str, Any], trades: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of the whole report, the digest line not included."""
    return [
        f"{report['recording']}: {', '.join(report['paths'])}",
        f"{', '.join(report['symbols'])}, {report['from']} to {report['to']}",
        "",
        *_trade_table(trades),
        "",
        *_result(report),
        *_counts(report),
        *_assumptions(report["assumptions"]),
        *_faults(report),
        *_kernel(report["kernelCounters"]),
    ]


def _trade_table(trades: Sequence[dict[str, Any]]) -> list[str]:
    if not trades:
        return ["no trade was closed"]
    rows = [[title for _, title in _COLUMNS]]
    rows += [[_cell(trade.get(name)) for name, _ in _COLUMNS] for trade in trades[:_TRADES_SHOWN]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    if len(trades) > _TRADES_SHOWN:
        lines.append(f"... and {len(trades) - _TRADES_SHOWN} more (--out writes them all)")
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.8f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)


def _result(report: dict[str, Any]) -> list[str]:
    result, counts = report["result"], report["counts"]
    return [
        (
            f"trades {counts['trades']} ({result['wins']} won)   gross {result['grossPnl']:+.4f} USDT   "
            f"fees {result['fees']:.4f} USDT   net {result['netPnl']:+.4f} USDT"
        ),
        f"equity {result['equity']:.4f} USDT   open positions {result['openPositions']}"
        + ("   (fees include the open positions')" if result["openPositions"] else ""),
    ]


def _counts(report: dict[str, Any]) -> list[str]:
    counts = report["counts"]
    names = ("messages", "frames", "signals", "requests", "orders", "fills")
    return [
        "   ".join(f"{name} {counts[name]}" for name in names),
        f"{report['elapsedSeconds']:.1f} s, {report['messagesPerSecond']} messages/s",
    ]


def _assumptions(assumptions: dict[str, Any]) -> list[str]:
    return [
        "",
        (
            f"assumed: config {assumptions['configVersion']}, fees {assumptions['makerFeeBps']:g} bps "
            f"maker / {assumptions['takerFeeBps']:g} bps taker, order latency "
            f"{assumptions['orderLatencyMs']} ms each way, {assumptions['queueModel']} queue, "
            f"{assumptions['startBalance']:g} USDT to start with"
        ),
        *(f"  {note}" for note in assumptions["notes"]),
        *(
            f"  {rule['symbol']}: tick {rule['tickSize']}, lot {rule['qtyStep']}, min notional "
            f"{rule['minNotional']}"
            for rule in assumptions["instruments"]
        ),
    ]


def _faults(report: dict[str, Any]) -> Iterable[str]:
    counts = report["faults"]["counts"]
    if not counts:
        return ["", "data faults: none"]
    found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    return ["", f"data faults: {found}", *(f"  {line}" for line in report["faults"]["examples"])]


def _kernel(counters: dict[str, int]) -> list[str]:
    if not counters:
        return []
    return ["kernel: " + ", ".join(f"{name} {count}" for name, count in counters.items())]
