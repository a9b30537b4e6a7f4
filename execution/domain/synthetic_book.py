"""A price-time limit order book in flat arrays, for the compiled order flow of the synthetic market.

Orders live in a pool; each price level is a linked list of them in order of arrival. Levels sit in a ring
indexed by tick modulo the ring size, so every order must lie within half a ring of the others: the flow
drops orders that fall too far behind (`synthetic_flow`). All functions are numba kernels without clock,
randomness or allocation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_compile import inner_kernel, kernel

BID, ASK = 0, 1
NO_BID, NO_ASK = -(1 << 60), 1 << 60
# Columns of `levels`.
LEVEL_LOTS, HEAD, TAIL = 0, 1, 2
# Columns of `orders`; LIVE and FREE are two lists of slots kept beside the orders.
SIDE, TICK, LOTS, NEXT, PREV, PLACE, LIVE, FREE = range(8)
# Places in `counts`.
FREE_ORDERS, LIVE_ORDERS, SIDE_ORDERS = 0, 1, 2


class Book(NamedTuple):
    """Arrays of one symbol's book; c = capacity in orders, r = ring size (a power of two).

    levels i8[2, r, 3] total size, first and last order (-1: none) of each price; orders i8[c, 8] the
    columns above: LIVE holds the resting orders in no order with PLACE pointing back, FREE is a stack;
    best i8[2] best ticks; counts i8[4] free, live, bids, asks.

    Four arrays and not one a column: every array in a signature costs compile time in every function.
    """

    levels: NDArray[np.int64]
    orders: NDArray[np.int64]
    best: NDArray[np.int64]
    counts: NDArray[np.int64]


def empty_book(*, ring: int, capacity: int) -> Book:
    """A book without orders; `ring` must be a power of two."""
    book = Book(
        levels=np.full((2, ring, 3), -1, np.int64),
        orders=np.zeros((capacity, 8), np.int64),
        best=np.array([NO_BID, NO_ASK], np.int64),
        counts=np.array([capacity, 0, 0, 0], np.int64),
    )
    book.levels[:, :, LEVEL_LOTS] = 0
    book.orders[:, FREE] = np.arange(capacity)[::-1]
    return book


@kernel
def add_order(book: Book, side: int, tick: int, lots: int) -> int:
    """Queue a resting order behind those at its price; return its slot, or -1 when the pool is full.

    The caller has made sure that it does not cross.
    """
    if book.counts[FREE_ORDERS] == 0:
        return -1
    book.counts[FREE_ORDERS] -= 1
    order = book.orders[book.counts[FREE_ORDERS], FREE]
    place = tick & (book.levels.shape[1] - 1)
    last = book.levels[side, place, TAIL]
    book.orders[order, SIDE] = side
    book.orders[order, TICK] = tick
    book.orders[order, LOTS] = lots
    book.orders[order, PREV] = last
    book.orders[order, NEXT] = -1
    if last < 0:
        book.levels[side, place, HEAD] = order
    else:
        book.orders[last, NEXT] = order
    book.levels[side, place, TAIL] = order
    book.levels[side, place, LEVEL_LOTS] += lots
    book.orders[order, PLACE] = book.counts[LIVE_ORDERS]
    book.orders[book.counts[LIVE_ORDERS], LIVE] = order
    book.counts[LIVE_ORDERS] += 1
    book.counts[SIDE_ORDERS + side] += 1
    if (side == BID and tick > book.best[BID]) or (side == ASK and tick < book.best[ASK]):
        book.best[side] = tick
    return int(order)


@kernel
def remove_order(book: Book, order: int) -> None:
    """Take an order out, whatever is left of it, and find the next best price if it was the last there."""
    side, tick = book.orders[order, SIDE], book.orders[order, TICK]
    place = tick & (book.levels.shape[1] - 1)
    before, after = book.orders[order, PREV], book.orders[order, NEXT]
    if before < 0:
        book.levels[side, place, HEAD] = after
    else:
        book.orders[before, NEXT] = after
    if after < 0:
        book.levels[side, place, TAIL] = before
    else:
        book.orders[after, PREV] = before
    book.levels[side, place, LEVEL_LOTS] -= book.orders[order, LOTS]
    last_live = book.orders[book.counts[LIVE_ORDERS] - 1, LIVE]
    book.orders[book.orders[order, PLACE], LIVE] = last_live
    book.orders[last_live, PLACE] = book.orders[order, PLACE]
    book.counts[LIVE_ORDERS] -= 1
    book.orders[book.counts[FREE_ORDERS], FREE] = order
    book.counts[FREE_ORDERS] += 1
    book.counts[SIDE_ORDERS + side] -= 1
    if book.levels[side, place, HEAD] < 0 and tick == book.best[side]:
        book.best[side] = next_level(book, side, tick)


@inner_kernel
def next_level(book: Book, side: int, tick: int) -> int:
    """The next price with orders behind `tick` on `side`; NO_BID or NO_ASK when there is none."""
    if book.counts[SIDE_ORDERS + side] == 0:
        return NO_BID if side == BID else NO_ASK
    ring = book.levels.shape[1]
    step = -1 if side == BID else 1
    for _ in range(ring):
        tick += step
        if book.levels[side, tick & (ring - 1), HEAD] >= 0:
            return int(tick)
    return NO_BID if side == BID else NO_ASK


@kernel
def take_from_best(book: Book, side: int, lots: int) -> int:
    """Trade up to `lots` with the oldest orders at the best price of `side`; return the lots traded."""
    ring = book.levels.shape[1]
    tick = book.best[side]
    left = lots
    while left > 0 and book.best[side] == tick and book.counts[SIDE_ORDERS + side] > 0:
        order = book.levels[side, tick & (ring - 1), HEAD]
        if book.orders[order, LOTS] > left:
            book.orders[order, LOTS] -= left
            book.levels[side, tick & (ring - 1), LEVEL_LOTS] -= left
            return lots
        left -= book.orders[order, LOTS]
        remove_order(book, order)
    return lots - left


@kernel
def clear_level(book: Book, side: int, tick: int) -> None:
    """Cancel every order at one price."""
    place = tick & (book.levels.shape[1] - 1)
    while book.levels[side, place, HEAD] >= 0:
        remove_order(book, book.levels[side, place, HEAD])


@kernel
def drop_far_orders(book: Book, middle_tick: int, reach_ticks: int) -> None:
    """Cancel every order further than `reach_ticks` from `middle_tick`."""
    i = 0
    while i < book.counts[LIVE_ORDERS]:
        order = book.orders[i, LIVE]
        if abs(book.orders[order, TICK] - middle_tick) > reach_ticks:
            remove_order(book, order)
        else:
            i += 1


@kernel
def best_levels(book: Book, side: int, depth: int, levels: NDArray[np.int64]) -> int:
    """Write (tick, lots) of the best `depth` levels of `side`, best first, into `levels`; return how many."""
    ring = book.levels.shape[1]
    count = 0
    tick = book.best[side]
    while count < depth and tick != NO_BID and tick != NO_ASK:
        levels[count, 0] = tick
        levels[count, 1] = book.levels[side, tick & (ring - 1), LEVEL_LOTS]
        count += 1
        if count < depth:
            # A full scan of the ring for every missing level would be slow only for an empty side.
            tick = _next_within(book, side, tick, ring)
    return count


@inner_kernel
def _next_within(book: Book, side: int, tick: int, ring: int) -> int:
    step = -1 if side == BID else 1
    first = book.best[side]
    for _ in range(ring):
        tick += step
        if abs(tick - first) >= ring:
            break
        if book.levels[side, tick & (ring - 1), HEAD] >= 0:
            return int(tick)
    return NO_BID if side == BID else NO_ASK
