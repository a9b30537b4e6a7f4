"""One side of an order book as sorted cells (layout: `kernel_state`)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.domain.events import BID
from market.domain.kernel_state import (
    BOOK_CAPACITY,
    KEYS,
    LEVELS,
    MAX_LOT,
    MAX_TICK,
    SIDE_CELLS,
    SIZES,
    SYMBOL_CELLS,
)

_NEAR = 12  # levels from the touch searched one by one before halving


@njit
def side_block(symbol: int, side: int) -> int:
    """First cell of a side."""
    return symbol * SYMBOL_CELLS + side * SIDE_CELLS


@njit
def key_of(side: int, tick: int) -> int:
    return tick if side == BID else -tick


@njit
def is_level(side: int, tick: int, lot: int) -> bool:
    """May this entry enter a book? Anything a hostile message holds beyond it is dropped."""
    return side <= 1 and 0 < tick < MAX_TICK and 0 <= lot < MAX_LOT


@njit
def find(cells: NDArray[np.int64], keys: int, levels: int, key: int) -> int:
    """Number of levels whose key is at or below `key`: the level itself, if held, is the last of them."""
    near = max(0, levels - _NEAR)
    index = levels
    while index > near and cells[keys + index - 1] > key:
        index -= 1
    if index > near or near == 0:
        return index
    low, high = 0, near
    while low < high:
        middle = (low + high) >> 1
        if cells[keys + middle] <= key:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def remove(cells: NDArray[np.int64], block: int, index: int) -> None:
    last = cells[block + LEVELS] - 1
    for i in range(block + KEYS + index, block + KEYS + last):
        cells[i] = cells[i + 1]
    for i in range(block + SIZES + index, block + SIZES + last):
        cells[i] = cells[i + 1]
    cells[block + LEVELS] = last


@njit
def insert(cells: NDArray[np.int64], block: int, index: int, key: int, lot: int) -> bool:
    """Put a new level before `index`. False: the side was full and its worst level was forgotten."""
    levels = cells[block + LEVELS]
    if levels == BOOK_CAPACITY:
        if index > 0:
            _push_out_worst(cells, block, index, key, lot)
        return False
    for i in range(block + KEYS + levels, block + KEYS + index, -1):
        cells[i] = cells[i - 1]
    for i in range(block + SIZES + levels, block + SIZES + index, -1):
        cells[i] = cells[i - 1]
    cells[block + KEYS + index] = key
    cells[block + SIZES + index] = lot
    cells[block + LEVELS] = levels + 1
    return True


@njit
def _push_out_worst(cells: NDArray[np.int64], block: int, index: int, key: int, lot: int) -> None:
    for i in range(index - 1):
        cells[block + KEYS + i] = cells[block + KEYS + i + 1]
        cells[block + SIZES + i] = cells[block + SIZES + i + 1]
    cells[block + KEYS + index - 1] = key
    cells[block + SIZES + index - 1] = lot


@njit
def clear(cells: NDArray[np.int64], symbol: int) -> None:
    for side in range(2):
        cells[side_block(symbol, side) + LEVELS] = 0


@njit
def touch_key(cells: NDArray[np.int64], block: int) -> int:
    """Key of the best level; the side must hold one."""
    return cells[block + KEYS + cells[block + LEVELS] - 1]


@njit
def touch_lots(cells: NDArray[np.int64], block: int) -> int:
    return cells[block + SIZES + cells[block + LEVELS] - 1]


def best_levels(cells: NDArray[np.int64], block: int, depth: int) -> NDArray[np.int64]:
    """(k, 2) ticks and lots, best first, k <= depth."""
    levels = int(cells[block + LEVELS])
    first = max(0, levels - depth)
    ticks = np.abs(cells[block + KEYS + first : block + KEYS + levels])
    lots = cells[block + SIZES + first : block + SIZES + levels]
    return np.column_stack((ticks, lots))[::-1].copy()
