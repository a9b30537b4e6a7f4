"""When a recorded event is due: market time tied to a monotonic clock at one point and a rate.

Each event is scheduled from that point and not from the event before it, so nothing adds up: the last of a
million is as much on time as the first. Another speed, or the end of a pause, ties them anew at the market
time reached. The clock's readings come in from outside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEVER_NS = 1 << 62
_FIRST_EDGE_MS, _EDGE_RATIO, _EDGES = 0.01, 1.2, 96  # up to some 300 s


class PaceClock:
    """`speed` is market seconds per second, None for as fast as it goes. Begins with the first event."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._is_paused = False
        self._market_ns: int | None = None  # market time at `_clock_ns`
        self._clock_ns = 0

    @property
    def speed(self) -> float | None:
        return self._speed

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def begin(self, market_ns: int, clock_ns: int) -> None:
        """The event of `market_ns` is due now; a clock that runs already goes on as it is."""
        if self._market_ns is None:
            self._market_ns, self._clock_ns = market_ns, clock_ns

    def reached_ns(self, clock_ns: int) -> int:
        """Market time up to which events are due."""
        if self._market_ns is None or self._is_paused:
            return self._market_ns if self._market_ns is not None else -NEVER_NS
        if self._speed is None:
            return NEVER_NS
        return self._market_ns + int((clock_ns - self._clock_ns) * self._speed)

    def due_ns(self, market_ns: int) -> int:
        """The clock's reading at which the event of `market_ns` is due; NEVER_NS while paused."""
        if self._is_paused or self._market_ns is None:
            return NEVER_NS
        if self._speed is None:
            return self._clock_ns
        return self._clock_ns + int((market_ns - self._market_ns) / self._speed)

    def set_speed(self, speed: float | None, clock_ns: int, market_ns: int) -> None:
        """`market_ns` is the last event handed out: from "max" on, the market is where that one was."""
        self._tie(clock_ns, market_ns)
        self._speed = speed

    def pause(self, clock_ns: int, market_ns: int) -> None:
        self._tie(clock_ns, market_ns)
        self._is_paused = True

    def resume(self, clock_ns: int) -> None:
        """Go on from where it was paused: the pause costs the market no time."""
        if self._is_paused:
            self._is_paused = False
            self._clock_ns = clock_ns

    def _tie(self, clock_ns: int, market_ns: int) -> None:
        if self._market_ns is None or self._is_paused:
            return
        reached_ns = self.reached_ns(clock_ns)
        self._market_ns = market_ns if reached_ns == NEVER_NS else reached_ns
        self._clock_ns = clock_ns


class Lateness:
    """How much later than scheduled messages were handed out: counts in buckets a fifth apart."""

    def __init__(self) -> None:
        self._edges_ms = _FIRST_EDGE_MS * _EDGE_RATIO ** np.arange(_EDGES)
        self._counts = np.zeros(_EDGES + 1, np.int64)
        self.worst_ms = 0.0

    def note(self, late_ns: NDArray[np.int64]) -> None:
        """One figure a message; early ones (rounding) count as on time."""
        late_ms = np.maximum(late_ns, 0) / 1e6
        places = self._edges_ms.searchsorted(late_ms)
        self._counts += np.bincount(places, minlength=_EDGES + 1)
        self.worst_ms = max(self.worst_ms, float(late_ms.max(initial=0.0)))

    @property
    def messages(self) -> int:
        return int(self._counts.sum())

    def percentile_ms(self, percent: float) -> float:
        """Upper edge of the bucket that holds it, at most the worst; 0 without messages."""
        total = self.messages
        if not total:
            return 0.0
        place = int(self._counts.cumsum().searchsorted(total * percent / 100))
        return min(float(self._edges_ms[min(place, _EDGES - 1)]), self.worst_ms)
