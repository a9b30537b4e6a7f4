"""What one synthetic symbol sends, in columns, and the kernel that fills them step by step."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from execution.domain.synthetic_book import Book
from execution.domain.synthetic_compile import inner_kernel, kernel
from execution.domain.synthetic_flow import (
    CHANGED,
    CHANGED_AT,
    FAIR,
    FUNDING,
    INDEX_GAP,
    OPEN_INTEREST,
    PREMIUM,
    STEP_NS,
    STEPS_PER_S,
    TRADES,
    Tape,
    run_step,
)
from execution.domain.synthetic_profile import FlowRules
from execution.domain.synthetic_window import DEPTHS, Windows, update_window


class Channel(IntEnum):
    """What a row of the outbox is; the book channels carry their topic's depth as their value."""

    BOOK_1 = 1
    BOOK_50 = 50
    BOOK_200 = 200
    BOOK_1000 = 1000
    TRADE = 2000
    TICKER = 2001
    QUIET = 2002


PUSH_STEPS = (1, 2, 10, 20)  # Bybit's push intervals 10, 20, 100, 200 ms
_TICKER_STEPS = 10
_FUNDING_STEPS = 100 * STEPS_PER_S
_QUIET_NS = 3_000_000_000
_INDEX_NOISE_BPS, _INDEX_KEEP = 0.05, 0.995
_PREMIUM_KEEP = 0.9977  # half-life 30 s at ten updates a second
_INTEREST_RATE, _FUNDING_CLAMP = 1e-4, 5e-4

# TickerField codes of market.domain.events
_LAST, _MARK, _INDEX, _FUNDING_RATE, _NEXT_FUNDING, _OPEN_INTEREST = 1, 2, 3, 4, 5, 6
TICKER_FIELDS = 6


class Outbox(NamedTuple):
    """Rows in the order sent: channel i8[n], sent_ns i8[n] (push time), matched_ns i8[n] (engine time),
    first i8[n] (place of the first entry), taker i8[n] (number of the taker's order, trades only);
    entries side u1[m], tick i8[m], lot i8[m] as in `EventChunk`; counts i8[2]: rows, entries.
    """

    channel: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    matched_ns: NDArray[np.int64]
    first: NDArray[np.int64]
    taker: NDArray[np.int64]
    side: NDArray[np.uint8]
    tick: NDArray[np.int64]
    lot: NDArray[np.int64]
    counts: NDArray[np.int64]


def empty_outbox(rows: int, entries: int) -> Outbox:
    return Outbox(
        channel=np.zeros(rows, np.int64),
        sent_ns=np.zeros(rows, np.int64),
        matched_ns=np.zeros(rows, np.int64),
        first=np.zeros(rows + 1, np.int64),
        taker=np.zeros(rows, np.int64),
        side=np.zeros(entries, np.uint8),
        tick=np.zeros(entries, np.int64),
        lot=np.zeros(entries, np.int64),
        counts=np.zeros(2, np.int64),
    )


class Memory(NamedTuple):
    """Integers a symbol keeps between steps: ticker i8[7] values sent last (by field code),
    last_tick i8[1] of the last trade, book_sent_ns i8[1], volume_lots i8[1] since the last ticker.
    """

    ticker: NDArray[np.int64]
    last_tick: NDArray[np.int64]
    book_sent_ns: NDArray[np.int64]
    volume_lots: NDArray[np.int64]


def empty_memory(start_tick: int, start_ns: int) -> Memory:
    return Memory(
        ticker=np.zeros(TICKER_FIELDS + 1, np.int64),
        last_tick=np.array([start_tick], np.int64),
        book_sent_ns=np.array([start_ns], np.int64),
        volume_lots=np.zeros(1, np.int64),
    )


@kernel
def run_steps(
    book: Book,
    state: NDArray[np.float64],
    rules: FlowRules,
    conditions: NDArray[np.float64],
    common_bps: NDArray[np.float64],
    rng: np.random.Generator,
    tape: Tape,
    windows: Windows,
    enabled: NDArray[np.uint8],
    memory: Memory,
    funding_interval_ms: int,
    start_ns: int,
    first_step: int,
    stop_step: int,
    out: Outbox,
) -> int:
    """Run steps first..stop and fill `out`; return the next step, short of `stop_step` when `out` is full.

    conditions f8[s, c] and common_bps f8[s * 100] begin at the second that holds `first_step`.
    """
    base_second = first_step // STEPS_PER_S
    for step in range(first_step, stop_step):
        if not _has_room(out, tape):
            return step
        now_ns = start_ns + step * STEP_NS
        second = step // STEPS_PER_S - base_second
        tape.counts[TRADES] = 0
        run_step(
            book, state, rules, conditions[second],
            common_bps[step - base_second * STEPS_PER_S], rng, now_ns, tape,
        )  # fmt: skip
        _send_trades(tape, memory, out)
        _send_books(book, tape, windows, enabled, memory, step, now_ns + STEP_NS, out)
        if (step + 1) % _TICKER_STEPS == 0:
            _send_ticker(
                book, state, rules, rng, memory, funding_interval_ms, step, now_ns + STEP_NS, out
            )
    return stop_step


