"""The simulated venue: market events and commands in, the venue's updates out (pipeline §10).

It matches on exchange time. A command takes effect at max(decision time + latency, the venue's current
time), before the first message at or after that instant; what the venue does is heard one latency
later (`deliver_at_ns`). Assumptions are listed in docs/simulation.md. Deterministic: no randomness.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from execution.domain.config import ExecutionConfig
from execution.domain.sim_book import (
    BUY_TICK,
    EVERY_BOOK,
    FAR,
    INDEX_1E9,
    INDEX_FALL,
    INDEX_RISE,
    LAST_FALL,
    LAST_RISE,
    LAST_TICK,
    MARK_1E9,
    MARK_FALL,
    MARK_RISE,
    SELL_TICK,
    TRUSTED,
    SimBooks,
)  # fmt: skip
from execution.domain.sim_ledger import SimLedger, SimPosition, fee_usdt
from execution.domain.sim_orders import (
    PendingCommand,
    Refusal,
    SimOrder,
    in_priority,
    refusal_of,
    triggers_on_rise,
)
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    OrderFilled,
    OrderSide,
    OrderUpdated,
    PlaceOrder,
    TimeInForce,
    TriggerBy,
    VenueCode,
    VenueCommand,
    VenueOrderStatus,
    VenueUpdate,
)
from market.domain.events import ASK, BID, SELL, EventChunk, EventKind
from market.domain.instruments import Instrument

_FAR = int(FAR)
_USED_IDS_KEPT = 512
_BOOK_KINDS = frozenset({EventKind.BOOK_SNAPSHOT, EventKind.BOOK_DELTA, EventKind.BBO})


class _Memory(msgspec.Struct, kw_only=True):
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


class _Stored(msgspec.Struct, kw_only=True):
    memory: _Memory
    books: dict[str, bytes] | None


class SimulatedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the venue would show it, USDT."""

    equity_usdt: Decimal
    available_usdt: Decimal
    positions: dict[str, SimPosition]


