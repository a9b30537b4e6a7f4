"""A seeded stream in the likeness of a busy perpetual: what the benchmarks run on.

One symbol, a window of 50 levels a side that is always full and never crossed, 15 % trades, deltas of
one to six levels (mean 2.8), arrivals in clusters. Entries stand best first, bids before asks, and a
level pushed out of the window is deleted in the message that pushed it, as the venue does.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.domain.events import EventChunk, EventKind
from market.domain.instruments import Instrument

WINDOW = 50
START_NS = 1_760_000_000_000_000_000
MID_TICK = 900_000
TRADE_SHARE = 0.15
ENTRY_SHARES = (0.28, 0.22, 0.18, 0.14, 0.10, 0.08)
MAX_ENTRIES = len(ENTRY_SHARES)


def bench_instrument(symbol: str = "BTCUSDT") -> Instrument:
    return Instrument(
        symbol=symbol, tick_size=Decimal("0.1"), qty_step=Decimal("0.001"), min_qty=Decimal("0.001"),
        max_qty=Decimal(1000), max_market_qty=Decimal(100), min_notional=Decimal(5),
        min_price=Decimal("0.1"), max_price=Decimal(1_999_999), min_leverage=Decimal(1),
        max_leverage=Decimal(100), leverage_step=Decimal("0.01"), price_scale=1,
        funding_interval_min=480, base_coin=symbol.removesuffix("USDT"),
    )  # fmt: skip


def bench_stream(
    messages: int = 2_000_000, *, seconds: float = 7_200.0, seed: int = 7
) -> EventChunk:
    """`messages` messages over `seconds`, the first a snapshot; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    kind = np.where(rng.random(messages) < TRADE_SHARE, EventKind.TRADE, EventKind.BOOK_DELTA)
    kind[0] = EventKind.BOOK_SNAPSHOT
    wanted = rng.choice(np.arange(1, MAX_ENTRIES + 1), size=messages, p=ENTRY_SHARES)
    gaps = rng.exponential(1.0, messages) * np.where(rng.random(messages) < 0.4, 0.2, 1.0)
    elapsed_us = (np.cumsum(gaps) * (seconds * 1e6 / gaps.sum())).astype(np.int64)
    core_ts = START_NS + 1_000 * elapsed_us
    kinds = kind.astype(np.uint8)
    offset, side, tick, lot = _walk(kinds, wanted, rng)
    return EventChunk(
        kind=kinds,
        flags=np.zeros(messages, np.uint8),
        symbol=np.zeros(messages, np.uint16),
        seq=np.arange(1, messages + 1, dtype=np.int64),
        core_ts_ns=core_ts,
        exchange_ts_ns=core_ts - core_ts % 1_000_000 - 5_000_000,
        level_offset=offset,
        side=side,
        tick=tick,
        lot=lot,
    )


@njit
def _size(rng: np.random.Generator, log_mean: float) -> int:
    return max(1, int(np.exp(rng.normal(log_mean, 1.2))))


@njit
def _step(rng: np.random.Generator) -> int:
    """Distance to the next level outward, ticks."""
    return int(rng.geometric(0.55))


