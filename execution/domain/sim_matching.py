"""Matching in the simulated venue: what an order takes, where it queues, what fills and triggers it."""

from __future__ import annotations

from execution.domain.sim_attached import SimAttached
from execution.domain.sim_floor import SimFloor
from execution.domain.sim_ledger import fee_usdt
from execution.domain.sim_margin import SimMargins
from execution.domain.sim_orders import SimOrder, in_priority
from execution.domain.venue import (
    ExecType,
    OrderFilled,
    OrderSide,
    TimeInForce,
    VenueCode,
    VenueOrderStatus,
)
from market.domain.events import SELL

_TAKES_ONLY = (TimeInForce.IOC, TimeInForce.FOK)


class SimMatching:
    """Moves orders from their arrival to their end. The market's messages come through `on_…`."""

    def __init__(self, floor: SimFloor, margins: SimMargins, attached: SimAttached) -> None:
        self._floor = floor
        self._margins = margins
        self._attached = attached

    # -- arriving -----------------------------------------------------------------------------------

    def enter_book(self, order: SimOrder) -> None:
        """Take what the book shows, then rest or end as the time in force says."""
        floor, market = self._floor, self._floor.market
        limit, is_market = order.price_ticks, order.price_ticks is None
        if limit is None:
            band_bps = floor.settings.of(order.symbol).sim_price_band_bps
            limit = market.protection_tick(order.symbol, order.side, band_bps)
        if order.reduce_only and not floor.reducible_lots(order):
            self.end(order, "EC_ReduceOnly", "CancelByReduceOnly")
            return
        index = market.index(order.symbol)
        offers = market.books.takeable(index, 1 - order.book_side, limit, order.leaves_lots)
        if order.time_in_force is TimeInForce.POST_ONLY and offers:
            self.end(order, "EC_PostOnlyWillTakeLiquidity")
            return
        if order.time_in_force is TimeInForce.FOK:
            offered = sum(lots for _, lots in offers)
            if offered < order.leaves_lots:
                self.end(order, "EC_CancelForNoFullFill")
                return
        floor.memory.orders[order.client_order_id] = order
        self._take(order, offers)
        if order.client_order_id not in floor.memory.orders:
            return
        if is_market or order.time_in_force in _TAKES_ONLY:
            self.end(order, "EC_NoImmediateQtyToFill")
            return
        self._join_queue(order)
        if not order.filled_lots:
            floor.reports.tell(order, VenueOrderStatus.NEW)

    def _take(self, order: SimOrder, offers: list[tuple[int, int]]) -> None:
        books, index = self._floor.market.books, self._floor.market.index(order.symbol)
        for tick, lots in offers:
            filled = min(lots, self._floor.fillable_lots(order))
            if filled <= 0:
                return
            books.take(index, 1 - order.book_side, tick, filled)
            self.fill(order, tick, filled, is_maker=False)

    def _join_queue(self, order: SimOrder) -> None:
        """Behind what is shown at its price, and never before an older order of ours there."""
        market, price = self._floor.market, order.price_ticks or 0
        shown = market.books.displayed(market.index(order.symbol), order.book_side, price)
        order.join_queue(shown)
        if shown is not None:
            for other in self._floor.resting(order.symbol):
                if other.side is order.side and other.price_ticks == price:
                    shown = max(shown, other.queue_ahead_lots or 0)
            order.queue_ahead_lots = shown

    # -- market messages ----------------------------------------------------------------------------

    def on_trade(self, symbol: str, taker: int, tick: int, lots: int) -> None:
        """A print fills what it went through, and advances the queue of what stands at its price."""
        for order in in_priority(self._floor.resting(symbol)):
            through = ((order.price_ticks or 0) - tick) * order.side.sign
            if through < 0:
                continue
            hits_us = (taker == SELL) == (order.side is OrderSide.BUY)
            available = lots if through > 0 else order.advance_queue(lots, hits_us=hits_us)
            filled = min(available, lots, self._floor.fillable_lots(order))
            if filled > 0:
                lots -= filled
                self.fill(order, order.price_ticks or 0, filled, is_maker=True)

    def on_book(self, symbol: str) -> None:
        """The other side stands at or through our price: whoever put it there met us first."""
        books, index = self._floor.market.books, self._floor.market.index(symbol)
        for order in in_priority(self._floor.resting(symbol)):
            price = order.price_ticks or 0
            for tick, lots in books.takeable(index, 1 - order.book_side, price, order.leaves_lots):
                filled = min(lots, self._floor.fillable_lots(order))
                if filled <= 0:
                    break
                books.take(index, 1 - order.book_side, tick, filled)
                self.fill(order, price, filled, is_maker=True)

    def trigger_orders(self, symbol: str) -> None:
        """A trigger reached while the book is not to be trusted is remembered until its snapshot."""
        is_trusted = self._floor.market.books.is_trusted(self._floor.market.index(symbol))
        for order in [o for o in self._floor.orders_of(symbol) if o.is_waiting_for_trigger]:
            order.trigger_is_reached |= self._floor.market.has_reached_trigger(order)
            is_alive = order.client_order_id in self._floor.memory.orders
            if order.trigger_is_reached and is_trusted and is_alive:
                self._trigger(order)

    def _trigger(self, order: SimOrder) -> None:
        floor = self._floor
        del floor.memory.orders[order.client_order_id]
        order.is_waiting_for_trigger = False
        if order.qty_lots == 0:
            order.qty_lots = floor.reducible_lots(order)
        if not order.reduce_only and not self._has_margin(order):
            self.end(order, f"{VenueCode.INSUFFICIENT_BALANCE} ab not enough at the trigger")
            return
        order.arrival = floor.next_order_number()  # it joins the book now, not when it was placed
        floor.reports.tell(order, VenueOrderStatus.NEW)
        self.enter_book(order)

    def _has_margin(self, order: SimOrder) -> bool:
        price = order.price_ticks or self._floor.market.reference_tick(order.symbol)
        wanted = order.as_priced(price)
        return self._margins.added_usdt(wanted) <= self._margins.available_usdt()

    # -- fills and ends -----------------------------------------------------------------------------

    def fill(
        self,
        order: SimOrder,
        tick: int,
        lots: int,
        *,
        is_maker: bool,
        exec_type: ExecType = ExecType.TRADE,
    ) -> None:
        """Book one execution and tell of it; end the order when it is complete."""
        floor = self._floor
        self._book(order, tick, lots, is_maker=is_maker, exec_type=exec_type)
        if order.leaves_lots == 0:
            floor.memory.orders.pop(order.client_order_id, None)
            status = VenueOrderStatus.FILLED
        else:
            status = VenueOrderStatus.PARTIALLY_FILLED
        if exec_type is ExecType.TRADE:
            floor.reports.tell(order, status)
        self.drop_reduce_only(order.symbol)
        if order.take_profit_ticks is not None or order.stop_loss_ticks is not None:
            self._attached.on_fill(order)

    def _book(
        self, order: SimOrder, tick: int, lots: int, *, is_maker: bool, exec_type: ExecType
    ) -> None:
        floor, memory, symbol = self._floor, self._floor.memory, order.symbol
        config = floor.settings.of(symbol)
        rate = config.maker_fee_bps if is_maker else config.taker_fee_bps
        fee = fee_usdt(floor.instruments[symbol], tick, lots, rate)
        before = floor.position(symbol).lots
        order.filled_lots += lots
        order.fills += 1
        memory.ledger.apply(symbol, order.side, tick, lots, fee)
        floor.note_fill(symbol)
        if not before:
            memory.funded_until_ns[symbol] = memory.now_ns
        floor.reports.add(
            OrderFilled(
                exec_id=f"{order.exchange_order_id}-{order.fills}",
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
                symbol=symbol,
                side=order.side,
                price_ticks=tick,
                qty_lots=lots,
                leaves_lots=order.leaves_lots,
                fee_usdt=fee,
                is_maker=is_maker,
                venue_ts_ns=memory.now_ns,
                deliver_at_ns=floor.reports.heard_at_ns,
                exec_type=exec_type,
            )
        )

    def drop_reduce_only(self, symbol: str) -> None:
        """With nothing left to reduce, resting reduce-only orders and stops go by themselves."""
        for order in self._floor.orders_of(symbol):
            if order.reduce_only and not self._floor.reducible_lots(order):
                kind = "CancelByTpSlTsClear" if order.attached else "CancelByReduceOnly"
                self.end(order, "EC_NoError", kind)

    def end(self, order: SimOrder, reason: str, cancel_type: str = "") -> None:
        self._floor.memory.orders.pop(order.client_order_id, None)
        text = f"{reason} {cancel_type}".strip()
        self._floor.reports.tell(order, VenueOrderStatus.CANCELED, reason=text)
