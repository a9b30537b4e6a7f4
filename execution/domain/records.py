"""Rows for files, screen and ORM, in the owner's shapes (phase 10 §3.6, phase 12 §3, records.md).

Everything is a JSON-ready dict in camelCase: prices and quantities as numbers, times ISO-8601 with ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execution.domain.orders import PUBLIC_STATUS, Order
from execution.domain.trade import STOP, ManagedTrade, dca_leg, exit_reason, tp_leg
from execution.domain.venue import OrderFilled
from failover.domain.days import iso_ms, utc_day
from market.domain.instruments import Instrument

SCHEMA_VERSION = 1
Row = dict[str, Any]


def price(instrument: Instrument, ticks: float | None) -> float | None:
    """Ticks as a number in quote coin; an average of fills may lie between ticks."""
    if ticks is None:
        return None
    if isinstance(ticks, int):
        return float(instrument.ticks_to_price(ticks))
    return round(ticks * float(instrument.tick_size), instrument.price_scale + 4)


def quantity(instrument: Instrument, lots: int) -> float:
    return float(instrument.lots_to_qty(lots))


def order_record(order: Order, instrument: Instrument, mode: str, ts_ns: int) -> Row:
    """OrderLogRecord: ExecutionOrder plus `timestamp`, leg, plan and request."""
    reference = order.average_ticks or order.price_ticks or order.trigger_ticks or 0
    lots = order.filled_lots or order.qty_lots
    return {
        "timestamp": iso_ms(ts_ns),
        "clientOrderId": order.client_order_id,
        "exchangeOrderId": order.exchange_order_id or None,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "timeInForce": order.time_in_force.value,
        "price": price(instrument, order.price_ticks),
        "triggerPrice": price(instrument, order.trigger_ticks),
        "qty": quantity(instrument, order.qty_lots),
        "reduceOnly": order.reduce_only,
        "status": PUBLIC_STATUS[order.state],
        "state": order.state.value,
        "filledQty": quantity(instrument, order.filled_lots),
        "avgFillPrice": price(instrument, order.average_ticks),
        "notionalUsd": round(reference * lots * instrument.tick_lot_usdt, 8),
        "mode": mode,
        "source": order.source,
        "lastError": order.last_error or None,
        "createdAt": iso_ms(order.decision_ts_ns),
        "updatedAt": iso_ms(max(order.updated_ts_ns, order.decision_ts_ns)),
        "leg": order.leg,
        "planId": order.plan_id,
        "requestId": order.request_id,
        "attempt": order.attempt,
        "decisionTs": iso_ms(order.decision_ts_ns),
        "configVersion": order.config_version,
        "schemaVersion": SCHEMA_VERSION,
    }


def fill_record(fill: OrderFilled, order: Order | None, instrument: Instrument) -> Row:
    return {
        "record": "FILL",
        "timestamp": iso_ms(fill.venue_ts_ns),
        "execId": fill.exec_id,
        "clientOrderId": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "leg": order.leg if order else "",
        "planId": order.plan_id if order else "",
        "price": price(instrument, fill.price_ticks),
        "qty": quantity(instrument, fill.qty_lots),
        "fee": float(fill.fee_usdt),
        "isMaker": fill.is_maker,
        "schemaVersion": SCHEMA_VERSION,
    }


def position_record(
    trade: ManagedTrade, orders: Mapping[str, Order], instrument: Instrument, ts_ns: int
) -> Row:
    """POSITION row; `qty` 0 = closed."""
    return {
        "record": "POSITION",
        "timestamp": iso_ms(ts_ns),
        "symbol": trade.plan.symbol,
        "side": trade.plan.side.value,
        "qty": quantity(instrument, max(trade.position_lots, 0)),
        "avgEntry": price(instrument, trade.average_entry_ticks) if trade.entered_lots else None,
        "planId": trade.plan.plan_id,
        "requestId": trade.request_id,
        "stopPrice": price(instrument, trade.stop_ticks),
        "tps": tp_rows(trade, orders, instrument),
        "dcas": dca_rows(trade, orders, instrument),
        "breakEvenMoved": trade.break_even_moved,
        "trailing": trade.plan.trailing
        and {
            "active": trade.trailing_active,
            "distanceBps": trade.plan.trailing.distance_bps,
        },  # without its extreme, which moves with every quote
        "timeStopAt": time_stop_at(trade),
        "profile": trade.plan.profile,
        "leverage": trade.plan.leverage,
        "openedAt": iso_ms(trade.opened_ts_ns) if trade.opened_ts_ns else None,
        "schemaVersion": SCHEMA_VERSION,
    }


def trailing_row(trade: ManagedTrade, instrument: Instrument) -> Row | None:
    """`{active, extreme, distanceBps}` of a plan that trails its stop."""
    trailing = trade.plan.trailing
    if trailing is None:
        return None
    return {
        "active": trade.trailing_active,
        "extreme": price(instrument, trade.extreme_ticks),
        "distanceBps": trailing.distance_bps,
    }


def time_stop_at(trade: ManagedTrade) -> str | None:
    """When the trade is closed unless its first take-profit has filled."""
    time_stop_ns = (trade.plan.time_stop_s or 0) * 1_000_000_000
    return iso_ms(trade.opened_ts_ns + time_stop_ns) if time_stop_ns else None


def tp_rows(trade: ManagedTrade, orders: Mapping[str, Order], instrument: Instrument) -> list[Row]:
    rows = []
    for level, target in enumerate(trade.plan.take_profits, start=1):
        leg = tp_leg(level)
        filled, wanted = trade.tp_filled_lots.get(leg, 0), trade.tp_target_lots(level)
        live = trade.order_of(leg, orders) is not None
        done = wanted > 0 and filled >= wanted
        rows.append(
            {
                "level": level,
                "price": price(instrument, trade.tp_price_ticks(level)),
                "qty": quantity(instrument, wanted or target.qty_lots),
                "clientOrderId": trade.orders.get(leg),
                "state": _leg_state(done=done, live=live, given_up=leg in trade.given_up),
            }
        )
    return rows


def dca_rows(trade: ManagedTrade, orders: Mapping[str, Order], instrument: Instrument) -> list[Row]:
    rows = []
    targets = trade.dca_targets()
    for level, planned in enumerate(trade.plan.dca_levels, start=1):
        leg, wanted = dca_leg(level), targets[level - 1]
        done = wanted > 0 and trade.dca_filled_lots.get(leg, 0) >= wanted
        live = trade.order_of(leg, orders) is not None
        rows.append(
            {
                "level": level,
                "price": price(instrument, planned.price_ticks),
                "qty": quantity(instrument, wanted or planned.qty_lots),
                "clientOrderId": trade.orders.get(leg),
                "state": _leg_state(done=done, live=live, given_up=leg in trade.given_up),
            }
        )
    return rows


def _leg_state(*, done: bool, live: bool, given_up: bool) -> str:
    if done:
        return "FILLED"
    if live:
        return "OPEN"
    return "GIVEN_UP" if given_up else "PENDING"


def trade_record(trade: ManagedTrade, instrument: Instrument, mode: str, ts_ns: int) -> Row:
    """TradeLogRecord of phase 12 §3.2 plus costs, reasons and slippage."""
    entry, tick = trade.average_entry_ticks, float(instrument.tick_size)
    slip = (entry - trade.decision_mid_ticks) * trade.plan.side.sign
    return {
        "record": "TRADE",
        "timestamp": iso_ms(ts_ns),
        "dateKey": utc_day(ts_ns),
        "symbol": trade.plan.symbol,
        "side": trade.plan.side.value,
        "entryPrice": price(instrument, entry),
        "closePrice": price(instrument, trade.average_exit_ticks),
        "qty": quantity(instrument, trade.entered_lots),
        "leverage": trade.plan.leverage,
        "realizedPnl": float(trade.realized_usdt(instrument)),
        "mfe": round(max(trade.gain_ticks(trade.best_ticks), 0.0) * tick, 10),
        "mae": round(min(trade.gain_ticks(trade.worst_ticks), 0.0) * tick, 10),
        "durationSeconds": round((ts_ns - trade.opened_ts_ns) / 1e9, 3),
        "mode": mode,
        "planId": trade.plan.plan_id,
        "requestId": trade.request_id,
        "openedAt": iso_ms(trade.opened_ts_ns),
        "fees": float(trade.fees_usdt),
        "funding": float(trade.funding_usdt),
        "entryReasons": trade.entry_reason,
        "slippageBps": round(slip / entry * 1e4, 4) if entry and trade.decision_mid_ticks else None,
        "exitReason": exit_reason(trade, instrument),
        "requiredHitRate": trade.plan.required_hit_rate,
        "profile": trade.plan.profile,
        "configVersion": trade.config_version,
        "schemaVersion": SCHEMA_VERSION,
    }


def position_snapshot(trade: ManagedTrade, instrument: Instrument, unrealized_usdt: float) -> Row:
    """PositionSnapshot of phase 17 §3.1; the simulated venue has one position a symbol and no id for it."""
    return {
        "symbol": trade.plan.symbol,
        "side": trade.plan.side.value,
        "entryPrice": price(instrument, trade.average_entry_ticks),
        "qty": quantity(instrument, trade.position_lots),
        "leverage": trade.plan.leverage,
        "pnlUnrealized": round(unrealized_usdt, 8),
        "exchangePositionId": None,
    }


def order_snapshot(order: Order, instrument: Instrument) -> Row:
    """OrderSnapshot of phase 17 §3.1 plus the leg and the trigger."""
    return {
        "symbol": order.symbol,
        "side": order.side.value,
        "clientOrderId": order.client_order_id,
        "exchangeOrderId": order.exchange_order_id or None,
        "price": price(instrument, order.price_ticks),
        "triggerPrice": price(instrument, order.trigger_ticks),
        "qty": quantity(instrument, order.qty_lots),
        "status": PUBLIC_STATUS[order.state],
        "leg": order.leg,
    }


def tpsl_record(trade: ManagedTrade, orders: Mapping[str, Order], instrument: Instrument) -> Row:
    """One entry of TpslSnapshot.trades (records.md)."""
    stop = orders.get(trade.orders.get(STOP, ""))
    return {
        "planId": trade.plan.plan_id,
        "symbol": trade.plan.symbol,
        "side": trade.plan.side.value,
        "qty": quantity(instrument, trade.position_lots),
        "avgEntry": price(instrument, trade.average_entry_ticks),
        "profile": trade.plan.profile,
        "stop": {
            "price": price(instrument, trade.stop_ticks),
            "triggerBy": trade.plan.stop.trigger_by,
            "qty": quantity(instrument, stop.qty_lots) if stop else 0.0,
            "orderId": stop.exchange_order_id or None if stop else None,
            "state": stop.state.value if stop else "MISSING",
        },
        "tps": tp_rows(trade, orders, instrument),
        "dcas": dca_rows(trade, orders, instrument),
        "breakEvenMoved": trade.break_even_moved,
        "trailing": trailing_row(trade, instrument),
        "timeStopAt": time_stop_at(trade),
        "protectedSince": iso_ms(trade.protected_since_ns) if trade.protected_since_ns else None,
    }
