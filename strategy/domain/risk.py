"""Risk limits and sizing (pipeline §5): pure, and used twice.

Strategy sizes and gates with it; execution enforces the same limits account-wide. Money in USDT,
percentages in percent, distances in bps of the entry price, quantities in whole lots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import RiskFlags, RiskSnapshot, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A position, or an entry that may still become one (then at its worst case)."""

    symbol: str
    side: Side
    notional_usdt: float
    risk_usdt: (
        float  # loss if the stop is hit now, fees included; negative when the stop is in profit
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRisk:
    """All the account-wide figures the limits look at, at core time `ts_ns`."""

    ts_ns: int
    equity: float
    available: float
    equity_peak: float
    realized_pnl_today: float
    unrealized_pnl: float
    exposures: tuple[Exposure, ...]  # positions and orders in doubt, one per symbol
    trades_this_hour: int = 0
    losses_in_row: int = 0
    paused_until_ns: int = 0  # end of a loss-streak pause

    @property
    def daily_pnl(self) -> float:
        """Net result of the UTC day so far, open positions included."""
        return self.realized_pnl_today + self.unrealized_pnl

    @property
    def daily_pnl_pct(self) -> float:
        """Percent of the equity the day began with."""
        began_with = self.equity - self.daily_pnl
        return 100.0 * self.daily_pnl / began_with if began_with > 0 else 0.0

    @property
    def drawdown_pct(self) -> float:
        peak = max(self.equity_peak, self.equity)
        return 100.0 * (peak - self.equity) / peak if peak > 0 else 0.0

    @property
    def heat_pct(self) -> float:
        """Open risk to stop over equity; a stop in profit does not pay for another trade's risk."""
        open_risk = math.fsum(max(0.0, exposure.risk_usdt) for exposure in self.exposures)
        return 100.0 * open_risk / self.equity if self.equity > 0 else math.inf


def assess(account: AccountRisk, config: RiskConfig) -> RiskSnapshot:
    """The account against its limits: what may still be opened, and every reason why not."""
    reasons = account_stops(account, config) + _capacity_stops(account, config)
    force_close = account.daily_pnl_pct <= -config.daily_loss_close_pct
    if force_close:
        reasons.append(
            f"day's loss {-account.daily_pnl_pct:.2f} % beyond {config.daily_loss_close_pct:g} %: "
            "all positions are to be closed"
        )
    allowed = not reasons
    return RiskSnapshot(
        ts_ns=account.ts_ns,
        equity=account.equity,
        available=account.available,
        daily_pnl=account.daily_pnl,
        drawdown_pct=account.drawdown_pct,
        heat_pct=account.heat_pct,
        open_positions=len(account.exposures),
        flags=RiskFlags(
            risk_allow_new_positions=allowed,
            risk_allow_new_long=allowed,
            risk_allow_new_short=allowed,
            risk_force_close_all=force_close,
        ),
        reasons=tuple(reasons),
    )


def account_stops(account: AccountRisk, config: RiskConfig) -> list[str]:
    """Reasons that stop every entry and take back those not yet filled."""
    reasons = []
    if not account.equity > 0:
        reasons.append("no equity")
    if account.daily_pnl_pct <= -config.daily_loss_limit_pct:
        reasons.append(
            f"day's loss {-account.daily_pnl_pct:.2f} % reached {config.daily_loss_limit_pct:g} %: "
            "no new positions until UTC midnight"
        )
    if account.drawdown_pct >= config.max_drawdown_pct:
        reasons.append(
            f"equity {account.drawdown_pct:.2f} % below its peak "
            f"(limit {config.max_drawdown_pct:g} %)"
        )
    if account.ts_ns < account.paused_until_ns:
        left_s = (account.paused_until_ns - account.ts_ns) / 1e9
        reasons.append(f"{account.losses_in_row} losses in a row: paused for {left_s:.0f} s more")
    return reasons


def _capacity_stops(account: AccountRisk, config: RiskConfig) -> list[str]:
    """Reasons that stop further entries only: the account holds as much as it may."""
    reasons = []
    if len(account.exposures) >= config.max_positions:
        reasons.append(
            f"{len(account.exposures)} positions and pending entries (limit {config.max_positions})"
        )
    if account.trades_this_hour >= config.max_trades_per_hour:
        reasons.append(
            f"{account.trades_this_hour} entries this hour (limit {config.max_trades_per_hour})"
        )
    if account.heat_pct >= config.max_heat_pct:
        reasons.append(f"heat {account.heat_pct:.2f} % (limit {config.max_heat_pct:g} %)")
    return reasons


def funding_refusals(
    side: Side, funding_rate: float, seconds_to_funding: float, config: RiskConfig
) -> list[str]:
    """Refuse an entry just before it would pay funding; unknown funding (NaN) refuses nothing."""
    pays = funding_rate * side.sign > 0
    if pays and 0 <= seconds_to_funding < config.funding_guard_s:
        return [f"funding of {funding_rate * 1e4:.2f} bps is paid in {seconds_to_funding:.0f} s"]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingInput:
    """One entry to be sized; `near_depth_usd` is the book side its stop would be filled from."""

    instrument: Instrument
    entry_ticks: int
    stop_ticks: int
    near_depth_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
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
    binding = min(caps, key=lambda name: caps[name])
    instrument = order.instrument
    price = float(instrument.ticks_to_price(order.entry_ticks))
    lots = instrument.round_qty_down(max(0.0, caps[binding]) / price)
    most = instrument.qty_to_lots(min(instrument.max_qty, instrument.max_market_qty))
    lots = min(lots, most)
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
    heat_left_pct = config.max_heat_pct - account.heat_pct
    depth_usd = order.near_depth_usd if order.near_depth_usd > 0 else 0.0
    return {
        "risk per trade": account.equity * config.risk_per_trade_pct / 100 / loss_share,
        "maximum notional": config.max_notional_usd,
        "leverage": max(0.0, account.available) * config.leverage,
        "book depth": depth_usd * config.max_depth_share_pct / 100,
        "remaining heat": account.equity * max(0.0, heat_left_pct) / 100 / loss_share,
    }
