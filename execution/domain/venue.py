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

    sign: int

    def __init__(self, value: str) -> None:
        """Kept with the member: looked up far more often than there are orders."""
        self.sign = 1 if value == "BUY" else -1

    @property
    def opposite(self) -> OrderSide:
        return OrderSide.SELL if self is OrderSide.BUY else OrderSide.BUY


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    is_conditional: bool
    is_stop: bool  # triggered by a price that moves against the position it closes
    has_price: bool

    def __init__(self, value: str) -> None:
        self.is_conditional = value not in ("LIMIT", "MARKET")
        self.is_stop = value.startswith("STOP_")
        self.has_price = value.endswith("LIMIT")


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class TriggerBy(StrEnum):
    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


class ExecType(StrEnum):
    TRADE = "Trade"
    BUST = "BustTrade"  # the venue took the position over: an execution of no order of ours


class VenueCode:
    """Bybit's codes, as far as this system reacts to them (their true meanings)."""

    OK = 0
    PARAMETER = 10001
    ORDER_NOT_FOUND = 110001
    PRICE_OUT_OF_RANGE = 110003
    INSUFFICIENT_BALANCE = 110007
    TOO_MANY_CONDITIONALS = 110009
    LEVERAGE_ABOVE_TIER = 110013
    REDUCE_ONLY = 110017
    TOO_MANY_ORDERS = 110020
    LEVERAGE_UNCHANGED = 110043
    QTY_NOT_ABOVE_FILLED = 110064
    DUPLICATE_LINK_ID = 110072
    POSITION_ABOVE_TIER = 110090
    TRIGGER_NOT_ABOVE = 110092
    TRIGGER_NOT_BELOW = 110093
    BELOW_MIN_NOTIONAL = 110094
    TRADING_STOP_UNCHANGED = 34040


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True):
    """Base of commands and updates: immutable, tagged with its class name."""


class PlaceOrder(_Message, frozen=True, kw_only=True):
    """Ask for a new order. A MARKET order has no price, a conditional one has `trigger_ticks`.

    `take_profit_ticks` and `stop_loss_ticks` are put on the position when the order first fills.
    """

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
    take_profit_ticks: int | None = None
    stop_loss_ticks: int | None = None
    take_profit_by: TriggerBy = TriggerBy.LAST
    stop_loss_by: TriggerBy = TriggerBy.LAST


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


class SetTradingStop(_Message, frozen=True, kw_only=True):
    """Take-profit and stop-loss of a whole position; None leaves one as it is, 0 removes it.

    `client_order_id` only names the request in a refusal.
    """

    client_order_id: str
    symbol: str
    decision_ts_ns: int
    take_profit_ticks: int | None = None
    stop_loss_ticks: int | None = None
    take_profit_by: TriggerBy = TriggerBy.LAST
    stop_loss_by: TriggerBy = TriggerBy.LAST


class SetLeverage(_Message, frozen=True, kw_only=True):
    """Leverage of a symbol, for its position too. `client_order_id` only names the request."""

    client_order_id: str
    symbol: str
    decision_ts_ns: int
    leverage: float


VenueCommand = PlaceOrder | AmendOrder | CancelOrder | SetTradingStop | SetLeverage


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
    """One execution, known by `exec_id`. `fee_usdt` is positive when paid; `leaves_lots` what is left.

    A liquidation is one too: `exec_type` BUST, `client_order_id` empty, at the bankruptcy price.
    """

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
    exec_type: ExecType = ExecType.TRADE


class CommandRefused(_Message, frozen=True, kw_only=True):
    """A command that changed nothing; the order itself is as it was."""

    client_order_id: str
    symbol: str
    command: str  # AMEND | CANCEL | TRADING_STOP | LEVERAGE
    code: int
    reason: str
    venue_ts_ns: int
    deliver_at_ns: int


class FundingPaid(_Message, frozen=True, kw_only=True):
    """Funding of one position at one instant, known by `exec_id`. `fee_usdt` is positive when paid."""

    exec_id: str
    symbol: str
    position_lots: int  # signed
    mark_usdt: Decimal
    rate: Decimal  # fraction; positive: longs pay
    fee_usdt: Decimal
    venue_ts_ns: int
    deliver_at_ns: int


class PositionUpdated(_Message, frozen=True, kw_only=True):
    """A position after something changed it; margins in USDT, `lots` signed."""

    symbol: str
    lots: int
    average_entry_ticks: float
    leverage: float
    initial_margin_usdt: Decimal
    maintenance_margin_usdt: Decimal
    liquidation_ticks: float | None  # estimate; None: no price liquidates it
    take_profit_ticks: int | None
    stop_loss_ticks: int | None
    is_liquidated: bool
    venue_ts_ns: int
    deliver_at_ns: int


class WalletUpdated(_Message, frozen=True, kw_only=True):
    """The account after something changed its balance or margin, USDT."""

    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal
    initial_margin_usdt: Decimal
    maintenance_margin_usdt: Decimal
    is_below_zero: bool  # fills at worse than the bankruptcy price cost more than there was
    venue_ts_ns: int
    deliver_at_ns: int


AccountNews = PositionUpdated | WalletUpdated
VenueUpdate = (
    OrderUpdated | OrderFilled | CommandRefused | FundingPaid | PositionUpdated | WalletUpdated
)
