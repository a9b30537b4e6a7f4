"""What the simulated venue tells: each report carries its time and when it will be heard."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from execution.domain.sim_orders import SimOrder
from execution.domain.sim_rules import Refusal
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    OrderUpdated,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
    VenueCommand,
    VenueOrderStatus,
    VenueUpdate,
)

_COMMANDS: dict[type[VenueCommand], str] = {
    AmendOrder: "AMEND",
    CancelOrder: "CANCEL",
    SetTradingStop: "TRADING_STOP",
    SetLeverage: "LEVERAGE",
}


class SimReports:
    """Collects updates until they are taken; `clock` is the venue's own."""

    def __init__(self, latency_ns: int, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.latency_ns = latency_ns
        self.waiting: list[VenueUpdate] = []  # not yet taken

    @property
    def now_ns(self) -> int:
        return self._clock()

    @property
    def heard_at_ns(self) -> int:
        """When a report made now is heard."""
        return self._clock() + self.latency_ns

    def add(self, update: VenueUpdate) -> None:
        self.waiting.append(update)

    def take(self) -> list[VenueUpdate]:
        updates, self.waiting = self.waiting, []
        return updates

    def tell(self, order: SimOrder, status: VenueOrderStatus, reason: str = "") -> None:
        now = self._clock()
        order.revision += 1
        self.waiting.append(
            OrderUpdated(
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
                symbol=order.symbol,
                status=status,
                revision=order.revision,
                qty_lots=order.qty_lots,
                filled_lots=order.filled_lots,
                venue_ts_ns=now,
                deliver_at_ns=now + self.latency_ns,
                price_ticks=order.price_ticks,
                trigger_ticks=order.trigger_ticks,
                triggered=order.type.is_conditional and order.rests,
                reason=reason,
            )
        )

    def reject(self, command: PlaceOrder, refusal: Refusal) -> None:
        now = self.now_ns
        self.waiting.append(
            OrderUpdated(
                client_order_id=command.client_order_id,
                exchange_order_id="",
                symbol=command.symbol,
                status=VenueOrderStatus.REJECTED,
                revision=1,
                qty_lots=command.qty_lots,
                filled_lots=0,
                venue_ts_ns=now,
                deliver_at_ns=now + self.latency_ns,
                price_ticks=command.price_ticks,
                trigger_ticks=command.trigger_ticks,
                code=refusal.code,
                reason=f"{refusal.code} {refusal.reason}",
            )
        )

    def refuse(self, command: VenueCommand, code: int, reason: str) -> None:
        now = self.now_ns
        self.waiting.append(
            CommandRefused(
                client_order_id=command.client_order_id,
                symbol=command.symbol,
                command=_COMMANDS[type(command)],
                code=code,
                reason=f"{code} {reason}",
                venue_ts_ns=now,
                deliver_at_ns=now + self.latency_ns,
            )
        )


class Deliveries:
    """Updates on their way back to us, by the time they arrive; equal times keep the venue's order."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, VenueUpdate]] = []
        self._count = 0

    def push(self, updates: list[VenueUpdate]) -> None:
        for update in updates:
            self._count += 1
            heapq.heappush(self._heap, (update.deliver_at_ns, self._count, update))

    @property
    def next_at_ns(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ns: int) -> VenueUpdate | None:
        """The next update that has arrived by `now_ns`; one at a time, so that none is ever in between."""
        if self._heap and self._heap[0][0] <= now_ns:
            return heapq.heappop(self._heap)[2]
        return None

    def state(self) -> bytes:
        return msgspec.msgpack.encode([update for _, _, update in sorted(self._heap)])

    def restore(self, state: bytes) -> None:
        self._heap, self._count = [], 0
        self.push(msgspec.msgpack.decode(state, type=list[VenueUpdate]))
