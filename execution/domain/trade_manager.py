"""What a trade needs now: its orders as they should be against its orders as they are.

`plan_actions` is a pure comparison, run after every event of the symbol: whatever was lost, late or
refused, the next run asks for what is still missing. Rules it keeps:

- from the first fill on a stop for the whole position exists or is on its way; it is amended in place,
  never cancelled and set again, and stays until the position is gone, also while closing;
- the sum of live take-profits never exceeds the position; nothing rests once the trade is flat;
- averaging orders move the average, and with it the stop and the targets planned by their distance;
  from its first tightening on the stop only tightens.
"""

from __future__ import annotations

from collections.abc import Mapping

from execution.domain.orders import Order
from execution.domain.trade import ENTRY, STOP, Action, ManagedTrade, TradePhase, stop_reason
from execution.domain.trade_entry import entry_actions
from execution.domain.trade_legs import (
    STOP_MOVE,
    averaging_actions,
    closing_actions,
    stop_actions,
    stop_has_failed,
    sweep,
    take_profit_actions,
)
from execution.domain.trade_prices import first_target_reached, follow_price
from execution.domain.trade_scene import AT_REST, MS, Scene


def plan_actions(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Everything to be done for `trade` now, protection first. Changes the trade's own bookkeeping."""
    if trade.entered_lots <= trade.exited_lots:
        if trade.entered_lots:
            begin_close(trade, "FLAT")  # a late entry fill after flat is unwound, not managed anew
        actions = entry_actions(trade, scene)
        has_entry_alone = len(trade.orders) == 1 and ENTRY in trade.orders
        return actions if has_entry_alone else actions + sweep(trade, scene)
    stop = trade.order_of(STOP, scene.orders)
    _decide_phase(trade, stop, scene)
    actions = [] if trade.is_stray else stop_actions(trade, stop, scene)
    if trade.phase is TradePhase.CLOSING:
        return actions + closing_actions(trade, scene)
    if trade.phase is TradePhase.ENTERING:
        return actions + entry_actions(trade, scene) + take_profit_actions(trade, scene)
    actions += take_profit_actions(trade, scene)
    if trade.plan.dca_levels:
        actions += averaging_actions(trade, scene)
    return actions


def begin_close(trade: ManagedTrade, reason: str) -> None:
    """Close at market as soon as possible; the first reason stands."""
    if trade.phase is not TradePhase.CLOSING:
        trade.phase = TradePhase.CLOSING
        trade.close_reason = reason


def on_stop_refused(trade: ManagedTrade, scene: Scene) -> None:
    """The venue would not move the stop where it belongs: the trigger price is on the other side of it.

    Is the touch there too, the stop would have been hit: close. Is it not (the mark price lags), the old
    stop still stands, and the move is asked for again a little later.
    """
    if trade.position_lots <= 0:
        return
    quote = scene.touch
    if quote is not None:
        touch = quote.exit_ticks(trade.plan.side)
        if (touch - trade.stop_ticks) * trade.plan.side.sign > 0:
            trade.retry_at_ns[STOP_MOVE] = scene.now_ns + scene.config.leg_retry_ms * MS
            return
    begin_close(trade, stop_reason(trade))


def is_over(trade: ManagedTrade, orders: Mapping[str, Order]) -> bool:
    """Flat and with nothing at the venue that could change that."""
    if trade.entered_lots > trade.exited_lots:
        return False
    return bool(trade.orders) and not trade.has_live_orders(orders)


def _decide_phase(trade: ManagedTrade, stop: Order | None, scene: Scene) -> None:
    """What has become of a trade that holds something; `stop` is its live one."""
    if trade.phase is TradePhase.ENTERING and trade.order_of(ENTRY, scene.orders) is None:
        trade.phase = TradePhase.OPEN
    if not trade.is_stray:
        _watch_protection(trade, stop, scene)
    if stop is None and stop_has_failed(trade, scene):
        begin_close(trade, stop_reason(trade))
    if _time_stop_is_due(trade, scene.now_ns):
        begin_close(trade, "TIME_STOP")
    follow_price(trade, scene)


def _watch_protection(trade: ManagedTrade, stop: Order | None, scene: Scene) -> None:
    now_ns = scene.now_ns
    if (
        stop is not None
        and stop.state in AT_REST
        and stop.qty_lots - stop.filled_lots >= trade.entered_lots - trade.exited_lots
    ):
        trade.unprotected_since_ns = 0
        trade.protected_since_ns = trade.protected_since_ns or now_ns
        return
    trade.unprotected_since_ns = trade.unprotected_since_ns or now_ns
    if now_ns - trade.unprotected_since_ns >= scene.config.protect_deadline_ms * MS:
        begin_close(trade, "PROTECT_DEADLINE")
    elif trade.attempts.get(STOP, 0) >= scene.config.max_retry_count and stop is None:
        begin_close(trade, "STOP_REFUSED")


def _time_stop_is_due(trade: ManagedTrade, now_ns: int) -> bool:
    limit_s = trade.plan.time_stop_s
    if limit_s is None or now_ns < trade.opened_ts_ns + limit_s * 1_000_000_000:
        return False
    return not first_target_reached(trade)
