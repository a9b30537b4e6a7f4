"""The compiled part of the simulated venue: apply market messages until one may concern us.

It keeps the displayed books of all symbols, as the market kernel keeps its own, and the queues ahead of
our resting orders. It returns only where an order may be filled or triggered, a position may be
liquidated, or a funding instant moves. What our own fills took from a displayed level stands in a row of
`marks`: it is not there again until the level changes. Few levels are marked, mostly none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain import book, events, kernel_state
from market.domain.book import (
    clear_side,
    drop_touch,
    is_level,
    key_of,
    level_count,
    lots_at,
    place_below,
    reaches,
    set_level,
    side_block,
    touch_key,
)
from market.domain.events import BID, FLAG_BLOCK, FLAG_RPI, SELL, EventKind, TickerField
from market.domain.kernel_jit import at, entry_jit, flat_jit, kernel_jit, source_digest, whole
from market.domain.kernel_state import BASE, FAR_COUNT, FAR_KEYS, FAR_SIZES, LADDER

FAR = np.int64(1) << 62  # a price no market reaches

Cells = NDArray[np.int64]
Column = NDArray[Any]

# Columns of `facts`, per symbol. DEEP: the feed has shown more than the touch.
TRUSTED, LAST_TICK, MARK_1E9, INDEX_1E9, RATE_1E9, NEXT_FUNDING_MS, DEEP = 0, 1, 2, 3, 4, 5, 6
FACTS = 7
# Columns of `watch`, per symbol: what makes the kernel return. EVERY_BOOK is -1 where nothing does.
EVERY_BOOK, BUY_TICK, SELL_TICK = 0, 1, 2
LAST_RISE, LAST_FALL, MARK_RISE, MARK_FALL, INDEX_RISE, INDEX_FALL = 3, 4, 5, 6, 7, 8
FUNDING, FOLLOW = 9, 10  # is there a position; do queues depend on what the book shows
WATCH = 11
# Columns of `rests`, one row per resting order. AHEAD and SHOWN are -1 while unknown.
R_SYMBOL, R_SIDE, R_TICK, R_AHEAD, R_SHOWN, R_TRADED, R_PRO_RATA = 0, 1, 2, 3, 4, 5, 6
RESTS = 7
# Columns of `marks`, one row per displayed level that our fills took from. SHOWN: all that it shows.
M_SYMBOL, M_SIDE, M_KEY, M_SHOWN, M_TAKEN = 0, 1, 2, 3, 4
MARKS = 5
# Places of `counts`: rows in use.
C_RESTS, C_MARKS = 0, 1
COUNTS = 2

_TRADE, _SNAPSHOT = int(EventKind.TRADE), int(EventKind.BOOK_SNAPSHOT)
_DELTA, _BBO = int(EventKind.BOOK_DELTA), int(EventKind.BBO)
_TICKER, _GAP = int(EventKind.TICKER), int(EventKind.FEED_GAP)
_MARK_FIELD, _INDEX_FIELD = int(TickerField.MARK_PRICE), int(TickerField.INDEX_PRICE)
_RATE_FIELD, _NEXT_FIELD = int(TickerField.FUNDING_RATE), int(TickerField.NEXT_FUNDING_TIME)
_HIDDEN = FLAG_RPI | FLAG_BLOCK

# -- what our fills took ------------------------------------------------------------------------------


@kernel_jit
def _taken(marks: Cells, counts: Cells, symbol: int, side: int, key: int) -> Any:
    for m in range(counts[C_MARKS]):
        if marks[m, M_KEY] == key and marks[m, M_SIDE] == side and marks[m, M_SYMBOL] == symbol:
            return marks[m, M_TAKEN]
    return np.int64(0)


@kernel_jit
def _forget_mark(marks: Cells, counts: Cells, m: int) -> None:
    """The last row takes the place of row `m`."""
    counts[C_MARKS] -= 1
    for column in range(MARKS):
        marks[m, column] = marks[counts[C_MARKS], column]


@kernel_jit
def _note_changes(
    kind: int,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
    marks: Cells,
    counts: Cells,
) -> None:
    """A level that left, or comes to show another size, is all there again.

    A snapshot leaves those marks that it repeats, also behind a gap: that the level was gone meanwhile is
    not known, and nothing is sold twice on a guess.
    """
    for m in range(counts[C_MARKS] - 1, -1, -1):
        if marks[m, M_SYMBOL] != symbol:
            continue
        stays = kind != _SNAPSHOT
        for k in range(first, last):
            is_it = side[k] == marks[m, M_SIDE] and key_of(side[k], tick[k]) == marks[m, M_KEY]
            if is_it and (lot[k] != 0 or kind != _BBO):
                stays = lot[k] == marks[m, M_SHOWN]
                if not stays:
                    break
        if kind == _BBO:
            block = side_block(symbol, marks[m, M_SIDE])
            stays = stays and lots_at(cells, block, marks[m, M_KEY]) != 0
        if not stays:
            _forget_mark(marks, counts, m)


# -- book and ticker ----------------------------------------------------------------------------------


@kernel_jit
def _make_way(
    kind: int,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
    facts: Cells,
) -> None:
    """Take out of the book what a snapshot or a touch replaces.

    A touch-only feed says nothing of deeper levels: there the touch is all the book there is.
    """
    if kind == _SNAPSHOT:
        for s in range(2):
            clear_side(cells, side_block(symbol, s))
        return
    for k in range(first, last):
        if lot[k] == 0 or not is_level(side[k], tick[k], lot[k]):
            continue
        block, key = side_block(symbol, whole(side[k])), key_of(side[k], tick[k])
        if facts[symbol, DEEP] == 1:
            while touch_key(cells, block) > key:
                drop_touch(cells, block)
        elif level_count(cells, block) != 1 or touch_key(cells, block) != key:
            clear_side(cells, block)


@kernel_jit
def _note_book(kind: int, symbol: int, entries: int, facts: Cells) -> None:
    """What a snapshot or a touch makes known of the book."""
    if kind == _SNAPSHOT:
        facts[symbol, TRUSTED] = 1
        if entries > 2:
            facts[symbol, DEEP] = 1
    elif facts[symbol, DEEP] == 0:
        facts[symbol, TRUSTED] = 1


@flat_jit
def _enter_levels(
    kind: int,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
) -> None:
    """A touch without size says nothing."""
    for k in range(first, last):
        is_told = lot[at(k)] != 0 or kind != _BBO
        if is_told and is_level(side[at(k)], tick[at(k)], lot[at(k)]):
            key = key_of(side[at(k)], tick[at(k)])
            set_level(cells, side_block(symbol, whole(side[at(k)])), key, lot[at(k)])


@flat_jit
def _update_book(
    kind: int,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
    facts: Cells,
    marks: Cells,
    counts: Cells,
) -> None:
    if kind == _GAP:
        facts[symbol, TRUSTED] = 0
    if kind < _SNAPSHOT or kind > _BBO:
        return
    if kind != _DELTA:
        _make_way(kind, symbol, side, tick, lot, first, last, cells, facts)
    if counts[C_MARKS] > 0:
        _note_changes(kind, symbol, side, tick, lot, first, last, cells, marks, counts)
    _enter_levels(kind, symbol, side, tick, lot, first, last, cells)
    if kind != _DELTA:
        _note_book(kind, symbol, last - first, facts)


@kernel_jit
def _note_ticker(symbol: int, tick: Cells, lot: Cells, first: int, last: int, facts: Cells) -> None:
    for k in range(first, last):
        if tick[k] == _MARK_FIELD:
            facts[symbol, MARK_1E9] = lot[k]
        elif tick[k] == _INDEX_FIELD:
            facts[symbol, INDEX_1E9] = lot[k]
        elif tick[k] == _RATE_FIELD:
            facts[symbol, RATE_1E9] = lot[k]
        elif tick[k] == _NEXT_FIELD:
            facts[symbol, NEXT_FUNDING_MS] = lot[k]


# -- what concerns us ---------------------------------------------------------------------------------


@kernel_jit
def _displayed(cells: Cells, symbol: int, side: int, tick: int) -> Any:
    """Lots shown at a price; 0 inside the window where nothing is, -1 outside it."""
    block, key = side_block(symbol, side), key_of(side, tick)
    return lots_at(cells, block, key) if reaches(cells, block, key) else np.int64(-1)


@kernel_jit
def _ahead_before(r: int, rests: Cells) -> Any:
    """The longest queue ahead of our older orders at the price of row `r`: rows stand in priority."""
    longest = 0
    for other in range(r):
        if (
            rests[other, R_SYMBOL] == rests[r, R_SYMBOL]
            and rests[other, R_SIDE] == rests[r, R_SIDE]
            and rests[other, R_TICK] == rests[r, R_TICK]
        ):
            longest = max(longest, rests[other, R_AHEAD])
    return longest


@kernel_jit
def _follow_book(symbol: int, cells: Cells, rests: Cells, number: int) -> None:
    """Queues not yet known begin behind what is shown; pro rata ones lose their share of cancels.

    A cancel is what a shown size lost beyond what traded there since. A level that leaves the window
    is unknown, not cancelled.
    """
    for r in range(number):
        if rests[r, R_SYMBOL] != symbol:
            continue
        shown = _displayed(cells, symbol, rests[r, R_SIDE], rests[r, R_TICK])
        if shown >= 0:
            if rests[r, R_AHEAD] < 0:
                rests[r, R_AHEAD] = max(shown, _ahead_before(r, rests))
            elif rests[r, R_PRO_RATA] == 1:
                left = rests[r, R_SHOWN] - rests[r, R_TRADED]
                if left > shown:  # so SHOWN was known
                    rests[r, R_AHEAD] -= (left - shown) * rests[r, R_AHEAD] // left
                rests[r, R_AHEAD] = min(rests[r, R_AHEAD], shown)
        rests[r, R_SHOWN], rests[r, R_TRADED] = shown, 0


@flat_jit
def _crosses(cells: Cells, watch: Cells, marks: Cells, counts: Cells, symbol: int) -> bool:
    """The other side of the book has something left at or through one of our resting prices."""
    for side in range(2):
        limit = watch[symbol, SELL_TICK] if side == 0 else -watch[symbol, BUY_TICK]
        if touch_key(cells, side_block(symbol, side)) >= limit and _has_left(
            cells, marks, counts, symbol, side, limit
        ):
            return True
    return False


@kernel_jit
def _has_left(
    cells: Cells, marks: Cells, counts: Cells, symbol: int, side: int, limit: int
) -> bool:
    """Whether a level from the touch to key `limit` holds more than we took from it."""
    block = side_block(symbol, side)
    base = cells[at(block + BASE)]
    place = touch_key(cells, block) - base
    while place >= 0 and base + place >= limit:
        taken = _taken(marks, counts, symbol, side, base + place)
        if cells[at(block + LADDER + place)] > taken:
            return True
        place = place_below(cells, block, place - 1) if place > 0 else -1
    for i in range(cells[at(block + FAR_COUNT)] - 1, -1, -1):
        key = cells[at(block + FAR_KEYS + i)]
        if key < limit:
            break
        if cells[at(block + FAR_SIZES + i)] > _taken(marks, counts, symbol, side, key):
            return True
    return False


@kernel_jit
def _reaches(symbol: int, taker: int, tick: int, lot: int, rests: Cells, number: int) -> bool:
    """A print may fill one of our orders; else it only advances the queues at its price."""
    for r in range(number):
        if rests[r, R_SYMBOL] == symbol:
            is_buy = rests[r, R_SIDE] == BID
            through = rests[r, R_TICK] - tick if is_buy else tick - rests[r, R_TICK]
            if through > 0:
                return True
            if through == 0 and (taker == SELL) == is_buy and 0 <= rests[r, R_AHEAD] < lot:
                return True
    for r in range(number):
        is_here = rests[r, R_SYMBOL] == symbol and rests[r, R_TICK] == tick
        if is_here and (taker == SELL) == (rests[r, R_SIDE] == BID) and rests[r, R_AHEAD] >= 0:
            rests[r, R_AHEAD] -= lot
            rests[r, R_TRADED] += lot
    return False


@kernel_jit
def _trade_matters(
    symbol: int, taker: int, tick: int, lot: int, watch: Cells, rests: Cells, number: int
) -> bool:
    if tick >= watch[symbol, LAST_RISE] or tick <= watch[symbol, LAST_FALL]:
        return True
    if tick > watch[symbol, BUY_TICK] and tick < watch[symbol, SELL_TICK]:
        return False
    return _reaches(symbol, taker, tick, lot, rests, number)


@kernel_jit
def _ticker_matters(symbol: int, funding_before: int, facts: Cells, watch: Cells) -> Any:
    mark, index = facts[symbol, MARK_1E9], facts[symbol, INDEX_1E9]
    return (
        mark >= watch[symbol, MARK_RISE] or mark <= watch[symbol, MARK_FALL]
        or index >= watch[symbol, INDEX_RISE] or index <= watch[symbol, INDEX_FALL]
        or (watch[symbol, FUNDING] == 1 and facts[symbol, NEXT_FUNDING_MS] != funding_before)
    )  # fmt: skip


@flat_jit
def _run(
    kind: Column,
    flags: Column,
    symbol: Column,
    exchange_ts: Cells,
    offset: Cells,
    side: Column,
    tick: Cells,
    lot: Cells,
    cells: Cells,
    facts: Cells,
    watch: Cells,
    rests: Cells,
    marks: Cells,
    counts: Cells,
    start: int,
    stop: int,
    now: int,
    limit: int,
) -> tuple[int, int, bool]:
    """Apply messages start..stop; returns (next message, time, whether the last one applied matters).

    It stops after a message that matters and, without applying it, before a message at or after time
    `limit`, because a command or a funding instant takes effect first. `now` is the time so far.
    """
    i, number, matters = start, counts[C_RESTS], False
    while i < stop and not matters:
        now_here = max(now, exchange_ts[i])
        if now_here >= limit:
            break
        now = now_here
        s, what, first, last = whole(symbol[i]), kind[i], offset[i], offset[i + 1]
        i += 1
        is_watched = watch[s, EVERY_BOOK] >= 0
        if what == _TRADE:
            if flags[i - 1] & _HIDDEN or last == first:
                continue
            facts[s, LAST_TICK] = tick[first]
            matters = is_watched and _trade_matters(
                s, side[first], tick[first], lot[first], watch, rests, number
            )
        elif what == _TICKER:
            funding_before = facts[s, NEXT_FUNDING_MS]
            _note_ticker(s, tick, lot, first, last, facts)
            matters = is_watched and _ticker_matters(s, funding_before, facts, watch)
        else:
            _update_book(what, s, side, tick, lot, first, last, cells, facts, marks, counts)
            if is_watched and watch[s, FOLLOW] == 1 and facts[s, TRUSTED] == 1:
                _follow_book(s, cells, rests, number)
            matters = is_watched and (
                watch[s, EVERY_BOOK] == 1 or _crosses(cells, watch, marks, counts, s)
            )
    return i, now, matters


def _compiled(digest: int) -> Callable[..., tuple[int, int, bool]]:
    """The entry; its closure over the digest makes it part of the cache's key."""

    @entry_jit
    def run_until_it_matters(  # type: ignore[no-untyped-def]
        kind, flags, symbol, exchange_ts, offset, side, tick, lot,
        cells, facts, watch, rests, marks, counts, start, stop, now, limit,
    ):  # fmt: skip
        assert digest >= 0
        return _run(
            kind, flags, symbol, exchange_ts, offset, side, tick, lot,
            cells, facts, watch, rests, marks, counts, start, stop, now, limit,
        )  # fmt: skip

    return run_until_it_matters


run_until_it_matters = _compiled(source_digest(book, events, kernel_state))
