"""Mid prices folded into candles `[start_ms, open, high, low, close]`."""

from __future__ import annotations

Candle = list[float]


class CandleFold:
    """Folds prices in time order; hands out each candle once it is over."""

    __slots__ = ("_span_ms", "current")

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self.current: Candle | None = None

    def add(self, ts_ms: int, price: float) -> Candle | None:
        """Take one price; return the candle that it closed, if it began a new one."""
        start_ms = ts_ms - ts_ms % self._span_ms
        candle = self.current
        if candle is None or start_ms > candle[0]:
            self.current = [start_ms, price, price, price, price]
            return candle
        # A price of an older candle (a clock that stepped back) counts into the current one. A new list
        # each time: what was handed to a panel must not change under it.
        self.current = [
            candle[0], candle[1], max(candle[2], price), min(candle[3], price), price,
        ]  # fmt: skip
        return None
