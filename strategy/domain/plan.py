"""What every trade plan is made of (pipeline §6): the frame's figures in, prices and legs out.

Distances are bps of the entry price, turned into whole ticks away from the entry: the stop rounds to the
far side, and so do take-profits, so that no rounding makes a plan look cheaper than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from market.domain.instruments import Instrument
from strategy.domain.config import StrategyConfig
from strategy.domain.messages import EntryPlan, Side, TakeProfitLevel, TradePlan
from strategy.domain.sizing import Sizing


class PlanInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made from: the touch and the figures of one frame, and who asks."""

    instrument: Instrument
    side: Side
    bid_ticks: int
    ask_ticks: int
    rv60s: float  # bps per sqrt(second); NaN before there is one
    cost_bps: float  # planned round trip, see strategy.domain.gate
    near_depth_usd: float
    plan_id: str


class Planned(msgspec.Struct, frozen=True):
    """A plan with its worst-case loss, or the reasons why there is none."""

    plan: TradePlan | None
    sizing: Sizing | None
    refusals: tuple[str, ...] = ()


class Target(NamedTuple):
    """A wanted take-profit: share of the position, price, distance from the average entry."""

    fraction: float
    price_ticks: int
    distance_bps: float | None = None


def touch_refusals(order: PlanInput) -> tuple[str, ...]:
    if 0 < order.bid_ticks < order.ask_ticks:
        return ()
    return ("the book has no valid touch",)


def range_refusals(instrument: Instrument, ticks: Sequence[int]) -> tuple[str, ...]:
    """Every price of a plan must be one that the venue takes."""
    lowest, highest = instrument.ticks_to_price(min(ticks)), instrument.ticks_to_price(max(ticks))
    if lowest < instrument.min_price or highest > instrument.max_price:
        return ("stop or take-profit would leave the venue's price range",)
    return ()


def maker_entry_ticks(order: PlanInput, ticks_inside: int) -> int:
    """A price that cannot take: inside the spread only where there is room for it."""
    inside = ticks_inside if order.ask_ticks - order.bid_ticks > ticks_inside else 0
    if order.side is Side.LONG:
        return order.bid_ticks + inside
    return order.ask_ticks - inside


def entry_plan(price_ticks: int, strategy: StrategyConfig) -> EntryPlan:
    return EntryPlan(
        type="LIMIT",
        price_ticks=price_ticks,
        time_in_force="PostOnly",
        timeout_ms=strategy.entry_timeout_ms,
        max_reprices=strategy.max_reprices,
        max_chase_bps=strategy.max_chase_bps,
    )


def dearest_entry_ticks(price_ticks: int, side: Side, strategy: StrategyConfig) -> int:
    """The highest price the entry may be re-priced to; a short is only ever re-priced down."""
    if side is Side.SHORT or not strategy.max_reprices:
        return price_ticks
    return price_ticks + math.floor(price_ticks * strategy.max_chase_bps / 1e4)


def ticks_away(entry_ticks: float, distance_bps: float) -> int:
    return max(1, math.ceil(entry_ticks * distance_bps / 1e4))


def take_profit_legs(
    qty_lots: int,
    wanted: Sequence[Target],
    instrument: Instrument,
    *,
    last_takes_rest: bool = False,
) -> tuple[TakeProfitLevel, ...]:
    """Split `qty_lots` over the targets, nearest first; what is left over trails.

    A leg below the venue's least quantity or notional merges into the next, and a rest below it into
    the last leg. The legs never sum to more than `qty_lots`.
    """
    legs: list[TakeProfitLevel] = []
    carried = 0
    for target in wanted:
        lots = carried + math.floor(qty_lots * target.fraction)
        if is_tradable(lots, target.price_ticks, instrument):
            legs.append(
                TakeProfitLevel(
                    price_ticks=target.price_ticks, qty_lots=lots, distance_bps=target.distance_bps
                )
            )
            carried = 0
        else:
            carried = lots
    rest = qty_lots - sum(leg.qty_lots for leg in legs)
    if (
        legs
        and rest
        and (last_takes_rest or not is_tradable(rest, legs[-1].price_ticks, instrument))
    ):
        last = legs[-1]
        legs[-1] = TakeProfitLevel(
            price_ticks=last.price_ticks,
            qty_lots=last.qty_lots + rest,
            distance_bps=last.distance_bps,
        )
    return tuple(legs)


def is_tradable(lots: int, price_ticks: int, instrument: Instrument) -> bool:
    """Whether the venue takes an order of `lots` at that price."""
    return lots > 0 and not instrument.refusals(
        price_ticks, lots, is_market=False, reduce_only=False
    )
