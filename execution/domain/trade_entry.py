"""The entry of a trade: placed at the touch, followed while the signal holds, dropped in time."""

from __future__ import annotations

from execution.domain.orders import Order
from execution.domain.trade import ENTRY, Action, Amend, Cancel, ManagedTrade, Place, TradePhase
from execution.domain.trade_scene import AT_REST, MS, Scene
from execution.domain.venue import OrderType, TimeInForce
from strategy.domain.messages import Side


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


def entry_actions(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """Cancel, re-price or put the entry once more."""
    entry = trade.order_of(ENTRY, scene.orders)
    if entry is None:
        return [] if trade.entered_lots else _entry_again(trade, scene)
    if entry.canceling:
        return []
    if reason := _why_cancel(trade, scene):
        trade.plan_end_reason = trade.plan_end_reason or reason
        return [Cancel(client_order_id=entry.client_order_id, reason=reason)]
    price = _better_price(trade, entry, scene)
    if price is None:
        return []
    _note_repricing(trade, scene)
    return [Amend(client_order_id=entry.client_order_id, price_ticks=price)]


def chase_bps(trade: ManagedTrade, max_slippage_bps: float) -> float:
    """How far from its first price the entry may follow the touch: it was sized for no more."""
    planned = trade.plan.entry.max_chase_bps
    return max_slippage_bps if planned is None else min(planned, max_slippage_bps)


def _why_cancel(trade: ManagedTrade, scene: Scene) -> str:
    if trade.phase is TradePhase.CLOSING:
        return trade.close_reason
    if not trade.signal_holds:
        return "SIGNAL_FADED"
    return "ENTRY_TIMEOUT" if scene.now_ns >= trade.entry_deadline_ns else scene.no_adding


def _better_price(trade: ManagedTrade, entry: Order, scene: Scene) -> int | None:
    """The touch, when it has moved away from a resting entry that may still follow it."""
    quote, config = scene.touch, scene.config
    if (
        quote is None or entry.price_ticks is None or entry.amending
        or entry.state not in AT_REST
        or trade.reprices >= trade.plan.entry.max_reprices
        or scene.now_ns - trade.last_reprice_ns < config.reprice_interval_ms * MS
    ):  # fmt: skip
        return None
    sign = trade.plan.side.sign
    touch = quote.bid_ticks if sign > 0 else quote.ask_ticks
    moved_away = (touch - entry.price_ticks) * sign > 0
    return touch if moved_away and _is_near(trade, touch, scene) else None


def _is_near(trade: ManagedTrade, touch_ticks: int, scene: Scene) -> bool:
    planned = trade.plan.entry.price_ticks
    if planned is None:
        return False
    farthest = planned * chase_bps(trade, scene.config.max_slippage_bps) / 1e4
    return abs(touch_ticks - planned) <= farthest


def _entry_again(trade: ManagedTrade, scene: Scene) -> list[Action]:
    """A PostOnly entry that would have taken is put once more at the touch, as one of its re-pricings."""
    last, quote = scene.orders.get(trade.orders.get(ENTRY, "")), scene.touch
    if last is None or "EC_PostOnlyWillTakeLiquidity" not in last.last_error or quote is None:
        return []
    may_retry = (
        scene.may_add
        and trade.phase is TradePhase.ENTERING
        and trade.signal_holds
        and scene.now_ns < trade.entry_deadline_ns
        and trade.reprices < trade.plan.entry.max_reprices
    )
    touch = quote.bid_ticks if trade.plan.side is Side.LONG else quote.ask_ticks
    dearer = (touch - (trade.plan.entry.price_ticks or touch)) * trade.plan.side.sign > 0
    if not may_retry or (dearer and not _is_near(trade, touch, scene)):
        return []
    _note_repricing(trade, scene)
    return [entry_order(trade, touch)]


def _note_repricing(trade: ManagedTrade, scene: Scene) -> None:
    trade.reprices += 1
    trade.last_reprice_ns = scene.now_ns
