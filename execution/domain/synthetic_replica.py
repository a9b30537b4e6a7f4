"""The order book of a recording, replayed level by level into the arrays of `synthetic_book`.

One order stands for a whole level: a recording knows sizes by price, not who queues there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import (
    ASK,
    BID,
    HEAD,
    LIVE,
    LIVE_ORDERS,
    NO_ASK,
    NO_BID,
    TICK,
    Book,
    add_order,
    clear_level,
    remove_order,
)
from execution.domain.synthetic_compile import inner_kernel, kernel


@kernel
def clear_book(book: Book) -> None:
    """Remove every level."""
    while book.counts[LIVE_ORDERS] > 0:
        remove_order(book, book.orders[book.counts[LIVE_ORDERS] - 1, LIVE])


@kernel
def apply_levels(
    book: Book, side: NDArray[np.uint8], tick: NDArray[np.int64], lot: NDArray[np.int64]
) -> None:
    """Set levels to absolute sizes, 0 removes; afterwards the book is not crossed.

    Levels further than half a ring from the touch cannot be held and are left out.
    """
    for i in range(side.shape[0]):
        if lot[i] == 0 and _holds(book, side[i], tick[i]):
            clear_level(book, side[i], tick[i])
    for i in range(side.shape[0]):
        if lot[i] > 0 and _may_hold(book, tick[i]):
            if _holds(book, side[i], tick[i]):
                clear_level(book, side[i], tick[i])
            _make_room(book, side[i], tick[i])
            add_order(book, side[i], tick[i], lot[i])


@kernel
def trim_to_touch(book: Book, bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> None:
    """A best bid and offer was told: whatever the book held better than them is gone."""
    while book.best[BID] > bid_tick:
        clear_level(book, BID, book.best[BID])
    while book.best[ASK] < ask_tick:
        clear_level(book, ASK, book.best[ASK])
    for side in range(2):
        tick = bid_tick if side == BID else ask_tick
        lots = bid_lots if side == BID else ask_lots
        if _holds(book, side, tick):
            clear_level(book, side, tick)
        if lots > 0:
            _make_room(book, side, tick)
            add_order(book, side, tick, lots)


@inner_kernel
def _holds(book: Book, side: int, tick: int) -> bool:
    order = book.levels[side, tick & (book.levels.shape[1] - 1), HEAD]
    return bool(order >= 0 and book.orders[order, TICK] == tick)


@inner_kernel
def _may_hold(book: Book, tick: int) -> bool:
    reach = book.levels.shape[1] // 2 - 1
    near_bid = book.best[BID] == NO_BID or abs(tick - book.best[BID]) < reach
    near_ask = book.best[ASK] == NO_ASK or abs(tick - book.best[ASK]) < reach
    return bool(near_bid and near_ask)


@inner_kernel
def _make_room(book: Book, side: int, tick: int) -> None:
    """The newer level wins over older ones it would cross, and over one in the same place of the ring."""
    if side == BID:
        while book.best[ASK] <= tick:
            clear_level(book, ASK, book.best[ASK])
    else:
        while book.best[BID] >= tick:
            clear_level(book, BID, book.best[BID])
    place = tick & (book.levels.shape[1] - 1)
    while book.levels[side, place, HEAD] >= 0:
        remove_order(book, book.levels[side, place, HEAD])
