"""Take-profit and stop-loss that belong to a position, not to an order of ours.

Each is a conditional order of the venue's own making that closes whatever the position is when it
triggers; it goes when the position does. It is known by its exchange order id.
"""

from __future__ import annotations

from execution.domain.sim_floor import SimFloor
from execution.domain.sim_orders import STOP_LOSS, TAKE_PROFIT, SimOrder, new_order
from execution.domain.sim_rules import trading_stop_refusal
from execution.domain.venue import (
    OrderSide,
    OrderType,
    PlaceOrder,
    SetTradingStop,
    TimeInForce,
    TriggerBy,
    VenueCode,
    VenueOrderStatus,
)

_TYPES = {TAKE_PROFIT: OrderType.TAKE_PROFIT_MARKET, STOP_LOSS: OrderType.STOP_MARKET}


class SimAttached:
    """Puts them on positions, moves them and takes them off."""

    def __init__(self, floor: SimFloor) -> None:
        self._floor = floor

    def of(self, symbol: str, kind: str) -> SimOrder | None:
        """The live take-profit or stop-loss of a position."""
        for order in self._floor.orders_of(symbol):
            if order.attached == kind:
                return order
        return None

    def levels(self, symbol: str) -> tuple[int | None, int | None]:
        """(take-profit, stop-loss) of a position, ticks; None where there is none."""
        found = {o.attached: o.trigger_ticks for o in self._floor.orders_of(symbol) if o.attached}
        return found.get(TAKE_PROFIT), found.get(STOP_LOSS)

    def on_fill(self, order: SimOrder) -> None:
        """An entry with levels of its own has filled: they are the position's now."""
        if self._floor.position(order.symbol).lots * order.side.sign > 0:
            self._set(order.symbol, TAKE_PROFIT, order.take_profit_ticks, order.take_profit_by)
            self._set(order.symbol, STOP_LOSS, order.stop_loss_ticks, order.stop_loss_by)
        order.take_profit_ticks = order.stop_loss_ticks = None

    def command(self, command: SetTradingStop) -> None:
        """Carry out a trading-stop request, or refuse it whole."""
        floor, symbol = self._floor, command.symbol
        lots = floor.position(symbol).lots
        if not lots:
            text = "can not set tp/sl/ts for zero position"
            floor.reports.refuse(command, VenueCode.PARAMETER, text)
            return
        base = floor.market.trigger_tick(symbol, TriggerBy.MARK) or floor.market.reference_tick(
            symbol
        )
        wanted = (command.take_profit_ticks, command.stop_loss_ticks)
        sign = 1 if lots > 0 else -1
        if refusal := trading_stop_refusal(sign, base, *wanted):
            floor.reports.refuse(command, refusal.code, refusal.reason)
            return
        changed = self._set(symbol, TAKE_PROFIT, wanted[0], command.take_profit_by)
        changed |= self._set(symbol, STOP_LOSS, wanted[1], command.stop_loss_by)
        if not changed:
            floor.reports.refuse(command, VenueCode.TRADING_STOP_UNCHANGED, "not modified")

    def _set(self, symbol: str, kind: str, ticks: int | None, by: TriggerBy) -> bool:
        """None leaves it, 0 removes it; returns whether anything changed."""
        order = self.of(symbol, kind)
        if ticks is None or (order is None and ticks == 0):
            return False
        if order is not None and (order.trigger_ticks, order.trigger_by) == (ticks, by):
            return False
        self._floor.note_change(symbol)
        if order is None:
            self._create(symbol, kind, ticks, by)
        elif ticks == 0:
            del self._floor.memory.orders[order.client_order_id]
            self._floor.reports.tell(
                order, VenueOrderStatus.CANCELED, reason="EC_PerCancelRequest CancelByUser"
            )
        else:
            order.trigger_ticks, order.trigger_by = ticks, by
            self._floor.reports.tell(order, VenueOrderStatus.NEW)
        return True

    def _create(self, symbol: str, kind: str, ticks: int, by: TriggerBy) -> None:
        number = self._floor.next_order_number()
        identity = f"{self._floor.memory.venue_id}-{number}"
        is_long = self._floor.position(symbol).lots > 0
        command = PlaceOrder(
            client_order_id=identity,
            symbol=symbol,
            side=OrderSide.SELL if is_long else OrderSide.BUY,
            type=_TYPES[kind],
            time_in_force=TimeInForce.IOC,
            qty_lots=0,
            decision_ts_ns=self._floor.memory.now_ns,
            trigger_ticks=ticks,
            trigger_by=by,
            close_on_trigger=True,
        )
        order = new_order(command, identity, number)
        order.attached = kind
        self._floor.memory.orders[identity] = order
        self._floor.reports.tell(order, VenueOrderStatus.NEW)
