"""Books and ticker fields as the stream left them, folded by compiled code: no features, no trust in depth.

A side is a row of keys in rising order with the best at the end: a bid's key is its tick, an ask's the
negative of it. Most changes happen near the touch, where little has to be moved.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.domain.events import ASK, BID, EventChunk, EventKind
from market.domain.kernel_jit import at, entry_jit, hot_jit, whole

FIELDS = 8  # ticker fields have codes below it
HAS_BOOK, IS_TRUSTED, SEQ, EXCHANGE_NS = range(4)
_FACTS = 4
_FIRST_ROOM = 512

_SNAPSHOT, _DELTA, _BBO = (
    int(EventKind.BOOK_SNAPSHOT),
    int(EventKind.BOOK_DELTA),
    int(EventKind.BBO),
)
_TICKER, _GAP = int(EventKind.TICKER), int(EventKind.FEED_GAP)

Ints = NDArray[np.int64]


@hot_jit
def _place(keys: Ints, row: int, count: int, key: int) -> int:
    """First place of the row whose key is not below `key`."""
    low, high = count - count, count
    while low < high:
        middle = (low + high) >> 1
        if keys[at(row), at(middle)] < key:
            low = middle + 1
        else:
            high = middle
    return low


@hot_jit
def _set_level(keys: Ints, lots: Ints, counts: Ints, row: int, key: int, lot: int) -> None:
    count = counts[at(row)]
    place = _place(keys, row, count, key)
    is_there = place < count and keys[at(row), at(place)] == key
    if lot != 0:
        if not is_there:
            for i in range(count, place, -1):
                keys[at(row), at(i)] = keys[at(row), at(i - 1)]
                lots[at(row), at(i)] = lots[at(row), at(i - 1)]
            keys[at(row), at(place)] = key
            counts[at(row)] = count + 1
        lots[at(row), at(place)] = lot
    elif is_there:
        for i in range(place, count - 1):
            keys[at(row), at(i)] = keys[at(row), at(i + 1)]
            lots[at(row), at(i)] = lots[at(row), at(i + 1)]
        counts[at(row)] = count - 1


@entry_jit
def fold_messages(
    kind: NDArray[np.uint8],
    symbol: NDArray[np.uint16],
    seq: Ints,
    exchange_ts_ns: Ints,
    level_offset: Ints,
    side: NDArray[np.uint8],
    tick: Ints,
    lot: Ints,
    start: int,
    keys: Ints,
    lots: Ints,
    counts: Ints,
    facts: Ints,
    fields: Ints,
) -> int:
    """Fold messages from `start` on. Returns the number of the first one that there is no room for."""
    for i in range(start, kind.size):
        what, s = kind[at(i)], whole(symbol[at(i)])
        first, last = level_offset[at(i)], level_offset[at(i + 1)]
        if what in (_SNAPSHOT, _DELTA, _BBO):
            held = max(counts[at(2 * s)], counts[at(2 * s + 1)])
            if last - first + (0 if what == _SNAPSHOT else held) > keys.shape[1]:
                return i
            if what == _SNAPSHOT:
                counts[at(2 * s)] = counts[at(2 * s + 1)] = 0
                facts[s, HAS_BOOK] = facts[s, IS_TRUSTED] = 1
            for k in range(first, last):
                is_ask = side[at(k)] != 0
                row = 2 * s + (1 if is_ask else 0)
                key = -tick[at(k)] if is_ask else tick[at(k)]
                if what == _BBO:
                    counts[at(row)] = _place(keys, row, counts[at(row)], key + 1)
                _set_level(keys, lots, counts, row, key, lot[at(k)])
        elif what == _GAP:
            facts[s, IS_TRUSTED] = 0
        elif what == _TICKER:
            for k in range(first, last):
                if 0 <= tick[at(k)] < FIELDS:
                    fields[s, at(tick[at(k)])] = lot[at(k)]
                    fields[s, at(FIELDS + tick[at(k)])] = 1
        facts[s, SEQ], facts[s, EXCHANGE_NS] = seq[at(i)], exchange_ts_ns[at(i)]
    return kind.size


class BookFold:
    """Folds chunks of some symbols. `state` and `restore` carry it over without loss."""

    def __init__(self, symbols: int) -> None:
        self.facts = np.zeros((symbols, _FACTS), np.int64)
        self._fields = np.zeros((symbols, 2 * FIELDS), np.int64)
        self._counts = np.zeros(2 * symbols, np.int64)
        self._keys = np.zeros((2 * symbols, _FIRST_ROOM), np.int64)
        self._lots = np.zeros((2 * symbols, _FIRST_ROOM), np.int64)

    @property
    def symbols(self) -> int:
        return len(self.facts)

    def fold(self, chunk: EventChunk) -> None:
        done, size = 0, len(chunk)
        while done < size:
            done = fold_messages(
                chunk.kind, chunk.symbol, chunk.seq, chunk.exchange_ts_ns, chunk.level_offset,
                chunk.side, chunk.tick, chunk.lot, done,
                self._keys, self._lots, self._counts, self.facts, self._fields,
            )  # fmt: skip
            if done < size:
                entries = int(chunk.level_offset[done + 1] - chunk.level_offset[done])
                self._grow(2 * self._keys.shape[1] + entries)

    def levels(self, symbol: int) -> list[tuple[int, int, int]]:
        """(side, tick, lot), bids before asks, best first."""
        found = []
        for side, sign in ((BID, 1), (ASK, -1)):
            row = 2 * symbol + side
            count = int(self._counts[row])
            keys, lots = self._keys[row, :count][::-1], self._lots[row, :count][::-1]
            found += [
                (side, sign * key, lot)
                for key, lot in zip(keys.tolist(), lots.tolist(), strict=True)
            ]
        return found

    def ticker(self, symbol: int) -> list[tuple[int, int]]:
        """(field, value) of the known ones, by code."""
        row = self._fields[symbol].tolist()
        return [(field, row[field]) for field in range(FIELDS) if row[FIELDS + field]]

    def state(self) -> bytes:
        rows = [
            (keys[:count].tobytes(), lots[:count].tobytes())
            for keys, lots, count in zip(self._keys, self._lots, self._counts.tolist(), strict=True)
        ]
        return msgspec.msgpack.encode([self.facts.tobytes(), self._fields.tobytes(), rows])

    def restore(self, data: bytes) -> None:
        """Take over a `state()` of as many symbols. Raises: ValueError when it is torn or of others."""
        try:
            facts, fields, rows = msgspec.msgpack.decode(
                data, type=tuple[bytes, bytes, list[tuple[bytes, bytes]]]
            )
        except msgspec.MsgspecError as error:
            raise ValueError(f"the state of the books is not readable: {error}") from error
        sizes = [(len(keys), len(lots)) for keys, lots in rows]
        if (
            (len(facts), len(fields)) != (self.facts.nbytes, self._fields.nbytes)
            or len(rows) != len(self._counts)
            or any(a != b or a % 8 for a, b in sizes)
        ):
            raise ValueError("the state of the books is of other symbols or another version")
        self.facts[...] = np.frombuffer(facts, np.int64).reshape(self.facts.shape)
        self._fields[...] = np.frombuffer(fields, np.int64).reshape(self._fields.shape)
        self._grow(max(_most(sizes), self._keys.shape[1]))
        for row, (keys, lots) in enumerate(rows):
            count = self._counts[row] = len(keys) // 8
            self._keys[row, :count] = np.frombuffer(keys, np.int64)
            self._lots[row, :count] = np.frombuffer(lots, np.int64)

    def _grow(self, room: int) -> None:
        more = room - self._keys.shape[1]
        if more > 0:
            self._keys = np.pad(self._keys, ((0, 0), (0, more)))
            self._lots = np.pad(self._lots, ((0, 0), (0, more)))


def _most(sizes: Sequence[tuple[int, int]]) -> int:
    return max((size // 8 for size, _ in sizes), default=0)
