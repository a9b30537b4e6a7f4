"""Books and tickers folded from recorded lines, in the numbers of the lines themselves.

A plain fold, like the recorder's own mirror: what it says at a CHECKPOINT line must be what the line says.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

Level = tuple[float, float]


class RecordedBook:
    """One symbol's book. `is_known` is False until a whole book was seen, and after a gap."""

    def __init__(self) -> None:
        self.is_known = False
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._best_bid = 0.0
        self._best_ask = 0.0  # 0.0 where there is none

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        return bool(self._best_ask) and self._best_bid >= self._best_ask and self.is_known

    @property
    def touch(self) -> tuple[float, float]:
        return self._best_bid, self._best_ask

    def forget(self) -> None:
        self.is_known = False

    def replace(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        self._bids = {price: size for price, size in bids if size}
        self._asks = {price: size for price, size in asks if size}
        self._best_bid, self._best_ask = max(self._bids, default=0.0), min(self._asks, default=0.0)
        self.is_known = True

    def is_equal(self, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        """Whether the book holds just these levels (sizes of 0 are none)."""
        return _without_zeros(self._bids.items()) == _without_zeros(bids) and _without_zeros(
            self._asks.items()
        ) == _without_zeros(asks)

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Apply a delta."""
        for price, size in bids:
            if size:
                self._bids[price] = size
                self._best_bid = max(self._best_bid, price)
            elif self._bids.pop(price, None) is not None and price == self._best_bid:
                self._best_bid = max(self._bids, default=0.0)
        for price, size in asks:
            if size:
                self._asks[price] = size
                if price < self._best_ask or not self._best_ask:
                    self._best_ask = price
            elif self._asks.pop(price, None) is not None and price == self._best_ask:
                self._best_ask = min(self._asks, default=0.0)

    def state_touch(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """A BBO line states the touch outright: whatever was better than it is gone."""
        for price, size in bids:
            for better in [level for level in self._bids if level > price]:
                del self._bids[better]
            self._bids[price], self._best_bid = size, price
        for price, size in asks:
            for better in [level for level in self._asks if level < price]:
                del self._asks[better]
            self._asks[price], self._best_ask = size, price


class RecordedTicker:
    """The ticker fields of one symbol; known from the first CHECKPOINT line on."""

    def __init__(self) -> None:
        self._fields: dict[str, Decimal] | None = None

    def forget(self) -> None:
        self._fields = None

    def change(self, fields: dict[str, Decimal]) -> None:
        if self._fields is not None:
            self._fields |= fields

    def checkpoint(self, fields: dict[str, Decimal]) -> bool:
        """Take a whole state; False when the fold had come to something else."""
        is_equal = self._fields is None or self._fields == fields
        self._fields = dict(fields)
        return is_equal


def _without_zeros(levels: object) -> dict[float, float]:
    return {price: size for price, size in levels if size}  # type: ignore[attr-defined]
