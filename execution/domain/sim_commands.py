"""Commands as they take effect at the simulated venue: accept or refuse, then hand to matching."""

from __future__ import annotations

from decimal import Decimal

from execution.domain.recent_ids import RecentIds
from execution.domain.sim_attached import SimAttached
from execution.domain.sim_floor import SimFloor
from execution.domain.sim_margin import SimMargins
from execution.domain.sim_matching import SimMatching
from execution.domain.sim_orders import SimOrder, new_order
from execution.domain.sim_rules import Money, Refusal, Standing, refusal_of
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
    VenueCode,
    VenueCommand,
    VenueOrderStatus,
)

_USED_IDS_KEPT = 512


class SimCommands:
    """One method per command; each tells what came of it."""

    def __init__(
        self, floor: SimFloor, margins: SimMargins, matching: SimMatching, attached: SimAttached
    ) -> None:
        self._floor = floor
        self._margins = margins
        self._matching = matching
        self._attached = attached
        self._used_ids = RecentIds(_USED_IDS_KEPT)

    def carry_out(self, command: VenueCommand) -> None:
        if isinstance(command, PlaceOrder):
            self.place(command)
        elif command.symbol not in self._floor.instruments:
            self._floor.reports.refuse(command, VenueCode.PARAMETER, "Not supported symbols")
        elif isinstance(command, AmendOrder):
            self._amend(command)
        elif isinstance(command, CancelOrder):
            self._cancel(command)
        elif isinstance(command, SetTradingStop):
            self._attached.command(command)
        else:
            self._set_leverage(command)

    # -- placing ------------------------------------------------------------------------------------

    def place(self, command: PlaceOrder) -> None:
        """Take a new order, or refuse it; without a trusted book it waits for the next snapshot."""
        floor, memory = self._floor, self._floor.memory
        if command.symbol not in floor.instruments:
            floor.reports.reject(command, Refusal(VenueCode.PARAMETER, "Not supported symbols"))
            return
        if self._used_ids.has(memory.used_ids, command.client_order_id):
            floor.reports.reject(
                command, Refusal(VenueCode.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")
            )
            return
        if not floor.market.books.is_trusted(floor.market.index(command.symbol)):
            # Nobody knows what a matching engine held meanwhile.
            memory.waiting.setdefault(command.symbol, []).append(command)
            return
        order = self._order(command)
        if refusal := self._refusal(command, order):
            floor.reports.reject(command, refusal)
            return
        self._accept(order)

    def _order(self, command: PlaceOrder) -> SimOrder:
        number = self._floor.memory.orders_made + 1
        return new_order(command, f"{self._floor.memory.venue_id}-{number}", number)

    def _accept(self, order: SimOrder) -> None:
        floor, memory = self._floor, self._floor.memory
        floor.next_order_number()
        self._used_ids.add(memory.used_ids, order.client_order_id)
        floor.reports.tell(order, VenueOrderStatus.ACKNOWLEDGED)
        if order.is_waiting_for_trigger:
            memory.orders[order.client_order_id] = order
            floor.reports.tell(order, VenueOrderStatus.NEW)
            return
        if order.qty_lots == 0:  # all of the position
            order.qty_lots = floor.reducible_lots(order)
        self._matching.enter_book(order)

    def _refusal(
        self, command: PlaceOrder, order: SimOrder, *, live: SimOrder | None = None
    ) -> Refusal | None:
        """Why not to take `order`, or not to change `live`, which counts among what is there, into it."""
        floor, symbol = self._floor, command.symbol
        reference = (
            command.price_ticks or command.trigger_ticks or floor.market.reference_tick(symbol)
        )
        standing = self._standing(command, reference, live)
        instrument = floor.instruments[symbol]
        return refusal_of(command, instrument, standing, lambda: self._money(order, reference))

    def _standing(self, command: PlaceOrder, reference: int, live: SimOrder | None) -> Standing:
        floor, symbol = self._floor, command.symbol
        config, market = floor.settings.of(symbol), floor.market
        orders, is_conditional = floor.orders_of(symbol), command.type.is_conditional
        waiting = len([o for o in orders if o.is_waiting_for_trigger and not o.attached])
        asks_trigger = is_conditional and (live is None or live.is_waiting_for_trigger)
        names_price = command.price_ticks is not None and not is_conditional
        itself = live is not None
        return Standing(
            reference_tick=reference,
            band=market.band(symbol, config.sim_price_band_bps) if names_price else None,
            trigger_tick=market.trigger_tick(symbol, command.trigger_by) if asks_trigger else None,
            position_lots=floor.position(symbol).lots,
            active_orders_left=config.sim.max_active_orders - (len(orders) - waiting) + itself,
            conditional_orders_left=config.sim.max_conditional_orders - waiting + itself,
        )

    def _money(self, order: SimOrder, reference: int) -> Money:
        floor, symbol = self._floor, order.symbol
        after = floor.position(symbol).lots + order.side.sign * order.leaves_lots
        return Money(
            available_usdt=self._margins.available_usdt(),
            margin_usdt=self._margins.added_usdt(order.as_priced(reference)),
            value_usdt=floor.instruments[symbol].notional(reference, abs(after)),
            largest_value_usdt=self._largest_value_usdt(symbol),
        )

    def _largest_value_usdt(self, symbol: str) -> Decimal:
        table = self._floor.settings.table(symbol)
        return table.largest_value_at(self._margins.leverage(symbol))

    # -- amending and cancelling --------------------------------------------------------------------

    def _amend(self, command: AmendOrder) -> None:
        reports, order = self._floor.reports, self._floor.memory.orders.get(command.client_order_id)
        if order is None:
            text = "order not exists or too late to replace"
            reports.refuse(command, VenueCode.ORDER_NOT_FOUND, text)
            return
        price = order.price_ticks if command.price_ticks is None else command.price_ticks
        qty = order.qty_lots if command.qty_lots is None else command.qty_lots
        trigger = order.trigger_ticks if command.trigger_ticks is None else command.trigger_ticks
        if (price, qty, trigger) == (order.price_ticks, order.qty_lots, order.trigger_ticks):
            reports.refuse(command, VenueCode.PARAMETER, "The order remains unchanged")
        elif qty <= order.filled_lots and not order.attached:
            text = "new quantity not above the filled"
            reports.refuse(command, VenueCode.QTY_NOT_ABOVE_FILLED, text)
        elif refusal := self._amend_refusal(order, price, qty, trigger):
            reports.refuse(command, refusal.code, refusal.reason)
        else:
            self._apply_amend(order, price, qty, trigger)

    def _amend_refusal(
        self, order: SimOrder, price: int | None, qty: int, trigger: int | None
    ) -> Refusal | None:
        wanted = order.as_command(price, qty, trigger)
        return self._refusal(wanted, order.as_priced(price or 0, qty), live=order)

    def _apply_amend(
        self, order: SimOrder, price: int | None, qty: int, trigger: int | None
    ) -> None:
        floor = self._floor
        loses_queue = price != order.price_ticks or qty > order.qty_lots
        order.price_ticks, order.qty_lots, order.trigger_ticks = price, qty, trigger
        if order.is_waiting_for_trigger or not loses_queue:
            floor.reports.tell(order, order.live_status)
            return
        order.arrival = floor.next_order_number()
        del floor.memory.orders[order.client_order_id]
        revision, fills = order.revision, order.fills
        self._matching.enter_book(order)
        if order.fills == fills and order.revision == revision:  # rested with fills from before
            floor.reports.tell(order, order.live_status)

    def _cancel(self, command: CancelOrder) -> None:
        waiting = self._floor.memory.waiting.get(command.symbol, [])
        for place in waiting:
            if place.client_order_id == command.client_order_id:
                waiting.remove(place)
                order = self._order(place)
                self._floor.next_order_number()
                self._matching.end(order, "EC_PerCancelRequest", "CancelByUser")
                return
        live = self._floor.memory.orders.get(command.client_order_id)
        if live is None:
            text = "order not exists or too late to cancel"
            self._floor.reports.refuse(command, VenueCode.ORDER_NOT_FOUND, text)
            return
        self._matching.end(live, "EC_PerCancelRequest", "CancelByUser")

    # -- leverage -----------------------------------------------------------------------------------

    def _set_leverage(self, command: SetLeverage) -> None:
        floor, symbol = self._floor, command.symbol
        instrument, wanted = floor.instruments[symbol], Decimal(repr(command.leverage))
        if not instrument.min_leverage <= wanted <= instrument.max_leverage:
            text = f"leverage {wanted} outside {instrument.min_leverage}..{instrument.max_leverage}"
            floor.reports.refuse(command, VenueCode.PARAMETER, text)
        elif wanted == self._margins.leverage(symbol):
            floor.reports.refuse(command, VenueCode.LEVERAGE_UNCHANGED, "leverage not modified")
        elif self._margins.entry_value_usdt(symbol) > floor.settings.table(symbol).largest_value_at(
            wanted
        ):
            text = f"leverage {wanted} not allowed by the risk limit of the position"
            floor.reports.refuse(command, VenueCode.LEVERAGE_ABOVE_TIER, text)
        else:
            self._try_leverage(command)

    def _try_leverage(self, command: SetLeverage) -> None:
        """A lower leverage locks more; what is not there cannot be locked."""
        symbol, before = command.symbol, self._floor.memory.leverage.get(command.symbol)
        self._floor.set_leverage(symbol, command.leverage)
        if self._margins.available_usdt() >= 0:
            self._floor.note_change(symbol)
            return
        self._floor.set_leverage(symbol, before)
        text = "ab not enough for new leverage"
        self._floor.reports.refuse(command, VenueCode.INSUFFICIENT_BALANCE, text)
