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
_FREE, _LIVE = 0, 1  # places in `counts`


class Book(NamedTuple):
    """Arrays of one symbol's book; c = capacity in orders, r = ring size (a power of two).

    level_lots i8[2, r] total size, level_head/level_tail i4[2, r] first and last order (-1: none),
    best i8[2] best ticks, side_orders i8[2] resting orders, order_* columns [c],
    live i4[c] the resting orders in no order with order_place i4[c] pointing back, free i4[c] stack,
    counts i8[2]: free, live.
    """

    level_lots: NDArray[np.int64]
    level_head: NDArray[np.int32]
    level_tail: NDArray[np.int32]
    best: NDArray[np.int64]
    side_orders: NDArray[np.int64]
    order_side: NDArray[np.uint8]
    order_tick: NDArray[np.int64]
    order_lots: NDArray[np.int64]
    order_next: NDArray[np.int32]
    order_prev: NDArray[np.int32]
    order_place: NDArray[np.int32]
    live: NDArray[np.int32]
    free: NDArray[np.int32]
    counts: NDArray[np.int64]


def empty_book(*, ring: int, capacity: int) -> Book:
    """A book without orders; `ring` must be a power of two."""
    return Book(
        level_lots=np.zeros((2, ring), np.int64),
        level_head=np.full((2, ring), -1, np.int32),
        level_tail=np.full((2, ring), -1, np.int32),
        best=np.array([NO_BID, NO_ASK], np.int64),
        side_orders=np.zeros(2, np.int64),
        order_side=np.zeros(capacity, np.uint8),
        order_tick=np.zeros(capacity, np.int64),
        order_lots=np.zeros(capacity, np.int64),
        order_next=np.full(capacity, -1, np.int32),
        order_prev=np.full(capacity, -1, np.int32),
        order_place=np.full(capacity, -1, np.int32),
        live=np.zeros(capacity, np.int32),
        free=np.arange(capacity, dtype=np.int32)[::-1].copy(),
        counts=np.array([capacity, 0], np.int64),
    )


@kernel
def add_order(book: Book, side: int, tick: int, lots: int) -> int:
    """Queue a resting order behind those at its price; return its slot, or -1 when the pool is full.

    The caller has made sure that it does not cross.
    """
    if book.counts[_FREE] == 0:
        return -1
    book.counts[_FREE] -= 1
    order = book.free[book.counts[_FREE]]
    place = tick & (book.level_lots.shape[1] - 1)
    last = book.level_tail[side, place]
    book.order_side[order] = side
    book.order_tick[order] = tick
    book.order_lots[order] = lots
    book.order_prev[order] = last
    book.order_next[order] = -1
    if last < 0:
        book.level_head[side, place] = order
    else:
        book.order_next[last] = order
    book.level_tail[side, place] = order
    book.level_lots[side, place] += lots
    book.order_place[order] = book.counts[_LIVE]
    book.live[book.counts[_LIVE]] = order
    book.counts[_LIVE] += 1
    book.side_orders[side] += 1
    if (side == BID and tick > book.best[BID]) or (side == ASK and tick < book.best[ASK]):
        book.best[side] = tick
    return int(order)


@kernel
def remove_order(book: Book, order: int) -> None:
    """Take an order out, whatever is left of it, and find the next best price if it was the last there."""
    side, tick = np.int64(book.order_side[order]), book.order_tick[order]
    place = tick & (book.level_lots.shape[1] - 1)
    before, after = book.order_prev[order], book.order_next[order]
    if before < 0:
        book.level_head[side, place] = after
    else:
        book.order_next[before] = after
    if after < 0:
        book.level_tail[side, place] = before
    else:
        book.order_prev[after] = before
    book.level_lots[side, place] -= book.order_lots[order]
    last_live = book.live[book.counts[_LIVE] - 1]
    book.live[book.order_place[order]] = last_live
    book.order_place[last_live] = book.order_place[order]
    book.counts[_LIVE] -= 1
    book.free[book.counts[_FREE]] = order
    book.counts[_FREE] += 1
    book.side_orders[side] -= 1
    if book.level_head[side, place] < 0 and tick == book.best[side]:
        book.best[side] = next_level(book, side, tick)


@inner_kernel
def next_level(book: Book, side: int, tick: int) -> int:
    """The next price with orders behind `tick` on `side`; NO_BID or NO_ASK when there is none."""
    if book.side_orders[side] == 0:
        return NO_BID if side == BID else NO_ASK
    ring = book.level_lots.shape[1]
    step = -1 if side == BID else 1
    for _ in range(ring):
        tick += step
        if book.level_head[side, tick & (ring - 1)] >= 0:
            return int(tick)
    return NO_BID if side == BID else NO_ASK


@kernel
def take_from_best(book: Book, side: int, lots: int) -> int:
    """Trade up to `lots` with the oldest orders at the best price of `side`; return the lots traded."""
    ring = book.level_lots.shape[1]
    tick = book.best[side]
    left = lots
    while left > 0 and book.best[side] == tick and book.side_orders[side] > 0:
        order = book.level_head[side, tick & (ring - 1)]
        if book.order_lots[order] > left:
            book.order_lots[order] -= left
            book.level_lots[side, tick & (ring - 1)] -= left
            return lots
        left -= book.order_lots[order]
        remove_order(book, order)
    return lots - left


@kernel
def clear_level(book: Book, side: int, tick: int) -> None:
    """Cancel every order at one price."""
    place = tick & (book.level_lots.shape[1] - 1)
    while book.level_head[side, place] >= 0:
        remove_order(book, book.level_head[side, place])


@kernel
def drop_far_orders(book: Book, middle_tick: int, reach_ticks: int) -> None:
    """Cancel every order further than `reach_ticks` from `middle_tick`."""
    i = 0
    while i < book.counts[_LIVE]:
        order = book.live[i]
        if abs(book.order_tick[order] - middle_tick) > reach_ticks:
            remove_order(book, order)
        else:
            i += 1


@kernel
def best_levels(
    book: Book, side: int, depth: int, ticks: NDArray[np.int64], lots: NDArray[np.int64]
) -> int:
    """Write the best `depth` levels of `side`, best first, into `ticks` and `lots`; return how many."""
    ring = book.level_lots.shape[1]
    count = 0
    tick = book.best[side]
    while count < depth and tick != NO_BID and tick != NO_ASK:
        ticks[count] = tick
        lots[count] = book.level_lots[side, tick & (ring - 1)]
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
        if book.level_head[side, tick & (ring - 1)] >= 0:
            return int(tick)
    return NO_BID if side == BID else NO_ASK
