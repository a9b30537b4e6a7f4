"""Fills that belong to no trade under way: the venue's position is the truth, so they are undone.

A stray trade exists to be closed: it books the fill, sends one market order the other way and ends. Beside
a live trade of the same symbol it leaves that trade exactly what it believes to hold. Without one its
closing order only reduces.
"""

from __future__ import annotations

from execution.domain.trade import ManagedTrade, TradePhase
from execution.domain.venue import OrderFilled, OrderSide
from strategy.domain.messages import EntryPlan, Side, StopPlan, TradePlan

LATE_FILL, FOREIGN_FILL = "LATE_FILL", "FOREIGN_FILL"


def foreign_trade(fill: OrderFilled) -> ManagedTrade:
    """A trade made up for an execution of an order that we do not know (any more)."""
    side = Side.LONG if fill.side is OrderSide.BUY else Side.SHORT
    plan_id = f"stray-{fill.exec_id}"
    plan = TradePlan(
        plan_id=plan_id,
        profile="stray",
        symbol=fill.symbol,
        side=side,
        qty_lots=fill.qty_lots,
        leverage=1.0,
        entry=EntryPlan(
            type="MARKET", price_ticks=None, time_in_force="IOC", timeout_ms=0, max_reprices=0
        ),
        stop=StopPlan(price_ticks=fill.price_ticks),
        take_profits=(),
        break_even_after_tp=None,
    )
    return ManagedTrade(
        request_id=plan_id,
        plan=plan,
        qty_lots=fill.qty_lots,
        decision_ts_ns=fill.venue_ts_ns,
        entry_deadline_ns=0,
        phase=TradePhase.CLOSING,
        source="RECOVERY",
        entry_reason=f"fill of unknown order {fill.client_order_id or fill.exchange_order_id}",
        stop_ticks=fill.price_ticks,
        close_reason=FOREIGN_FILL,
        is_stray=True,
    )