class SimulatedExchange:
    """One account on all symbols of the run; an instrument's place in the list is its column in chunks."""

    def __init__(
        self, instruments: Sequence[Instrument], config: ExecutionConfig, venue_id: str = "SIM"
    ) -> None:
        self._config = config
        self._latency_ns = config.sim_latency_ms * 1_000_000
        self._names = [instrument.symbol for instrument in instruments]
        self._indices = {symbol: index for index, symbol in enumerate(self._names)}
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._tick_1e9 = {i.symbol: int(i.tick_size * 10**9) for i in instruments}
        self.books = SimBooks(len(self._names))
        self._out: list[VenueUpdate] = []
        self._memory = _Memory(
            venue_id=venue_id,
            ledger=SimLedger(deposit_usdt=Decimal(repr(config.sim_balance_usdt))),
        )

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
                return self._take_updates()

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
                if self._out:
                    return position, self._take_updates()
            elif position < len(view):
                self._run_commands(limit)
                if self._out:  # heard of when the message arrives that lets this time pass
                    view = chunk.slice(0, position + 1)
            else:
                return position, self._take_updates()

    def advance(self, now_ns: int) -> list[VenueUpdate]:
        """Let commands due by `now_ns` take effect although the market is silent."""
        while self._memory.pending and self._memory.pending[0].active_at_ns <= now_ns:
            self._run_commands(self._memory.pending[0].active_at_ns)
        return self._take_updates()

    def observe(self, chunk: EventChunk) -> None:
        """Bring the books forward over messages whose effect on our orders is already accounted for."""
        position = 0
        while position < len(chunk):
            position, self._memory.now_ns, _ = self.books.run(
                chunk, position, self._memory.now_ns, _FAR
            )

    def forget_books(self) -> None:
        """Columns mean other symbols now: begin with empty books, keep orders and positions."""
        self.books = SimBooks(len(self._names))
        for symbol in self._instruments:
            self._watch(symbol)

    def distrust_books(self) -> None:
        """Messages were lost: nothing is matched on a symbol until its next snapshot."""
        self.books.facts[:, TRUSTED] = 0

    def _take_updates(self) -> list[VenueUpdate]:
        updates, self._out = self._out, []
        return updates

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
            self._reject(command, Refusal(VenueCode.PARAMETER, "Not supported symbols"))
            return
        if command.client_order_id in self._memory.used_ids:
            self._reject(
                command, Refusal(VenueCode.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")
            )
            return
        if not self.books.is_trusted(self._index(command.symbol)):
            # Nobody knows what a matching engine held meanwhile: the order waits for the next snapshot.
            self._memory.waiting.setdefault(command.symbol, []).append(command)
            return
        if refusal := self._refusal(command, instrument):
            self._reject(command, refusal)
            return
        order = self._new_order(command)
        self._tell(order, VenueOrderStatus.ACKNOWLEDGED)
        if order.is_waiting_for_trigger:
            self._memory.orders[order.client_order_id] = order
            self._tell(order, VenueOrderStatus.NEW)
        else:
            self._enter_book(order)

    def _refusal(self, command: PlaceOrder, instrument: Instrument) -> Refusal | None:
        reference = command.price_ticks or command.trigger_ticks or self._reference_tick(instrument)
        account = self.account()
        margin = instrument.notional(reference, command.qty_lots) / Decimal(
            repr(self._config.sim_leverage)
        )
        taker = fee_usdt(instrument, reference, command.qty_lots, self._config.taker_fee_bps)
        trigger = self._trigger_price_1e9(command.symbol, command.trigger_by)
        return refusal_of(
            command,
            instrument,
            reference_tick=reference,
            trigger_tick=trigger // self._tick_1e9[command.symbol] if trigger else None,
            position_lots=self._memory.ledger.position(command.symbol).lots,
            available_usdt=account.available_usdt,
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
            limit = self._protection_tick(order)
        if order.reduce_only and not self._reducible_lots(order):
            self._end(order, "EC_ReduceOnly", "CancelByReduceOnly")
            return
        offers = self.books.takeable(self._index(order.symbol), 1 - order.book_side, limit)
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
            self._tell(order, VenueOrderStatus.NEW)

    def _take(self, order: SimOrder, offers: list[tuple[int, int]]) -> None:
        for tick, lots in offers:
            filled = min(lots, self._fillable_lots(order))
            if filled <= 0:
                return
            self.books.take(self._index(order.symbol), 1 - order.book_side, tick, filled)
            self._fill(order, tick, filled, is_maker=False)

    def _join_queue(self, order: SimOrder) -> None:
        assert order.price_ticks is not None
        order.queue_ahead_lots = self.books.displayed(
            self._index(order.symbol), order.book_side, order.price_ticks
        )

    # -- amending and cancelling --------------------------------------------------------------------

    def _amend(self, command: AmendOrder) -> None:
        order = self._memory.orders.get(command.client_order_id)
        if order is None:
            self._refuse(
                command, VenueCode.ORDER_NOT_FOUND, "order not exists or too late to replace"
            )
            return
        price = order.price_ticks if command.price_ticks is None else command.price_ticks
        qty = order.qty_lots if command.qty_lots is None else command.qty_lots
        trigger = order.trigger_ticks if command.trigger_ticks is None else command.trigger_ticks
        if (price, qty, trigger) == (order.price_ticks, order.qty_lots, order.trigger_ticks):
            self._refuse(command, VenueCode.PARAMETER, "The order remains unchanged")
        elif qty <= order.filled_lots:
            self._refuse(
                command, VenueCode.QTY_NOT_ABOVE_FILLED, "new quantity not above the filled"
            )
        elif refusal := self._amend_refusal(order, price, qty, trigger):
            self._refuse(command, refusal.code, refusal.reason)
        else:
            self._apply_amend(order, price, qty, trigger)

    def _amend_refusal(
        self, order: SimOrder, price: int | None, qty: int, trigger: int | None
    ) -> Refusal | None:
        instrument = self._instruments[order.symbol]
        current = self._trigger_price_1e9(order.symbol, order.trigger_by)
        probe = PlaceOrder(
            client_order_id=order.client_order_id, symbol=order.symbol, side=order.side,
            type=order.type, time_in_force=order.time_in_force, qty_lots=qty, decision_ts_ns=0,
            price_ticks=price, trigger_ticks=trigger, trigger_by=order.trigger_by,
            reduce_only=order.reduce_only, close_on_trigger=order.close_on_trigger,
        )  # fmt: skip
        return refusal_of(
            probe,
            instrument,
            reference_tick=price or trigger or self._reference_tick(instrument),
            trigger_tick=(current // self._tick_1e9[order.symbol])
            if current and order.is_waiting_for_trigger
            else None,
            position_lots=self._memory.ledger.position(order.symbol).lots,
            available_usdt=self.account().available_usdt,
            margin_usdt=Decimal(0),
        )

    def _apply_amend(
        self, order: SimOrder, price: int | None, qty: int, trigger: int | None
    ) -> None:
        loses_queue = price != order.price_ticks or qty > order.qty_lots
        order.price_ticks, order.qty_lots, order.trigger_ticks = price, qty, trigger
        if order.is_waiting_for_trigger or not loses_queue:
            self._tell(order, self._live_status(order))
            return
        self._memory.orders_made += 1
        order.arrival = self._memory.orders_made
        del self._memory.orders[order.client_order_id]
        revision, fills = order.revision, order.fills
        self._enter_book(order)
        if order.fills == fills and order.revision == revision:  # rested with fills from before
            self._tell(order, self._live_status(order))

    def _cancel(self, command: CancelOrder) -> None:
        waiting = self._memory.waiting.get(command.symbol, [])
        for place in waiting:
            if place.client_order_id == command.client_order_id:
                waiting.remove(place)
                self._end(self._new_order(place), "EC_PerCancelRequest", "CancelByUser")
                return
        order = self._memory.orders.get(command.client_order_id)
        if order is None:
            self._refuse(
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
            available = lots if through > 0 else self._advance_queue(order, lots, hits_us)
            filled = min(available, lots, self._fillable_lots(order))
            if filled > 0:
                lots -= filled
                self._fill(order, order.price_ticks, filled, is_maker=True)

    @staticmethod
    def _advance_queue(order: SimOrder, lots: int, hits_us: bool) -> int:
        if order.queue_ahead_lots is None or not hits_us:
            return 0
        ahead = order.queue_ahead_lots
        order.queue_ahead_lots = max(ahead - lots, 0)
        return max(lots - ahead, 0)

    def _on_book(self, symbol: str, index: int) -> None:
        if self.books.is_trusted(index) and symbol in self._memory.waiting:
            for command in self._memory.waiting.pop(symbol):
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
        for order in [o for o in self._of(symbol) if o.is_waiting_for_trigger]:
            price = self._trigger_price_1e9(symbol, order.trigger_by)
            trigger = self._trigger_1e9(order)
            if not price or order.client_order_id not in self._memory.orders:
                continue
            if price >= trigger if order.triggers_on_rise else price <= trigger:
                self._trigger(order)

    def _trigger(self, order: SimOrder) -> None:
        del self._memory.orders[order.client_order_id]
        order.is_waiting_for_trigger = False
        if order.close_on_trigger and order.qty_lots == 0:
            order.qty_lots = abs(self._memory.ledger.position(order.symbol).lots)
        self._tell(order, VenueOrderStatus.NEW)
        self._enter_book(order)

    # -- fills and ends ---------------------------------------------------------------------------------

    def _fill(self, order: SimOrder, tick: int, lots: int, *, is_maker: bool) -> None:
        instrument, now = self._instruments[order.symbol], self._memory.now_ns
        rate = self._config.maker_fee_bps if is_maker else self._config.taker_fee_bps
        fee = fee_usdt(instrument, tick, lots, rate)
        order.filled_lots += lots
        order.fills += 1
        self._memory.ledger.apply(order.symbol, order.side, tick, lots, fee)
        self._out.append(
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
                deliver_at_ns=now + self._latency_ns,
            )
        )
        if order.leaves_lots == 0:
            self._memory.orders.pop(order.client_order_id, None)
            self._tell(order, VenueOrderStatus.FILLED)
        else:
            self._tell(order, VenueOrderStatus.PARTIALLY_FILLED)
        self._drop_reduce_only(order.symbol)

    def _drop_reduce_only(self, symbol: str) -> None:
        """With nothing left to reduce, resting reduce-only orders and stops go by themselves."""
        for order in self._of(symbol):
            if order.reduce_only and not self._reducible_lots(order):
                self._end(order, "EC_NoError", "CancelByReduceOnly")

    def _end(self, order: SimOrder, reason: str, cancel_type: str = "") -> None:
        self._memory.orders.pop(order.client_order_id, None)
        text = f"{reason} {cancel_type}".strip()
        self._tell(order, VenueOrderStatus.CANCELED, reason=text)

    def _reject(self, command: PlaceOrder, refusal: Refusal) -> None:
        now = self._memory.now_ns
        self._out.append(
            OrderUpdated(
                client_order_id=command.client_order_id,
                exchange_order_id="",
                symbol=command.symbol,
                status=VenueOrderStatus.REJECTED,
                revision=1,
                qty_lots=command.qty_lots,
                filled_lots=0,
                venue_ts_ns=now,
                deliver_at_ns=now + self._latency_ns,
                price_ticks=command.price_ticks,
                trigger_ticks=command.trigger_ticks,
                code=refusal.code,
                reason=f"{refusal.code} {refusal.reason}",
            )
        )

    def _refuse(self, command: AmendOrder | CancelOrder, code: int, reason: str) -> None:
        now = self._memory.now_ns
        self._out.append(
            CommandRefused(
                client_order_id=command.client_order_id,
                symbol=command.symbol,
                command="AMEND" if isinstance(command, AmendOrder) else "CANCEL",
                code=code,
                reason=f"{code} {reason}",
                venue_ts_ns=now,
                deliver_at_ns=now + self._latency_ns,
            )
        )

    def _tell(self, order: SimOrder, status: VenueOrderStatus, reason: str = "") -> None:
        now = self._memory.now_ns
        order.revision += 1
        self._out.append(
            OrderUpdated(
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
                symbol=order.symbol,
                status=status,
                revision=order.revision,
                qty_lots=order.qty_lots,
                filled_lots=order.filled_lots,
                venue_ts_ns=now,
                deliver_at_ns=now + self._latency_ns,
                price_ticks=order.price_ticks,
                trigger_ticks=order.trigger_ticks,
                triggered=order.type.is_conditional and order.rests,
                reason=reason,
            )
        )

    @staticmethod
    def _live_status(order: SimOrder) -> VenueOrderStatus:
        return VenueOrderStatus.PARTIALLY_FILLED if order.filled_lots else VenueOrderStatus.NEW

    # -- prices and limits ------------------------------------------------------------------------------

    def _index(self, symbol: str) -> int:
        return self._indices[symbol]

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

    def _reference_tick(self, instrument: Instrument) -> int:
        """Last price, or the middle of the book, or 0 when nothing is known."""
        index = self._index(instrument.symbol)
        if last := int(self.books.facts[index, LAST_TICK]):
            return last
        bid, ask = self.books.best(index, BID), self.books.best(index, ASK)
        return (bid + ask) // 2 if bid and ask else bid or ask or 0

    def _protection_tick(self, order: SimOrder) -> int:
        reference = self._reference_tick(self._instruments[order.symbol])
        return reference + int(reference * self._config.sim_price_band_bps / 1e4) * order.side.sign

    def _trigger_price_1e9(self, symbol: str, by: TriggerBy) -> int:
        """Where a recording has no mark or index price, the last price stands in; 0 = unknown."""
        facts = self.books.facts[self._index(symbol)]
        if by is TriggerBy.MARK and facts[MARK_1E9]:
            return int(facts[MARK_1E9])
        if by is TriggerBy.INDEX and facts[INDEX_1E9]:
            return int(facts[INDEX_1E9])
        return int(facts[LAST_TICK]) * self._tick_1e9[symbol]

    def _trigger_1e9(self, order: SimOrder) -> int:
        return (order.trigger_ticks or 0) * self._tick_1e9[order.symbol]

    def mark_usdt(self, symbol: str) -> Decimal:
        """Mark price, or what stands in for it."""
        price = self._trigger_price_1e9(symbol, TriggerBy.MARK)
        instrument = self._instruments[symbol]
        if price:
            return Decimal(price).scaleb(-9)
        return instrument.ticks_to_price(self._reference_tick(instrument))

    def _watch(self, symbol: str) -> None:
        """Tell the kernel which prices of this symbol concern us."""
        if symbol not in self._instruments:
            return
        index, orders = self._index(symbol), self._of(symbol)
        self.books.watch_nothing(index)
        if not orders and symbol not in self._memory.waiting:
            return
        row = self.books.watch[index]
        hidden = any(o.rests and o.queue_ahead_lots is None for o in orders)
        row[EVERY_BOOK] = int(hidden or symbol in self._memory.waiting)
        for order in orders:
            if order.is_waiting_for_trigger:
                self._watch_trigger(index, order)
            elif order.side is OrderSide.BUY:
                row[BUY_TICK] = max(row[BUY_TICK], order.price_ticks or 0)
            else:
                row[SELL_TICK] = min(row[SELL_TICK], order.price_ticks or _FAR)

    def _watch_trigger(self, index: int, order: SimOrder) -> None:
        row, facts, trigger = (
            self.books.watch[index],
            self.books.facts[index],
            order.trigger_ticks or 0,
        )
        rise, fall, value = LAST_RISE, LAST_FALL, trigger
        if order.trigger_by is TriggerBy.MARK:
            # The first mark price ever seen must wake us: until then the last price stands in.
            rise, fall, value = MARK_RISE, MARK_FALL, self._trigger_1e9(order)
        elif order.trigger_by is TriggerBy.INDEX:
            rise, fall, value = INDEX_RISE, INDEX_FALL, self._trigger_1e9(order)
        known = {MARK_RISE: MARK_1E9, INDEX_RISE: INDEX_1E9}.get(rise)
        if known is not None and not facts[known]:
            row[rise] = 1
            rise, fall, value = LAST_RISE, LAST_FALL, trigger
        if order.triggers_on_rise:
            row[rise] = min(row[rise], value)
        else:
            row[fall] = max(row[fall], value)

    # -- account and memory -------------------------------------------------------------------------------

    def account(self) -> SimulatedAccount:
        memory, leverage = self._memory, Decimal(repr(self._config.sim_leverage))
        positions = memory.ledger.positions
        marks = {s: self.mark_usdt(s) for s, p in positions.items() if p.lots}
        equity = memory.ledger.equity_usdt(self._instruments, marks)
        locked = sum(
            (
                self._instruments[s].lots_to_qty(abs(positions[s].lots)) * mark
                for s, mark in marks.items()
            ),
            Decimal(0),
        )
        for order in memory.orders.values():
            if order.rests and not order.reduce_only and order.price_ticks is not None:
                locked += self._instruments[order.symbol].notional(
                    order.price_ticks, order.leaves_lots
                )
        return SimulatedAccount(
            equity_usdt=equity, available_usdt=equity - locked / leverage, positions=positions
        )

    def open_orders(self) -> tuple[str, ...]:
        """Ids of all orders that live at the venue or are on their way to it."""
        ways = (p.command for p in self._memory.pending if isinstance(p.command, PlaceOrder))
        waiting = (c for commands in self._memory.waiting.values() for c in commands)
        return (*self._memory.orders, *(c.client_order_id for c in (*ways, *waiting)))

    def state(self, *, with_books: bool = True) -> bytes:
        """Everything, or everything but the books (small, for a write per step)."""
        books = self.books.state() if with_books else None
        return msgspec.msgpack.encode(_Stored(memory=self._memory, books=books))

    def restore(self, state: bytes) -> None:
        """Inverse of `state`; a state without books leaves the books as they are."""
        stored = msgspec.msgpack.decode(state, type=_Stored)
        self._memory = stored.memory
        if stored.books is not None and self.books.fits(stored.books):
            self.books.restore(stored.books)
        for symbol in self._instruments:
            self._watch(symbol)


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