@njit
def _walk(
    kinds: NDArray[np.uint8], wanted: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and entries of all messages, from a walking book (best first, both sides)."""
    capacity = 2 * WINDOW + kinds.size * MAX_ENTRIES
    offset = np.zeros(kinds.size + 1, np.int64)
    side, tick, lot = (
        np.zeros(capacity, np.uint8),
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int64),
    )
    ticks, lots = np.zeros((2, WINDOW), np.int64), np.zeros((2, WINDOW), np.int64)
    filled, taker = 0, 0
    for s in range(2):
        at = MID_TICK + s
        for level in range(WINDOW):
            ticks[s, level], lots[s, level] = at, _size(rng, 5.5)
            at += _step(rng) if s else -_step(rng)
            side[filled], tick[filled], lot[filled] = s, ticks[s, level], lots[s, level]
            filled += 1
    offset[1] = filled
    for i in range(1, kinds.size):
        if kinds[i] == 1:
            if rng.random() > 0.75:
                taker = 1 - taker
            side[filled], tick[filled] = taker, ticks[1 - taker, 0]
            lot[filled] = _size(rng, 3.0)
            filled += 1
        else:
            filled = _delta(ticks, lots, wanted[i], rng, side, tick, lot, filled)
        offset[i + 1] = filled
    return offset, side[:filled].copy(), tick[:filled].copy(), lot[:filled].copy()


@njit
def _delta(  # noqa: C901
    ticks: NDArray[np.int64],
    lots: NDArray[np.int64],
    wanted: int,
    rng: np.random.Generator,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
) -> int:
    """Write one delta's entries from place `first`; returns the place after them."""
    filled = first
    for _attempt in range(60):
        if filled - first == wanted:
            break
        s = int(rng.random() < 0.5)
        rank, action = int(rng.exponential(9.0)), rng.random()
        if rank >= WINDOW:
            continue
        spread = ticks[1, 0] - ticks[0, 0]
        new_rank, old_rank = -1, rank
        if filled - first + 2 <= wanted:
            if spread > 1 and action < (0.10 if spread < 4 else 0.5):
                new_rank, old_rank = 0, WINDOW - 1
            elif (
                action < 0.17 and rank < WINDOW - 2 and abs(ticks[s, rank + 1] - ticks[s, rank]) > 1
            ):
                new_rank, old_rank = rank + 1, WINDOW - 1
            elif action < 0.25 and (rank > 0 or (spread < 8 and rng.random() < 0.3)):
                new_rank, old_rank = WINDOW - 1, rank
        outward = 1 if s else -1
        new_tick = ticks[s, old_rank]
        if new_rank == WINDOW - 1:
            new_tick = ticks[s, WINDOW - 1] + outward * _step(rng)
        elif new_rank == 0:
            new_tick = ticks[s, 0] - outward
        elif new_rank > 0:
            new_tick = ticks[s, rank] + outward
        if _is_touched(tick, side, first, filled, s, new_tick) or _is_touched(
            tick, side, first, filled, s, ticks[s, old_rank]
        ):
            continue
        if new_rank >= 0:
            side[filled], tick[filled], lot[filled] = s, ticks[s, old_rank], 0
            filled += 1
            _move(ticks[s], lots[s], old_rank, new_rank)
            ticks[s, new_rank] = new_tick
        at = max(new_rank, 0) if new_rank >= 0 else rank
        lots[s, at] = _size(rng, 5.5)
        side[filled], tick[filled], lot[filled] = s, new_tick, lots[s, at]
        filled += 1
    _best_first(side, tick, lot, first, filled)
    return filled


@njit
def _is_touched(
    tick: NDArray[np.int64], side: NDArray[np.uint8], first: int, last: int, s: int, at: int
) -> bool:
    found = False
    for i in range(first, last):
        found |= side[i] == s and tick[i] == at
    return found


@njit
def _move(ticks: NDArray[np.int64], lots: NDArray[np.int64], old_rank: int, new_rank: int) -> None:
    """Take out the level at `old_rank` and open a place at `new_rank`."""
    step = 1 if new_rank > old_rank else -1
    for i in range(old_rank, new_rank, step):
        ticks[i], lots[i] = ticks[i + step], lots[i + step]


@njit
def _best_first(
    side: NDArray[np.uint8], tick: NDArray[np.int64], lot: NDArray[np.int64], first: int, last: int
) -> None:
    for i in range(first + 1, last):
        j = i
        while j > first and _is_before(side[j], tick[j], side[j - 1], tick[j - 1]):
            side[j], side[j - 1] = side[j - 1], side[j]
            tick[j], tick[j - 1] = tick[j - 1], tick[j]
            lot[j], lot[j - 1] = lot[j - 1], lot[j]
            j -= 1


@njit
def _is_before(side: int, tick: int, other_side: int, other_tick: int) -> bool:
    if side != other_side:
        return side < other_side
    return tick > other_tick if side == 0 else tick < other_tick
