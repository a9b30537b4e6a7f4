"""What the kernel remembers: records per symbol and per run, and one flat array of cells for the books.

Cells are int64. Symbol s owns `SYMBOL_CELLS` of them: a bid block, an ask block, the VPIN buckets.
A side block is a header (key of the best level, count of levels, key of the ladder's first place; lots
traded lately and not yet seen leaving the book, with the worst price they traded at and the time of the
last; count of far levels), a bit for each place of the ladder, the sizes in the ladder, then keys and sizes
of the far levels, worst first. A key is the tick of a bid and minus the tick of an ask: on both sides the
best key is the highest. Every level with a key from the ladder's first place on is in the ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.config import MarketConfig
from market.domain.features_decay import decay
from market.domain.instruments import Instrument

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

MAX_TICK = 1 << 40
MAX_LOT = 1 << 48
MAX_TIME_NS = 1 << 62
QUIET_LIMIT_NS = 3_600 * NS_PER_S  # after an hour without any event the frame grid sleeps

BOOK_CAPACITY = 1152
WINDOW = 2048  # ticks of a ladder; a multiple of 64
HEADROOM = WINDOW // 4  # places above the touch when a ladder is laid
TOUCH, LEVELS, BASE = 0, 1, 2  # places in a side block's header
CREDIT_LOTS, CREDIT_KEY, CREDIT_TS = 3, 4, 5
FAR_COUNT = 6
WORDS = 8
LADDER = WORDS + WINDOW // 64
FAR_KEYS = LADDER + WINDOW
FAR_SIZES = FAR_KEYS + BOOK_CAPACITY
SIDE_CELLS = FAR_SIZES + BOOK_CAPACITY
NO_KEY = -(1 << 62)
VPIN_BUCKETS = 50
BUCKETS = 2 * SIDE_CELLS  # VPIN_BUCKETS imbalances, then as many volumes, lots
SYMBOL_CELLS = BUCKETS + 2 * VPIN_BUCKETS

Record = Any  # numba sees a row of a structured array; numpy has no static type with its fields

SYMBOL_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            # identity and book health; times are core time, 0 = never
            "seen", "first_ts", "frame_seq", "input_hash",
            "has_snapshot", "is_degraded", "is_stale", "book_ts", "crossed_since",
            "framed_mid2",  # bid tick + ask tick at the last frame, 0 = unknown
            "book_flow_ts", "trade_ts", "first_trade_ts",
            # taker burst
            "burst_side", "burst_exchange_ts", "burst_tick", "burst_levels", "sweep",
            # VPIN, lots
            "bucket_size", "bucket_filled", "bucket_signed", "bucket_next", "bucket_count",
            "bucket_imbalance_sum", "bucket_volume_sum",
            "next_funding_ns",
        )
    ]
    + [
        (name, np.float64)
        for name in (
            # decayed sums as of book_flow_ts: lots
            "ofi1", "ofi5", "cancelled1",
            # decayed sums as of trade_ts: USD, trades, lots
            "flow1", "flow5", "flow30", "notional5", "trades5", "day_lots",
            "cvd",
            # averages sampled at boundaries: weighted sum and weight
            "depth_sum", "depth_weight",
            "rv10_sum", "rv10_weight", "rv60_sum", "rv60_weight", "rv300_sum", "rv300_weight",
            "kyle_weight", "kyle_ret", "kyle_flow", "kyle_ret_flow", "kyle_flow_flow",
            "boundary_mid2", "boundary_flow",
            # ticker
            "last_price", "mark_price", "index_price", "funding_rate", "open_interest",
        )
    ]
)  # fmt: skip

_NAN_AT_START = (
    "boundary_mid2", "last_price", "mark_price", "index_price", "funding_rate", "open_interest",
)  # fmt: skip

COUNTERS = (
    "bad_time", "late", "unknown_symbol", "unknown_kind", "bad_entries", "bad_level", "bad_trade",
    "before_snapshot", "unknown_ticker_field", "capacity_evictions",
)  # fmt: skip

RUN_DTYPE = np.dtype(
    [
        ("now", np.int64),  # core time of the last event or boundary
        ("last_event_ts", np.int64),
        ("last_seq", np.int64),
        ("next_boundary", np.int64),  # 0 = the grid sleeps until the next event
        *((name, np.int64) for name in COUNTERS),
    ]
)

RULES_DTYPE = np.dtype(
    [
        ("price_numerator", np.float64),
        ("price_denominator", np.float64),
        ("qty_numerator", np.float64),
        ("qty_denominator", np.float64),
        ("usd_per_tick_lot", np.float64),
        ("interval_ns", np.int64),
        ("trigger_mid2", np.int64),
        ("sweep_levels", np.int64),
        ("stale_ns", np.int64),
        ("crossed_ns", np.int64),
        ("warmup_ns", np.int64),
        *((f"steps{s}", np.int64) for s in (1, 5, 30, 60, 300)),
        # what an average keeps from one boundary to the next, by half-life in seconds
        *((f"keep{s}", np.float64) for s in (10, 60, 300)),
    ]
)


def new_symbols(count: int) -> NDArray[np.void]:
    symbols = np.zeros(count, SYMBOL_DTYPE)
    for name in _NAN_AT_START:
        symbols[name] = np.nan
    return symbols


def new_cells(count: int) -> NDArray[np.int64]:
    """Empty books and buckets of `count` symbols."""
    cells = np.zeros((count, SYMBOL_CELLS), np.int64)
    for block in (0, SIDE_CELLS):
        cells[:, block + TOUCH] = cells[:, block + BASE] = NO_KEY
    return cells.reshape(-1)


def new_rings(rules: NDArray[np.void]) -> NDArray[np.float64]:
    """(symbols, 2, ring) of NaN: boundary mids (twice, in ticks) and open interest of 300 s."""
    length = int(rules["steps300"].max(initial=1)) + 1
    return np.full((rules.size, 2, length), np.nan)


def rules_of(instruments: Sequence[Instrument], config: MarketConfig) -> NDArray[np.void]:
    """One row of units and thresholds per symbol.

    Tick and lot stand as fractions: tick * numerator / denominator is the nearest float to the price.
    """
    rules = np.zeros(len(instruments), RULES_DTYPE)
    for row, instrument in zip(rules, instruments, strict=True):
        price, qty = (
            instrument.tick_size.as_integer_ratio(),
            instrument.qty_step.as_integer_ratio(),
        )
        row["price_numerator"], row["price_denominator"] = price
        row["qty_numerator"], row["qty_denominator"] = qty
        row["usd_per_tick_lot"] = float(instrument.tick_size * instrument.qty_step)
    rules["interval_ns"] = config.evaluation_interval_ms * NS_PER_MS
    rules["trigger_mid2"] = 2 * config.trigger_ticks
    rules["sweep_levels"] = config.sweep_levels
    rules["stale_ns"] = config.stale_book_ms * NS_PER_MS
    rules["crossed_ns"] = config.crossed_ms * NS_PER_MS
    rules["warmup_ns"] = config.warmup_s * NS_PER_S
    for seconds in (1, 5, 30, 60, 300):
        rules[f"steps{seconds}"] = boundary_steps(seconds, config.evaluation_interval_ms)
    for seconds in (10, 60, 300):
        interval_ns = config.evaluation_interval_ms * NS_PER_MS
        rules[f"keep{seconds}"] = decay(float(interval_ns), float(seconds * NS_PER_S))
    return rules


def boundary_steps(seconds: int, interval_ms: int) -> int:
    """Boundaries that make up `seconds`, rounded half up, at least one."""
    return max(1, (2_000 * seconds + interval_ms) // (2 * interval_ms))