@inner_kernel
def _has_room(out: Outbox, tape: Tape) -> bool:
    rows_left = out.channel.shape[0] - out.counts[0]
    entries_left = out.side.shape[0] - out.counts[1]
    return bool(
        rows_left > tape.tick.shape[0] + 8 and entries_left > tape.tick.shape[0] + 4 * 1251 + 16
    )


@inner_kernel
def _close_row(
    out: Outbox, channel: int, sent_ns: int, matched_ns: int, taker: int, next_entry: int
) -> None:
    row = out.counts[0]
    out.channel[row] = channel
    out.sent_ns[row] = sent_ns
    out.matched_ns[row] = matched_ns
    out.taker[row] = taker
    out.first[row] = out.counts[1]
    out.first[row + 1] = next_entry
    out.counts[0] = row + 1
    out.counts[1] = next_entry


@inner_kernel
def _send_trades(tape: Tape, memory: Memory, out: Outbox) -> None:
    for i in range(tape.counts[TRADES]):
        place = out.counts[1]
        out.side[place] = tape.side[i]
        out.tick[place] = tape.tick[i]
        out.lot[place] = tape.lots[i]
        memory.last_tick[0] = tape.tick[i]
        memory.volume_lots[0] += tape.lots[i]
        _close_row(out, 2000, tape.time_ns[i], tape.time_ns[i], tape.taker[i], place + 1)


@inner_kernel
def _send_books(
    book: Book,
    tape: Tape,
    windows: Windows,
    enabled: NDArray[np.uint8],
    memory: Memory,
    step: int,
    now_ns: int,
    out: Outbox,
) -> None:
    """Push each enabled depth on its own interval if its window changed; say so when nothing does for 3 s."""
    for i in range(4):
        if enabled[i] == 0 or (step + 1) % PUSH_STEPS[i] != 0:
            continue
        first = out.counts[1]
        stop = update_window(book, windows[i], out.side, out.tick, out.lot, first)
        if stop > first:
            _close_row(out, DEPTHS[i], now_ns, tape.counts[CHANGED_AT], 0, stop)
            memory.book_sent_ns[0] = now_ns
    tape.counts[CHANGED] = 0
    if now_ns - memory.book_sent_ns[0] >= _QUIET_NS:
        memory.book_sent_ns[0] = now_ns
        _close_row(out, 2002, now_ns, now_ns, 0, out.counts[1])


@inner_kernel
def _send_ticker(
    book: Book,
    state: NDArray[np.float64],
    rules: FlowRules,
    rng: np.random.Generator,
    memory: Memory,
    funding_interval_ms: int,
    step: int,
    now_ns: int,
    out: Outbox,
) -> None:
    """Mark, index, funding and open interest of this moment; only what changed is sent."""
    _move_derived_prices(book, state, rules, rng, memory, step)
    index = state[FAIR] * (1.0 + 1e-4 * state[INDEX_GAP])
    place = out.counts[1]
    first = place
    for field in range(1, TICKER_FIELDS + 1):
        value = 0
        if field == _LAST:
            value = int(memory.last_tick[0] * rules.tick_size * 1e9 + 0.5)
        elif field == _MARK:
            value = _price_nano(index * (1.0 + state[PREMIUM]), rules)
        elif field == _INDEX:
            value = _price_nano(index, rules)
        elif field == _FUNDING_RATE:
            value = int(np.floor(state[FUNDING] * 1e8 + 0.5)) * 10
        elif field == _NEXT_FUNDING:
            value = (now_ns // 1_000_000 // funding_interval_ms + 1) * funding_interval_ms
        else:
            value = int(state[OPEN_INTEREST] * rules.interest_scale)
        if value != memory.ticker[field]:
            memory.ticker[field] = value
            out.side[place], out.tick[place], out.lot[place] = 0, field, value
            place += 1
    if place > first:
        _close_row(out, 2001, now_ns, now_ns, 0, place)


@inner_kernel
def _price_nano(ticks: float, rules: FlowRules) -> int:
    """A price off the tick grid, rounded to the symbol's decimals, in 1e-9 quote coin."""
    return int(ticks * rules.tick_size / rules.price_unit + 0.5) * int(rules.price_unit * 1e9 + 0.5)


@inner_kernel
def _move_derived_prices(
    book: Book,
    state: NDArray[np.float64],
    rules: FlowRules,
    rng: np.random.Generator,
    memory: Memory,
    step: int,
) -> None:
    """The index wanders a little around fair; mark = index and the 30 s average of the premium over it."""
    noise = rng.standard_normal()
    state[INDEX_GAP] = state[INDEX_GAP] * _INDEX_KEEP + _INDEX_NOISE_BPS * noise
    index = state[FAIR] * (1.0 + 1e-4 * state[INDEX_GAP])
    mid = 0.5 * (book.best[0] + book.best[1])
    state[PREMIUM] = state[PREMIUM] * _PREMIUM_KEEP + (1.0 - _PREMIUM_KEEP) * (mid / index - 1.0)
    state[OPEN_INTEREST] += 0.3 * noise * memory.volume_lots[0]
    state[OPEN_INTEREST] = max(state[OPEN_INTEREST], 1.0)
    memory.volume_lots[0] = 0
    if (step + 1) % _FUNDING_STEPS == _TICKER_STEPS:
        premium = state[PREMIUM]
        clamp = min(max(_INTEREST_RATE - premium, -_FUNDING_CLAMP), _FUNDING_CLAMP)
        state[FUNDING] = premium + clamp
