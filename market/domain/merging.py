"""Streams of chunks by time: several into one, and one into the numbered stream that a hub would make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from market.domain.chunks import concat_chunks, pick_messages
from market.domain.events import EventChunk

NO_TIME = -1  # exchange time of a message that has none: core time stands in


def merge_by_time(streams: Sequence[Iterator[EventChunk]]) -> Iterator[EventChunk]:
    """Merge by core time, which is made monotone in each stream; at equal times the earlier stream first."""
    if len(streams) == 1:
        yield from map(_Monotone(), streams[0])
        return
    sources = [_Source(stream) for stream in streams]
    while True:
        for source in sources:
            source.fill()
        open_ones = [source for source in sources if not source.is_at_end]
        horizon = min((source.last_ns() for source in open_ones), default=np.iinfo(np.int64).max)
        taken = concat_chunks([source.take_before(horizon) for source in sources])
        if len(taken):
            order = np.argsort(taken.core_ts_ns, kind="stable")
            yield pick_messages(taken, order)
        if not open_ones:
            return
        for source in open_ones:
            if source.last_ns() == horizon:
                source.extend()


def number(chunks: Iterator[EventChunk], chunk_messages: int) -> Iterator[EventChunk]:
    """Chunks of `chunk_messages`, numbered from 1; a message without exchange time has its core time."""
    seq, held, waiting = 0, [], 0
    for chunk in chunks:
        held.append(chunk)
        waiting += len(chunk)
        if waiting < chunk_messages:
            continue
        whole = concat_chunks(held)
        stop = waiting - waiting % chunk_messages
        for first in range(0, stop, chunk_messages):
            yield _numbered(whole.slice(first, first + chunk_messages), seq)
            seq += chunk_messages
        held, waiting = [whole.slice(stop, waiting)], waiting - stop
    if waiting:
        yield _numbered(concat_chunks(held), seq)


def _numbered(chunk: EventChunk, before: int) -> EventChunk:
    chunk.seq = np.arange(before + 1, before + 1 + len(chunk), dtype=np.int64)
    has_none = chunk.exchange_ts_ns == NO_TIME
    chunk.exchange_ts_ns = np.where(has_none, chunk.core_ts_ns, chunk.exchange_ts_ns)
    return chunk


class _Monotone:
    """Makes the core time of one stream's chunks go only forward."""

    def __init__(self) -> None:
        self._last_ns = 0

    def __call__(self, chunk: EventChunk) -> EventChunk:
        times: NDArray[np.int64] = np.maximum(chunk.core_ts_ns, self._last_ns)
        chunk.core_ts_ns = np.maximum.accumulate(times)
        if len(chunk):
            self._last_ns = int(chunk.core_ts_ns[-1])
        return chunk


class _Source:
    """One stream: a chunk of it at hand."""

    def __init__(self, stream: Iterator[EventChunk]) -> None:
        self.is_at_end = False
        self._stream = map(_Monotone(), stream)
        self._chunk = concat_chunks([])

    def fill(self) -> None:
        while not self.is_at_end and not len(self._chunk):
            self.extend()

    def extend(self) -> None:
        chunk = next(self._stream, None)
        if chunk is None:
            self.is_at_end = True
        else:
            self._chunk = concat_chunks([self._chunk, chunk])

    def last_ns(self) -> int:
        return int(self._chunk.core_ts_ns[-1])

    def take_before(self, horizon_ns: int) -> EventChunk:
        """Remove and return what lies before `horizon_ns`: of that instant more may come."""
        if self.is_at_end and horizon_ns == np.iinfo(np.int64).max:
            taken, self._chunk = self._chunk, concat_chunks([])
            return taken
        stop = int(self._chunk.core_ts_ns.searchsorted(horizon_ns))
        taken, self._chunk = self._chunk.slice(0, stop), self._chunk.slice(stop, len(self._chunk))
        return taken
