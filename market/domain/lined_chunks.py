"""Messages together with the recorded lines they came from: what a session is written of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from market.domain.chunks import concat_chunks, pick_messages
from market.domain.event_lines import LONGER_BY, write_event_lines
from market.domain.events import EventChunk


def _no_places() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class LinedChunk:
    """n messages; the line of message i is text[first[i]:last[i]]. Without text: the messages alone."""

    chunk: EventChunk
    text: NDArray[np.uint8] | None = None
    first: NDArray[np.int64] = field(default_factory=_no_places)
    last: NDArray[np.int64] = field(default_factory=_no_places)

    def __len__(self) -> int:
        return len(self.chunk)

    def slice(self, start: int, stop: int) -> LinedChunk:
        return LinedChunk(
            self.chunk.slice(start, stop), self.text, self.first[start:stop], self.last[start:stop]
        )


@dataclass(slots=True)
class RecordedWindow:
    """A stretch of one recorder run in order of seq; lines[ends[i]:ends[i + 1]] is message i as a line of
    events.jsonl, its newline included."""

    run: str
    chunk: EventChunk
    lines: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chunk)

    def slice(self, start: int, stop: int) -> RecordedWindow:
        begin, end = int(self.ends[start]), int(self.ends[stop])
        return RecordedWindow(
            self.run,
            self.chunk.slice(start, stop),
            self.lines[begin:end],
            self.ends[start : stop + 1] - begin,
        )


def lined(chunk: EventChunk, lines: Sequence[bytes]) -> LinedChunk:
    """`chunk` with one line a message."""
    ends = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    text = np.frombuffer(bytearray(b"".join(lines)), np.uint8)
    return LinedChunk(chunk, text, ends[:-1], ends[1:])


def joined(parts: Sequence[LinedChunk]) -> LinedChunk:
    """`parts` one after the other."""
    if len(parts) == 1:
        return parts[0]
    chunk = concat_chunks([part.chunk for part in parts])
    if not parts or parts[0].text is None:
        return LinedChunk(chunk)
    texts, firsts, lasts, base = [], [], [], 0
    for part in parts:
        if not len(part):
            continue
        assert part.text is not None
        low, high = int(part.first.min()), int(part.last.max())
        texts.append(part.text[low:high])
        firsts.append(part.first + (base - low))
        lasts.append(part.last + (base - low))
        base += high - low
    if not texts:
        return parts[0]
    return LinedChunk(chunk, np.concatenate(texts), np.concatenate(firsts), np.concatenate(lasts))


def merged_window(run: str, parts: Sequence[LinedChunk]) -> RecordedWindow:
    """One window in order of seq; of equal seq in the order of `parts`."""
    whole = joined(parts)
    assert whole.text is not None
    order = np.argsort(whole.chunk.seq, kind="stable")
    size = int((whole.last - whole.first).sum()) + LONGER_BY * order.size
    lines, ends = np.empty(size, np.uint8), np.empty(order.size + 1, np.int64)
    written = write_event_lines(whole.text, whole.first, whole.last, order, lines, ends)
    is_sorted = np.array_equal(order, np.arange(order.size))
    chunk = whole.chunk if is_sorted else pick_messages(whole.chunk, order)
    return RecordedWindow(run, chunk, lines[:written], ends)
