"""Boundary sampling and the writing of frames (definitions: docs/features.md)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from market.domain.book import level_count, side_block, touch_key, touch_lots, word_of
from market.domain.events import BID
from market.domain.features_book import has_both_sides
from market.domain.features_decay import LN2, decay, fifth_power, sixth_power
from market.domain.frames import BookState
from market.domain.kernel_jit import Bits, at, highest_bit, hot_jit, kernel_jit
from market.domain.kernel_state import (
    BASE,
    FAR_COUNT,
    FAR_KEYS,
    FAR_SIZES,
    LADDER,
    NS_PER_S,
    SIDE_CELLS,
    Record,
)

EMPTY, OK = int(BookState.EMPTY), int(BookState.OK)
DEGRADED, STALE = int(BookState.DEGRADED), int(BookState.STALE)

MIN_WEIGHT = 1e-12  # an average that has forgotten its samples has no value
MIN_RATE = 1e-9  # USD per second
MIN_FLOW_VARIANCE = 1e-6  # of the mean squared flow; below it lambda is rounding noise
MIDS, OPEN_INTERESTS = 0, 1  # rings


@hot_jit
def book_state(
    state: Record, rules: Record, cells: NDArray[np.int64], symbol: int, now: int
) -> int:
    if state.has_snapshot == 0:
        return EMPTY
    if state.is_degraded != 0 or (
        state.crossed_since != 0 and now - state.crossed_since > rules.crossed_ns
    ):
        return DEGRADED
    if state.is_stale != 0 or now - state.book_ts > rules.stale_ns:
        return STALE
    return OK if has_both_sides(cells, symbol) else EMPTY


@hot_jit
def current_mid2(cells: NDArray[np.int64], symbol: int) -> int:
    """Bid tick + ask tick, twice the mid; 0 while a side is empty."""
    if not has_both_sides(cells, symbol):
        return 0
    bids = side_block(symbol, BID)
    return touch_key(cells, bids) - touch_key(cells, bids + SIDE_CELLS)


@kernel_jit
def sample_boundary(
    state: Record,
    rules: Record,
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    symbol: int,
    boundary: int,
) -> None:
    """Take the samples of one boundary; only an OK book gives a mid and a depth."""
    is_ok = book_state(state, rules, cells, symbol, boundary) == OK
    mid2 = float(current_mid2(cells, symbol)) if is_ok else math.nan
    ret = (mid2 - state.boundary_mid2) / state.boundary_mid2 * 1e4
    slot = (boundary // rules.interval_ns) % rings.shape[2]
    rings[symbol, MIDS, slot] = mid2
    rings[symbol, OPEN_INTERESTS, slot] = state.open_interest
    sample_depth(state, cells, symbol, is_ok, rules.keep60)
    sample_volatility(state, rules, ret)
    sample_impact(state, ret, rules.keep300)
    state.boundary_mid2 = mid2
    state.boundary_flow = 0.0


@hot_jit
def sample_depth(
    state: Record, cells: NDArray[np.int64], symbol: int, is_ok: bool, keep: float
) -> None:
    state.depth_sum *= keep
    state.depth_weight *= keep
    if is_ok:
        bids = side_block(symbol, BID)
        state.depth_sum += 0.5 * (touch_lots(cells, bids) + touch_lots(cells, bids + SIDE_CELLS))
        state.depth_weight += 1.0


@hot_jit
def sample_volatility(state: Record, rules: Record, ret: float) -> None:
    state.rv10_sum *= rules.keep10
    state.rv10_weight *= rules.keep10
    state.rv60_sum *= rules.keep60
    state.rv60_weight *= rules.keep60
    state.rv300_sum *= rules.keep300
    state.rv300_weight *= rules.keep300
    if math.isnan(ret):
        return
    squared = ret * ret / (rules.interval_ns / NS_PER_S)
    state.rv10_sum += squared
    state.rv10_weight += 1.0
    state.rv60_sum += squared
    state.rv60_weight += 1.0
    state.rv300_sum += squared
    state.rv300_weight += 1.0


@hot_jit
def sample_impact(state: Record, ret: float, keep: float) -> None:
    state.kyle_weight *= keep
    state.kyle_ret *= keep
    state.kyle_flow *= keep
    state.kyle_ret_flow *= keep
    state.kyle_flow_flow *= keep
    if math.isnan(ret):
        return
    flow = state.boundary_flow
    state.kyle_weight += 1.0
    state.kyle_ret += ret
    state.kyle_flow += flow
    state.kyle_ret_flow += ret * flow
    state.kyle_flow_flow += flow * flow


@kernel_jit
def write_frame(
    frame: Record,
    state: Record,
    rules: Record,
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    symbol: int,
    now: int,
    last_seq: int,
    reason: int,
    boundary_index: int,
) -> None:
    """Fill `frame` with everything known of `symbol` at core time `now`."""
    state.frame_seq += 1
    frame.frame_seq = state.frame_seq
    frame.ts_ns = now
    frame.last_seq = last_seq
    frame.input_hash = np.uint64(state.input_hash)
    frame.symbol = symbol
    frame.reason = reason
    status = book_state(state, rules, cells, symbol, now)
    frame.book_state = status
    frame.warm = now - state.first_ts >= rules.warmup_ns
    lots20 = write_prices(frame, rules, cells, symbol)
    write_book_flow(frame, state, has_both_sides(cells, symbol), lots20, now)
    write_trade_flow(frame, state, now)
    write_returns(frame, state, rules, cells, rings, symbol, boundary_index, status == OK)
    write_averages(frame, state)
    write_context(frame, state, rules, rings, symbol, boundary_index, now)
    state.framed_mid2 = current_mid2(cells, symbol)
    state.sweep = 0


@hot_jit
def write_prices(frame: Record, rules: Record, cells: NDArray[np.int64], symbol: int) -> int:
    """Touch, mid, depth; returns the lots of the best 20 levels of both sides."""
    bids = side_block(symbol, BID)
    asks = bids + SIDE_CELLS
    frame.bid_tick = 0
    frame.ask_tick = 0
    frame.bid = frame.bid_size = frame.ask = frame.ask_size = math.nan
    frame.mid = frame.microprice = frame.spread_bps = math.nan
    if level_count(cells, bids) > 0:
        frame.bid_tick = touch_key(cells, bids)
        frame.bid = frame.bid_tick * rules.price_numerator / rules.price_denominator
        frame.bid_size = touch_lots(cells, bids) * rules.qty_numerator / rules.qty_denominator
    if level_count(cells, asks) > 0:
        frame.ask_tick = -touch_key(cells, asks)
        frame.ask = frame.ask_tick * rules.price_numerator / rules.price_denominator
        frame.ask_size = touch_lots(cells, asks) * rules.qty_numerator / rules.qty_denominator
    if has_both_sides(cells, symbol):
        mid2 = frame.bid_tick + frame.ask_tick
        frame.mid = mid2 * rules.price_numerator / (2.0 * rules.price_denominator)
        frame.microprice = (frame.bid * frame.ask_size + frame.ask * frame.bid_size) / (
            frame.bid_size + frame.ask_size
        )
        frame.spread_bps = 2e4 * (frame.ask_tick - frame.bid_tick) / mid2
    return write_depth(frame, rules, cells, bids, asks, has_both_sides(cells, symbol))


@hot_jit
def best_twenty(cells: NDArray[np.int64], block: int) -> tuple[int, int, float, int]:
    """Of a side: lots of the best 5 and 20 levels, sum of |key| * lots (best first), key of the last."""
    levels = min(20, level_count(cells, block))
    in_ladder = min(levels, level_count(cells, block) - cells[at(block + FAR_COUNT)])
    base = cells[at(block + BASE)]
    word = (touch_key(cells, block) - base) >> 6
    bits: Bits = word_of(cells, block, word) if levels > 0 else np.uint64(0)
    lots5, lots20, value, key = 0, 0, 0.0, 0
    for i in range(levels):
        if i < in_ladder:
            while bits == 0:
                word -= 1
                bits = word_of(cells, block, word)
            bit = highest_bit(bits)
            bits ^= np.uint64(1) << np.uint64(bit)
            place = word * 64 + bit
            key, lots = base + place, cells[at(block + LADDER + place)]
        else:
            place = cells[at(block + FAR_COUNT)] - 1 - (i - in_ladder)
            key, lots = cells[at(block + FAR_KEYS + place)], cells[at(block + FAR_SIZES + place)]
        lots20 += lots
        value += float(abs(key)) * float(lots)
        if i == 4:
            lots5 = lots20
    return lots5 if levels > 4 else lots20, lots20, value, key


@hot_jit
def imbalance(bid_lots: int, ask_lots: int) -> float:
    return (bid_lots - ask_lots) / (bid_lots + ask_lots)


@hot_jit
def write_depth(
    frame: Record,
    rules: Record,
    cells: NDArray[np.int64],
    bids: int,
    asks: int,
    is_two_sided: bool,
) -> int:
    """Depth and imbalance; returns the lots of the best 20 levels of both sides."""
    frame.imb1 = frame.imb5 = frame.imb20 = frame.depth_span_bps = math.nan
    frame.bid_depth_usd20 = frame.ask_depth_usd20 = math.nan
    bids5, bids20, bids_value, lowest = best_twenty(cells, bids)
    asks5, asks20, asks_value, highest = best_twenty(cells, asks)
    if bids20 > 0:
        frame.bid_depth_usd20 = bids_value * rules.usd_per_tick_lot
    if asks20 > 0:
        frame.ask_depth_usd20 = asks_value * rules.usd_per_tick_lot
    if is_two_sided:
        frame.imb1 = imbalance(touch_lots(cells, bids), touch_lots(cells, asks))
        frame.imb5 = imbalance(bids5, asks5)
        frame.imb20 = imbalance(bids20, asks20)
        frame.depth_span_bps = 1e4 * (-highest - lowest) / (frame.bid_tick + frame.ask_tick)
    return bids20 + asks20


@hot_jit
def write_book_flow(
    frame: Record, state: Record, is_two_sided: bool, lots20: int, now: int
) -> None:
    frame.ofi1s = frame.ofi5s = frame.flicker = math.nan
    left5 = decay(now - state.book_flow_ts, 5.0 * NS_PER_S)
    left1 = fifth_power(left5)
    if state.depth_weight > MIN_WEIGHT:
        depth = state.depth_sum / state.depth_weight
        frame.ofi1s = state.ofi1 * left1 * LN2 / depth
        frame.ofi5s = state.ofi5 * left5 * (LN2 / 5.0) / depth
    if state.has_snapshot != 0 and is_two_sided:
        frame.flicker = state.cancelled1 * left1 * LN2 / lots20


@hot_jit
def write_trade_flow(frame: Record, state: Record, now: int) -> None:
    frame.flow1s = frame.flow5s = frame.flow30s = frame.flow_ratio5s = math.nan
    frame.trade_rate5s = frame.notional_rate5s = frame.cvd = frame.trade_age_ms = math.nan
    frame.sweep = frame.vpin = math.nan
    if state.first_trade_ts == 0:
        return
    left30 = decay(now - state.trade_ts, 30.0 * NS_PER_S)
    left5 = sixth_power(left30)
    frame.flow1s = state.flow1 * fifth_power(left5) * LN2
    frame.flow5s = state.flow5 * left5 * (LN2 / 5.0)
    frame.flow30s = state.flow30 * left30 * (LN2 / 30.0)
    frame.notional_rate5s = state.notional5 * left5 * (LN2 / 5.0)
    frame.trade_rate5s = state.trades5 * left5 * (LN2 / 5.0)
    frame.flow_ratio5s = 0.0
    if frame.notional_rate5s > MIN_RATE:
        frame.flow_ratio5s = frame.flow5s / frame.notional_rate5s
    frame.cvd = state.cvd
    frame.sweep = state.sweep
    frame.trade_age_ms = (now - state.trade_ts) / 1e6
    if state.bucket_count > 0:
        frame.vpin = state.bucket_imbalance_sum / state.bucket_volume_sum


@hot_jit
def slot_before(slot: int, steps: int, length: int) -> int:
    """Ring slot `steps` boundaries before `slot`."""
    return slot - steps if slot >= steps else slot - steps + length


@hot_jit
def ring_return(
    rings: NDArray[np.float64], symbol: int, slot: int, steps: int, mid2: float
) -> float:
    before = rings[at(symbol), MIDS, at(slot_before(slot, steps, rings.shape[2]))]
    return (mid2 - before) / before * 1e4


@hot_jit
def write_returns(
    frame: Record,
    state: Record,
    rules: Record,
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    symbol: int,
    boundary_index: int,
    is_ok: bool,
) -> None:
    mid2 = float(current_mid2(cells, symbol)) if is_ok else math.nan
    slot = boundary_index % rings.shape[2]
    frame.ret1s = ring_return(rings, symbol, slot, rules.steps1, mid2)
    frame.ret5s = ring_return(rings, symbol, slot, rules.steps5, mid2)
    frame.ret30s = ring_return(rings, symbol, slot, rules.steps30, mid2)
    frame.ret60s = ring_return(rings, symbol, slot, rules.steps60, mid2)
    frame.ret300s = ring_return(rings, symbol, slot, rules.steps300, mid2)


@hot_jit
def root_mean(total: float, weight: float) -> float:
    return math.sqrt(total / weight) if weight > MIN_WEIGHT else math.nan


@hot_jit
def write_averages(frame: Record, state: Record) -> None:
    frame.rv10s = root_mean(state.rv10_sum, state.rv10_weight)
    frame.rv60s = root_mean(state.rv60_sum, state.rv60_weight)
    frame.rv300s = root_mean(state.rv300_sum, state.rv300_weight)
    frame.kyle_lambda = math.nan
    if state.kyle_weight <= MIN_WEIGHT:
        return
    mean_flow = state.kyle_flow / state.kyle_weight
    mean_square = state.kyle_flow_flow / state.kyle_weight
    variance = mean_square - mean_flow * mean_flow
    if variance > MIN_FLOW_VARIANCE * mean_square:
        mean_ret = state.kyle_ret / state.kyle_weight
        covariance = state.kyle_ret_flow / state.kyle_weight - mean_ret * mean_flow
        frame.kyle_lambda = covariance / variance


@hot_jit
def write_context(
    frame: Record,
    state: Record,
    rules: Record,
    rings: NDArray[np.float64],
    symbol: int,
    boundary_index: int,
    now: int,
) -> None:
    frame.last_price = state.last_price
    frame.mark_price = state.mark_price
    frame.index_price = state.index_price
    frame.funding_rate = state.funding_rate
    frame.basis_bps = (state.mark_price - state.index_price) / state.index_price * 1e4
    frame.seconds_to_funding = math.nan
    if state.next_funding_ns != 0:
        frame.seconds_to_funding = max(0, state.next_funding_ns - now) / 1e9
    slot = slot_before(boundary_index % rings.shape[2], rules.steps300, rings.shape[2])
    before = rings[at(symbol), OPEN_INTERESTS, at(slot)]
    frame.oi_change5m = (state.open_interest - before) / before
    frame.book_age_ms = (now - state.book_ts) / 1e6 if state.book_ts != 0 else math.nan
