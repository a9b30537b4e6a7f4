"""One order and its life: a table (state, event) -> state, and facts that may come late, twice or shuffled.

The final state depends on the set of facts heard, not on their order: every pair of events that can end
an order has one winner (FILLED over CANCELED over EXPIRED over REJECTED; an order that traded and ended
unfilled counts as CANCELED). Fills are counted once by `exec_id`. An order is complete when the venue says
so, never by our own arithmetic: an amend may still be on its way.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from execution.domain.venue import (
    OrderFilled,
    OrderSide,
    OrderType,
    OrderUpdated,
    PlaceOrder,
    TimeInForce,
    TriggerBy,
    VenueOrderStatus,
)


class OrderState(StrEnum):
    INTENT = "INTENT"
    SENT = "SENT"
    IN_DOUBT = "IN_DOUBT"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    is_final: bool

    def __init__(self, value: str) -> None:
        self.is_final = value in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")


class OrderTransition(StrEnum):
    SEND = "SEND"
    LOSE = "LOSE"  # outcome unknown: no answer, or we crashed
    ACKNOWLEDGE = "ACKNOWLEDGE"
    OPEN = "OPEN"
    FILL_PART = "FILL_PART"
    FILL_ALL = "FILL_ALL"
    CANCEL = "CANCEL"
    REJECT = "REJECT"
    EXPIRE = "EXPIRE"


_S, _T = OrderState, OrderTransition
_COLUMNS = (
    _T.SEND, _T.LOSE, _T.ACKNOWLEDGE, _T.OPEN, _T.FILL_PART, _T.FILL_ALL, _T.CANCEL, _T.REJECT, _T.EXPIRE,
)  # fmt: skip
_I, _N, _D, _A, _O = _S.INTENT, _S.SENT, _S.IN_DOUBT, _S.ACKNOWLEDGED, _S.OPEN
_P, _F, _C, _R, _E = _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED
_ROWS: dict[OrderState, tuple[OrderState, ...]] = {
    #     SEND LOSE ACK OPEN PART ALL CANCEL REJECT EXPIRE
    _I: (_N, _D, _A, _O, _P, _F, _C, _R, _E),
    _N: (_N, _D, _A, _O, _P, _F, _C, _R, _E),
    _D: (_D, _D, _A, _O, _P, _F, _C, _R, _E),
    _A: (_A, _A, _A, _O, _P, _F, _C, _R, _E),
    _O: (_O, _O, _O, _O, _P, _F, _C, _R, _E),
    _P: (_P, _P, _P, _P, _P, _F, _C, _C, _C),
    _F: (_F, _F, _F, _F, _F, _F, _F, _F, _F),
    _C: (_C, _C, _C, _C, _C, _F, _C, _C, _C),
    _R: (_R, _R, _R, _R, _C, _F, _C, _R, _E),
    _E: (_E, _E, _E, _E, _C, _F, _C, _E, _E),
}
TRANSITIONS: dict[tuple[OrderState, OrderTransition], OrderState] = {
    (state, event): target
    for state, row in _ROWS.items()
    for event, target in zip(_COLUMNS, row, strict=True)
}

_FROM_VENUE: dict[VenueOrderStatus, OrderTransition] = {
    VenueOrderStatus.ACKNOWLEDGED: _T.ACKNOWLEDGE,
    VenueOrderStatus.NEW: _T.OPEN,
    VenueOrderStatus.PARTIALLY_FILLED: _T.FILL_PART,
    VenueOrderStatus.FILLED: _T.FILL_ALL,
    VenueOrderStatus.CANCELED: _T.CANCEL,
    VenueOrderStatus.REJECTED: _T.REJECT,
    VenueOrderStatus.EXPIRED: _T.EXPIRE,
}

# Outside, the owner knows six statuses (phase 10 §3.4).
PUBLIC_STATUS: dict[OrderState, str] = {
    _I: "NEW", _N: "NEW", _D: "NEW", _A: "NEW", _O: "NEW", _P: "PARTIALLY_FILLED",
    _F: "FILLED", _C: "CANCELED", _R: "REJECTED", _E: "EXPIRED",
}  # fmt: skip


class Order(msgspec.Struct, kw_only=True):
    """An order as we know it. `revision` is that of the newest venue view of its price and quantity."""

    client_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    qty_lots: int
    request_id: str
    plan_id: str
    leg: str
    attempt: int
    source: str
    decision_ts_ns: int
    updated_ts_ns: int
    config_version: str = ""  # in force when it was made
    price_ticks: int | None = None
    trigger_ticks: int | None = None
    trigger_by: TriggerBy = TriggerBy.LAST
    reduce_only: bool = False
    close_on_trigger: bool = False
    state: OrderState = OrderState.INTENT
    exchange_order_id: str = ""
    revision: int = 0
    exec_ids: list[str] = []
    filled_lots: int = 0
    filled_tick_lots: int = 0  # sum of price * quantity of the fills, ticks times lots
    last_error: str = ""
    amending: bool = False  # an amend is on its way
    canceling: bool = False  # a cancel is on its way

    @property
    def is_live(self) -> bool:
        return not self.state.is_final

    @property
    def leaves_lots(self) -> int:
        """What may still fill: nothing once the order has ended."""
        return 0 if self.state.is_final else max(self.qty_lots - self.filled_lots, 0)

    @property
    def average_ticks(self) -> float | None:
        return self.filled_tick_lots / self.filled_lots if self.filled_lots else None

    def move(self, event: OrderTransition) -> bool:
        """Apply one event; True when the state changed."""
        before, self.state = self.state, TRANSITIONS[self.state, event]
        return self.state is not before

    def on_update(self, update: OrderUpdated) -> None:
        """Take the venue's view. An older view still tells of an end, but not of price or quantity."""
        if update.revision > self.revision:
            self.revision = update.revision
            self.qty_lots = update.qty_lots
            self.price_ticks = update.price_ticks
            self.trigger_ticks = update.trigger_ticks
            if update.reason:
                self.last_error = update.reason
        self.exchange_order_id = update.exchange_order_id or self.exchange_order_id
        if update.venue_ts_ns > self.updated_ts_ns:
            self.updated_ts_ns = update.venue_ts_ns
        self.state = TRANSITIONS[self.state, _FROM_VENUE[update.status]]

    def on_fill(self, fill: OrderFilled) -> bool:
        """Count one execution; False when it was counted before."""
        if fill.exec_id in self.exec_ids:
            return False
        self.exec_ids = [*self.exec_ids, fill.exec_id]
        self.filled_lots += fill.qty_lots
        self.filled_tick_lots += fill.price_ticks * fill.qty_lots
        self.exchange_order_id = fill.exchange_order_id or self.exchange_order_id
        self.updated_ts_ns = max(self.updated_ts_ns, fill.venue_ts_ns)
        self.move(OrderTransition.FILL_PART if fill.leaves_lots else OrderTransition.FILL_ALL)
        return True

    def as_command(self) -> PlaceOrder:
        return PlaceOrder(
            client_order_id=self.client_order_id,
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            time_in_force=self.time_in_force,
            qty_lots=self.qty_lots,
            decision_ts_ns=self.decision_ts_ns,
            price_ticks=self.price_ticks,
            trigger_ticks=self.trigger_ticks,
            trigger_by=self.trigger_by,
            reduce_only=self.reduce_only,
            close_on_trigger=self.close_on_trigger,
        )
