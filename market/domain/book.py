"""One side of an order book: a ladder of ticks near the touch, sorted levels far from it (`kernel_state`).

A level inside the ladder is found, set and removed at its own place, whatever the depth of the book; a
bit for each place tells the next level and counts those in between. Levels worse than the ladder wait
in a sorted list. The ladder moves when the touch leaves it or sinks into its lower part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.events import BID
from market.domain.kernel_jit import (
    Bits,
    at,
    flat_jit,
    highest_bit,
    hot_jit,
    kernel_jit,
    lowest_bit,
    ones,
    whole,
)
from market.domain.kernel_state import (
    BASE,
    BOOK_CAPACITY,
    FAR_COUNT,
    FAR_KEYS,
    FAR_SIZES,
    HEADROOM,
    LADDER,
    LEVELS,
    MAX_LOT,
    MAX_TICK,
    NO_KEY,
    SIDE_CELLS,
    SYMBOL_CELLS,
    TOUCH,
    WINDOW,
    WORDS,
)

_LOW_WATER = WINDOW // 4
_ONE: Bits = np.uint64(1)


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
    return cells[at(block + LEVELS)]


@hot_jit
def touch_key(cells: NDArray[np.int64], block: int) -> int:
    """Key of the best level; `NO_KEY` when the side is empty."""
    return cells[at(block + TOUCH)]


@hot_jit
def touch_lots(cells: NDArray[np.int64], block: int) -> int:
    """Size of the best level; the side must hold one."""
    return cells[at(block + LADDER + cells[at(block + TOUCH)] - cells[at(block + BASE)])]


# -- the ladder ---------------------------------------------------------------------------------------


@hot_jit
def word_of(cells: NDArray[np.int64], block: int, word: int) -> Bits:
    return np.uint64(cells[at(block + WORDS + word)])


@hot_jit
def better_levels(cells: NDArray[np.int64], block: int, place: int, enough: int) -> int:
    """How many levels of the ladder are better than `place`; counting may stop at `enough`.

    Two more words are counted whether they matter or not: to ask would cost more than to count.
    """
    word, last = place >> 6, (cells[at(block + TOUCH)] - cells[at(block + BASE)]) >> 6
    count = ones((word_of(cells, block, word) >> np.uint64(place & 63)) >> _ONE)
    count += ones(word_of(cells, block, word + 1)) * (word + 1 <= last)
    count += ones(word_of(cells, block, word + 2)) * (word + 2 <= last)
    word += 2
    while word < last and count < enough:
        word += 1
        count += ones(word_of(cells, block, word))
    return count


@hot_jit
def is_new(cells: NDArray[np.int64], block: int, place: int, lot: int) -> bool:
    return (cells[at(block + LADDER + place)] == 0) & (lot != 0)


@hot_jit
def set_place(cells: NDArray[np.int64], block: int, place: int, lot: int) -> int:
    """Make `lot` the size at `place`, 0 for none; returns the size before. There must be room for it."""
    before = cells[at(block + LADDER + place)]
    cells[at(block + LADDER + place)] = lot
    was, stays = np.int64(before != 0), np.int64(lot != 0)
    flip = np.uint64(was ^ stays) << np.uint64(place & 63)
    cells[at(block + WORDS + (place >> 6))] ^= np.int64(flip)
    cells[at(block + LEVELS)] += stays - was
    above = cells[at(block + BASE)] + place - cells[at(block + TOUCH)]
    if above >= 0:
        if lot != 0:
            cells[at(block + TOUCH)] += above
        elif above == 0:
            find_touch(cells, block, place)
    return before


@hot_jit
def place_below(cells: NDArray[np.int64], block: int, place: int) -> int:
    """The next occupied place at or below `place`; -1 for none."""
    word = place >> 6
    bits = word_of(cells, block, word) << np.uint64(63 - (place & 63))
    if bits != 0:
        return place - 63 + highest_bit(bits)
    while word > 0:
        word -= 1
        if cells[at(block + WORDS + word)] != 0:
            return word * 64 + highest_bit(word_of(cells, block, word))
    return -1


@hot_jit
def find_touch(cells: NDArray[np.int64], block: int, place: int) -> None:
    """The best level is below `place` now."""
    below = place_below(cells, block, place)
    cells[at(block + TOUCH)] = cells[at(block + BASE)] + below if below >= 0 else NO_KEY
    if below < 0 and cells[at(block + FAR_COUNT)] == 0:
        cells[at(block + BASE)] = NO_KEY  # the next level lays the ladder, wherever it is
    if cells[at(block + FAR_COUNT)] > 0 and below < _LOW_WATER:
        move_ladder(cells, block, best_key(cells, block))


@kernel_jit
def replace_worst(cells: NDArray[np.int64], block: int, key: int, lot: int) -> bool:
    """Put a new level into a full side in place of the worst, unless it is the worst itself."""
    if cells[at(block + FAR_COUNT)] > 0:
        if key < cells[at(block + FAR_KEYS)]:
            return False
        take_far(cells, block, whole(0))
    else:
        word = 0
        while cells[at(block + WORDS + word)] == 0:
            word += 1
        worst = word * 64 + lowest_bit(word_of(cells, block, word))
        if key < cells[at(block + BASE)] + worst:
            return False
        set_place(cells, block, worst, whole(0))
    place = key - cells[at(block + BASE)]
    if place >= 0:
        set_place(cells, block, place, lot)
    else:
        put_far(cells, block, far_place(cells, block, key), key, lot)
    return False


@kernel_jit
def best_key(cells: NDArray[np.int64], block: int) -> int:
    """The touch, or the best level outside an empty ladder."""
    if cells[at(block + TOUCH)] != NO_KEY:
        return cells[at(block + TOUCH)]
    return cells[at(block + FAR_KEYS + cells[at(block + FAR_COUNT)] - 1)]


@kernel_jit
def move_ladder(cells: NDArray[np.int64], block: int, key: int) -> None:
    """Lay the ladder around `key`, the best level or one that is about to become it."""
    far = cells[at(block + FAR_COUNT)]
    for word in range(WINDOW // 64):
        bits = word_of(cells, block, word)
        while bits != 0:
            place = word * 64 + lowest_bit(bits)
            bits &= bits - _ONE
            cells[at(block + FAR_KEYS + far)] = cells[at(block + BASE)] + place
            cells[at(block + FAR_SIZES + far)] = cells[at(block + LADDER + place)]
            cells[at(block + LADDER + place)] = 0
            far += 1
        cells[at(block + WORDS + word)] = 0
    base = ((key + HEADROOM - WINDOW) >> 6) << 6
    cells[at(block + BASE)] = base
    cells[at(block + LEVELS)] = far
    cells[at(block + TOUCH)] = NO_KEY
    if far > 0 and cells[at(block + FAR_KEYS + far - 1)] >= base:
        cells[at(block + TOUCH)] = cells[at(block + FAR_KEYS + far - 1)]
    while far > 0 and cells[at(block + FAR_KEYS + far - 1)] >= base:
        far -= 1
        place = cells[at(block + FAR_KEYS + far)] - base
        cells[at(block + LADDER + place)] = cells[at(block + FAR_SIZES + far)]
        cells[at(block + WORDS + (place >> 6))] |= np.int64(_ONE << np.uint64(place & 63))
    cells[at(block + FAR_COUNT)] = far


# -- the levels far from the touch ----------------------------------------------------------------------


@kernel_jit
def far_place(cells: NDArray[np.int64], block: int, key: int) -> int:
    """Where `key` stands, or would stand, in the sorted list (worst first)."""
    low, high = 0, cells[at(block + FAR_COUNT)]
    while low < high:
        middle = (low + high) >> 1
        if cells[at(block + FAR_KEYS + middle)] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel_jit
def put_far(cells: NDArray[np.int64], block: int, place: int, key: int, lot: int) -> None:
    keys, sizes = block + FAR_KEYS, block + FAR_SIZES
    for i in range(cells[at(block + FAR_COUNT)], place, -1):
        cells[at(keys + i)] = cells[at(keys + i - 1)]
        cells[at(sizes + i)] = cells[at(sizes + i - 1)]
    cells[at(keys + place)] = key
    cells[at(sizes + place)] = lot
    cells[at(block + FAR_COUNT)] += 1
    cells[at(block + LEVELS)] += 1


@kernel_jit
def take_far(cells: NDArray[np.int64], block: int, place: int) -> None:
    keys, sizes = block + FAR_KEYS, block + FAR_SIZES
    for i in range(place, cells[at(block + FAR_COUNT)] - 1):
        cells[at(keys + i)] = cells[at(keys + i + 1)]
        cells[at(sizes + i)] = cells[at(sizes + i + 1)]
    cells[at(block + FAR_COUNT)] -= 1
    cells[at(block + LEVELS)] -= 1


@kernel_jit
def set_far_level(cells: NDArray[np.int64], block: int, key: int, lot: int) -> None:
    """`set_level` for a key below the ladder."""
    place = far_place(cells, block, key)
    is_there = place < cells[at(block + FAR_COUNT)] and cells[at(block + FAR_KEYS + place)] == key
    if is_there and lot == 0:
        take_far(cells, block, place)
    elif is_there:
        cells[at(block + FAR_SIZES + place)] = lot
    elif lot != 0 and level_count(cells, block) == BOOK_CAPACITY:
        replace_worst(cells, block, key, lot)
    elif lot != 0:
        put_far(cells, block, place, key, lot)


# -- the whole side -------------------------------------------------------------------------------------


@flat_jit
def set_level(cells: NDArray[np.int64], block: int, key: int, lot: int) -> None:
    """Make `lot` the size at `key`, 0 deletes; in a full side the worst level makes room."""
    place = key - cells[at(block + BASE)]
    if place >= WINDOW:
        if lot == 0:
            return
        move_ladder(cells, block, key)
        place = key - cells[at(block + BASE)]
    if place < 0:
        set_far_level(cells, block, key, lot)
    elif cells[at(block + LEVELS)] == BOOK_CAPACITY and is_new(cells, block, place, lot):
        replace_worst(cells, block, key, lot)
    else:
        set_place(cells, block, place, lot)


@kernel_jit
def lots_at(cells: NDArray[np.int64], block: int, key: int) -> Any:
    """The size at `key`, 0 where no level is."""
    place = key - cells[at(block + BASE)]
    if place >= WINDOW:
        return np.int64(0)
    if place >= 0:
        return cells[at(block + LADDER + place)]
    place = far_place(cells, block, key)
    if place < cells[at(block + FAR_COUNT)] and cells[at(block + FAR_KEYS + place)] == key:
        return cells[at(block + FAR_SIZES + place)]
    return np.int64(0)


@kernel_jit
def reaches(cells: NDArray[np.int64], block: int, key: int) -> bool:
    """Whether the side holds a level at `key` or worse."""
    if cells[at(block + FAR_COUNT)] > 0:
        return bool(cells[at(block + FAR_KEYS)] <= key)
    place = min(key - cells[at(block + BASE)], WINDOW - 1)
    return level_count(cells, block) > 0 and place >= 0 and place_below(cells, block, place) >= 0


@kernel_jit
def clear_side(cells: NDArray[np.int64], block: int) -> None:
    for word in range(WINDOW // 64):
        if cells[at(block + WORDS + word)] != 0:
            cells[at(block + WORDS + word)] = 0
            for place in range(word * 64, word * 64 + 64):
                cells[at(block + LADDER + place)] = 0
    cells[at(block + TOUCH)] = NO_KEY
    cells[at(block + BASE)] = NO_KEY
    cells[at(block + LEVELS)] = 0
    cells[at(block + FAR_COUNT)] = 0


@kernel_jit
def clear(cells: NDArray[np.int64], symbol: int) -> None:
    for side in range(2):
        clear_side(cells, side_block(symbol, side))


@hot_jit
def drop_touch(cells: NDArray[np.int64], block: int) -> None:
    """Forget the best level; the side must hold one."""
    set_place(cells, block, cells[at(block + TOUCH)] - cells[at(block + BASE)], whole(0))


def best_levels(cells: NDArray[np.int64], block: int, depth: int) -> NDArray[np.int64]:
    """(k, 2) ticks and lots, best first, k <= depth."""
    ladder = cells[block + LADDER : block + LADDER + WINDOW]
    places = np.flatnonzero(ladder)
    far = int(cells[block + FAR_COUNT])
    keys = np.concatenate(
        (cells[block + FAR_KEYS : block + FAR_KEYS + far], places + cells[block + BASE])
    )
    lots = np.concatenate((cells[block + FAR_SIZES : block + FAR_SIZES + far], ladder[places]))
    return np.column_stack((np.abs(keys), lots))[::-1][:depth].copy()
