"""Frames as the core reads them: the same memory as rows of words, made once for a whole stretch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.domain.frame_scan import ends_of_seconds
from market.domain.frames import FrameReason, Frames
from strategy.domain.numeric_layout import frame_word, frame_words

_FIRST, _BID, _ASK, _HEAD = (
    frame_word(name) for name in ("ts_ns", "bid_tick", "ask_tick", "symbol")
)
_BOUNDARY = int(FrameReason.BOUNDARY)
_FLOATS = np.array(
    [frame_word(n) for n in ("spread_bps", "mark_price", "funding_rate", "seconds_to_funding")]
)


class FrameRows:
    """`words` and `floats`: (n, words of a frame); `times`: core time of each; `found`: two ticks."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.words, self.floats = frame_words(frames)
        self.times: NDArray[np.int64] = self.words[:, _FIRST]
        self.found = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return len(self.words)

    def ends_of_seconds(self, start: int, stop: int, due_ns: int) -> NDArray[np.int64]:
        """Places behind the first boundary instant of each second in start..stop, from `due_ns` on."""
        ends = np.empty(stop - start, np.int64)
        return ends[: ends_of_seconds(self.words, start, stop, due_ns, ends)]

    def last_boundary_ns(self, stop: int) -> int:
        """Core time of the last boundary frame before `stop`; 0 when there is none."""
        for row in range(stop - 1, -1, -1):
            if self.words[row, _HEAD] >> 16 & 0xFF == _BOUNDARY:
                return int(self.times[row])
        return 0

    def column(self, row: int) -> int:
        """The symbol of a row."""
        return int(self.words[row, _HEAD]) & 0xFFFF

    def figures(self, row: int) -> tuple[int, int, int, int, list[Any]]:
        """(ts_ns, bid_tick, ask_tick, book_state, [spread, mark, funding rate, seconds to funding])."""
        words = self.words[row, : _HEAD + 1].tolist()
        floats: list[Any] = self.floats[row].take(_FLOATS).tolist()
        return words[_FIRST], words[_BID], words[_ASK], words[_HEAD] >> 24 & 0xFF, floats

    def last_of_each(self, start: int, stop: int, symbols: int) -> list[int]:
        """The last row of each symbol in start..stop, in no particular order."""
        rows: dict[int, int] = {}
        while stop > start and len(rows) < symbols:
            block = max(start, stop - 64)
            heads = self.words[block:stop, _HEAD].tolist()
            for row in range(stop - 1, block - 1, -1):
                rows.setdefault(heads[row - block] & 0xFFFF, row)
            stop = block
        return list(rows.values())
