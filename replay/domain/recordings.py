"""What a recorded market is: `market.domain.recordings` under the name that replay's parts use."""

from market.domain.recordings import (
    BadRecording,
    FaultLog,
    MarketData,
    RawRecord,
    ReadProgress,
    chosen_symbols,
    count_kinds,
)

__all__ = [
    "BadRecording",
    "FaultLog",
    "MarketData",
    "RawRecord",
    "ReadProgress",
    "chosen_symbols",
    "count_kinds",
]
