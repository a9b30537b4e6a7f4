"""The last frame of each symbol as of a core time, out of stretches that run ahead of the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from market.domain.frames import FrameReason, Frames
from market.domain.instruments import Instrument

_BOUNDARY = int(FrameReason.BOUNDARY)


class RecentFrames:
    """Keeps the newest stretch and the one before it back to the last boundary, which has all symbols."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._columns = {i.symbol: column for column, i in enumerate(instruments)}
        self._stretches: list[Frames] = []

    def add(self, frames: Frames) -> None:
        """Frames after all those given before."""
        for number in range(len(self._stretches) - 1, -1, -1):
            if (self._stretches[number]["reason"] == _BOUNDARY).any():
                del self._stretches[:number]
                break
        self._stretches.append(frames)

    def frame_at(self, symbol: str, now_ns: int) -> Any:
        """The first frame of the symbol at `now_ns`, else the last one before; None without any.

        The first, because a later one of the same instant may be in another stretch: the answer must not
        depend on how the stream was cut.
        """
        column = self._columns[symbol]
        for frames in self._stretches:
            begin, end = np.searchsorted(frames["ts_ns"], [now_ns, now_ns + 1]).tolist()
            at_once = np.flatnonzero(frames["symbol"][begin:end] == column)
            if at_once.size:
                return frames[begin + at_once[0]]
        for frames in reversed(self._stretches):
            stop = int(np.searchsorted(frames["ts_ns"], now_ns))
            before = np.flatnonzero(frames["symbol"][:stop] == column)
            if before.size:
                return frames[before[-1]]
        return None

    def mid_ticks(self, symbol: str, now_ns: int) -> Decimal | None:
        frame = self.frame_at(symbol, now_ns)
        if frame is None or frame["bid_tick"] <= 0 or frame["ask_tick"] <= 0:
            return None
        return Decimal(int(frame["bid_tick"]) + int(frame["ask_tick"])) / 2

    def half_spread_ticks(self, symbol: str, now_ns: int) -> Decimal:
        """0 where the frame has no two sides."""
        frame = self.frame_at(symbol, now_ns)
        if frame is None or frame["bid_tick"] <= 0 or frame["ask_tick"] <= frame["bid_tick"]:
            return Decimal(0)
        return Decimal(int(frame["ask_tick"]) - int(frame["bid_tick"])) / 2
