"""Values as text in tables: aligned, with the instrument's precision, unknown as a dash."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import template

from monitoring.services.live import overview

register = template.Library()

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@register.filter
def amount(value: Any, digits: int) -> str:
    """A number with `digits` after the point."""
    if value is None or value == "":
        return NONE
    return f"{Decimal(str(value)):,.{digits}f}".replace("-", MINUS)


@register.filter
def signed(value: Any, digits: int) -> str:
    text = amount(value, digits)
    return f"+{text}" if text != NONE and Decimal(str(value)) > 0 else text


@register.filter
def plain(value: Any) -> str:
    """A number with the digits it has."""
    if value is None or value == "":
        return NONE
    number = Decimal(str(value))
    text = f"{number.normalize():f}" if number else "0"
    return text.replace("-", MINUS)


@register.filter
def bps_of(move: Any, base: Any) -> str:
    """A price move in basis points of `base`."""
    if move is None or not base:
        return NONE
    return amount(Decimal(str(move)) / Decimal(str(base)) * 10_000, 1)


@register.filter
def price(value: Any, symbol: str) -> str:
    return _scaled(value, symbol, "priceScale")


@register.filter
def qty(value: Any, symbol: str) -> str:
    return _scaled(value, symbol, "qtyScale")


@register.filter
def tone(value: Any) -> str:
    """A class for gains and losses."""
    if value is None or value == "":
        return ""
    number = Decimal(str(value))
    return "up" if number > 0 else "down" if number < 0 else ""


@register.filter
def span(seconds: Any) -> str:
    if seconds is None:
        return NONE
    whole = max(0, round(float(seconds)))
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest} s"


@register.filter
def size(count: Any) -> str:
    """A number of bytes, as 1.2 MB."""
    if count is None or count == "":
        return NONE
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _scaled(value: Any, symbol: str, scale: str) -> str:
    if value is None or value == "":
        return NONE
    digits = overview()["symbols"].get(symbol, {}).get(scale)
    return plain(value) if digits is None else f"{Decimal(str(value)):.{digits}f}"
