"""The compiled numeric path: one pass observes each frame, a second one scores it.

Rows run in order and every state is an array, so a batch gives what its rows give one by one. A figure
that is not known (NaN) adds nothing to a score, moves no baseline, and is never good enough where a book
must prove itself sound.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.frames import BookState, FrameReason
from market.domain.kernel_jit import kernel_jit
from strategy.domain import numeric_layout as at
from strategy.domain.numeric_compile import numeric_entry
from strategy.domain.numeric_layout import frame_word

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.int32]

Z_CAP = 6.0
# A gap in the feed is no evidence: one frame never stands for more time than this.
MAX_FRAME_SPAN_NS = 1_000_000_000
NEVER = -(1 << 62)
NORMAL, PUMP, DUMP, NEWS, MANIPULATED, ILLIQUID, STALE = range(7)
CALM, RISK_OFF, PANIC = range(3)

_NS_PER_S = 1_000_000_000
_RING_MASK = at.RING_SECONDS - 1
_OK, _IS_BOUNDARY = int(BookState.OK), int(FrameReason.BOUNDARY)
_TS, _SEQ, _HEAD = frame_word("ts_ns"), frame_word("frame_seq"), frame_word("symbol")
_BID, _ASK, _MID = frame_word("bid"), frame_word("ask"), frame_word("mid")
_MICROPRICE, _SPREAD = frame_word("microprice"), frame_word("spread_bps")
_LAST_PRICE, _FLICKER = frame_word("last_price"), frame_word("flicker")
_BID_DEPTH, _ASK_DEPTH = frame_word("bid_depth_usd20"), frame_word("ask_depth_usd20")
_FLOW5, _VPIN = frame_word("notional_rate5s"), frame_word("vpin")
_RET60, _RET300 = frame_word("ret60s"), frame_word("ret300s")
_RV10, _RV300 = frame_word("rv10s"), frame_word("rv300s")
_BOOK_AGE, _TRADE_AGE = frame_word("book_age_ms"), frame_word("trade_age_ms")
# the features after the microprice gap, in the order of SCORE_FEATURES
_IMB5, _IMB20, _OFI1, _OFI5 = (frame_word(name) for name in ("imb5", "imb20", "ofi1s", "ofi5s"))
_RATIO5, _RET5, _BASIS = (frame_word(name) for name in ("flow_ratio5s", "ret5s", "basis_bps"))


@numeric_entry
def observe_rows(
    ints: Ints,
    floats: Floats,
    state_i: Ints,
    state_f: Floats,
    rings: Floats,
    whole_i: Ints,
    whole_f: Floats,
    params: Floats,
    common: Floats,
    out_i: Flags,
    out_f: Floats,
) -> None:
    """Scales, baselines, regimes and z of every frame, in order; rows of `out_*` are written once."""
    for row in range(ints.shape[0]):
        head = ints[row, _HEAD]
        symbol = head & 0xFFFF
        if symbol >= state_i.shape[0]:
            continue
        ts, seq = ints[row, _TS], ints[row, _SEQ]
        own = state_i[symbol]
        # The bus delivers at least once: a frame seen before must not move a scale again.
        if ts < own[at.LAST_TS] or (ts == own[at.LAST_TS] and seq <= own[at.LAST_SEQ]):
            continue
        own_f, param, frame = state_f[symbol], params[symbol], floats[row]
        flags, figures = out_i[row], out_f[row]
        is_boundary = (head >> 16) & 0xFF == _IS_BOUNDARY
        is_ok = (head >> 24) & 0xFF == _OK
        is_warm_frame = (head >> 32) & 0xFF > 0
        flags[at.ACCEPTED], flags[at.SYMBOL], flags[at.SCORER_OK] = 1, symbol, 1
        flags[at.BOUNDARY] = is_boundary
        flags[at.DISARMED] = _follow(ts, seq, own, param)
        flags[at.OF_GENERATION] = own[at.GENERATION]
        figures[at.PRESSURE] = _pressure(frame, own_f, param, figures)
        if is_boundary and is_ok:
            _roll_rings(ts, own, own_f, rings[symbol], param)
        bad = _judge(
            ts, frame, is_boundary, is_ok, is_warm_frame, own, own_f, rings[symbol], param, figures
        )
        _step_regime(ts, bad, own, whole_i, param, flags)
        if param[at.IS_LEADER] > 0.0:
            ret = frame[_RET300]
            whole_f[at.LEADER_RET] = 0.0 if math.isnan(ret) else ret
        _step_global(ts, own, whole_i, whole_f, common, flags, figures)
        if is_boundary:
            own[at.LAST_BOUNDARY_TS] = ts
            own_f[at.LAST_BID], own_f[at.LAST_ASK] = frame[_BID], frame[_ASK]
            if is_ok:
                _take_in(ts, frame, own, own_f, param)
        flags[at.WARM] = is_warm_frame and own_f[at.OBSERVED] >= param[at.WARMUP_NS]
        _write_penalties(frame, param, figures)


@kernel_jit
def _follow(ts: int, seq: int, own: Ints, param: Floats) -> int:
    """Follow the frame numbers; 1 when a silent feed or a new run of market disarms the symbol."""
    is_new_run = own[at.LAST_TS] > NEVER and seq <= own[at.LAST_SEQ]
    if is_new_run:
        own[at.GENERATION] += 1
    is_silent = ts - own[at.LAST_TS] > param[at.SILENCE_NS]
    if is_silent:
        own[at.FLICKER_SINCE] = 0
    own[at.LAST_TS], own[at.LAST_SEQ] = ts, seq
    return 1 if is_new_run or is_silent else 0


@kernel_jit
def _feature(i: int, frame: Floats) -> Any:
    if i == 0:
        return (frame[_MICROPRICE] / frame[_MID] - 1.0) * 1e4
    if i == 1:
        return frame[_IMB5]
    if i == 2:
        return frame[_IMB20]
    if i == 3:
        return frame[_OFI1]
    if i == 4:
        return frame[_OFI5]
    if i == 5:
        return frame[_RATIO5]
    if i == 6:
        return frame[_RET5]
    return frame[_BASIS]


@kernel_jit
def _pressure(frame: Floats, own_f: Floats, param: Floats, figures: Floats) -> float:
    """z of each feature by its scale as it stood before this frame, and their weighted sum."""
    pressure = 0.0
    for i in range(at.FEATURES):
        value = _feature(i, frame)
        if math.isnan(value):
            continue
        weight = own_f[at.SCALE_WEIGHT + i]
        usual = own_f[at.SCALE_SUM + i] / weight if weight > 0.0 else 0.0
        z = min(max(value / max(usual, param[at.FLOORS + i]), -Z_CAP), Z_CAP)
        figures[at.Z + i] = z
        pressure += param[at.WEIGHTS + i] * z
    return pressure


@kernel_jit
def _keep(decay_per_s: float, span_ns: int) -> float:
    """2^(-span/half-life) to second order in plain arithmetic: the same bits on every machine."""
    x = decay_per_s * (span_ns / 1e9)
    return 1.0 / (1.0 + x + 0.5 * x * x)


@kernel_jit
def _average(total: float, weight: float) -> float:
    return total / weight if weight > 0.0 else math.nan


@kernel_jit
def _take_in(ts: int, frame: Floats, own: Ints, own_f: Floats, param: Floats) -> None:
    """A sound boundary frame moves the scales and the baselines."""
    before, own[at.LAST_STEADY_TS] = own[at.LAST_STEADY_TS], ts
    if not math.isnan(frame[_RV300]):
        own_f[at.CURRENT_RV] = frame[_RV300]
    if before == NEVER:
        return
    span_ns = min(ts - before, MAX_FRAME_SPAN_NS)
    keep = _keep(param[at.SCALE_DECAY], span_ns)
    for i in range(at.FEATURES):
        value = _feature(i, frame)
        if not math.isnan(value):
            own_f[at.SCALE_SUM + i] = keep * own_f[at.SCALE_SUM + i] + (1.0 - keep) * abs(value)
            own_f[at.SCALE_WEIGHT + i] = keep * own_f[at.SCALE_WEIGHT + i] + (1.0 - keep)
    own_f[at.OBSERVED] += span_ns  # whole numbers: the sum is exact
    _average_in(frame[_FLOW5], _keep(param[at.FLOW_DECAY], span_ns), own_f, at.FLOW_SUM)
    _average_in(frame[_SPREAD], _keep(param[at.SPREAD_DECAY], span_ns), own_f, at.SPREAD_SUM)


@kernel_jit
def _average_in(value: float, keep: float, own_f: Floats, place: int) -> None:
    """`place` holds the sum, the next one its weight."""
    if not math.isnan(value):
        own_f[place] = keep * own_f[place] + (1.0 - keep) * value
        own_f[place + 1] = keep * own_f[place + 1] + (1.0 - keep)


# -- lagged baselines ---------------------------------------------------------------------------------


@kernel_jit
def _roll_rings(ts: int, own: Ints, own_f: Floats, ring: Floats, param: Floats) -> None:
    """Keep the baselines as they stood at the begin of each second, this frame not in them yet.

    A baseline that does not rest on enough data is kept as unknown.
    """
    second = ts // _NS_PER_S
    last = own[at.LAST_SECOND]
    if second <= last:
        return
    rests = own_f[at.OBSERVED] >= param[at.BASELINE_NS]
    for each in range(max(last + 1, second - _RING_MASK), second + 1):
        place = each & _RING_MASK
        ring[at.RV, place] = own_f[at.CURRENT_RV] if rests else math.nan
        flow = _average(own_f[at.FLOW_SUM], own_f[at.FLOW_WEIGHT])
        ring[at.FLOW, place] = flow if rests else math.nan
        spread = _average(own_f[at.SPREAD_SUM], own_f[at.SPREAD_WEIGHT])
        ring[at.SPREAD, place] = spread if rests else math.nan
    own[at.LAST_SECOND] = second


@kernel_jit
def _lagged(series: Floats, last_second: int, ts: int, lag_s: float) -> Any:
    """The baseline as it stood `lag_s` to `lag_s` + 1 seconds ago; NaN where it was not known then."""
    want: int = min(ts // _NS_PER_S - int(lag_s), last_second)
    return series[want & _RING_MASK] if last_second >= 0 else math.nan


# -- regimes ------------------------------------------------------------------------------------------


@kernel_jit
def _judge(
    ts: int,
    frame: Floats,
    is_boundary: bool,
    is_ok: bool,
    is_warm_frame: bool,
    own: Ints,
    own_f: Floats,
    ring: Floats,
    param: Floats,
    figures: Floats,
) -> int:
    """The regimes this frame speaks for, as bits, with the bars it was measured against in `figures`."""
    last_second = own[at.LAST_SECOND]
    usual_vol = _lagged(ring[at.RV], last_second, ts, param[at.PUMP_LAG])
    usual_flow = _lagged(ring[at.FLOW], last_second, ts, param[at.PUMP_LAG])
    pump_bar = param[at.PUMP_MOVE] * _at_least(usual_vol, param[at.VOL_FLOOR])
    flow_bar = param[at.PUMP_VOLUME] * _at_least(usual_flow, param[at.FLOW_FLOOR])
    vol_before = _lagged(ring[at.RV], last_second, ts, param[at.NEWS_LAG])
    spread_before = _lagged(ring[at.SPREAD], last_second, ts, param[at.NEWS_LAG])
    vol_bar = param[at.NEWS_VOL] * _at_least(vol_before, param[at.VOL_FLOOR])
    spread_bar = param[at.NEWS_SPREAD] * _at_least(spread_before, param[at.SPREAD_FLOOR])
    flicker_ns = _flicker_ns(ts, frame[_FLICKER], own, param)
    outside = math.nan
    if is_boundary and is_ok:
        outside = _outside_bps(ts, frame, own, own_f)
    ret, flow, spread = frame[_RET60], frame[_FLOW5], frame[_SPREAD]
    depth = min(frame[_BID_DEPTH], frame[_ASK_DEPTH])
    bad = 0
    if flow > flow_bar and ret > pump_bar:
        bad |= 1 << PUMP
    if flow > flow_bar and ret < -pump_bar:
        bad |= 1 << DUMP
    if frame[_RV10] > vol_bar and spread > spread_bar:
        bad |= 1 << NEWS
    if flicker_ns >= param[at.FLICKER_NS] or outside > param[at.PRINT_OUTSIDE]:
        bad |= 1 << MANIPULATED
    # Written so that an unknown figure (NaN) is never good enough.
    both_deep = (
        frame[_BID_DEPTH] >= param[at.MIN_DEPTH] and frame[_ASK_DEPTH] >= param[at.MIN_DEPTH]
    )
    if not (spread <= param[at.MAX_SPREAD] and both_deep):
        bad |= 1 << ILLIQUID
    trade_age = frame[_TRADE_AGE]
    is_dead = trade_age > param[at.MAX_TRADE_AGE] or (is_warm_frame and math.isnan(trade_age))
    if not is_ok or frame[_BOOK_AGE] > param[at.MAX_BOOK_AGE] or is_dead:
        bad |= 1 << STALE
    near = min(_share(abs(ret), pump_bar), _share(flow, flow_bar))
    near = max(near, min(_share(frame[_RV10], vol_bar), _share(spread, spread_bar)))
    lasting = _share(float(flicker_ns), param[at.FLICKER_NS])
    near = max(near, min(_share(frame[_FLICKER], param[at.FLICKER_MAX]), lasting))
    near = max(near, _share(spread, param[at.MAX_SPREAD]), _share(param[at.MIN_DEPTH], depth))
    near = max(near, _share(frame[_BOOK_AGE], param[at.MAX_BOOK_AGE]))
    figures[at.PUMP_BAR], figures[at.FLOW_BAR] = pump_bar, flow_bar
    figures[at.VOL_BAR], figures[at.SPREAD_BAR] = vol_bar, spread_bar
    figures[at.FLICKER_FOR_S] = max(flicker_ns, 0) / 1e9
    figures[at.OUTSIDE_BPS] = outside
    figures[at.PROXIMITY] = 1.0 if bad else near
    return bad


@kernel_jit
def _at_least(baseline: float, floor: float) -> float:
    """A baseline that is not known stays unknown: nothing is measured against a floor alone."""
    return baseline if math.isnan(baseline) else max(baseline, floor)


@kernel_jit
def _share(value: float, bar: float) -> float:
    """How far `value` has come to its bar, 0..1; 0 where either is unknown."""
    if not (value > 0.0 and bar > 0.0):
        return 0.0
    return min(value / bar, 1.0)


@kernel_jit
def _flicker_ns(ts: int, flicker: float, own: Ints, param: Floats) -> Any:
    """How long the flicker has been above its limit without a break; -1 when it is not."""
    if not flicker > param[at.FLICKER_MAX]:
        own[at.FLICKER_SINCE] = 0
        return -1
    if own[at.FLICKER_SINCE] == 0:
        own[at.FLICKER_SINCE] = ts
    return ts - own[at.FLICKER_SINCE]


@kernel_jit
def _outside_bps(ts: int, frame: Floats, own: Ints, own_f: Floats) -> Any:
    """How far the last trade printed beyond the book, both as it is and as it was a frame ago.

    Only a trade since the frame before counts, and only once the book has spoken after it: a market that
    moves fast trades where the book was or where it will be.
    """
    age_ms = frame[_TRADE_AGE]
    since_ms = (ts - own[at.LAST_BOUNDARY_TS]) / 1e6
    if not (age_ms <= since_ms and frame[_BOOK_AGE] <= age_ms) or math.isnan(own_f[at.LAST_BID]):
        return math.nan
    price = frame[_LAST_PRICE]
    if not price > 0.0:
        return math.nan
    low = min(frame[_BID], own_f[at.LAST_BID])
    high = max(frame[_ASK], own_f[at.LAST_ASK])
    return max(price - high, low - price) / frame[_MID] * 1e4


@kernel_jit
def _step_regime(ts: int, bad: int, own: Ints, whole_i: Ints, param: Floats, flags: Flags) -> None:
    """A bad regime holds from its first frame until `regime_exit_s` after its last."""
    before = own[at.REGIME]
    active = bad
    for code in range(1, at.REGIMES):
        if (bad >> code) & 1:
            own[at.LAST_BAD_TS + code] = ts
        elif ts - own[at.LAST_BAD_TS + code] < param[at.EXIT_NS]:
            active |= 1 << code
    now = _gravest(active, own)
    own[at.REGIME] = now
    flags[at.VERDICTS], flags[at.IN_REGIME], flags[at.REGIME_BEFORE] = bad, now, before
    if now != before:
        flags[at.CHANGES] |= at.REGIME_CHANGED
    dumps = (active >> DUMP) & 1
    whole_i[at.DUMPS] += dumps - own[at.DUMP_ACTIVE]
    own[at.DUMP_ACTIVE] = dumps
    whole_i[at.SEEN_SYMBOLS] += 1 - own[at.SEEN]
    own[at.SEEN] = 1


@kernel_jit
def _gravest(active: int, own: Ints) -> int:
    """Of the regimes that hold: no feed, no book, then a run of the price, then what may cause one."""
    if (active >> STALE) & 1:
        return STALE
    if (active >> ILLIQUID) & 1:
        return ILLIQUID
    pumps, dumps = (active >> PUMP) & 1, (active >> DUMP) & 1
    if pumps and dumps:
        return PUMP if own[at.LAST_BAD_TS + PUMP] > own[at.LAST_BAD_TS + DUMP] else DUMP
    if pumps:
        return PUMP
    if dumps:
        return DUMP
    if (active >> MANIPULATED) & 1:
        return MANIPULATED
    return NEWS if (active >> NEWS) & 1 else NORMAL


@kernel_jit
def _step_global(
    ts: int,
    own: Ints,
    whole_i: Ints,
    whole_f: Floats,
    common: Floats,
    flags: Flags,
    figures: Floats,
) -> None:
    """Panic and risk-off by the leader's 300 s return and the share of symbols in DUMP."""
    ret, seen = abs(whole_f[at.LEADER_RET]), whole_i[at.SEEN_SYMBOLS]
    share = whole_i[at.DUMPS] / seen if seen >= common[at.PANIC_MIN_SYMBOLS] else 0.0
    part = common[at.OFF_FRACTION]
    is_panic = ret > common[at.PANIC_RET] or share >= common[at.PANIC_SHARE]
    is_off = ret > part * common[at.PANIC_RET] or share >= part * common[at.PANIC_SHARE]
    if is_panic:
        whole_i[at.PANIC_TS] = ts
    if is_off:
        whole_i[at.OFF_TS] = ts
    now = CALM
    if is_off or ts - whole_i[at.OFF_TS] < common[at.GLOBAL_EXIT_NS]:
        now = RISK_OFF
    if is_panic or ts - whole_i[at.PANIC_TS] < common[at.GLOBAL_EXIT_NS]:
        now = PANIC
    if now != whole_i[at.GLOBAL]:
        flags[at.CHANGES] |= at.GLOBAL_CHANGED
    whole_i[at.GLOBAL] = now
    flags[at.IN_GLOBAL] = now
    figures[at.LEADER_RET_NOW] = whole_f[at.LEADER_RET]
    figures[at.DUMPS_NOW], figures[at.SEEN_NOW] = whole_i[at.DUMPS], seen


