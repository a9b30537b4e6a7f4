"""The fold as it was before it was compiled: what the present one must equal.

Starting in the middle: what was known before `from`, stated again at `from`.

Messages before the start are folded into books and ticker fields; at the first message at or after it
each symbol's state is stated as one BOOK_SNAPSHOT (or FEED_GAP) and one TICKER. Trades before the start
are forgotten: flows and volatilities warm up anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from market.domain.events import ASK, BID, ChunkBuilder, EventChunk, EventKind

_BOOK_UPDATES = (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO)


class _Known:
    """One symbol's book and ticker; `is_trusted` is False until a snapshot and after a gap."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.fields: dict[int, int] = {}
        self.has_book = False
        self.is_trusted = False
        self.seq = 0
        self.exchange_ts_ns = 0

    def apply(self, kind: int, entries: list[tuple[int, int, int]]) -> None:
        if kind == EventKind.TICKER:
            self.fields.update((tick, lot) for _, tick, lot in entries)
        elif kind == EventKind.FEED_GAP:
            self.is_trusted = False
        elif kind in _BOOK_UPDATES:
            self._apply_levels(kind, entries)

    def _apply_levels(self, kind: int, entries: list[tuple[int, int, int]]) -> None:
        if kind == EventKind.BOOK_SNAPSHOT:
            self.sides = ({}, {})
            self.has_book = self.is_trusted = True
        for side, tick, lot in entries:
            levels = self.sides[side]
            if kind == EventKind.BBO:
                for better in [t for t in levels if (t > tick if side == BID else t < tick)]:
                    del levels[better]
            if lot:
                levels[tick] = lot
            else:
                levels.pop(tick, None)


class Primer:
    """Folds chunks that lie before the start; `statement` then says what was known."""

    def __init__(self, symbols: int) -> None:
        self._known = [_Known() for _ in range(symbols)]

    def skip(self, chunk: EventChunk) -> None:
        """Fold a chunk whose messages all lie before the start."""
        offsets = chunk.level_offset.tolist()
        entries = list(
            zip(chunk.side.tolist(), chunk.tick.tolist(), chunk.lot.tolist(), strict=True)
        )
        columns = zip(
            chunk.kind.tolist(),
            chunk.symbol.tolist(),
            chunk.seq.tolist(),
            chunk.exchange_ts_ns.tolist(),
            strict=True,
        )
        for i, (kind, symbol, seq, exchange_ts_ns) in enumerate(columns):
            known = self._known[symbol]
            known.seq, known.exchange_ts_ns = seq, exchange_ts_ns
            known.apply(kind, entries[offsets[i] : offsets[i + 1]])

    def statement(self, core_ts_ns: int) -> EventChunk:
        """State of every symbol heard of so far, at `core_ts_ns`, in table order."""
        builder = ChunkBuilder()
        for symbol, known in enumerate(self._known):
            if known.has_book:
                bids, asks = known.sides
                levels = [(BID, t, bids[t]) for t in sorted(bids, reverse=True)]
                levels += [(ASK, t, asks[t]) for t in sorted(asks)]
                kind = EventKind.BOOK_SNAPSHOT if known.is_trusted else EventKind.FEED_GAP
                self._state(builder, kind, symbol, core_ts_ns, levels if known.is_trusted else [])
            if known.fields:
                fields = [(0, field, known.fields[field]) for field in sorted(known.fields)]
                self._state(builder, EventKind.TICKER, symbol, core_ts_ns, fields)
        return builder.take()

    def _state(
        self,
        builder: ChunkBuilder,
        kind: EventKind,
        symbol: int,
        core_ts_ns: int,
        levels: list[tuple[int, int, int]],
    ) -> None:
        known = self._known[symbol]
        builder.add(
            kind,
            symbol=symbol,
            seq=known.seq,
            core_ts_ns=core_ts_ns,
            exchange_ts_ns=known.exchange_ts_ns,
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
