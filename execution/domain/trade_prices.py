"""What prices do to a trade: excursions, break-even, trailing. The stop only ever tightens here."""

from __future__ import annotations

import math

from execution.domain.trade import ManagedTrade, tp_leg
from execution.domain.trade_scene import MS, Scene
from market.domain.frames import BookState
from strategy.domain.messages import Trailing


def follow_price(trade: ManagedTrade, scene: Scene) -> None:
    """Excursions, break-even after its take-profit, trailing.

    A price of a book that is not trusted proves nothing: what it moved would never move back.
    """
    quote = scene.touch
    if quote is None:
        return
    if trade.tp_filled_lots and not trade.break_even_moved and _break_even_is_due(trade):
        trade.break_even_moved = True
        _tighten(trade, break_even_ticks(trade, scene))
    if quote.book_state != BookState.OK:
        return
    side = trade.plan.side
    price, sign = float(quote.exit_ticks(side)), side.sign
    if (price - trade.best_ticks) * sign > 0:
        trade.best_ticks = price
    if (price - trade.worst_ticks) * sign < 0:
        trade.worst_ticks = price
    if trade.plan.trailing is not None:
        _trail(trade, trade.plan.trailing, price, scene)


def first_target_reached(trade: ManagedTrade) -> bool:
    """The nearest take-profit that is not too small for the venue has filled."""
    if not trade.tp_filled_lots:
        return False
    targets = trade.tp_targets()
    first = next((n for n, lots in enumerate(targets, start=1) if lots > 0), None)
    return first is not None and _is_filled(trade, first)


def _is_filled(trade: ManagedTrade, level: int) -> bool:
    wanted = trade.tp_targets()[level - 1]
    return wanted > 0 and trade.tp_filled_lots.get(tp_leg(level), 0) >= wanted


def _break_even_is_due(trade: ManagedTrade) -> bool:
    after = trade.plan.break_even_after_tp
    if after is None:
        return False
    targets = trade.tp_targets()
    if not targets:
        return False
    level = min(after, len(targets))
    while level < len(targets) and targets[level - 1] == 0:
        level += 1  # merged into the next
    return _is_filled(trade, level)


def break_even_ticks(trade: ManagedTrade, scene: Scene) -> int:
    """Entry plus the entry fee paid, a taker exit fee and one tick, but always inside the first target."""
    entry, sign = trade.average_entry_ticks, trade.plan.side.sign
    unit = scene.instrument.tick_lot_usdt
    paid = float(trade.entry_fees_usdt) / (unit * trade.entered_lots)
    level = entry + sign * (paid + entry * scene.config.taker_fee_bps / 1e4 + 1)
    # The hair keeps a level that is a whole tick from rounding to the next one.
    ticks = math.ceil(level - 1e-6) if sign > 0 else math.floor(level + 1e-6)
    inside = trade.tp_price_ticks(1) - sign
    return min(ticks, inside) if sign > 0 else max(ticks, inside)


def _trail(trade: ManagedTrade, trailing: Trailing, price: float, scene: Scene) -> None:
    entry, sign = trade.average_entry_ticks, trade.plan.side.sign
    if (price - trade.extreme_ticks) * sign > 0:
        trade.extreme_ticks = price
    if (trade.extreme_ticks - entry) * sign < entry * trailing.activate_bps / 1e4:
        return
    if scene.now_ns - trade.last_trail_ns < scene.config.trailing_interval_ms * MS:
        return
    level = trade.extreme_ticks - sign * entry * trailing.distance_bps / 1e4
    if _tighten(trade, math.floor(level) if sign > 0 else math.ceil(level)):
        trade.trailing_active = True
        trade.last_trail_ns = scene.now_ns


def _tighten(trade: ManagedTrade, ticks: int) -> bool:
    """Move the stop towards the market, never away from it."""
    if (ticks - trade.stop_ticks) * trade.plan.side.sign <= 0:
        return False
    trade.stop_ticks = ticks
    return True
