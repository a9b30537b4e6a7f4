"""Chunks of an imported market as the lines of an ordinary recording: the recorder's encoders, no thread.

What the recorder does live happens here by the messages alone, so that one market gives the same bytes
whatever the sizes of its chunks: whole books and tickers are stated at each minute of core time, between
the last message before it and the first one at or after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from market.domain.events import EventChunk
from market.domain.instruments import Instrument
from market.domain.raw_events import RawEventEncoder, RawFile
from market.services.book_mirror import BookMirror

CHECKPOINT_EVERY_NS = 60 * 1_000_000_000
_DAY_NS = 86_400 * 1_000_000_000

FileKey = tuple[int, str, RawFile]  # day number since the epoch, symbol, file
Lines = dict[FileKey, list[str]]


class ImportLines:
    """Takes all chunks of a market in order; those that are written already only move its books on."""

    def __init__(self, instruments: Sequence[Instrument], recorder_run: str, source: str) -> None:
        self._encoder = RawEventEncoder(instruments, recorder_run, source=source)
        self._symbols = [instrument.symbol for instrument in instruments]
        self._mirror = BookMirror(len(self._symbols))
        self._next_checkpoint_ns = 0
        self._last = (0, 0)  # seq and core time of the last message

    def lines(self, chunk: EventChunk) -> Lines:
        """The lines of `chunk` and of the checkpoints that fall into it, by file, in order."""
        found: Lines = defaultdict(list)
        for part, is_new_minute in self._minutes(chunk):
            if is_new_minute:
                self._add_checkpoints(found)
            days = (part.core_ts_ns // _DAY_NS).tolist()
            for day, (symbol, file, line) in zip(days, self._encoder.lines(part), strict=True):
                found[day, symbol, file].append(line)
            self._fold(part)
        return found

    def skip(self, chunk: EventChunk) -> None:
        """Go past a chunk whose lines are written."""
        for part, _ in self._minutes(chunk):
            self._fold(part)

    def _fold(self, part: EventChunk) -> None:
        self._mirror.fold(part)
        self._last = int(part.seq[-1]), int(part.core_ts_ns[-1])

    def _minutes(self, chunk: EventChunk) -> Iterator[tuple[EventChunk, bool]]:
        """`chunk` cut where a minute begins; whether a part is the first of its minute."""
        start = 0
        while start < len(chunk):
            is_new_minute = int(chunk.core_ts_ns[start]) >= self._next_checkpoint_ns
            if is_new_minute:
                minute = int(chunk.core_ts_ns[start]) // CHECKPOINT_EVERY_NS
                self._next_checkpoint_ns = (minute + 1) * CHECKPOINT_EVERY_NS
            stop = int(chunk.core_ts_ns.searchsorted(self._next_checkpoint_ns))
            yield chunk.slice(start, stop), is_new_minute and self._last[0] > 0
            start = stop

    def _add_checkpoints(self, found: Lines) -> None:
        seq, core_ts_ns = self._last
        day = core_ts_ns // _DAY_NS
        for index, symbol in enumerate(self._symbols):
            book, ticker = self._mirror.book(index), self._mirror.ticker(index)
            if book is not None:
                line = self._encoder.book_checkpoint(
                    index,
                    *book,
                    seq=seq,
                    core_ts_ns=core_ts_ns,
                    exchange_ts_ns=self._mirror.exchange_ts_ns(index),
                )
                found[day, symbol, RawFile.ORDERBOOK].append(line)
            if ticker:
                line = self._encoder.ticker_checkpoint(
                    index, ticker, seq=seq, core_ts_ns=core_ts_ns
                )
                found[day, symbol, RawFile.TICKER].append(line)
