"""Books and tickers folded from recorded lines, in the numbers of the lines themselves.

A plain fold, like the recorder's own mirror: what it says at a CHECKPOINT line must be what the line says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from heapq import heapify, heappop, heappush

Level = tuple[float, float]

_SPARE_ENTRIES = 1000


class _Side:
    """The levels of one side. `sign` makes the best price the smallest key: -1 for bids, 1 for asks."""

    __slots__ = ("_heap", "_sign", "levels")

    def __init__(self, sign: int) -> None:
        self.levels: dict[float, float] = {}
        self._sign = sign
        self._heap: list[float] = []  # signed prices; those no longer in `levels` are passed over

    def replace(self, levels: Iterable[Level]) -> None:
        self.levels = {price: size for price, size in levels if size}
        self._rebuild()

    def change(self, levels: Iterable[Level]) -> None:
        known = self.levels
        for price, size in levels:
            if not size:
                known.pop(price, None)
            elif price in known:
                known[price] = size
            else:
                self._put(price, size)

    def state_best(self, price: float, size: float) -> None:
        """Whatever was better than `price` is gone."""
        key = price * self._sign
        while self._heap and self._heap[0] < key:
            self.levels.pop(heappop(self._heap) * self._sign, None)
        self._put(price, size)

    def best(self) -> float:
        """The best price; 0.0 where there is none."""
        heap = self._heap
        while heap:
            price = heap[0] * self._sign
            if price in self.levels:
                return price
            heappop(heap)
        return 0.0

    def _put(self, price: float, size: float) -> None:
        is_new = price not in self.levels
        self.levels[price] = size
        if is_new:
            heappush(self._heap, price * self._sign)
            if len(self._heap) > 2 * len(self.levels) + _SPARE_ENTRIES:
                self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [price * self._sign for price in self.levels]
        heapify(self._heap)


class RecordedBook:
    """One symbol's book. `is_known` is False until a whole book was seen, and after a gap."""

    def __init__(self) -> None:
        self.is_known = False
        self._bids, self._asks = _Side(-1), _Side(1)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        if not self.is_known:
            return False
        bid, ask = self.touch
        return bool(ask) and bid >= ask

    @property
    def touch(self) -> tuple[float, float]:
        return self._bids.best(), self._asks.best()

    def forget(self) -> None:
        self.is_known = False

    def replace(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        self._bids.replace(bids)
        self._asks.replace(asks)
        self.is_known = True

    def is_equal(self, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        """Whether the book holds just these levels (sizes of 0 are none)."""
        return _without_zeros(self._bids.levels.items()) == _without_zeros(bids) and _without_zeros(
            self._asks.levels.items()
        ) == _without_zeros(asks)

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Apply a delta."""
        self._bids.change(bids)
        self._asks.change(asks)

    def state_touch(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """A BBO line states the touch outright: whatever was better than it is gone."""
        for price, size in bids:
            self._bids.state_best(price, size)
        for price, size in asks:
            self._asks.state_best(price, size)


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


def _without_zeros(levels: Iterable[Level]) -> dict[float, float]:
    return {price: size for price, size in levels if size}
