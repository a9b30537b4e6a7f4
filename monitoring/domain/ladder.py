"""Order books of all symbols, as the dashboard shows them: folded from the packed raw stream.

The kernel owns the book that decides. This one only has to be cheap and honest: without a snapshot, or after
a gap, it shows nothing rather than something wrong.
"""

from __future__ import annotations

from typing import Any

from market.domain.events import BID, EventChunk, EventKind
from market.domain.instruments import Instrument

MAX_LEVELS_KEPT = 1000  # per side; Bybit's deepest topic

Levels = list[tuple[int, int]]


class Ladder:
    """One symbol's book: ticks to lots on each side."""

    __slots__ = ("asks", "bids", "is_known", "seq", "version")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.is_known = False
        self.version = 0  # grows with every change
        self.seq = 0  # of the last message folded in

    def on_event(self, kind: int, levels: list[tuple[int, int, int]], seq: int) -> None:
        """Fold one message; `levels` are (side, tick, lot) as `market.domain.events` says for `kind`.

        A change that is not later than what is in already is passed over: the book may come from the
        recording and the stream may tell its end once more.
        """
        if kind in (EventKind.BOOK_DELTA, EventKind.BBO) and seq <= self.seq:
            return
        self.seq = seq
        if kind == EventKind.BOOK_SNAPSHOT:
            self.bids, self.asks, self.is_known = {}, {}, True
        elif kind == EventKind.FEED_GAP:
            self.bids, self.asks, self.is_known = {}, {}, False
            self.version += 1
            return
        elif kind not in (EventKind.BOOK_DELTA, EventKind.BBO) or not self.is_known:
            return
        if kind == EventKind.BBO:
            self._drop_better_than(levels)
        for side, tick, lot in levels:
            self._set(self.bids if side == BID else self.asks, tick, lot)
        self.version += 1

    def top(self, depth: int) -> tuple[Levels, Levels]:
        """Best `depth` bids and asks as (tick, lots), best first."""
        bids = sorted(self.bids.items(), reverse=True)[:depth]
        return bids, sorted(self.asks.items())[:depth]

    def _set(self, side: dict[int, int], tick: int, lot: int) -> None:
        if lot <= 0:
            side.pop(tick, None)
        elif tick in side or len(side) < MAX_LEVELS_KEPT:
            side[tick] = lot

    def _drop_better_than(self, levels: list[tuple[int, int, int]]) -> None:
        for side, tick, _ in levels:
            if side == BID:
                self.bids = {t: lots for t, lots in self.bids.items() if t <= tick}
            else:
                self.asks = {t: lots for t, lots in self.asks.items() if t >= tick}


class Ladders:
    """Books by symbol index; one that has left the run's symbol table is dropped."""

    def __init__(self) -> None:
        self._ladders: dict[int, Ladder] = {}

    def reset(self) -> None:
        self._ladders.clear()

    def get(self, symbol_index: int) -> Ladder | None:
        return self._ladders.get(symbol_index)

    def on_chunk(self, chunk: EventChunk, symbol_count: int) -> None:
        """Fold every book message of a chunk whose symbol is in the table."""
        kinds, symbols = chunk.kind.tolist(), chunk.symbol.tolist()
        offsets, seqs = chunk.level_offset.tolist(), chunk.seq.tolist()
        sides, ticks, lots = chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist()
        for i, kind in enumerate(kinds):
            if kind in _BOOK_KINDS and symbols[i] < symbol_count:
                first, last = offsets[i], offsets[i + 1]
                levels = list(
                    zip(sides[first:last], ticks[first:last], lots[first:last], strict=True)
                )
                self._ladders.setdefault(symbols[i], Ladder()).on_event(kind, levels, seqs[i])


_BOOK_KINDS = frozenset(
    (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO, EventKind.FEED_GAP)
)


def ladder_rows(ladder: Ladder, instrument: Instrument, depth: int) -> dict[str, Any]:
    """The ladder for the screen: `{known, bids: [[price, qty], ...], asks: ...}`, best first."""
    if not ladder.is_known:
        return {"known": False, "bids": [], "asks": []}
    bids, asks = ladder.top(depth)

    def shown(levels: Levels) -> list[list[float]]:
        return [
            [float(instrument.ticks_to_price(t)), float(instrument.lots_to_qty(n))]
            for t, n in levels
        ]

    return {"known": True, "bids": shown(bids), "asks": shown(asks)}
