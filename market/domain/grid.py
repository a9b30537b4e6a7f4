"""Exact numbers of the wire to whole units and back: no float takes part in a price or a size.

The exchange repeats the same few thousand texts all day, so both directions remember what they have
seen; the memory is bounded and simply starts anew when it is full.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

# A number of at most 2**50 smallest decimals survives the way through a JSON reader's double: the
# shortest text of the double is the number again.
MAX_UNITS = 1 << 50
_REMEMBERED = 8192

# Bounded digits: int() of a long text is quadratic, and no venue states a price in 40 digits.
_POWERS = [10**n for n in range(64)]
_PLAIN_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII).fullmatch


class BadNumber(ValueError):
    """The message that holds it is dropped and counted: not a number, negative, zero or out of range."""


class OffGrid(BadNumber):
    """A number between two units: our instrument rules no longer fit the venue; reload them."""


class UnitGrid(dict[Any, int]):
    """`grid[number]` -> whole units, exactly. Numbers are text, int, float (its shortest form) or Decimal.

    Args:
        unit: size of one unit, > 0 (tick size, quantity step).
        lowest, highest: inclusive range of units that are accepted.
    Raises (on lookup): BadNumber, OffGrid; TypeError for an unhashable value.
    """

    __slots__ = ("_highest", "_lowest", "_unit_decimals", "_unit_numerator")

    def __init__(self, unit: Decimal, *, lowest: int = 0, highest: int = MAX_UNITS) -> None:
        super().__init__()
        self._unit_numerator, self._unit_decimals = fraction_of_ten(unit)
        self._lowest = lowest
        self._highest = min(highest, MAX_UNITS // self._unit_numerator)

    def __missing__(self, value: Any) -> int:
        units = self._exact_units(_plain_text(value))
        if len(self) >= _REMEMBERED:
            self.clear()
        self[value] = units
        return units

    def _exact_units(self, text: str) -> int:
        match = _PLAIN_NUMBER(text)
        if match is None:
            raise BadNumber(f"{text[:40]!r} is not a plain number")
        whole, fraction = match[1], match[2] or ""
        units: int
        missing = self._unit_decimals - len(fraction)
        if missing >= 0:
            units, rest = divmod(int(whole + fraction) * _POWERS[missing], self._unit_numerator)
        else:
            units, rest = divmod(int(whole + fraction), self._unit_numerator * _POWERS[-missing])
        if rest:
            raise OffGrid(f"{text} is not a whole number of units")
        if not self._lowest <= units <= self._highest:
            raise BadNumber(f"{text} is out of range")
        return units


class UnitTexts(dict[int, str]):
    """`texts[units]` -> the plain decimal text of that many units, at the unit's own precision."""

    __slots__ = ("_decimals", "_numerator")

    def __init__(self, unit: Decimal) -> None:
        super().__init__()
        self._numerator, self._decimals = fraction_of_ten(unit)

    def __missing__(self, units: int) -> str:
        text = decimal_text(units * self._numerator, self._decimals)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[units] = text
        return text


def decimal_text(numerator: int, decimals: int) -> str:
    """numerator / 10**decimals as a JSON number, without float and without exponent."""
    if decimals == 0:
        return str(numerator)
    sign = "-" if numerator < 0 else ""
    whole, fraction = divmod(abs(numerator), 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"


def scaled_integer(value: Any, decimals: int) -> int:
    """value * 10**decimals, truncated towards zero: for figures without a grid (mark price, funding).

    Raises: BadNumber when `value` is no finite number or does not fit 63 bits.
    """
    text = _plain_text(value)
    unsigned = text.removeprefix("-")
    match = _PLAIN_NUMBER(unsigned)
    if match is None:
        raise BadNumber(f"{text[:40]!r} is not a plain number")
    fraction = (match[2] or "")[:decimals].ljust(decimals, "0")
    scaled = int(match[1] + fraction)
    if scaled >= 1 << 62:
        raise BadNumber(f"{text} is out of range")
    return scaled if unsigned is text else -scaled


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise BadNumber(f"a {type(value).__name__} is not a number")
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        if not value.is_finite() or not -40 < value.adjusted() < 40:
            raise BadNumber(f"{value} is not a number of a market")
        return f"{value:f}"
    if value.bit_length() > 64:
        raise BadNumber("an integer of more than 64 bits is not a number of a market")
    return str(value)


def fraction_of_ten(unit: Decimal) -> tuple[int, int]:
    """unit = numerator / 10**decimals with the smallest decimals >= 0."""
    if not unit.is_finite() or unit <= 0:
        raise BadNumber(f"a unit must be positive, not {unit}")
    _, digits, exponent = unit.normalize().as_tuple()
    numerator = int("".join(map(str, digits)))
    assert isinstance(exponent, int)
    return (numerator, -exponent) if exponent <= 0 else (numerator * 10**exponent, 0)
