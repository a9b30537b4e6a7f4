"""What a trade needs now: its orders as they should be against its orders as they are.

`plan_actions` is a pure comparison, run after every event of the symbol: whatever was lost, late or
refused, the next run asks for what is still missing. Rules it keeps:

- from the first fill on a stop for the whole position exists or is on its way; it is amended in place,
  never cancelled and set again, and stays until the position is gone, also while closing;
- the sum of live take-profits never exceeds the position; nothing rests once the trade is flat;
- the stop only tightens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from execution.domain.config import ExecutionConfig
from execution.domain.orders import Order, OrderState
from execution.domain.trade import (
    CLOSE,
    ENTRY,
    STOP,
    Action,
    Amend,
    Cancel,
    ManagedTrade,
    Place,
    Quote,
    TradePhase,
    stop_reason,
    tp_leg,
)
from execution.domain.venue import OrderType, TimeInForce
from strategy.domain.messages import Side

_STOP_MOVE = "STOP_MOVE"  # key of the pause after a refused move of the stop
_RETRY_NS = 250_000_000  # between two attempts at a protective or closing leg
_MS = 1_000_000


def plan_actions(
    trade: ManagedTrade,
    orders: Mapping[str, Order],
    quote: Quote | None,
    now_ns: int,
    config: ExecutionConfig,
) -> list[Action]:
    """Everything to be done for `trade` now, protection first. Changes the trade's own bookkeeping."""
    _decide_phase(trade, orders, quote, now_ns, config)
    if trade.position_lots <= 0:
        return [*_entry_actions(trade, orders, quote, now_ns, config), *_sweep(trade, orders)]
    actions = [] if trade.is_stray else _stop_actions(trade, orders, now_ns)
    if trade.phase is TradePhase.CLOSING:
        return [*actions, *_closing_actions(trade, orders, now_ns)]
    return [
        *actions,
        *_entry_actions(trade, orders, quote, now_ns, config),
        *_take_profit_actions(trade, orders, now_ns),
    ]


def begin_close(trade: ManagedTrade, reason: str) -> None:
    """Close at market as soon as possible; the first reason stands."""
    if trade.phase is not TradePhase.CLOSING:
        trade.phase = TradePhase.CLOSING
        trade.close_reason = reason


def on_stop_refused(trade: ManagedTrade, quote: Quote | None, now_ns: int) -> None:
    """The venue would not move the stop where it belongs: the trigger price is on the other side of it.

    Is the touch there too, the stop would have been hit: close. Is it not (the mark price lags), the old
    stop still stands, and the move is asked for again a little later.
    """
    if trade.position_lots <= 0:
        return
    if quote is not None and quote.bid_ticks > 0:
        touch = quote.exit_ticks(trade.plan.side)
        if (touch - trade.stop_ticks) * trade.plan.side.sign > 0:
            trade.retry_at_ns[_STOP_MOVE] = now_ns + _RETRY_NS
            return
    begin_close(trade, stop_reason(trade))


def is_over(trade: ManagedTrade, orders: Mapping[str, Order]) -> bool:
    """Flat and with nothing at the venue that could change that."""
    started = bool(trade.orders)
    return started and trade.position_lots <= 0 and not trade.live_orders(orders)


# -- time, prices and phases -----------------------------------------------------------------------


def _decide_phase(
    trade: ManagedTrade,
    orders: Mapping[str, Order],
    quote: Quote | None,
    now_ns: int,
    config: ExecutionConfig,
) -> None:
    if trade.position_lots <= 0:
        if trade.entered_lots:
            begin_close(trade, "FLAT")  # a late entry fill after flat is unwound, not managed anew
        return
    if trade.phase is TradePhase.ENTERING and trade.order_of(ENTRY, orders) is None:
        trade.phase = TradePhase.OPEN
    if not trade.is_stray:
        _watch_protection(trade, orders, now_ns, config)
    if _stop_has_failed(trade, orders):
        begin_close(trade, stop_reason(trade))
    if _time_stop_is_due(trade, now_ns):
        begin_close(trade, "TIME_STOP")
    if quote is not None and quote.bid_ticks > 0:
        _follow_price(trade, quote, now_ns, config)


