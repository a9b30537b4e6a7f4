"""The frame: all features of one symbol at one core time (pipeline §1).

Frames are rows of one numpy structured dtype, so that regime and score can work on columns and the bus
can carry them as bytes. Outside (JSON, dashboard) the names are camelCase, from `FRAME_JSON_NAMES`.
A feature that has no value yet (no book, no trade, warm-up) is NaN, never 0.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class FrameReason(IntEnum):
    BOUNDARY = 0
    TRIGGER = 1


class BookState(IntEnum):
    """EMPTY: no snapshot yet. OK. DEGRADED: gap or crossed too long. STALE: silent too long."""

    EMPTY = 0
    OK = 1
    DEGRADED = 2
    STALE = 3


_FLOAT_FIELDS = (
    # price (quote coin; sizes in base coin)
    "bid", "ask", "bid_size", "ask_size", "mid", "microprice", "spread_bps",
    "last_price", "mark_price", "index_price",
    # imbalance, in [-1, 1]
    "imb1", "imb5", "imb20",
    # depth of the best 20 levels, USD; how far they reach, bps of mid
    "bid_depth_usd20", "ask_depth_usd20", "depth_span_bps",
    # order flow imbalance at the touch, relative to touch depth, per second
    "ofi1s", "ofi5s",
    # trade flow: signed taker notional, USD per second; ratio in [-1, 1]; trades per second;
    # USD per second; USD
    "flow1s", "flow5s", "flow30s", "flow_ratio5s", "trade_rate5s", "notional_rate5s", "cvd",
    # returns, bps
    "ret1s", "ret5s", "ret30s", "ret60s", "ret300s",
    # volatility, bps per sqrt(second)
    "rv10s", "rv60s", "rv300s",
    # toxicity
    "vpin", "kyle_lambda",
    # book behaviour: share of depth per second; levels
    "flicker", "sweep",
    # context
    "funding_rate", "seconds_to_funding", "basis_bps", "oi_change5m", "book_age_ms", "trade_age_ms",
)  # fmt: skip

FRAME_DTYPE = np.dtype(
    [
        ("frame_seq", np.int64),  # per symbol, from 1
        ("ts_ns", np.int64),  # core time of the frame
        (
            "last_seq",
            np.int64,
        ),  # seq of the last raw event consumed by the whole kernel before this frame
        ("input_hash", np.uint64),  # rolling hash of every value consumed for this symbol so far
        ("bid_tick", np.int64),
        ("ask_tick", np.int64),
        ("symbol", np.uint16),
        ("reason", np.uint8),
        ("book_state", np.uint8),
        ("warm", np.uint8),  # 1 once `warmup_s` of data has passed for the symbol
        ("reserved", np.uint8, (3,)),
        *((name, np.float64) for name in _FLOAT_FIELDS),
    ]
)

FEATURE_NAMES: tuple[str, ...] = _FLOAT_FIELDS


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


FRAME_JSON_NAMES: dict[str, str] = {
    name: _camel(name) for name in FRAME_DTYPE.names or () if name != "reserved"
}

Frames = NDArray[np.void]


def pack_frames(frames: Frames) -> bytes:
    """Rows as they lie in memory, little-endian."""
    return np.ascontiguousarray(frames, FRAME_DTYPE).tobytes()


def unpack_frames(data: bytes) -> Frames:
    """Inverse of `pack_frames`. Raises ValueError when `data` is not whole rows."""
    return np.frombuffer(data, FRAME_DTYPE)
