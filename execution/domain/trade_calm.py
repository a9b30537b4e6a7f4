"""How long a managed trade can be left alone, so that replay need not look at it at each frame.

`plan_actions` depends on the trade, its orders, the clock and the touch. Where it wanted nothing at the
last look and nothing was heard since (the trade is *settled*), only the clock and the touch can make it
want something: here is when. Whatever `plan_actions` comes to depend on must be added here; when in
doubt, a look too many does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from execution.domain.config import ExecutionConfig
from execution.domain.orders import Order, OrderState
from execution.domain.trade import ENTRY, ManagedTrade, TradePhase
from execution.domain.trade_entry import chase_bps
from market.domain.frames import Frames
from strategy.domain.messages import Side

_MS = 1_000_000
_SECOND_NS = 1_000_000_000
_NEVER_NS = 1 << 62
_AT_REST = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


def first_for_trade(
    trade: ManagedTrade,
    orders: Mapping[str, Order],
    config: ExecutionConfig,
    frames: Frames,
    column: int,
    looked_ns: int,
) -> int:
    """The first of `frames` at which a settled trade may want something; len(frames) when at none.

    `column` is its symbol in the frames, `looked_ns` when it was last looked at.
    """
    entry = trade.order_of(ENTRY, orders)
    if _needs_every_frame(trade, entry):
        return 0
    instant_ns = _next_instant_ns(trade, entry, looked_ns)
    frames = frames[: int(np.searchsorted(frames["ts_ns"], instant_ns))]
    wanted = np.zeros(frames.size, np.bool_)
    touches = _touches(trade, frames)
    if entry is not None and _may_be_repriced(trade, entry):
        from_ns = trade.last_reprice_ns + config.reprice_interval_ms * _MS
        wanted |= (frames["ts_ns"] >= from_ns) & _has_left(trade, entry, config, touches)
    if trade.position_lots > 0 and trade.plan.trailing is not None:
        from_ns = trade.last_trail_ns + config.trailing_interval_ms * _MS
        own = (frames["symbol"] == column) & (frames["bid_tick"] > 0)
        wanted |= (frames["ts_ns"] >= from_ns) & _may_trail(trade, np.where(own, touches, 0))
    wanted &= (frames["symbol"] == column) & (frames["bid_tick"] > 0)
    return int(np.argmax(wanted)) if wanted.any() else frames.size


def note_extremes(trade: ManagedTrade, frames: Frames, column: int) -> None:
    """What `plan_actions` would have remembered of frames that were passed over."""
    if trade.position_lots <= 0:
        return
    prices = _touches(trade, frames)[(frames["symbol"] == column) & (frames["bid_tick"] > 0)]
    if not prices.size:
        return
    ends = float(prices.min()), float(prices.max())
    worst, best = ends if trade.plan.side is Side.LONG else ends[::-1]
    if trade.gain_ticks(best) > trade.gain_ticks(trade.best_ticks):
        trade.best_ticks = best
    if trade.gain_ticks(worst) < trade.gain_ticks(trade.worst_ticks):
        trade.worst_ticks = worst
    if trade.plan.trailing and trade.gain_ticks(best) > trade.gain_ticks(trade.extreme_ticks):
        trade.extreme_ticks = best


def _touches(trade: ManagedTrade, frames: Frames) -> NDArray[np.int64]:
    """Where an entry of this side rests, and a position of it would be sold or bought back."""
    return frames["bid_tick" if trade.plan.side is Side.LONG else "ask_tick"]


def _needs_every_frame(trade: ManagedTrade, entry: Order | None) -> bool:
    """Short states, and those that wait for a usable touch."""
    if trade.phase is TradePhase.CLOSING or trade.is_stray:
        return True
    if trade.position_lots <= 0:
        return entry is None
    awaits_break_even = bool(trade.tp_filled_lots) and not trade.break_even_moved
    return bool(trade.unprotected_since_ns) or awaits_break_even


def _next_instant_ns(trade: ManagedTrade, entry: Order | None, looked_ns: int) -> int:
    """When the clock alone may make the trade want something."""
    instants = list(trade.retry_at_ns.values())
    if entry is not None:
        instants.append(trade.entry_deadline_ns)
    if trade.position_lots > 0 and trade.plan.time_stop_s is not None:
        instants.append(trade.opened_ts_ns + trade.plan.time_stop_s * _SECOND_NS)
    return min((at_ns for at_ns in instants if at_ns > looked_ns), default=_NEVER_NS)


def _may_be_repriced(trade: ManagedTrade, entry: Order) -> bool:
    return (
        entry.price_ticks is not None
        and entry.state in _AT_REST
        and not (entry.amending or entry.canceling)
        and trade.reprices < trade.plan.entry.max_reprices
    )


def _has_left(
    trade: ManagedTrade, entry: Order, config: ExecutionConfig, touches: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The touch has moved away from the entry, not too far to be followed."""
    planned = trade.plan.entry.price_ticks
    if planned is None or entry.price_ticks is None:
        return np.zeros(touches.size, np.bool_)
    is_near = np.abs(touches - planned) <= planned * chase_bps(trade, config.max_slippage_bps) / 1e4
    is_near &= (touches - entry.price_ticks) * trade.plan.side.sign > 0
    return is_near


def _may_trail(trade: ManagedTrade, touches: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The stop may follow the best price so far; 0 stands for a frame that says none."""
    trailing, sign = trade.plan.trailing, trade.plan.side.sign
    assert trailing is not None
    entry = trade.average_entry_ticks
    gains = np.where(touches > 0, (touches - entry) * sign, -np.inf)
    extremes = np.maximum(np.maximum.accumulate(gains), trade.gain_ticks(trade.extreme_ticks))
    stop_gains = extremes - entry * trailing.distance_bps / 1e4
    # Ticks are whole: it moves by one at least. The hair covers the rounding of floats.
    moves = stop_gains - trade.gain_ticks(trade.stop_ticks) > 1 - 1e-6
    is_active = extremes >= entry * trailing.activate_bps / 1e4 - 1e-6
    return np.logical_and(moves, is_active)
