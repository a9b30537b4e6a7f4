"""What trades do: flow, bursts, VPIN buckets, and credit for the book size they will take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.domain.book import key_of, side_block
from market.domain.events import BUY
from market.domain.features_book import CREDIT_LIFE_NS
from market.domain.features_decay import LN2, decay, fifth_power, sixth_power
from market.domain.kernel_jit import at, hot_jit, kernel_jit, whole
from market.domain.kernel_state import (
    BUCKETS,
    CREDIT_KEY,
    CREDIT_LOTS,
    CREDIT_TS,
    MAX_LOT,
    NS_PER_S,
    SYMBOL_CELLS,
    VPIN_BUCKETS,
    Record,
)

DAY_NS = 86_400 * NS_PER_S
BUCKETS_PER_DAY = 200
MIN_VOLUME_SPAN_NS = 60 * NS_PER_S  # a day's volume is not guessed from less than a minute


@hot_jit
def apply_trade(
    state: Record,
    rules: Record,
    cells: NDArray[np.int64],
    symbol: int,
    now: int,
    exchange_ts: int,
    side: int,
    tick: int,
    lot: int,
) -> bool:
    """Note one visible-book trade. True when its burst has just become a sweep."""
    note_flow(state, rules, now, side, tick, lot)
    fill_buckets(state, cells, symbol, now, side, lot)
    note_credit(cells, side_block(symbol, 1 - side), key_of(1 - side, tick), lot, now)
    state.last_price = tick * rules.price_numerator / rules.price_denominator
    return note_burst(state, exchange_ts, side, tick, rules.sweep_levels)


@hot_jit
def note_flow(state: Record, rules: Record, now: int, side: int, tick: int, lot: int) -> None:
    notional = float(tick) * float(lot) * rules.usd_per_tick_lot
    signed = notional if side == BUY else -notional
    if state.first_trade_ts == 0:
        state.first_trade_ts = now
    elif now != state.trade_ts:
        left30 = decay(now - state.trade_ts, 30.0 * NS_PER_S)
        left5 = sixth_power(left30)
        state.flow1 *= fifth_power(left5)
        state.flow5 *= left5
        state.flow30 *= left30
        state.notional5 *= left5
        state.trades5 *= left5
        state.day_lots *= decay(now - state.trade_ts, float(DAY_NS))
    state.trade_ts = now
    state.flow1 += signed
    state.flow5 += signed
    state.flow30 += signed
    state.notional5 += notional
    state.trades5 += 1.0
    state.day_lots += lot
    state.cvd += signed
    state.boundary_flow += signed


@hot_jit
def note_burst(state: Record, exchange_ts: int, side: int, tick: int, sweep_levels: int) -> bool:
    """Count the price levels one taker takes: trades of one side and one exchange time in a row."""
    if (
        state.burst_levels == 0
        or side != state.burst_side
        or exchange_ts != state.burst_exchange_ts
    ):
        state.burst_side = side
        state.burst_exchange_ts = exchange_ts
        state.burst_tick = tick
        state.burst_levels = 1
        is_deeper = True
    else:
        is_deeper = tick > state.burst_tick if side == BUY else tick < state.burst_tick
        if is_deeper:
            state.burst_tick = tick
            state.burst_levels += 1
    if state.burst_levels >= abs(state.sweep):
        state.sweep = state.burst_levels if side == BUY else -state.burst_levels
    return is_deeper and state.burst_levels == sweep_levels


@hot_jit
def note_credit(cells: NDArray[np.int64], block: int, key: int, lot: int, now: int) -> None:
    """The resting side will shrink by `lot` at `key` or better: that will not be a cancellation."""
    if cells[at(block + CREDIT_LOTS)] == 0 or now - cells[at(block + CREDIT_TS)] > CREDIT_LIFE_NS:
        cells[at(block + CREDIT_LOTS)] = 0
        cells[at(block + CREDIT_KEY)] = key
    cells[at(block + CREDIT_LOTS)] = min(cells[at(block + CREDIT_LOTS)] + lot, MAX_LOT)
    cells[at(block + CREDIT_KEY)] = min(cells[at(block + CREDIT_KEY)], key)
    cells[at(block + CREDIT_TS)] = now


@kernel_jit
def bucket_lots(state: Record, now: int) -> int:
    """Size of the VPIN bucket that opens now: a 200th of the volume of a day at the rate so far."""
    span = max(now - state.first_trade_ts, MIN_VOLUME_SPAN_NS)
    daily = state.day_lots * LN2 / (1.0 - decay(span, float(DAY_NS)))
    return max(1, whole(min(daily / BUCKETS_PER_DAY, float(MAX_LOT))))


@hot_jit
def fill_buckets(
    state: Record, cells: NDArray[np.int64], symbol: int, now: int, side: int, lot: int
) -> None:
    """Pour a trade into the buckets; it may close several."""
    left = lot
    while left > 0:
        if state.bucket_size == 0:
            state.bucket_size = bucket_lots(state, now)
            # A ring full of one-sided buckets stays as it is however many more follow.
            surplus = left // state.bucket_size - VPIN_BUCKETS
            left -= max(0, surplus) * state.bucket_size
        poured = min(left, state.bucket_size - state.bucket_filled)
        left -= poured
        state.bucket_filled += poured
        state.bucket_signed += poured if side == BUY else -poured
        if state.bucket_filled == state.bucket_size:
            close_bucket(state, cells, symbol * SYMBOL_CELLS + BUCKETS)


@kernel_jit
def close_bucket(state: Record, cells: NDArray[np.int64], first: int) -> None:
    slot = first + state.bucket_next
    imbalance = abs(state.bucket_signed)
    state.bucket_imbalance_sum += imbalance - cells[at(slot)]
    state.bucket_volume_sum += state.bucket_size - cells[at(slot + VPIN_BUCKETS)]
    cells[at(slot)] = imbalance
    cells[at(slot + VPIN_BUCKETS)] = state.bucket_size
    state.bucket_next = (state.bucket_next + 1) % VPIN_BUCKETS
    state.bucket_count += 1
    state.bucket_size = 0
    state.bucket_filled = 0
    state.bucket_signed = 0
