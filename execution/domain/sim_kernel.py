"""The compiled part of the simulated venue: apply market messages until one may concern us.

It keeps the displayed books of all symbols, and the queues ahead of our resting orders, and returns
only where an order may be filled or triggered, a position may be liquidated, or a funding instant
moves. A side of a book is kept worst price first, so that changes near the touch move little memory.
Beside each displayed size stands what our own fills took from it: it is not there again until the
level changes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from market.domain.events import BID, FLAG_BLOCK, FLAG_RPI, SELL, EventKind, TickerField

FAR = np.int64(1) << 62  # a price no market reaches

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


@njit(cache=True)
def _find(ticks, count, side, tick):  # type: ignore[no-untyped-def]
    """First position whose price is as good as `tick` or better."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        worse = ticks[middle] < tick if side == 0 else ticks[middle] > tick
        if worse:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _set_level(level, counts, symbol, side, tick, lot):  # type: ignore[no-untyped-def]
    ticks, lots, taken = level[symbol, side, 0], level[symbol, side, 1], level[symbol, side, 2]
    count = counts[symbol, side]
    at = _find(ticks, count, side, tick)
    present = at < count and ticks[at] == tick
    if lot == 0:
        if present:
            for i in range(at, count - 1):
                ticks[i], lots[i], taken[i] = ticks[i + 1], lots[i + 1], taken[i + 1]
            counts[symbol, side] = count - 1
        return
    if present:
        if lots[at] != lot:
            lots[at] = lot
            taken[at] = 0
        return
    if count == ticks.size:  # full: the worst level makes room
        if at == 0:
            return
        for i in range(at - 1):
            ticks[i], lots[i], taken[i] = ticks[i + 1], lots[i + 1], taken[i + 1]
        at -= 1
    else:
        for i in range(count, at, -1):
            ticks[i], lots[i], taken[i] = ticks[i - 1], lots[i - 1], taken[i - 1]
        counts[symbol, side] = count + 1
    ticks[at], lots[at], taken[at] = tick, lot, 0


@njit(cache=True)
def _replace(level, counts, symbol, side, tick, lot, first, last):  # type: ignore[no-untyped-def]
    """A snapshot replaces both sides, but a level it repeats unchanged keeps what we took from it."""
    for s in range(2):
        count, kept = counts[symbol, s], 0
        for i in range(count):
            if level[symbol, s, 2, i] == 0:
                continue
            for k in range(first, last):
                if side[k] == s and tick[k] == level[symbol, s, 0, i]:
                    for column in range(3):  # copied one by one: a slice costs seconds to compile
                        level[symbol, s, column, kept] = level[symbol, s, column, i]
                    kept += 1
                    break
        counts[symbol, s] = kept
    for k in range(first, last):
        _set_level(level, counts, symbol, side[k], tick[k], lot[k])


@njit(cache=True)
def _clear_better(level, counts, symbol, side, tick):  # type: ignore[no-untyped-def]
    while counts[symbol, side] > 0:
        best = level[symbol, side, 0, counts[symbol, side] - 1]
        if (side == 0 and best > tick) or (side == 1 and best < tick):
            counts[symbol, side] -= 1
        else:
            return


@njit(cache=True)
def _note_ticker(symbol, tick, lot, first, last, facts):  # type: ignore[no-untyped-def]
    for k in range(first, last):
        if tick[k] == _MARK_FIELD:
            facts[symbol, MARK_1E9] = lot[k]
        elif tick[k] == _INDEX_FIELD:
            facts[symbol, INDEX_1E9] = lot[k]
        elif tick[k] == _RATE_FIELD:
            facts[symbol, RATE_1E9] = lot[k]
        elif tick[k] == _NEXT_FIELD:
            facts[symbol, NEXT_FUNDING_MS] = lot[k]


@njit(cache=True)
def _note_touch(symbol, side, tick, lot, first, last, level, counts, facts):  # type: ignore[no-untyped-def]
    """A touch-only feed says nothing of deeper levels: there the touch is all the book there is."""
    is_deep = facts[symbol, DEEP] == 1
    for k in range(first, last):
        if lot[k] > 0:
            if is_deep:
                _clear_better(level, counts, symbol, side[k], tick[k])
            else:
                count = counts[symbol, side[k]]
                if count != 1 or level[symbol, side[k], 0, 0] != tick[k]:
                    counts[symbol, side[k]] = 0
            _set_level(level, counts, symbol, side[k], tick[k], lot[k])
    if not is_deep:
        facts[symbol, TRUSTED] = 1


@njit(cache=True)
def _apply(kind, symbol, side, tick, lot, first, last, level, counts, facts):  # type: ignore[no-untyped-def]
    if kind == _DELTA:
        for k in range(first, last):
            _set_level(level, counts, symbol, side[k], tick[k], lot[k])
    elif kind == _SNAPSHOT:
        if facts[symbol, TRUSTED] == 1:
            _replace(level, counts, symbol, side, tick, lot, first, last)
        else:
            counts[symbol, 0] = counts[symbol, 1] = 0
            for k in range(first, last):
                _set_level(level, counts, symbol, side[k], tick[k], lot[k])
        facts[symbol, TRUSTED] = 1
        if last - first > 2:
            facts[symbol, DEEP] = 1
    elif kind == _BBO:
        _note_touch(symbol, side, tick, lot, first, last, level, counts, facts)
    elif kind == _GAP:
        facts[symbol, TRUSTED] = 0
    elif kind == _TICKER:
        _note_ticker(symbol, tick, lot, first, last, facts)


