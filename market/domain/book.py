"""One side of an order book as sorted cells (layout: `kernel_state`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.domain.events import BID
from market.domain.kernel_jit import at, hot_jit, kernel_jit
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
    return cells[at(block + END)] - cells[at(block + FIRST)]


@hot_jit
def touch_key(cells: NDArray[np.int64], block: int) -> int:
    """Key of the best level; `NO_KEY` when the side is empty."""
    return cells[at(block + KEYS + cells[at(block + END)] - 1)]


@hot_jit
def touch_lots(cells: NDArray[np.int64], block: int) -> int:
    """Size of the best level; the side must hold one."""
    return cells[at(block + SIZES + cells[at(block + END)] - 1)]


@hot_jit
def rank_of(cells: NDArray[np.int64], block: int, key: int) -> int:
    """How many levels are better than `key`: by eights from the touch, then all of an eight at once."""
    end = block + KEYS + cells[at(block + END)]
    levels = level_count(cells, block)
    if levels > 0 and cells[at(end - levels)] >= key:
        return levels - (cells[at(end - levels)] == key)  # what falls out of a window, or comes in
    skipped = 0
    while cells[at(end - 8)] > key:
        end -= 8
        skipped += 8
        if skipped == NEAR:
            return deep_rank(cells, block, key)
    for i in range(8):
        skipped += cells[at(end - 8 + i)] > key
    return skipped


@kernel_jit
def deep_rank(cells: NDArray[np.int64], block: int, key: int) -> int:
    """`rank_of` by halving."""
    low, high = block + KEYS + cells[at(block + FIRST)], block + KEYS + cells[at(block + END)]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if cells[at(middle)] <= key:
            low = middle + 1
        else:
            high = middle
    return end - low


@hot_jit
def move_up(cells: NDArray[np.int64], first: int, last: int) -> None:
    """Keys in cells first..last, and their sizes, to the next higher place."""
    for i in range(last, first, -1):
        cells[at(i)] = cells[at(i - 1)]
        cells[at(i + SPAN)] = cells[at(i - 1 + SPAN)]


@hot_jit
def move_down(cells: NDArray[np.int64], first: int, last: int) -> None:
    """Keys in cells first..last, and their sizes, to the next lower place."""
    for i in range(first - 1, last - 1):
        cells[at(i)] = cells[at(i + 1)]
        cells[at(i + SPAN)] = cells[at(i + 1 + SPAN)]


@hot_jit
def remove(cells: NDArray[np.int64], block: int, rank: int) -> None:
    """Take out the level with `rank` better ones, moving the shorter part of the side."""
    first, end = cells[at(block + FIRST)], cells[at(block + END)]
    place = end - 1 - rank
    keys = block + KEYS
    if 2 * rank < end - first:
        move_down(cells, keys + place + 1, keys + end)
        cells[at(keys + end - 1)] = NO_KEY
        cells[at(block + END)] = end - 1
    else:
        move_up(cells, keys + first, keys + place)
        cells[at(keys + first)] = NO_KEY
        cells[at(block + FIRST)] = first + 1


@hot_jit
def insert(cells: NDArray[np.int64], block: int, rank: int, key: int, lot: int) -> bool:
    """Put in a level with `rank` better ones. False: the side was full and a worst level forgotten."""
    is_full = level_count(cells, block) == BOOK_CAPACITY
    if is_full:
        if rank == BOOK_CAPACITY:
            return False
        remove(cells, block, BOOK_CAPACITY - 1)
    if cells[at(block + END)] == SPAN or cells[at(block + FIRST)] == NEAR:
        recentre(cells, block)
    first, end = cells[at(block + FIRST)], cells[at(block + END)]
    place = end - rank
    keys, sizes = block + KEYS, block + SIZES
    if 2 * rank <= end - first:
        move_up(cells, keys + place, keys + end)
        cells[at(block + END)] = end + 1
    else:
        move_down(cells, keys + first, keys + place)
        cells[at(block + FIRST)] = first - 1
        place -= 1
    cells[at(keys + place)] = key
    cells[at(sizes + place)] = lot
    return not is_full


@kernel_jit
def recentre(cells: NDArray[np.int64], block: int) -> None:
    """Put the levels back into the middle of their span."""
    first, end = cells[at(block + FIRST)], cells[at(block + END)]
    count = end - first
    target = NEAR + (SPAN - NEAR - count) // 2
    keys, sizes = block + KEYS, block + SIZES
    for i in range(count):
        step = i if target < first else count - 1 - i
        key, lot = cells[at(keys + first + step)], cells[at(sizes + first + step)]
        cells[at(keys + first + step)] = NO_KEY
        cells[at(keys + target + step)] = key
        cells[at(sizes + target + step)] = lot
    cells[at(block + FIRST)] = target
    cells[at(block + END)] = target + count


@kernel_jit
def clear(cells: NDArray[np.int64], symbol: int) -> None:
    for side in range(2):
        block = side_block(symbol, side)
        for i in range(cells[at(block + FIRST)], cells[at(block + END)]):
            cells[at(block + KEYS + i)] = NO_KEY
        cells[at(block + FIRST)] = SPAN // 2
        cells[at(block + END)] = SPAN // 2


@hot_jit
def drop_touch(cells: NDArray[np.int64], block: int) -> None:
    """Forget the best level; the side must hold one."""
    end = cells[at(block + END)] - 1
    cells[at(block + KEYS + end)] = NO_KEY
    cells[at(block + END)] = end


def best_levels(cells: NDArray[np.int64], block: int, depth: int) -> NDArray[np.int64]:
    """(k, 2) ticks and lots, best first, k <= depth."""
    first, end = int(cells[block + FIRST]), int(cells[block + END])
    first = max(first, end - depth)
    ticks = np.abs(cells[block + KEYS + first : block + KEYS + end])
    lots = cells[block + SIZES + first : block + SIZES + end]
    return np.column_stack((ticks, lots))[::-1].copy()
