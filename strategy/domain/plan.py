"""The trade plan `scalp` (pipeline §6): maker in, maker out at a profit, take only to stop.

Distances are bps of the entry price, turned into whole ticks away from the entry: the stop rounds to the
far side, and so do take-profits, so that no rounding makes a plan look cheaper than it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from market.domain.instruments import Instrument
from strategy.domain.config import DecisionConfig
from strategy.domain.messages import (
    EntryPlan,
    Side,
    StopPlan,
    TakeProfitLevel,
    TradePlan,
    Trailing,
)
from strategy.domain.risk import AccountRisk, Sizing, SizingInput, size_entry


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """What a plan is made from: the touch and the figures of one frame, and who asks."""

    instrument: Instrument
    side: Side
    bid_ticks: int
    ask_ticks: int
    rv60s: float  # bps per sqrt(second); NaN before there is one
    cost_bps: float  # planned round trip, see strategy.domain.gate
    near_depth_usd: float
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalpLevels:
    """Prices of the plan in ticks, distances in bps."""

    entry_ticks: int
    stop_ticks: int
    tp1_ticks: int
    tp2_ticks: int
    stop_bps: float
    tp1_bps: float
    tp2_bps: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with its worst-case loss, or the reasons why there is none."""

    plan: TradePlan | None
    sizing: Sizing | None
    refusals: tuple[str, ...] = ()


def plan_scalp(order: PlanInput, account: AccountRisk, config: DecisionConfig) -> Planned:
    """Levels, then size, then legs; refused in words when any of them cannot be."""
    if not 0 < order.bid_ticks < order.ask_ticks:
        return Planned(None, None, ("the book has no valid touch",))
    levels = scalp_levels(order, config)
    lowest = min(levels.stop_ticks, levels.tp2_ticks)
    highest = max(levels.stop_ticks, levels.tp2_ticks)
    if (
        order.instrument.ticks_to_price(lowest) < order.instrument.min_price
        or order.instrument.ticks_to_price(highest) > order.instrument.max_price
    ):
        return Planned(None, None, ("stop or take-profit would leave the venue's price range",))
    sizing = size_entry(
        SizingInput(
            instrument=order.instrument,
            entry_ticks=levels.entry_ticks,
            stop_ticks=levels.stop_ticks,
            near_depth_usd=order.near_depth_usd,
        ),
        account,
        config.risk,
    )
    if sizing.refusals:
        return Planned(None, sizing, sizing.refusals)
    return Planned(_assemble(order, levels, sizing, config), sizing)


def scalp_levels(order: PlanInput, config: DecisionConfig) -> ScalpLevels:
    """Entry at the touch (or a tick inside), stop behind it, two take-profits beyond it."""
    strategy, risk = config.strategy, config.risk
    volatility_bps = 0.0 if math.isnan(order.rv60s) else order.rv60s * math.sqrt(strategy.horizon_s)
    stop_bps = max(strategy.stop_vol_x * volatility_bps, strategy.stop_cost_x * order.cost_bps)
    break_even_bps = risk.maker_fee_bps + risk.taker_fee_bps
    tp1_bps = max(strategy.tp1_cost_x * order.cost_bps, break_even_bps + strategy.tp1_margin_bps)
    tp2_bps = max(strategy.tp2_r * stop_bps, tp1_bps)
    entry = _maker_entry(order, strategy.entry_ticks_inside)
    sign = order.side.sign
    tp1_away = _ticks_away(entry, tp1_bps)
    return ScalpLevels(
        entry_ticks=entry,
        stop_ticks=entry - sign * _ticks_away(entry, stop_bps),
        tp1_ticks=entry + sign * tp1_away,
        tp2_ticks=entry + sign * max(_ticks_away(entry, tp2_bps), tp1_away + 1),
        stop_bps=stop_bps,
        tp1_bps=tp1_bps,
        tp2_bps=tp2_bps,
    )


