"""Size of an entry (pipeline §5): the risk budget over the loss at the stop, under every cap."""

from __future__ import annotations

import msgspec

from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.risk import AccountRisk


class SizingInput(msgspec.Struct, frozen=True, kw_only=True):
    """One entry to be sized; `near_depth_usd` is the book side its stop would be filled from."""

    instrument: Instrument
    entry_ticks: int
    stop_ticks: int
    near_depth_usd: float
    worst_entry_ticks: int | None = None  # dearest price it may be re-priced to; None = never
    leverage: float | None = None  # of the plan; None = the config's


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """`qty_lots` is 0 exactly when `refusals` says why; `capped_by` names the binding limit."""

    qty_lots: int
    notional_usdt: float
    risk_usdt: float
    capped_by: str
    refusals: tuple[str, ...] = ()


def loss_at_stop_bps(entry_ticks: int, stop_ticks: int, config: RiskConfig) -> float:
    """Stop distance plus the taker exit and its slippage, bps of the entry price."""
    distance_bps = abs(entry_ticks - stop_ticks) / entry_ticks * 1e4
    return distance_bps + config.taker_fee_bps + config.stop_slippage_bps


def size_entry(order: SizingInput, account: AccountRisk, config: RiskConfig) -> Sizing:
    """Largest whole number of lots that fits risk per trade and every cap; rounded down.

    qty = equity * risk_per_trade_pct / (stop distance + exit fee + stop slippage), capped by
    `max_notional_usd`, leverage on what is available, depth and the heat that is left.
    """
    loss_share = loss_at_stop_bps(order.entry_ticks, order.stop_ticks, config) / 1e4
    caps = _notional_caps(order, account, config, loss_share)
    binding = min(caps, key=caps.__getitem__)
    instrument = order.instrument
    dearest = max(order.entry_ticks, order.worst_entry_ticks or 0)
    price = float(instrument.ticks_to_price(dearest))
    lots = instrument.round_qty_down(max(0.0, caps[binding]) / price)
    lots = min(lots, instrument.most_lots)
    refusals = instrument.refusals(order.entry_ticks, lots, is_market=False, reduce_only=False)
    if refusals:
        why = (f"size allowed by {binding} is too small for the venue", *refusals)
        return Sizing(qty_lots=0, notional_usdt=0.0, risk_usdt=0.0, capped_by=binding, refusals=why)
    notional = float(instrument.notional(order.entry_ticks, lots))
    return Sizing(
        qty_lots=lots, notional_usdt=notional, risk_usdt=notional * loss_share, capped_by=binding
    )


def _notional_caps(
    order: SizingInput, account: AccountRisk, config: RiskConfig, loss_share: float
) -> dict[str, float]:
    """Largest notional each limit allows, USDT; an unknown depth (NaN) allows nothing."""
    usable = 1.0 - config.sizing_reserve_pct / 100
    heat_left_pct = (config.max_heat_pct - account.heat_pct) * usable
    leverage = order.leverage or config.leverage
    depth_usd = order.near_depth_usd if order.near_depth_usd > 0 else 0.0
    return {
        "risk per trade": account.equity * config.risk_per_trade_pct / 100 / loss_share,
        "maximum notional": config.max_notional_usd * usable,
        "leverage": max(0.0, account.available) * leverage * usable,
        "book depth": depth_usd * config.max_depth_share_pct / 100,
        "remaining heat": account.equity * max(0.0, heat_left_pct) / 100 / loss_share,
    }
