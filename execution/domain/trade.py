"""A managed trade: one plan from its entry to flat, with all that must survive a crash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

import msgspec

from execution.domain.orders import Order
from execution.domain.venue import OrderFilled, OrderSide, OrderType, TimeInForce, TriggerBy
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import Side, TradePlan
from strategy.domain.risk import loss_at_stop_usdt

ENTRY, STOP, CLOSE = "ENTRY", "STOP", "CLOSE"
LIQUIDATION, LIQUIDATED = "LIQUIDATION", "LIQUIDATED"  # a leg that no order of ours makes, and why

UNSEEN, POSITION_DIFFERS = "UNSEEN", "POSITION_DIFFERS"  # the same for what only its position tells

_NOTHING_USDT = Decimal(0)


@lru_cache(maxsize=256)
def dca_leg(level: int) -> str:
    """Leg name of averaging order `level`, counted from 1."""
    return f"DCA{level}"


@lru_cache(maxsize=256)
def tp_leg(level: int) -> str:
    """Leg name of take-profit `level`, counted from 1."""
    return f"TP{level}"


def adds_to_position(leg: str) -> bool:
    """Whether fills of a leg make the position larger; all other legs protect or close it."""
    return leg == ENTRY or leg.startswith("DCA")


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
    funding_rate: float = math.nan  # fraction; positive: longs pay; NaN = unknown
    seconds_to_funding: float = math.nan

    @property
    def has_touch(self) -> bool:
        """Both sides are there: with one alone there is neither a mid nor a way in and out."""
        return self.bid_ticks > 0 and self.ask_ticks > 0

    @property
    def mid_ticks(self) -> float:
        return (self.bid_ticks + self.ask_ticks) / 2

    @property
    def price_ticks(self) -> float:
        """What positions are valued at: the mark, else the mid; 0 = neither is known."""
        return self.mark_ticks or (self.mid_ticks if self.has_touch else 0.0)

    def exit_ticks(self, side: Side) -> int:
        """The touch a position of `side` would be sold or bought back at."""
        return self.bid_ticks if side is Side.LONG else self.ask_ticks


class ManagedTrade(msgspec.Struct, kw_only=True):
    """State of one trade. Lots are unsigned: the plan's side gives the direction."""

    request_id: str
    plan: TradePlan
    qty_lots: int  # accepted size of the entry: the plan's, or what the guards cut it to
    decision_ts_ns: int
    entry_deadline_ns: int
    phase: TradePhase = TradePhase.ENTERING
    source: str = "STATE_MACHINE"
    entry_reason: str = ""
    decision_mid_ticks: float = 0.0
    orders: dict[str, str] = {}  # leg -> id of its newest order
    attempts: dict[str, int] = {}  # leg -> orders made
    retry_at_ns: dict[str, int] = {}  # leg -> not before
    failures: dict[str, int] = {}  # leg -> orders in a row that ended without a fill
    given_up: dict[str, str] = {}  # leg -> why no further order of it is made
    config_version: str = ""  # of the decision that asked for it
    min_lots: int = 1  # least order of the venue
    min_value: int = 0  # least value of an order that does not reduce, ticks times lots
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
    entry_filled_lots: int = 0  # of the entry leg alone
    dca_filled_lots: dict[str, int] = {}
    opened_ts_ns: int = 0
    unprotected_since_ns: int = 0
    protected_since_ns: int = 0
    close_reason: str = ""
    last_exit_leg: str = ""
    best_ticks: float = 0.0
    worst_ticks: float = 0.0
    valued_ticks: float = 0.0  # last price it was valued at; 0 = none is known
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
        entered = self.entered_lots
        average = self.entry_tick_lots / entered if entered else 0.0
        return (price_ticks - average) * self.plan.side.sign

    def order_of(self, leg: str, orders: Mapping[str, Order]) -> Order | None:
        """The newest order of a leg while it is live."""
        identity = self.orders.get(leg)
        order = None if identity is None else orders.get(identity)
        return None if order is None or order.state.is_final else order

    def has_live_orders(self, orders: Mapping[str, Order]) -> bool:
        for identity in self.orders.values():
            order = orders.get(identity)
            if order is not None and not order.state.is_final:
                return True
        return False

    def on_fill(self, leg: str, fill: OrderFilled) -> None:
        """Book one execution of one of our legs."""
        value = fill.price_ticks * fill.qty_lots
        if adds_to_position(leg):
            if not self.entered_lots:
                self.opened_ts_ns = self.unprotected_since_ns = fill.deliver_at_ns
                self.best_ticks = self.worst_ticks = self.extreme_ticks = float(fill.price_ticks)
                self.valued_ticks = float(fill.price_ticks)
            self.entered_lots += fill.qty_lots
            self.entry_tick_lots += value
            self.entry_fees_usdt += fill.fee_usdt
            if leg == ENTRY:
                self.entry_filled_lots += fill.qty_lots
            else:
                self.dca_filled_lots[leg] = self.dca_filled_lots.get(leg, 0) + fill.qty_lots
            self._follow_average()
            return
        self.exited_lots += fill.qty_lots
        self.exit_tick_lots += value
        self.exit_fees_usdt += fill.fee_usdt
        self.last_exit_leg = leg
        if leg.startswith("TP"):
            self.tp_filled_lots[leg] = self.tp_filled_lots.get(leg, 0) + fill.qty_lots

    def _follow_average(self) -> None:
        """A stop planned by its distance stays so far behind the average until it first tightens."""
        distance_bps = self.plan.stop.distance_bps
        if distance_bps is None or self.break_even_moved or self.trailing_active:
            return
        self.stop_ticks = stop_behind(self.average_entry_ticks, distance_bps, self.plan.side)

    def tp_targets(self) -> tuple[int, ...]:
        """Lots of each take-profit for what was entered: cumulative shares of the plan.

        What is too small for the venue, or was given up, goes on to the next; past the last it is left
        to the stop. They never sum to more than was entered.
        """
        targets, carried, before, planned = [], 0, 0, 0
        entered, whole, least = self.entered_lots, self.plan.qty_lots, self.min_lots
        for level, leg in enumerate(self.plan.take_profits, start=1):
            name = tp_leg(level)
            planned += leg.qty_lots
            up_to = entered * planned // whole
            lots, before = up_to - before + carried, up_to
            kept = lots
            if self.given_up and name in self.given_up:
                kept = min(lots, self.tp_filled_lots.get(name, 0))
            elif lots < least:
                kept = 0
            targets.append(kept)
            carried = lots - kept
        return tuple(targets)

    def tp_target_lots(self, level: int) -> int:
        return self.tp_targets()[level - 1]

    def tp_price_ticks(self, level: int) -> int:
        """Where take-profit `level` belongs now: it follows the average entry if planned by distance."""
        target = self.plan.take_profits[level - 1]
        if target.distance_bps is None or not self.entered_lots:
            return target.price_ticks
        sign, average = self.plan.side.sign, self.average_entry_ticks
        level_ticks = average * (1.0 + sign * target.distance_bps / 1e4)
        return math.ceil(level_ticks) if sign > 0 else math.floor(level_ticks)

    def dca_targets(self) -> tuple[int, ...]:
        """Lots of each averaging order, in proportion to what the entry filled; small ones merge on."""
        targets, carried = [], 0
        for level, leg in enumerate(self.plan.dca_levels, start=1):
            name = dca_leg(level)
            filled = self.dca_filled_lots.get(name, 0)
            lots = leg.qty_lots * self.entry_filled_lots // self.plan.qty_lots + carried
            is_small = lots < self.min_lots or lots * leg.price_ticks < self.min_value
            kept = filled if is_small or name in self.given_up else max(lots, filled)
            targets.append(kept)
            carried = max(lots - kept, 0)
        return tuple(targets)

    def realized_usdt(self, instrument: Instrument) -> Decimal:
        """Net result of what was closed, all fees and funding so far paid; exact once the trade is flat."""
        if not self.exited_lots:
            return _NOTHING_USDT - self.costs_usdt if self.entered_lots else _NOTHING_USDT
        unit = instrument.tick_lot_value * self.plan.side.sign
        cost = Decimal(self.entry_tick_lots) * self.exited_lots / self.entered_lots
        return (self.exit_tick_lots - cost) * unit - self.costs_usdt

    def unrealized_usdt(self, instrument: Instrument, price_ticks: float) -> float:
        lots = self.entered_lots - self.exited_lots
        unit = instrument.tick_lot_usdt
        return self.gain_ticks(price_ticks) * lots * unit

    def open_risk_usdt(self, instrument: Instrument, limits: RiskConfig) -> float:
        """Loss if the stop is hit now, exit fee and slippage included; negative: the stop is in profit."""
        unit = instrument.tick_lot_usdt * max(self.position_lots, 0)
        return loss_at_stop_usdt(
            self.average_entry_ticks, self.stop_ticks, unit, self.plan.side.sign, limits
        )


def stop_reason(trade: ManagedTrade) -> str:
    """What the stop stood for when it was hit."""
    if trade.trailing_active:
        return "TRAILING_STOP"
    return "BREAK_EVEN" if trade.break_even_moved else "STOP_LOSS"


def exit_reason(trade: ManagedTrade, instrument: Instrument) -> str:
    """Why a closed trade ended, from the leg that made it flat.

    A stop at break-even that a gap carried into a loss was a stop loss, whatever it stood for.
    """
    if trade.last_exit_leg == LIQUIDATION:
        return LIQUIDATED
    if trade.last_exit_leg.startswith("TP"):
        return "TAKE_PROFIT"
    by_stop = trade.last_exit_leg == STOP
    reason = stop_reason(trade) if by_stop else trade.close_reason or "CLOSE"
    if reason == "BREAK_EVEN" and trade.realized_usdt(instrument) < 0:
        return "STOP_LOSS"
    return reason


def stop_behind(average_ticks: float, distance_bps: float, side: Side) -> int:
    """A stop so far behind an average entry, rounded away from it."""
    level = average_ticks * (1.0 - side.sign * distance_bps / 1e4)
    return math.floor(level) if side is Side.LONG else math.ceil(level)


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
