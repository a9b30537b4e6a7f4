"""Orders inside the simulated venue."""

from __future__ import annotations

import msgspec

from execution.domain.venue import (
    OrderSide,
    OrderType,
    PlaceOrder,
    TimeInForce,
    TriggerBy,
    VenueCommand,
    VenueOrderStatus,
)
from market.domain.events import ASK, BID

TAKE_PROFIT, STOP_LOSS = "TakeProfit", "StopLoss"


class SimOrder(msgspec.Struct, kw_only=True):
    """A live order. `queue_ahead_lots` is None until its price has been inside the displayed window."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    qty_lots: int  # 0: whatever the position is when it triggers
    arrival: int  # place in the venue's order of arrival: time priority
    price_ticks: int | None
    trigger_ticks: int | None
    trigger_by: TriggerBy
    triggers_on_rise: bool
    reduce_only: bool
    close_on_trigger: bool
    is_waiting_for_trigger: bool
    trigger_is_reached: bool = False  # waits for a trusted book to take from
    queue_ahead_lots: int | None = None
    queue_shown_lots: int = -1  # what stood at its price when last seen; -1 unknown
    queue_traded_lots: int = 0  # at its price since then
    filled_lots: int = 0
    fills: int = 0
    revision: int = 0
    attached: str = ""  # TakeProfit or StopLoss of the whole position
    take_profit_ticks: int | None = None
    stop_loss_ticks: int | None = None
    take_profit_by: TriggerBy = TriggerBy.LAST
    stop_loss_by: TriggerBy = TriggerBy.LAST

    @property
    def leaves_lots(self) -> int:
        return self.qty_lots - self.filled_lots

    @property
    def rests(self) -> bool:
        return not self.is_waiting_for_trigger

    @property
    def book_side(self) -> int:
        """The side of the book it rests on."""
        return BID if self.side is OrderSide.BUY else ASK

    @property
    def priority(self) -> tuple[int, int]:
        """Price, then time."""
        return (-self.side.sign * (self.price_ticks or 0), self.arrival)

    @property
    def live_status(self) -> VenueOrderStatus:
        return VenueOrderStatus.PARTIALLY_FILLED if self.filled_lots else VenueOrderStatus.NEW

    def advance_queue(self, lots: int, *, hits_us: bool) -> int:
        """Let `lots` trade at our price; returns how many reach us."""
        if self.queue_ahead_lots is None or not hits_us:
            return 0
        ahead = self.queue_ahead_lots
        self.queue_ahead_lots = max(ahead - lots, 0)
        self.queue_traded_lots += lots
        return max(lots - ahead, 0)

    def join_queue(self, shown_lots: int | None) -> None:
        """Stand behind what is shown at our price now; None where the window does not reach it."""
        self.queue_ahead_lots = shown_lots
        self.queue_shown_lots = -1 if shown_lots is None else shown_lots
        self.queue_traded_lots = 0

    def as_priced(self, price: int, qty: int | None = None) -> SimOrder:
        """A copy to reckon with: at this price, resting."""
        return msgspec.structs.replace(
            self,
            price_ticks=price,
            qty_lots=self.qty_lots if qty is None else qty,
            is_waiting_for_trigger=False,
        )

    def as_command(self, price: int | None, qty: int, trigger: int | None) -> PlaceOrder:
        """This order as if it were placed anew with other figures."""
        return PlaceOrder(
            client_order_id=self.client_order_id,
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            time_in_force=self.time_in_force,
            qty_lots=qty,
            decision_ts_ns=0,
            price_ticks=price,
            trigger_ticks=trigger,
            trigger_by=self.trigger_by,
            reduce_only=self.reduce_only,
            close_on_trigger=self.close_on_trigger,
        )


class PendingCommand(msgspec.Struct, kw_only=True):
    """A command on its way to the venue."""

    active_at_ns: int
    number: int
    command: VenueCommand


def new_order(command: PlaceOrder, exchange_order_id: str, arrival: int) -> SimOrder:
    """The order `command` asks for; what closes on its trigger only ever reduces."""
    return SimOrder(
        client_order_id=command.client_order_id,
        exchange_order_id=exchange_order_id,
        symbol=command.symbol,
        side=command.side,
        type=command.type,
        time_in_force=command.time_in_force,
        qty_lots=command.qty_lots,
        arrival=arrival,
        price_ticks=command.price_ticks,
        trigger_ticks=command.trigger_ticks,
        trigger_by=command.trigger_by,
        triggers_on_rise=triggers_on_rise(command),
        reduce_only=command.reduce_only or command.close_on_trigger,
        close_on_trigger=command.close_on_trigger,
        is_waiting_for_trigger=command.type.is_conditional,
        take_profit_ticks=command.take_profit_ticks,
        stop_loss_ticks=command.stop_loss_ticks,
        take_profit_by=command.take_profit_by,
        stop_loss_by=command.stop_loss_by,
    )


def triggers_on_rise(command: PlaceOrder) -> bool:
    """A stop that buys waits above the market, one that sells below it; a take-profit the other way."""
    buys = command.side is OrderSide.BUY
    return buys if command.type.is_stop else not buys


def in_priority(orders: list[SimOrder]) -> list[SimOrder]:
    """The same list, sorted: price, then time."""
    if len(orders) > 1:
        orders.sort(key=lambda order: order.priority)
    return orders
