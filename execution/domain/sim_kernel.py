"""The compiled part of the simulated venue: apply market messages until one may concern us.

It keeps the displayed books of all symbols, and the queues ahead of our resting orders, and returns
only where an order may be filled or triggered, a position may be liquidated, or a funding instant
moves. A side of a book is kept worst price first between two places (`spans`: first, end), with room at
both ends, so that a change moves the fewer of the levels on either side of it.
Beside each displayed size stands what our own fills took from it: it is not there again until the
level changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.events import BID, FLAG_BLOCK, FLAG_RPI, SELL, EventKind, TickerField
from market.domain.kernel_jit import at, entry_jit, hot_jit, kernel_jit, whole

FAR = np.int64(1) << 62  # a price no market reaches

LEVELS = 1200  # per side; the deepest feed known has 1000
PLACES = 2048  # where they may stand: what opens at either end moves no level of the other
SIDE_CELLS = 3 * PLACES  # ticks, lots, and what our fills took of them
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
# Places of `cursor`.
C_NEXT, C_NOW, C_LIMIT, C_STOP, C_RESTS = 0, 1, 2, 3, 4
CURSOR = 5

_TRADE, _SNAPSHOT = int(EventKind.TRADE), int(EventKind.BOOK_SNAPSHOT)
_DELTA, _BBO = int(EventKind.BOOK_DELTA), int(EventKind.BBO)
_TICKER, _GAP = int(EventKind.TICKER), int(EventKind.FEED_GAP)
_MARK_FIELD, _INDEX_FIELD = int(TickerField.MARK_PRICE), int(TickerField.INDEX_PRICE)
_RATE_FIELD, _NEXT_FIELD = int(TickerField.FUNDING_RATE), int(TickerField.NEXT_FUNDING_TIME)
_HIDDEN = FLAG_RPI | FLAG_BLOCK


@hot_jit
def _find(cells: Cells, block: int, first: int, end: int, side: int, tick: int) -> Any:
    """First place of first..end whose price is as good as `tick` or better.

    Prices are whole ticks: no more levels can be better than there are ticks to the best. In a book
    without gaps that names the place at once.
    """
    if first == end:
        return end
    best = cells[at(block + end - 1)]
    better = best - tick if side == 0 else tick - best
    if better < 0:
        return end
    low = max(first, end - 1 - better)
    here = cells[at(block + low)]
    if here >= tick if side == 0 else here <= tick:
        return low
    low, high = low + 1, end
    while low < high:
        middle = (low + high) >> 1
        there = cells[at(block + middle)]
        if there < tick if side == 0 else there > tick:
            low = middle + 1
        else:
            high = middle
    return low


@kernel_jit
def _move(cells: Cells, block: int, start: int, stop: int, by: int) -> None:
    """Move the levels start..stop by so many places."""
    step, i = (1, start) if by < 0 else (-1, stop - 1)
    while start <= i < stop:
        cells[at(block + i + by)] = cells[at(block + i)]
        cells[at(block + PLACES + i + by)] = cells[at(block + PLACES + i)]
        cells[at(block + 2 * PLACES + i + by)] = cells[at(block + 2 * PLACES + i)]
        i += step


@kernel_jit
def _remove(cells: Cells, spans: Cells, block: int, row: int, place: int) -> None:
    """Close the gap from the nearer end."""
    start, stop, by = spans[at(row)], place, 1
    if stop - start < spans[at(row + 1)] - place:
        spans[at(row)] += 1
    else:
        start, stop, by = place + 1, spans[at(row + 1)], -1
        spans[at(row + 1)] -= 1
    _move(cells, block, start, stop, by)


@kernel_jit
def _make_room(cells: Cells, spans: Cells, block: int, row: int, place: int) -> int:
    """Open a gap before `place`; returns where it is, or -1 where the worst of a full side would stand."""
    first, end = spans[at(row)], spans[at(row + 1)]
    if first == 0 or end == PLACES:
        by = ((PLACES - (end - first)) >> 1) - first
        _move(cells, block, first, end, by)
        first, end, place = first + by, end + by, place + by
        spans[at(row)], spans[at(row + 1)] = first, end
    if end - first == LEVELS:  # the worst level makes room
        first += 1
        if place < first:
            return -1
    start, stop, by = first, place, -1
    if stop - start < end - place or end - first == LEVELS - 1:
        first -= 1
        place -= 1
    else:
        start, stop, by = place, end, 1
        end += 1
    spans[at(row)], spans[at(row + 1)] = first, end
    _move(cells, block, start, stop, by)
    return place


@hot_jit
def _set_level(cells: Cells, spans: Cells, symbol: int, side: int, tick: int, lot: int) -> None:
    row = (symbol * 2 + side) * 2
    block = (symbol * 2 + side) * SIDE_CELLS
    end = spans[at(row + 1)]
    place = _find(cells, block, spans[at(row)], end, side, tick)
    if place < end and cells[at(block + place)] == tick:
        if lot == 0:
            _remove(cells, spans, block, row, place)
        elif cells[at(block + PLACES + place)] != lot:
            cells[at(block + PLACES + place)] = lot
            cells[at(block + 2 * PLACES + place)] = 0
        return
    if lot == 0:
        return
    place = _make_room(cells, spans, block, row, place)
    if place >= 0:
        cells[at(block + place)] = tick
        cells[at(block + PLACES + place)] = lot
        cells[at(block + 2 * PLACES + place)] = 0


@kernel_jit
def _enter_level(cells: Cells, spans: Cells, symbol: int, side: int, tick: int, lot: int) -> None:
    """`_set_level` for the rarer messages: inlined once only, it compiles in a fraction of the time."""
    _set_level(cells, spans, symbol, side, tick, lot)


@kernel_jit
def _empty(spans: Cells, symbol: int, side: int) -> None:
    row = (symbol * 2 + side) * 2
    spans[at(row)] = spans[at(row + 1)] = PLACES // 2


@kernel_jit
def _replace(
    cells: Cells,
    spans: Cells,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
) -> None:
    """A snapshot replaces both sides, but a level it repeats unchanged keeps what we took from it."""
    for s in range(2):
        row, block = (symbol * 2 + s) * 2, (symbol * 2 + s) * SIDE_CELLS
        kept = spans[at(row)]
        for i in range(spans[at(row)], spans[at(row + 1)]):
            if cells[at(block + 2 * PLACES + i)] == 0:
                continue
            for k in range(first, last):
                if side[k] == s and tick[k] == cells[at(block + i)]:
                    _move(cells, block, i, i + 1, kept - i)
                    kept += 1
                    break
        spans[at(row + 1)] = kept
    for k in range(first, last):
        _enter_level(cells, spans, symbol, whole(side[k]), tick[k], lot[k])


@kernel_jit
def _clear_better(cells: Cells, spans: Cells, symbol: int, side: int, tick: int) -> None:
    row, block = (symbol * 2 + side) * 2, (symbol * 2 + side) * SIDE_CELLS
    while spans[at(row)] < spans[at(row + 1)]:
        best = cells[at(block + spans[at(row + 1)] - 1)]
        if (side == 0 and best > tick) or (side == 1 and best < tick):
            spans[at(row + 1)] -= 1
        else:
            return


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


@kernel_jit
def _note_touch(
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
    spans: Cells,
    facts: Cells,
) -> None:
    """A touch-only feed says nothing of deeper levels: there the touch is all the book there is."""
    is_deep = facts[symbol, DEEP] == 1
    for k in range(first, last):
        if lot[k] > 0:
            s = whole(side[k])
            if is_deep:
                _clear_better(cells, spans, symbol, s, tick[k])
            else:
                row = (symbol * 2 + s) * 2
                only = (symbol * 2 + s) * SIDE_CELLS + spans[at(row)]
                if spans[at(row + 1)] - spans[at(row)] != 1 or cells[at(only)] != tick[k]:
                    _empty(spans, symbol, s)
            _enter_level(cells, spans, symbol, s, tick[k], lot[k])
    if not is_deep:
        facts[symbol, TRUSTED] = 1


@kernel_jit
def _apply(
    kind: int,
    symbol: int,
    side: Column,
    tick: Cells,
    lot: Cells,
    first: int,
    last: int,
    cells: Cells,
    spans: Cells,
    facts: Cells,
) -> None:
    """Any message but trades and the changes of a book."""
    if kind == _SNAPSHOT:
        if facts[symbol, TRUSTED] == 1:
            _replace(cells, spans, symbol, side, tick, lot, first, last)
        else:
            _empty(spans, symbol, 0)
            _empty(spans, symbol, 1)
            for k in range(first, last):
                _enter_level(cells, spans, symbol, whole(side[k]), tick[k], lot[k])
        facts[symbol, TRUSTED] = 1
        if last - first > 2:
            facts[symbol, DEEP] = 1
    elif kind == _BBO:
        _note_touch(symbol, side, tick, lot, first, last, cells, spans, facts)
    elif kind == _GAP:
        facts[symbol, TRUSTED] = 0
    elif kind == _TICKER:
        _note_ticker(symbol, tick, lot, first, last, facts)


@kernel_jit
def _displayed(cells: Cells, spans: Cells, symbol: int, side: int, tick: int) -> Any:
    """Lots shown at a price; 0 inside the window where nothing is, -1 outside it."""
    row, block = (symbol * 2 + side) * 2, (symbol * 2 + side) * SIDE_CELLS
    first, end = spans[at(row)], spans[at(row + 1)]
    if first == end:
        return -1
    worst = cells[at(block + first)]
    if (side == 0 and tick < worst) or (side == 1 and tick > worst):
        return -1
    place = _find(cells, block, first, end, side, tick)
    if place < end and cells[at(block + place)] == tick:
        return cells[at(block + PLACES + place)]
    return 0


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
def _follow_book(symbol: int, cells: Cells, spans: Cells, rests: Cells, number: int) -> None:
    """Queues not yet known begin behind what is shown; pro rata ones lose their share of cancels.

    A cancel is what a shown size lost beyond what traded there since. A level that leaves the window
    is unknown, not cancelled.
    """
    for r in range(number):
        if rests[r, R_SYMBOL] != symbol:
            continue
        shown = _displayed(cells, spans, symbol, rests[r, R_SIDE], rests[r, R_TICK])
        if shown >= 0:
            if rests[r, R_AHEAD] < 0:
                rests[r, R_AHEAD] = max(shown, _ahead_before(r, rests))
            elif rests[r, R_PRO_RATA] == 1:
                left = rests[r, R_SHOWN] - rests[r, R_TRADED]
                if left > shown:  # so SHOWN was known
                    rests[r, R_AHEAD] -= (left - shown) * rests[r, R_AHEAD] // left
                rests[r, R_AHEAD] = min(rests[r, R_AHEAD], shown)
        rests[r, R_SHOWN], rests[r, R_TRADED] = shown, 0


@kernel_jit
def _crosses(cells: Cells, spans: Cells, watch: Cells, symbol: int) -> bool:
    """The other side of the book has something left at or through one of our resting prices."""
    for side in range(2):
        limit = watch[symbol, SELL_TICK] if side == 0 else watch[symbol, BUY_TICK]
        row, block = (symbol * 2 + side) * 2, (symbol * 2 + side) * SIDE_CELLS
        for i in range(spans[at(row + 1)] - 1, spans[at(row)] - 1, -1):
            tick = cells[at(block + i)]
            if (side == 0 and tick < limit) or (side == 1 and tick > limit):
                break
            if cells[at(block + PLACES + i)] > cells[at(block + 2 * PLACES + i)]:
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


@entry_jit
def run_until_it_matters(
    kind: Column,
    flags: Column,
    symbol: Column,
    exchange_ts: Cells,
    offset: Cells,
    side: Column,
    tick: Cells,
    lot: Cells,
    cells: Cells,
    spans: Cells,
    facts: Cells,
    watch: Cells,
    rests: Cells,
    cursor: Cells,
) -> bool:
    """Apply messages from `cursor[C_NEXT]` on; return True when the last one applied matters.

    It stops before message `cursor[C_STOP]`, and, without applying it, before a message at or after
    time `cursor[C_LIMIT]`, because a command or a funding instant takes effect first.
    """
    i, now, limit = cursor[C_NEXT], cursor[C_NOW], cursor[C_LIMIT]
    stop, number = cursor[C_STOP], cursor[C_RESTS]
    while i < stop:
        now_here = max(now, exchange_ts[i])
        if now_here >= limit:
            break
        now = now_here
        s, what, first, last = whole(symbol[i]), kind[i], offset[i], offset[i + 1]
        i += 1
        if what == _TRADE:
            if flags[i - 1] & _HIDDEN or last == first:
                continue
            facts[s, LAST_TICK] = tick[first]
            matters = watch[s, EVERY_BOOK] >= 0 and _trade_matters(
                s, side[first], tick[first], lot[first], watch, rests, number
            )
        else:
            funding_before = facts[s, NEXT_FUNDING_MS]
            if what == _DELTA:
                for k in range(first, last):
                    _set_level(cells, spans, s, whole(side[at(k)]), tick[at(k)], lot[at(k)])
            else:
                _apply(what, s, side, tick, lot, first, last, cells, spans, facts)
            if watch[s, EVERY_BOOK] < 0:
                continue
            if what == _TICKER:
                matters = _ticker_matters(s, funding_before, facts, watch)
            else:
                if watch[s, FOLLOW] == 1 and facts[s, TRUSTED] == 1:
                    _follow_book(s, cells, spans, rests, number)
                matters = watch[s, EVERY_BOOK] == 1 or _crosses(cells, spans, watch, s)
        if matters:
            cursor[C_NEXT], cursor[C_NOW] = i, now
            return True
    cursor[C_NEXT], cursor[C_NOW] = i, now
    return False
