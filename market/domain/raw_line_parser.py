"""Our own recorded lines, parsed by compiled code: the shape `RawEventEncoder` writes and no other.

`parse_lines` walks the bytes of a block once and fills columns. A line of any other shape (another order
of keys, a number with an exponent or more digits than a double keeps, a price off the grid, a repeated
level) is left to the reader that understands all of JSON: its row says UNPARSED and where it lies. So
what this parser accepts it must read exactly as that reader does, and nothing else matters.

Rows are the lines of `ROW_FIELDS`; entries are those of `EventChunk`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from market.domain.events import BUY, FLAG_BLOCK, FLAG_RPI, EventKind
from market.domain.kernel_jit import at, entry_jit, hot_jit
from market.domain.line_scanning import (
    CLOSE,
    COMMA,
    END,
    FAILED,
    MINUS,
    MOST_DIGITS,
    NEWLINE,
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
KIND, FLAGS, SYMBOL, SEQ, CORE_NS, EXCHANGE_NS, ENTRIES_END, SPECIAL, START, STOP = range(
    ROW_FIELDS
)

NORMAL, CHECKPOINT, UNPARSED = 0, 1, 2  # SPECIAL of a row

# What a block may hold, by the first letters of its type words: recorded files have one kind each.
TRADES_FILE, BOOK_FILE, TICKER_FILE, EVENTS_FILE = 1, 2, 3, 4

PADDING = 512  # bytes that must follow `stop` in the text, so that no fixed part is read beyond it
MOST_RUN_BYTES = 256  # of `run`, which is compared wherever a line may have it: within the padding
SHORTEST_LINE = 150  # bytes; and an entry takes at least 6: what a block may come to
RULE_FIELDS = 6  # price: numerator, decimals, highest units; lots: the same

_MAX_MS = 9_223_372_036_853
_MOST_UNSORTED = 128
_MOST_SYMBOL_BYTES = 40

_TRADE, _BOOK_SNAPSHOT, _BOOK_DELTA = (
    int(EventKind.TRADE),
    int(EventKind.BOOK_SNAPSHOT),
    int(EventKind.BOOK_DELTA),
)
_BBO, _TICKER, _GAP, _LIVENESS = (
    int(EventKind.BBO),
    int(EventKind.TICKER),
    int(EventKind.FEED_GAP),
    int(EventKind.LIVENESS),
)
_RPI, _BLOCK, _BUY = FLAG_RPI, FLAG_BLOCK, BUY

_HEAD = pattern('{"timestamp":"')
_SOURCE = pattern('","source":"')
_TYPE = pattern('","type":"')
_WORD_MARKET = pattern("MARKET_")
_WORD_TRADE = pattern('TRADE","symbol":"')
_WORD_TICKER = pattern('TICKER","symbol":"')
_WORD_BOOK = pattern('ORDERBOOK","symbol":"')
_WORD_DELTA = pattern('ORDERBOOK_DELTA","symbol":"')
_WORD_SNAPSHOT = pattern('ORDERBOOK_SNAPSHOT","symbol":"')
_PAYLOAD = pattern('","payload":{')
_PRICE, _QTY, _SIDE = pattern('"price":'), pattern(',"qty":'), pattern(',"side":"')
_SIDE_BUY, _SIDE_SELL = pattern('Buy"'), pattern('Sell"')
_RPI_TRUE, _BLOCK_TRUE = pattern(',"rpi":true'), pattern(',"block":true')
_SUBTYPE = pattern('"subtype":"')
_SUB_SNAPSHOT, _SUB_CHECKPOINT, _SUB_DELTA = (
    pattern('SNAPSHOT"'),
    pattern('CHECKPOINT"'),
    pattern('DELTA"'),
)
_SUB_BBO, _SUB_GAP, _SUB_LIVENESS = pattern('BBO"'), pattern('GAP"'), pattern('LIVENESS"')
_BIDS, _ASKS, _COMMA_TS, _TS = (
    pattern(',"bids":['),
    pattern(',"asks":['),
    pattern(',"ts":'),
    pattern('"ts":'),
)
_LAST, _MARK, _INDEX = pattern('"lastPrice":'), pattern('"markPrice":'), pattern('"indexPrice":')
_FUNDING, _NEXT, _INTEREST = (
    pattern('"fundingRate":'),
    pattern('"nextFundingTime":'),
    pattern('"openInterest":'),
)
_RUN = pattern(',"recorderRun":"')
_SEQ, _RECV, _TS_NS = pattern('","seq":'), pattern(',"recvTs":'), pattern(',"tsNs":')
_SCHEMA = pattern(',"schemaVersion":')


@hot_jit
def _repeats(ticks: Ints, first: int, last: int) -> Any:
    """Whether a tick stands twice among the entries; True as well when they are too many to tell."""
    if last - first < 2:
        return False
    is_rising = is_falling = True
    for i in range(first + 1, last):
        is_rising &= ticks[at(i)] > ticks[at(i - 1)]
        is_falling &= ticks[at(i)] < ticks[at(i - 1)]
    if is_rising or is_falling:
        return False
    if last - first > _MOST_UNSORTED:
        return True
    found = False
    for i in range(first + 1, last):
        for j in range(first, i):
            found |= ticks[at(i)] == ticks[at(j)]
    return found


@hot_jit
def _levels(
    text: Text, place: int, rule: Ints, out: Ints, side: int, filled: int,
    sides: Text, ticks: Ints, lots: Ints,
) -> int:  # fmt: skip
    """The levels up to and with the closing bracket; out[3] is then the number of entries."""
    if text[at(place)] == CLOSE:
        out[3] = filled
        return place + 1
    while True:
        if text[at(place)] != OPEN:
            return FAILED
        place = decimal(text, place + 1, out)
        if place == FAILED or text[at(place)] != COMMA:
            return FAILED
        tick = whole_units(out, rule[0], rule[1], rule[2])
        place = decimal(text, place + 1, out)
        if place == FAILED or text[at(place)] != CLOSE:
            return FAILED
        lot = whole_units(out, rule[3], rule[4], rule[5])
        if tick < 1 or lot < 0:
            return FAILED
        sides[at(filled)], ticks[at(filled)], lots[at(filled)] = side, tick, lot
        filled += 1
        following = text[at(place + 1)]
        place += 2
        if following == CLOSE:
            out[3] = filled
            return place
        if following != COMMA:
            return FAILED


@hot_jit
def _book(  # noqa: C901  (one straight walk)
    text: Text, place: int, rule: Ints, out: Ints, filled: int,
    sides: Text, ticks: Ints, lots: Ints,
) -> int:  # fmt: skip
    """A book's payload up to `,"ts":`; out[4] is the kind, out[5] whether it is a checkpoint."""
    if not is_word(text, place, _SUBTYPE):
        return FAILED
    place += _SUBTYPE.size
    out[5] = 0
    if is_word(text, place, _SUB_DELTA):
        out[4] = _BOOK_DELTA
        place += _SUB_DELTA.size
    elif is_word(text, place, _SUB_BBO):
        out[4] = _BBO
        place += _SUB_BBO.size
    elif is_word(text, place, _SUB_LIVENESS):
        out[4] = _LIVENESS
        place += _SUB_LIVENESS.size
    elif is_word(text, place, _SUB_SNAPSHOT):
        out[4] = _BOOK_SNAPSHOT
        place += _SUB_SNAPSHOT.size
    elif is_word(text, place, _SUB_CHECKPOINT):
        out[4], out[5] = _BOOK_SNAPSHOT, 1
        place += _SUB_CHECKPOINT.size
    elif is_word(text, place, _SUB_GAP):
        out[4] = _GAP
        place += _SUB_GAP.size
    else:
        return FAILED
    first = filled
    for side in range(2):
        if side == 0:
            if not is_word(text, place, _BIDS):
                return FAILED
            place += _BIDS.size
        else:
            if not is_word(text, place, _ASKS):
                return FAILED
            place += _ASKS.size
        place = _levels(text, place, rule, out, side, first, sides, ticks, lots)
        if place == FAILED:
            return FAILED
        last = out[3]
        if out[5] == 0 and _repeats(ticks, first, last):
            return FAILED
        first = last
    if not is_word(text, place, _COMMA_TS):
        return FAILED
    return place + _COMMA_TS.size


