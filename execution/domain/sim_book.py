"""The simulated venue's books and queues in columns, and the way into the compiled kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from execution.domain.sim_kernel import (
    C_MARKS,
    C_RESTS,
    COUNTS,
    EVERY_BOOK,
    FACTS,
    FAR,
    M_SHOWN,
    M_TAKEN,
    MARKS,
    RESTS,
    TRUSTED,
    WATCH,
    run_until_it_matters,
)
from market.domain.book import best_levels
from market.domain.events import ASK, BID, ChunkBuilder, EventChunk, EventKind
from market.domain.kernel_state import (
    BASE,
    FAR_COUNT,
    FAR_KEYS,
    FAR_SIZES,
    LADDER,
    LEVELS,
    NO_KEY,
    SIDE_CELLS,
    SYMBOL_CELLS,
    TOUCH,
    WINDOW,
    new_cells,
)

_FAR = int(FAR)
NOTHING_MATTERS = (-1, -_FAR, _FAR, _FAR, -_FAR, _FAR, -_FAR, _FAR, -_FAR, 0, 0)  # row of `watch`


def writeable(chunk: EventChunk) -> EventChunk:
    """Columns straight from a message are read-only and unaligned: other types to the compiler."""
    if chunk.kind.flags.writeable:
        return chunk
    return EventChunk(**{f.name: np.array(getattr(chunk, f.name)) for f in fields(chunk)})


class SimBooks:
    """Books of `symbols` symbols, in cells as `market.domain.kernel_state` says; the rest: `sim_kernel`."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self._cells = new_cells(symbols)
        self._marks = np.zeros((16, MARKS), np.int64)
        self.facts = np.zeros((symbols, FACTS), np.int64)
        self.watch = np.empty((symbols, WATCH), np.int64)
        self.rests = np.zeros((16, RESTS), np.int64)
        self._counts = np.zeros(COUNTS, np.int64)
        for symbol in range(symbols):
            self.watch_nothing(symbol)

    def watch_nothing(self, symbol: int) -> None:
        self.watch[symbol] = NOTHING_MATTERS

    def set_rests(self, rows: Sequence[tuple[int, ...]]) -> None:
        """The resting orders, in order of their priority; replaces those before."""
        if len(rows) > len(self.rests):
            self.rests = np.zeros((2 * len(rows), RESTS), np.int64)
        for i, row in enumerate(rows):
            self.rests[i] = row
        self._counts[C_RESTS] = len(rows)

    def run(
        self, chunk: EventChunk, start: int, now_ns: int, limit_ns: int, stop: int | None = None
    ) -> tuple[int, int, bool]:
        """(next message, venue time, whether the message before it may concern an order).

        Stops before message `stop` (the chunk's end), and before the first at or after `limit_ns`.
        """
        reached: tuple[int, int, bool] = run_until_it_matters(
            chunk.kind, chunk.flags, chunk.symbol, chunk.exchange_ts_ns, chunk.level_offset,
            chunk.side, chunk.tick, chunk.lot,
            self._cells, self.facts, self.watch, self.rests, self._marks, self._counts,
            start, len(chunk) if stop is None else stop, now_ns, limit_ns,
        )  # fmt: skip
        return reached

    def is_trusted(self, symbol: int) -> bool:
        return bool(self.facts.item(symbol, TRUSTED))

    def best(self, symbol: int, side: int) -> int | None:
        """Best displayed price of a side, ticks."""
        key = self._cells.item(_block(symbol, side) + TOUCH)
        return abs(key) if key != NO_KEY else None

    def displayed(self, symbol: int, side: int, tick: int) -> int | None:
        """Lots displayed at a price; None where the window does not reach it."""
        block, key, item = _block(symbol, side), _key(side, tick), self._cells.item
        if lots := self._lots_at(block, key):
            return lots
        place = min(key - item(block + BASE), WINDOW)
        keys, _ = self._far(block)
        is_inside = keys.size and keys[0] <= key
        if is_inside or self._cells[block + LADDER : block + LADDER + max(place, 0)].any():
            return 0
        return None

    def _lots_at(self, block: int, key: int) -> int:
        place = key - self._cells.item(block + BASE)
        if place >= 0:
            return self._cells.item(block + LADDER + place) if place < WINDOW else 0
        keys, sizes = self._far(block)
        far = int(keys.searchsorted(key))
        return sizes.item(far) if far < keys.size and keys[far] == key else 0

    def takeable(
        self, symbol: int, side: int, limit_tick: int, enough_lots: int = _FAR
    ) -> list[tuple[int, int]]:
        """(tick, lots left to take) of a side, best first, to `limit_tick` or `enough_lots` in all."""
        block, limit, item = _block(symbol, side), _key(side, limit_tick), self._cells.item
        touch = item(block + TOUCH)
        if touch == NO_KEY or touch < limit:
            return []
        taken, found = self._taken(symbol, side), []
        for key in self._keys_down(block, touch, limit):
            lots = self._lots_at(block, key) - taken.get(key, 0)
            if lots > 0:
                found.append((abs(key), lots))
                enough_lots -= lots
                if enough_lots <= 0:
                    break
        return found

    def _keys_down(self, block: int, touch: int, limit: int) -> Iterator[int]:
        """Keys of levels from the touch down to `limit`."""
        base = self._cells.item(block + BASE)
        first = max(limit - base, 0)
        ladder = self._cells[block + LADDER + first : block + LADDER + touch - base + 1]
        yield from reversed((np.flatnonzero(ladder) + (base + first)).tolist())
        if limit < base:
            keys, _ = self._far(block)
            yield from reversed(keys[int(keys.searchsorted(limit)) :].tolist())

    def take(self, symbol: int, side: int, tick: int, lots: int) -> None:
        """Remember that `lots` of a displayed level are ours now."""
        level = [symbol, side, _key(side, tick)]
        for row in self._marks[: self._counts.item(C_MARKS)]:
            if row[:M_SHOWN].tolist() == level:
                row[M_TAKEN] += lots
                return
        self._mark(*level, self.displayed(symbol, side, tick) or 0, lots)

    def _mark(self, *row: int) -> None:
        count = self._counts.item(C_MARKS)
        if count == len(self._marks):
            self._marks = np.concatenate((self._marks, np.zeros_like(self._marks)))
        self._marks[count] = row
        self._counts[C_MARKS] = count + 1

    def _taken(self, symbol: int, side: int) -> dict[int, int]:
        """Lots that are ours, by key."""
        rows = self._marks[: self._counts.item(C_MARKS)].tolist()
        return {key: taken for s, at, key, _, taken in rows if (s, at) == (symbol, side)}

    def _far(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keys and sizes of the levels below the ladder, worst first."""
        count = self._cells.item(block + FAR_COUNT)
        keys, sizes = block + FAR_KEYS, block + FAR_SIZES
        return self._cells[keys : keys + count], self._cells[sizes : sizes + count]

    def state(self) -> dict[str, bytes]:
        """Only the levels in use, so that a checkpoint stays small and says nothing else.

        level: i8[symbols, 2 sides, (tick, lot, taken), as many as the fullest side holds], worst first.
        """
        sides = [(symbol, side) for symbol in range(self._symbols) for side in (BID, ASK)]
        counts = np.array([self._cells[_block(*side) + LEVELS] for side in sides], np.int64)
        level = np.zeros((len(sides), 3, int(counts.max(initial=0))), np.int64)
        for row, side, count in zip(level, sides, counts.tolist(), strict=True):
            row[:2, :count] = best_levels(self._cells, _block(*side), count)[::-1].T
            taken = self._taken(*side)
            if taken:
                row[2, :count] = [
                    taken.get(_key(side[1], tick), 0) for tick in row[0, :count].tolist()
                ]
        return {
            "level": level.tobytes(),
            "counts": counts.tobytes(),
            "facts": self.facts.tobytes(),
        }

    def fits(self, state: dict[str, bytes]) -> bool:
        """Whether a state is of as many symbols and of this layout."""
        counts_bytes = 2 * 8 * self._symbols
        return len(state["counts"]) == counts_bytes and len(state["facts"]) == self.facts.nbytes

    def restore(self, state: dict[str, bytes]) -> None:
        """Enter the levels as a snapshot of each symbol; then the facts, that it would change."""
        counts = np.frombuffer(state["counts"], np.int64).reshape(-1, 2).tolist()
        stored: NDArray[np.int64] = np.frombuffer(state["level"], np.int64)
        level = stored.reshape(self._symbols, 2, 3, -1)
        snapshots = ChunkBuilder()
        for symbol in range(self._symbols):
            sides = [level[symbol, side, :2, : counts[symbol][side]].T[::-1] for side in (BID, ASK)]
            levels = [(side, *row) for side in (BID, ASK) for row in sides[side].tolist()]
            snapshots.add(
                EventKind.BOOK_SNAPSHOT, symbol=symbol, seq=0, core_ts_ns=0, exchange_ts_ns=0,
                levels=levels,
            )  # fmt: skip
        self._cells, self._counts[C_MARKS] = new_cells(self._symbols), 0
        self.watch[:, EVERY_BOOK] = NOTHING_MATTERS[EVERY_BOOK]
        self.run(snapshots.take(), 0, 0, _FAR)
        for symbol, side, place in np.argwhere(level[:, :, 2]).tolist():
            tick, shown, taken = level[symbol, side, :, place].tolist()
            self._mark(symbol, side, _key(side, tick), shown, taken)
        self.facts = np.frombuffer(state["facts"], np.int64).reshape(self.facts.shape).copy()


def _block(symbol: int, side: int) -> int:
    """First cell of a side."""
    return symbol * SYMBOL_CELLS + side * SIDE_CELLS


def _key(side: int, tick: int) -> int:
    return tick if side == BID else -tick


def compile_venue_kernel() -> bool:
    """Run the venue's kernel once: a first start compiles it (seconds), later ones load it."""
    SimBooks(1).run(ChunkBuilder().take(), 0, 0, 1)
    return True
