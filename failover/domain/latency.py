"""How long things take: log-bucketed histograms over a rolling minute and hour, in bounded memory.

A bucket spans a factor of 2^(1/8), so a percentile is at most 9.1 % too high and never too low; the
maximum is exact. Below 1 µs everything is one bucket. Histograms of the same stage add up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

BUCKETS_PER_DOUBLING = 8
_DOUBLINGS = 30  # 1 µs * 2^30 = 18 minutes; all above is one bucket
_BUCKETS = BUCKETS_PER_DOUBLING * _DOUBLINGS + 2
_SMALLEST_NS = 1000.0
_NS_PER_S = 1_000_000_000
WINDOW_S = 10  # latency is judged by such windows

Summary = dict[str, float | int | None]


class LogHistogram:
    """Counts of latencies by size."""

    __slots__ = ("_counts", "count", "max_ns")

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BUCKETS, np.int64)
        self.count = 0
        self.max_ns = 0

    def add(self, values_ns: NDArray[np.int64]) -> None:
        """Take latencies in ns; one below 0 (clocks disagree by so little) counts as 0."""
        if not len(values_ns):
            return
        sizes = np.log2(np.maximum(values_ns, _SMALLEST_NS) / _SMALLEST_NS) * BUCKETS_PER_DOUBLING
        buckets = np.minimum(np.ceil(sizes), _BUCKETS - 1).astype(np.int64)
        np.add.at(self._counts, buckets, 1)
        self.count += len(values_ns)
        self.max_ns = max(self.max_ns, int(values_ns.max()))

    def merge(self, other: LogHistogram) -> None:
        """Add what `other` has counted."""
        self._counts += other._counts
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)

    def percentile_ns(self, share: float) -> float | None:
        """The latency that `share` (0..1] of all did not exceed; None without any."""
        if not self.count:
            return None
        rank = max(int(np.ceil(share * self.count)), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        if bucket == _BUCKETS - 1:
            return float(self.max_ns)
        return float(min(_SMALLEST_NS * 2.0 ** (bucket / BUCKETS_PER_DOUBLING), self.max_ns))

    def summary(self) -> Summary:
        """`{n, p50Ms, p90Ms, p99Ms, maxMs}`, null without any."""
        shares = {"p50Ms": 0.5, "p90Ms": 0.9, "p99Ms": 0.99}
        values = {name: _ms(self.percentile_ns(share)) for name, share in shares.items()}
        return {"n": self.count, **values, "maxMs": _ms(self.max_ns if self.count else None)}


def _ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1e6, 4)


class _Ring:
    """The last `slots` spans of `slot_ns`, the present one included."""

    __slots__ = ("_slot_ns", "_slots")

    def __init__(self, slot_ns: int, slots: int) -> None:
        self._slot_ns = slot_ns
        self._slots: deque[tuple[int, LogHistogram]] = deque(maxlen=slots)

    def add(self, values_ns: NDArray[np.int64], now_ns: int) -> None:
        number = now_ns // self._slot_ns
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append((number, LogHistogram()))
        self._slots[-1][1].add(values_ns)

    def total(self, now_ns: int) -> LogHistogram:
        oldest = now_ns // self._slot_ns - (self._slots.maxlen or 0)
        whole = LogHistogram()
        for number, histogram in self._slots:
            if number > oldest:
                whole.merge(histogram)
        return whole

    def last_complete(self, now_ns: int) -> LogHistogram:
        """The span before the present one."""
        wanted = now_ns // self._slot_ns - 1
        return next((h for number, h in self._slots if number == wanted), LogHistogram())


class RollingLatency:
    """One stage over the last minute and the last hour. Times of `add` never go back by much."""

    def __init__(self) -> None:
        self._minute = _Ring(WINDOW_S * _NS_PER_S, 60 // WINDOW_S)
        self._hour = _Ring(60 * _NS_PER_S, 60)

    def add(self, latency_ns: int, now_ns: int) -> None:
        self.add_many(np.array([latency_ns], np.int64), now_ns)

    def add_many(self, latencies_ns: NDArray[np.int64], now_ns: int) -> None:
        self._minute.add(latencies_ns, now_ns)
        self._hour.add(latencies_ns, now_ns)

    def summary(self, now_ns: int) -> dict[str, Summary]:
        """`window`: the last whole 10 s; `minute`, `hour`: rolling."""
        return {
            "window": self._minute.last_complete(now_ns).summary(),
            "minute": self._minute.total(now_ns).summary(),
            "hour": self._hour.total(now_ns).summary(),
        }


class LatencyTable:
    """The stages one service measures; its `summary` goes into the heartbeat's details as `latency`."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._stages = {stage: RollingLatency() for stage in stages}

    def add(self, stage: str, latency_ns: int, now_ns: int) -> None:
        self._stages[stage].add(latency_ns, now_ns)

    def add_many(self, stage: str, latencies_ns: NDArray[np.int64], now_ns: int) -> None:
        self._stages[stage].add_many(latencies_ns, now_ns)

    def summary(self, now_ns: int) -> dict[str, dict[str, Summary]]:
        return {stage: rolling.summary(now_ns) for stage, rolling in self._stages.items()}


class ClockSample(msgspec.Struct, frozen=True):
    """One question for another clock's time: when it was sent, what was said, when it was heard."""

    sent_ns: int
    server_ns: int
    received_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.received_ns - self.sent_ns

    @property
    def offset_ns(self) -> int:
        """How far the other clock is ahead of ours, if both ways took the same."""
        return self.server_ns - (self.sent_ns + self.received_ns) // 2


class ClockOffset:
    """Estimates another clock's lead from the question that came back fastest of the last few.

    The error is at most half that round trip (Cristian 1989).
    """

    def __init__(self, keep: int = 12) -> None:
        self._samples: deque[ClockSample] = deque(maxlen=keep)

    def add(self, sample: ClockSample) -> None:
        """Take a sample; one that came back before it was sent (a clock was set) is passed over."""
        if sample.round_trip_ns >= 0:
            self._samples.append(sample)

    @property
    def best(self) -> ClockSample | None:
        return min(self._samples, key=lambda sample: sample.round_trip_ns, default=None)


def latency_of(details: Mapping[str, object]) -> dict[str, dict[str, Summary]]:
    """The latency summaries in a heartbeat's details; empty when it has none (or nonsense)."""
    found = details.get("latency")
    if not isinstance(found, Mapping):
        return {}
    return {str(stage): dict(spans) for stage, spans in found.items() if isinstance(spans, Mapping)}
