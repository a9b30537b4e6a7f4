"""A venue that changes a tick or lot size: what is kept in ticks and lots is told anew in the others.

Names carry their unit everywhere (`_ticks`, `_lots`, `_tick_lots`), so that one walk over the structs finds
all of them. A quantity must be a whole number of the new lots; a price goes to the nearest new tick (the
trade then moves its orders where they belong), a sum of price times quantity to the nearest unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from market.domain.instruments import Instrument

_UNKNOWN_LOTS = -1  # of `queue_shown_lots`
_TICK_LOT_FIELDS = ("entry_numerator", "min_value")


class LotsDoNotFit(ValueError):
    """What is held is no whole number of the new lots: it must be closed where it is held."""


class UnitChange(NamedTuple):
    """By how much numbers of ticks and of lots grow."""

    ticks: Fraction
    lots: Fraction


def unit_changes(
    before: Iterable[Instrument], now: Mapping[str, Instrument]
) -> dict[str, UnitChange]:
    """Symbols whose tick or lot size is another than before."""
    changes = {}
    for old in before:
        new = now.get(old.symbol)
        if new is None or (new.tick_size, new.qty_step) == (old.tick_size, old.qty_step):
            continue
        changes[old.symbol] = UnitChange(
            Fraction(old.tick_size) / Fraction(new.tick_size),
            Fraction(old.qty_step) / Fraction(new.qty_step),
        )
    return changes


def in_new_units(value: Any, changes: Mapping[str, UnitChange], symbol: str = "") -> Any:
    """`value` (a struct, or a container of some) with every number of ticks and lots told anew.

    Raises: LotsDoNotFit.
    """
    if isinstance(value, msgspec.Struct):
        return _struct_in_new_units(value, changes, symbol)
    if isinstance(value, dict):
        return {
            key: in_new_units(each, changes, key if key in changes else symbol)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(in_new_units(each, changes, symbol) for each in value)
    return value


def _struct_in_new_units(
    struct: msgspec.Struct, changes: Mapping[str, UnitChange], symbol: str
) -> msgspec.Struct:
    own = getattr(struct, "symbol", symbol)
    change, told = changes.get(own), {}
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        unit = None if change is None else _unit(name, change)
        told[name] = in_new_units(value, changes, own) if unit is None else _told(value, name, unit)
    return msgspec.structs.replace(struct, **told)


def _unit(name: str, change: UnitChange) -> Fraction | None:
    if name.endswith("tick_lots") or name in _TICK_LOT_FIELDS:
        return change.ticks * change.lots
    if name.endswith("_ticks"):
        return change.ticks
    return change.lots if name == "lots" or name.endswith("_lots") else None


def _told(value: Any, name: str, unit: Fraction) -> Any:
    if isinstance(value, dict):
        return {key: _told(each, name, unit) for key, each in value.items()}
    if value is None or (name == "queue_shown_lots" and value == _UNKNOWN_LOTS):
        return value
    if isinstance(value, float):
        return value * float(unit)
    exact = value * unit
    if exact.denominator != 1 and name.endswith("lots") and not name.endswith("tick_lots"):
        raise LotsDoNotFit(f"{name} {value} is {float(exact):g} of the new lots")
    return round(exact)
