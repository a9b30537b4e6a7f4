"""The market kernel: raw events of all symbols of a run in, frames out (pipeline §1).

The same frames come out however the events are cut into chunks, and whether a boundary is emitted by
`advance` or by the next event: a boundary frame at B depends on the events with core time < B alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.domain.book import best_levels, side_block
from market.domain.config import MarketConfig
from market.domain.events import ASK, BID, ChunkBuilder, EventChunk
from market.domain.frames import FRAME_DTYPE, Frames
from market.domain.instruments import Instrument
from market.domain.kernel_run import advance, consume
from market.domain.kernel_state import (
    COUNTERS,
    MAX_TIME_NS,
    RUN_DTYPE,
    new_cells,
    new_rings,
    new_symbols,
    rules_of,
)

_FRAMES_A_CALL = 4096
_MOST_GROWTH = 32
_WHOLE_ROW = np.dtype((np.void, FRAME_DTYPE.itemsize))
_NO_FRAMES: Frames = np.zeros(0, FRAME_DTYPE)
_NO_FRAMES.setflags(write=False)


class MarketKernel:
    """Order books and microstructure of all symbols of a run."""

    def __init__(self, instruments: Sequence[Instrument], config: MarketConfig) -> None:
        self._rules = rules_of(instruments, config)
        self._run = np.zeros(1, RUN_DTYPE)
        self._symbols = new_symbols(len(instruments))
        self._cells = new_cells(len(instruments))
        self._rings = new_rings(self._rules)
        self._out = np.zeros(max(_FRAMES_A_CALL, 4 * len(instruments) + 4), FRAME_DTYPE)
        self._state = (self._run, self._symbols, self._rules, self._cells, self._rings)

    def process(self, chunk: EventChunk) -> Frames:
        """Consume the whole chunk; returns its frames in emission order (may be read-only if none)."""
        return self._consume(chunk, 0, False)[1]

    def process_until(self, chunk: EventChunk, start: int) -> tuple[int, Frames]:
        """Consume from message `start` up to the first that makes frames, it included.

        Returns (index of the next message, frames): boundary frames due before that message, then its
        trigger frame, if any. At the end of the chunk the index is its length.
        """
        return self._consume(chunk, start, True)

    def advance(self, now_ns: int) -> Frames:
        """Boundary frames up to and including `now_ns`: the caller knows that no earlier event follows."""
        parts = []
        is_full = True
        while is_full:
            made, is_full = advance(min(now_ns, MAX_TIME_NS), *self._state, self._out)
            parts.append(_copied(self._out[:made]))
        return _joined(parts)

    def book_levels(
        self, symbol_index: int, depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bids, asks): each (k, 2) of tick and lot, best first, k <= depth."""
        return (
            best_levels(self._cells, side_block(symbol_index, BID), depth),
            best_levels(self._cells, side_block(symbol_index, ASK), depth),
        )

    def counters(self) -> dict[str, int]:
        """How much input was ignored, by why."""
        return {name: int(self._run[name][0]) for name in COUNTERS}

    def state(self) -> bytes:
        """Everything remembered; `restore` of it continues bit for bit."""
        return msgspec.msgpack.encode([array.tobytes() for array in self._remembered()])

    def restore(self, data: bytes) -> None:
        """Take over a `state()` of a kernel with the same symbols and config.

        Raises ValueError when `data` is torn or of another shape; the kernel is then unchanged.
        """
        try:
            parts = msgspec.msgpack.decode(data, type=list[bytes])
        except msgspec.MsgspecError as error:
            raise ValueError(f"kernel state is not readable: {error}") from error
        arrays = self._remembered()
        if [len(part) for part in parts] != [array.nbytes for array in arrays]:
            raise ValueError("kernel state is of other symbols, another config or another version")
        if parts[0] != self._rules.tobytes():
            raise ValueError("kernel state was written under other instrument rules or config")
        for array, part in zip(arrays[1:], parts[1:], strict=True):
            array[...] = np.frombuffer(part, array.dtype).reshape(array.shape)

    def _remembered(self) -> tuple[NDArray[np.generic], ...]:
        return self._rules, self._run, self._symbols, self._cells, self._rings

    def _consume(self, chunk: EventChunk, start: int, is_single: bool) -> tuple[int, Frames]:
        columns = (
            chunk.kind, chunk.flags, chunk.symbol, chunk.seq, chunk.core_ts_ns,
            chunk.exchange_ts_ns, chunk.level_offset, chunk.side, chunk.tick, chunk.lot,
        )  # fmt: skip
        stop = len(chunk)
        reached, made, is_full = consume(*columns, *self._state, self._out, start, stop, is_single)
        if not made:
            return reached, _NO_FRAMES
        if not is_full:
            return reached, _copied(self._out[:made])
        out, filled = self._out, made
        while is_full:
            expected = filled * (stop - reached) // max(1, reached - start)
            out = _enlarged(out, filled, expected)
            if is_single:
                stop = reached + 1
            reached, made, is_full = consume(
                *columns, *self._state, out[filled:], reached, stop, is_single
            )
            filled += made
        return reached, out[:filled]


def _enlarged(frames: Frames, filled: int, expected: int) -> Frames:
    """`frames` with room for `expected` more, a tenth to spare; within reason, as that is a guess."""
    room = max(len(frames), min(expected + expected // 10, _MOST_GROWTH * filled))
    larger: Frames = np.zeros(filled + room, FRAME_DTYPE)
    larger.view(_WHOLE_ROW)[:filled] = frames.view(_WHOLE_ROW)[:filled]
    return larger


def _copied(frames: Frames) -> Frames:
    """Row by row: numpy copies a structured array field by field, eight times as slow."""
    copy: Frames = frames.view(_WHOLE_ROW).copy().view(FRAME_DTYPE)
    return copy


def _joined(parts: list[Frames]) -> Frames:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def compile_kernel() -> bool:
    """Compile the kernel (seconds, at a first start) or load it from the cache, before the first message."""
    trial = MarketKernel([], MarketConfig())
    trial.process(ChunkBuilder().take())
    trial.advance(1)
    return True
