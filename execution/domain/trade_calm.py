"""How long a managed trade can be left alone, so that replay need not look at it at each frame.

`plan_actions` depends on the trade, its orders, the clock, the touch, and whether the trade may grow. What
it wanted at the last look is under way, and is not wanted again before it is heard of. Where nothing was
heard since (the trade is *settled*), only the clock, the touch and the state of the book can make it want
something more: here is when. Whatever `plan_actions` comes to depend on must be added here; when in doubt,
a look too many does no harm.
"""

from __future__ import annotations

import math
from bisect import bisect_left
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
    OTHER_LEVEL,
    SIGN,
    TICK_SIZE,
    WANTS,
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
_NOTHING = (NEVER_NS, 0, NEVER_NS, NEVER_NS, NEVER_NS, NEVER_NS, 0, 0)
_AT_REST = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


class Waits:
    """What frames must bring for a look to be needed, a row per symbol of the table (see `frame_scan`)."""

    def __init__(self, tick_sizes: Sequence[float]) -> None:
        self._nothing = np.array([_NOTHING] * len(tick_sizes), np.int64).reshape(-1, WANTS)
        self._wants = self._nothing.copy()
        self._bounds = np.zeros((len(tick_sizes), 3))
        self._bounds[:, TICK_SIZE] = tick_sizes
        self._cells = self._wants.data  # the same memory, written faster a cell at a time
        self.due_ns = NEVER_NS
        self.tells_alone = False  # but for these, frames need at most be told of
        self._is_clear = False

    def clear(self) -> None:
        """Nothing is waited for."""
        self.due_ns = NEVER_NS
        if not self._is_clear:
            self._wants[:], self._is_clear = self._nothing, True

    def due(self, column: int, due_ns: int) -> None:
        """A frame of the symbol at or after an instant."""
        self._cells[column, DUE_NS], self._is_clear = due_ns, False

    def levels(self, column: int, sign: int, *levels: tuple[float, int]) -> None:
        """A touch on the side of `sign` as far as a level (ticks, times the sign) at or after an instant.

        At most two of these; ticks are whole.
        """
        cells = self._cells
        cells[column, SIGN], self._is_clear = sign, False
        for place, (level, from_ns) in zip((LEVEL, OTHER_LEVEL), levels, strict=False):
            cells[column, place], cells[column, place + 1] = math.ceil(level), from_ns

    def untrusted(self, column: int) -> None:
        """A book out of order; frames of a symbol never pause to grow old."""
        self._cells[column, GROWS], self._is_clear = 1, False

    def is_growing(self, column: int) -> bool:
        """Whether a book out of order counts: something may be added to what is held."""
        return self._cells[column, GROWS] == 1

    def bound(self, column: int, lowest: float, highest: float) -> None:
        """A price, of mark or mid, that does not lie between these, ticks."""
        self._cells[column, IS_BOUND], self._is_clear = 1, False
        self._bounds[column, LOW], self._bounds[column, HIGH] = lowest, highest

    def first(self, rows: FrameRows, start: int, due_ns: int) -> int:
        """The first row from `start` on that is waited for, or at or after `due_ns`; else their number."""
        stop, times = len(rows.words), rows.times
        due_ns = min(due_ns, self.due_ns)
        if start < stop and times[-1] >= due_ns:
            stop = bisect_left(times, due_ns, start)
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
    entry, is_held = trade.order_of(ENTRY, scene.orders), trade.entered_lots > trade.exited_lots
    if _needs_every_frame(trade, entry, scene):
        return False
    may_grow = _may_grow(trade, entry)
    if _awaits_the_book(trade, scene, may_grow=may_grow):
        return False
    if may_grow:
        waits.untrusted(column)
    sign = trade.plan.side.sign
    levels: list[tuple[float, int]] = []
    instants_ns = _instants_ns(trade, entry, scene, looked_ns)
    if entry is not None and entry.price_ticks is not None and _may_be_repriced(trade, entry):
        from_ns = trade.last_reprice_ns + scene.config.reprice_interval_ms * _MS
        levels.append((entry.price_ticks * sign + 1, from_ns))
    if is_held and trade.plan.trailing is not None:
        from_ns = trade.last_trail_ns + scene.config.trailing_interval_ms * _MS
        level = _trailing_level(trade, trade.plan.trailing)
        levels.append((max(level, trade.extreme_ticks * sign + 1), from_ns))
        instants_ns.append(from_ns)
    for at_ns in instants_ns:
        if looked_ns < at_ns < waits.due_ns:
            waits.due_ns = at_ns
    if levels:
        waits.levels(column, sign, *levels)
    return True


def note_extremes(trade: ManagedTrade, rows: FrameRows, start: int, stop: int, column: int) -> None:
    """What `plan_actions` would have remembered of a position's frames that were passed over."""
    is_long = trade.plan.side is Side.LONG
    if not ends_of_touch(rows.words, start, stop, column, is_long, rows.found):
        return
    lowest, highest = rows.found.tolist()
    worst, best = float(lowest if is_long else highest), float(highest if is_long else lowest)
    sign = trade.plan.side.sign
    if (best - trade.best_ticks) * sign > 0:
        trade.best_ticks = best
    if (worst - trade.worst_ticks) * sign < 0:
        trade.worst_ticks = worst
    if trade.plan.trailing and (best - trade.extreme_ticks) * sign > 0:
        trade.extreme_ticks = best


def _needs_every_frame(trade: ManagedTrade, entry: Order | None, scene: Scene) -> bool:
    """What waits for a usable touch."""
    if trade.is_stray:
        return True
    if trade.entered_lots <= trade.exited_lots:
        return entry is None and trade.phase is not TradePhase.CLOSING
    return bool(trade.tp_filled_lots) and not trade.break_even_moved and scene.touch is None


def _may_grow(trade: ManagedTrade, entry: Order | None) -> bool:
    """An entry or averaging orders rest, or would where nothing forbade them."""
    is_entering = entry is not None and not entry.canceling
    is_averaging = trade.phase is not TradePhase.CLOSING and bool(trade.plan.dca_levels)
    return is_entering or (is_averaging and trade.position_lots > 0)


def _awaits_the_book(trade: ManagedTrade, scene: Scene, *, may_grow: bool) -> bool:
    """Something was held back at the last look, and may be made up for at any frame."""
    if may_grow and scene.no_adding:
        return True
    has_trailing = trade.plan.trailing is not None and trade.entered_lots > trade.exited_lots
    touch = scene.touch
    return has_trailing and (touch is None or touch.book_state != BookState.OK)


def _instants_ns(
    trade: ManagedTrade, entry: Order | None, scene: Scene, looked_ns: int
) -> list[int]:
    """When, after the last look, the clock alone may make the trade want something.

    A leg that may be tried again then waits for nothing while its order lives; the entry waits for a
    touch, never for an instant.
    """
    instants_ns = [
        at_ns
        for leg, at_ns in trade.retry_at_ns.items()
        if at_ns > looked_ns and leg != ENTRY and trade.order_of(leg, scene.orders) is None
    ]
    if entry is not None:
        instants_ns.append(trade.entry_deadline_ns)
    if trade.entered_lots > trade.exited_lots and trade.phase is not TradePhase.CLOSING:
        if trade.plan.time_stop_s is not None:
            instants_ns.append(trade.opened_ts_ns + trade.plan.time_stop_s * _SECOND_NS)
        if trade.unprotected_since_ns:
            wait_ns = scene.config.protect_deadline_ms * _MS
            instants_ns.append(trade.unprotected_since_ns + wait_ns)
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