def _watch_protection(
    trade: ManagedTrade, orders: Mapping[str, Order], now_ns: int, config: ExecutionConfig
) -> None:
    stop = trade.order_of(STOP, orders)
    if stop is not None and stop.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED):
        trade.unprotected_since_ns = 0
        trade.protected_since_ns = trade.protected_since_ns or now_ns
        return
    trade.unprotected_since_ns = trade.unprotected_since_ns or now_ns
    if now_ns - trade.unprotected_since_ns >= config.protect_deadline_ms * _MS:
        begin_close(trade, "PROTECT_DEADLINE")
    elif trade.attempts.get(STOP, 0) >= config.max_retry_count and stop is None:
        begin_close(trade, "STOP_REFUSED")


def _stop_has_failed(trade: ManagedTrade, orders: Mapping[str, Order]) -> bool:
    """The stop was triggered and took what there was, yet a position is left."""
    order = orders.get(trade.orders.get(STOP, ""))
    return order is not None and order.state is OrderState.CANCELED and order.filled_lots > 0


def _time_stop_is_due(trade: ManagedTrade, now_ns: int) -> bool:
    limit_s = trade.plan.time_stop_s
    if limit_s is None or now_ns < trade.opened_ts_ns + limit_s * 1_000_000_000:
        return False
    return not _first_target_reached(trade)


def _first_target_reached(trade: ManagedTrade) -> bool:
    first = next(
        (n for n in range(1, len(trade.plan.take_profits) + 1) if trade.tp_target_lots(n) > 0), None
    )
    return first is not None and trade.tp_filled_lots.get(tp_leg(first), 0) >= trade.tp_target_lots(
        first
    )


def _follow_price(trade: ManagedTrade, quote: Quote, now_ns: int, config: ExecutionConfig) -> None:
    """Excursions, break-even after its take-profit, trailing."""
    price = float(quote.exit_ticks(trade.plan.side))
    if trade.gain_ticks(price) > trade.gain_ticks(trade.best_ticks):
        trade.best_ticks = price
    if trade.gain_ticks(price) < trade.gain_ticks(trade.worst_ticks):
        trade.worst_ticks = price
    if not trade.break_even_moved and _break_even_is_due(trade):
        trade.break_even_moved = True
        _tighten(trade, _break_even_ticks(trade, config))
    _trail(trade, price, now_ns, config)


def _break_even_is_due(trade: ManagedTrade) -> bool:
    after = trade.plan.break_even_after_tp
    if after is None or not trade.plan.take_profits:
        return False
    level = min(after, len(trade.plan.take_profits))
    while level < len(trade.plan.take_profits) and trade.tp_target_lots(level) == 0:
        level += 1  # merged into the next
    target = trade.tp_target_lots(level)
    return target > 0 and trade.tp_filled_lots.get(tp_leg(level), 0) >= target


def _break_even_ticks(trade: ManagedTrade, config: ExecutionConfig) -> int:
    """Entry plus the entry fee, a taker exit fee and one tick, but always inside the first target."""
    entry, sign = trade.average_entry_ticks, trade.plan.side.sign
    costs = entry * (config.maker_fee_bps + config.taker_fee_bps) / 1e4 + 1
    level = entry + sign * costs
    ticks = math.ceil(level) if sign > 0 else math.floor(level)
    inside = trade.plan.take_profits[0].price_ticks - sign
    return min(ticks, inside) if sign > 0 else max(ticks, inside)


def _trail(trade: ManagedTrade, price: float, now_ns: int, config: ExecutionConfig) -> None:
    trailing = trade.plan.trailing
    if trailing is None:
        return
    if trade.gain_ticks(price) > trade.gain_ticks(trade.extreme_ticks):
        trade.extreme_ticks = price
    entry = trade.average_entry_ticks
    if trade.gain_ticks(trade.extreme_ticks) < entry * trailing.activate_bps / 1e4:
        return
    if now_ns - trade.last_trail_ns < config.trailing_interval_ms * _MS:
        return
    sign = trade.plan.side.sign
    level = trade.extreme_ticks - sign * entry * trailing.distance_bps / 1e4
    if _tighten(trade, math.floor(level) if sign > 0 else math.ceil(level)):
        trade.trailing_active = True
        trade.last_trail_ns = now_ns


