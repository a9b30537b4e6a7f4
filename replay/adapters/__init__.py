"""Where replay gets recorded markets from: `market.recordings.open_market_data` is the one entrance."""

from market.recordings import open_market_data

__all__ = ["open_market_data"]