@njit(cache=True)
def _displayed(level, counts, symbol, side, tick):  # type: ignore[no-untyped-def]
    """Lots shown at a price; 0 inside the window where nothing is, -1 outside it."""
    count = counts[symbol, side]
    if count == 0:
        return -1
    worst = level[symbol, side, 0, 0]
    if (side == 0 and tick < worst) or (side == 1 and tick > worst):
        return -1
    at = _find(level[symbol, side, 0], count, side, tick)
    if at < count and level[symbol, side, 0, at] == tick:
        return level[symbol, side, 1, at]
    return 0


@njit(cache=True)
def _ahead_before(r, rests):  # type: ignore[no-untyped-def]
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


@njit(cache=True)
def _follow_book(symbol, level, counts, rests, number):  # type: ignore[no-untyped-def]
    """Queues not yet known begin behind what is shown; pro rata ones lose their share of cancels.

    A cancel is what a shown size lost beyond what traded there since. A level that leaves the window
    is unknown, not cancelled.
    """
    for r in range(number):
        if rests[r, R_SYMBOL] != symbol:
            continue
        shown = _displayed(level, counts, symbol, rests[r, R_SIDE], rests[r, R_TICK])
        if shown >= 0:
            if rests[r, R_AHEAD] < 0:
                rests[r, R_AHEAD] = max(shown, _ahead_before(r, rests))
            elif rests[r, R_PRO_RATA] == 1:
                left = rests[r, R_SHOWN] - rests[r, R_TRADED]
                if left > shown:  # so SHOWN was known
                    rests[r, R_AHEAD] -= (left - shown) * rests[r, R_AHEAD] // left
                rests[r, R_AHEAD] = min(rests[r, R_AHEAD], shown)
        rests[r, R_SHOWN], rests[r, R_TRADED] = shown, 0


@njit(cache=True)
def _crosses(level, counts, watch, symbol):  # type: ignore[no-untyped-def]
    """The other side of the book has something left at or through one of our resting prices."""
    for side in range(2):
        limit = watch[symbol, SELL_TICK] if side == 0 else watch[symbol, BUY_TICK]
        for i in range(counts[symbol, side] - 1, -1, -1):
            tick = level[symbol, side, 0, i]
            if (side == 0 and tick < limit) or (side == 1 and tick > limit):
                break
            if level[symbol, side, 1, i] > level[symbol, side, 2, i]:
                return True
    return False


@njit(cache=True)
def _reaches(symbol, taker, tick, lot, rests, number):  # type: ignore[no-untyped-def]
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


@njit(cache=True)
def _trade_matters(symbol, taker, tick, lot, watch, rests, number):  # type: ignore[no-untyped-def]
    if tick >= watch[symbol, LAST_RISE] or tick <= watch[symbol, LAST_FALL]:
        return True
    if tick > watch[symbol, BUY_TICK] and tick < watch[symbol, SELL_TICK]:
        return False
    return _reaches(symbol, taker, tick, lot, rests, number)


@njit(cache=True)
def _ticker_matters(symbol, funding_before, facts, watch):  # type: ignore[no-untyped-def]
    mark, index = facts[symbol, MARK_1E9], facts[symbol, INDEX_1E9]
    return (
        mark >= watch[symbol, MARK_RISE] or mark <= watch[symbol, MARK_FALL]
        or index >= watch[symbol, INDEX_RISE] or index <= watch[symbol, INDEX_FALL]
        or (watch[symbol, FUNDING] == 1 and facts[symbol, NEXT_FUNDING_MS] != funding_before)
    )  # fmt: skip


@njit(cache=True)
def run_until_it_matters(  # type: ignore[no-untyped-def]
    kind, flags, symbol, exchange_ts, offset, side, tick, lot,
    level, counts, facts, watch, rests, cursor,
):  # fmt: skip
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
        s, what, first, last = symbol[i], kind[i], offset[i], offset[i + 1]
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
            _apply(what, s, side, tick, lot, first, last, level, counts, facts)
            if watch[s, EVERY_BOOK] < 0:
                continue
            if what == _TICKER:
                matters = _ticker_matters(s, funding_before, facts, watch)
            else:
                if watch[s, FOLLOW] == 1 and facts[s, TRUSTED] == 1:
                    _follow_book(s, level, counts, rests, number)
                matters = watch[s, EVERY_BOOK] == 1 or _crosses(level, counts, watch, s)
        if matters:
            cursor[C_NEXT], cursor[C_NOW] = i, now
            return True
    cursor[C_NEXT], cursor[C_NOW] = i, now
    return False