def _tighten(trade: ManagedTrade, ticks: int) -> bool:
    """Move the stop towards the market, never away from it."""
    if (ticks - trade.stop_ticks) * trade.plan.side.sign <= 0:
        return False
    trade.stop_ticks = ticks
    return True


# -- legs --------------------------------------------------------------------------------------------


def _entry_actions(
    trade: ManagedTrade,
    orders: Mapping[str, Order],
    quote: Quote | None,
    now_ns: int,
    config: ExecutionConfig,
) -> list[Action]:
    entry = trade.order_of(ENTRY, orders)
    if entry is None:
        return _entry_again(trade, orders, quote, now_ns, config)
    if entry.canceling:
        return []
    if reason := _why_cancel_entry(trade, now_ns):
        trade.plan_end_reason = trade.plan_end_reason or reason
        return [Cancel(client_order_id=entry.client_order_id, reason=reason)]
    price = _better_entry_price(trade, entry, quote, now_ns, config)
    if price is None:
        return []
    trade.reprices += 1
    trade.last_reprice_ns = now_ns
    return [Amend(client_order_id=entry.client_order_id, price_ticks=price)]


def _why_cancel_entry(trade: ManagedTrade, now_ns: int) -> str:
    if trade.phase is TradePhase.CLOSING:
        return trade.close_reason
    if not trade.signal_holds:
        return "SIGNAL_FADED"
    return "ENTRY_TIMEOUT" if now_ns >= trade.entry_deadline_ns else ""


