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
from execution.domain.synthetic_rules import INTEREST_SCALE, PRICE_UNIT, TICK_SIZE
from execution.domain.synthetic_window import Windows, update_window


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
    """Rows in the order sent: rows i8[n, 5] channel, sent_ns (push time), matched_ns (engine time), taker
    (number of the taker's order, trades only), place of the first entry; entries i8[m, 3] side, tick, lot
    as in `EventChunk`; counts i8[2]: rows, entries.
    """

    rows: NDArray[np.int64]
    entries: NDArray[np.int64]
    counts: NDArray[np.int64]


def empty_outbox(rows: int, entries: int) -> Outbox:
    return Outbox(
        rows=np.zeros((rows, 5), np.int64),
        entries=np.zeros((entries, 3), np.int64),
        counts=np.zeros(2, np.int64),
    )


# Places in the integers a symbol keeps between steps; 1..TICKER_FIELDS are the ticker values sent last.
LAST_TICK, BOOK_SENT_NS, VOLUME_LOTS = TICKER_FIELDS + 1, TICKER_FIELDS + 2, TICKER_FIELDS + 3


def empty_memory(start_tick: int, start_ns: int) -> NDArray[np.int64]:
    """i8[10]: ticker values by field code, tick of the last trade, time of the last book push, lots traded
    since the last ticker."""
    memory = np.zeros(TICKER_FIELDS + 4, np.int64)
    memory[LAST_TICK], memory[BOOK_SENT_NS] = start_tick, start_ns
    return memory


@kernel
def run_steps(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    conditions: NDArray[np.float64],
    common_bps: NDArray[np.float64],
    rng: np.random.Generator,
    tape: Tape,
    windows: Windows,
    enabled: NDArray[np.uint8],
    memory: NDArray[np.int64],
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
    rows_left = out.rows.shape[0] - out.counts[0]
    entries_left = out.entries.shape[0] - out.counts[1]
    return bool(
        rows_left > tape.rows.shape[0] + 8 and entries_left > tape.rows.shape[0] + 4 * 1251 + 16
    )


@inner_kernel
def _close_row(
    out: Outbox, channel: int, sent_ns: int, matched_ns: int, taker: int, next_entry: int
) -> None:
    row = out.counts[0]
    out.rows[row, 0] = channel
    out.rows[row, 1] = sent_ns
    out.rows[row, 2] = matched_ns
    out.rows[row, 3] = taker
    out.rows[row, 4] = out.counts[1]
    out.counts[0] = row + 1
    out.counts[1] = next_entry


@inner_kernel
def _send_trades(tape: Tape, memory: NDArray[np.int64], out: Outbox) -> None:
    for i in range(tape.counts[TRADES]):
        place = out.counts[1]
        time_ns, taker = tape.rows[i, 0], tape.rows[i, 4]
        for column in range(3):  # side, tick, lots
            out.entries[place, column] = tape.rows[i, 1 + column]
        memory[LAST_TICK] = out.entries[place, 1]
        memory[VOLUME_LOTS] += out.entries[place, 2]
        _close_row(out, np.int64(2000), time_ns, time_ns, taker, place + 1)


@inner_kernel
def _send_books(
    book: Book,
    tape: Tape,
    windows: Windows,
    enabled: NDArray[np.uint8],
    memory: NDArray[np.int64],
    step: int,
    now_ns: int,
    out: Outbox,
) -> None:
    """Push each enabled depth on its own interval if its window changed; say so when nothing does for 3 s."""
    for i in range(4):
        if enabled[i] == 0 or (step + 1) % PUSH_STEPS[i] != 0:
            continue
        first = out.counts[1]
        stop = update_window(book, windows, i, out.entries, first)
        if stop > first:
            _close_row(out, windows.depths[i], now_ns, tape.counts[CHANGED_AT], np.int64(0), stop)
            memory[BOOK_SENT_NS] = now_ns
    tape.counts[CHANGED] = 0
    if now_ns - memory[BOOK_SENT_NS] >= _QUIET_NS:
        memory[BOOK_SENT_NS] = now_ns
        _close_row(out, np.int64(2002), now_ns, now_ns, np.int64(0), out.counts[1])


@inner_kernel
def _send_ticker(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    rng: np.random.Generator,
    memory: NDArray[np.int64],
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
            value = int(memory[LAST_TICK] * rules[TICK_SIZE] * 1e9 + 0.5)
        elif field == _MARK:
            value = _price_nano(index * (1.0 + state[PREMIUM]), rules)
        elif field == _INDEX:
            value = _price_nano(index, rules)
        elif field == _FUNDING_RATE:
            value = int(np.floor(state[FUNDING] * 1e8 + 0.5)) * 10
        elif field == _NEXT_FUNDING:
            value = (now_ns // 1_000_000 // funding_interval_ms + 1) * funding_interval_ms
        else:
            value = int(state[OPEN_INTEREST] * rules[INTEREST_SCALE])
        if value != memory[field]:
            memory[field] = value
            out.entries[place, 0] = 0
            out.entries[place, 1] = field
            out.entries[place, 2] = value
            place += 1
    if place > first:
        _close_row(out, np.int64(2001), now_ns, now_ns, np.int64(0), place)


@inner_kernel
def _price_nano(ticks: float, rules: NDArray[np.float64]) -> int:
    """A price off the tick grid, rounded to the symbol's decimals, in 1e-9 quote coin."""
    return int(ticks * rules[TICK_SIZE] / rules[PRICE_UNIT] + 0.5) * int(
        rules[PRICE_UNIT] * 1e9 + 0.5
    )


@inner_kernel
def _move_derived_prices(
    book: Book,
    state: NDArray[np.float64],
    rules: NDArray[np.float64],
    rng: np.random.Generator,
    memory: NDArray[np.int64],
    step: int,
) -> None:
    """The index wanders a little around fair; mark = index and the 30 s average of the premium over it."""
    noise = rng.standard_normal()
    state[INDEX_GAP] = state[INDEX_GAP] * _INDEX_KEEP + _INDEX_NOISE_BPS * noise
    index = state[FAIR] * (1.0 + 1e-4 * state[INDEX_GAP])
    mid = 0.5 * (book.best[0] + book.best[1])
    state[PREMIUM] = state[PREMIUM] * _PREMIUM_KEEP + (1.0 - _PREMIUM_KEEP) * (mid / index - 1.0)
    state[OPEN_INTEREST] += 0.3 * noise * memory[VOLUME_LOTS]
    state[OPEN_INTEREST] = max(state[OPEN_INTEREST], 1.0)
    memory[VOLUME_LOTS] = 0
    if (step + 1) % _FUNDING_STEPS == _TICKER_STEPS:
        premium = state[PREMIUM]
        clamp = min(max(_INTEREST_RATE - premium, -_FUNDING_CLAMP), _FUNDING_CLAMP)
        state[FUNDING] = premium + clamp
