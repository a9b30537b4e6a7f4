"""All that the simulated venue remembers."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from execution.domain.sim_ledger import SimLedger, SimPosition
from execution.domain.sim_orders import PendingCommand, SimOrder
from execution.domain.venue import PlaceOrder


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
    leverage: dict[str, float] = {}  # of symbols whose leverage was set
    funded_until_ns: dict[str, int] = {}  # of positions: funding instants up to here are settled
    fundings: int = 0
    liquidations: int = 0


class StoredVenue(msgspec.Struct, kw_only=True):
    memory: SimMemory
    books: dict[str, bytes] | None


class SimulatedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the venue would show it, USDT."""

    equity_usdt: Decimal
    available_usdt: Decimal
    positions: dict[str, SimPosition]
    wallet_usdt: Decimal = Decimal(0)
    initial_margin_usdt: Decimal = Decimal(0)  # of positions and resting orders
    maintenance_margin_usdt: Decimal = Decimal(0)
