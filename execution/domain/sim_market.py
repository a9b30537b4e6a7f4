"""What the simulated venue knows of the market: books, prices by kind, and which of them matter."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from execution.domain.sim_book import NOTHING_MATTERS, SimBooks
from execution.domain.sim_kernel import (
    BUY_TICK,
    EVERY_BOOK,
    FAR,
    FOLLOW,
    FUNDING,
    INDEX_1E9,
    INDEX_FALL,
    INDEX_RISE,
    LAST_FALL,
    LAST_RISE,
    LAST_TICK,
    MARK_1E9,
    MARK_FALL,
    MARK_RISE,
    NEXT_FUNDING_MS,
    R_AHEAD,
    R_SHOWN,
    R_TRADED,
    RATE_1E9,
    SELL_TICK,
)
from execution.domain.sim_orders import SimOrder
from execution.domain.venue import OrderSide, TriggerBy
from market.domain.events import ASK, BID
from market.domain.instruments import Instrument

_FAR = int(FAR)
_KNOWN = {MARK_RISE: MARK_1E9, INDEX_RISE: INDEX_1E9}


class SimMarket:
    """Books of the run's symbols, and the prices orders are measured against."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._indices = {instrument.symbol: i for i, instrument in enumerate(instruments)}
        self._tick_1e9 = {i.symbol: int(i.tick_size * 10**9) for i in instruments}
        self._queued: list[SimOrder] = []  # rows of the kernel's queues, in order
        self.books = SimBooks(len(instruments))

    def forget_books(self) -> None:
        """Begin with empty books: columns mean other symbols now."""
        self.books, self._queued = SimBooks(len(self._instruments)), []

    def index(self, symbol: str) -> int:
        return self._indices[symbol]

    # -- prices -------------------------------------------------------------------------------------

    def reference_tick(self, symbol: str) -> int:
        """Last price, or the middle of the book, or 0 when nothing is known."""
        index = self.index(symbol)
        if last := self.books.facts.item(index, LAST_TICK):
            return last
        bid, ask = self.books.best(index, BID), self.books.best(index, ASK)
        return (bid + ask) // 2 if bid and ask else bid or ask or 0

    def protection_tick(self, symbol: str, side: OrderSide, band_bps: float) -> int:
        """The worst price a market order may be filled at."""
        reference = self.reference_tick(symbol)
        return reference + int(reference * band_bps / 1e4) * side.sign

    def band(self, symbol: str, band_bps: float) -> tuple[int, int] | None:
        """(lowest sell, highest buy) that may be named, ticks, around mark; None without any price."""
        reference = self.trigger_tick(symbol, TriggerBy.MARK) or self.reference_tick(symbol)
        width = int(reference * band_bps / 1e4)
        return (reference - width, reference + width) if reference else None

    def trigger_tick(self, symbol: str, by: TriggerBy) -> int | None:
        """The current price of a kind in ticks, rounded down; None when it is unknown."""
        price = self.trigger_price_1e9(symbol, by)
        return price // self._tick_1e9[symbol] if price else None

    def trigger_price_1e9(self, symbol: str, by: TriggerBy) -> int:
        """Where a recording has no mark or index price, the last price stands in; 0 = unknown."""
        fact, index, known = self.books.facts.item, self._indices[symbol], 0
        if by is TriggerBy.MARK:
            known = fact(index, MARK_1E9)
        elif by is TriggerBy.INDEX:
            known = fact(index, INDEX_1E9)
        return known or fact(index, LAST_TICK) * self._tick_1e9[symbol]

    def trigger_1e9(self, order: SimOrder) -> int:
        return (order.trigger_ticks or 0) * self._tick_1e9[order.symbol]

    def has_reached_trigger(self, order: SimOrder) -> bool:
        """Whether the price that triggers `order` stands at or beyond its trigger."""
        price = self.trigger_price_1e9(order.symbol, order.trigger_by)
        trigger = self.trigger_1e9(order)
        if not price:
            return False
        return price >= trigger if order.triggers_on_rise else price <= trigger

    def mark_usdt(self, symbol: str) -> Decimal:
        """Mark price, or what stands in for it."""
        price = self.trigger_price_1e9(symbol, TriggerBy.MARK)
        if price:
            return Decimal(price).scaleb(-9)
        return self._instruments[symbol].ticks_to_price(self.reference_tick(symbol))

    # -- funding ------------------------------------------------------------------------------------

    def funding_rate(self, symbol: str) -> Decimal:
        """Of the instant to come, a fraction; 0 when unknown."""
        return Decimal(int(self.books.facts[self.index(symbol), RATE_1E9])).scaleb(-9)

    def next_funding_ns(self, symbol: str) -> int:
        """As the ticker says; 0 when unknown."""
        return self.books.facts.item(self._indices[symbol], NEXT_FUNDING_MS) * 1_000_000

    # -- what matters -------------------------------------------------------------------------------

    def watch(
        self,
        symbol: str,
        orders: Sequence[SimOrder],
        *,
        is_waiting: bool,
        liquidation_1e9: int | None,
        position_sign: int,
        is_pro_rata: bool,
    ) -> None:
        """Tell the kernel which prices of this symbol concern us."""
        row = [*NOTHING_MATTERS]
        if orders or is_waiting or position_sign:
            row[EVERY_BOOK] = int(is_waiting)
            row[FUNDING] = int(position_sign != 0)
            for order in orders:
                if order.trigger_is_reached:
                    row[EVERY_BOOK] = 1
                if order.rests and (is_pro_rata or order.queue_ahead_lots is None):
                    row[FOLLOW] = 1
                self._watch_order(row, order)
        if liquidation_1e9 is not None:
            rises = position_sign < 0
            self._watch_price(row, symbol, TriggerBy.MARK, liquidation_1e9, rises=rises)
        self.books.watch[self._indices[symbol]] = row

    def _watch_order(self, row: list[int], order: SimOrder) -> None:
        if order.is_waiting_for_trigger:
            trigger = self.trigger_1e9(order)
            self._watch_price(
                row, order.symbol, order.trigger_by, trigger, rises=order.triggers_on_rise
            )
        elif order.side is OrderSide.BUY:
            row[BUY_TICK] = max(row[BUY_TICK], order.price_ticks or 0)
        else:
            row[SELL_TICK] = min(row[SELL_TICK], order.price_ticks or _FAR)

    def _watch_price(
        self, row: list[int], symbol: str, by: TriggerBy, price_1e9: int, *, rises: bool
    ) -> None:
        """Wake up when the price of a kind reaches a level; ours may only be too early, never too late."""
        tick_1e9 = self._tick_1e9[symbol]
        rise, fall, value = LAST_RISE, LAST_FALL, 0
        if by is not TriggerBy.LAST:
            rise, fall = (
                (MARK_RISE, MARK_FALL) if by is TriggerBy.MARK else (INDEX_RISE, INDEX_FALL)
            )
            if self.books.facts[self._indices[symbol], _KNOWN[rise]]:
                value = price_1e9
            else:  # the first price of this kind must wake us: until then the last price stands in
                row[rise] = 1
                rise, fall = LAST_RISE, LAST_FALL
        if rise == LAST_RISE:
            value = price_1e9 // tick_1e9 if rises else -(-price_1e9 // tick_1e9)
        value = max(min(value, _FAR), -_FAR)
        if rises:
            row[rise] = min(row[rise], value)
        else:
            row[fall] = max(row[fall], value)

    def watch_queues(self, resting: list[SimOrder], pro_rata: Sequence[bool]) -> None:
        """Hand the queues of all resting orders over to the kernel."""
        if not resting and not self._queued:
            return
        self._queued = resting
        self.books.set_rests(
            [
                (
                    self._indices[order.symbol],
                    BID if order.side is OrderSide.BUY else ASK,
                    order.price_ticks or 0,
                    -1 if order.queue_ahead_lots is None else order.queue_ahead_lots,
                    order.queue_shown_lots,
                    order.queue_traded_lots,
                    is_pro_rata,
                )
                for order, is_pro_rata in zip(resting, pro_rata, strict=True)
            ]
        )

    def read_queues(self) -> None:
        """Take back what the kernel made of the queues."""
        if not self._queued:
            return
        rows = self.books.rests[: len(self._queued)].tolist()
        for order, row in zip(self._queued, rows, strict=True):
            order.queue_ahead_lots = None if row[R_AHEAD] < 0 else row[R_AHEAD]
            order.queue_shown_lots, order.queue_traded_lots = row[R_SHOWN], row[R_TRADED]