@hot_jit
def _trade(
    text: Text, place: int, rule: Ints, out: Ints, filled: int,
    sides: Text, ticks: Ints, lots: Ints,
) -> int:  # fmt: skip
    """A trade's payload up to `,"ts":`; out[6] are its flags."""
    if not is_word(text, place, _PRICE):
        return FAILED
    place = decimal(text, place + _PRICE.size, out)
    if place == FAILED or not is_word(text, place, _QTY):
        return FAILED
    tick = whole_units(out, rule[0], rule[1], rule[2])
    place = decimal(text, place + _QTY.size, out)
    if place == FAILED or not is_word(text, place, _SIDE):
        return FAILED
    lot = whole_units(out, rule[3], rule[4], rule[5])
    place += _SIDE.size
    side = _BUY
    if is_word(text, place, _SIDE_BUY):
        place += _SIDE_BUY.size
    elif is_word(text, place, _SIDE_SELL):
        side = 1 - _BUY
        place += _SIDE_SELL.size
    else:
        return FAILED
    if tick < 1 or lot < 0:
        return FAILED
    out[6] = 0
    if is_word(text, place, _RPI_TRUE):
        out[6] |= _RPI
        place += _RPI_TRUE.size
    if is_word(text, place, _BLOCK_TRUE):
        out[6] |= _BLOCK
        place += _BLOCK_TRUE.size
    if not is_word(text, place, _COMMA_TS):
        return FAILED
    sides[at(filled)], ticks[at(filled)], lots[at(filled)] = side, tick, lot
    out[3], out[4], out[5] = filled + 1, _TRADE, 0
    return place + _COMMA_TS.size


