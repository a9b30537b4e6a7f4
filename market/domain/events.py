"""Raw market events in columns: what the kernels consume, live and in replay alike.

An `EventChunk` holds n messages and m level entries. Message i owns the entries
`level_offset[i] .. level_offset[i + 1]`. What an entry means depends on the message's kind:

| kind          | entries                                                                        |
|---------------|--------------------------------------------------------------------------------|
| TRADE         | one: side = taker side, tick = price, lot = size                                |
| BOOK_SNAPSHOT | every level of the new book; everything known before is forgotten               |
| BOOK_DELTA    | changed levels; lot = absolute size, 0 deletes                                  |
| BBO           | two: best bid and best ask; whatever the book held better than them is gone     |
| TICKER        | changed fields: tick = `TickerField`, lot = value in that field's unit          |
| FEED_GAP      | none: the symbol's book is not to be trusted until its next BOOK_SNAPSHOT       |
| LIVENESS      | none: the feed repeated itself; the symbol is quiet, not dead                   |

Levels of one side of one message never repeat a tick. `(recorder run, seq)` alone orders events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

BID, ASK = 0, 1  # `side` of a book level
BUY, SELL = 0, 1  # `side` of a trade: what the taker did

FLAG_RPI = 1  # retail price improvement trade: not part of the visible book
FLAG_BLOCK = 2  # block trade: agreed off the book


class EventKind(IntEnum):
    TRADE = 1
    BOOK_SNAPSHOT = 2
    BOOK_DELTA = 3
    BBO = 4
    TICKER = 5
    FEED_GAP = 6
    LIVENESS = 7


class TickerField(IntEnum):
    """Field code of a TICKER entry; the comment gives the unit of its `lot`."""

    LAST_PRICE = 1  # 1e-9 quote coin
    MARK_PRICE = 2  # 1e-9 quote coin
    INDEX_PRICE = 3  # 1e-9 quote coin
    FUNDING_RATE = 4  # 1e-9
    NEXT_FUNDING_TIME = 5  # ms since the epoch, UTC
    OPEN_INTEREST = 6  # 1e-3 base coin


TICKER_SCALE: dict[TickerField, float] = {
    TickerField.LAST_PRICE: 1e9,
    TickerField.MARK_PRICE: 1e9,
    TickerField.INDEX_PRICE: 1e9,
    TickerField.FUNDING_RATE: 1e9,
    TickerField.NEXT_FUNDING_TIME: 1.0,
    TickerField.OPEN_INTEREST: 1e3,
}


@dataclass(slots=True, kw_only=True)
class EventChunk:
    """n messages in recorder order; see the module docstring for the layout.

    kind u1[n], flags u1[n], symbol u2[n] (index into the run's symbol table), seq i8[n],
    core_ts_ns i8[n] (receive time made monotone), exchange_ts_ns i8[n], level_offset i8[n + 1],
    side u1[m], tick i8[m], lot i8[m].
    """

    kind: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    symbol: NDArray[np.uint16]
    seq: NDArray[np.int64]
    core_ts_ns: NDArray[np.int64]
    exchange_ts_ns: NDArray[np.int64]
    level_offset: NDArray[np.int64]
    side: NDArray[np.uint8]
    tick: NDArray[np.int64]
    lot: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.kind.size)

    def slice(self, start: int, stop: int) -> EventChunk:
        """Messages start..stop as a chunk of their own (views where possible)."""
        first, last = int(self.level_offset[start]), int(self.level_offset[stop])
        return EventChunk(
            kind=self.kind[start:stop],
            flags=self.flags[start:stop],
            symbol=self.symbol[start:stop],
            seq=self.seq[start:stop],
            core_ts_ns=self.core_ts_ns[start:stop],
            exchange_ts_ns=self.exchange_ts_ns[start:stop],
            level_offset=self.level_offset[start : stop + 1] - first,
            side=self.side[first:last],
            tick=self.tick[first:last],
            lot=self.lot[first:last],
        )


class ChunkBuilder:
    """Collects messages one by one and hands them over as one `EventChunk`."""

    __slots__ = (
        "_core",
        "_exchange",
        "_flags",
        "_kind",
        "_lot",
        "_offset",
        "_seq",
        "_side",
        "_symbol",
        "_tick",
    )

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._kind: list[int] = []
        self._flags: list[int] = []
        self._symbol: list[int] = []
        self._seq: list[int] = []
        self._core: list[int] = []
        self._exchange: list[int] = []
        self._offset: list[int] = [0]
        self._side: list[int] = []
        self._tick: list[int] = []
        self._lot: list[int] = []

    def __len__(self) -> int:
        return len(self._kind)

    def add(
        self,
        kind: EventKind,
        *,
        symbol: int,
        seq: int,
        core_ts_ns: int,
        exchange_ts_ns: int,
        levels: Sequence[tuple[int, int, int]] = (),
        flags: int = 0,
    ) -> None:
        """Append one message; `levels` are (side, tick, lot) as the module docstring says for `kind`."""
        self._kind.append(kind)
        self._flags.append(flags)
        self._symbol.append(symbol)
        self._seq.append(seq)
        self._core.append(core_ts_ns)
        self._exchange.append(exchange_ts_ns)
        for side, tick, lot in levels:
            self._side.append(side)
            self._tick.append(tick)
            self._lot.append(lot)
        self._offset.append(len(self._side))

    def add_book(
        self,
        kind: EventKind,
        *,
        symbol: int,
        seq: int,
        core_ts_ns: int,
        exchange_ts_ns: int,
        bids: dict[int, int],
        asks: dict[int, int],
    ) -> None:
        """Append a book message; `bids` and `asks` map tick -> lot. The fast form of `add`."""
        self._kind.append(kind)
        self._flags.append(0)
        self._symbol.append(symbol)
        self._seq.append(seq)
        self._core.append(core_ts_ns)
        self._exchange.append(exchange_ts_ns)
        self._side.extend(repeat(BID, len(bids)))
        self._tick.extend(bids)
        self._lot.extend(bids.values())
        self._side.extend(repeat(ASK, len(asks)))
        self._tick.extend(asks)
        self._lot.extend(asks.values())
        self._offset.append(len(self._side))

    def take(self) -> EventChunk:
        """Return what was collected and start anew."""
        chunk = EventChunk(
            kind=np.array(self._kind, np.uint8),
            flags=np.array(self._flags, np.uint8),
            symbol=np.array(self._symbol, np.uint16),
            seq=np.array(self._seq, np.int64),
            core_ts_ns=np.array(self._core, np.int64),
            exchange_ts_ns=np.array(self._exchange, np.int64),
            level_offset=np.array(self._offset, np.int64),
            side=np.array(self._side, np.uint8),
            tick=np.array(self._tick, np.int64),
            lot=np.array(self._lot, np.int64),
        )
        self._reset()
        return chunk


_COLUMNS: tuple[tuple[str, type[np.generic]], ...] = (
    ("kind", np.uint8),
    ("flags", np.uint8),
    ("symbol", np.uint16),
    ("seq", np.int64),
    ("core_ts_ns", np.int64),
    ("exchange_ts_ns", np.int64),
    ("level_offset", np.int64),
    ("side", np.uint8),
    ("tick", np.int64),
    ("lot", np.int64),
)


def pack_chunk(chunk: EventChunk) -> bytes:
    """Columns one after the other behind a header of two int64: n messages, m entries."""
    header = np.array([len(chunk), chunk.side.size], np.int64).tobytes()
    return header + b"".join(
        np.ascontiguousarray(getattr(chunk, name), dtype).tobytes() for name, dtype in _COLUMNS
    )


def unpack_chunk(data: bytes) -> EventChunk:
    """Inverse of `pack_chunk`. Raises ValueError when `data` is torn."""
    if len(data) < 16:
        raise ValueError(f"packed chunk of {len(data)} bytes has no header")
    messages, entries = (int(v) for v in np.frombuffer(data, np.int64, 2))
    counts = {"level_offset": messages + 1, "side": entries, "tick": entries, "lot": entries}
    columns, position = {}, 16
    for name, dtype in _COLUMNS:
        count = counts.get(name, messages)
        if position + count * np.dtype(dtype).itemsize > len(data):
            raise ValueError(f"packed chunk ends inside column {name}")
        columns[name] = np.frombuffer(data, dtype, count, position)
        position += count * np.dtype(dtype).itemsize
    return EventChunk(**columns)
