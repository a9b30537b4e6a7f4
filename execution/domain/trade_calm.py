"""How long a managed trade can be left alone, so that replay need not look at it at each frame.

`plan_actions` depends on the trade, its orders, the clock, the touch, and whether the trade may grow. Where
it wanted nothing at the last look and nothing was heard since (the trade is *settled*), only the clock, the
touch and the state of the book can make it want something: here is when. Whatever `plan_actions` comes to
depend on must be added here; when in doubt, a look too many does no harm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from execution.domain.orders import Order, OrderState
from execution.domain.trade import ENTRY, ManagedTrade, TradePhase
from execution.domain.trade_scene import Scene
from market.domain.frames import BookState, Frames
from strategy.domain.messages import Side, Trailing

_MS = 1_000_000
_SECOND_NS = 1_000_000_000
_NEVER_NS = 1 << 62
_AT_REST = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


def first_for_trade(trade: ManagedTrade, scene: Scene, frames: Frames, column: int) -> int:
    """The first of `frames` at which a settled trade may want something; len(frames) when at none.

    `column` is its symbol in the frames, `scene` what there was at the last look at it.
    """
    entry = trade.order_of(ENTRY, scene.orders)
    if _needs_every_frame(trade, entry) or _awaits_the_book(trade, entry, scene):
        return 0
    if _may_grow(trade, entry):
        frames = frames[: _first_untrusted(frames, column)]
    instants_ns = _instants_ns(trade, entry)
    levels: list[float] = []
    if entry is not None and entry.price_ticks is not None and _may_be_repriced(trade, entry):
        levels.append(entry.price_ticks * trade.plan.side.sign + 1)
    if trade.position_lots > 0 and trade.plan.trailing is not None:
        best = trade.extreme_ticks * trade.plan.side.sign
        levels.append(max(_trailing_level(trade, trade.plan.trailing), best + 1))
        instants_ns.append(trade.last_trail_ns + scene.config.trailing_interval_ms * _MS)
    due_ns = min((at_ns for at_ns in instants_ns if at_ns > scene.now_ns), default=_NEVER_NS)
    first = int(frames["ts_ns"].searchsorted(due_ns))
    return _first_beyond(min(levels), trade, frames[:first], column) if levels else first


def _first_beyond(level: float, trade: ManagedTrade, frames: Frames, column: int) -> int:
    """The first frame whose touch has come as far as `level` (ticks, against the sign of the side)."""
    reached = _touches(trade, frames) * trade.plan.side.sign >= level
    if not reached.any():
        return frames.size
    reached &= _trusted(frames, column)
    return int(np.argmax(reached)) if reached.any() else frames.size


def note_extremes(trade: ManagedTrade, frames: Frames, column: int) -> None:
    """What `plan_actions` would have remembered of frames that were passed over."""
    if trade.position_lots <= 0:
        return
    prices = _touches(trade, frames)[_trusted(frames, column)]
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


def _trusted(frames: Frames, column: int) -> NDArray[np.bool_]:
    """Which frames are of the symbol, with a whole touch of a book in order."""
    has_touch = (frames["bid_tick"] > 0) & (frames["ask_tick"] > 0)
    return (frames["symbol"] == column) & has_touch & (frames["book_state"] == BookState.OK)


def _first_untrusted(frames: Frames, column: int) -> int:
    """The first frame of the symbol that does not let it grow; its frames never pause to grow old."""
    untrusted = (frames["symbol"] == column) & ~_trusted(frames, column)
    return int(untrusted.argmax()) if untrusted.any() else frames.size


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


def _may_grow(trade: ManagedTrade, entry: Order | None) -> bool:
    """An entry or averaging orders rest, or would where nothing forbade them."""
    is_entering = entry is not None and not entry.canceling
    return is_entering or (trade.position_lots > 0 and bool(trade.plan.dca_levels))


def _awaits_the_book(trade: ManagedTrade, entry: Order | None, scene: Scene) -> bool:
    """Something was held back at the last look, and may be made up for at any frame."""
    if not scene.may_add and _may_grow(trade, entry):
        return True
    has_trailing = trade.position_lots > 0 and trade.plan.trailing is not None
    touch = scene.touch
    return has_trailing and (touch is None or touch.book_state != BookState.OK)


def _instants_ns(trade: ManagedTrade, entry: Order | None) -> list[int]:
    """When the clock alone may make the trade want something."""
    instants_ns = list(trade.retry_at_ns.values())
    if entry is not None:
        instants_ns.append(trade.entry_deadline_ns)
    if trade.position_lots > 0 and trade.plan.time_stop_s is not None:
        instants_ns.append(trade.opened_ts_ns + trade.plan.time_stop_s * _SECOND_NS)
    return instants_ns


def _may_be_repriced(trade: ManagedTrade, entry: Order) -> bool:
    return (
        entry.price_ticks is not None
        and entry.state in _AT_REST
        and not (entry.amending or entry.canceling)
        and trade.reprices < trade.plan.entry.max_reprices
    )


def _trailing_level(trade: ManagedTrade, trailing: Trailing) -> float:
    """The best price from which on the stop may follow, ticks times the sign of the side.

    Ticks are whole: the stop moves by one at least. The hair covers the rounding of floats.
    """
    entry = trade.average_entry_ticks
    moves = trade.gain_ticks(trade.stop_ticks) + entry * trailing.distance_bps / 1e4 + 1
    gain = max(moves, entry * trailing.activate_bps / 1e4)
    return gain + entry * trade.plan.side.sign - 1e-4
