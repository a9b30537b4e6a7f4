"""The trade plan `ladder` (phase 7): several targets, averaging orders, one stop behind them all.

Percentages are ROE unless the unit is PRICE: at 25x 21 % ROE are 0.84 % of price. Targets and stop keep
their distance from the average entry while averaging orders fill. The whole ladder is judged before its
first order, as if every averaging order were filled: it must fit the risk budget, and its stop must be hit
before the venue would liquidate. The liquidation price is that of an isolated position; under cross
margin more stands behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.config_plan import LadderSettings
from strategy.domain.margin import MarginTable, liquidation_price
from strategy.domain.messages import DcaLevel, Side, StopPlan, TradePlan
from strategy.domain.plan import (
    PlanInput,
    Planned,
    Target,
    dearest_entry_ticks,
    entry_plan,
    is_tradable,
    maker_entry_ticks,
    range_refusals,
    take_profit_legs,
    ticks_away,
    touch_refusals,
)
from strategy.domain.risk import AccountRisk
from strategy.domain.sizing import Sizing, SizingInput, size_entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderLevels:
    """Prices in ticks; `leverage` is what the venue allows of what is asked."""

    side: Side
    entry_ticks: int
    dca_ticks: tuple[int, ...]
    weights: tuple[float, ...]  # sizes of the averaging orders, in sizes of the entry
    stop_bps: float
    target_bps: tuple[float, ...]
    leverage: float

    def average_ticks(self, filled: int) -> float:
        """Average entry with the first `filled` averaging orders filled."""
        prices = (self.entry_ticks, *self.dca_ticks[:filled])
        weights = (1.0, *self.weights[:filled])
        return _mean(prices, weights)

    def stop_ticks(self, average_ticks: float) -> int:
        """The stop behind an average entry, rounded to the far side."""
        level = average_ticks * (1.0 - self.side.sign * self.stop_bps / 1e4)
        return math.floor(level) if self.side is Side.LONG else math.ceil(level)


def plan_ladder(
    order: PlanInput, account: AccountRisk, strategy: StrategyConfig, risk: RiskConfig
) -> Planned:
    """The ladder as configured, sized for its worst case; refused in words when it does not fit."""
    if refusals := touch_refusals(order):
        return Planned(None, None, refusals)
    levels = ladder_levels(order, strategy)
    if refusals := _range_refusals(levels, order.instrument):
        return Planned(None, None, refusals)
    sizing = _size_whole(order, levels, account, strategy, risk)
    if sizing.refusals:
        return Planned(None, sizing, sizing.refusals)
    entry_lots = math.floor(sizing.qty_lots / (1.0 + sum(levels.weights)))
    if not is_tradable(entry_lots, levels.entry_ticks, order.instrument):
        return Planned(None, sizing, ("the first order of the ladder is too small for the venue",))
    plan = _assemble(order, levels, entry_lots, sizing.qty_lots, strategy, risk)
    worst = _worst_sizing(plan, sizing, order.instrument, risk)
    refusals = (
        *_order_refusals(plan, levels),
        *liquidation_refusals(plan, order.instrument, risk),
        *_day_refusals(worst, account, risk),
    )
    return Planned(None if refusals else plan, worst, refusals)


def ladder_levels(order: PlanInput, strategy: StrategyConfig) -> LadderLevels:
    """Entry at the touch, averaging orders behind it; distances in bps of price."""
    ladder = strategy.ladder
    entry, sign = maker_entry_ticks(order, strategy.entry_ticks_inside), order.side.sign
    dca = [
        entry - sign * ticks_away(entry, ladder.price_pct(level.distance_pct) * 100)
        for level in ladder.dca_levels
    ]
    return LadderLevels(
        side=order.side,
        entry_ticks=entry,
        dca_ticks=tuple(dca),
        weights=tuple(level.size_x for level in ladder.dca_levels),
        stop_bps=ladder.price_pct(ladder.stop_pct) * 100,
        target_bps=tuple(ladder.price_pct(t.distance_pct) * 100 for t in ladder.targets),
        leverage=min(ladder.leverage, float(order.instrument.max_leverage)),
    )


def _range_refusals(levels: LadderLevels, instrument: Instrument) -> tuple[str, ...]:
    sign = levels.side.sign
    far = [
        levels.entry_ticks + sign * ticks_away(levels.entry_ticks, bps) for bps in levels.target_bps
    ]
    worst_stop = levels.stop_ticks(levels.average_ticks(len(levels.dca_ticks)))
    return range_refusals(instrument, (worst_stop, *far))


def _order_refusals(plan: TradePlan, levels: LadderLevels) -> tuple[str, ...]:
    """An averaging order must fill before the stop that stands at that moment is hit."""
    sign, reasons = plan.side.sign, []
    lots, value = plan.qty_lots, levels.entry_ticks * plan.qty_lots
    for number, leg in enumerate(plan.dca_levels, start=1):
        if (leg.price_ticks - levels.stop_ticks(value / lots)) * sign <= 0:
            reasons.append(f"averaging order {number} lies behind the stop")
        lots, value = lots + leg.qty_lots, value + leg.price_ticks * leg.qty_lots
    return tuple(reasons)


def _size_whole(
    order: PlanInput,
    levels: LadderLevels,
    account: AccountRisk,
    strategy: StrategyConfig,
    risk: RiskConfig,
) -> Sizing:
    """Size of all orders together: their average entry, the stop behind it."""
    average = levels.average_ticks(len(levels.dca_ticks))
    dearest = dearest_entry_ticks(levels.entry_ticks, order.side, strategy)
    return size_entry(
        SizingInput(
            instrument=order.instrument,
            entry_ticks=round(average),
            stop_ticks=levels.stop_ticks(average),
            near_depth_usd=order.near_depth_usd,
            worst_entry_ticks=max(dearest, *levels.dca_ticks, 0),
            leverage=levels.leverage,
        ),
        account,
        risk,
    )


def _assemble(
    order: PlanInput,
    levels: LadderLevels,
    entry_lots: int,
    most_lots: int,
    strategy: StrategyConfig,
    risk: RiskConfig,
) -> TradePlan:
    ladder, sign = strategy.ladder, order.side.sign
    targets = [
        Target(
            target.fraction, levels.entry_ticks + sign * ticks_away(levels.entry_ticks, bps), bps
        )
        for target, bps in zip(ladder.targets, levels.target_bps, strict=True)
    ]
    legs = take_profit_legs(entry_lots, targets, order.instrument, last_takes_rest=True)
    return TradePlan(
        plan_id=order.plan_id,
        profile="ladder",
        symbol=order.instrument.symbol,
        side=order.side,
        qty_lots=entry_lots,
        leverage=levels.leverage,
        entry=entry_plan(levels.entry_ticks, strategy),
        stop=StopPlan(
            price_ticks=levels.stop_ticks(levels.entry_ticks),
            trigger_by=strategy.stop_trigger_by,
            distance_bps=levels.stop_bps,
        ),
        take_profits=legs,
        dca_levels=_dca_legs(levels, entry_lots, most_lots, order.instrument),
        trailing=None,
        break_even_after_tp=min(ladder.break_even_after_tp, len(legs)) or None,
        time_stop_s=ladder.time_stop_s,
        required_hit_rate=_required_hit_rate(ladder, levels, strategy, risk),
        client_tag="ladder",
    )


def _dca_legs(
    levels: LadderLevels, entry_lots: int, most_lots: int, instrument: Instrument
) -> tuple[DcaLevel, ...]:
    """Averaging orders; one too small for the venue merges into the next, a last one is left out."""
    legs, carried, room = [], 0, most_lots - entry_lots
    for ticks, weight in zip(levels.dca_ticks, levels.weights, strict=True):
        lots = min(carried + math.floor(entry_lots * weight), room)
        if is_tradable(lots, ticks, instrument):
            legs.append(DcaLevel(price_ticks=ticks, qty_lots=lots))
            room -= lots
            carried = 0
        else:
            carried = lots
    return tuple(legs)


def _worst_sizing(
    plan: TradePlan, sizing: Sizing, instrument: Instrument, risk: RiskConfig
) -> Sizing:
    """What the plan, as it is, holds and loses with every averaging order filled."""
    lots, average = worst_position(plan)
    unit = instrument.tick_lot_usdt
    share = (plan.stop.distance_bps or 0.0) + risk.taker_fee_bps + risk.stop_slippage_bps
    notional = average * lots * unit
    return Sizing(
        qty_lots=lots,
        notional_usdt=notional,
        risk_usdt=notional * share / 1e4,
        capped_by=sizing.capped_by,
    )


def worst_position(plan: TradePlan) -> tuple[int, float]:
    """(lots, average entry in ticks) with the entry and every averaging order filled as planned."""
    legs = [(plan.entry.price_ticks or 0, plan.qty_lots)]
    legs += [(level.price_ticks, level.qty_lots) for level in plan.dca_levels]
    lots = sum(qty for _, qty in legs)
    return lots, sum(price * qty for price, qty in legs) / lots


def liquidation_refusals(
    plan: TradePlan, instrument: Instrument, risk: RiskConfig
) -> tuple[str, ...]:
    """Why the venue would take the position over before its stop; empty when it would not.

    Pure and repeated by execution before the first order leaves.
    """
    lots, average_ticks = worst_position(plan)
    average = Decimal(repr(average_ticks)) * instrument.tick_size
    qty, leverage = instrument.lots_to_qty(lots), Decimal(repr(plan.leverage))
    table, sign = MarginTable(risk.margin_tiers), plan.side.sign
    value = average * qty
    if value > table.largest_value_at(leverage):
        return (f"{plan.leverage:g}x is not allowed for a position of {float(value):.0f} USDT",)
    liquidation = liquidation_price(sign, average, qty, leverage, table)
    distance_bps = plan.stop.distance_bps
    if distance_bps is None:
        stop = instrument.ticks_to_price(plan.stop.price_ticks)
    else:
        stop = average * (1 - sign * Decimal(repr(distance_bps)) / 10_000)
    gap_pct = (stop - liquidation) * sign / average * 100
    if gap_pct >= Decimal(repr(risk.liq_buffer_pct)):
        return ()
    words = (
        f"with every order filled the stop at {float(stop):g} is {float(gap_pct):.2f} % of price from "
        f"liquidation at {float(liquidation):g} (needs {risk.liq_buffer_pct:g} %)"
    )
    return (words,)


def _day_refusals(worst: Sizing, account: AccountRisk, risk: RiskConfig) -> tuple[str, ...]:
    """The worst loss on top of the day's must not reach what forces everything closed."""
    began_with = account.equity - account.daily_pnl
    lost_pct = (worst.risk_usdt - account.daily_pnl) / began_with * 100 if began_with > 0 else 0.0
    if lost_pct < risk.daily_loss_close_pct:
        return ()
    words = (
        f"its worst loss would bring the day's loss to {lost_pct:.2f} % "
        f"(limit {risk.daily_loss_close_pct:g} %)"
    )
    return (words,)


def _required_hit_rate(
    ladder: LadderSettings, levels: LadderLevels, strategy: StrategyConfig, risk: RiskConfig
) -> float:
    """Share of winners to break even without averaging: all targets as maker against the full stop."""
    gained = sum(t.fraction * bps for t, bps in zip(ladder.targets, levels.target_bps, strict=True))
    left = max(0.0, 1.0 - sum(target.fraction for target in ladder.targets))
    win_bps = gained + left * levels.target_bps[-1] - 2 * risk.maker_fee_bps
    loss_bps = (
        levels.stop_bps + risk.maker_fee_bps + risk.taker_fee_bps + strategy.taker_slippage_bps
    )
    return loss_bps / (max(0.0, win_bps) + loss_bps)


def _mean(values: tuple[int, ...], weights: tuple[float, ...]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
