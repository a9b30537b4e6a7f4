"""A managed trade: one plan from its entry to flat, with all that must survive a crash."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from execution.domain.orders import Order
from execution.domain.venue import OrderFilled, OrderSide, OrderType, TimeInForce, TriggerBy
from market.domain.instruments import Instrument
from strategy.domain.messages import Side, TradePlan

ENTRY, STOP, CLOSE = "ENTRY", "STOP", "CLOSE"
LIQUIDATION, LIQUIDATED = "LIQUIDATION", "LIQUIDATED"  # a leg that no order of ours makes, and why


def tp_leg(level: int) -> str:
    """Leg name of take-profit `level`, counted from 1."""
    return f"TP{level}"


class TradePhase(StrEnum):
    ENTERING = "ENTERING"
    OPEN = "OPEN"
    CLOSING = "CLOSING"


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The touch of one symbol as the last frame said it."""

    symbol: str
    ts_ns: int
    bid_ticks: int
    ask_ticks: int
    book_state: int
    spread_bps: float
    mark_ticks: float | None = None

    @property
    def mid_ticks(self) -> float:
        return (self.bid_ticks + self.ask_ticks) / 2

    def exit_ticks(self, side: Side) -> int:
        """The touch a position of `side` would be sold or bought back at."""
        return self.bid_ticks if side is Side.LONG else self.ask_ticks


