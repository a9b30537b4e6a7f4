"""The trade plan `scalp` (pipeline §6): maker in, maker out at a profit, take only to stop."""

from __future__ import annotations

import math

import msgspec

from strategy.domain.config import RiskConfig, StrategyConfig
from strategy.domain.messages import StopPlan, TradePlan, Trailing
from strategy.domain.plan import (
    PlanInput,
    Planned,
    Target,
    dearest_entry_ticks,
    entry_plan,
    maker_entry_ticks,
    range_refusals,
    take_profit_legs,
    ticks_away,
    touch_refusals,
)
from strategy.domain.risk import AccountRisk
from strategy.domain.sizing import Sizing, SizingInput, size_entry


class ScalpLevels(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of the plan in ticks, distances in bps."""

    entry_ticks: int
    stop_ticks: int
    tp1_ticks: int
    tp2_ticks: int
    stop_bps: float
    tp1_bps: float
    tp2_bps: float


def plan_scalp(
    order: PlanInput, account: AccountRisk, strategy: StrategyConfig, risk: RiskConfig
) -> Planned:
    """Levels, then size, then legs; refused in words when any of them cannot be."""
    if refusals := (*touch_refusals(order), *_volatility_refusals(order)):
        return Planned(None, None, refusals)
    levels = scalp_levels(order, strategy, risk)
    if refusals := range_refusals(order.instrument, (levels.stop_ticks, levels.tp2_ticks)):
        return Planned(None, None, refusals)
    sizing = size_entry(
        SizingInput(
            instrument=order.instrument,
            entry_ticks=levels.entry_ticks,
            stop_ticks=levels.stop_ticks,
            near_depth_usd=order.near_depth_usd,
            worst_entry_ticks=dearest_entry_ticks(levels.entry_ticks, order.side, strategy),
        ),
        account,
        risk,
    )
    if sizing.refusals:
        return Planned(None, sizing, sizing.refusals)
    return Planned(_assemble(order, levels, sizing, strategy, risk), sizing)


def _volatility_refusals(order: PlanInput) -> tuple[str, ...]:
    """The stop is made of it: taken for nothing, the stop would be the nearest and the size the largest."""
    return ("volatility (rv60s) is not known yet",) if math.isnan(order.rv60s) else ()


def scalp_levels(order: PlanInput, strategy: StrategyConfig, risk: RiskConfig) -> ScalpLevels:
    """Entry at the touch (or a tick inside), stop behind it, two take-profits beyond it.

    TP1 lies at least one tick beyond the break-even stop (both fees and a tick), so that the stop which
    follows its fill is always inside it, however coarse the ticks are.
    """
    volatility_bps = order.rv60s * math.sqrt(strategy.horizon_s)
    stop_bps = max(strategy.stop_vol_x * volatility_bps, strategy.stop_cost_x * order.cost_bps)
    break_even_bps = risk.maker_fee_bps + risk.taker_fee_bps
    tp1_bps = max(strategy.tp1_cost_x * order.cost_bps, break_even_bps + strategy.tp1_margin_bps)
    tp2_bps = max(strategy.tp2_r * stop_bps, tp1_bps)
    entry = maker_entry_ticks(order, strategy.entry_ticks_inside)
    sign = order.side.sign
    tp1_away = max(ticks_away(entry, tp1_bps), ticks_away(entry, break_even_bps) + 2)
    tp2_away = max(ticks_away(entry, tp2_bps), tp1_away + 1)
    return ScalpLevels(
        entry_ticks=entry,
        stop_ticks=entry - sign * ticks_away(entry, stop_bps),
        tp1_ticks=entry + sign * tp1_away,
        tp2_ticks=entry + sign * tp2_away,
        stop_bps=stop_bps,
        tp1_bps=max(tp1_bps, (tp1_away - 1) / entry * 1e4),
        tp2_bps=max(tp2_bps, (tp2_away - 1) / entry * 1e4),
    )


def _assemble(
    order: PlanInput,
    levels: ScalpLevels,
    sizing: Sizing,
    strategy: StrategyConfig,
    risk: RiskConfig,
) -> TradePlan:
    legs = take_profit_legs(
        sizing.qty_lots,
        [
            Target(strategy.tp1_fraction, levels.tp1_ticks, levels.tp1_bps),
            Target(strategy.tp2_fraction, levels.tp2_ticks, levels.tp2_bps),
        ],
        order.instrument,
    )
    return TradePlan(
        plan_id=order.plan_id,
        profile="scalp",
        symbol=order.instrument.symbol,
        side=order.side,
        qty_lots=sizing.qty_lots,
        leverage=min(risk.leverage, float(order.instrument.max_leverage)),
        entry=entry_plan(levels.entry_ticks, strategy),
        stop=StopPlan(
            price_ticks=levels.stop_ticks,
            trigger_by=strategy.stop_trigger_by,
            distance_bps=levels.stop_bps,
        ),
        take_profits=legs,
        trailing=Trailing(
            activate_bps=levels.tp1_bps, distance_bps=strategy.trail_r * levels.stop_bps
        ),
        break_even_after_tp=1 if legs else None,
        time_stop_s=strategy.time_stop_s,
        required_hit_rate=required_hit_rate(levels, strategy, risk),
        client_tag="scalp",
    )


def required_hit_rate(levels: ScalpLevels, strategy: StrategyConfig, risk: RiskConfig) -> float:
    """Share of trades that must win for the plan to break even.

    A win reaches both take-profits and its rest leaves at TP2 as a maker; a loss is the full stop, taken,
    with its slippage: rate = loss / (win + loss).
    """
    fraction = strategy.tp1_fraction
    win_bps = fraction * levels.tp1_bps + (1.0 - fraction) * levels.tp2_bps - 2 * risk.maker_fee_bps
    loss_bps = (
        levels.stop_bps + risk.maker_fee_bps + risk.taker_fee_bps + strategy.taker_slippage_bps
    )
    return loss_bps / (max(0.0, win_bps) + loss_bps)
