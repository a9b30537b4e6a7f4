"""Liquidation at the simulated venue.

When the margin that must be left is gone, the symbol's orders (cross: all orders) are cancelled and the
venue takes the position over at its bankruptcy price, with the taker fee. What the market does beyond
that price is the venue's loss, not ours: a liquidation never ends below zero. Cross: each position gets
a part of the equity in proportion to its maintenance margin, and its bankruptcy price uses just that up.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from execution.domain.sim_floor import SimFloor
from execution.domain.sim_ledger import fee_usdt
from execution.domain.sim_margin import SimMargins
from execution.domain.sim_matching import SimMatching
from execution.domain.sim_orders import SimOrder
from execution.domain.venue import ExecType, OrderSide, OrderType, TimeInForce, TriggerBy
from market.domain.instruments import Instrument

_ZERO = Decimal(0)


class SimLiquidation:
    """Looks at the account after every event that could have cost it its margin."""

    def __init__(self, floor: SimFloor, margins: SimMargins, matching: SimMatching) -> None:
        self._floor = floor
        self._margins = margins
        self._matching = matching

    def check(self) -> None:
        """Liquidate what must be."""
        held = self._floor.held
        if not held or self._margins.are_safe(held):
            return
        self._margins.forget_levels()
        if self._margins.is_isolated:
            for symbol in held:
                if self._is_beyond(symbol):
                    self._isolated(symbol)
        elif self._margins.spare_usdt() <= 0:
            self._cross([*held])

    def _is_beyond(self, symbol: str) -> bool:
        sign = 1 if self._floor.position(symbol).lots > 0 else -1
        mark = self._floor.market.mark_usdt(symbol)
        return (mark - self._margins.isolated_liquidation_usdt(symbol)) * sign <= 0

    def _isolated(self, symbol: str) -> None:
        self._cancel_orders([symbol])
        self._take_over(symbol, self._margins.isolated_bankruptcy_usdt(symbol))

    def _cross(self, held: list[str]) -> None:
        self._cancel_orders(sorted({o.symbol for o in self._floor.memory.orders.values()}))
        while held:
            equity = self._margins.equity_usdt()
            needs = {symbol: self._margins.maintenance_usdt(symbol) for symbol in held}
            symbol = max(held, key=lambda s: (needs[s], s))
            part = equity * needs[symbol] / sum(needs.values(), _ZERO)
            self._take_over(symbol, self._cross_bankruptcy_usdt(symbol, part), part)
            held.remove(symbol)

    def _cross_bankruptcy_usdt(self, symbol: str, part_usdt: Decimal) -> Decimal:
        """The price at which closing, its fee included, uses up `part_usdt` of the equity at mark."""
        lots = self._floor.position(symbol).lots
        qty = self._floor.instruments[symbol].lots_to_qty(lots)  # signed
        taker = self._floor.settings.taker_rate(symbol)
        value = qty * self._floor.market.mark_usdt(symbol) - part_usdt
        return value / (qty - abs(qty) * taker)

    def _take_over(
        self, symbol: str, price_usdt: Decimal, part_usdt: Decimal | None = None
    ) -> None:
        """Close at the bankruptcy price, on the tick that leaves us at or above zero."""
        lots = self._floor.position(symbol).lots
        instrument = self._floor.instruments[symbol]
        rounding = ROUND_CEILING if lots > 0 else ROUND_FLOOR
        tick = int((price_usdt / instrument.tick_size).to_integral_value(rounding))
        sign = 1 if lots > 0 else -1
        while part_usdt is not None and self._left(instrument, lots, tick, part_usdt) < 0:
            tick += sign
        self._floor.liquidated.add(symbol)
        order = self._venue_order(symbol, lots)
        self._matching.fill(order, max(tick, 1), abs(lots), is_maker=False, exec_type=ExecType.BUST)

    def _left(self, instrument: Instrument, lots: int, tick: int, part_usdt: Decimal) -> Decimal:
        """What is left of `part_usdt` once the position is closed at `tick`."""
        symbol = instrument.symbol
        gained = instrument.lots_to_qty(lots) * (
            instrument.ticks_to_price(tick) - self._floor.market.mark_usdt(symbol)
        )
        rate = self._floor.settings.of(symbol).taker_fee_bps
        return part_usdt + gained - fee_usdt(instrument, tick, abs(lots), rate)

    def _venue_order(self, symbol: str, lots: int) -> SimOrder:
        memory = self._floor.memory
        memory.liquidations += 1
        return SimOrder(
            client_order_id="",
            exchange_order_id=f"{memory.venue_id}-LIQ{memory.liquidations}",
            symbol=symbol,
            side=OrderSide.SELL if lots > 0 else OrderSide.BUY,
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            qty_lots=abs(lots),
            arrival=self._floor.next_order_number(),
            price_ticks=None,
            trigger_ticks=None,
            trigger_by=TriggerBy.MARK,
            triggers_on_rise=False,
            reduce_only=True,
            close_on_trigger=False,
            is_waiting_for_trigger=False,
        )

    def _cancel_orders(self, symbols: list[str]) -> None:
        for symbol in symbols:
            for order in self._floor.orders_of(symbol):
                self._matching.end(order, "EC_NoError", "CancelAllBeforeLiq")
