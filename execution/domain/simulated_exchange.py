"""The simulated venue: market events and commands in, the venue's updates out (pipeline §10).

It matches on exchange time. A command takes effect at max(decision time + latency, the venue's current
time), before the first message at or after that instant; what the venue does is heard one latency
later (`deliver_at_ns`). Assumptions are listed in docs/simulation.md. Deterministic: no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.sim_book import FAR, TRUSTED, SimBooks
from execution.domain.sim_ledger import SimLedger, fee_usdt
from execution.domain.sim_market import SimMarket
from execution.domain.sim_memory import SimMemory, SimulatedAccount, StoredVenue, account_of
from execution.domain.sim_orders import (
    PendingCommand,
    Refusal,
    SimOrder,
    in_priority,
    refusal_of,
    triggers_on_rise,
)
from execution.domain.sim_reports import SimReports
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    OrderFilled,
    OrderSide,
    PlaceOrder,
    TimeInForce,
    VenueCode,
    VenueCommand,
    VenueOrderStatus,
    VenueUpdate,
)
from market.domain.events import SELL, EventChunk, EventKind
from market.domain.instruments import Instrument

_FAR = int(FAR)
_USED_IDS_KEPT = 512
_BOOK_KINDS = frozenset({EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO})


class SimulatedExchange:
    """One account on all symbols of the run; an instrument's place in the list is its column in chunks."""

    def __init__(
        self, instruments: Sequence[Instrument], config: ExecutionConfig, venue_id: str = "SIM"
    ) -> None:
        self._config = config
        self._latency_ns = config.sim_latency_ms * 1_000_000
        self._names = [instrument.symbol for instrument in instruments]
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._market = SimMarket(instruments, config.sim_price_band_bps)
        self._reports = SimReports(self._latency_ns, lambda: self._memory.now_ns)
        self._memory = SimMemory(
            venue_id=venue_id,
            ledger=SimLedger(deposit_usdt=Decimal(repr(config.sim_balance_usdt))),
        )

    @property
    def books(self) -> SimBooks:
        """Displayed sizes of all symbols."""
        return self._market.books

    # -- commands ---------------------------------------------------------------------------------

    def submit(self, command: VenueCommand) -> None:
        """Send a command on its way; it takes effect inside a later `process` or `advance`."""
        self._memory.numbers += 1
        pending = PendingCommand(
            active_at_ns=max(command.decision_ts_ns + self._latency_ns, self._memory.now_ns),
            number=self._memory.numbers,
            command=command,
        )
        self._memory.pending.append(pending)
        self._memory.pending.sort(key=lambda p: (p.active_at_ns, p.number))

    amend = submit
    cancel = submit

    # -- time ---------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The venue's clock: the newest exchange time it has seen or was advanced to."""
        return self._memory.now_ns

    @property
    def is_idle(self) -> bool:
        """No order and no command: nothing the market does can matter."""
        memory = self._memory
        return not (memory.orders or memory.pending or memory.waiting)

    def process(self, chunk: EventChunk) -> list[VenueUpdate]:
        """Apply market messages in order, and commands where their time comes; return what happened."""
        memory, position = self._memory, 0
        while True:
            limit = memory.pending[0].active_at_ns if memory.pending else _FAR
            position, memory.now_ns, matters = self.books.run(chunk, position, memory.now_ns, limit)
            if matters:
                self._on_message(chunk, position - 1)
            elif position < len(chunk):
                self._run_commands(limit)
            else:
                return self._reports.take()

    def process_until(self, chunk: EventChunk, start: int) -> tuple[int, list[VenueUpdate]]:
        """As `process` from message `start`, but return after the first message that had consequences.

        Returns (index of the next message, updates): a driver in event time delivers them before it
        shows the venue anything later. At the end of the chunk the index is its length.
        """
        memory, position, view = self._memory, start, chunk
        while True:
            limit = memory.pending[0].active_at_ns if memory.pending else _FAR
            position, memory.now_ns, matters = self.books.run(view, position, memory.now_ns, limit)
            if matters:
                self._on_message(view, position - 1)
                if not self._reports.is_empty:
                    return position, self._reports.take()
            elif position < len(view):
                self._run_commands(limit)
                if (
                    not self._reports.is_empty
                ):  # heard of when the message arrives that lets this time pass
                    view = chunk.slice(0, position + 1)
            else:
                return position, self._reports.take()

    def advance(self, now_ns: int) -> list[VenueUpdate]:
        """Let commands due by `now_ns` take effect although the market is silent."""
        while self._memory.pending and self._memory.pending[0].active_at_ns <= now_ns:
            self._run_commands(self._memory.pending[0].active_at_ns)
        return self._reports.take()

    def observe(self, chunk: EventChunk) -> None:
        """Bring the books forward over messages whose effect on our orders is already accounted for."""
        position = 0
        while position < len(chunk):
            position, self._memory.now_ns, _ = self.books.run(
                chunk, position, self._memory.now_ns, _FAR
            )

    def forget_books(self) -> None:
        """Columns mean other symbols now: begin with empty books, keep orders and positions."""
        self._market.forget_books()
        for symbol in self._instruments:
            self._watch(symbol)

    def distrust_books(self) -> None:
        """Messages were lost: nothing is matched on a symbol until its next snapshot."""
        self.books.facts[:, TRUSTED] = 0

    def _run_commands(self, until_ns: int) -> None:
        memory = self._memory
        memory.now_ns = max(memory.now_ns, until_ns)
        while memory.pending and memory.pending[0].active_at_ns <= until_ns:
            command = memory.pending.pop(0).command
            if isinstance(command, PlaceOrder):
                self._place(command)
            elif isinstance(command, AmendOrder):
                self._amend(command)
            else:
                self._cancel(command)
            self._watch(command.symbol)

    # -- placing ------------------------------------------------------------------------------------

    def _place(self, command: PlaceOrder) -> None:
        instrument = self._instruments.get(command.symbol)
        if instrument is None:
            self._reports.reject(command, Refusal(VenueCode.PARAMETER, "Not supported symbols"))
            return
        if command.client_order_id in self._memory.used_ids:
            self._reports.reject(
                command, Refusal(VenueCode.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")
            )
            return
        if not self.books.is_trusted(self._market.index(command.symbol)):
            # Nobody knows what a matching engine held meanwhile: the order waits for the next snapshot.
            self._memory.waiting.setdefault(command.symbol, []).append(command)
            return
        if refusal := self._refusal(command, new_lots=command.qty_lots):
            self._reports.reject(command, refusal)
            return
        order = self._new_order(command)
        self._reports.tell(order, VenueOrderStatus.ACKNOWLEDGED)
        if order.is_waiting_for_trigger:
            self._memory.orders[order.client_order_id] = order
            self._reports.tell(order, VenueOrderStatus.NEW)
        else:
            self._enter_book(order)

    def _refusal(
        self, command: PlaceOrder, *, new_lots: int, asks_trigger: bool = True
    ) -> Refusal | None:
        """Why the venue would not take `command`; `new_lots` of it need margin."""
        instrument, symbol = self._instruments[command.symbol], command.symbol
        reference = command.price_ticks or command.trigger_ticks
        reference = reference or self._market.reference_tick(instrument)
        leverage = Decimal(repr(self._config.sim_leverage))
        margin = instrument.notional(reference, new_lots) / leverage
        taker = fee_usdt(instrument, reference, new_lots, self._config.taker_fee_bps)
        trigger = self._market.trigger_tick(symbol, command.trigger_by) if asks_trigger else None
        return refusal_of(
            command,
            instrument,
            reference_tick=reference,
            trigger_tick=trigger,
            position_lots=self._memory.ledger.position(symbol).lots,
            available_usdt=self.account().available_usdt,
            margin_usdt=margin + taker,
        )

    def _new_order(self, command: PlaceOrder) -> SimOrder:
        memory = self._memory
        memory.orders_made += 1
        memory.used_ids = [*memory.used_ids[-_USED_IDS_KEPT:], command.client_order_id]
        return SimOrder(
            client_order_id=command.client_order_id,
            exchange_order_id=f"{memory.venue_id}-{memory.orders_made}",
            symbol=command.symbol,
            side=command.side,
            type=command.type,
            time_in_force=command.time_in_force,
            qty_lots=command.qty_lots,
            arrival=memory.orders_made,
            price_ticks=command.price_ticks,
            trigger_ticks=command.trigger_ticks,
            trigger_by=command.trigger_by,
            triggers_on_rise=triggers_on_rise(command),
            reduce_only=command.reduce_only or command.close_on_trigger,
            close_on_trigger=command.close_on_trigger,
            is_waiting_for_trigger=command.type.is_conditional,
        )

    def _enter_book(self, order: SimOrder) -> None:
        """Take what the book shows, then rest or end as the time in force says."""
        limit, is_market = order.price_ticks, order.price_ticks is None
        if limit is None:
            limit = self._market.protection_tick(order)
        if order.reduce_only and not self._reducible_lots(order):
            self._end(order, "EC_ReduceOnly", "CancelByReduceOnly")
            return
        offers = self.books.takeable(self._market.index(order.symbol), 1 - order.book_side, limit)
        offered = sum(lots for _, lots in offers)
        if order.time_in_force is TimeInForce.POST_ONLY and offers:
            self._end(order, "EC_PostOnlyWillTakeLiquidity")
            return
        if order.time_in_force is TimeInForce.FOK and offered < order.leaves_lots:
            self._end(order, "EC_CancelForNoFullFill")
            return
        self._memory.orders[order.client_order_id] = order
        self._take(order, offers)
        if order.client_order_id not in self._memory.orders:
            return
        if is_market or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._end(order, "EC_NoImmediateQtyToFill")
            return
        self._join_queue(order)
        if not order.filled_lots:
            self._reports.tell(order, VenueOrderStatus.NEW)

    def _take(self, order: SimOrder, offers: list[tuple[int, int]]) -> None:
        for tick, lots in offers:
            filled = min(lots, self._fillable_lots(order))
            if filled <= 0:
                return
            self.books.take(self._market.index(order.symbol), 1 - order.book_side, tick, filled)
            self._fill(order, tick, filled, is_maker=False)

    def _join_queue(self, order: SimOrder) -> None:
        assert order.price_ticks is not None
        order.queue_ahead_lots = self.books.displayed(
            self._market.index(order.symbol), order.book_side, order.price_ticks
        )

    # -- amending and cancelling --------------------------------------------------------------------

    def _amend(self, command: AmendOrder) -> None:
        order = self._memory.orders.get(command.client_order_id)
        if order is None:
            self._reports.refuse(
                command, VenueCode.ORDER_NOT_FOUND, "order not exists or too late to replace"
            )
            return
        price = order.price_ticks if command.price_ticks is None else command.price_ticks
        qty = order.qty_lots if command.qty_lots is None else command.qty_lots
        trigger = order.trigger_ticks if command.trigger_ticks is None else command.trigger_ticks
        if (price, qty, trigger) == (order.price_ticks, order.qty_lots, order.trigger_ticks):
            self._reports.refuse(command, VenueCode.PARAMETER, "The order remains unchanged")
        elif qty <= order.filled_lots:
            self._reports.refuse(
                command, VenueCode.QTY_NOT_ABOVE_FILLED, "new quantity not above the filled"
            )
        elif refusal := self._refusal(
            order.as_command(price, qty, trigger),
            new_lots=max(qty - order.qty_lots, 0),
            asks_trigger=order.is_waiting_for_trigger,
        ):
            self._reports.refuse(command, refusal.code, refusal.reason)
        else:
            self._apply_amend(order, price, qty, trigger)

    def _apply_amend(
        self, order: SimOrder, price: int | None, qty: int, trigger: int | None
    ) -> None:
        loses_queue = price != order.price_ticks or qty > order.qty_lots
        order.price_ticks, order.qty_lots, order.trigger_ticks = price, qty, trigger
        if order.is_waiting_for_trigger or not loses_queue:
            self._reports.tell(order, order.live_status)
            return
        self._memory.orders_made += 1
        order.arrival = self._memory.orders_made
        del self._memory.orders[order.client_order_id]
        revision, fills = order.revision, order.fills
        self._enter_book(order)
        if order.fills == fills and order.revision == revision:  # rested with fills from before
            self._reports.tell(order, order.live_status)

    def _cancel(self, command: CancelOrder) -> None:
        waiting = self._memory.waiting.get(command.symbol, [])
        for place in waiting:
            if place.client_order_id == command.client_order_id:
                waiting.remove(place)
                self._end(self._new_order(place), "EC_PerCancelRequest", "CancelByUser")
                return
        order = self._memory.orders.get(command.client_order_id)
        if order is None:
            self._reports.refuse(
                command, VenueCode.ORDER_NOT_FOUND, "order not exists or too late to cancel"
            )
            return
        self._end(order, "EC_PerCancelRequest", "CancelByUser")

    # -- market messages ------------------------------------------------------------------------------

    def _on_message(self, chunk: EventChunk, i: int) -> None:
        index, kind = int(chunk.symbol[i]), int(chunk.kind[i])
        symbol = self._names[index]
        if kind == EventKind.TRADE:
            entry = int(chunk.level_offset[i])
            self._on_trade(
                symbol, int(chunk.side[entry]), int(chunk.tick[entry]), int(chunk.lot[entry])
            )
        elif kind in _BOOK_KINDS:
            self._on_book(symbol, index)
        self._trigger_orders(symbol)
        self._watch(symbol)

    def _on_trade(self, symbol: str, taker: int, tick: int, lots: int) -> None:
        """A print fills what it went through, and advances the queue of what stands at its price."""
        for order in in_priority(self._resting(symbol)):
            assert order.price_ticks is not None
            through = (order.price_ticks - tick) * order.side.sign
            if through < 0:
                continue
            hits_us = (taker == SELL) == (order.side is OrderSide.BUY)
            available = lots if through > 0 else order.advance_queue(lots, hits_us=hits_us)
            filled = min(available, lots, self._fillable_lots(order))
            if filled > 0:
                lots -= filled
                self._fill(order, order.price_ticks, filled, is_maker=True)

    def _on_book(self, symbol: str, index: int) -> None:
        if not self.books.is_trusted(index):
            return  # what an old book and a new change look like together never stood anywhere
        for command in self._memory.waiting.pop(symbol, ()):
            self._place(command)
        for order in in_priority(self._resting(symbol)):
            assert order.price_ticks is not None
            if order.queue_ahead_lots is None:
                self._join_queue(order)
            # The other side stands at or through our price: whoever put it there met us first.
            for tick, lots in self.books.takeable(index, 1 - order.book_side, order.price_ticks):
                filled = min(lots, self._fillable_lots(order))
                if filled <= 0:
                    break
                self.books.take(index, 1 - order.book_side, tick, filled)
                self._fill(order, order.price_ticks, filled, is_maker=True)

    def _trigger_orders(self, symbol: str) -> None:
        """A trigger reached while the book is not to be trusted is remembered until its snapshot."""
        is_trusted = self.books.is_trusted(self._market.index(symbol))
        for order in [o for o in self._of(symbol) if o.is_waiting_for_trigger]:
            order.trigger_is_reached |= self._market.has_reached_trigger(order)
            is_alive = order.client_order_id in self._memory.orders
            if order.trigger_is_reached and is_trusted and is_alive:
                self._trigger(order)

    def _trigger(self, order: SimOrder) -> None:
        del self._memory.orders[order.client_order_id]
        order.is_waiting_for_trigger = False
        if order.close_on_trigger and order.qty_lots == 0:
            order.qty_lots = abs(self._memory.ledger.position(order.symbol).lots)
        self._reports.tell(order, VenueOrderStatus.NEW)
        self._enter_book(order)

    # -- fills and ends ---------------------------------------------------------------------------------

    def _fill(self, order: SimOrder, tick: int, lots: int, *, is_maker: bool) -> None:
        instrument, now = self._instruments[order.symbol], self._memory.now_ns
        rate = self._config.maker_fee_bps if is_maker else self._config.taker_fee_bps
        fee = fee_usdt(instrument, tick, lots, rate)
        order.filled_lots += lots
        order.fills += 1
        self._memory.ledger.apply(order.symbol, order.side, tick, lots, fee)
        self._reports.add(
            OrderFilled(
                exec_id=f"{order.exchange_order_id}-{order.fills}",
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
                symbol=order.symbol,
                side=order.side,
                price_ticks=tick,
                qty_lots=lots,
                leaves_lots=order.leaves_lots,
                fee_usdt=fee,
                is_maker=is_maker,
                venue_ts_ns=now,
                deliver_at_ns=self._reports.heard_at_ns,
            )
        )
        if order.leaves_lots == 0:
            self._memory.orders.pop(order.client_order_id, None)
            self._reports.tell(order, VenueOrderStatus.FILLED)
        else:
            self._reports.tell(order, VenueOrderStatus.PARTIALLY_FILLED)
        self._drop_reduce_only(order.symbol)

    def _drop_reduce_only(self, symbol: str) -> None:
        """With nothing left to reduce, resting reduce-only orders and stops go by themselves."""
        for order in self._of(symbol):
            if order.reduce_only and not self._reducible_lots(order):
                self._end(order, "EC_NoError", "CancelByReduceOnly")

    def _end(self, order: SimOrder, reason: str, cancel_type: str = "") -> None:
        self._memory.orders.pop(order.client_order_id, None)
        text = f"{reason} {cancel_type}".strip()
        self._reports.tell(order, VenueOrderStatus.CANCELED, reason=text)

    # -- prices and limits ------------------------------------------------------------------------------

    def _of(self, symbol: str) -> list[SimOrder]:
        return [order for order in self._memory.orders.values() if order.symbol == symbol]

    def _resting(self, symbol: str) -> list[SimOrder]:
        return [order for order in self._of(symbol) if order.rests]

    def _reducible_lots(self, order: SimOrder) -> int:
        position = self._memory.ledger.position(order.symbol).lots
        return abs(position) if position * order.side.sign < 0 else 0

    def _fillable_lots(self, order: SimOrder) -> int:
        """What this order may still fill: never more than the position when it only reduces."""
        if order.client_order_id not in self._memory.orders:
            return 0
        return (
            min(order.leaves_lots, self._reducible_lots(order))
            if order.reduce_only
            else order.leaves_lots
        )

    def _watch(self, symbol: str) -> None:
        if symbol in self._instruments:
            self._market.watch(symbol, self._of(symbol), is_waiting=symbol in self._memory.waiting)

    # -- account and memory -------------------------------------------------------------------------------

    def account(self) -> SimulatedAccount:
        """The account as the venue would show it."""
        return account_of(
            self._memory, self._instruments, self._market.mark_usdt, self._config.sim_leverage
        )

    def open_orders(self) -> tuple[str, ...]:
        """Ids of all orders that live at the venue or are on their way to it."""
        ways = (p.command for p in self._memory.pending if isinstance(p.command, PlaceOrder))
        waiting = (c for commands in self._memory.waiting.values() for c in commands)
        return (*self._memory.orders, *(c.client_order_id for c in (*ways, *waiting)))

    def state(self, *, with_books: bool = True) -> bytes:
        """Everything, or everything but the books (small, for a write per step)."""
        books = self.books.state() if with_books else None
        return msgspec.msgpack.encode(StoredVenue(memory=self._memory, books=books))

    def restore(self, state: bytes) -> None:
        """Inverse of `state`; a state without books leaves the books as they are."""
        stored = msgspec.msgpack.decode(state, type=StoredVenue)
        self._memory = stored.memory
        if stored.books is not None and self.books.fits(stored.books):
            self.books.restore(stored.books)
        for symbol in self._instruments:
            self._watch(symbol)
