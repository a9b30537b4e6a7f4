"""Where in a chunk each frame belongs: how many of its messages had happened when the frame was made.

The kernel may run ahead over a whole chunk because it depends on no decision; what it made is then met
again, frame by frame, between the messages.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from market.domain.events import EventChunk
from market.domain.frames import FrameReason, Frames

# Frames and figures of a piece stay in the processor's cache from stage to stage.
PIECE_MESSAGES = 1 << 16


def pieces_of(chunk: EventChunk, seq_before: int | None) -> Iterator[EventChunk]:
    """`chunk` in pieces for `frame_places`; `seq_before`: of the message before it, None at the start.

    Inside a piece `seq` rises, and a piece of several messages begins above the message before it. A
    recording whose numbers start anew is cut there, and its first message stands alone.
    """
    falls = np.flatnonzero(chunk.seq[1:] <= chunk.seq[:-1]) + 1
    starts = {0, *falls.tolist(), *range(0, len(chunk), PIECE_MESSAGES)}
    starts |= {start + 1 for start in falls.tolist() if start + 1 < len(chunk)}
    if seq_before is not None and chunk.seq[0] <= seq_before and len(chunk) > 1:
        starts.add(1)
    cuts = sorted(starts)
    if len(cuts) == 1:
        yield chunk
        return
    for start, stop in zip(cuts, [*cuts[1:], len(chunk)], strict=True):
        yield chunk.slice(start, stop)


def frame_places(piece: EventChunk, frames: Frames) -> NDArray[np.int64]:
    """For each frame of a piece of `pieces_of`, how many of its messages come before the frame.

    A boundary frame comes before the first message at or after it, a trigger frame right after its own.
    """
    if len(piece) == 1:
        return (frames["reason"] == FrameReason.TRIGGER).astype(np.int64)
    last_seq, first = np.ascontiguousarray(frames["last_seq"]), int(piece.seq[0])
    if int(piece.seq[-1]) - first == len(piece) - 1:  # rising without gaps: places are differences
        return np.clip(last_seq - (first - 1), 0, len(piece))
    return np.searchsorted(piece.seq, last_seq, side="right").astype(np.int64)