@hot_jit
def _ticker(  # noqa: C901  (one straight walk)
    text: Text, place: int, out: Ints, filled: int, sides: Text, ticks: Ints, lots: Ints,
    values: Ints,
) -> int:  # fmt: skip
    """A ticker's payload up to `"ts":`. `values[0:6]` hold the fields, `values[6:12]` which are there."""
    out[5] = 0
    if is_word(text, place, _SUBTYPE):
        place += _SUBTYPE.size
        if not is_word(text, place, _SUB_CHECKPOINT):
            return FAILED
        place += _SUB_CHECKPOINT.size
        if text[at(place)] != COMMA:
            return FAILED
        place += 1
        out[5] = 1
    values[6:12] = 0
    while not is_word(text, place, _TS):
        decimals = 9
        if is_word(text, place, _LAST):
            field = 0
            place += _LAST.size
        elif is_word(text, place, _MARK):
            field = 1
            place += _MARK.size
        elif is_word(text, place, _INDEX):
            field = 2
            place += _INDEX.size
        elif is_word(text, place, _FUNDING):
            field = 3
            place += _FUNDING.size
        elif is_word(text, place, _NEXT):
            field, decimals = 4, 0
            place += _NEXT.size
        elif is_word(text, place, _INTEREST):
            field, decimals = 5, 3
            place += _INTEREST.size
        else:
            return FAILED
        is_negative = text[at(place)] == MINUS
        place = decimal(text, place + (1 if is_negative else 0), out)
        if place == FAILED or out[2] > MOST_DIGITS or text[at(place)] != COMMA:
            return FAILED
        place += 1
        value, missing = out[0], decimals - out[1]
        if missing < 0:
            value //= POWERS[at(-missing)]
        else:
            if out[2] + missing > MOST_DIGITS:
                return FAILED
            value *= POWERS[at(missing)]
        values[at(field)] = -value if is_negative else value
        values[at(field + 6)] = 1
    for field in range(6):
        if values[at(field + 6)]:
            sides[at(filled)], ticks[at(filled)], lots[at(filled)] = 0, field + 1, values[at(field)]
            filled += 1
    out[3], out[4] = filled, _TICKER
    return place + _TS.size


@hot_jit
def _type_word(text: Text, place: int, file: int) -> int:
    """Place of the symbol; negative when the word does not belong into such a file."""
    if file == BOOK_FILE:
        if is_word(text, place, _WORD_DELTA):
            return place + _WORD_DELTA.size
        return place + _WORD_SNAPSHOT.size if is_word(text, place, _WORD_SNAPSHOT) else FAILED
    if file == EVENTS_FILE:
        if not is_word(text, place, _WORD_MARKET):
            return FAILED
        place += _WORD_MARKET.size
        if is_word(text, place, _WORD_BOOK):
            return place + _WORD_BOOK.size
    if file != TICKER_FILE and is_word(text, place, _WORD_TRADE):
        return place + _WORD_TRADE.size
    if file != TRADES_FILE and is_word(text, place, _WORD_TICKER):
        return place + _WORD_TICKER.size
    return FAILED


@hot_jit
def _symbol(text: Text, place: int, out: Ints, names: Text, name_ends: Ints, slots: Ints) -> int:
    """Place of the quote behind a known symbol; out[7] is its index."""
    code, last = np.int64(0), place
    while text[at(last)] != QUOTE:
        code = (code * 31 + np.int64(text[at(last)])) & 0x7FFFFFFF
        last += 1
        if last - place > _MOST_SYMBOL_BYTES:
            return FAILED
    slot = code & (slots.size - 1)
    while slots[at(slot)] >= 0:
        index = slots[at(slot)]
        first = name_ends[at(index)]
        if name_ends[at(index + 1)] - first == last - place:
            difference = np.uint8(0)
            for i in range(last - place):
                difference |= text[at(place + i)] ^ names[at(first + i)]
            if difference == 0:
                out[7] = index
                return last
        slot = (slot + 1) & (slots.size - 1)
    return FAILED


