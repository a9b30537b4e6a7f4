"""Captures of Binance futures, many lines at a time; a line of unusual shape goes to `BinanceReader`.

The two share one book: before such a line the reader learns what the compiled code knows of it, and after
it the other way round. Which lines go which way changes nothing of the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from market.adapters.foreign.binance import BinanceReader, StreamData, refuse_overlap
from market.adapters.foreign.line_files import read_blocks
from market.domain import binance_lines as lines
from market.domain.chunks import pick_messages
from market.domain.events import EventChunk, EventKind
from market.domain.grid import BadNumber, UnitGrid, UnitTexts, fraction_of_ten
from market.domain.instruments import Instrument
from market.domain.recordings import FaultLog, RawRecord, ReadProgress

_MAX_UNITS = 1 << 50
_NAMES = {
    int(EventKind.BBO): "bookTicker",
    int(EventKind.TRADE): "trade",
    int(EventKind.BOOK_DELTA): "depthUpdate",
}

# Records of one symbol as one chunk: the market hub's own reading of them.
ChunkOf = Callable[[list[RawRecord]], EventChunk]


class BinanceBlocks:
    """Reads one symbol's capture, file after file, as chunks with receive times as core time."""

    def __init__(
        self,
        units: Instrument,
        index: int,
        chunk_of: ChunkOf,
        faults: FaultLog,
        line_counts: Counter[str],
        progress: ReadProgress,
    ) -> None:
        self._index = index
        self._chunk_of = chunk_of
        self._line_counts = line_counts
        self._progress = progress
        self._reader = BinanceReader(units.symbol, faults, line_counts, progress)
        self._symbol = np.frombuffer(f'{units.symbol}"'.encode(), np.uint8)
        self._rules = np.array([*_price_rules(units), *_size_rules(units)], np.int64)
        self._scratch = np.zeros(lines.SCRATCH_FIELDS, np.int64)
        self._texts = UnitTexts(units.tick_size), UnitTexts(units.qty_step)
        self._grids = UnitGrid(units.tick_size), UnitGrid(units.qty_step)
        self._book = np.zeros(lines.BOOK_FIELDS, np.int64)
        self._book[lines.TOUCH_U] = -1
        self._is_ahead = False  # the compiled code has gone on since the reader last did
        self._before_ns = 0  # the file must not begin before this

    def read(self, paths: list[Path]) -> Iterator[EventChunk]:
        """Chunks of all files in the order given. Raises BadRecording."""
        for path in paths:
            self._before_ns = self._reader.begin(path)
            for number, block in read_blocks(path, self._progress):
                yield from self._pieces(block, path, number)
        self._tell_reader()
        self._reader.check_synced()

    def _pieces(self, block: bytes, path: Path, number: int) -> Iterator[EventChunk]:
        rows, entries = self._parsed(block)
        place = 0
        while place < len(rows):
            stop = lines.follow_book(rows, place, entries, self._book)
            if stop > place:
                self._is_ahead = True
                received_ns = int(rows[place, lines.RECEIVED_NS])
                refuse_overlap(received_ns, self._before_ns, path, number + place)
                self._before_ns = 0
                yield self._chunk(rows, place, stop, entries)
            if stop < len(rows):
                row = rows[stop]
                line = block[row[lines.START] : row[lines.STOP]].rstrip(b"\r")
                if records := self._slowly(line, path, number + stop):
                    yield self._hub_chunk(records)
            place = stop + 1

    def _parsed(self, block: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        text = np.frombuffer(block + bytes(lines.PADDING), np.uint8)
        rows = np.empty((block.count(b"\n"), lines.ROW_FIELDS), np.int64)
        entries = np.empty((len(block) // lines.SHORTEST_LEVEL + 4, 3), np.int64)
        lines.parse_lines(text, len(block), self._symbol, self._rules, rows, entries, self._scratch)
        return rows, entries

    def _chunk(
        self, rows: NDArray[np.int64], first: int, stop: int, entries: NDArray[np.int64]
    ) -> EventChunk:
        part = rows[first:stop]
        begin = int(rows[first - 1, lines.ENTRIES_END]) if first else 0
        end = int(part[-1, lines.ENTRIES_END])
        self._reader.received_ns = int(part[-1, lines.RECEIVED_NS])
        for kind, count in enumerate(np.bincount(part[:, lines.KIND])):
            if count:
                self._line_counts[_NAMES[kind]] += int(count)
        chunk = EventChunk(
            kind=part[:, lines.KIND].astype(np.uint8),
            flags=np.zeros(len(part), np.uint8),
            symbol=np.full(len(part), self._index, np.uint16),
            seq=np.zeros(len(part), np.int64),
            core_ts_ns=part[:, lines.RECEIVED_NS].copy(),
            exchange_ts_ns=part[:, lines.EXCHANGE_MS] * 1_000_000,
            level_offset=np.concatenate([[begin], part[:, lines.ENTRIES_END]]) - begin,
            side=entries[begin:end, 0].astype(np.uint8),
            tick=entries[begin:end, 1].copy(),
            lot=entries[begin:end, 2].copy(),
        )
        kept = np.flatnonzero(part[:, lines.SPECIAL] == lines.NORMAL)
        return chunk if kept.size == len(part) else pick_messages(chunk, kept)

    def _hub_chunk(self, records: list[RawRecord]) -> EventChunk:
        chunk = self._chunk_of(records)
        chunk.symbol = np.full(len(chunk), self._index, np.uint16)
        return chunk

    def _slowly(self, line: bytes, path: Path, number: int) -> list[RawRecord]:
        self._tell_reader()
        records = list(self._reader.take(line, number))
        if self._reader.is_line_read:
            refuse_overlap(self._reader.received_ns, self._before_ns, path, number)
            self._before_ns = 0
        self._learn_from_reader()
        return records

    def _tell_reader(self) -> None:
        book, ours = self._reader.book, self._book
        for field, name in (
            (lines.OLDER_DEPTHS, "depth older than the touch"),
            (lines.OLDER_TOUCHES, "bookTicker older than the book"),
        ):
            if ours[field]:
                self._line_counts[name] += int(ours[field])
                ours[field] = 0
        if ours[lines.IS_SYNCED]:
            book.last_u, book.spans_snapshot = (
                int(ours[lines.BOOK_U]),
                bool(ours[lines.SPANS_SNAPSHOT]),
            )
            if self._is_ahead:
                book.touch = self._touch()
        self._is_ahead = False

    def _touch(self) -> StreamData | None:
        ours, (prices, sizes) = self._book, self._texts
        if ours[lines.TOUCH_U] < 0:
            return None
        return StreamData(
            u=int(ours[lines.TOUCH_U]),
            T=int(ours[lines.TOUCH_MS]),
            b=prices[int(ours[lines.BID_TICK])],
            B=sizes[int(ours[lines.BID_LOT])],
            a=prices[int(ours[lines.ASK_TICK])],
            A=sizes[int(ours[lines.ASK_LOT])],
        )

    def _learn_from_reader(self) -> None:
        """A touch that is no number of the grid keeps all that concerns books with the reader."""
        book, ours, (prices, sizes) = self._reader.book, self._book, self._grids
        ours[lines.IS_SYNCED], ours[lines.SPANS_SNAPSHOT] = book.is_synced, book.spans_snapshot
        ours[lines.BOOK_U] = book.last_u
        if (touch := book.touch) is not None:
            try:
                ours[lines.BID_TICK], ours[lines.BID_LOT] = prices[touch.b], sizes[touch.B]
                ours[lines.ASK_TICK], ours[lines.ASK_LOT] = prices[touch.a], sizes[touch.A]
                ours[lines.TOUCH_U], ours[lines.TOUCH_MS] = touch.u, touch.T
            except (BadNumber, TypeError):
                ours[lines.IS_SYNCED] = False


def _price_rules(units: Instrument) -> tuple[int, int, int, int]:
    """As the hub's grid has them: numerator, decimals, lowest, highest."""
    numerator, decimals = fraction_of_ten(units.tick_size)
    highest = int(units.max_price / units.tick_size) if units.max_price > 0 else _MAX_UNITS
    return numerator, decimals, 1, min(highest, _MAX_UNITS // numerator)


def _size_rules(units: Instrument) -> tuple[int, int, int, int]:
    numerator, decimals = fraction_of_ten(units.qty_step)
    return numerator, decimals, 0, _MAX_UNITS // numerator
