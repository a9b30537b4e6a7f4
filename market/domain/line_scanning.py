"""Reading single things off a text of bytes: fixed words, numbers, quoted names. All compiled.

Each function takes the place where its thing begins and returns the place behind it, or FAILED. None
checks for the end of the text: what follows it must be padding that no word or number goes on in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.domain.kernel_jit import at, hot_jit

FAILED = -1
MOST_DIGITS = 18  # of any number: it then fits 63 bits
_MOST_GRID_DIGITS = 15  # a decimal of so many digits survives the way through a double
_MOST_QUOTED_BYTES = 64
QUOTE, COMMA, DOT, MINUS, ZERO = 0x22, 0x2C, 0x2E, 0x2D, 0x30
OPEN, CLOSE, END, NEWLINE, BACKSLASH = 0x5B, 0x5D, 0x7D, 0x0A, 0x5C

POWERS = np.array([10**n for n in range(19)], np.int64)
_MAX_INT = np.iinfo(np.int64).max

Text = NDArray[np.uint8]
Ints = NDArray[np.int64]


def pattern(words: str) -> Text:
    """A fixed part of a line, for `is_word`."""
    return np.frombuffer(words.encode(), np.uint8)


@hot_jit
def is_word(text: Text, place: int, pattern: Text) -> Any:
    difference = np.uint8(0)
    for i in range(pattern.size):
        difference |= text[at(place + i)] ^ pattern[at(i)]
    return difference == 0


@hot_jit
def integer(text: Text, place: int, out: Ints) -> int:
    """A JSON integer of 0 .. 2**63 - 1 into out[0]; returns the place behind it."""
    value, first = np.int64(0), place
    while True:
        digit = np.int64(text[at(place)]) - 48
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        place += 1
    digits = place - first
    out[0] = value
    if digits == 0 or digits > 19 or (digits > 1 and text[at(first)] == ZERO):
        return FAILED
    if digits == 19 and value < POWERS[18]:  # it went over the top
        return FAILED
    return place


@hot_jit
def decimal(text: Text, place: int, out: Ints) -> int:
    """A JSON number >= 0 without exponent: digits as one integer, how many are fraction, how many in all."""
    value, first = np.int64(0), place
    while True:
        digit = np.int64(text[at(place)]) - 48
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        place += 1
    digits = place - first
    if digits == 0 or (digits > 1 and text[at(first)] == ZERO):
        return FAILED
    fraction = 0
    if text[at(place)] == DOT:
        place += 1
        point = place
        while True:
            digit = np.int64(text[at(place)]) - 48
            if digit < 0 or digit > 9:
                break
            value = value * 10 + digit
            place += 1
        fraction = place - point
        if fraction == 0:
            return FAILED
    out[0], out[1], out[2] = value, fraction, digits + fraction
    return place


@hot_jit
def whole_units(out: Ints, numerator: int, decimals: int, highest: int) -> int:
    """The number in `out` as whole units of numerator / 10**decimals, or -1."""
    if out[2] > _MOST_GRID_DIGITS:
        return FAILED
    value, missing = out[0], decimals - out[1]
    if missing >= 0:
        if missing > MOST_DIGITS or value > _MAX_INT // POWERS[at(missing)]:
            return FAILED
        value *= POWERS[at(missing)]
        divisor = numerator
    else:
        if -missing > MOST_DIGITS or numerator > _MAX_INT // POWERS[at(-missing)]:
            return FAILED
        divisor = numerator * POWERS[at(-missing)]
    if divisor != 1:
        units = value // divisor
        if units * divisor != value:
            return FAILED
        value = units
    return value if value <= highest else FAILED


@hot_jit
def quoted(text: Text, place: int) -> int:
    """Place of the closing quote of plain printable ASCII that is not too long."""
    for i in range(_MOST_QUOTED_BYTES):
        letter = text[at(place + i)]
        if letter == QUOTE:
            return place + i
        if letter < 0x20 or letter > 0x7E or letter == BACKSLASH:
            return FAILED
    return FAILED


@hot_jit
def line_end(text: Text, place: int) -> int:
    while text[at(place)] != NEWLINE:
        place += 1
    return place + 1
