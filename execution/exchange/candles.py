"""One-minute candles of a symbol and what is derived from them: longer intervals, 24 h statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

MINUTE_MS = 60_000
DAY_MINUTES = 1440
_KEPT_MINUTES = 3 * DAY_MINUTES

INTERVALS: tuple[str, ...] = (
    "1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M",
)  # fmt: skip


class Candle(msgspec.Struct):
    """Prices in ticks, volume in lots, turnover in tick * lots (exact integers)."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0

    def add(self, tick: int, lots: int) -> None:
        self.high = max(self.high, tick)
        self.low = min(self.low, tick)
        self.close = tick
        self.volume += lots
        self.turnover += tick * lots

    def absorb(self, later: Candle) -> None:
        """Widen this candle by a later one."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.turnover += later.turnover


class DayStatistics(msgspec.Struct, frozen=True):
    """Over the 24 h before now; the first three in ticks."""

    high: int
    low: int
    open: int
    hour_open: int
    volume: int
    turnover: int


class CandleBook:
    """Minutes of one symbol, oldest first; a minute without trades repeats the last close."""

    def __init__(self, history: Sequence[Candle] = ()) -> None:
        self._minutes: deque[Candle] = deque(history, maxlen=_KEPT_MINUTES)
        self._closed_day: DayStatistics | None = None

    @property
    def is_empty(self) -> bool:
        return not self._minutes

    @property
    def current(self) -> Candle:
        return self._minutes[-1]

    def add_trade(self, time_ms: int, tick: int, lots: int) -> None:
        start_ms = time_ms // MINUTE_MS * MINUTE_MS
        if not self._minutes:
            self._minutes.append(Candle(start_ms, tick, tick, tick, tick))
        self.roll_to(time_ms)
        self._minutes[-1].add(tick, lots)

    def roll_to(self, time_ms: int) -> None:
        """Open the minutes up to `time_ms`."""
        start_ms = time_ms // MINUTE_MS * MINUTE_MS
        while self._minutes and self._minutes[-1].start_ms < start_ms:
            last = self._minutes[-1]
            close = last.close
            self._minutes.append(Candle(last.start_ms + MINUTE_MS, close, close, close, close))
            self._closed_day = None

    def day(self) -> DayStatistics:
        """Statistics of the last 1440 minutes; the closed ones are added up once a minute."""
        if self._closed_day is None:
            self._closed_day = self._sum_closed()
        closed, now = self._closed_day, self._minutes[-1]
        return DayStatistics(
            high=max(closed.high, now.high),
            low=min(closed.low, now.low),
            open=closed.open,
            hour_open=closed.hour_open,
            volume=closed.volume + now.volume,
            turnover=closed.turnover + now.turnover,
        )

    def _sum_closed(self) -> DayStatistics:
        window = list(self._minutes)[-DAY_MINUTES:]
        closed = window[:-1] or window
        counted = window[:-1]
        return DayStatistics(
            high=max(candle.high for candle in closed),
            low=min(candle.low for candle in closed),
            open=window[0].open,
            hour_open=window[-60:][0].open,
            volume=sum(candle.volume for candle in counted),
            turnover=sum(candle.turnover for candle in counted),
        )

    def candles(self, interval: str) -> list[Candle]:
        """All candles of `interval` (one of INTERVALS), oldest first, the open one included."""
        if interval == "1":
            return list(self._minutes)
        merged: list[Candle] = []
        for minute in self._minutes:
            start_ms = interval_start_ms(interval, minute.start_ms)
            if merged and merged[-1].start_ms == start_ms:
                merged[-1].absorb(minute)
            else:
                merged.append(msgspec.structs.replace(minute, start_ms=start_ms))
        return merged

    def current_of(self, interval: str) -> Candle:
        """The open candle of `interval`."""
        if interval == "1":
            return self._minutes[-1]
        start_ms = interval_start_ms(interval, self._minutes[-1].start_ms)
        merged: Candle | None = None
        for minute in reversed(self._minutes):
            if minute.start_ms < start_ms:
                break
            earlier = msgspec.structs.replace(minute, start_ms=start_ms)
            if merged is not None:
                earlier.absorb(merged)
            merged = earlier
        assert merged is not None
        return merged


def interval_start_ms(interval: str, time_ms: int) -> int:
    """Start of the candle of `interval` that holds `time_ms`; weeks begin on Monday, all in UTC."""
    if interval.isdigit():
        span_ms = int(interval) * MINUTE_MS
        return time_ms // span_ms * span_ms
    day = datetime.fromtimestamp(time_ms // 1000, UTC).replace(hour=0, minute=0, second=0)
    if interval == "W":
        day -= timedelta(days=day.weekday())
    elif interval == "M":
        day = day.replace(day=1)
    return int(day.timestamp()) * 1000


def interval_end_ms(interval: str, start_ms: int) -> int:
    """Last millisecond of the candle that starts at `start_ms`."""
    if interval.isdigit():
        return start_ms + int(interval) * MINUTE_MS - 1
    days = {"D": 1, "W": 7, "M": 32}[interval]
    next_start = interval_start_ms(interval, start_ms + days * DAY_MINUTES * MINUTE_MS)
    return next_start - 1