# -- scores -------------------------------------------------------------------------------------------


@kernel_jit
def _write_penalties(frame: Floats, param: Floats, figures: Floats) -> None:
    """Penalties, and the expected move of one unit of pressure; the pressure may be a scorer's."""
    vpin, spread, volatility = frame[_VPIN], frame[_SPREAD], frame[_RV10]
    near = (figures[at.PROXIMITY] - param[at.NEAR_FROM]) / (1.0 - param[at.NEAR_FROM])
    over = vpin - param[at.TOXICITY_FLOOR]
    figures[at.TOXICITY_PART] = param[at.TOXICITY] * over if over > 0.0 else 0.0
    figures[at.SPREAD_PART] = 0.0 if math.isnan(spread) else param[at.PER_SPREAD] * spread
    figures[at.NEAR_PART] = param[at.NEAR_PENALTY] * near if near > 0.0 else 0.0
    figures[at.MOVE] = 0.0 if math.isnan(volatility) else param[at.EDGE] * volatility


@numeric_entry
def score_rows(out_i: Flags, out_f: Floats, state_i: Ints, params: Floats) -> None:
    """Scores, expected move and arming of every accepted row from its pressure."""
    for row in range(out_i.shape[0]):
        flags, figures = out_i[row], out_f[row]
        if flags[at.ACCEPTED] == 0:
            continue
        own, param = state_i[flags[at.SYMBOL]], params[flags[at.SYMBOL]]
        pressure = figures[at.PRESSURE]
        pull = param[at.GAIN] * pressure
        penalty = figures[at.TOXICITY_PART] + figures[at.SPREAD_PART] + figures[at.NEAR_PART]
        figures[at.LONG] = 100.0 / (1.0 + math.exp(penalty - pull))
        figures[at.SHORT] = 100.0 / (1.0 + math.exp(penalty + pull))
        figures[at.MOVE] *= abs(pressure)
        is_sound = flags[at.IN_REGIME] == NORMAL and flags[at.SCORER_OK] == 1
        flags[at.MAY_SIGNAL] = flags[at.WARM] == 1 and is_sound
        _arm(flags, figures, own, param[at.ENTRY_SCORE])
        flags[at.ARMED], flags[at.ARMED_ON] = own[at.ARMED_FRAMES], own[at.ARMED_SIDE]


@kernel_jit
def _arm(flags: Flags, figures: Floats, own: Ints, entry_score: float) -> None:
    """Count boundary frames in a row on which one side reached the entry score."""
    if flags[at.DISARMED] == 1:
        own[at.ARMED_FRAMES], own[at.ARMED_SIDE] = 0, 0
    if flags[at.BOUNDARY] == 0:
        return
    side = 1 if figures[at.PRESSURE] >= 0.0 else -1
    score = figures[at.LONG] if side == 1 else figures[at.SHORT]
    if not (flags[at.MAY_SIGNAL] == 1 and score >= entry_score):
        own[at.ARMED_FRAMES], own[at.ARMED_SIDE] = 0, 0
        return
    own[at.ARMED_FRAMES] = own[at.ARMED_FRAMES] + 1 if own[at.ARMED_SIDE] == side else 1
    own[at.ARMED_SIDE] = side
