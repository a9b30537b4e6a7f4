"""Taking chunks apart and putting them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from market.domain.events import ChunkBuilder, EventChunk

_PER_MESSAGE = ("kind", "flags", "symbol", "seq", "core_ts_ns", "exchange_ts_ns")
_PER_ENTRY = ("side", "tick", "lot")
assert {*_PER_MESSAGE, *_PER_ENTRY, "level_offset"} == {f.name for f in fields(EventChunk)}


def concat_chunks(chunks: Sequence[EventChunk]) -> EventChunk:
    """The messages of `chunks`, one after the other, as one chunk."""
    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        return ChunkBuilder().take()
    offsets, base = [np.zeros(1, np.int64)], 0
    for chunk in chunks:
        offsets.append(chunk.level_offset[1:] + base)
        base += chunk.side.size
    columns = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in (*_PER_MESSAGE, *_PER_ENTRY)
    }
    return EventChunk(level_offset=np.concatenate(offsets), **columns)


def pick_messages(chunk: EventChunk, rows: NDArray[np.intp]) -> EventChunk:
    """The messages `rows` of `chunk`, in that order, each with its entries."""
    starts = chunk.level_offset[rows]
    counts = chunk.level_offset[rows + 1] - starts
    offsets = np.zeros(rows.size + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
    return EventChunk(
        level_offset=offsets,
        **{name: getattr(chunk, name)[rows] for name in _PER_MESSAGE},
        **{name: getattr(chunk, name)[entries] for name in _PER_ENTRY},
    )


def merge_by_seq(chunks: Sequence[EventChunk]) -> EventChunk:
    """One chunk in order of `seq`; messages of equal `seq` keep the order of `chunks`."""
    merged = concat_chunks(chunks)
    order = np.argsort(merged.seq, kind="stable")
    if np.array_equal(order, np.arange(order.size)):
        return merged
    return pick_messages(merged, order)
