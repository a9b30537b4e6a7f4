"""The simulated venue's books and queues in columns, and the way into the compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from execution.domain.sim_kernel import (
    C_LIMIT,
    C_NEXT,
    C_NOW,
    C_RESTS,
    C_STOP,
    CURSOR,
    FACTS,
    FAR,
    PLACES,
    RESTS,
    TRUSTED,
    WATCH,
    run_until_it_matters,
)
from market.domain.events import BID, ChunkBuilder, EventChunk

_NO_LEVELS = PLACES // 2
_FAR = int(FAR)
NOTHING_MATTERS = (-1, -_FAR, _FAR, _FAR, -_FAR, _FAR, -_FAR, _FAR, -_FAR, 0, 0)  # row of `watch`


def writeable(chunk: EventChunk) -> EventChunk:
    """Columns straight from a message are read-only and unaligned: other types to the compiler."""
    if chunk.kind.flags.writeable:
        return chunk
    return EventChunk(**{f.name: np.array(getattr(chunk, f.name)) for f in fields(chunk)})


class SimBooks:
    """Books of `symbols` symbols: level i8[symbols, 2 sides, (tick, lot, taken), PLACES], worst first.

    `spans` i8[symbols, 2 sides, (first, end)] says which places are in use. `facts`, `watch` and `rests`
    are laid out as `sim_kernel` says.
    """

    def __init__(self, symbols: int) -> None:
        self.level = np.zeros((symbols, 2, 3, PLACES), np.int64)
        self.spans = np.full((symbols, 2, 2), _NO_LEVELS, np.int64)
        self._cells, self._flat_spans = self.level.reshape(-1), self.spans.reshape(-1)
        self.facts = np.zeros((symbols, FACTS), np.int64)
        self.watch = np.empty((symbols, WATCH), np.int64)
        self.rests = np.zeros((16, RESTS), np.int64)
        self.cursor = np.zeros(CURSOR, np.int64)
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
        self.cursor[C_RESTS] = len(rows)

    def run(
        self, chunk: EventChunk, start: int, now_ns: int, limit_ns: int, stop: int | None = None
    ) -> tuple[int, int, bool]:
        """(next message, venue time, whether the message before it may concern an order).

        Stops before message `stop` (the chunk's end), and before the first at or after `limit_ns`.
        """
        cursor = self.cursor
        cursor[C_NEXT], cursor[C_NOW], cursor[C_LIMIT], cursor[C_STOP] = (
            start, now_ns, limit_ns, len(chunk) if stop is None else stop,
        )  # fmt: skip
        matters = run_until_it_matters(
            chunk.kind, chunk.flags, chunk.symbol, chunk.exchange_ts_ns, chunk.level_offset,
            chunk.side, chunk.tick, chunk.lot,
            self._cells, self._flat_spans, self.facts, self.watch, self.rests, cursor,
        )  # fmt: skip
        return cursor.item(C_NEXT), cursor.item(C_NOW), bool(matters)

    def is_trusted(self, symbol: int) -> bool:
        return bool(self.facts.item(symbol, TRUSTED))

    def best(self, symbol: int, side: int) -> int | None:
        """Best displayed price of a side, ticks."""
        first, end = self.spans[symbol, side].tolist()
        return int(self.level[symbol, side, 0, end - 1]) if first < end else None

    def displayed(self, symbol: int, side: int, tick: int) -> int | None:
        """Lots displayed at a price; None where the window does not reach it."""
        first, end = self.spans[symbol, side].tolist()
        ticks = self.level[symbol, side, 0, first:end]
        if not ticks.size or ((tick < ticks[0]) if side == BID else (tick > ticks[0])):
            return None
        place = _place(ticks, side, tick)
        is_there = place < ticks.size and ticks[place] == tick
        return int(self.level[symbol, side, 1, first + place]) if is_there else 0

    def takeable(self, symbol: int, side: int, limit_tick: int) -> list[tuple[int, int]]:
        """(tick, lots left to take) of a side from the best to `limit_tick`, best first."""
        first, end = self.spans[symbol, side].tolist()
        if first == end:
            return []
        best = int(self.level[symbol, side, 0, end - 1])
        if (best < limit_tick) if side == BID else (best > limit_tick):
            return []
        ticks, lots, taken = self.level[symbol, side, :, first:end]
        first = _place(ticks, side, limit_tick)
        left = lots[first:] - taken[first:]
        rows = zip(ticks[first:][::-1].tolist(), left[::-1].tolist(), strict=True)
        return [(tick, lots_left) for tick, lots_left in rows if lots_left > 0]

    def take(self, symbol: int, side: int, tick: int, lots: int) -> None:
        """Remember that `lots` of a displayed level are ours now."""
        first, end = self.spans[symbol, side].tolist()
        place = _place(self.level[symbol, side, 0, first:end], side, tick)
        self.level[symbol, side, 2, first + place] += lots

    def state(self) -> dict[str, bytes]:
        """Only the levels in use, so that a checkpoint stays small and says nothing else."""
        counts = self.spans[:, :, 1] - self.spans[:, :, 0]
        level = np.zeros((*self.level.shape[:3], int(counts.max(initial=0))), np.int64)
        for symbol, side in np.ndindex(counts.shape):
            first, end = self.spans[symbol, side]
            level[symbol, side, :, : end - first] = self.level[symbol, side, :, first:end]
        return {
            "level": level.tobytes(),
            "counts": counts.tobytes(),
            "facts": self.facts.tobytes(),
        }

    def fits(self, state: dict[str, bytes]) -> bool:
        """Whether a state is of as many symbols and of this layout."""
        counts_bytes = self.spans.nbytes // 2
        return len(state["counts"]) == counts_bytes and len(state["facts"]) == self.facts.nbytes

    def restore(self, state: dict[str, bytes]) -> None:
        counts = np.frombuffer(state["counts"], np.int64).reshape(self.spans.shape[:2])
        self.facts = np.frombuffer(state["facts"], np.int64).reshape(self.facts.shape).copy()
        stored: NDArray[np.int64] = np.frombuffer(state["level"], np.int64)
        stored = stored.reshape((*self.level.shape[:3], -1))
        first = (PLACES - stored.shape[3]) // 2
        self.level[:, :, :, first : first + stored.shape[3]] = stored
        self.spans[:, :, 0], self.spans[:, :, 1] = first, first + counts


def _place(ticks: NDArray[np.int64], side: int, tick: int) -> int:
    """First place whose price is as good as `tick` or better."""
    if side == BID:
        return int(ticks.searchsorted(tick))
    return int((-ticks).searchsorted(-tick))


def compile_venue_kernel() -> bool:
    """Run the venue's kernel once: a first start compiles it (seconds), later ones load it."""
    SimBooks(1).run(ChunkBuilder().take(), 0, 0, 1)
    return True
