"""How long a managed trade can be left alone, so that replay need not look at it at each frame.

`plan_actions` depends on the trade, its orders, the clock, the touch, and whether the trade may grow. Where
it wanted nothing at the last look and nothing was heard since (the trade is *settled*), only the clock, the
touch and the state of the book can make it want something: here is when. Whatever `plan_actions` comes to
depend on must be added here; when in doubt, a look too many does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from execution.domain.frame_rows import FrameRows
from execution.domain.frame_scan import (
    DUE_NS,
    GROWS,
    HIGH,
    IS_BOUND,
    LEVEL,
    LOW,
    NEVER_NS,
    SIGN,
    TICK_SIZE,
    ends_of_touch,
    first_wanted,
)
from execution.domain.orders import Order, OrderState
from execution.domain.trade import ENTRY, ManagedTrade, TradePhase
from execution.domain.trade_scene import Scene
from market.domain.frames import BookState
from strategy.domain.messages import Side, Trailing

_MS = 1_000_000
_SECOND_NS = 1_000_000_000
_AT_REST = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


class Waits:
    """What frames must bring for a look to be needed, a row per symbol of the table (see `frame_scan`)."""

    def __init__(self, tick_sizes: Sequence[float]) -> None:
        self._wants = np.zeros((len(tick_sizes), 5), np.int64)
        self._bounds = np.zeros((len(tick_sizes), 3))
        self._bounds[:, TICK_SIZE] = tick_sizes
        self.due_ns = NEVER_NS
        self._is_clear = False

    def clear(self) -> None:
        """Nothing is waited for."""
        self.due_ns, self._is_clear = NEVER_NS, True
        self._wants[:] = (NEVER_NS, 0, 0, 0, 0)

    def due(self, column: int, due_ns: int) -> None:
        """A frame of the symbol at or after an instant."""
        self._wants[column, DUE_NS], self._is_clear = due_ns, False

    def level(self, column: int, sign: int, level: float) -> None:
        """A touch on the side of `sign` as far as `level`, ticks times the sign; ticks are whole."""
        self._wants[column, SIGN], self._wants[column, LEVEL] = sign, math.ceil(level)
        self._is_clear = False

    def untrusted(self, column: int) -> None:
        """A book out of order; frames of a symbol never pause to grow old."""
        self._wants[column, GROWS], self._is_clear = 1, False

    def bound(self, column: int, lowest: float, highest: float) -> None:
        """A price, of mark or mid, that does not lie between these, ticks."""
        self._wants[column, IS_BOUND], self._is_clear = 1, False
        self._bounds[column, LOW], self._bounds[column, HIGH] = lowest, highest

    def first(self, rows: FrameRows, start: int, due_ns: int) -> int:
        """The first row from `start` on that is waited for, or at or after `due_ns`; else the number of rows."""
        stop, times = len(rows.words), rows.times
        due_ns = min(due_ns, self.due_ns)
        if start < stop and times[-1] >= due_ns:
            stop = start + int(times[start:].searchsorted(due_ns))
        if self._is_clear or start >= stop:
            return stop
        found: int = first_wanted(rows.words, rows.floats, self._wants, self._bounds, start, stop)
        return found


def wait_for_trade(
    trade: ManagedTrade, scene: Scene, looked_ns: int, waits: Waits, column: int
) -> bool:
    """Note what may make a settled trade want something; False where each frame may.

    `column` is its symbol in the frames, `scene` what there is to see, `looked_ns` the last look at it.
    """
    entry = trade.order_of(ENTRY, scene.orders)
    if _needs_every_frame(trade, entry):
        return False
    may_grow = _may_grow(trade, entry)
    if _awaits_the_book(trade, scene, may_grow=may_grow):
        return False
    if may_grow:
        waits.untrusted(column)
    sign, due_ns, level = trade.plan.side.sign, waits.due_ns, math.inf
    if entry is not None and entry.price_ticks is not None and _may_be_repriced(trade, entry):
        level = entry.price_ticks * sign + 1
    instants_ns = _instants_ns(trade, entry)
    if trade.plan.trailing is not None and trade.position_lots > 0:
        best = trade.extreme_ticks * sign
        level = min(level, max(_trailing_level(trade, trade.plan.trailing), best + 1))
        instants_ns.append(trade.last_trail_ns + scene.config.trailing_interval_ms * _MS)
    for at_ns in instants_ns:
        if looked_ns < at_ns < due_ns:
            due_ns = at_ns
    waits.due_ns = due_ns
    if level < math.inf:
        waits.level(column, sign, level)
    return True


def note_extremes(trade: ManagedTrade, rows: FrameRows, start: int, stop: int, column: int) -> None:
    """What `plan_actions` would have remembered of frames that were passed over."""
    is_long = trade.plan.side is Side.LONG
    if trade.position_lots <= 0 or not ends_of_touch(
        rows.words, start, stop, column, is_long, rows.found
    ):
        return
    lowest, highest = rows.found.tolist()
    worst, best = float(lowest if is_long else highest), float(highest if is_long else lowest)
    if trade.gain_ticks(best) > trade.gain_ticks(trade.best_ticks):
        trade.best_ticks = best
    if trade.gain_ticks(worst) < trade.gain_ticks(trade.worst_ticks):
        trade.worst_ticks = worst
    if trade.plan.trailing and trade.gain_ticks(best) > trade.gain_ticks(trade.extreme_ticks):
        trade.extreme_ticks = best


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


def _awaits_the_book(trade: ManagedTrade, scene: Scene, *, may_grow: bool) -> bool:
    """Something was held back at the last look, and may be made up for at any frame."""
    if may_grow and not scene.may_add:
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
