"""Times pluggable scorers, and stops one that does not come back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from strategy.domain.scorer import ScorerTooSlow

_AGAIN_S = 0.01  # pace of the alarm once the time is over

_Result = TypeVar("_Result")


class ScorerStopwatch:
    """In the main thread an alarm ends a call that runs over, Python code at least; elsewhere it is timed.

    The alarm goes on until the call has returned: the first one may be lost, in a callback of C or to a
    scorer that catches everything.
    """

    def __init__(self) -> None:
        self._is_armed = False
        self._limit_s = 0.0

    def call(self, ask: Callable[[], _Result], limit_s: float) -> _Result:
        """The result of `ask`. Raises: ScorerTooSlow when it took longer, and what `ask` raises."""
        started_s = time.perf_counter()
        if threading.current_thread() is threading.main_thread():
            result = self._call_with_alarm(ask, limit_s)
        else:
            result = ask()
        took_s = time.perf_counter() - started_s
        if took_s > limit_s:
            raise ScorerTooSlow(f"took {took_s * 1e3:.1f} ms (limit {limit_s * 1e3:g} ms)")
        return result

    def _call_with_alarm(self, ask: Callable[[], _Result], limit_s: float) -> _Result:
        started_s = time.perf_counter()
        before_s, interval_s = signal.getitimer(signal.ITIMER_REAL)
        handler = signal.signal(signal.SIGALRM, self._stop)
        try:
            self._limit_s, self._is_armed = limit_s, True
            signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
            return ask()
        finally:  # whoever had the alarm gets it back
            self._is_armed = (
                False  # first of all: no alarm is heard between the call's end and here
            )
            left_s = max(before_s - (time.perf_counter() - started_s), 1e-3) if before_s else 0.0
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._is_armed:
            raise ScorerTooSlow(f"stopped after {self._limit_s * 1e3:g} ms")
