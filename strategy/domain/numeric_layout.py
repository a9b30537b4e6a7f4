"""Where each figure of the numeric path lies in its arrays.

Frames are read as they lie in memory, as rows of 8-byte words: a column of the record dtype would be a
copy, and a record array costs more than the whole evaluation of one frame to hand to compiled code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import FRAME_DTYPE, Frames

SCORE_FEATURES: tuple[str, ...] = (
    "micropriceGap", "imb5", "imb20", "ofi1s", "ofi5s", "flowRatio5s", "ret5s", "basis",
)  # fmt: skip
FEATURES = len(SCORE_FEATURES)
# A scale below its floor is silence, not a yardstick: the least |feature| that counts as usual.
SCALE_FLOORS = np.array([0.005, 0.05, 0.05, 0.01, 0.01, 0.05, 0.1, 0.1])

WORDS_PER_FRAME = FRAME_DTYPE.itemsize // 8
RING_SECONDS = 128  # of lagged baselines, a power of two
RING_SERIES = 3
RV, FLOW, SPREAD = range(RING_SERIES)  # volatility, trade flow, spread


def frame_word(name: str) -> int:
    """Place of a frame's field, counted in words."""
    fields = FRAME_DTYPE.fields
    assert fields is not None
    return int(fields[name][1]) // 8


def frame_words(frames: Frames) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The same memory as whole numbers and as floats, shape (n, WORDS_PER_FRAME).

    Frames fresh from the bus are read-only bytes and are copied: compiled code would be compiled a second
    time for an array that may not be written to.
    """
    rows = np.ascontiguousarray(frames).reshape(-1)
    rows = rows if rows.flags.writeable else rows.copy()
    shape = (len(rows), WORDS_PER_FRAME)
    return rows.view(np.int64).reshape(shape), rows.view(np.float64).reshape(shape)


def words_reader(*fields: tuple[str, str]) -> Callable[[Any, int], tuple[Any, ...]]:
    """Reads (name, kind: q or d) of the frame that begins at a byte of a buffer, in the order they lie in.

    Many times faster than numpy where a few figures of one row are asked for.
    """
    layout, end = "=", 0
    for name, kind in fields:
        word = frame_word(name)
        layout, end = f"{layout}{8 * (word - end)}x{kind}", word + 1
    return struct.Struct(layout).unpack_from


# state_i: whole numbers of one symbol
(
    LAST_TS, LAST_SEQ, LAST_STEADY_TS, LAST_BOUNDARY_TS, LAST_SECOND, GENERATION,
    REGIME, FLICKER_SINCE, DUMP_ACTIVE, SEEN,
    ARMED_FRAMES, ARMED_SIDE, SCORER_OFF_UNTIL, SCORER_FAILED, LAST_BAD_TS,
) = range(15)  # fmt: skip
REGIMES = 7  # NORMAL and six bad ones; LAST_BAD_TS is the first of REGIMES columns
STATE_I = LAST_BAD_TS + REGIMES
# state_f: floats of one symbol; sums, then their weights
SCALE_SUM, SCALE_WEIGHT = 0, FEATURES
OBSERVED, FLOW_SUM, FLOW_WEIGHT, SPREAD_SUM, SPREAD_WEIGHT, CURRENT_RV, LAST_BID, LAST_ASK = range(
    2 * FEATURES, 2 * FEATURES + 8
)
STATE_F = LAST_ASK + 1
# whole_i, whole_f: the whole market
GLOBAL, OFF_TS, PANIC_TS, DUMPS, SEEN_SYMBOLS = range(5)
WHOLE_I = 5
LEADER_RET, WHOLE_F = 0, 1

# params: what the config says, one row a symbol
WEIGHTS, FLOORS = 0, FEATURES
(
    GAIN, TOXICITY, TOXICITY_FLOOR, PER_SPREAD, EDGE, SCALE_DECAY, NEAR_PENALTY, NEAR_FROM,
    ENTRY_SCORE, WARMUP_NS, SILENCE_NS, EXIT_NS,
    MIN_DEPTH, MAX_SPREAD, MAX_BOOK_AGE, MAX_TRADE_AGE,
    PUMP_MOVE, VOL_FLOOR, PUMP_VOLUME, FLOW_FLOOR, PUMP_LAG, FLOW_DECAY,
    NEWS_VOL, NEWS_SPREAD, SPREAD_FLOOR, NEWS_LAG, SPREAD_DECAY,
    FLICKER_MAX, FLICKER_NS, PRINT_OUTSIDE, BASELINE_NS, IS_LEADER,
) = range(2 * FEATURES, 2 * FEATURES + 32)  # fmt: skip
PARAMS = IS_LEADER + 1
# common: of the whole market
PANIC_RET, PANIC_SHARE, PANIC_MIN_SYMBOLS, OFF_FRACTION, GLOBAL_EXIT_NS = range(5)
COMMON = 5

# out_i, out_f: what is said of each frame
(
    ACCEPTED, SYMBOL, BOUNDARY, WARM, VERDICTS, IN_REGIME, REGIME_BEFORE, IN_GLOBAL, CHANGES,
    OF_GENERATION, DISARMED, SCORER_OK, MAY_SIGNAL, ARMED, ARMED_ON,
) = range(15)  # fmt: skip
OUT_I = 15
REGIME_CHANGED, GLOBAL_CHANGED, SCORER_CHANGED = 1, 2, 4  # bits of CHANGES
Z = 0
(
    PRESSURE, LONG, SHORT, MOVE, TOXICITY_PART, SPREAD_PART, NEAR_PART,
    PUMP_BAR, FLOW_BAR, VOL_BAR, SPREAD_BAR, FLICKER_FOR_S, OUTSIDE_BPS, PROXIMITY,
    LEADER_RET_NOW, DUMPS_NOW, SEEN_NOW,
) = range(FEATURES, FEATURES + 17)  # fmt: skip
OUT_F = SEEN_NOW + 1
