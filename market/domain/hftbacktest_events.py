"""Chunks as rows of hftbacktest's data format (v2), and rows as chunks.

A row is one level, trade or clearing; `ev` holds a type in its low byte and flags above. Rows that
hftbacktest has no word for (tickers, gaps, signs of life, trades off the book, empty updates) get a type of
100 + `EventKind` and no flag: it passes over them. Ours also carry `order_id` = seq, so that what was one
message becomes one again; a file of others has one message where type and both times stay the same.
Source: the format as hftbacktest 2.4 documents it ("Data" and `hftbacktest.types`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.domain.events import ASK, BID, EventChunk, EventKind
from market.domain.grid import fraction_of_ten
from market.domain.instruments import Instrument

EVENT_DTYPE = np.dtype(
    [
        ("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"),
        ("qty", "f8"), ("order_id", "u8"), ("ival", "i8"), ("fval", "f8"),
    ],
    align=True,
)  # fmt: skip
EXCH_EVENT, LOCAL_EVENT, BUY_EVENT, SELL_EVENT = 1 << 31, 1 << 30, 1 << 29, 1 << 28

_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BBO = 1, 2, 3, 4, 5
_ORDER_TYPES = (10, 11, 12, 13)  # single orders (L3)
_OWN = 100
_BOTH = EXCH_EVENT | LOCAL_EVENT
_TYPE_OF_KIND = {
    EventKind.TRADE: _TRADE,
    EventKind.BOOK_SNAPSHOT: _SNAPSHOT,
    EventKind.BOOK_DELTA: _DEPTH,
    EventKind.BBO: _BBO,
}
_KIND_OF_TYPE = {
    _DEPTH: EventKind.BOOK_DELTA,
    _TRADE: EventKind.TRADE,
    _CLEAR: EventKind.BOOK_SNAPSHOT,
    _SNAPSHOT: EventKind.BOOK_SNAPSHOT,
    _BBO: EventKind.BBO,
} | {_OWN + kind: kind for kind in EventKind}

Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Units:
    """Ticks and lots of one instrument as the nearest doubles, and back."""

    tick: tuple[int, int]  # numerator, decimals
    lot: tuple[int, int]

    @classmethod
    def of(cls, instrument: Instrument) -> Units:
        return cls(fraction_of_ten(instrument.tick_size), fraction_of_ten(instrument.qty_step))


def decimal_numbers(units: NDArray[np.int64], unit: tuple[int, int]) -> NDArray[np.float64]:
    """Whole units (numerator, decimals) as the doubles nearest to them."""
    numerator, decimals = unit
    return (units * numerator) / 10.0**decimals


def _whole_units(
    numbers: NDArray[np.float64], unit: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Units, and which numbers lie on the grid and are not negative."""
    numerator, decimals = unit
    with np.errstate(invalid="ignore"):
        units = np.rint(numbers * 10.0**decimals / numerator)
        is_whole = np.abs(decimal_numbers(units, unit) - numbers) <= 1e-9 * np.maximum(1.0, numbers)
        is_whole &= (units >= 0) & (units < 1 << 50)
    return np.where(is_whole, units, 0).astype(np.int64), is_whole


def rows_of(chunk: EventChunk, units: Units, exchange_ahead_ns: int = 0) -> Rows:
    """The rows of a chunk of one symbol, in its order; exchange times less `exchange_ahead_ns`."""
    counts = np.diff(chunk.level_offset)
    is_snapshot = chunk.kind == EventKind.BOOK_SNAPSHOT
    leads = np.where(is_snapshot, 2, np.where(counts == 0, 1, 0))
    starts = np.cumsum(leads + counts) - (leads + counts)
    message = np.repeat(np.arange(len(chunk)), leads + counts)
    rows = np.zeros(message.size, EVENT_DTYPE)
    rows["local_ts"] = chunk.core_ts_ns[message]
    rows["exch_ts"] = chunk.exchange_ts_ns[message] - exchange_ahead_ns
    rows["order_id"] = chunk.seq[message]
    first = starts[is_snapshot]
    rows["ev"][first] = _BOTH | BUY_EVENT | _CLEAR
    rows["ev"][first + 1] = _BOTH | SELL_EVENT | _CLEAR
    rows["px"][first] = rows["px"][first + 1] = np.nan  # the whole side
    empty = (counts == 0) & ~is_snapshot
    rows["ev"][starts[empty]] = chunk.kind[empty].astype(np.uint64) + _OWN
    owner = np.repeat(np.arange(len(chunk)), counts)
    place = np.arange(owner.size) + (starts + leads - chunk.level_offset[:-1])[owner]
    _fill_entries(rows, place, chunk, owner, units)
    return rows


