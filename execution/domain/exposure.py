"""What a trade holds and loses at its worst: every live and planned order filled, then the stop hit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from execution.domain.orders import Order
from execution.domain.trade import (
    ENTRY,
    ManagedTrade,
    TradePhase,
    dca_leg,
    stop_behind,
)
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import Side, TradePlan
from strategy.domain.risk import Exposure, loss_at_stop_usdt

Leg = tuple[float, int]  # price in ticks, lots


def planned_exposure(
    plan: TradePlan,
    qty_lots: int,
    reference_ticks: float,
    instrument: Instrument,
    limits: RiskConfig,
) -> Exposure:
    """Worst case of a plan of which nothing is placed yet, its entry cut to `qty_lots`."""
    return _worst(plan, _planned_legs(plan, qty_lots, reference_ticks), None, instrument, limits)


def trade_exposure(
    trade: ManagedTrade, orders: Mapping[str, Order], instrument: Instrument, limits: RiskConfig
) -> Exposure:
    """Worst case of a trade: its position, and what may still be added to it."""
    legs: list[Leg] = [(trade.average_entry_ticks, max(trade.position_lots, 0))]
    legs += _entry_in_doubt(trade, orders)
    if trade.plan.dca_levels:
        legs += _averaging_in_doubt(trade, orders)
    has_tightened = trade.break_even_moved or trade.trailing_active
    stop = trade.stop_ticks if has_tightened else None
    worst = _worst(trade.plan, legs, stop, instrument, limits)
    if not trade.position_lots or worst.risk_usdt >= (now := _held_risk(trade, instrument, limits)):
        return worst
    return Exposure(
        symbol=worst.symbol,
        side=worst.side,
        notional_usdt=worst.notional_usdt,
        risk_usdt=now,
        margin_usdt=worst.margin_usdt,
    )


def least_lots(instrument: Instrument) -> int:
    return max(1, math.ceil(instrument.min_qty / instrument.qty_step))


def most_market_lots(instrument: Instrument) -> int:
    """What one order at market, and so one stop, can carry."""
    return int(min(instrument.max_qty, instrument.max_market_qty) // instrument.qty_step)


def least_value(instrument: Instrument) -> int:
    """The venue's minimum notional, ticks times lots."""
    return math.ceil(instrument.min_notional / (instrument.tick_size * instrument.qty_step))


def dearest_entry(plan: TradePlan, reference_ticks: float) -> float:
    """The highest price the entry may fill at: a long may be re-priced up, a short only down."""
    if plan.side is Side.SHORT or not plan.entry.max_reprices or plan.entry.price_ticks is None:
        return reference_ticks
    return reference_ticks * (1.0 + (plan.entry.max_chase_bps or 0.0) / 1e4)


def planned_lots(plan: TradePlan, qty_lots: int) -> int:
    """The position of a plan, its entry cut to `qty_lots`, when every averaging order has filled."""
    return sum(lots for _, lots in _planned_legs(plan, qty_lots, 0.0))


def _planned_legs(plan: TradePlan, qty_lots: int, reference_ticks: float) -> list[Leg]:
    legs: list[Leg] = [(dearest_entry(plan, reference_ticks), qty_lots)]
    legs += [(leg.price_ticks, leg.qty_lots * qty_lots // plan.qty_lots) for leg in plan.dca_levels]
    return legs


def _entry_in_doubt(trade: ManagedTrade, orders: Mapping[str, Order]) -> list[Leg]:
    """What the entry may still add: all of it while it may be put again, else what is live."""
    if trade.phase is TradePhase.ENTERING:
        left = trade.qty_lots - trade.entry_filled_lots
    else:
        order = trade.order_of(ENTRY, orders)
        left = order.leaves_lots if order is not None else 0
    if left <= 0:
        return []
    reference = float(trade.plan.entry.price_ticks or trade.decision_mid_ticks)
    return [(dearest_entry(trade.plan, reference), left)]


def _averaging_in_doubt(trade: ManagedTrade, orders: Mapping[str, Order]) -> Iterable[Leg]:
    """Averaging orders at rest, and those planned that may still be placed.

    Once the entry is over, a level too small for the venue is part of the next one, and not counted twice.
    """
    may_be_placed = trade.phase is not TradePhase.CLOSING and not trade.break_even_moved
    if trade.phase is TradePhase.ENTERING:
        planned: Iterable[int] = (
            leg.qty_lots * trade.qty_lots // trade.plan.qty_lots for leg in trade.plan.dca_levels
        )
    else:
        planned = trade.dca_targets()
    for (level, leg), lots in zip(enumerate(trade.plan.dca_levels, start=1), planned, strict=True):
        name = dca_leg(level)
        order = trade.order_of(name, orders)
        left = order.leaves_lots if order is not None else 0
        if may_be_placed:
            left = max(left, lots - trade.dca_filled_lots.get(name, 0))
        if left > 0:
            yield leg.price_ticks, left


def _worst(
    plan: TradePlan,
    legs: Iterable[Leg],
    stop_ticks: int | None,
    instrument: Instrument,
    limits: RiskConfig,
) -> Exposure:
    lots, value = 0, 0.0
    for price, each in legs:
        if each > 0:
            lots += each
            value += price * each
    average = value / lots if lots else 0.0
    if stop_ticks is None:
        distance_bps = plan.stop.distance_bps
        stop_ticks = plan.stop.price_ticks
        if distance_bps is not None:
            stop_ticks = stop_behind(average, distance_bps, plan.side)
    unit = instrument.tick_lot_usdt * lots
    notional = average * unit
    return Exposure(
        symbol=plan.symbol,
        side=plan.side,
        notional_usdt=notional,
        risk_usdt=loss_at_stop_usdt(average, stop_ticks, unit, plan.side.sign, limits),
        margin_usdt=notional / max(plan.leverage, 1.0),
    )


def _held_risk(trade: ManagedTrade, instrument: Instrument, limits: RiskConfig) -> float:
    return trade.open_risk_usdt(instrument, limits)
