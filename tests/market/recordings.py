"""A small recording with everything in it: two runs, two days, books, touches, trades, tickers, a gap."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from failover.adapters.files import write_atomically
from market.adapters.indexed_file import IndexedFile
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.instruments import Instrument
from market.services.recorder import MarketRecorder
from tests.market.helpers import an_instrument

MS = 1_000_000
S = 1_000 * MS
DAY = 86_400 * S
MIDNIGHT = 20_001 * DAY  # 2024-10-05
DAYS = ("2024-10-04", "2024-10-05")
RUNS = ("20241004T235830.000000Z-1a2b", "20241004T235930.000000Z-3c4d")


def two_instruments() -> list[Instrument]:
    return [
        an_instrument(),
        an_instrument("SOLUSDT", tick_size=Decimal("0.005"), qty_step=Decimal("0.1")),
    ]


def an_orderly_stream(
    start_ns: int, seconds: float, *, every_ns: int = 500 * MS
) -> Iterator[EventChunk]:
    """Books that never cross; each chunk holds one step of both symbols."""
    seq = 0
    for step in range(int(seconds * S) // every_ns):
        builder, now = ChunkBuilder(), start_ns + step * every_ns
        for symbol in range(2):
            for kind in _kinds(step):
                seq += 1
                _add(builder, kind, step, symbol=symbol, seq=seq, core_ts_ns=now)
        yield builder.take()


def _kinds(step: int) -> list[EventKind]:
    if step == 0:
        return [EventKind.BOOK_SNAPSHOT, EventKind.TICKER]
    some = {0: EventKind.TRADE, 1: EventKind.BBO, 2: EventKind.TICKER, 3: EventKind.LIVENESS}
    return [EventKind.BOOK_DELTA] + ([some[step % 4]] if step % 3 else [])


def _add(builder: ChunkBuilder, kind: EventKind, step: int, **where: int) -> None:
    where["exchange_ts_ns"] = where["core_ts_ns"] - 5 * MS
    if kind in (EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA):
        bids, asks = {1000 + step % 7: 1 + step % 3, 990: 5}, {1010 + step % 5: 1 + step % 2}
        if kind is EventKind.BOOK_DELTA and step % 5 == 0:
            bids, asks = {1000: 0, 1003: 0}, {1012: 0}
        builder.add_book(kind, bids=bids, asks=asks, **where)
        return
    levels: list[tuple[int, int, int]] = []
    if kind is EventKind.TRADE:
        levels = [(step % 2, 1005, 1 + step)]
    elif kind is EventKind.BBO:
        levels = [(0, 1000 + step % 7, 3), (1, 1010 + step % 5, 4)]
    elif kind is EventKind.TICKER:
        levels = [(0, 1, 1_000 + step), (0, 4, -step)]
    builder.add(kind, levels=levels, **where)


def record(folder: Path, chunks: Iterator[EventChunk], run: str) -> None:
    """Write `chunks` with the real recorder."""
    recorder = MarketRecorder(
        folder, two_instruments(), run, open_file=IndexedFile, write_whole=write_atomically
    )
    recorder.start()
    for chunk in chunks:
        recorder.take_chunk(chunk)
    recorder.stop()


def record_two_days(folder: Path) -> Path:
    """Two runs one after the other, the second one over midnight; returns `folder`."""
    record(folder, an_orderly_stream(MIDNIGHT - 90 * S, 50, every_ns=S), RUNS[0])
    record(folder, an_orderly_stream(MIDNIGHT - 30 * S, 100, every_ns=S), RUNS[1])
    return folder
