"""A value over time in bounded memory, and the equity of a run with its exact drawdown.

A curve keeps low, high and last of each bucket of time. When there are too many buckets, two become one:
a day at 1 s ends as some thousand points, and no extreme is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_BUCKETS = 2048
_SECOND_NS = 1_000_000_000


class CurvePoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Columns of equal length, oldest first; `starts_ns` are bucket starts, empty buckets are left out."""

    bucket_ns: int
    starts_ns: list[int]
    low: list[float]
    high: list[float]
    last: list[float]


class Curve:
    """Takes values in order of time; never holds more than `most` buckets."""

    def __init__(self, *, bucket_ns: int = _SECOND_NS, most: int = MOST_BUCKETS) -> None:
        self.bucket_ns = bucket_ns
        self._most = most
        self._buckets: list[list[float]] = []  # [number, low, high, last]

    def __len__(self) -> int:
        return len(self._buckets)

    def add(self, ts_ns: int, value: float) -> None:
        """Note the value as of `ts_ns`, which is at or after all before it."""
        number = ts_ns // self.bucket_ns
        if self._buckets and self._buckets[-1][0] == number:
            newest = self._buckets[-1]
            newest[1:] = (min(newest[1], value), max(newest[2], value), value)
            return
        self._buckets.append([number, value, value, value])
        while len(self._buckets) > self._most:
            self._halve()

    def points(self) -> CurvePoints:
        numbers, low, high, last = ([bucket[i] for bucket in self._buckets] for i in range(4))
        return CurvePoints(
            bucket_ns=self.bucket_ns,
            starts_ns=[int(number) * self.bucket_ns for number in numbers],
            low=low,
            high=high,
            last=last,
        )

    def _halve(self) -> None:
        self.bucket_ns *= 2
        merged: list[list[float]] = []
        for number, low, high, last in self._buckets:
            half = number // 2
            if merged and merged[-1][0] == half:
                newest = merged[-1]
                newest[1:] = (min(newest[1], low), max(newest[2], high), last)
            else:
                merged.append([half, low, high, last])
        self._buckets = merged


class Drawdown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The deepest fall from a peak, in USDT (0 = never below a peak), and when it was deepest."""

    deepest_usdt: float
    peak_usdt: float
    at_ns: int


class EquityCurve:
    """Equity as it was told, and the deepest fall among all values told (not only those kept)."""

    def __init__(self, start_usdt: float) -> None:
        self._curve = Curve()
        self._peak = start_usdt
        self._worst = Drawdown(deepest_usdt=0.0, peak_usdt=start_usdt, at_ns=0)

    def add(self, ts_ns: int, equity_usdt: float) -> None:
        self._curve.add(ts_ns, equity_usdt)
        self._peak = max(self._peak, equity_usdt)
        fall = self._peak - equity_usdt
        if fall > self._worst.deepest_usdt:
            self._worst = Drawdown(deepest_usdt=fall, peak_usdt=self._peak, at_ns=ts_ns)

    @property
    def drawdown(self) -> Drawdown:
        return self._worst

    def points(self) -> CurvePoints:
        return self._curve.points()


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line through time: x in ns, y in its own unit."""

    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]


def summed(curves: Sequence[tuple[CurvePoints, float]]) -> Line:
    """Sum over curves of (value - start), each 0 before its first point and constant after its last.

    Args: pairs of a curve and its start value (an account's deposit).
    """
    times = np.unique(np.concatenate([_times(points) for points, _ in curves]))
    total = np.zeros(times.size)
    for points, start in curves:
        gains = np.array([0.0, *(value - start for value in points.last)])
        total += gains[np.searchsorted(_times(points), times, side="right")]
    return Line(ts_ns=times, value=total)


def falls_below_peak(line: Line) -> Line:
    """Distance below the highest value so far (0 counts as one), never above 0."""
    if not line.value.size:
        return line
    peaks = np.maximum(np.maximum.accumulate(line.value), 0.0)
    return Line(ts_ns=line.ts_ns, value=line.value - peaks)


def _times(points: CurvePoints) -> NDArray[np.int64]:
    """When each bucket's last value stood: the bucket's end."""
    return np.asarray(points.starts_ns, np.int64) + points.bucket_ns
