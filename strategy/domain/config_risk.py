"""The risk section of the trading config (pipeline §5): strategy sizes with it, execution enforces it.

Percentages are in percent (0.25 means 0.25 %), bps = 1/10,000 of notional. Limits marked account-wide
cannot be set for one symbol.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from failover.domain.config_sections import ACCOUNT_WIDE, SYMBOL_NAMES
from strategy.domain.margin import DEFAULT_TIERS, MarginTier, tier_faults


class CorrelationGroup(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Symbols that tend to move together: several positions in them are nearly one."""

    name: Annotated[str, Meta(description="Name shown in reasons.", min_length=1, max_length=40)]
    symbols: Annotated[
        tuple[str, ...],
        Meta(
            description="Members, such as BTCUSDT.",
            min_length=1,
            max_length=1000,
            extra=SYMBOL_NAMES,
        ),
    ]
    max_positions: Annotated[
        int, Meta(description="Positions and pending entries in the group at a time.", ge=1, le=500)
    ]


class RiskConfig(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Limits of pipeline §5 and the fees; strategy sizes with them, execution enforces them."""

    maker_fee_bps: Annotated[
        float,
        Meta(
            description="Maker fee in SIM and REPLAY, bps of notional.",
            ge=-5,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 2.0
    taker_fee_bps: Annotated[
        float,
        Meta(
            description="Taker fee in SIM and REPLAY, bps of notional.",
            ge=0,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 5.5
    risk_per_trade_pct: Annotated[
        float, Meta(description="Equity lost if the stop is hit, percent.", gt=0, le=5)
    ] = 0.25
    max_notional_usd: Annotated[
        float, Meta(description="Largest position of one symbol, USD.", gt=0, le=1e12)
    ] = 10_000.0
    leverage: Annotated[
        float, Meta(description="Leverage asked of the venue and the cap of sizing.", ge=1, le=100)
    ] = 5.0
    max_leverage: Annotated[
        float, Meta(description="Highest leverage any plan may ask of the venue.", ge=1, le=200)
    ] = 25.0
    liq_buffer_pct: Annotated[
        float,
        Meta(
            description="Least gap from stop to liquidation price, percent of price.", ge=0, le=50
        ),
    ] = 0.5
    margin_tiers: Annotated[
        tuple[MarginTier, ...],
        Meta(
            description="Risk-limit table a plan's liquidation price is reckoned with.",
            max_length=200,
        ),
    ] = DEFAULT_TIERS
    sizing_reserve_pct: Annotated[
        float,
        Meta(
            description="Part of margin, heat and notional left unused when sizing: prices move"
            " before the order arrives, percent.",
            ge=0,
            le=50,
        ),
    ] = 1.0
    max_depth_share_pct: Annotated[
        float,
        Meta(description="Largest share of the near side's 20 levels, percent.", gt=0, le=100),
    ] = 10.0
    stop_slippage_bps: Annotated[
        float, Meta(description="Slippage expected of a stop, bps.", ge=0, le=1000)
    ] = 2.0
    max_heat_pct: Annotated[
        float,
        Meta(
            description="Sum of open risk to stop over equity, percent.",
            gt=0,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 2.0
    max_positions: Annotated[
        int,
        Meta(
            description="Positions and pending entries at a time.",
            ge=1,
            le=500,
            extra=ACCOUNT_WIDE,
        ),
    ] = 3
    groups: Annotated[
        tuple[CorrelationGroup, ...],
        Meta(
            description="Symbols that move together, and how many of each group.",
            max_length=500,
            extra=ACCOUNT_WIDE,
        ),
    ] = ()
    max_trades_per_hour: Annotated[
        int,
        Meta(
            description="Entries within an hour, account-wide.",
            ge=1,
            le=100_000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 60
    daily_loss_limit_pct: Annotated[
        float,
        Meta(
            description="Day's loss that stops entries until UTC midnight, percent.",
            gt=0,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 2.0
    daily_loss_close_pct: Annotated[
        float,
        Meta(
            description="Day's loss that forces all positions closed, percent.",
            gt=0,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 3.0
    loss_streak: Annotated[
        int,
        Meta(
            description="Losing trades in a row that pause entries.",
            ge=1,
            le=1000,
            extra=ACCOUNT_WIDE,
        ),
    ] = 4
    loss_streak_pause_s: Annotated[
        int,
        Meta(
            description="Length of that pause, s.",
            ge=0,
            le=86_400,
            extra=ACCOUNT_WIDE,
        ),
    ] = 900
    max_drawdown_pct: Annotated[
        float,
        Meta(
            description="Fall from the equity peak that stops entries, percent.",
            gt=0,
            le=100,
            extra=ACCOUNT_WIDE,
        ),
    ] = 10.0
    funding_guard_s: Annotated[
        int, Meta(description="No entry this close before paying funding, s.", ge=0, le=28_800)
    ] = 60

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other; each text names both fields."""
        reasons = tier_faults(self.margin_tiers)
        if self.daily_loss_close_pct < self.daily_loss_limit_pct:
            reasons.append("dailyLossClosePct is below dailyLossLimitPct")
        if self.risk_per_trade_pct > self.max_heat_pct:
            reasons.append("riskPerTradePct is above maxHeatPct: no trade would ever fit")
        if self.leverage > self.max_leverage:
            reasons.append(f"leverage {self.leverage:g} is above maxLeverage {self.max_leverage:g}")
        names = [group.name for group in self.groups]
        if len(names) != len(set(names)):
            reasons.append("groups: two groups have the same name")
        if reasons:
            raise ValueError("; ".join(reasons))
