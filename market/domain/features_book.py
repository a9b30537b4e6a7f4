"""What book messages do: levels change, order flow and cancelled size are noted (pipeline §1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.domain.book import (
    better_levels,
    clear,
    drop_touch,
    far_place,
    is_level,
    is_new,
    key_of,
    level_count,
    move_ladder,
    put_far,
    replace_worst,
    set_place,
    side_block,
    take_far,
    touch_key,
    touch_lots,
)
from market.domain.events import BID
from market.domain.features_decay import decay, fifth_power
from market.domain.kernel_jit import at, flat_jit, hot_jit, kernel_jit, whole
from market.domain.kernel_state import (
    BASE,
    BOOK_CAPACITY,
    CREDIT_KEY,
    CREDIT_LOTS,
    CREDIT_TS,
    FAR_COUNT,
    FAR_KEYS,
    FAR_SIZES,
    LEVELS,
    NS_PER_S,
    SIDE_CELLS,
    WINDOW,
    Record,
)

FLICKER_LEVELS = 20
CREDIT_LIFE_NS = NS_PER_S


@hot_jit
def note_book_feed(state: Record, rules: Record, now: int) -> None:
    """The feed spoke: silence or a crossed book that lasted too long until now is remembered."""
    if state.has_snapshot != 0:
        if now - state.book_ts > rules.stale_ns:
            state.is_stale = 1
        if state.crossed_since != 0 and now - state.crossed_since > rules.crossed_ns:
            state.is_degraded = 1
    state.book_ts = now


@hot_jit
def has_both_sides(cells: NDArray[np.int64], symbol: int) -> bool:
    bids = side_block(symbol, BID)
    return level_count(cells, bids) > 0 and level_count(cells, bids + SIDE_CELLS) > 0


@hot_jit
def note_crossing(state: Record, cells: NDArray[np.int64], symbol: int, now: int) -> None:
    bids = side_block(symbol, BID)
    if (
        has_both_sides(cells, symbol)
        and touch_key(cells, bids) + touch_key(cells, bids + SIDE_CELLS) >= 0
    ):
        if state.crossed_since == 0:
            state.crossed_since = now
    else:
        state.crossed_since = 0


@kernel_jit
def apply_snapshot(
    state: Record,
    run: Record,
    cells: NDArray[np.int64],
    symbol: int,
    now: int,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """Forget the book and take the entries first..last, from the last: venues send the best first."""
    clear(cells, symbol)
    for entry in range(last - 1, first - 1, -1):
        if not is_level(side[at(entry)], tick[at(entry)], lot[at(entry)]):
            run.bad_level += 1
            continue
        key = key_of(side[at(entry)], tick[at(entry)])
        apply_level(run, cells, side_block(symbol, side[at(entry)]), key, lot[at(entry)], 0, now)
    state.has_snapshot = 1
    state.is_degraded = 0
    state.is_stale = 0
    state.book_ts = now
    state.crossed_since = 0
    note_crossing(state, cells, symbol, now)


@hot_jit
def cancelled_lots(cells: NDArray[np.int64], block: int, key: int, gone: int, now: int) -> int:
    """Part of `gone` that lately traded size at this price or beyond does not explain."""
    if now - cells[at(block + CREDIT_TS)] > CREDIT_LIFE_NS or key < cells[at(block + CREDIT_KEY)]:
        return gone
    traded = min(gone, cells[at(block + CREDIT_LOTS)])
    cells[at(block + CREDIT_LOTS)] -= traded
    return gone - traded


@hot_jit
def apply_level(
    run: Record,
    cells: NDArray[np.int64],
    block: int,
    key: int,
    lot: int,
    inserted: int,
    now: int,
) -> tuple[int, int]:
    """Make `lot` the size at `key`, 0 deletes.

    `inserted`: new levels this message has put on this side so far. Returns (lots cancelled among the
    best 20, 1 for a new level). A level deleted while no more levels than the inserted ones stand
    behind it was pushed out of the window: unknown, not cancelled.
    """
    place = key - cells[at(block + BASE)]
    if place >= WINDOW:
        if lot == 0:
            return 0, 0
        move_ladder(cells, block, key)
        place = key - cells[at(block + BASE)]
    if place < 0:
        return apply_far_level(run, cells, block, key, lot, inserted, now)
    if cells[at(block + LEVELS)] == BOOK_CAPACITY and is_new(cells, block, place, lot):
        replace_worst(cells, block, key, lot)
        run.capacity_evictions += 1
        return 0, 1
    behind = level_count(cells, block) - 1
    before = set_place(cells, block, place, lot)
    if before > lot:
        # A touch that left may have moved the ladder: nothing was better, and `place` may be another.
        is_behind = touch_key(cells, block) > key
        rank = better_levels(cells, block, place, FLICKER_LEVELS) if is_behind else 0
        if (rank < FLICKER_LEVELS) & ((lot != 0) | (behind - rank >= inserted)):
            return cancelled_lots(cells, block, key, before - lot, now), 0
    return 0, whole((before == 0) & (lot != 0))


@kernel_jit
def apply_far_level(
    run: Record,
    cells: NDArray[np.int64],
    block: int,
    key: int,
    lot: int,
    inserted: int,
    now: int,
) -> tuple[int, int]:
    """`apply_level` for a key below the ladder."""
    place, count = far_place(cells, block, key), cells[at(block + FAR_COUNT)]
    if place == count or cells[at(block + FAR_KEYS + place)] != key:
        if lot == 0:
            return 0, 0
        if level_count(cells, block) == BOOK_CAPACITY:
            replace_worst(cells, block, key, lot)
            run.capacity_evictions += 1
        else:
            put_far(cells, block, place, key, lot)
        return 0, 1
    gone = cells[at(block + FAR_SIZES + place)] - lot
    rank = level_count(cells, block) - 1 - place
    is_pushed_out = False
    if lot == 0:
        is_pushed_out = place < inserted
        take_far(cells, block, place)
    else:
        cells[at(block + FAR_SIZES + place)] = lot
    if gone <= 0 or rank >= FLICKER_LEVELS or is_pushed_out:
        return 0, 0
    return cancelled_lots(cells, block, key, gone, now), 0


@kernel_jit
def drop_better(cells: NDArray[np.int64], block: int, key: int, now: int) -> int:
    """A BBO says nothing is better than `key`: those levels go. Returns lots cancelled."""
    cancelled = 0
    while touch_key(cells, block) > key:
        best, gone = touch_key(cells, block), touch_lots(cells, block)
        drop_touch(cells, block)
        cancelled += cancelled_lots(cells, block, best, gone, now)
    return cancelled


@flat_jit
def apply_update(
    state: Record,
    run: Record,
    cells: NDArray[np.int64],
    symbol: int,
    now: int,
    is_bbo: bool,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """Apply a delta or a BBO (entries first..last) and note order flow and cancelled size."""
    bids = side_block(symbol, BID)
    asks = bids + SIDE_CELLS
    had_both = has_both_sides(cells, symbol)
    bid, bid_lots, ask, ask_lots = 0, 0, 0, 0
    if had_both:
        bid, bid_lots = touch_key(cells, bids), touch_lots(cells, bids)
        ask, ask_lots = touch_key(cells, asks), touch_lots(cells, asks)
    cancelled, inserted_bids, inserted_asks = 0, 0, 0
    for entry in range(first, last):
        if not is_level(side[at(entry)], tick[at(entry)], lot[at(entry)]):
            run.bad_level += 1
            continue
        is_bid = side[at(entry)] == BID
        block, key = (bids, tick[at(entry)]) if is_bid else (asks, -tick[at(entry)])
        if is_bbo:
            cancelled += drop_better(cells, block, key, now)
        inserted = inserted_bids if is_bid else inserted_asks
        lots, added = apply_level(run, cells, block, key, lot[at(entry)], inserted, now)
        cancelled += lots
        inserted_bids += added if is_bid else 0
        inserted_asks += 0 if is_bid else added
    note_crossing(state, cells, symbol, now)
    if state.is_degraded != 0 or state.is_stale != 0:
        return
    flow = 0
    if had_both and has_both_sides(cells, symbol):
        flow = touch_flow(
            bid, bid_lots, touch_key(cells, bids), touch_lots(cells, bids)
        ) - touch_flow(ask, ask_lots, touch_key(cells, asks), touch_lots(cells, asks))
    if flow != 0 or cancelled != 0:
        note_book_flow(state, now, flow, cancelled)


@hot_jit
def touch_flow(key: int, lots: int, new_key: int, new_lots: int) -> int:
    """One side's share of order-flow imbalance, lots (Cont, Kukanov & Stoikov 2014, eq. 2)."""
    if new_key > key:
        return new_lots
    if new_key < key:
        return -lots
    return new_lots - lots


@hot_jit
def note_book_flow(state: Record, now: int, flow: int, cancelled: int) -> None:
    if now != state.book_flow_ts:
        left5 = decay(now - state.book_flow_ts, 5.0 * NS_PER_S)
        left1 = fifth_power(left5)
        state.ofi1 *= left1
        state.ofi5 *= left5
        state.cancelled1 *= left1
        state.book_flow_ts = now
    state.ofi1 += flow
    state.ofi5 += flow
    state.cancelled1 += cancelled
