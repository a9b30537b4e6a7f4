"""The simulated venue's books: all symbols in columns, and the kernel that runs until a fill is possible.

A side is kept worst price first, so that changes near the touch move little memory. Beside each
displayed size stands what our own fills took from it: it is not there again until the level changes.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.domain.events import BID, FLAG_BLOCK, FLAG_RPI, EventChunk, EventKind, TickerField

LEVELS = 1200  # per side; the deepest feed known has 1000
FAR = np.int64(1) << 62  # a price no market reaches

# Columns of `facts`, per symbol.
TRUSTED, LAST_TICK, MARK_1E9, INDEX_1E9 = 0, 1, 2, 3
_FACTS = 4
# Columns of `watch`, per symbol: what makes the kernel stop for Python.
EVERY_BOOK, BUY_TICK, SELL_TICK = 0, 1, 2
LAST_RISE, LAST_FALL, MARK_RISE, MARK_FALL, INDEX_RISE, INDEX_FALL = 3, 4, 5, 6, 7, 8
_WATCH = 9

_TRADE, _SNAPSHOT, _DELTA = (
    int(EventKind.TRADE),
    int(EventKind.BOOK_SNAPSHOT),
    int(EventKind.BOOK_DELTA),
)
_BBO, _TICKER, _GAP = int(EventKind.BBO), int(EventKind.TICKER), int(EventKind.FEED_GAP)
_LAST_FIELD, _MARK_FIELD = int(TickerField.LAST_PRICE), int(TickerField.MARK_PRICE)
_INDEX_FIELD = int(TickerField.INDEX_PRICE)
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
def _note_prices(symbol, tick, lot, first, last, facts):  # type: ignore[no-untyped-def]
    for k in range(first, last):
        if tick[k] == _MARK_FIELD:
            facts[symbol, MARK_1E9] = lot[k]
        elif tick[k] == _INDEX_FIELD:
            facts[symbol, INDEX_1E9] = lot[k]


@njit(cache=True)
def _apply(kind, symbol, side, tick, lot, first, last, level, counts, facts):  # type: ignore[no-untyped-def]
    if kind == _DELTA:
        for k in range(first, last):
            _set_level(level, counts, symbol, side[k], tick[k], lot[k])
    elif kind == _SNAPSHOT:
        if facts[symbol, TRUSTED] == 1 and last - first <= 256:
            _replace(level, counts, symbol, side, tick, lot, first, last)
        else:
            counts[symbol, 0] = counts[symbol, 1] = 0
            for k in range(first, last):
                _set_level(level, counts, symbol, side[k], tick[k], lot[k])
        facts[symbol, TRUSTED] = 1
    elif kind == _BBO:
        for k in range(first, last):
            if lot[k] > 0:
                _clear_better(level, counts, symbol, side[k], tick[k])
                _set_level(level, counts, symbol, side[k], tick[k], lot[k])
    elif kind == _GAP:
        facts[symbol, TRUSTED] = 0
    elif kind == _TICKER:
        _note_prices(symbol, tick, lot, first, last, facts)


@njit(cache=True)
def _crosses(level, counts, watch, symbol):  # type: ignore[no-untyped-def]
    """The other side of the book stands at or through one of our resting prices."""
    bids, asks = counts[symbol, 0], counts[symbol, 1]
    if asks > 0 and level[symbol, 1, 0, asks - 1] <= watch[symbol, BUY_TICK]:
        return True
    return bids > 0 and level[symbol, 0, 0, bids - 1] >= watch[symbol, SELL_TICK]


@njit(cache=True)
def _matters(kind, symbol, tick, first, level, counts, facts, watch):  # type: ignore[no-untyped-def]
    if kind == _TRADE:
        price = tick[first]
        return (
            price <= watch[symbol, BUY_TICK] or price >= watch[symbol, SELL_TICK]
            or price >= watch[symbol, LAST_RISE] or price <= watch[symbol, LAST_FALL]
        )  # fmt: skip
    if kind == _TICKER:
        mark, index = facts[symbol, MARK_1E9], facts[symbol, INDEX_1E9]
        return (
            mark >= watch[symbol, MARK_RISE] or mark <= watch[symbol, MARK_FALL]
            or index >= watch[symbol, INDEX_RISE] or index <= watch[symbol, INDEX_FALL]
        )  # fmt: skip
    return watch[symbol, EVERY_BOOK] == 1 or _crosses(level, counts, watch, symbol)


@njit(cache=True)
def run_until_it_matters(  # type: ignore[no-untyped-def]
    kind, flags, symbol, exchange_ts, offset, side, tick, lot, level, counts, facts, watch, cursor
):
    """Apply messages from `cursor[0]` on; return True when the message before the new cursor matters.

    `cursor` = [next message, venue time ns, time ns not to pass]: the kernel stops, without applying it,
    before a message at or after `cursor[2]`, because a command takes effect first.
    """
    i, now, limit = cursor[0], cursor[1], cursor[2]
    while i < kind.size:
        if max(now, exchange_ts[i]) >= limit:
            break
        now = max(now, exchange_ts[i])
        s, first, last = symbol[i], offset[i], offset[i + 1]
        i += 1
        if kind[i - 1] == _TRADE:
            if flags[i - 1] & _HIDDEN or last == first:
                continue
            facts[s, LAST_TICK] = tick[first]
        else:
            _apply(kind[i - 1], s, side, tick, lot, first, last, level, counts, facts)
        if watch[s, 0] >= 0 and _matters(kind[i - 1], s, tick, first, level, counts, facts, watch):
            cursor[0], cursor[1] = i, now
            return True
    cursor[0], cursor[1] = i, now
    return False


def _own(chunk: EventChunk) -> EventChunk:
    """Columns straight from a message are read-only and unaligned: other types to the compiler."""
    return EventChunk(**{f.name: np.array(getattr(chunk, f.name)) for f in fields(chunk)})


class SimBooks:
    """Books of `symbols` symbols: level i8[symbols, 2 sides, (tick, lot, taken), LEVELS]."""

    def __init__(self, symbols: int) -> None:
        self.level = np.zeros((symbols, 2, 3, LEVELS), np.int64)
        self.counts = np.zeros((symbols, 2), np.int64)
        self.facts = np.zeros((symbols, _FACTS), np.int64)
        self.watch = np.empty((symbols, _WATCH), np.int64)
        self.cursor = np.zeros(3, np.int64)
        for symbol in range(symbols):
            self.watch_nothing(symbol)

    def watch_nothing(self, symbol: int) -> None:
        row = self.watch[symbol]
        row[:] = (-1, -FAR, FAR, FAR, -FAR, FAR, -FAR, FAR, -FAR)

    def run(
        self, chunk: EventChunk, start: int, now_ns: int, limit_ns: int
    ) -> tuple[int, int, bool]:
        """(next message, venue time, whether the message before it may concern an order)."""
        if not chunk.kind.flags.writeable:
            chunk = _own(chunk)
        self.cursor[:] = (start, now_ns, limit_ns)
        matters = run_until_it_matters(
            chunk.kind, chunk.flags, chunk.symbol, chunk.exchange_ts_ns, chunk.level_offset,
            chunk.side, chunk.tick, chunk.lot, self.level, self.counts, self.facts, self.watch, self.cursor,
        )  # fmt: skip
        return int(self.cursor[0]), int(self.cursor[1]), bool(matters)

    def is_trusted(self, symbol: int) -> bool:
        return bool(self.facts[symbol, TRUSTED])

    def best(self, symbol: int, side: int) -> int | None:
        """Best displayed price of a side, ticks."""
        count = self.counts[symbol, side]
        return int(self.level[symbol, side, 0, count - 1]) if count else None

    def displayed(self, symbol: int, side: int, tick: int) -> int | None:
        """Lots displayed at a price; None where the window does not reach it."""
        count = int(self.counts[symbol, side])
        if count == 0:
            return None
        ticks = self.level[symbol, side, 0, :count]
        if (tick < ticks[0]) if side == BID else (tick > ticks[0]):
            return None
        hit = np.flatnonzero(ticks == tick)
        return int(self.level[symbol, side, 1, hit[0]]) if hit.size else 0

    def takeable(self, symbol: int, side: int, limit_tick: int) -> list[tuple[int, int]]:
        """(tick, lots left to take) of a side from the best to `limit_tick`, best first."""
        rows = []
        for i in range(int(self.counts[symbol, side]) - 1, -1, -1):
            tick, lots, taken = (int(v) for v in self.level[symbol, side, :, i])
            if (tick < limit_tick) if side == BID else (tick > limit_tick):
                break
            if lots > taken:
                rows.append((tick, lots - taken))
        return rows

    def take(self, symbol: int, side: int, tick: int, lots: int) -> None:
        """Remember that `lots` of a displayed level are ours now."""
        count = int(self.counts[symbol, side])
        at = int(np.flatnonzero(self.level[symbol, side, 0, :count] == tick)[0])
        self.level[symbol, side, 2, at] += lots

    def state(self) -> dict[str, bytes]:
        """Only the levels in use, so that a checkpoint stays small."""
        deepest = int(self.counts.max()) if self.counts.size else 0
        return {
            "level": np.ascontiguousarray(self.level[:, :, :, :deepest]).tobytes(),
            "counts": self.counts.tobytes(),
            "facts": self.facts.tobytes(),
        }

    def fits(self, state: dict[str, bytes]) -> bool:
        """Whether a state is of as many symbols."""
        return len(state["counts"]) == self.counts.nbytes

    def restore(self, state: dict[str, bytes]) -> None:
        self.counts = np.frombuffer(state["counts"], np.int64).reshape(self.counts.shape).copy()
        self.facts = np.frombuffer(state["facts"], np.int64).reshape(self.facts.shape).copy()
        stored: NDArray[np.int64] = np.frombuffer(state["level"], np.int64)
        stored = stored.reshape((*self.level.shape[:3], -1))
        self.level[:, :, :, : stored.shape[3]] = stored
