"""Where a frame stands among the messages, however their numbers rise."""

from __future__ import annotations

import numpy as np
import pytest

from market.domain.chunks import concat_chunks
from market.domain.events import ChunkBuilder, EventChunk, EventKind
from market.domain.frames import FRAME_DTYPE, FrameReason, Frames
from replay.domain.frame_places import frame_places, pieces_of


def messages(seqs: list[int]) -> EventChunk:
    builder = ChunkBuilder()
    for seq in seqs:
        builder.add(EventKind.LIVENESS, symbol=0, seq=seq, core_ts_ns=seq, exchange_ts_ns=seq)
    return builder.take()


def frames_after(seqs: list[int]) -> Frames:
    frames: Frames = np.zeros(len(seqs), FRAME_DTYPE)
    frames["last_seq"], frames["reason"] = seqs, int(FrameReason.BOUNDARY)
    return frames


@pytest.mark.parametrize("step", [1, 3], ids=["without gaps", "with gaps"])
def test_a_frame_stands_behind_the_last_message_it_has_seen(step: int) -> None:
    """Its `last_seq` may be of a piece before."""
    seqs = list(range(100, 100 + 8 * step, step))
    seen = [7, 99, seqs[0], seqs[3], seqs[3], seqs[-1]]

    places = frame_places(messages(seqs), frames_after(seen))

    assert places.tolist() == [0, 0, 1, 4, 4, 8]


def test_numbers_that_start_anew_begin_a_piece() -> None:
    chunk = concat_chunks([messages([5, 6, 7]), messages([2, 3]), messages([3])])

    pieces = [piece.seq.tolist() for piece in pieces_of(chunk, None)]

    assert pieces == [[5, 6, 7], [2], [3], [3]]