@hot_jit
def _tail(text: Text, place: int, out: Ints) -> int:
    """From behind the run to behind the newline; out[8] seq, out[9] core time, out[10] exact time or 0."""
    if not is_word(text, place, _SEQ):
        return FAILED
    place = integer(text, place + _SEQ.size, out)
    out[8] = out[0]
    if place == FAILED or not is_word(text, place, _RECV):
        return FAILED
    place = integer(text, place + _RECV.size, out)
    out[9], out[10] = out[0], 0
    if place == FAILED:
        return FAILED
    if is_word(text, place, _TS_NS):
        place = integer(text, place + _TS_NS.size, out)
        out[10] = out[0]
        if place == FAILED:
            return FAILED
    if not is_word(text, place, _SCHEMA):
        return FAILED
    place = integer(text, place + _SCHEMA.size, out)
    if place == FAILED or text[at(place)] != END or text[at(place + 1)] != NEWLINE:
        return FAILED
    return place + 2


@entry_jit
def parse_lines(  # noqa: C901  (one straight walk over a line)
    text: Text,
    start: int,
    stop: int,
    file: int,
    names: Text,
    name_ends: Ints,
    slots: Ints,
    rules: Ints,
    run: Text,
    rows: Ints,
    sides: Text,
    ticks: Ints,
    lots: Ints,
    out: Ints,
) -> tuple[int, int, int]:
    """Parse the whole lines text[start:stop], the last byte a newline, PADDING bytes behind it.

    file: what it is (TRADES_FILE, …); `run`: the recorder run whose lines are wanted. Lines of another
    run are passed over in a recorded file; in EVENTS_FILE the walk stops before the first of them.
    rows[ROW_FIELDS, n]: filled from the start; the walk ends when they are full.
    sides, ticks, lots: filled from the start, with room for an entry every 6 bytes.
    out: scratch of 24 integers.
    Returns: rows, entries, and the place of the first byte not walked over.
    """
    place = start
    row = filled = start - start  # no literals: they would be compiled apart
    values = out[12:24]
    while place < stop and row < rows.shape[1]:
        first, here = place, FAILED
        is_foreign = False
        if is_word(text, place, _HEAD) and quoted(text, place + 14) == place + 38:
            here = place + 38
            here = quoted(text, here + 12) if is_word(text, here, _SOURCE) else FAILED
            if here != FAILED:
                here = _type_word(text, here + 10, file) if is_word(text, here, _TYPE) else FAILED
        if here != FAILED:
            letter = text[
                at(here - 13)
            ]  # of TRADE (E), TICKER (R), DELTA (A), SNAPSHOT (T), ORDERBOOK (K)
            here = _symbol(text, here, out, names, name_ends, slots)
            if here != FAILED:
                here = here + _PAYLOAD.size if is_word(text, here, _PAYLOAD) else FAILED
        if here != FAILED:
            rule = rules[out[7]]
            out[6] = 0
            here = _payload(text, here, letter, rule, out, filled, sides, ticks, lots, values)
        if here != FAILED:
            here = integer(text, here, out)
            out[11] = out[0]
            if here != FAILED and (
                out[11] > _MAX_MS or text[at(here)] != END or not is_word(text, here + 1, _RUN)
            ):
                here = FAILED
        if here != FAILED:
            here += 1 + _RUN.size
            behind = here + run.size
            if is_word(text, here, run) and text[at(behind)] == QUOTE:
                here = _tail(text, behind, out)
            else:
                here = quoted(text, here)
                is_foreign = True
                here = _tail(text, here, out) if here != FAILED else FAILED
        if here == FAILED:
            place = line_end(text, first)
            rows[SPECIAL, row], rows[ENTRIES_END, row] = UNPARSED, filled
            rows[START, row], rows[STOP, row] = first, place
            row += 1
            continue
        if is_foreign:
            if file == EVENTS_FILE:
                return row, filled, first
            place = here
            continue
        place, filled = here, out[3]
        rows[KIND, row], rows[FLAGS, row], rows[SYMBOL, row] = out[4], out[6], out[7]
        rows[SEQ, row], rows[CORE_NS, row] = out[8], out[9]
        rows[EXCHANGE_NS, row] = out[10] if out[10] != 0 else out[11] * 1_000_000
        rows[ENTRIES_END, row], rows[SPECIAL, row] = filled, out[5]
        rows[START, row], rows[STOP, row] = first, place
        row += 1
    return row, filled, place


@hot_jit
def _payload(
    text: Text, place: int, letter: int, rule: Ints, out: Ints, filled: int,
    sides: Text, ticks: Ints, lots: Ints, values: Ints,
) -> int:  # fmt: skip
    if letter == 0x45:  # TRAD(E)
        return _trade(text, place, rule, out, filled, sides, ticks, lots)
    if letter == 0x52:  # TICKE(R)
        return _ticker(text, place, out, filled, sides, ticks, lots, values)
    return _book(text, place, rule, out, filled, sides, ticks, lots)