def _maker_entry(order: PlanInput, ticks_inside: int) -> int:
    """A price that cannot take: inside the spread only where there is room for it."""
    inside = ticks_inside if order.ask_ticks - order.bid_ticks > ticks_inside else 0
    if order.side is Side.LONG:
        return order.bid_ticks + inside
    return order.ask_ticks - inside


def _ticks_away(entry_ticks: int, distance_bps: float) -> int:
    return max(1, math.ceil(entry_ticks * distance_bps / 1e4))


def _assemble(
    order: PlanInput, levels: ScalpLevels, sizing: Sizing, config: DecisionConfig
) -> TradePlan:
    strategy = config.strategy
    legs = take_profit_legs(
        sizing.qty_lots,
        [
            (strategy.tp1_fraction, levels.tp1_ticks),
            (strategy.tp2_fraction, levels.tp2_ticks),
        ],
        order.instrument,
    )
    return TradePlan(
        plan_id=order.plan_id,
        profile="scalp",
        symbol=order.instrument.symbol,
        side=order.side,
        qty_lots=sizing.qty_lots,
        leverage=min(config.risk.leverage, float(order.instrument.max_leverage)),
        entry=EntryPlan(
            type="LIMIT",
            price_ticks=levels.entry_ticks,
            time_in_force="PostOnly",
            timeout_ms=strategy.entry_timeout_ms,
            max_reprices=strategy.max_reprices,
        ),
        stop=StopPlan(price_ticks=levels.stop_ticks, trigger_by=strategy.stop_trigger_by),
        take_profits=legs,
        trailing=Trailing(
            activate_bps=levels.tp1_bps, distance_bps=strategy.trail_r * levels.stop_bps
        ),
        break_even_after_tp=1 if legs else None,
        time_stop_s=strategy.time_stop_s,
        required_hit_rate=required_hit_rate(levels, config),
        client_tag="scalp",
    )


def take_profit_legs(
    qty_lots: int, wanted: list[tuple[float, int]], instrument: Instrument
) -> tuple[TakeProfitLevel, ...]:
    """Split `qty_lots` over (fraction, price in ticks), nearest first; what is left over trails.

    A leg below the venue's least quantity or notional merges into the next, and a rest below it into
    the last leg. The legs never sum to more than `qty_lots`.
    """
    legs: list[TakeProfitLevel] = []
    carried = 0
    for fraction, price_ticks in wanted:
        lots = carried + math.floor(qty_lots * fraction)
        if _is_tradable(lots, price_ticks, instrument):
            legs.append(TakeProfitLevel(price_ticks=price_ticks, qty_lots=lots))
            carried = 0
        else:
            carried = lots
    rest = qty_lots - sum(leg.qty_lots for leg in legs)
    if legs and rest and not _is_tradable(rest, legs[-1].price_ticks, instrument):
        last = legs[-1]
        legs[-1] = TakeProfitLevel(price_ticks=last.price_ticks, qty_lots=last.qty_lots + rest)
    return tuple(legs)


def _is_tradable(lots: int, price_ticks: int, instrument: Instrument) -> bool:
    return lots > 0 and not instrument.refusals(
        price_ticks, lots, is_market=False, reduce_only=False
    )


def required_hit_rate(levels: ScalpLevels, config: DecisionConfig) -> float:
    """Share of trades that must win for the plan to break even.

    A win reaches both take-profits and its rest leaves at TP2 as a maker; a loss is the full stop, taken,
    with its slippage: rate = loss / (win + loss).
    """
    strategy, risk = config.strategy, config.risk
    fraction = strategy.tp1_fraction
    win_bps = fraction * levels.tp1_bps + (1.0 - fraction) * levels.tp2_bps - 2 * risk.maker_fee_bps
    loss_bps = (
        levels.stop_bps + risk.maker_fee_bps + risk.taker_fee_bps + strategy.taker_slippage_bps
    )
    return loss_bps / (max(0.0, win_bps) + loss_bps)
