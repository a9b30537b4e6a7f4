"""The depth window of a book topic: exactly the best `depth` levels, sent as changes.

Bybit's rule (V5 docs, orderbook.{depth}): a level that leaves the window is sent as size 0, one that
re-enters is sent with its size, so the receiver's book always holds exactly `depth` levels a side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import ASK, BID, Book, best_levels
from execution.domain.synthetic_compile import inner_kernel, kernel

DEPTHS = (1, 50, 200, 1000)


class Window(NamedTuple):
    """What was sent last: ticks and lots i8[2, depth], best first; sizes i8[2] levels a side.

    scratch_ticks and scratch_lots i8[depth] are working space.
    """

    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]
    sizes: NDArray[np.int64]
    scratch_ticks: NDArray[np.int64]
    scratch_lots: NDArray[np.int64]


Windows = tuple[Window, Window, Window, Window]


def depth_windows() -> Windows:
    """One window for each of `DEPTHS`."""
    one, fifty, two_hundred, thousand = (empty_window(depth) for depth in DEPTHS)
    return one, fifty, two_hundred, thousand


def empty_window(depth: int) -> Window:
    return Window(
        ticks=np.zeros((2, depth), np.int64),
        lots=np.zeros((2, depth), np.int64),
        sizes=np.zeros(2, np.int64),
        scratch_ticks=np.zeros(depth, np.int64),
        scratch_lots=np.zeros(depth, np.int64),
    )


@kernel
def update_window(
    book: Book,
    window: Window,
    side_out: NDArray[np.uint8],
    tick_out: NDArray[np.int64],
    lot_out: NDArray[np.int64],
    first: int,
) -> int:
    """Bring `window` up to the book; write the changed levels from place `first` on; return the next place.

    A side's changes are written best price first, bids before asks; at most 2 * depth of them a side.
    """
    place = first
    depth = window.ticks.shape[1]
    for side in (BID, ASK):
        count = best_levels(book, side, depth, window.scratch_ticks, window.scratch_lots)
        place = _write_changes(window, side, count, side_out, tick_out, lot_out, place)
        for level in range(count):
            window.ticks[side, level] = window.scratch_ticks[level]
            window.lots[side, level] = window.scratch_lots[level]
        window.sizes[side] = count
    return place


@inner_kernel
def _write_changes(
    window: Window,
    side: int,
    count: int,
    side_out: NDArray[np.uint8],
    tick_out: NDArray[np.int64],
    lot_out: NDArray[np.int64],
    first: int,
) -> int:
    """Merge the old and the new window of one side, both best first, and write what differs."""
    place, old, new = first, 0, 0
    better = 1 if side == BID else -1
    while old < window.sizes[side] or new < count:
        if old < window.sizes[side] and new < count:
            order = better * (window.scratch_ticks[new] - window.ticks[side, old])
        else:
            order = 1 if new < count else -1
        if order == 0:
            changed = window.scratch_lots[new] != window.lots[side, old]
            tick, lots = window.scratch_ticks[new], window.scratch_lots[new]
            old, new = old + 1, new + 1
        elif order > 0:
            changed, tick, lots = True, window.scratch_ticks[new], window.scratch_lots[new]
            new += 1
        else:
            changed, tick, lots = True, window.ticks[side, old], 0
            old += 1
        if changed:
            side_out[place], tick_out[place], lot_out[place] = side, tick, lots
            place += 1
    return place
