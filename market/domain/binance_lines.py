"""Lines of Binance futures captures, parsed and put in sequence by compiled code.

`parse_lines` reads the usual shapes of bookTicker, trade and depth messages, keys in any order. Whatever else
a line holds (a snapshot, a mark price, another symbol, a number off the grid, a level named twice) is left
to the reader that knows all of it: its row says UNPARSED. `follow_book` then does with the parsed rows what
`market.adapters.foreign.binance` says of books, and stops at a row that needs more than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.events import ASK, BID, BUY, SELL, EventKind
from market.domain.kernel_jit import at, entry_jit, hot_jit, kernel_jit
from market.domain.line_scanning import (
    CLOSE,
    COMMA,
    END,
    FAILED,
    OPEN,
    POWERS,
    QUOTE,
    Ints,
    Text,
    decimal,
    integer,
    is_word,
    line_end,
    pattern,
    quoted,
    whole_units,
)

ROW_FIELDS = 10
KIND, RECEIVED_NS, EXCHANGE_MS, FIRST_U, LAST_U, BEFORE_U, ENTRIES_END, SPECIAL, START, STOP = (
    range(ROW_FIELDS)
)
NORMAL, UNPARSED, DROPPED = 0, 1, 2  # SPECIAL of a row

BOOK_FIELDS = 11
(
    IS_SYNCED, SPANS_SNAPSHOT, BOOK_U, TOUCH_U, TOUCH_MS, BID_TICK, BID_LOT, ASK_TICK, ASK_LOT,
    OLDER_DEPTHS, OLDER_TOUCHES,
) = range(BOOK_FIELDS)  # fmt: skip

PADDING = 512  # bytes behind the text, so that no word is read beyond it
SHORTEST_LINE, SHORTEST_LEVEL = 16, 6  # bytes: what a block may come to
_MOST_UNSORTED = 64

_TRADE, _DELTA, _BBO = int(EventKind.TRADE), int(EventKind.BOOK_DELTA), int(EventKind.BBO)
_BID, _ASK, _BUY, _SELL = BID, ASK, BUY, SELL
_COLON, _SPACE, _TRUE, _FALSE, _OBJECT = 0x3A, 0x20, 0x74, 0x66, 0x7B
_STREAM, _DATA = pattern('{"stream":"'), pattern('","data":{')
_IS_TOUCH, _IS_TRADE, _IS_DEPTH = pattern('bookTicker"'), pattern('trade"'), pattern('depthUpdate"')
_IS_MARKET = pattern('MARKET"')
_LEVEL, _BETWEEN, _LEVEL_END = pattern('["'), pattern('","'), pattern('"]')

# Where the values of a message go, by the letter of their key; sizes have odd numbers.
_HAS, _E, _S, _X, _M, _T, _U, _FIRST, _PU, _Z = range(10)
_B, _B_LOT, _A, _A_LOT, _P, _Q, _BIDS_END, _ASKS_END, _FIELDS = range(10, 19)
_FIRST_NUMBER, _LAST_INTEGER = _B, _PU
SCRATCH_FIELDS = 4 + _FIELDS
_SLOTS = np.zeros(128, np.int64)
for _letter, _slot in zip("esXmTuUbBaApq", (
    _E, _S, _X, _M, _T, _U, _FIRST, _B, _B_LOT, _A, _A_LOT, _P, _Q,
), strict=True):  # fmt: skip
    _SLOTS[ord(_letter)] = _slot


def _bits(*slots: int) -> int:
    return sum(1 << slot for slot in slots)


_TOUCH_NEEDS = _bits(_E, _S, _T, _U, _B, _B_LOT, _A, _A_LOT)
_TRADE_NEEDS = _bits(_E, _S, _T, _P, _Q, _M)
_DEPTH_NEEDS = _bits(_E, _S, _T, _U, _FIRST, _PU, _B, _A)


# Compiled once each: inlined wherever they are called they would take seconds more to compile.
@kernel_jit
def _is(text: Text, place: int, words: Text) -> Any:
    return is_word(text, place, words)


@kernel_jit
def _integer(text: Text, place: int, out: Ints) -> Any:
    return integer(text, place, out)


@kernel_jit
def _quoted(text: Text, place: int) -> Any:
    return quoted(text, place)


@kernel_jit
def _number(text: Text, place: int, rules: Ints, out: Ints) -> int:
    """A quoted number behind its quote as whole units into out[0]; the place behind its closing quote.

    rules: numerator, decimals, lowest, highest units.
    """
    place = decimal(text, place, out)
    if place == FAILED or text[at(place)] != QUOTE:
        return FAILED
    units = whole_units(out, rules[0], rules[1], rules[3])
    if units < rules[2]:
        return FAILED
    out[0] = units
    return place + 1


@kernel_jit
def _levels(
    text: Text, place: int, prices: Ints, sizes: Ints, out: Ints, entries: NDArray[np.int64], n: int
) -> tuple[int, int]:
    """Levels behind their opening bracket; the place behind the closing one and the entries so far."""
    if text[at(place)] == CLOSE:
        return place + 1, n
    while True:
        if not _is(text, place, _LEVEL):
            return FAILED, n
        place = _number(text, place + 2, prices, out)
        if place == FAILED:
            return FAILED, n
        tick = out[0]
        if not _is(text, place - 1, _BETWEEN):
            return FAILED, n
        place = _number(text, place + 2, sizes, out)
        if place == FAILED or not _is(text, place - 1, _LEVEL_END):
            return FAILED, n
        entries[at(n), 1], entries[at(n), 2] = tick, out[0]
        n += 1
        place += 1
        if text[at(place)] == CLOSE:
            return place + 1, n
        if text[at(place)] != COMMA:
            return FAILED, n
        place += 1


@kernel_jit
def _repeats(entries: NDArray[np.int64], first: int, last: int) -> Any:
    """Whether a price stands twice among the entries; True as well when they are too many to tell."""
    is_rising = is_falling = True
    for i in range(first + 1, last):
        is_rising &= entries[at(i), 1] > entries[at(i - 1), 1]
        is_falling &= entries[at(i), 1] < entries[at(i - 1), 1]
    if is_rising or is_falling:
        return False
    if last - first > _MOST_UNSORTED:
        return True
    for i in range(first + 1, last):
        for j in range(first, i):
            if entries[at(i), 1] == entries[at(j), 1]:
                return True
    return False


@kernel_jit
def _value_end(text: Text, place: int) -> int:
    """Behind a value that is of no interest: a word, a number or plain text."""
    if text[at(place)] == QUOTE:
        place = _quoted(text, place + 1)
        return FAILED if place == FAILED else place + 1
    for i in range(24):
        letter = text[at(place + i)]
        if letter in (COMMA, END):
            return place + i if i else FAILED
        if letter < 0x2B or letter > 0x7A or letter == OPEN:
            return FAILED
    return FAILED


@kernel_jit
def _word(text: Text, place: int, slot: int, symbol: Text, fields: Ints) -> int:
    """A quoted word behind its quote that has to be one of a few; the place behind its closing quote."""
    if slot == _E:
        if _is(text, place, _IS_TOUCH):
            fields[_E] = _BBO
            return place + _IS_TOUCH.size
        if _is(text, place, _IS_TRADE):
            fields[_E] = _TRADE
            return place + _IS_TRADE.size
        if _is(text, place, _IS_DEPTH):
            fields[_E] = _DELTA
            return place + _IS_DEPTH.size
    elif slot == _S:
        if _is(text, place, symbol):
            return place + symbol.size
    elif _is(text, place, _IS_MARKET):
        return place + _IS_MARKET.size
    return FAILED


@kernel_jit
def _fields(  # noqa: C901  (one table of values)
    text: Text,
    place: int,
    symbol: Text,
    rules: Ints,
    fields: Ints,
    entries: NDArray[np.int64],
    n: int,
    out: Ints,
) -> int:
    """The fields behind `"data":{` into their slots, levels into `entries` from n on.

    fields[_HAS]: a bit for each slot that was filled; fields[_BIDS_END], fields[_ASKS_END]: entries.
    Returns the place behind the closing brace.
    """
    fields[:] = 0
    fields[_BIDS_END] = fields[_ASKS_END] = n
    while True:
        if text[at(place)] != QUOTE:
            return FAILED
        slot: Any = np.int64(_SLOTS[at(text[at(place + 1)] & 127)])
        place += 2
        if text[at(place)] != QUOTE:  # a key of two letters
            slot = _PU if text[at(place - 1)] == 0x70 and text[at(place)] == 0x75 else 0
            place += 1
        if text[at(place)] != QUOTE or text[at(place + 1)] != _COLON:
            return FAILED
        place += 2
        opens = text[at(place)]
        if slot == 0:
            place = _value_end(text, place)
        elif opens == QUOTE:
            if slot >= _FIRST_NUMBER:
                place = _number(text, place + 1, rules[4:] if slot & 1 else rules[:4], out)
                fields[slot] = out[0]
            else:
                place = _word(text, place + 1, slot, symbol, fields)
        elif opens == OPEN:
            is_bids = slot == _B
            if (not is_bids and slot != _A) or fields[_HAS] & (1 << slot | 1 << _A):
                return FAILED  # bids stand first in a chunk, and once
            place, n = _levels(text, place + 1, rules[:4], rules[4:], out, entries, n)
            fields[_ASKS_END] = n
            if is_bids:
                fields[_BIDS_END] = n
        elif slot == _M:
            fields[_M] = opens == _TRUE
            place = _value_end(text, place) if opens in (_TRUE, _FALSE) else FAILED
        elif slot <= _LAST_INTEGER and slot >= _T:
            place = _integer(text, place, out)
            fields[slot] = out[0]
        else:
            return FAILED
        if place == FAILED:
            return FAILED
        fields[_HAS] |= 1 << slot
        if text[at(place)] == END:
            return place + 1
        if text[at(place)] != COMMA:
            return FAILED
        place += 1


@kernel_jit
def _finish(row: Ints, fields: Ints, entries: NDArray[np.int64], first: int) -> int:
    """The row and entries of a message with all it needs; the end of its entries, or FAILED."""
    kind, has = fields[_E], fields[_HAS]
    bids_end, n = fields[_BIDS_END], fields[_ASKS_END]
    row[KIND], row[EXCHANGE_MS] = kind, fields[_T]
    row[FIRST_U], row[LAST_U], row[BEFORE_U] = fields[_FIRST], fields[_U], fields[_PU]
    if kind == _DELTA:
        if has & _DEPTH_NEEDS != _DEPTH_NEEDS:
            return FAILED
        if _repeats(entries, first, bids_end) or _repeats(entries, bids_end, n):
            return FAILED
        for i in range(first, n):
            entries[at(i), 0] = _BID if i < bids_end else _ASK
        return n
    if n != first:
        return FAILED
    if kind == _BBO and has & _TOUCH_NEEDS == _TOUCH_NEEDS:
        entries[at(n), 0], entries[at(n), 1], entries[at(n), 2] = _BID, fields[_B], fields[_B_LOT]
        n += 1
        entries[at(n), 0], entries[at(n), 1], entries[at(n), 2] = _ASK, fields[_A], fields[_A_LOT]
        return n + 1
    if kind == _TRADE and has & _TRADE_NEEDS == _TRADE_NEEDS and fields[_Q] > 0:
        entries[at(n), 0] = _SELL if fields[_M] else _BUY
        entries[at(n), 1], entries[at(n), 2] = fields[_P], fields[_Q]
        return n + 1
    return FAILED


@entry_jit
def parse_lines(
    text: Text,
    stop: int,
    symbol: Text,
    rules: Ints,
    rows: NDArray[np.int64],
    entries: NDArray[np.int64],
    scratch: Ints,
) -> int:
    """Parse the lines of text[:stop], the last of which ends in a line feed; returns their number.

    Args:
        text: uint8, with PADDING bytes behind `stop`.
        symbol: the symbol with its closing quote, as bytes.
        rules: (8,), numerator, decimals, lowest and highest units of prices, then of sizes.
        rows: (lines, ROW_FIELDS) out. entries: (m, 3) out, side, tick, lot; m >= stop / SHORTEST_LEVEL.
        scratch: (SCRATCH_FIELDS,), for what is on its way.
    """
    out, fields = scratch[:4], scratch[4:]
    place = count = filled = 0
    while place < stop:
        row = rows[count]
        row[:] = 0
        row[START], first, place = place, place, line_end(text, place)
        row[STOP] = place - 1
        row[SPECIAL] = UNPARSED
        inside = _integer(text, first, out)
        digits = inside - first
        if inside != FAILED and 13 <= digits <= 19 and text[at(inside)] == _SPACE:
            row[RECEIVED_NS] = out[0] * POWERS[at(19 - digits)]
            inside += 1
            if _is(text, inside, _STREAM):
                inside = _quoted(text, inside + _STREAM.size)
                if inside != FAILED and _is(text, inside, _DATA):
                    inside = _fields(
                        text, inside + _DATA.size, symbol, rules, fields, entries, filled, out
                    )
                    if inside != FAILED and inside + 1 == row[STOP] and text[at(inside)] == END:
                        used = _finish(row, fields, entries, filled)
                        if used != FAILED:
                            filled, row[SPECIAL] = used, NORMAL
        row[ENTRIES_END] = filled
        count += 1
    return count


@entry_jit
def follow_book(rows: NDArray[np.int64], first: int, entries: NDArray[np.int64], book: Ints) -> int:
    """Take rows from `first` on until one needs the whole reader; returns its place, or the end.

    What is outdated is marked DROPPED; levels of a diff older than the touch are changed to what they can
    still be. book: (BOOK_FIELDS,), moved on.
    """
    for i in range(first, len(rows)):
        row = rows[at(i)]
        if row[SPECIAL] == UNPARSED or (not book[IS_SYNCED] and row[KIND] != _TRADE):
            return i
        entry = rows[at(i - 1), ENTRIES_END] if i else np.int64(0)
        if row[KIND] == _BBO:
            if row[LAST_U] < book[TOUCH_U]:
                row[SPECIAL] = DROPPED
                continue
            book[TOUCH_U], book[TOUCH_MS] = row[LAST_U], row[EXCHANGE_MS]
            book[BID_TICK], book[BID_LOT] = entries[at(entry), 1], entries[at(entry), 2]
            book[ASK_TICK], book[ASK_LOT] = entries[at(entry + 1), 1], entries[at(entry + 1), 2]
            if row[LAST_U] < book[BOOK_U]:
                row[SPECIAL] = DROPPED
                book[OLDER_TOUCHES] += 1
        elif row[KIND] == _DELTA:
            if not book[SPANS_SNAPSHOT] or row[BEFORE_U] != book[BOOK_U]:
                return i
            book[BOOK_U] = row[LAST_U]
            if book[TOUCH_U] > row[LAST_U]:
                book[OLDER_DEPTHS] += 1
                for j in range(entry, row[ENTRIES_END]):
                    _put_behind(entries[at(j)], book)
    return len(rows)


@hot_jit
def _put_behind(entry: Ints, book: Ints) -> None:
    """A level of an older diff as it can still be with the touch that is known."""
    tick = entry[1]
    if entry[0] == _BID:
        if tick == book[BID_TICK]:
            entry[2] = book[BID_LOT]
        elif tick > book[BID_TICK]:
            entry[2] = 0
    elif tick == book[ASK_TICK]:
        entry[2] = book[ASK_LOT]
    elif tick < book[ASK_TICK]:
        entry[2] = 0
