"""A recording as a market source: the recorded messages at their pace, in the present time.

The recorded book is rebuilt and pushed at the depths and intervals of the venue, whatever depth was
recorded. Times are shifted so that the recording begins now; distances in time stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import Book, empty_book
from execution.domain.synthetic_market import Messages
from execution.domain.synthetic_outbox import PUSH_STEPS, Channel
from execution.domain.synthetic_replica import apply_levels, clear_book, trim_to_touch
from execution.domain.synthetic_window import DEPTHS, empty_windows, update_window, window_levels
from market.domain.events import EventChunk, EventKind, TickerField
from market.domain.instruments import Instrument

_STEP_NS = 10_000_000
_RING, _CAPACITY = 1 << 17, 1 << 14
_MS_NS = 1_000_000
_BOOK_KINDS = (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO, EventKind.FEED_GAP)


class PlayedMarket:
    """See `execution.exchange.source.MarketSource`. After the last message the market stands still."""

    def __init__(
        self, instruments: Sequence[Instrument], chunks: Iterator[EventChunk], *, start_ns: int
    ) -> None:
        """Begin at `start_ns` (market time), whatever the recording's own times are."""
        self.instruments = list(instruments)
        self._chunks = chunks
        self._chunk: EventChunk | None = None
        self._place = 0
        self._start_ns = start_ns
        self._next_step = 0
        self._takers = 0
        self._last_trade: tuple[int, int, int] | None = None
        self._shift_ns = 0
        self._symbols = [_PlayedSymbol() for _ in self.instruments]
        chunk = self._next_chunk()
        if chunk is not None:
            self._shift_ns = start_ns - int(chunk.core_ts_ns[0])

    @property
    def now_ns(self) -> int:
        return self._start_ns + self._next_step * _STEP_NS

    @property
    def is_finished(self) -> bool:
        """True when the recording has nothing more."""
        return self._chunk is None

    def enable_depth(self, symbol: int, depth: int, *, on: bool) -> None:
        self._symbols[symbol].enabled[DEPTHS.index(depth)] = on

    def window(self, symbol: int, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return window_levels(self._symbols[symbol].windows, DEPTHS.index(depth))

    def step(self, until_ns: int) -> Messages:
        rows = _Rows()
        stop = (until_ns - self._start_ns) // _STEP_NS
        while self._next_step < stop:
            self._next_step += 1
            self._play_until(self.now_ns, rows)
            for index, symbol in enumerate(self._symbols):
                symbol.push(index, self._next_step, self.now_ns, rows)
        return rows.messages()

    def _next_chunk(self) -> EventChunk | None:
        self._chunk = next((chunk for chunk in self._chunks if len(chunk)), None)
        self._place = 0
        return self._chunk

    def _play_until(self, now_ns: int, rows: _Rows) -> None:
        while self._chunk is not None:
            if self._place >= len(self._chunk):
                self._next_chunk()
                continue
            if int(self._chunk.core_ts_ns[self._place]) + self._shift_ns >= now_ns:
                return
            self._play(self._chunk, self._place, rows)
            self._place += 1

    def _play(self, chunk: EventChunk, i: int, rows: _Rows) -> None:
        kind, index = int(chunk.kind[i]), int(chunk.symbol[i])
        first, stop = int(chunk.level_offset[i]), int(chunk.level_offset[i + 1])
        sent_ns = int(chunk.core_ts_ns[i]) + self._shift_ns
        # Feed delay of the recording stays: the engine time keeps its distance to the arrival.
        matched_ns = min(int(chunk.exchange_ts_ns[i]) + self._shift_ns, sent_ns)
        side, tick, lot = chunk.side[first:stop], chunk.tick[first:stop], chunk.lot[first:stop]
        if kind == EventKind.TRADE:
            key = (index, int(chunk.exchange_ts_ns[i]), int(side[0]))
            self._takers += key != self._last_trade
            self._last_trade = key
            rows.add(index, Channel.TRADE, sent_ns, matched_ns, self._takers, side, tick, lot)
        elif kind == EventKind.TICKER:
            lot = np.where(
                tick == TickerField.NEXT_FUNDING_TIME, lot + self._shift_ns // _MS_NS, lot
            )
            rows.add(index, Channel.TICKER, sent_ns, matched_ns, 0, side, tick, lot)
        elif kind in _BOOK_KINDS:
            self._symbols[index].take(EventKind(kind), side, tick, lot, matched_ns)


class _PlayedSymbol:
    """Book and windows of one symbol."""

    def __init__(self) -> None:
        self.book: Book = empty_book(ring=_RING, capacity=_CAPACITY)
        self.windows = empty_windows()
        self.enabled = [False, True, False, False]
        self._changed = [False] * len(DEPTHS)
        self._matched_ns = 0
        self._entries = np.zeros((4 * max(DEPTHS), 3), np.int64)

    def take(
        self,
        kind: EventKind,
        side: NDArray[np.uint8],
        tick: NDArray[np.int64],
        lot: NDArray[np.int64],
        matched_ns: int,
    ) -> None:
        """Apply one book message; a gap leaves the last book standing until its next snapshot."""
        if kind is EventKind.FEED_GAP:
            return
        if kind is EventKind.BBO and side.size == 2:
            bid, ask = (0, 1) if side[0] == 0 else (1, 0)
            trim_to_touch(self.book, int(tick[bid]), int(lot[bid]), int(tick[ask]), int(lot[ask]))
        else:
            if kind is EventKind.BOOK_SNAPSHOT:
                clear_book(self.book)
            apply_levels(
                self.book,
                np.ascontiguousarray(side),
                np.ascontiguousarray(tick),
                np.ascontiguousarray(lot),
            )
        self._matched_ns = matched_ns
        self._changed = [True] * len(DEPTHS)

    def push(self, index: int, step: int, now_ns: int, rows: _Rows) -> None:
        for i, depth in enumerate(DEPTHS):
            if not (self._changed[i] and self.enabled[i] and step % PUSH_STEPS[i] == 0):
                continue
            self._changed[i] = False
            stop = update_window(self.book, self.windows, i, self._entries, 0)
            if stop:
                entries = self._entries[:stop]
                rows.add(
                    index, Channel(depth), now_ns, self._matched_ns, 0,
                    entries[:, 0].astype(np.uint8), entries[:, 1].copy(), entries[:, 2].copy(),
                )  # fmt: skip


class _Rows:
    """Collects messages into the columns of `Messages`."""

    def __init__(self) -> None:
        self._heads: list[tuple[int, int, int, int, int]] = []
        self._sizes: list[int] = []
        self._entries: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]] = []

    def add(
        self,
        symbol: int,
        channel: Channel,
        sent_ns: int,
        matched_ns: int,
        taker: int,
        side: NDArray[np.uint8],
        tick: NDArray[np.int64],
        lot: NDArray[np.int64],
    ) -> None:
        self._heads.append((symbol, channel, sent_ns, matched_ns, taker))
        self._sizes.append(side.size)
        self._entries.append((side, tick, lot))

    def messages(self) -> Messages:
        heads = np.array(self._heads, np.int64).reshape(-1, 5)
        sides, ticks, lots = zip(*self._entries, strict=True) if self._entries else ([], [], [])
        return Messages(
            symbol=heads[:, 0],
            channel=heads[:, 1],
            sent_ns=heads[:, 2],
            matched_ns=heads[:, 3],
            taker=heads[:, 4],
            first=np.concatenate([[0], np.cumsum(np.array(self._sizes, np.int64))]),
            side=np.concatenate([*sides, np.zeros(0, np.uint8)]),
            tick=np.concatenate([*ticks, np.zeros(0, np.int64)]),
            lot=np.concatenate([*lots, np.zeros(0, np.int64)]),
        )
