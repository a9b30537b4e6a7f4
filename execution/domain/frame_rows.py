"""Frames as the core reads them: the same memory as rows of words, made once for a whole stretch."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from execution.domain.frame_scan import ends_of_seconds
from market.domain.frames import FrameReason, Frames
from strategy.domain.numeric_layout import WORDS_PER_FRAME, frame_word, frame_words, words_reader

_FIRST, _HEAD = frame_word("ts_ns"), frame_word("symbol")
_BOUNDARY = int(FrameReason.BOUNDARY)
_ROW_BYTES = 8 * WORDS_PER_FRAME
_SECOND_NS = 1_000_000_000

_quoted = words_reader(
    ("ts_ns", "q"), ("bid_tick", "q"), ("ask_tick", "q"), ("spread_bps", "d"), ("mark_price", "d"),
    ("funding_rate", "d"), ("seconds_to_funding", "d"),
)  # fmt: skip


class FrameRows:
    """`words` and `floats`: (n, words of a frame); `times`: core time of each; `found`: two ticks.

    What is asked of single rows stands in lists, where it is found far faster.
    """

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.words, self.floats = frame_words(frames)
        self.times: list[int] = self.words[:, _FIRST].tolist()
        self.heads: list[int] = self.words[:, _HEAD].tolist()
        self._bytes = self.words.data.cast("B") if len(self.words) else b""
        self.found = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return len(self.words)

    def ends_of_seconds(self, start: int, stop: int, due_ns: int) -> NDArray[np.int64]:
        """Places behind the first boundary instant of each second in start..stop, from `due_ns` on."""
        ends = np.empty(stop - start, np.int64)
        return ends[: ends_of_seconds(self.words, start, stop, due_ns, ends)]

    def end_of_last_second(self, start: int, stop: int, due_ns: int) -> int:
        """The last of `ends_of_seconds`; 0 where there is none."""
        times, heads = self.times, self.heads
        while start < stop and times[stop - 1] >= due_ns:
            second_ns = times[stop - 1] // _SECOND_NS * _SECOND_NS
            first = bisect_left(times, max(second_ns, due_ns), start, stop)
            end = 0
            for row in range(first, stop):
                if heads[row] >> 16 & 0xFF == _BOUNDARY and (not end or times[row] == times[first]):
                    end, first = row + 1, row
                elif end:
                    break  # only those that stand together are of one instant
            if end:
                return end
            stop = first
        return 0

    def last_boundary_ns(self, stop: int) -> int:
        """Core time of the last boundary frame before `stop`; 0 when there is none."""
        for row in range(stop - 1, -1, -1):
            if self.heads[row] >> 16 & 0xFF == _BOUNDARY:
                return self.times[row]
        return 0

    def quoted(self, row: int) -> tuple[int, int, int, float, float, float, float]:
        """(ts_ns, bid tick, ask tick, spread bps, mark price, funding rate, seconds to funding)."""
        return _quoted(self._bytes, row * _ROW_BYTES)

    def last_of_each(self, start: int, stop: int, symbols: int) -> list[int]:
        """The last row of each symbol in start..stop, in no particular order."""
        rows: dict[int, int] = {}
        while stop > start and len(rows) < symbols:
            stop -= 1
            rows.setdefault(self.heads[stop] & 0xFFFF, stop)
        return list(rows.values())
