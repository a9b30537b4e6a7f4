"""The figures by which one looks at a run: of its closed trades, and of its equity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replay.domain.curves import Drawdown
from replay.domain.trade_results import TradeResult


def run_metrics(trades: Sequence[TradeResult], drawdown: Drawdown) -> dict[str, Any]:
    """JSON-ready, money in USDT; null where there is nothing to divide by."""
    nets = [float(trade.costs.net_usdt) for trade in trades]
    won, lost = sum(n for n in nets if n > 0), -sum(n for n in nets if n < 0)
    held_s = [(trade.closed_ns - trade.opened_ns) / 1e9 for trade in trades]
    share = 100 * drawdown.deepest_usdt / drawdown.peak_usdt if drawdown.peak_usdt > 0 else None
    return {
        "trades": len(trades),
        "wins": sum(n > 0 for n in nets),
        "winRatePct": _ratio(100.0 * sum(n > 0 for n in nets), len(nets)),
        "netPnl": round(sum(nets), 8),
        "fees": round(sum(float(trade.costs.fees_usdt) for trade in trades), 8),
        "spreadCost": round(sum(float(trade.costs.spread_usdt) for trade in trades), 8),
        "slippage": round(sum(float(trade.costs.slippage_usdt) for trade in trades), 8),
        "funding": round(sum(float(trade.costs.funding_usdt) for trade in trades), 8),
        "profitFactor": _ratio(won, lost),
        "averageNet": _ratio(sum(nets), len(nets)),
        "best": max(nets, default=None),
        "worst": min(nets, default=None),
        "averageHeldSeconds": _ratio(sum(held_s), len(held_s)),
        "maxDrawdown": round(drawdown.deepest_usdt, 8),
        "maxDrawdownPct": None if share is None else round(share, 4),
    }


def _ratio(value: float, by: float) -> float | None:
    return round(value / by, 6) if by else None
