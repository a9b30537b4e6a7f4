"""All that the simulated venue remembers, and the account it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from execution.domain.sim_ledger import SimLedger, SimPosition
from execution.domain.sim_orders import PendingCommand, SimOrder
from execution.domain.venue import PlaceOrder
from market.domain.instruments import Instrument


class SimMemory(msgspec.Struct, kw_only=True):
    """All that must survive a restart, the books apart."""

    venue_id: str
    ledger: SimLedger
    now_ns: int = 0
    numbers: int = 0  # of commands, in order of arrival
    orders_made: int = 0
    orders: dict[str, SimOrder] = {}
    pending: list[PendingCommand] = []
    waiting: dict[str, list[PlaceOrder]] = {}  # symbol -> orders waiting for a trusted book
    used_ids: list[str] = []


class StoredVenue(msgspec.Struct, kw_only=True):
    memory: SimMemory
    books: dict[str, bytes] | None


class SimulatedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the venue would show it, USDT."""

    equity_usdt: Decimal
    available_usdt: Decimal
    positions: dict[str, SimPosition]


def account_of(
    memory: SimMemory,
    instruments: Mapping[str, Instrument],
    mark_usdt: Callable[[str], Decimal],
    leverage: float,
) -> SimulatedAccount:
    """Equity at mark, and what is left of it after the margin of positions and resting entries."""
    positions = memory.ledger.positions
    marks = {s: mark_usdt(s) for s, p in positions.items() if p.lots}
    equity = memory.ledger.equity_usdt(instruments, marks)
    locked = Decimal(0)
    for symbol, mark in marks.items():
        locked += instruments[symbol].lots_to_qty(abs(positions[symbol].lots)) * mark
    for order in memory.orders.values():
        if order.rests and not order.reduce_only and order.price_ticks is not None:
            locked += instruments[order.symbol].notional(order.price_ticks, order.leaves_lots)
    available = equity - locked / Decimal(repr(leverage))
    return SimulatedAccount(equity_usdt=equity, available_usdt=available, positions=positions)
