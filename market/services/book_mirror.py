"""The books and ticker fields as the stream left them, for the recorder's checkpoints.

Kept apart from the kernel's books on purpose: a checkpoint must be a plain fold of the recorded messages.
"""

from __future__ import annotations

from market.domain.events import BID, EventChunk, EventKind

_REPLACES = (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA)


class BookMirror:
    """Folds chunks. `book(symbol)` is None while the symbol's book is unknown."""

    def __init__(self, symbols: int) -> None:
        self._books: list[tuple[dict[int, int], dict[int, int]] | None] = [None] * symbols
        self._tickers: list[dict[int, int]] = [{} for _ in range(symbols)]
        self._exchange_ns = [0] * symbols

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
                _fold_bbo(book, ticks[first:last], lots[first:last])
            elif kind == EventKind.TICKER:
                self._tickers[symbol].update(zip(ticks[first:last], lots[first:last], strict=True))

    def _fold_book(
        self, symbol: int, kind: int, sides: list[int], ticks: list[int], lots: list[int]
    ) -> None:
        if kind == EventKind.BOOK_SNAPSHOT:
            self._books[symbol] = ({}, {})
        book = self._books[symbol]
        if book is None:
            return
        for side, tick, lot in zip(sides, ticks, lots, strict=True):
            levels = book[0] if side == BID else book[1]
            if lot:
                levels[tick] = lot
            else:
                levels.pop(tick, None)


def _fold_bbo(
    book: tuple[dict[int, int], dict[int, int]], ticks: list[int], lots: list[int]
) -> None:
    """The touch is stated outright: whatever the book held better than it is gone."""
    (bids, asks), (bid, ask) = book, ticks
    for tick in [tick for tick in bids if tick > bid]:
        del bids[tick]
    for tick in [tick for tick in asks if tick < ask]:
        del asks[tick]
    bids[bid], asks[ask] = lots
