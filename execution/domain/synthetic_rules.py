"""From a profile in dollars and basis points to the kernel's rules in ticks, lots and seconds."""

from __future__ import annotations

import math

from execution.domain.synthetic_profile import FlowRules, SymbolProfile
from market.domain.instruments import Instrument

# Where each rule stands in the array: `FlowRules`, in order. The kernels take an array because a tuple of
# 31 numbers is taken apart again in every function.
(
    NEWS_RATE,
    NEWS_SCALE_BPS,
    IMPACT_BPS,
    MEAN_IMPACT_WEIGHT,
    BASE_RATE,
    EXCITE_SELF,
    EXCITE_CROSS,
    EXCITE_DECAY,
    TRADE_LOG_MEDIAN_LOTS,
    TRADE_SIGMA,
    LIMIT_RATE,
    LIMIT_EXCITE,
    LIMIT_DECAY,
    CANCEL_RATE_NEAR,
    CANCEL_RATE_FAR,
    HALF_SPREAD_BPS,
    INFORMED_ABOVE_BPS,
    NEAR_REACH_BPS,
    FAR_REACH_BPS,
    ORDER_LOG_MEDIAN_LOTS,
    ORDER_SIGMA,
    SIGNAL_HALF_LIFE_S,
    DRIFT_LAG_S,
    DRIFT_BPS_PER_S,
    SIZE_TILT,
    FLOW_TILT,
    BETA,
    TICK_SIZE,
    QTY_STEP,
    PRICE_UNIT,
    INTEREST_SCALE,
) = range(len(FlowRules._fields))

IMPACT_POWER = 0.4  # impact grows with size to this power
COMMON_VOLATILITY_BPS = 0.6  # of the common factor, per sqrt(s), at beta 1
COMMON_RATE = 1.0  # jumps of the common factor per second
_NEWS_RATE = 3.0
_IMPACT_SHARE = 0.3  # of the variance comes from order flow
_BRANCHING_SELF, _BRANCHING_CROSS = 0.45, 0.15
_EXCITE_DECAY = 1.5
_LIMIT_DECAY = 4.0
_LIMITS_PER_MARKET_ORDER = 6.0
_FAR_LIVES = 10.0  # a far order lives so many near lives
_INFORMED_ABOVE = 0.25  # a jump of this share of a second's volatility draws an informed taker
_SIGNAL_HALF_LIFE_S = 14.0
_DRIFT_LAG_S = 3.0
# Drift at one standard deviation of the signal, bps per second for each bps/sqrt(s) of volatility.
_DRIFT_PER_VOLATILITY = 0.16
_SIZE_TILT = 0.55
_FLOW_TILT = 0.35


def flow_rules(
    profile: SymbolProfile, instrument: Instrument, *, predictability: float, rate_multiplier: float
) -> FlowRules:
    """Translate; variance is split between common factor, order flow and news.

    `rate_multiplier` brings more, smaller events: the volatility stays as it is.
    """
    tick, step = float(instrument.tick_size), float(instrument.qty_step)
    lot_usd = step * profile.start_price
    rate = profile.market_order_rate * rate_multiplier
    impact_variance = _IMPACT_SHARE * profile.volatility_bps**2
    common_variance = (profile.beta * COMMON_VOLATILITY_BPS) ** 2
    news_variance = profile.volatility_bps**2 - impact_variance - common_variance
    news_rate = _NEWS_RATE * rate_multiplier
    sigma = IMPACT_POWER * profile.trade_sigma
    limit_rate = profile.limit_order_rate * rate_multiplier
    return FlowRules(
        news_rate=news_rate,
        news_scale_bps=math.sqrt(max(news_variance, 0.0) / (2.0 * news_rate)),
        impact_bps=math.sqrt(impact_variance / (rate * math.exp(2.0 * sigma**2))),
        mean_impact_weight=math.exp(sigma**2 / 2.0),
        base_rate=rate / 2.0 * (1.0 - _BRANCHING_SELF - _BRANCHING_CROSS),
        excite_self=_BRANCHING_SELF * _EXCITE_DECAY,
        excite_cross=_BRANCHING_CROSS * _EXCITE_DECAY,
        excite_decay=_EXCITE_DECAY,
        trade_log_median_lots=math.log(profile.trade_median_usd / lot_usd),
        trade_sigma=profile.trade_sigma,
        limit_rate=limit_rate,
        limit_excite=_LIMITS_PER_MARKET_ORDER * _LIMIT_DECAY,
        limit_decay=_LIMIT_DECAY,
        cancel_rate_near=rate_multiplier / profile.near_life_s,
        cancel_rate_far=rate_multiplier / (profile.near_life_s * _FAR_LIVES),
        half_spread_bps=profile.half_spread_bps,
        informed_above_bps=_INFORMED_ABOVE * profile.volatility_bps,
        near_reach_bps=profile.near_reach_bps,
        far_reach_bps=profile.far_reach_bps,
        order_log_median_lots=math.log(profile.order_median_usd / lot_usd),
        order_sigma=profile.order_sigma,
        signal_half_life_s=_SIGNAL_HALF_LIFE_S,
        drift_lag_s=_DRIFT_LAG_S,
        drift_bps_per_s=_DRIFT_PER_VOLATILITY * profile.volatility_bps * predictability,
        size_tilt=_SIZE_TILT * predictability,
        flow_tilt=min(0.9, _FLOW_TILT * predictability),
        beta=profile.beta,
        tick_size=tick,
        qty_step=step,
        price_unit=10.0**-instrument.price_scale,
        interest_scale=step * 1e3,
    )
