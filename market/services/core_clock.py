"""Core time of a live feed: the wall clock, made monotone."""

from __future__ import annotations

import time


class CoreClock:
    """Calling it gives nanoseconds since the epoch that never go back.

    When the wall clock is set back, core time goes on at the rate of the monotonic clock from where it
    stood, so that frames keep coming; `steps_back` counts it.
    """

    __slots__ = ("_last_ns", "_lead_ns", "steps_back")

    def __init__(self) -> None:
        self._last_ns = 0
        self._lead_ns = 0  # core time minus monotonic time while ahead of the wall, else 0
        self.steps_back = 0

    def __call__(self) -> int:
        wall_ns = time.time_ns()
        if wall_ns >= self._last_ns:
            self._lead_ns = 0
            self._last_ns = wall_ns
        else:
            monotonic_ns = time.monotonic_ns()
            if self._lead_ns == 0:
                self.steps_back += 1
                self._lead_ns = self._last_ns - monotonic_ns
            self._last_ns = max(self._last_ns, self._lead_ns + monotonic_ns)
        return self._last_ns
