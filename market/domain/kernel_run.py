"""The loop over messages, compiled: events in, frames out, at each boundary and trigger."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain import (
    book,
    events,
    features_book,
    features_decay,
    features_frame,
    features_trade,
    frames,
    kernel_state,
)
from market.domain.events import FLAG_BLOCK, FLAG_RPI, EventKind, TickerField
from market.domain.features_book import apply_snapshot, apply_update, note_book_feed
from market.domain.features_frame import current_mid2, sample_boundary, write_frame
from market.domain.features_trade import apply_trade
from market.domain.frames import FrameReason
from market.domain.kernel_jit import (
    at,
    entry_jit,
    flat_jit,
    hot_jit,
    kernel_jit,
    source_digest,
    whole,
)
from market.domain.kernel_state import MAX_LOT, MAX_TICK, MAX_TIME_NS, QUIET_LIMIT_NS, Record

TRADE, BOOK_SNAPSHOT = int(EventKind.TRADE), int(EventKind.BOOK_SNAPSHOT)
BOOK_DELTA, BBO = int(EventKind.BOOK_DELTA), int(EventKind.BBO)
TICKER, FEED_GAP = int(EventKind.TICKER), int(EventKind.FEED_GAP)
LIVENESS = int(EventKind.LIVENESS)
BOUNDARY, TRIGGER = int(FrameReason.BOUNDARY), int(FrameReason.TRIGGER)
LAST_PRICE, MARK_PRICE = int(TickerField.LAST_PRICE), int(TickerField.MARK_PRICE)
INDEX_PRICE, FUNDING_RATE = int(TickerField.INDEX_PRICE), int(TickerField.FUNDING_RATE)
NEXT_FUNDING, OPEN_INTEREST = int(TickerField.NEXT_FUNDING_TIME), int(TickerField.OPEN_INTEREST)
OUTSIDE_BOOK = FLAG_RPI | FLAG_BLOCK

# Odd multipliers of the 64-bit input hash (fractional bits of the golden ratio, pi, e, sqrt 2, sqrt 3).
_M1, _M2, _M3 = -7046029254386353131, 2611923443488327891, -5257279414387421061
_M4, _M5 = 7640891576956012809, -4942790177534073029
_LOW35 = (1 << 35) - 1


@hot_jit
def mix(state: int, value: int) -> int:
    """One-to-one in `state` and in `value`: one changed value always shows, then and ever after."""
    state = (state ^ value) * _M1
    return state ^ ((state >> 29) & _LOW35)


@hot_jit
def hash_inputs(
    state: Record,
    header: int,
    core_ts: int,
    exchange_ts: int,
    seq: int,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """Fold everything consumed of one message into the symbol's rolling hash.

    The parts are mixed each for itself and summed, so that none waits for another.
    """
    total = mix(core_ts * _M2, exchange_ts) + mix(seq * _M3, header)
    for entry in range(first, last):
        place = np.int64(side[at(entry)]) * _M4 + tick[at(entry)]
        total += mix(place * _M2 + (entry - first) * _M5, lot[at(entry)] * _M3)
    state.input_hash = mix(state.input_hash, total)


@hot_jit
def admissible_time(run: Record, core_ts: int) -> int:
    """Core time never goes back and is a plausible instant; what is not takes the present."""
    if core_ts <= 0 or core_ts >= MAX_TIME_NS:
        run.bad_time += 1
        return run.now
    if core_ts < run.now:
        run.late += 1
        return run.now
    return core_ts


@kernel_jit
def fall_asleep(run: Record, symbols: NDArray[np.void], rings: NDArray[np.float64]) -> None:
    """Nothing came for an hour: stop the grid and forget the mids that returns would span."""
    run.next_boundary = 0
    rings[:] = math.nan
    for s in range(symbols.size):
        symbols[at(s)].boundary_mid2 = math.nan
        symbols[at(s)].boundary_flow = 0.0


@kernel_jit
def emit_boundaries(
    now: int,
    run: Record,
    symbols: NDArray[np.void],
    rules: NDArray[np.void],
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    out: NDArray[np.void],
    made: int,
) -> tuple[int, bool]:
    """Boundary frames up to and including `now`; returns (frames in `out`, no room for all of them)."""
    while run.next_boundary != 0 and run.next_boundary <= now:
        boundary = run.next_boundary
        if boundary > run.last_event_ts + QUIET_LIMIT_NS:
            fall_asleep(run, symbols, rings)
            return made, False
        if out.size - made <= symbols.size:
            return made, True
        index = boundary // rules[0].interval_ns
        for s in range(symbols.size):
            if symbols[at(s)].seen == 0:
                continue
            sample_boundary(symbols[at(s)], rules[at(s)], cells, rings, s, boundary)
            write_frame(
                out[made], symbols[at(s)], rules[at(s)], cells, rings,
                s, boundary, run.last_seq, BOUNDARY, index,
            )  # fmt: skip
            made += 1
        run.now = boundary
        run.next_boundary = boundary + rules[0].interval_ns
    return made, False


@kernel_jit
def apply_ticker(
    state: Record,
    run: Record,
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    for entry in range(first, last):
        field, value = tick[at(entry)], lot[at(entry)]
        if field == LAST_PRICE:
            state.last_price = value / 1e9
        elif field == MARK_PRICE:
            state.mark_price = value / 1e9
        elif field == INDEX_PRICE:
            state.index_price = value / 1e9 if value != 0 else math.nan
        elif field == FUNDING_RATE:
            state.funding_rate = value / 1e9
        elif field == NEXT_FUNDING:
            state.next_funding_ns = (
                value * 1_000_000 if 0 <= value < MAX_TIME_NS // 1_000_000 else 0
            )
        elif field == OPEN_INTEREST:
            state.open_interest = value / 1e3 if value != 0 else math.nan
        else:
            run.unknown_ticker_field += 1


@hot_jit
def is_trade(side: int, tick: int, lot: int) -> bool:
    return side <= 1 and 0 < tick < MAX_TICK and 0 < lot < MAX_LOT


@hot_jit
def has_moved(state: Record, rules: Record, cells: NDArray[np.int64], symbol: int) -> bool:
    """Has the mid of a trusted book moved by the trigger since the symbol's last frame?"""
    if state.framed_mid2 == 0 or state.is_degraded != 0 or state.is_stale != 0:
        return False
    mid2 = current_mid2(cells, symbol)
    return mid2 != 0 and abs(mid2 - state.framed_mid2) >= rules.trigger_mid2