def _better_entry_price(
    trade: ManagedTrade, entry: Order, quote: Quote | None, now_ns: int, config: ExecutionConfig
) -> int | None:
    """The touch, when it has moved away from a resting entry that may still follow it."""
    planned = trade.plan.entry.price_ticks
    if (
        quote is None or planned is None or entry.price_ticks is None or quote.bid_ticks <= 0
        or entry.amending or entry.state not in (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
        or trade.reprices >= trade.plan.entry.max_reprices
        or now_ns - trade.last_reprice_ns < config.reprice_interval_ms * _MS
    ):  # fmt: skip
        return None
    sign = trade.plan.side.sign
    touch = quote.bid_ticks if sign > 0 else quote.ask_ticks
    moved_away = (touch - entry.price_ticks) * sign > 0
    too_far = abs(touch - planned) > planned * config.max_slippage_bps / 1e4
    return touch if moved_away and not too_far else None


def _entry_again(
    trade: ManagedTrade,
    orders: Mapping[str, Order],
    quote: Quote | None,
    now_ns: int,
    config: ExecutionConfig,
) -> list[Action]:
    """A PostOnly entry that would have taken is put once more at the touch, as one of its re-pricings."""
    last = orders.get(trade.orders.get(ENTRY, ""))
    if last is None or "EC_PostOnlyWillTakeLiquidity" not in last.last_error:
        return []
    may_retry = (
        not trade.entered_lots
        and trade.phase is TradePhase.ENTERING
        and trade.signal_holds
        and now_ns < trade.entry_deadline_ns
        and trade.reprices < trade.plan.entry.max_reprices
        and quote is not None
        and quote.bid_ticks > 0
    )
    if not may_retry or quote is None:
        return []
    trade.reprices += 1
    trade.last_reprice_ns = now_ns
    touch = quote.bid_ticks if trade.plan.side is Side.LONG else quote.ask_ticks
    return [entry_order(trade, touch)]


def entry_order(trade: ManagedTrade, price_ticks: int | None) -> Place:
    """The entry leg as the plan wants it."""
    is_market = trade.plan.entry.type == "MARKET"
    return Place(
        leg=ENTRY,
        side=trade.entry_side,
        type=OrderType.MARKET if is_market else OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if is_market else TimeInForce(trade.plan.entry.time_in_force),
        qty_lots=trade.qty_lots,
        price_ticks=None if is_market else price_ticks,
    )


def _stop_actions(trade: ManagedTrade, orders: Mapping[str, Order], now_ns: int) -> list[Action]:
    stop = trade.order_of(STOP, orders)
    if stop is None:
        if not _may_place(trade, STOP, now_ns) or _stop_has_failed(trade, orders):
            return []
        return [
            Place(
                leg=STOP,
                side=trade.entry_side.opposite,
                type=OrderType.STOP_MARKET,
                time_in_force=TimeInForce.IOC,
                qty_lots=trade.position_lots,
                trigger_ticks=trade.stop_ticks,
                trigger_by=trade.trigger_by,
                reduce_only=True,
                close_on_trigger=True,
            )
        ]
    wanted_qty = trade.position_lots + stop.filled_lots
    if stop.amending or stop.state is not OrderState.OPEN:
        return []
    qty = wanted_qty if wanted_qty != stop.qty_lots else None
    may_move = now_ns >= trade.retry_at_ns.get(_STOP_MOVE, 0)
    trigger = trade.stop_ticks if trade.stop_ticks != stop.trigger_ticks and may_move else None
    if qty is None and trigger is None:
        return []
    return [Amend(client_order_id=stop.client_order_id, qty_lots=qty, trigger_ticks=trigger)]


def _take_profit_actions(
    trade: ManagedTrade, orders: Mapping[str, Order], now_ns: int
) -> list[Action]:
    actions: list[Action] = []
    room = trade.position_lots
    for level, target in enumerate(trade.plan.take_profits, start=1):
        leg = tp_leg(level)
        wanted = trade.tp_target_lots(level) - trade.tp_filled_lots.get(leg, 0)
        wanted = max(min(wanted, room), 0)
        room -= wanted
        order = trade.order_of(leg, orders)
        if order is None:
            if wanted and _may_place(trade, leg, now_ns):
                actions.append(_take_profit(trade, leg, target.price_ticks, wanted))
        elif order.canceling or order.amending or order.state is OrderState.INTENT:
            continue
        elif wanted == 0:
            actions.append(Cancel(client_order_id=order.client_order_id, reason="NOT_NEEDED"))
        elif wanted != order.leaves_lots and order.state in (
            OrderState.OPEN,
            OrderState.PARTIALLY_FILLED,
        ):
            actions.append(
                Amend(client_order_id=order.client_order_id, qty_lots=wanted + order.filled_lots)
            )
    return actions


def _take_profit(trade: ManagedTrade, leg: str, price_ticks: int, lots: int) -> Place:
    """A maker limit; where the price is already through, the retry takes (it is a profit either way)."""
    first = trade.attempts.get(leg, 0) == 0
    return Place(
        leg=leg,
        side=trade.entry_side.opposite,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.POST_ONLY if first else TimeInForce.GTC,
        qty_lots=lots,
        price_ticks=price_ticks,
        reduce_only=True,
    )


def _closing_actions(trade: ManagedTrade, orders: Mapping[str, Order], now_ns: int) -> list[Action]:
    """Everything that could add or rest goes; a reduce-only market order takes the position out."""
    actions: list[Action] = [
        Cancel(client_order_id=order.client_order_id, reason=trade.close_reason)
        for leg in trade.orders
        if leg not in (STOP, CLOSE)
        and (order := trade.order_of(leg, orders)) is not None
        and not order.canceling
    ]
    if trade.order_of(CLOSE, orders) is None and _may_place(trade, CLOSE, now_ns):
        actions.insert(
            0,
            Place(
                leg=CLOSE,
                side=trade.entry_side.opposite,
                type=OrderType.MARKET,
                time_in_force=TimeInForce.IOC,
                qty_lots=trade.position_lots,
                reduce_only=not trade.is_stray,  # beside another trade the sum may point elsewhere
            ),
        )
    return actions


def _sweep(trade: ManagedTrade, orders: Mapping[str, Order]) -> list[Action]:
    """Flat: no stop, take-profit or close may stay behind (the entry has its own rule)."""
    return [
        Cancel(client_order_id=order.client_order_id, reason="FLAT")
        for leg in trade.orders
        if leg != ENTRY
        and (order := trade.order_of(leg, orders)) is not None
        and not order.canceling
        and order.type is not OrderType.MARKET
    ]


def _may_place(trade: ManagedTrade, leg: str, now_ns: int) -> bool:
    """The first attempt at once, each later one after a pause."""
    return now_ns >= trade.retry_at_ns.get(leg, 0)


def note_attempt(trade: ManagedTrade, leg: str, now_ns: int) -> int:
    """Count an order of `leg` and return its number, from 1."""
    trade.attempts[leg] = trade.attempts.get(leg, 0) + 1
    trade.retry_at_ns[leg] = now_ns + _RETRY_NS
    return trade.attempts[leg]
