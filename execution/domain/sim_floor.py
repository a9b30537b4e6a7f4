"""What all parts of the simulated venue share: its memory, market, reports and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from execution.domain.config import ExecutionConfig
from execution.domain.sim_ledger import SimLedger, SimPosition
from execution.domain.sim_market import SimMarket
from execution.domain.sim_memory import SimMemory
from execution.domain.sim_orders import SimOrder
from execution.domain.sim_reports import SimReports
from market.domain.instruments import Instrument
from strategy.domain.margin import MarginTable

_BPS = Decimal(10_000)


class SimSettings:
    """The config in force; `symbols` are the full settings of those that have their own."""

    def __init__(
        self, config: ExecutionConfig, symbols: Mapping[str, ExecutionConfig] | None = None
    ) -> None:
        self.base = config
        self._symbols = dict(symbols or {})
        self._tables: dict[str, MarginTable] = {}
        self._taker_rates: dict[str, Decimal] = {}
        self._pro_rata: dict[str, bool] = {}

    def of(self, symbol: str) -> ExecutionConfig:
        return self._symbols.get(symbol, self.base)

    def table(self, symbol: str) -> MarginTable:
        if symbol not in self._tables:
            self._tables[symbol] = MarginTable(self.of(symbol).sim.margin_tiers)
        return self._tables[symbol]

    def taker_rate(self, symbol: str) -> Decimal:
        """Taker fee as a fraction."""
        rate = self._taker_rates.get(symbol)
        if rate is None:
            rate = self._taker_rates[symbol] = Decimal(repr(self.of(symbol).taker_fee_bps)) / _BPS
        return rate

    def is_pro_rata(self, symbol: str) -> bool:
        """Whether cancels advance the queues of a symbol."""
        known = self._pro_rata.get(symbol)
        if known is None:
            known = self._pro_rata[symbol] = self.of(symbol).queue_model == "proportional"
        return known


class SimFloor:
    """Lookups over the venue's state; the parts change it, this only finds."""

    def __init__(
        self, instruments: Sequence[Instrument], settings: SimSettings, venue_id: str
    ) -> None:
        self.names = [instrument.symbol for instrument in instruments]
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.settings = settings
        self.market = SimMarket(instruments)
        deposit = Decimal(repr(settings.base.sim_balance_usdt))
        self.memory = SimMemory(venue_id=venue_id, ledger=SimLedger(deposit_usdt=deposit))
        self.reports = SimReports(self._latency_ns(), lambda: self.memory.now_ns)
        self.changed: set[str] = set()  # symbols whose position or margin changed in this event
        self.held: list[str] = []  # symbols with a position, by name
        self.moment = 0  # moves on with prices, positions and margins: figures hold for one moment
        self.liquidated: set[str] = set()  # positions the venue took over in this event
        self.complete_memory()

    def _latency_ns(self) -> int:
        return self.settings.base.sim_latency_ms * 1_000_000

    def complete_memory(self) -> None:
        """Every symbol has a position, flat or not, always in the same order."""
        for symbol in self.instruments:
            self.memory.ledger.position(symbol)
        self._note_held()

    def use(self, settings: SimSettings) -> None:
        """Go by other settings from the next event on."""
        self.settings = settings
        self.moment += 1
        self.reports.latency_ns = self._latency_ns()

    def position(self, symbol: str) -> SimPosition:
        return self.memory.ledger.positions[symbol]

    def note_fill(self, symbol: str) -> None:
        """A position has changed."""
        self.note_change(symbol)
        self._note_held()

    def note_change(self, symbol: str) -> None:
        """A position or its margin is another one: the account will be told of."""
        self.changed.add(symbol)
        self.moment += 1

    def set_leverage(self, symbol: str, leverage: float | None) -> None:
        """None: as the config says."""
        self.moment += 1
        if leverage is None:
            self.memory.leverage.pop(symbol, None)
        else:
            self.memory.leverage[symbol] = leverage

    def _note_held(self) -> None:
        positions = self.memory.ledger.positions.items()
        self.held = sorted([symbol for symbol, position in positions if position.lots])
        self.moment += 1

    def orders_of(self, symbol: str) -> list[SimOrder]:
        orders = self.memory.orders
        return [o for o in orders.values() if o.symbol == symbol] if orders else []

    def all_resting(self) -> list[SimOrder]:
        return [o for o in self.memory.orders.values() if not o.is_waiting_for_trigger]

    def resting(self, symbol: str) -> list[SimOrder]:
        orders = self.memory.orders
        if not orders:
            return []
        return [o for o in orders.values() if o.symbol == symbol and not o.is_waiting_for_trigger]

    def reducible_lots(self, order: SimOrder) -> int:
        """How much of the position this order could close."""
        position = self.position(order.symbol).lots
        return abs(position) if position * order.side.sign < 0 else 0

    def fillable_lots(self, order: SimOrder) -> int:
        """What this order may still fill: never more than the position when it only reduces."""
        if order.client_order_id not in self.memory.orders:
            return 0
        if order.reduce_only:
            return min(order.leaves_lots, self.reducible_lots(order))
        return order.leaves_lots

    def next_order_number(self) -> int:
        self.memory.orders_made += 1
        return self.memory.orders_made