@flat_jit
def apply_message(
    state: Record,
    run: Record,
    rules: Record,
    cells: NDArray[np.int64],
    symbol: int,
    now: int,
    kind: int,
    flags: int,
    exchange_ts: int,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> bool:
    """Apply one message; True when it calls for a frame at once."""
    if kind == TRADE:
        if last - first != 1 or not is_trade(side[first], tick[first], lot[first]):
            run.bad_trade += 1
            return False
        if flags & OUTSIDE_BOOK:
            return False
        return apply_trade(
            state, rules, cells, symbol, now, exchange_ts, side[first], tick[first], lot[first]
        )
    if kind == TICKER:
        apply_ticker(state, run, tick, lot, first, last)
        return False
    if kind == FEED_GAP:
        state.is_degraded = 1
        return False
    return apply_book_message(
        state, run, rules, cells, symbol, now, kind, side, tick, lot, first, last
    )


@flat_jit
def apply_book_message(
    state: Record,
    run: Record,
    rules: Record,
    cells: NDArray[np.int64],
    symbol: int,
    now: int,
    kind: int,
    side: NDArray[np.uint8],
    tick: NDArray[np.int64],
    lot: NDArray[np.int64],
    first: int,
    last: int,
) -> bool:
    if kind == BOOK_SNAPSHOT:
        apply_snapshot(state, run, cells, symbol, now, side, tick, lot, first, last)
        return has_moved(state, rules, cells, symbol)
    if kind < BOOK_SNAPSHOT or kind > LIVENESS:
        run.unknown_kind += 1
        return False
    note_book_feed(state, rules, now)
    if kind == LIVENESS:
        return False
    if state.has_snapshot == 0:
        run.before_snapshot += 1
        return False
    apply_update(state, run, cells, symbol, now, kind == BBO, side, tick, lot, first, last)
    return has_moved(state, rules, cells, symbol)


@flat_jit
def take_message(
    i: int,
    now: int,
    columns: tuple[Any, ...],
    run: Record,
    symbols: NDArray[np.void],
    rules: NDArray[np.void],
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    out: NDArray[np.void],
    made: int,
) -> int:
    """Consume message i; returns the frames in `out` after it."""
    kinds, flags, symbol, seq, core_ts, exchange_ts, offset, side, tick, lot = columns
    s = whole(symbol[at(i)])
    if s >= symbols.size:
        run.unknown_symbol += 1
        return made
    first, last = offset[at(i)], offset[at(i + 1)]
    if first < 0 or last < first or last > min(side.size, tick.size, lot.size):
        run.bad_entries += 1
        first, last = 0, 0
    state = symbols[at(s)]
    if state.seen == 0:
        state.seen = 1
        state.first_ts = now
    header = np.int64(kinds[at(i)]) + (np.int64(flags[at(i)]) << 8) + ((last - first) << 16)
    hash_inputs(
        state, header, core_ts[at(i)], exchange_ts[at(i)], seq[at(i)], side, tick, lot, first, last
    )
    if not apply_message(
        state, run, rules[at(s)], cells, s, now, kinds[at(i)], flags[at(i)], exchange_ts[at(i)],
        side, tick, lot, first, last,
    ):  # fmt: skip
        return made
    index = run.next_boundary // rules[0].interval_ns - 1
    write_frame(out[made], state, rules[at(s)], cells, rings, s, now, seq[at(i)], TRIGGER, index)
    return made + 1


@flat_jit
def consume_messages(
    columns: tuple[Any, ...],
    run: Record,
    symbols: NDArray[np.void],
    rules: NDArray[np.void],
    cells: NDArray[np.int64],
    rings: NDArray[np.float64],
    out: NDArray[np.void],
    start: int,
    stop: int,
    stop_at_frame: bool,
) -> tuple[int, int, bool]:
    """Consume messages start..stop; returns (next message, frames in `out`, `out` was too short).

    With `stop_at_frame` it returns after the first message with a frame.
    """
    seq, core_ts = columns[3], columns[4]
    made, is_full = 0, False
    for i in range(start, stop):
        now = admissible_time(run, core_ts[at(i)])
        if run.next_boundary != 0 and run.next_boundary <= now:
            made, is_full = emit_boundaries(now, run, symbols, rules, cells, rings, out, made)
        if is_full or made == out.size:
            return i, made, True
        if now == 0:
            continue
        run.now = now
        run.last_event_ts = now
        run.last_seq = seq[at(i)]
        if run.next_boundary == 0:
            run.next_boundary = (now // rules[0].interval_ns + 1) * rules[0].interval_ns
        made = take_message(i, now, columns, run, symbols, rules, cells, rings, out, made)
        if stop_at_frame and made > 0:
            return i + 1, made, False
    return stop, made, False


def _compiled(digest: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two entries; their closure over the digest makes it part of the cache's key."""

    @entry_jit
    def consume(  # type: ignore[no-untyped-def]
        kind, flags, symbol, seq, core_ts, exchange_ts, offset, side, tick, lot,
        runs, symbols, rules, cells, rings, out, start, stop, stop_at_frame,
    ):  # fmt: skip
        assert digest >= 0
        columns = (kind, flags, symbol, seq, core_ts, exchange_ts, offset, side, tick, lot)
        return consume_messages(
            columns, runs[0], symbols, rules, cells, rings, out, start, stop, stop_at_frame
        )

    @entry_jit
    def advance(now, runs, symbols, rules, cells, rings, out):  # type: ignore[no-untyped-def]
        assert digest >= 0
        return emit_boundaries(now, runs[0], symbols, rules, cells, rings, out, 0)

    return consume, advance


consume, advance = _compiled(
    source_digest(
        book, events, features_book, features_decay, features_frame, features_trade, frames,
        kernel_state,
    )
)  # fmt: skip