class ManagedTrade(msgspec.Struct, kw_only=True):
    """State of one trade. Lots are unsigned: the plan's side gives the direction."""

    request_id: str
    plan: TradePlan
    qty_lots: int  # accepted size: the plan's, or what the guards cut it to
    decision_ts_ns: int
    entry_deadline_ns: int
    phase: TradePhase = TradePhase.ENTERING
    source: str = "STATE_MACHINE"
    entry_reason: str = ""
    decision_mid_ticks: float = 0.0
    orders: dict[str, str] = {}  # leg -> id of its newest order
    attempts: dict[str, int] = {}  # leg -> orders made
    retry_at_ns: dict[str, int] = {}  # leg -> not before
    signal_holds: bool = True
    reprices: int = 0
    last_reprice_ns: int = 0
    stop_ticks: int = 0
    break_even_moved: bool = False
    trailing_active: bool = False
    extreme_ticks: float = 0.0
    last_trail_ns: int = 0
    entered_lots: int = 0
    exited_lots: int = 0
    entry_tick_lots: int = 0
    exit_tick_lots: int = 0
    entry_fees_usdt: Decimal = Decimal(0)
    exit_fees_usdt: Decimal = Decimal(0)
    tp_filled_lots: dict[str, int] = {}
    opened_ts_ns: int = 0
    unprotected_since_ns: int = 0
    protected_since_ns: int = 0
    close_reason: str = ""
    last_exit_leg: str = ""
    best_ticks: float = 0.0
    worst_ticks: float = 0.0
    funding_usdt: Decimal = Decimal(0)  # paid, over the trade's life
    booked_usdt: Decimal = Decimal(0)  # part of the result the account has counted already
    is_stray: bool = False  # beside the symbol's trade: only there to be closed
    plan_end_reason: str = ""  # why the entry ended without a fill

    @property
    def symbol(self) -> str:
        return self.plan.symbol

    @property
    def position_lots(self) -> int:
        return self.entered_lots - self.exited_lots

    @property
    def entry_side(self) -> OrderSide:
        return OrderSide.BUY if self.plan.side is Side.LONG else OrderSide.SELL

    @property
    def average_entry_ticks(self) -> float:
        return self.entry_tick_lots / self.entered_lots if self.entered_lots else 0.0

    @property
    def average_exit_ticks(self) -> float:
        return self.exit_tick_lots / self.exited_lots if self.exited_lots else 0.0

    @property
    def fees_usdt(self) -> Decimal:
        return self.entry_fees_usdt + self.exit_fees_usdt

    @property
    def costs_usdt(self) -> Decimal:
        return self.fees_usdt + self.funding_usdt

    @property
    def trigger_by(self) -> TriggerBy:
        return TriggerBy(self.plan.stop.trigger_by)

    def gain_ticks(self, price_ticks: float) -> float:
        """How far `price_ticks` lies in our favour from the average entry."""
        return (price_ticks - self.average_entry_ticks) * self.plan.side.sign

    def order_of(self, leg: str, orders: Mapping[str, Order]) -> Order | None:
        """The newest order of a leg while it is live."""
        order = orders.get(self.orders.get(leg, ""))
        return order if order is not None and order.is_live else None

    def live_orders(self, orders: Mapping[str, Order]) -> list[Order]:
        return [o for leg in self.orders if (o := self.order_of(leg, orders)) is not None]

    def on_fill(self, leg: str, fill: OrderFilled) -> None:
        """Book one execution of one of our legs."""
        value = fill.price_ticks * fill.qty_lots
        if leg == ENTRY:
            if not self.entered_lots:
                self.opened_ts_ns = self.unprotected_since_ns = fill.deliver_at_ns
                self.best_ticks = self.worst_ticks = self.extreme_ticks = float(fill.price_ticks)
            self.entered_lots += fill.qty_lots
            self.entry_tick_lots += value
            self.entry_fees_usdt += fill.fee_usdt
            return
        self.exited_lots += fill.qty_lots
        self.exit_tick_lots += value
        self.exit_fees_usdt += fill.fee_usdt
        self.last_exit_leg = leg
        if leg.startswith("TP"):
            self.tp_filled_lots[leg] = self.tp_filled_lots.get(leg, 0) + fill.qty_lots

    def tp_target_lots(self, level: int) -> int:
        """Lots of take-profit `level` for what was entered: cumulative shares, so small legs merge on."""

        def share(up_to: int) -> int:
            planned = sum(tp.qty_lots for tp in self.plan.take_profits[:up_to])
            return self.entered_lots * planned // self.plan.qty_lots

        return share(level) - share(level - 1)

    def realized_usdt(self, instrument: Instrument) -> Decimal:
        """Net result of what was closed, all fees and funding so far paid; exact once the trade is flat."""
        if not self.entered_lots:
            return Decimal(0)
        unit = instrument.tick_size * instrument.qty_step * self.plan.side.sign
        cost = Decimal(self.entry_tick_lots) * self.exited_lots / self.entered_lots
        return (self.exit_tick_lots - cost) * unit - self.costs_usdt

    def unrealized_usdt(self, instrument: Instrument, price_ticks: float) -> float:
        unit = float(instrument.tick_size * instrument.qty_step)
        return self.gain_ticks(price_ticks) * self.position_lots * unit

    def open_risk_usdt(self, instrument: Instrument, taker_fee_bps: float) -> float:
        """Loss if the stop is hit now, fees of the exit included; negative when the stop is in profit."""
        unit = float(instrument.tick_size * instrument.qty_step) * self.position_lots
        exit_fee = self.stop_ticks * unit * taker_fee_bps / 1e4
        return -self.gain_ticks(self.stop_ticks) * unit + exit_fee


def stop_reason(trade: ManagedTrade) -> str:
    """What the stop stood for when it was hit."""
    if trade.trailing_active:
        return "TRAILING_STOP"
    return "BREAK_EVEN" if trade.break_even_moved else "STOP_LOSS"


def exit_reason(trade: ManagedTrade) -> str:
    """Why a closed trade ended, from the leg that made it flat."""
    if trade.last_exit_leg == LIQUIDATION:
        return LIQUIDATED
    if trade.last_exit_leg == STOP:
        return stop_reason(trade)
    if trade.last_exit_leg.startswith("TP"):
        return "TAKE_PROFIT"
    return trade.close_reason or "CLOSE"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Wish of the trade manager: a new order for a leg."""

    leg: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    qty_lots: int
    price_ticks: int | None = None
    trigger_ticks: int | None = None
    trigger_by: TriggerBy = TriggerBy.LAST
    reduce_only: bool = False
    close_on_trigger: bool = False


class Amend(msgspec.Struct, frozen=True, kw_only=True):
    client_order_id: str
    qty_lots: int | None = None
    price_ticks: int | None = None
    trigger_ticks: int | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    client_order_id: str
    reason: str = ""


Action = Place | Amend | Cancel
