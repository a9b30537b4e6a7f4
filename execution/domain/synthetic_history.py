"""A made-up past for a synthetic symbol, so that charts and 24 h figures exist from the first second.

It only has to look right: a random walk of the profile's volatility that ends at the start price.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_profile import SymbolProfile
from execution.domain.synthetic_symbol import named_generator
from market.domain.instruments import Instrument

_TRADES_PER_MINUTE_SIGMA = 0.6
_FUNDING_MEAN, _FUNDING_SIGMA = 1e-4, 4e-5


class MinuteHistory(NamedTuple):
    """Oldest first: open, high, low, close in ticks i8[n], volume in lots i8[n]."""

    open: NDArray[np.int64]
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    close: NDArray[np.int64]
    volume: NDArray[np.int64]


def synthetic_history(
    profile: SymbolProfile, instrument: Instrument, *, seed: int, minutes: int
) -> MinuteHistory:
    """`minutes` candles that end at the profile's start price."""
    rng = named_generator(seed, f"{profile.symbol} past")
    sigma = profile.volatility_bps * 1e-4 * np.sqrt(60.0)
    log_close = np.cumsum(rng.normal(0.0, sigma, minutes)[::-1])[::-1]
    price = profile.start_price * np.exp(-np.concatenate([log_close, [0.0]]))
    ticks = np.maximum(1, np.rint(price / float(instrument.tick_size))).astype(np.int64)
    first, last = ticks[:-1], ticks[1:]
    reach = ticks[:-1] * sigma * 0.5
    high = np.maximum(first, last) + (reach * rng.random(minutes)).astype(np.int64)
    low = np.maximum(1, np.minimum(first, last) - (reach * rng.random(minutes)).astype(np.int64))
    usd = profile.market_order_rate * 60.0 * profile.trade_median_usd
    usd *= np.exp(profile.trade_sigma**2 / 2.0)
    lots = usd / (profile.start_price * float(instrument.qty_step))
    volume = lots * np.exp(rng.normal(0.0, _TRADES_PER_MINUTE_SIGMA, minutes))
    return MinuteHistory(first, high, low, last, np.maximum(1, volume).astype(np.int64))


def synthetic_funding(symbol: str, *, seed: int, count: int) -> NDArray[np.float64]:
    """Past funding rates, oldest first."""
    rng = named_generator(seed, f"{symbol} funding")
    return np.round(rng.normal(_FUNDING_MEAN, _FUNDING_SIGMA, count), 8)
