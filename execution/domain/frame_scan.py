"""Compiled looks over frames that nobody need visit: the first that is wanted, and what the others leave.

Frames are read as they lie in memory, as rows of 8-byte words (`strategy.domain.numeric_layout`). Replay
alone passes over frames, so nothing here is compiled where a process trades live.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import BookState, FrameReason
from market.domain.kernel_jit import kernel_jit
from strategy.domain.numeric_compile import numeric_entry
from strategy.domain.numeric_layout import frame_word

NEVER_NS = 1 << 62
# Columns of `wants`, a row per symbol: an instant; levels of the touch on the side of SIGN, times SIGN, and
# from when on each counts; whether a book out of order counts, and whether the price that it is valued
# at does (`bounds`).
DUE_NS, SIGN, LEVEL, FROM_NS, OTHER_LEVEL, OTHER_FROM_NS, GROWS, IS_BOUND = range(8)
WANTS = 8
# Columns of `bounds`: prices in ticks between which nothing changes, and the tick size.
LOW, HIGH, TICK_SIZE = range(3)

_TS, _BID, _ASK = frame_word("ts_ns"), frame_word("bid_tick"), frame_word("ask_tick")
_HEAD, _MARK = frame_word("symbol"), frame_word("mark_price")
_OK, _BOUNDARY = BookState.OK.value, FrameReason.BOUNDARY.value
_SECOND_NS = 1_000_000_000

Words = NDArray[np.int64]
Floats = NDArray[np.float64]


@kernel_jit
def _price_ticks(mark: float, tick_size: float, bid: int, ask: int) -> Any:
    """The mark, else the mid; 0 where there is neither. As `Quote` says it."""
    if mark == mark and mark != 0.0:
        return mark / tick_size
    return (bid + ask) / 2 if bid > 0 and ask > 0 else 0.0


@numeric_entry
def first_wanted(
    words: Words, floats: Floats, wants: Words, bounds: Floats, start: int, stop: int
) -> int:
    """First row of start..stop that its symbol waits for; `stop` when there is none."""
    for row in range(start, stop):
        head = words[row, _HEAD]
        column = head & 0xFFFF
        own = wants[column]
        ts = words[row, _TS]
        if ts >= own[DUE_NS]:
            return row
        bid, ask = words[row, _BID], words[row, _ASK]
        is_trusted = bid > 0 and ask > 0 and (head >> 24) & 0xFF == _OK
        if own[GROWS] == 1 and not is_trusted:
            return row
        if own[SIGN] != 0 and is_trusted:
            touch = (bid if own[SIGN] > 0 else ask) * own[SIGN]
            if touch >= own[LEVEL] and ts >= own[FROM_NS]:
                return row
            if touch >= own[OTHER_LEVEL] and ts >= own[OTHER_FROM_NS]:
                return row
        if own[IS_BOUND] == 1:
            limits = bounds[column]
            price = _price_ticks(floats[row, _MARK], limits[TICK_SIZE], bid, ask)
            if price != 0.0 and not limits[LOW] < price < limits[HIGH]:
                return row
    return stop


@numeric_entry
def ends_of_touch(
    words: Words, start: int, stop: int, column: int, is_bid: bool, found: Words
) -> bool:
    """Lowest and highest touch of a symbol's trusted books, into `found`; False when there was none."""
    lowest, highest = NEVER_NS, -NEVER_NS
    for row in range(start, stop):
        head = words[row, _HEAD]
        bid, ask = words[row, _BID], words[row, _ASK]
        if head & 0xFFFF == column and bid > 0 and ask > 0 and (head >> 24) & 0xFF == _OK:
            touch = bid if is_bid else ask
            lowest, highest = min(lowest, touch), max(highest, touch)
    found[0], found[1] = lowest, highest
    return lowest <= highest


@numeric_entry
def ends_of_seconds(words: Words, start: int, stop: int, due_ns: int, ends: Words) -> int:
    """Places behind the first boundary instant of each second, from `due_ns` on; returns how many."""
    count, row = 0, start
    while row < stop:
        ts = words[row, _TS]
        is_boundary = (words[row, _HEAD] >> 16) & 0xFF == _BOUNDARY
        row += 1
        if is_boundary and ts >= due_ns:
            while row < stop and words[row, _TS] == ts:
                if (words[row, _HEAD] >> 16) & 0xFF != _BOUNDARY:
                    break
                row += 1
            ends[count] = row
            count += 1
            due_ns = (ts // _SECOND_NS + 1) * _SECOND_NS
    return count


@numeric_entry
def prices_at(
    words: Words, floats: Floats, start: int, ends: Words, column: int, tick_size: float,
    price: float, valued: float, prices: Floats,
) -> None:  # fmt: skip
    """What a symbol was valued at, at each of `ends`: its last frame's price, else as before.

    `price` is that of its last frame before `start` (0: it had none), `valued` what it was valued at.
    """
    row = start
    for n in range(len(ends)):
        while row < ends[n]:
            if words[row, _HEAD] & 0xFFFF == column:
                bid, ask = words[row, _BID], words[row, _ASK]
                price = _price_ticks(floats[row, _MARK], tick_size, bid, ask)
            row += 1
        if price != 0.0:
            valued = price
        prices[n] = valued