def _fill_entries(
    rows: Rows,
    place: NDArray[np.int64],
    chunk: EventChunk,
    owner: NDArray[np.int64],
    units: Units,
) -> None:
    kind, flags = chunk.kind[owner], chunk.flags[owner]
    types = np.zeros(256, np.uint64)
    for event, type_ in _TYPE_OF_KIND.items():
        types[event] = type_ | _BOTH
    types[EventKind.TICKER] = _OWN + EventKind.TICKER
    ev = types[kind]
    ev[flags != 0] = _OWN + EventKind.TRADE  # never met the book that is replayed
    is_ticker = kind == EventKind.TICKER
    sides = np.array([BUY_EVENT, SELL_EVENT], np.uint64)
    ev |= np.where(is_ticker, np.uint64(0), sides[chunk.side])
    rows["ev"][place] = ev
    rows["px"][place] = np.where(is_ticker, chunk.tick, decimal_numbers(chunk.tick, units.tick))
    rows["qty"][place] = np.where(is_ticker, 0.0, decimal_numbers(chunk.lot, units.lot))
    rows["ival"][place] = np.where(is_ticker, chunk.lot, flags)


class RowReader:
    """Turns blocks of rows into chunks; a message may lie across two blocks.

    `is_ours`: written by `rows_of`. `faults` counts what was dropped or became a gap, by kind.
    """

    def __init__(self, units: Units, *, is_ours: bool, exchange_ahead_ns: int = 0) -> None:
        self.faults: Counter[str] = Counter()
        self._units = units
        self._is_ours = is_ours
        self._ahead_ns = exchange_ahead_ns
        self._held = np.zeros(0, EVENT_DTYPE)
        self._seq = 0
        self._core_ns = 0

    def take(self, block: Rows) -> EventChunk | None:
        """The messages that are whole by now."""
        rows = np.concatenate([self._held, self._usable(block)])
        begins = self._begins(rows)
        last = int(np.flatnonzero(begins)[-1]) if rows.size else 0
        self._held = rows[last:]
        return self._chunk(rows[:last], begins[:last]) if last else None

    def finish(self) -> EventChunk | None:
        """The last message."""
        rows, self._held = self._held, np.zeros(0, EVENT_DTYPE)
        return self._chunk(rows, self._begins(rows)) if rows.size else None

    def _usable(self, rows: Rows) -> Rows:
        """Rows as they reach us, in that order; a row for the exchange alone is there a second time."""
        types = rows["ev"] & 0xFF
        local = (rows["ev"] & LOCAL_EVENT) != 0
        is_known = np.isin(types, list(_KIND_OF_TYPE))
        self.faults["single_orders_left_out"] += int(np.isin(types, _ORDER_TYPES).sum())
        sided = (rows["ev"] & (BUY_EVENT | SELL_EVENT)) != 0
        own = (types > _OWN) & self._is_ours
        sideless = local & is_known & ~sided & ~own & (types != _CLEAR)
        self.faults["no_side"] += int(sideless.sum())
        return rows[((local & is_known & (types < _OWN)) | own) & ~sideless]

    def _begins(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows begin a message."""
        if not rows.size:
            return np.zeros(0, np.bool_)
        begins = np.ones(rows.size, np.bool_)
        before, now = rows[:-1], rows[1:]
        if self._is_ours:
            begins[1:] = now["order_id"] != before["order_id"]
            return begins
        kinds = _kinds(rows)
        begins[1:] = (
            (kinds[1:] != kinds[:-1])
            | (kinds[1:] == EventKind.TRADE)
            | (now["local_ts"] != before["local_ts"])
            | (now["exch_ts"] != before["exch_ts"])
        )
        return begins

    def _chunk(self, rows: Rows, begins: NDArray[np.bool_]) -> EventChunk:
        types = (rows["ev"] & 0xFF).astype(np.int64)
        message = np.cumsum(begins) - 1
        heads = rows[begins]
        kinds = _kinds(heads)
        is_ticker = types == _OWN + EventKind.TICKER
        has_entry = np.isin(types, (_DEPTH, _TRADE, _SNAPSHOT, _BBO, _OWN + EventKind.TRADE))
        ticks, on_tick = _whole_units(rows["px"], self._units.tick)
        lots, on_lot = _whole_units(rows["qty"], self._units.lot)
        off_grid = has_entry & ~(on_tick & on_lot)
        keep = has_entry | is_ticker
        if off_grid.any():
            self._void(off_grid, message, kinds, keep)
        sides = np.where((rows["ev"] & BUY_EVENT) != 0, BID, ASK)
        sides[is_ticker] = 0
        ticks = np.where(is_ticker, np.nan_to_num(rows["px"]).astype(np.int64), ticks)
        lots = np.where(is_ticker, rows["ival"], lots)
        if not self._is_ours:
            keep &= _last_of_each(message, sides, ticks, kinds)
            self._settle(kinds, message[keep], sides[keep])
        flags = np.where(kinds == EventKind.TRADE, heads["ival"] if self._is_ours else 0, 0)
        counts = np.bincount(message[keep], minlength=kinds.size)
        lost = (kinds == EventKind.TRADE) & (counts == 0)
        return self._numbered(
            heads, kinds, flags, counts, sides[keep], ticks[keep], lots[keep], ~lost
        )

    def _void(
        self,
        off_grid: NDArray[np.bool_],
        message: NDArray[np.int64],
        kinds: NDArray[np.uint8],
        keep: NDArray[np.bool_],
    ) -> None:
        """A book message off the grid is a gap, a trade is nothing: as the hub has it."""
        bad = np.unique(message[off_grid])
        self.faults["off_grid"] += bad.size
        keep &= ~np.isin(message, bad)
        books = bad[kinds[bad] != EventKind.TRADE]
        kinds[books] = EventKind.FEED_GAP

    def _settle(
        self, kinds: NDArray[np.uint8], message: NDArray[np.int64], sides: NDArray[np.int64]
    ) -> None:
        """Of others: a cleared book without a new one is unknown; a touch of one side is a change."""
        counts = np.bincount(message, minlength=kinds.size)
        kinds[(kinds == EventKind.BOOK_SNAPSHOT) & (counts == 0)] = EventKind.FEED_GAP
        bids = np.bincount(message[sides == BID], minlength=kinds.size)
        kinds[(kinds == EventKind.BBO) & ((bids != 1) | (counts != 2))] = EventKind.BOOK_DELTA

    def _numbered(
        self,
        heads: Rows,
        kinds: NDArray[np.uint8],
        flags: NDArray[np.int64],
        counts: NDArray[np.int64],
        sides: NDArray[np.int64],
        ticks: NDArray[np.int64],
        lots: NDArray[np.int64],
        stays: NDArray[np.bool_],
    ) -> EventChunk:
        n = int(stays.sum())
        core = np.maximum.accumulate(np.maximum(heads["local_ts"][stays], self._core_ns))
        seq = np.arange(self._seq + 1, self._seq + 1 + n, dtype=np.int64)
        self._seq += n
        self._core_ns = int(core[-1]) if n else self._core_ns
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum(counts[stays], out=offsets[1:])
        return EventChunk(
            kind=kinds[stays],
            flags=flags[stays].astype(np.uint8),
            symbol=np.zeros(n, np.uint16),
            seq=seq,
            core_ts_ns=core,
            exchange_ts_ns=heads["exch_ts"][stays] + self._ahead_ns,
            level_offset=offsets,
            side=sides.astype(np.uint8),
            tick=ticks,
            lot=lots,
        )


def _kinds(rows: Rows) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for type_, kind in _KIND_OF_TYPE.items():
        table[type_] = kind
    return table[rows["ev"] & 0xFF]


def _last_of_each(
    message: NDArray[np.int64],
    sides: NDArray[np.int64],
    ticks: NDArray[np.int64],
    kinds: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Of a level named twice in one book message the last holds."""
    keep = np.ones(message.size, np.bool_)
    order = np.lexsort((np.arange(message.size), ticks, sides, message))
    same = (
        (message[order[1:]] == message[order[:-1]])
        & (sides[order[1:]] == sides[order[:-1]])
        & (ticks[order[1:]] == ticks[order[:-1]])
        & (kinds[message[order[1:]]] != EventKind.TRADE)
    )
    keep[order[:-1][same]] = False
    return keep
