"""Readers of recorded markets: `open_market_data` is the one entrance."""

from replay.adapters.market_data import open_market_data

__all__ = ["open_market_data"]
