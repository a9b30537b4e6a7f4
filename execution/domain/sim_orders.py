"""Orders inside the simulated venue, and its rules for accepting them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderSide,
    OrderType,
    PlaceOrder,
    TimeInForce,
    TriggerBy,
    VenueCode,
    VenueOrderStatus,
)
from market.domain.events import ASK, BID
from market.domain.instruments import Instrument


class SimOrder(msgspec.Struct, kw_only=True):
    """A live order. `queue_ahead_lots` is None until its price has been inside the displayed window."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    qty_lots: int
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
    filled_lots: int = 0
    fills: int = 0
    revision: int = 0

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
        return max(lots - ahead, 0)

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
    command: PlaceOrder | AmendOrder | CancelOrder


class Refusal(msgspec.Struct, frozen=True):
    code: int
    reason: str


def refusal_of(
    command: PlaceOrder,
    instrument: Instrument,
    *,
    reference_tick: int,
    trigger_tick: int | None,
    position_lots: int,
    available_usdt: Decimal,
    margin_usdt: Decimal,
) -> Refusal | None:
    """The first reason, in the venue's own order, not to take `command`; None accepts it.

    `reference_tick` is the price its notional is measured at, `trigger_tick` the current price of the
    kind that triggers it, `margin_usdt` what it would lock.
    """
    reducing = command.reduce_only or command.close_on_trigger
    if command.qty_lots <= 0 and not (reducing and command.qty_lots == 0):
        return Refusal(VenueCode.PARAMETER, "quantity must be above zero")
    if (command.price_ticks is None) == (command.type is OrderType.LIMIT):
        return Refusal(VenueCode.PARAMETER, "a limit order needs a price, any other has none")
    if refusal := _rule_refusal(command, instrument, reference_tick, reducing):
        return refusal
    if refusal := _trigger_refusal(command, trigger_tick):
        return refusal
    if reducing and position_lots * command.side.sign >= 0 and not command.type.is_conditional:
        return Refusal(
            VenueCode.REDUCE_ONLY, "current position is zero or on this side: reduce-only rule"
        )
    if not reducing and margin_usdt > available_usdt:
        return Refusal(VenueCode.INSUFFICIENT_BALANCE, "ab not enough for new order")
    return None


def _rule_refusal(
    command: PlaceOrder, instrument: Instrument, reference_tick: int, reducing: bool
) -> Refusal | None:
    price = command.price_ticks if command.price_ticks is not None else reference_tick
    if command.qty_lots == 0:
        return None
    reasons = instrument.refusals(
        price,
        command.qty_lots,
        is_market=command.type is not OrderType.LIMIT,
        reduce_only=reducing,
    )
    if not reasons:
        return None
    if reasons[0].startswith("price"):
        return Refusal(VenueCode.PRICE_OUT_OF_RANGE, reasons[0])
    if reasons[0].startswith("notional"):
        return Refusal(VenueCode.BELOW_MIN_NOTIONAL, reasons[0])
    return Refusal(VenueCode.PARAMETER, reasons[0])


def _trigger_refusal(command: PlaceOrder, current: int | None) -> Refusal | None:
    if not command.type.is_conditional:
        return None
    if command.trigger_ticks is None:
        return Refusal(VenueCode.PARAMETER, "a conditional order needs a trigger price")
    if current is None:
        return None
    if triggers_on_rise(command):
        if current >= command.trigger_ticks:
            return Refusal(
                VenueCode.TRIGGER_NOT_ABOVE, "expect rising, but trigger_price <= current"
            )
    elif current <= command.trigger_ticks:
        return Refusal(VenueCode.TRIGGER_NOT_BELOW, "expect falling, but trigger_price >= current")
    return None


def triggers_on_rise(command: PlaceOrder) -> bool:
    """A stop that buys waits above the market, one that sells below it; a take-profit the other way."""
    buys = command.side is OrderSide.BUY
    return buys if command.type is OrderType.STOP_MARKET else not buys


def in_priority(orders: Iterable[SimOrder]) -> list[SimOrder]:
    return sorted(orders, key=lambda order: order.priority)
