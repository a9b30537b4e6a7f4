"""The depth window of a book topic: exactly the best `depth` levels, sent as changes.

Bybit's rule (V5 docs, orderbook.{depth}): a level that leaves the window is sent as size 0, one that
re-enters is sent with its size, so the receiver's book always holds exactly `depth` levels a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import ASK, BID, Book, best_levels
from execution.domain.synthetic_compile import inner_kernel, kernel

DEPTHS = (1, 50, 200, 1000)


class Windows(NamedTuple):
    """What was sent last, for k depths: levels i8[k, 2, d, 2] (tick, lots) best first, d the largest depth;
    sizes i8[k, 2] levels a side; depths i8[k]; scratch i8[d, 2] is working space.
    """

    levels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    depths: NDArray[np.int64]
    scratch: NDArray[np.int64]


def empty_windows(depths: Sequence[int] = DEPTHS) -> Windows:
    """One empty window for each depth."""
    return Windows(
        levels=np.zeros((len(depths), 2, max(depths), 2), np.int64),
        sizes=np.zeros((len(depths), 2), np.int64),
        depths=np.array(depths, np.int64),
        scratch=np.zeros((max(depths), 2), np.int64),
    )


def window_levels(windows: Windows, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bids and asks of one window as sent last, each i8[k, 2] of (tick, lots), best first."""
    bids, asks = (
        windows.levels[index, side, : windows.sizes[index, side]].copy() for side in (BID, ASK)
    )
    return bids, asks


@kernel
def update_window(
    book: Book, windows: Windows, index: int, entries: NDArray[np.int64], first: int
) -> int:
    """Bring window `index` up to the book; write the changed levels from place `first` of `entries`
    i8[m, 3] (side, tick, lots) on; return the next place.

    A side's changes are written best price first, bids before asks; at most 2 * depth of them a side.
    """
    place = first
    for side in range(2):
        count = best_levels(book, side, windows.depths[index], windows.scratch)
        place = _write_changes(windows, index, side, count, entries, place)
        for level in range(count):
            windows.levels[index, side, level, 0] = windows.scratch[level, 0]
            windows.levels[index, side, level, 1] = windows.scratch[level, 1]
        windows.sizes[index, side] = count
    return place


@inner_kernel
def _write_changes(
    windows: Windows, index: int, side: int, count: int, entries: NDArray[np.int64], first: int
) -> int:
    """Merge the old and the new window of one side, both best first, and write what differs."""
    place, old, new = first, 0, 0
    size = windows.sizes[index, side]
    better = 1 if side == BID else -1
    while old < size or new < count:
        order = 1 if new < count else -1
        if old < size and new < count:
            order = better * (windows.scratch[new, 0] - windows.levels[index, side, old, 0])
        lots, changed = 0, True
        if order >= 0:
            tick, lots = windows.scratch[new, 0], windows.scratch[new, 1]
            new += 1
        else:
            tick = windows.levels[index, side, old, 0]
        if order == 0:
            changed = lots != windows.levels[index, side, old, 1]
        if order <= 0:
            old += 1
        if changed:
            entries[place, 0], entries[place, 1], entries[place, 2] = side, tick, lots
            place += 1
    return place
