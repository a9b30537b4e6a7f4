"""A venue that changes a tick or lot size: what is kept in ticks and lots is told anew in the others.

Names carry their unit everywhere (`_ticks`, `_lots`, `_tick_lots`), so that one walk over the structs finds
all of them. A quantity is rounded down, a price goes to the nearest new tick (the trade then moves its orders
where they belong) but a stop to the tight side, a sum of price times quantity to the nearest unit.

A position that is no whole number of the new lots keeps the part that is; the rest, less than a lot, counts
as closed at the average entry. Such a trade is closed (`close_unfit`): it is not what its plan meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from execution.domain.exposure import least_lots, least_value
from execution.domain.orders import Order
from execution.domain.sim_ledger import SimPosition
from execution.domain.sim_orders import SimOrder
from execution.domain.trade import ManagedTrade
from execution.domain.trade_manager import begin_close
from execution.domain.venue import OrderFilled, OrderSide, PlaceOrder, VenueUpdate
from execution.domain.workspace import CoreState
from market.domain.instruments import Instrument
from strategy.domain.messages import DcaLevel, Side, TakeProfitLevel, TradePlan

LOTS_DO_NOT_FIT = "LOTS_DO_NOT_FIT"
_UNKNOWN_LOTS = -1  # of `queue_shown_lots`


class UnitChange(NamedTuple):
    """By how much numbers of ticks and of lots grow, and the least order in the new units."""

    ticks: Fraction
    lots: Fraction
    min_lots: int = 1
    min_value: int = 0  # ticks times lots


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
            least_lots(new),  # the venue's rules of now: those of before are not scaled
            least_value(new),
        )
    return changes


def in_new_units(value: Any, changes: Mapping[str, UnitChange], symbol: str = "") -> Any:
    """`value` (a struct, or a container of some) with every number of ticks and lots told anew."""
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
    if change is not None:
        told |= _beyond_scaling(struct, told, change)
    return msgspec.structs.replace(struct, **told)


def unfit_symbols(
    core: CoreState, updates: Iterable[VenueUpdate], changes: Mapping[str, UnitChange]
) -> set[str]:
    """Symbols with a position, an order that adds to one, or a fill on its way that new lots cannot say."""
    trades = (*core.trades.values(), *core.strays.values())
    lots = [(trade.symbol, trade.position_lots) for trade in trades]
    adding = [o for o in core.orders.values() if o.is_live and not o.reduce_only]
    lots += [
        (order.symbol, each) for order in adding for each in (order.qty_lots, order.filled_lots)
    ]
    lots += [(fill.symbol, fill.qty_lots) for fill in updates if isinstance(fill, OrderFilled)]
    return {
        symbol
        for symbol, each in lots
        if symbol in changes and (each * changes[symbol].lots).denominator != 1
    }


def close_unfit(core: CoreState, symbols: Iterable[str]) -> None:
    """Close what could only be kept in part; until it is flat its symbol takes no entry."""
    for symbol in symbols:
        if (trade := core.trades.get(symbol)) is not None:
            begin_close(trade, LOTS_DO_NOT_FIT)


def believed_lots(core: CoreState, updates: Iterable[VenueUpdate], symbol: str) -> int:
    """The signed position the core arrives at once it has heard `updates`."""
    trades = (*core.trades.values(), *core.strays.values())
    fills = [u for u in updates if isinstance(u, OrderFilled) and u.symbol == symbol]
    held = sum(t.position_lots * t.plan.side.sign for t in trades if t.symbol == symbol)
    return held + sum(fill.side.sign * fill.qty_lots for fill in fills)


def position_in_new_units(
    position: SimPosition, change: UnitChange, lots: int | None = None
) -> SimPosition:
    """The venue's position in whole new lots (or `lots` of it); the rest is closed at its entry price."""
    exact, value = position.lots * change.lots, change.ticks * change.lots
    kept = int(exact) if lots is None or not exact else lots
    cost = position.entry_cost * value
    kept_cost = cost * kept / exact if exact else cost
    return msgspec.structs.replace(
        position,
        lots=kept,
        spent_tick_lots=round(position.spent_tick_lots * value - (cost - kept_cost)),
        entry_numerator=kept_cost.numerator,
        entry_denominator=kept_cost.denominator,
    )


def _beyond_scaling(
    struct: msgspec.Struct, told: Mapping[str, Any], change: UnitChange
) -> dict[str, Any]:
    """Fields of `struct` that are not simply scaled and rounded."""
    if isinstance(struct, ManagedTrade):
        return _trade_in_new_units(struct, change)
    if isinstance(struct, SimPosition):
        return msgspec.structs.asdict(position_in_new_units(struct, change))
    fields: dict[str, Any] = {}
    if isinstance(struct, TradePlan):
        stop_ticks = _tight(struct.stop.price_ticks, struct.side, change)
        fields["stop"] = msgspec.structs.replace(struct.stop, price_ticks=stop_ticks)
    if isinstance(struct, Order | SimOrder | PlaceOrder) and struct.type.is_stop:
        closes = Side.LONG if struct.side is OrderSide.SELL else Side.SHORT
        fields["trigger_ticks"] = _tight(struct.trigger_ticks or 0, closes, change)
    is_share = isinstance(struct, TakeProfitLevel | DcaLevel | OrderFilled)
    if told.get("qty_lots") == 0 and getattr(struct, "qty_lots", 0) and not is_share:
        fields["qty_lots"] = 1  # none would mean something else: the whole position, to the venue
    return fields


def _trade_in_new_units(trade: ManagedTrade, change: UnitChange) -> dict[str, Any]:
    """Position, average entry and what is realised stay what they were, as far as lots can say it."""
    value, exited = change.ticks * change.lots, trade.exited_lots * change.lots
    entered = trade.entered_lots * change.lots
    held = int(entered - exited)
    out = max(round(exited), 1 if entered and not held else 0)  # a trade that was entered stays so
    average = trade.entry_tick_lots * value / entered if entered else Fraction(0)
    return {
        "entered_lots": held + out,
        "exited_lots": out,
        "entry_tick_lots": round(average * (held + out)),
        "exit_tick_lots": round(trade.exit_tick_lots * value + average * (out - exited)),
        "stop_ticks": _tight(trade.stop_ticks, trade.plan.side, change),
        "min_lots": change.min_lots,
        "min_value": change.min_value,
    }


def _tight(ticks: int, side: Side, change: UnitChange) -> int:
    """A stop of a position of `side`: never farther away than it was."""
    exact = ticks * change.ticks
    return math.ceil(exact) if side is Side.LONG else math.floor(exact)


def _unit(name: str, change: UnitChange) -> Fraction | None:
    if name.endswith("tick_lots"):
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
    if name.endswith("lots") and not name.endswith("tick_lots"):
        return int(exact)  # never more than there is
    return round(exact)
