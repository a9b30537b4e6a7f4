"""What the simulated venue knows of the market: books, prices by kind, and which of them matter."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from execution.domain.sim_book import (
    BUY_TICK,
    EVERY_BOOK,
    FAR,
    INDEX_1E9,
    INDEX_FALL,
    INDEX_RISE,
    LAST_FALL,
    LAST_RISE,
    LAST_TICK,
    MARK_1E9,
    MARK_FALL,
    MARK_RISE,
    SELL_TICK,
    SimBooks,
)  # fmt: skip
from execution.domain.sim_orders import SimOrder
from execution.domain.venue import OrderSide, TriggerBy
from market.domain.events import ASK, BID
from market.domain.instruments import Instrument


class SimMarket:
    """Books of the run's symbols, and the prices orders are measured against."""

    def __init__(self, instruments: Sequence[Instrument], price_band_bps: float) -> None:
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._indices = {instrument.symbol: i for i, instrument in enumerate(instruments)}
        self._tick_1e9 = {i.symbol: int(i.tick_size * 10**9) for i in instruments}
        self._price_band_bps = price_band_bps
        self.books = SimBooks(len(instruments))

    def forget_books(self) -> None:
        """Begin with empty books: columns mean other symbols now."""
        self.books = SimBooks(len(self._instruments))

    def trigger_tick(self, symbol: str, by: TriggerBy) -> int | None:
        """The current price of a kind in ticks, rounded down; None when it is unknown."""
        price = self.trigger_price_1e9(symbol, by)
        return price // self._tick_1e9[symbol] if price else None

    def index(self, symbol: str) -> int:
        return self._indices[symbol]

    def reference_tick(self, instrument: Instrument) -> int:
        """Last price, or the middle of the book, or 0 when nothing is known."""
        index = self.index(instrument.symbol)
        if last := int(self.books.facts[index, LAST_TICK]):
            return last
        bid, ask = self.books.best(index, BID), self.books.best(index, ASK)
        return (bid + ask) // 2 if bid and ask else bid or ask or 0

    def protection_tick(self, order: SimOrder) -> int:
        reference = self.reference_tick(self._instruments[order.symbol])
        return reference + int(reference * self._price_band_bps / 1e4) * order.side.sign

    def trigger_price_1e9(self, symbol: str, by: TriggerBy) -> int:
        """Where a recording has no mark or index price, the last price stands in; 0 = unknown."""
        facts = self.books.facts[self.index(symbol)]
        if by is TriggerBy.MARK and facts[MARK_1E9]:
            return int(facts[MARK_1E9])
        if by is TriggerBy.INDEX and facts[INDEX_1E9]:
            return int(facts[INDEX_1E9])
        return int(facts[LAST_TICK]) * self._tick_1e9[symbol]

    def trigger_1e9(self, order: SimOrder) -> int:
        return (order.trigger_ticks or 0) * self._tick_1e9[order.symbol]

    def has_reached_trigger(self, order: SimOrder) -> bool:
        """Whether the price that triggers `order` stands at or beyond its trigger."""
        price, trigger = (
            self.trigger_price_1e9(order.symbol, order.trigger_by),
            self.trigger_1e9(order),
        )
        if not price:
            return False
        return price >= trigger if order.triggers_on_rise else price <= trigger

    def mark_usdt(self, symbol: str) -> Decimal:
        """Mark price, or what stands in for it."""
        price = self.trigger_price_1e9(symbol, TriggerBy.MARK)
        instrument = self._instruments[symbol]
        if price:
            return Decimal(price).scaleb(-9)
        return instrument.ticks_to_price(self.reference_tick(instrument))

    def _watch_trigger(self, index: int, order: SimOrder) -> None:
        row, facts, trigger = (
            self.books.watch[index],
            self.books.facts[index],
            order.trigger_ticks or 0,
        )
        rise, fall, value = LAST_RISE, LAST_FALL, trigger
        if order.trigger_by is TriggerBy.MARK:
            # The first mark price ever seen must wake us: until then the last price stands in.
            rise, fall, value = MARK_RISE, MARK_FALL, self.trigger_1e9(order)
        elif order.trigger_by is TriggerBy.INDEX:
            rise, fall, value = INDEX_RISE, INDEX_FALL, self.trigger_1e9(order)
        known = {MARK_RISE: MARK_1E9, INDEX_RISE: INDEX_1E9}.get(rise)
        if known is not None and not facts[known]:
            row[rise] = 1
            rise, fall, value = LAST_RISE, LAST_FALL, trigger
        if order.triggers_on_rise:
            row[rise] = min(row[rise], value)
        else:
            row[fall] = max(row[fall], value)

    def watch(self, symbol: str, orders: Sequence[SimOrder], *, is_waiting: bool) -> None:
        """Tell the kernel which prices of this symbol concern us."""
        index = self.index(symbol)
        self.books.watch_nothing(index)
        if not orders and not is_waiting:
            return
        row = self.books.watch[index]
        row[EVERY_BOOK] = int(
            is_waiting
            or any(o.trigger_is_reached for o in orders)
            or any(o.rests and o.queue_ahead_lots is None for o in orders)
        )
        for order in orders:
            if order.is_waiting_for_trigger:
                self._watch_trigger(index, order)
            elif order.side is OrderSide.BUY:
                row[BUY_TICK] = max(row[BUY_TICK], order.price_ticks or 0)
            else:
                row[SELL_TICK] = min(row[SELL_TICK], order.price_ticks or FAR)
