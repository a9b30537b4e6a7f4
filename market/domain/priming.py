"""Starting in the middle: what was known before `from`, stated again at `from`.

Messages before the start are folded into books and ticker fields; at the first message at or after it
each symbol's state is stated as one BOOK_SNAPSHOT (or FEED_GAP) and one TICKER. Trades before the start
are forgotten: flows and volatilities warm up anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from market.domain.book_fold import EXCHANGE_NS, HAS_BOOK, IS_TRUSTED, SEQ, BookFold
from market.domain.events import ChunkBuilder, EventChunk, EventKind


class Primer:
    """Folds chunks that lie before the start; `statement` then says what was known."""

    def __init__(self, symbols: int) -> None:
        self._fold = BookFold(symbols)

    def skip(self, chunk: EventChunk) -> None:
        """Fold a chunk whose messages all lie before the start."""
        self._fold.fold(chunk)

    def statement(self, core_ts_ns: int) -> EventChunk:
        """State of every symbol heard of so far, at `core_ts_ns`, in table order."""
        builder = ChunkBuilder()
        for symbol in range(self._fold.symbols):
            facts = self._fold.facts[symbol].tolist()
            if facts[HAS_BOOK]:
                is_trusted = bool(facts[IS_TRUSTED])
                kind = EventKind.BOOK_SNAPSHOT if is_trusted else EventKind.FEED_GAP
                levels = self._fold.levels(symbol) if is_trusted else []
                self._state(builder, kind, symbol, core_ts_ns, levels)
            if fields := self._fold.ticker(symbol):
                entries = [(0, field, value) for field, value in fields]
                self._state(builder, EventKind.TICKER, symbol, core_ts_ns, entries)
        return builder.take()

    def state(self) -> bytes:
        """All that is known; `restore` of it goes on without a difference."""
        return self._fold.state()

    def restore(self, data: bytes) -> None:
        """Raises: ValueError when `data` is torn, or of other symbols."""
        self._fold.restore(data)

    def _state(
        self,
        builder: ChunkBuilder,
        kind: EventKind,
        symbol: int,
        core_ts_ns: int,
        levels: list[tuple[int, int, int]],
    ) -> None:
        facts = self._fold.facts[symbol]
        builder.add(
            kind,
            symbol=symbol,
            seq=int(facts[SEQ]),
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=int(facts[EXCHANGE_NS]),
            levels=levels,
        )


def between(
    chunks: Iterator[EventChunk], symbols: int, from_ns: int | None, to_ns: int | None
) -> Iterator[EventChunk]:
    """Messages with from_ns <= core time < to_ns, behind a statement of what was known at `from_ns`."""
    primer = None if from_ns is None else Primer(symbols)
    for chunk in chunks:
        begin, stop = 0, len(chunk)
        if primer is not None:
            assert from_ns is not None
            begin = int(chunk.core_ts_ns.searchsorted(from_ns))
            primer.skip(chunk.slice(0, begin))
        if to_ns is not None:
            stop = max(begin, int(chunk.core_ts_ns.searchsorted(to_ns)))
        if begin < stop and primer is not None and from_ns is not None:
            if len(statement := primer.statement(from_ns)):
                yield statement
            primer = None
        if begin < stop:
            yield chunk.slice(begin, stop)
        if stop < len(chunk):
            return
