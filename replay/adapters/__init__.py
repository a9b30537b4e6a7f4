"""Where replay gets recorded markets from: `open_market_data` is the one entrance."""

from replay.adapters.session_paths import open_market_data

__all__ = ["open_market_data"]
