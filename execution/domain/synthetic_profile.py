"""What kind of market each synthetic symbol is: price, activity, depth, volatility, predictability.

Figures are of the size seen on the real contracts; docs/synthetic-market.md says what comes out of them.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class SymbolProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's character. Sizes are USDT notionals, distances bps of the price, rates per second."""

    symbol: str
    start_price: float
    volatility_bps: float  # per sqrt(s), of the fair price in the NORMAL condition
    beta: float  # share of the common factor, relative to BTCUSDT
    market_order_rate: float  # both sides together, after self-excitation
    trade_median_usd: float
    trade_sigma: float  # of the logarithm
    half_spread_bps: float  # how far from fair the liquidity providers quote
    near_reach_bps: float  # mean distance of near limit orders behind the touch
    far_reach_bps: float
    limit_order_rate: float
    near_life_s: float
    order_median_usd: float
    order_sigma: float
    open_interest_usd: float
    has_episodes: bool  # pumps, dumps and thin books happen here
    ring: int
    capacity: int = 8192


class FlowRules(NamedTuple):
    """A profile in the kernel's units: ticks, lots, seconds. See `synthetic_flow` for their use."""

    news_rate: float
    news_scale_bps: float
    impact_bps: float
    mean_impact_weight: float
    base_rate: float
    excite_self: float
    excite_cross: float
    excite_decay: float
    trade_log_median_lots: float
    trade_sigma: float
    limit_rate: float
    limit_excite: float
    limit_decay: float
    cancel_rate_near: float
    cancel_rate_far: float
    half_spread_bps: float
    informed_above_bps: float
    near_reach_bps: float
    far_reach_bps: float
    order_log_median_lots: float
    order_sigma: float
    signal_half_life_s: float
    drift_lag_s: float
    drift_bps_per_s: float
    size_tilt: float
    flow_tilt: float
    beta: float
    tick_size: float
    qty_step: float
    price_unit: float
    interest_scale: float


BTC = SymbolProfile(
    symbol="BTCUSDT",
    start_price=86_700.0,
    volatility_bps=0.9,
    beta=1.0,
    market_order_rate=9.0,
    trade_median_usd=900.0,
    trade_sigma=1.5,
    half_spread_bps=0.004,
    near_reach_bps=0.7,
    far_reach_bps=12.0,
    limit_order_rate=240.0,
    near_life_s=2.0,
    order_median_usd=9_000.0,
    order_sigma=1.2,
    open_interest_usd=5.2e9,
    has_episodes=False,
    ring=1 << 16,
)
ETH = msgspec.structs.replace(
    BTC,
    symbol="ETHUSDT",
    start_price=2_850.0,
    volatility_bps=1.3,
    beta=1.15,
    market_order_rate=7.0,
    trade_median_usd=600.0,
    half_spread_bps=0.02,
    near_reach_bps=1.2,
    far_reach_bps=18.0,
    limit_order_rate=180.0,
    near_life_s=2.5,
    order_median_usd=6_000.0,
    open_interest_usd=1.9e9,
    ring=1 << 16,
)
AI16Z = SymbolProfile(
    symbol="AI16ZUSDT",
    start_price=0.16420,
    volatility_bps=2.6,
    beta=1.3,
    market_order_rate=1.8,
    trade_median_usd=180.0,
    trade_sigma=1.3,
    half_spread_bps=0.9,
    near_reach_bps=5.0,
    far_reach_bps=90.0,
    limit_order_rate=60.0,
    near_life_s=4.0,
    order_median_usd=900.0,
    order_sigma=1.0,
    open_interest_usd=1.4e7,
    has_episodes=True,
    ring=1 << 14,
)
GRIFFAIN = msgspec.structs.replace(
    AI16Z,
    symbol="GRIFFAINUSDT",
    start_price=0.021850,
    volatility_bps=3.1,
    beta=1.1,
    market_order_rate=1.4,
    trade_median_usd=140.0,
    half_spread_bps=1.2,
    near_reach_bps=6.0,
    limit_order_rate=50.0,
    order_median_usd=750.0,
    open_interest_usd=8.0e6,
)
PROFILES: dict[str, SymbolProfile] = {
    profile.symbol: profile for profile in (BTC, ETH, AI16Z, GRIFFAIN)
}
DEFAULT_SYMBOLS: tuple[str, ...] = tuple(PROFILES)


def extra_profile(number: int) -> SymbolProfile:
    """The generic alt SYNnnUSDT for load tests: a milder AI16ZUSDT at another price."""
    return msgspec.structs.replace(
        AI16Z,
        symbol=f"SYN{number:02d}USDT",
        start_price=0.5 * (1 + number % 7),
        volatility_bps=1.8,
        beta=1.0,
        market_order_rate=3.0,
        has_episodes=False,
        ring=1 << 15,
    )
