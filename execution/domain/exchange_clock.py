"""How far the exchange's clock runs ahead of ours, and market messages told in our time.

A message cannot be received before it was made: what its exchange time exceeds its receive time by is
the clocks' difference at least. Without taking it off, the simulated venue would live ahead of us:
orders would act at once and their news would come late by as much.
"""

from __future__ import annotations

import dataclasses

from market.domain.events import EventChunk

WINDOW_NS = 600_000_000_000
MOST_NS = 60_000_000_000  # beyond this it is a broken time stamp, not a clock


class ExchangeClock:
    """The largest difference of this window of receive time and the one before; never below zero."""

    def __init__(self) -> None:
        self._window = 0
        self._here_ns = 0
        self._before_ns = 0

    @property
    def ahead_ns(self) -> int:
        return max(self._here_ns, self._before_ns)

    def memory(self) -> tuple[int, int, int]:
        """All it knows, for `recall`."""
        return self._window, self._here_ns, self._before_ns

    def recall(self, memory: tuple[int, int, int]) -> None:
        self._window, self._here_ns, self._before_ns = memory

    def shifted(self, chunk: EventChunk) -> EventChunk:
        """The chunk with its exchange times in our time."""
        if not len(chunk):
            return chunk
        self._roll(int(chunk.core_ts_ns[-1]) // WINDOW_NS)
        ahead = chunk.exchange_ts_ns - chunk.core_ts_ns
        ahead = ahead[ahead <= MOST_NS]
        if ahead.size:
            self._here_ns = max(self._here_ns, int(ahead.max()))
        if not self.ahead_ns:
            return chunk
        return dataclasses.replace(chunk, exchange_ts_ns=chunk.exchange_ts_ns - self.ahead_ns)

    def _roll(self, window: int) -> None:
        if window == self._window:
            return
        self._before_ns = self._here_ns if window == self._window + 1 else 0
        self._window, self._here_ns = window, 0
