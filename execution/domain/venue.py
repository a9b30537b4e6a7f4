"""What execution says to a venue and hears from it, simulated and real alike.

Commands are imperative and carry the decision time; updates are facts and carry two times: when the
venue did it (`venue_ts_ns`) and when we hear of it (`deliver_at_ns`). Prices are ticks, quantities lots.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec


class OrderSide(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is OrderSide.BUY else -1

    @property
    def opposite(self) -> OrderSide:
        return OrderSide.SELL if self is OrderSide.BUY else OrderSide.BUY


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"

    @property
    def is_conditional(self) -> bool:
        return self in (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class TriggerBy(StrEnum):
    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


class VenueCode:
    """Bybit's codes, as far as this system reacts to them (their true meanings)."""

    OK = 0
    PARAMETER = 10001
    ORDER_NOT_FOUND = 110001
    PRICE_OUT_OF_RANGE = 110003
    INSUFFICIENT_BALANCE = 110007
    REDUCE_ONLY = 110017
    QTY_NOT_ABOVE_FILLED = 110064
    DUPLICATE_LINK_ID = 110072
    TRIGGER_NOT_ABOVE = 110092
    TRIGGER_NOT_BELOW = 110093
    BELOW_MIN_NOTIONAL = 110094


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True):
    """Base of commands and updates: immutable, tagged with its class name."""


class PlaceOrder(_Message, frozen=True, kw_only=True):
    """Ask for a new order. A MARKET order has no price, a conditional one has `trigger_ticks`."""

    client_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    qty_lots: int
    decision_ts_ns: int
    price_ticks: int | None = None
    trigger_ticks: int | None = None
    trigger_by: TriggerBy = TriggerBy.LAST
    reduce_only: bool = False
    close_on_trigger: bool = False


class AmendOrder(_Message, frozen=True, kw_only=True):
    """Change a live order; None leaves a field as it is. `qty_lots` is the new total, fills included."""

    client_order_id: str
    symbol: str
    decision_ts_ns: int
    qty_lots: int | None = None
    price_ticks: int | None = None
    trigger_ticks: int | None = None


class CancelOrder(_Message, frozen=True, kw_only=True):
    client_order_id: str
    symbol: str
    decision_ts_ns: int


VenueCommand = PlaceOrder | AmendOrder | CancelOrder


class VenueOrderStatus(StrEnum):
    ACKNOWLEDGED = "ACKNOWLEDGED"  # accepted for processing, nothing more
    NEW = "NEW"  # resting, or waiting for its trigger
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class OrderUpdated(_Message, frozen=True, kw_only=True):
    """The venue's view of one order; `revision` counts its views of this order, from 1."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    status: VenueOrderStatus
    revision: int
    qty_lots: int
    filled_lots: int
    venue_ts_ns: int
    deliver_at_ns: int
    price_ticks: int | None = None
    trigger_ticks: int | None = None
    triggered: bool = False
    code: int = 0
    reason: str = ""


class OrderFilled(_Message, frozen=True, kw_only=True):
    """One execution, known by `exec_id`. `fee_usdt` is positive when paid; `leaves_lots` what is left."""

    exec_id: str
    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: OrderSide
    price_ticks: int
    qty_lots: int
    leaves_lots: int
    fee_usdt: Decimal
    is_maker: bool
    venue_ts_ns: int
    deliver_at_ns: int


class CommandRefused(_Message, frozen=True, kw_only=True):
    """An amend or cancel that changed nothing; the order itself is as it was."""

    client_order_id: str
    symbol: str
    command: str  # AMEND | CANCEL
    code: int
    reason: str
    venue_ts_ns: int
    deliver_at_ns: int


VenueUpdate = OrderUpdated | OrderFilled | CommandRefused
