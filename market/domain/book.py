"""One side of an order book as sorted cells (layout: `kernel_state`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.domain.events import BID
from market.domain.kernel_jit import hot_jit, kernel_jit
from market.domain.kernel_state import (
    BOOK_CAPACITY,
    END,
    FIRST,
    KEYS,
    MAX_LOT,
    MAX_TICK,
    NEAR,
    NO_KEY,
    SIDE_CELLS,
    SIZES,
    SPAN,
    SYMBOL_CELLS,
)

_TOUCH = 16  # most changes are within so many levels of the touch


@hot_jit
def side_block(symbol: int, side: int) -> int:
    """First cell of a side."""
    return symbol * SYMBOL_CELLS + side * SIDE_CELLS


@hot_jit
def key_of(side: int, tick: int) -> int:
    return tick if side == BID else -tick


@hot_jit
def is_level(side: int, tick: int, lot: int) -> bool:
    """May this entry enter a book? Anything a hostile message holds beyond it is dropped."""
    return side <= 1 and 0 < tick < MAX_TICK and 0 <= lot < MAX_LOT


@hot_jit
def level_count(cells: NDArray[np.int64], block: int) -> int:
    return cells[block + END] - cells[block + FIRST]


@hot_jit
def touch_key(cells: NDArray[np.int64], block: int) -> int:
    """Key of the best level; `NO_KEY` when the side is empty."""
    return cells[block + KEYS + cells[block + END] - 1]


@hot_jit
def touch_lots(cells: NDArray[np.int64], block: int) -> int:
    """Size of the best level; the side must hold one."""
    return cells[block + SIZES + cells[block + END] - 1]


@hot_jit
def rank_of(cells: NDArray[np.int64], block: int, key: int) -> int:
    """How many levels are better than `key`. Counting a fixed number of cells needs no branches."""
    end = block + KEYS + cells[block + END]
    rank = 0
    for i in range(_TOUCH):
        rank += cells[np.uint64(end - _TOUCH + i)] > key
    if rank < _TOUCH:
        return rank
    for i in range(NEAR - _TOUCH):
        rank += cells[np.uint64(end - NEAR + i)] > key
    return rank if rank < NEAR else deep_rank(cells, block, key)


@kernel_jit
def deep_rank(cells: NDArray[np.int64], block: int, key: int) -> int:
    """`rank_of` by halving."""
    low, high = block + KEYS + cells[block + FIRST], block + KEYS + cells[block + END]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if cells[middle] <= key:
            low = middle + 1
        else:
            high = middle
    return end - low


@hot_jit
def move_up(cells: NDArray[np.int64], first: int, last: int) -> None:
    """Cells first..last to the next higher place."""
    for i in range(last, first, -1):
        cells[np.uint64(i)] = cells[np.uint64(i - 1)]


@hot_jit
def move_down(cells: NDArray[np.int64], first: int, last: int) -> None:
    """Cells first..last to the next lower place."""
    for i in range(first - 1, last - 1):
        cells[np.uint64(i)] = cells[np.uint64(i + 1)]


@hot_jit
def remove(cells: NDArray[np.int64], block: int, rank: int) -> None:
    """Take out the level with `rank` better ones, moving the shorter part of the side."""
    first, end = cells[block + FIRST], cells[block + END]
    at = end - 1 - rank
    keys, sizes = block + KEYS, block + SIZES
    if 2 * rank < end - first:
        move_down(cells, keys + at + 1, keys + end)
        move_down(cells, sizes + at + 1, sizes + end)
        cells[keys + end - 1] = NO_KEY
        cells[block + END] = end - 1
    else:
        move_up(cells, keys + first, keys + at)
        move_up(cells, sizes + first, sizes + at)
        cells[keys + first] = NO_KEY
        cells[block + FIRST] = first + 1


@hot_jit
def insert(cells: NDArray[np.int64], block: int, rank: int, key: int, lot: int) -> bool:
    """Put in a level with `rank` better ones. False: the side was full and a worst level forgotten."""
    is_full = level_count(cells, block) == BOOK_CAPACITY
    if is_full:
        if rank == BOOK_CAPACITY:
            return False
        remove(cells, block, BOOK_CAPACITY - 1)
    if cells[block + END] == SPAN or cells[block + FIRST] == NEAR:
        recentre(cells, block)
    first, end = cells[block + FIRST], cells[block + END]
    at = end - rank
    keys, sizes = block + KEYS, block + SIZES
    if 2 * rank <= end - first:
        move_up(cells, keys + at, keys + end)
        move_up(cells, sizes + at, sizes + end)
        cells[block + END] = end + 1
    else:
        move_down(cells, keys + first, keys + at)
        move_down(cells, sizes + first, sizes + at)
        cells[block + FIRST] = first - 1
        at -= 1
    cells[keys + at] = key
    cells[sizes + at] = lot
    return not is_full


@kernel_jit
def recentre(cells: NDArray[np.int64], block: int) -> None:
    """Put the levels back into the middle of their span."""
    first, end = cells[block + FIRST], cells[block + END]
    count = end - first
    target = NEAR + (SPAN - NEAR - count) // 2
    keys, sizes = block + KEYS, block + SIZES
    for i in range(count):
        step = i if target < first else count - 1 - i
        key, lot = cells[keys + first + step], cells[sizes + first + step]
        cells[keys + first + step] = NO_KEY
        cells[keys + target + step] = key
        cells[sizes + target + step] = lot
    cells[block + FIRST] = target
    cells[block + END] = target + count


@kernel_jit
def clear(cells: NDArray[np.int64], symbol: int) -> None:
    for side in range(2):
        block = side_block(symbol, side)
        for i in range(cells[block + FIRST], cells[block + END]):
            cells[block + KEYS + i] = NO_KEY
        cells[block + FIRST] = SPAN // 2
        cells[block + END] = SPAN // 2


@hot_jit
def drop_touch(cells: NDArray[np.int64], block: int) -> None:
    """Forget the best level; the side must hold one."""
    end = cells[block + END] - 1
    cells[block + KEYS + end] = NO_KEY
    cells[block + END] = end


def best_levels(cells: NDArray[np.int64], block: int, depth: int) -> NDArray[np.int64]:
    """(k, 2) ticks and lots, best first, k <= depth."""
    first, end = int(cells[block + FIRST]), int(cells[block + END])
    first = max(first, end - depth)
    ticks = np.abs(cells[block + KEYS + first : block + KEYS + end])
    lots = cells[block + SIZES + first : block + SIZES + end]
    return np.column_stack((ticks, lots))[::-1].copy()
