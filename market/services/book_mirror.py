"""The books and ticker fields as the stream left them, for the recorder's checkpoints.

Kept apart from the kernel's books on purpose: a checkpoint must be a plain fold of the recorded messages.
"""

from __future__ import annotations

from market.domain.events import ASK, BID, EventChunk, EventKind

_NO_TICK = 1 << 62
_REPLACES = (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA)


class BookMirror:
    """Folds chunks. `book(symbol)` is None while the symbol's book is unknown."""

    def __init__(self, symbols: int) -> None:
        self._books: list[tuple[dict[int, int], dict[int, int]] | None] = [None] * symbols
        self._tickers: list[dict[int, int]] = [{} for _ in range(symbols)]
        self._exchange_ns = [0] * symbols
        # No bid lies above and no ask below: a touch that moves a little looks at few ticks, not at all.
        self._bounds = [[0, 0] for _ in range(symbols)]

    def book(self, symbol: int) -> tuple[dict[int, int], dict[int, int]] | None:
        return self._books[symbol]

    def ticker(self, symbol: int) -> dict[int, int]:
        return self._tickers[symbol]

    def exchange_ts_ns(self, symbol: int) -> int:
        """Exchange time of the last book message of `symbol`."""
        return self._exchange_ns[symbol]

    def fold(self, chunk: EventChunk) -> None:
        kinds, symbols = chunk.kind.tolist(), chunk.symbol.tolist()
        offsets, exchange = chunk.level_offset.tolist(), chunk.exchange_ts_ns.tolist()
        sides, ticks, lots = chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist()
        for i, kind in enumerate(kinds):
            symbol, first, last = symbols[i], offsets[i], offsets[i + 1]
            if kind in _REPLACES:
                self._exchange_ns[symbol] = exchange[i]
                self._fold_book(
                    symbol, kind, sides[first:last], ticks[first:last], lots[first:last]
                )
            elif kind == EventKind.FEED_GAP:
                self._books[symbol] = None
            elif kind == EventKind.BBO and (book := self._books[symbol]) is not None:
                self._exchange_ns[symbol] = exchange[i]
                _fold_bbo(book, self._bounds[symbol], ticks[first:last], lots[first:last])
            elif kind == EventKind.TICKER:
                self._tickers[symbol].update(zip(ticks[first:last], lots[first:last], strict=True))

    def _fold_book(
        self, symbol: int, kind: int, sides: list[int], ticks: list[int], lots: list[int]
    ) -> None:
        if kind == EventKind.BOOK_SNAPSHOT:
            self._books[symbol] = ({}, {})
            self._bounds[symbol] = [0, _NO_TICK]
        book, bounds = self._books[symbol], self._bounds[symbol]
        if book is None:
            return
        highest_bid, lowest_ask = bounds
        for side, tick, lot in zip(sides, ticks, lots, strict=True):
            levels = book[0] if side == BID else book[1]
            if not lot:
                levels.pop(tick, None)
                continue
            levels[tick] = lot
            if side == BID:
                highest_bid = max(highest_bid, tick)
            else:
                lowest_ask = min(lowest_ask, tick)
        bounds[:] = highest_bid, lowest_ask


def _fold_bbo(
    book: tuple[dict[int, int], dict[int, int]],
    bounds: list[int],
    ticks: list[int],
    lots: list[int],
) -> None:
    """The touch is stated outright: whatever the book held better than it is gone."""
    (bids, asks), (bid, ask) = book, ticks
    _drop(bids, bid + 1, bounds[BID])
    _drop(asks, bounds[ASK], ask - 1)
    bids[bid], asks[ask] = lots
    bounds[:] = bid, ask


def _drop(levels: dict[int, int], first: int, last: int) -> None:
    """Remove the ticks first..last."""
    if last - first < len(levels):
        for tick in range(first, last + 1):
            levels.pop(tick, None)
    else:
        for tick in [tick for tick in levels if first <= tick <= last]:
            del levels[tick]
