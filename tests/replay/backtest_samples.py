"""Trades and parts made up for tests of judging and showing them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from replay.domain.backtest_parts import PartResult, Variant
from replay.domain.curves import Curve, Drawdown, EquityCurve
from replay.domain.trade_results import Costs, EntryContext, OpenPosition, TradeResult

SECOND = 1_000_000_000
START = 1_763_424_000 * SECOND  # 2025-11-18T00:00:00Z
DEPOSIT = Decimal(10_000)


def a_trade(number: int, net_usdt: float, **changes: Any) -> TradeResult:
    """The `number`th trade, a minute after the one before; 1,000 USDT each way, 1 USDT of fees."""
    net = Decimal(repr(net_usdt))
    facts: dict[str, Any] = {
        "symbol": "ETHUSDT",
        "side": "LONG",
        "plan_id": f"p{number}",
        "opened_ns": START + number * 60 * SECOND,
        "closed_ns": START + (number * 60 + 30) * SECOND,
        "qty": 0.5,
        "entry_price": 2000.0,
        "exit_price": 2000.0 + net_usdt * 2,
        "entry_notional_usdt": 1000.0,
        "filled_notional_usdt": 2000.0,
        "exit_reason": "TAKE_PROFIT" if net_usdt > 0 else "STOP_LOSS",
        "costs": Costs(gross_usdt=net + 1, fees_usdt=Decimal(1)),
        "context": EntryContext(
            regime="NORMAL", global_regime="GLOBAL_NORMAL", rv60s_bps=2.0, near_depth_usd=50_000.0
        ),
    }
    return TradeResult(**(facts | changes))


def a_part(trades: Sequence[TradeResult], **changes: Any) -> PartResult:
    """A recording of ETHUSDT in which these trades happened."""
    equity, price = EquityCurve(float(DEPOSIT)), Curve()
    equity.add(START, float(DEPOSIT))
    total = float(DEPOSIT)
    for trade in trades:
        price.add(trade.opened_ns, trade.entry_price)
        price.add(trade.closed_ns, trade.exit_price)
        total += trade.net_usdt
        equity.add(trade.closed_ns, total)
    end_ns = max([START + 3600 * SECOND, *(trade.closed_ns for trade in trades)])
    facts: dict[str, Any] = {
        "name": "eth.gz (ETHUSDT)",
        "variant": Variant.BASE,
        "paths": ["/somewhere/eth.gz"],
        "symbols": ["ETHUSDT"],
        "from_ns": START,
        "to_ns": end_ns,
        "warmup_s": 600.0,
        "digest": "ab" * 16,
        "deposit_usdt": DEPOSIT,
        "trades": list(trades),
        "open_positions": [],
        "unexplained_trades": 0,
        "fills": 2 * len(trades),
        "maker_fills": len(trades),
        "equity": equity.points(),
        "drawdown": equity.drawdown,
        "prices": {"ETHUSDT": price.points()},
        "market_notional_usdt": {"ETHUSDT": 1e9},
        "report": a_report(),
    }
    return PartResult(**(facts | changes))


def a_report() -> dict[str, Any]:
    """The part of a replay's report that a judgement shows."""
    return {
        "recording": "Binance USD-M capture",
        "counts": {"messages": 1000, "frames": 100, "orders": 10},
        "elapsedSeconds": 1.0,
        "messagesByKind": {"BOOK_DELTA": 900, "TRADE": 100, "FEED_GAP": 2},
        "faults": {"counts": {"bad line": 3}, "examples": ["eth.gz, line 7: bad line: <x>"]},
        "kernelCounters": {},
        "assumptions": {
            "configVersion": "demo:1",
            "makerFeeBps": 2.0,
            "takerFeeBps": 5.5,
            "orderLatencyMs": 20,
            "latencyJitterMs": 0.0,
            "amendLatencyMs": -1.0,
            "cancelLatencyMs": -1.0,
            "symbolsWithOverrides": [],
            "queueModel": "conservative",
            "startBalance": 10_000.0,
            "exchangeClockAheadMs": 0.0,
            "notes": ["trading rules: built in"],
            "instruments": [
                {"symbol": "ETHUSDT", "tickSize": "0.01", "qtyStep": "0.001", "minNotional": "5"}
            ],
        },
    }


def an_open_position(result_usdt: str) -> OpenPosition:
    return OpenPosition(
        symbol="ETHUSDT", side="LONG", qty=0.5, entry_price=2000.0, result_usdt=Decimal(result_usdt)
    )


NO_FALL = Drawdown(deepest_usdt=0.0, peak_usdt=float(DEPOSIT), at_ns=0)
