"""The execution core: requests, venue updates, quotes, time and operators in; outputs in order out.

Pure: a function of its state and what comes in. Every method returns what is to be done, in this order:
order log lines (on disk before the rest), venue commands, SENT lines, then news and rows. All that must
survive a crash is in one `CoreState`, written out by `state()` and read back by `restore()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from execution.domain.account import AccountBook, account_risk, assess_account, open_result_usdt
from execution.domain.config import ExecutionConfig
from execution.domain.guards import GuardContext, GuardedOrder, SafetyResult, validate_order_request
from execution.domain.identity import client_order_id
from execution.domain.operator import OperatorAction, OperatorCommand, OperatorResult
from execution.domain.orders import PUBLIC_STATUS, Order, OrderState, OrderTransition
from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow
from execution.domain.records import (
    Row,
    fill_record,
    order_record,
    position_record,
    price,
    quantity,
    tpsl_record,
    trade_record,
)
from execution.domain.trade import (
    CLOSE,
    ENTRY,
    STOP,
    Action,
    Amend,
    ManagedTrade,
    Place,
    Quote,
    TradePhase,
    exit_reason,
)
from execution.domain.trade_manager import (
    begin_close,
    entry_order,
    is_over,
    note_attempt,
    on_stop_refused,
    plan_actions,
)
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    OrderFilled,
    OrderSide,
    OrderType,
    OrderUpdated,
    TimeInForce,
    VenueCode,
    VenueCommand,
    VenueUpdate,
)
from failover.domain.days import iso_ms
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    ExecutionSnapshot,
    OrderRequest,
    PositionView,
    RepriceHint,
    RiskSnapshot,
    Side,
)

_SECOND_NS = 1_000_000_000
_REQUESTS_KEPT = 512
_FINISHED_KEPT_NS = 60 * _SECOND_NS
_WRONG_SIDE = frozenset({VenueCode.TRIGGER_NOT_ABOVE, VenueCode.TRIGGER_NOT_BELOW})
_OPERATOR_REASONS = ("PANIC", "OPERATOR")


class CoreState(msgspec.Struct, kw_only=True):
    """Everything a restart must bring back. `finished` trades wait a minute for late fills."""

    book: AccountBook
    now_ns: int = 0
    log_seq: int = 0
    epoch: int = 1
    orders: dict[str, Order] = {}
    trades: dict[str, ManagedTrade] = {}
    finished: dict[str, tuple[int, ManagedTrade]] = {}  # plan id -> (end, trade)
    request_ids: list[str] = []
    command_ids: list[str] = []
    requests_stream_id: str = "0-0"
    last_snapshot_ns: int = 0
    last_error_at_ns: int = 0
    last_error: str = ""


class ExecutionCore:
    """One account. `run_id` names this process's life; it goes into snapshots, not into ids."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: ExecutionConfig,
        mode: str,
        run_id: str,
        limits: RiskConfig | None = None,
    ) -> None:
        self.config = config
        self.mode = mode
        self.run_id = run_id
        self.limits = limits or RiskConfig(
            maker_fee_bps=config.maker_fee_bps, taker_fee_bps=config.taker_fee_bps
        )
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._names = [instrument.symbol for instrument in instruments]
        self._tick = [float(instrument.tick_size) for instrument in instruments]
        self.quotes: dict[str, Quote] = {}
        deposit = Decimal(repr(config.sim_balance_usdt))
        self._state = CoreState(book=AccountBook(deposit_usdt=deposit))
        self._lines: list[LogLine] = []
        self._commands: list[ExecutionOutput] = []
        self._sent: list[LogLine] = []
        self._news: list[ExecutionOutput] = []
        self._shown: dict[str, Row] = {}

    # -- inputs -----------------------------------------------------------------------------------------

    def on_request(
        self, request: OrderRequest | RepriceHint, now_ns: int, stream_id: str = ""
    ) -> list[ExecutionOutput]:
        """A wish of the strategy; the same `request_id` (and action) is carried out once."""
        now = self._tick_clock(now_ns)
        if stream_id:
            self._state.requests_stream_id = stream_id
        if isinstance(request, RepriceHint):
            trade = self._state.trades.get(request.symbol)
            if trade is not None and trade.request_id == request.request_id:
                trade.signal_holds = request.signal_holds
                self._manage(trade, now)
            return self._take()
        key = f"{request.action}:{request.request_id}"
        if key in self._state.request_ids:
            return self._take()
        self._state.request_ids = [*self._state.request_ids[-_REQUESTS_KEPT:], key]
        if request.action == "OPEN":
            self._open(request, now)
        elif request.action in ("CLOSE", "CANCEL_ENTRY"):
            self._close_or_cancel(request, now)
        else:
            self._refuse_request(request, (f"UNKNOWN_ACTION {request.action[:20]}",), now)
        return self._take()

    def on_venue(self, update: VenueUpdate, now_ns: int) -> list[ExecutionOutput]:
        """News of one of our orders; anything heard before changes nothing."""
        now = self._tick_clock(now_ns)
        order = self._state.orders.get(update.client_order_id)
        if order is None:
            self._note_error(f"update of unknown order {update.client_order_id}", now)
        elif isinstance(update, OrderFilled):
            self._on_fill(order, update, now)
        elif isinstance(update, OrderUpdated):
            self._on_update(order, update, now)
        else:
            self._on_refused(order, update, now)
        return self._take()

    def on_quotes(self, frames: Frames) -> list[ExecutionOutput]:
        """Frames in emission order: the touch of each symbol, and time."""
        symbols, active = frames["symbol"], self._state.trades
        if not active:
            for column in np.unique(symbols):
                self._quote(frames[np.flatnonzero(symbols == column)[-1]])
            return []
        for row in frames:
            quote = self._quote(row)
            if (trade := active.get(quote.symbol)) is not None:
                self._manage(trade, self._tick_clock(quote.ts_ns))
        return self._take()

    def on_timer(self, now_ns: int) -> list[ExecutionOutput]:
        """Time alone: time-outs, the UTC day, forced close, a snapshot every second."""
        now = self._tick_clock(now_ns)
        state = self._state
        for trade in list(state.trades.values()):
            self._manage(trade, now)
        for plan_id, (ended_ns, trade) in list(state.finished.items()):
            if now - ended_ns > _FINISHED_KEPT_NS:
                self._forget(plan_id, trade)
        if now - state.last_snapshot_ns >= _SECOND_NS:
            state.last_snapshot_ns = now
            self._enforce_limits(now)
            self._news.append(self.snapshot(now))
        return self._take()

    def on_operator(self, command: OperatorCommand, now_ns: int) -> list[ExecutionOutput]:
        """Carry out, or refuse with a reason; the same `command_id` is carried out once."""
        now = self._tick_clock(now_ns)
        if command.command_id in self._state.command_ids:
            return self._take()
        self._state.command_ids = [*self._state.command_ids[-_REQUESTS_KEPT:], command.command_id]
        result = self._operate(command, now)
        self._log_event(
            "OPERATOR_COMMAND",
            now,
            symbol=command.symbol,
            source="MANUAL",
            action=command.action.value,
            actor=command.actor,
            reason=command.reason,
            ok=result.ok,
            message=result.message,
        )
        row = {"record": "OPERATOR_RESULT", **msgspec.to_builtins(result), "timestamp": iso_ms(now)}
        self._news.append(RecordRow(row))
        return self._take()

    def set_safe_mode(self, reason: str, text: str, now_ns: int) -> list[ExecutionOutput]:
        """The host found a cause (a full disk, a lost feed): entries stop until it is cleared."""
        self._safe_mode_on(reason, text, self._tick_clock(now_ns))
        return self._take()

    def clear_safe_mode(self, reason: str, now_ns: int) -> list[ExecutionOutput]:
        """The cause is proven gone."""
        if self._state.book.safe_mode.pop(reason, None) is not None:
            kind = EventType.SAFE_MODE_ON if self._state.book.safe_mode else EventType.SAFE_MODE_OFF
            self._event(kind, "", self._tick_clock(now_ns), f"{reason} is over")
        return self._take()

    # -- state and views -------------------------------------------------------------------------------

    @property
    def book(self) -> AccountBook:
        return self._state.book

    @property
    def trades(self) -> dict[str, ManagedTrade]:
        return self._state.trades

    @property
    def orders(self) -> dict[str, Order]:
        return self._state.orders

    @property
    def requests_stream_id(self) -> str:
        return self._state.requests_stream_id

    @property
    def log_seq(self) -> int:
        return self._state.log_seq

    def state(self) -> bytes:
        return msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes, *, new_epoch: bool = True) -> None:
        """Take up where `state` was written; a new epoch marks the lines of the new process."""
        self._state = msgspec.msgpack.decode(state, type=CoreState)
        if new_epoch:
            self._state.epoch += 1
        self._state.last_snapshot_ns = 0

    def risk(self, now_ns: int) -> RiskSnapshot:
        """The account against its limits, as execution sees it."""
        state = self._state
        account = account_risk(
            state.book, state.trades.values(), self.quotes, self.instruments, self.limits, now_ns
        )
        return assess_account(account, self.limits)

    def snapshot(self, now_ns: int) -> ExecutionSnapshot:
        """All that execution holds (see `ExecutionSnapshot`)."""
        state, book = self._state, self._state.book
        risk = self.risk(now_ns)
        held = [t for t in state.trades.values() if t.position_lots > 0]
        return ExecutionSnapshot(
            ts_ns=now_ns,
            execution_run=self.run_id,
            requests_stream_id=state.requests_stream_id,
            equity=risk.equity,
            available=risk.available,
            realized_pnl_today=float(book.realized_today_usdt),
            equity_peak=book.equity_peak_usdt,
            positions=tuple(self._position_view(trade) for trade in held),
            pending_entries={
                t.symbol: t.request_id for t in state.trades.values() if t.position_lots <= 0
            },
            safe_mode_reasons=tuple(book.safe_mode),
            trading_enabled=book.trading_enabled,
            losses_in_row=book.losses_in_row,
            trades_this_hour=book.trades_this_hour(now_ns),
        )

    def execution_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/execution_snapshot.json` (phase 10 §10); pending = sent but not yet at rest."""
        live = [order for order in self._state.orders.values() if order.is_live]
        resting = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
        at, book = self._state.last_error_at_ns, self._state.book
        return {
            "timestamp": iso_ms(now_ns),
            "mode": self.mode,
            "safeMode": bool(book.safe_mode),
            "safeModeReasons": list(book.safe_mode),
            "tradingEnabled": book.trading_enabled,
            "pendingOrdersCount": sum(1 for o in live if o.state not in resting),
            "activeOrdersCount": sum(1 for o in live if o.state in resting),
            "openPositionsCount": sum(
                1 for t in self._state.trades.values() if t.position_lots > 0
            ),
            "lastErrorAt": iso_ms(at) if at else None,
            "lastErrorMessage": self._state.last_error or None,
            "schemaVersion": 1,
        }

    def tpsl_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/tpsl_snapshot.json` (records.md)."""
        held = [t for t in self._state.trades.values() if t.position_lots > 0]
        rows = [tpsl_record(t, self._state.orders, self.instruments[t.symbol]) for t in held]
        return {"timestamp": iso_ms(now_ns), "trades": rows, "schemaVersion": 1}

    def open_order_rows(self, now_ns: int) -> list[Row]:
        """Every live order as an ORDER row."""
        live = (o for o in self._state.orders.values() if o.is_live)
        return [self._order_row(order, now_ns) for order in live]

    def _position_view(self, trade: ManagedTrade) -> PositionView:
        instrument, entry = self.instruments[trade.symbol], trade.average_entry_ticks
        stop = trade.order_of(STOP, self._state.orders)
        _, unrealized = open_result_usdt(trade, self.quotes.get(trade.symbol), instrument)
        return PositionView(
            symbol=trade.symbol,
            side=trade.plan.side,
            qty_lots=trade.position_lots,
            avg_entry_ticks=entry,
            plan_id=trade.plan.plan_id,
            request_id=trade.request_id,
            stop_ticks=stop.trigger_ticks if stop else None,
            open_risk=trade.open_risk_usdt(instrument, self.config.taker_fee_bps),
            unrealized_pnl=unrealized,
            opened_ts_ns=trade.opened_ts_ns,
            mfe_bps=max(trade.gain_ticks(trade.best_ticks), 0.0) / entry * 1e4,
            mae_bps=min(trade.gain_ticks(trade.worst_ticks), 0.0) / entry * 1e4,
        )

    # -- requests ----------------------------------------------------------------------------------------

    def _open(self, request: OrderRequest, now: int) -> None:
        plan, instrument = request.plan, self.instruments.get(request.symbol)
        if instrument is None or plan is None or plan.symbol != request.symbol:
            self._refuse_request(request, ("UNKNOWN_SYMBOL" if not instrument else "NO_PLAN",), now)
            return
        result = self._guard(request, now)
        if not result.ok:
            self._refuse_request(request, result.reasons, now)
            return
        quote = self.quotes.get(request.symbol)
        trade = ManagedTrade(
            request_id=request.request_id,
            plan=plan,
            qty_lots=result.qty_lots,
            decision_ts_ns=request.decision_ts_ns,
            entry_deadline_ns=now
            + min(plan.entry.timeout_ms, self.config.order_timeout_ms) * 1_000_000,
            source=request.source,
            entry_reason=request.reason,
            decision_mid_ticks=quote.mid_ticks if quote else 0.0,
            last_reprice_ns=now,
            stop_ticks=plan.stop.price_ticks,
        )
        self._state.trades[request.symbol] = trade
        self._state.book.on_entry(now)
        self._do(trade, entry_order(trade, plan.entry.price_ticks), now)
        if result.warnings:
            self._order_news(trade, ENTRY, ",".join(result.warnings), now)

    def _guard(self, request: OrderRequest, now: int) -> SafetyResult:
        plan, state = request.plan, self._state
        assert plan is not None
        risk = self.risk(now)
        is_market = plan.entry.type == "MARKET"
        return validate_order_request(
            GuardedOrder(
                symbol=request.symbol,
                side=plan.side,
                qty_lots=plan.qty_lots,
                price_ticks=None if is_market else plan.entry.price_ticks,
                reduce_only=False,
                valid_until_ns=request.valid_until_ns,
                regime=request.regime,
                global_regime=request.global_regime,
            ),
            GuardContext(
                now_ns=now,
                quote=self.quotes.get(request.symbol),
                flags=risk.flags,
                risk_reasons=risk.reasons,
                safe_mode_reasons=tuple(state.book.safe_mode),
                trading_enabled=state.book.trading_enabled,
                open_orders=sum(1 for order in state.orders.values() if order.is_live),
                symbol_is_busy=request.symbol in state.trades,
                daily_loss_near_limit=-risk.daily_pnl
                >= 0.8 * self.limits.daily_loss_limit_pct / 100 * max(risk.equity, 1.0),
            ),
            self.instruments[request.symbol],
            self.config,
        )

    def _refuse_request(self, request: OrderRequest, reasons: tuple[str, ...], now: int) -> None:
        """A refused request leaves an order that never was: REJECTED, with every reason."""
        leg, text = (ENTRY if request.action == "OPEN" else CLOSE), ",".join(reasons)
        plan, instrument = request.plan, self.instruments.get(request.symbol)
        self._note_error(f"{request.symbol[:20]}: {text}", now)
        event = ExecutionEvent(
            type=EventType.EXECUTION_ORDER_REJECTED,
            symbol=request.symbol,
            ts_ns=now,
            request_id=request.request_id,
            plan_id=plan.plan_id if plan else "",
            leg=leg,
            status="REJECTED",
            position_lots=self._signed_position(request.symbol),
            reason=text,
        )
        if instrument is not None:
            order = self._refused_order(request, leg, text, now)
            self._log("RESULT", order, now)
            self._news.append(RecordRow(self._order_row(order, now)))
        self._news.append(event)

    def _refused_order(self, request: OrderRequest, leg: str, text: str, now: int) -> Order:
        plan = request.plan
        buys = (request.side is Side.LONG) == (leg == ENTRY)
        is_market = plan is None or plan.entry.type == "MARKET" or leg == CLOSE
        return Order(
            client_order_id=client_order_id(
                self.config.client_order_id_prefix, request.request_id, leg, 1
            ),
            symbol=request.symbol,
            side=OrderSide.BUY if buys else OrderSide.SELL,
            type=OrderType.MARKET if is_market else OrderType.LIMIT,
            time_in_force=TimeInForce.IOC if is_market else TimeInForce.POST_ONLY,
            qty_lots=plan.qty_lots if plan else 0,
            price_ticks=None if is_market or plan is None else plan.entry.price_ticks,
            request_id=request.request_id,
            plan_id=plan.plan_id if plan else "",
            leg=leg,
            attempt=1,
            source=request.source,
            decision_ts_ns=request.decision_ts_ns,
            updated_ts_ns=now,
            state=OrderState.REJECTED,
            last_error=text,
            reduce_only=leg == CLOSE,
        )

    def _close_or_cancel(self, request: OrderRequest, now: int) -> None:
        trade = self._state.trades.get(request.symbol)
        if trade is None:
            self._refuse_request(request, ("NO_POSITION",), now)
            return
        if request.action == "CLOSE":
            begin_close(trade, request.reason or "CLOSE_REQUEST")
        else:
            trade.signal_holds = False
            trade.plan_end_reason = request.reason or "CANCEL_REQUEST"
        self._manage(trade, now)

    # -- operators -----------------------------------------------------------------------------------------

    def _operate(self, command: OperatorCommand, now: int) -> OperatorResult:
        action, state = command.action, self._state
        if not command.reason.strip():
            return self._answer(command, now, ok=False, message="a reason is required")
        if command.symbol and command.symbol not in self.instruments:
            return self._answer(
                command, now, ok=False, message=f"unknown symbol {command.symbol[:20]}"
            )
        if action in (OperatorAction.PANIC_CLOSE_ALL, OperatorAction.PANIC_CLOSE_SYMBOL):
            return self._panic(command, now)
        if action is OperatorAction.CANCEL_ORDERS:
            return self._cancel_entries(command, now)
        if action is OperatorAction.SAFE_MODE_ON:
            self._safe_mode_on("OPERATOR", command.reason, now)
            return self._answer(command, now, ok=True, message="safe mode is on")
        if action is OperatorAction.SAFE_MODE_OFF:
            return self._safe_mode_off(command, now)
        state.book.trading_enabled = action is OperatorAction.TRADING_ON
        word = "enabled" if state.book.trading_enabled else "disabled"
        return self._answer(command, now, ok=True, message=f"trading is {word}")

    def _panic(self, command: OperatorCommand, now: int) -> OperatorResult:
        """Close first: safe mode never stops a closing order."""
        if command.action is OperatorAction.PANIC_CLOSE_SYMBOL and not command.symbol:
            return self._answer(command, now, ok=False, message="which symbol?")
        wanted = [command.symbol] if command.symbol else list(self._state.trades)
        trades = [self._state.trades[s] for s in wanted if s in self._state.trades]
        positions = sum(1 for t in trades if t.position_lots > 0)
        entries = sum(1 for t in trades if t.order_of(ENTRY, self._state.orders))
        for trade in trades:
            begin_close(trade, "PANIC")
            self._manage(trade, now)
            self._event(EventType.PANIC_CLOSE_TRIGGERED, trade.symbol, now, command.reason, trade)
        if not trades:
            self._event(EventType.PANIC_CLOSE_TRIGGERED, command.symbol, now, command.reason)
        self._safe_mode_on("PANIC", command.reason, now)
        text = (
            f"closing {positions} position(s), cancelling {entries} entry order(s); safe mode is on"
        )
        return self._answer(
            command,
            now,
            ok=True,
            message=text,
            closing_positions=positions,
            cancelled_orders=entries,
        )

    def _cancel_entries(self, command: OperatorCommand, now: int) -> OperatorResult:
        """Entries only: a stop or take-profit belongs to its position and would come back."""
        count = 0
        for trade in list(self._state.trades.values()):
            entry = trade.order_of(ENTRY, self._state.orders)
            if (
                entry is None
                or (command.symbol and trade.symbol != command.symbol)
                or command.side not in ("BOTH", trade.plan.side.value)
            ):
                continue
            trade.signal_holds, trade.plan_end_reason = False, "OPERATOR_CANCEL"
            self._manage(trade, now)
            count += 1
        text = f"cancelling {count} entry order(s)"
        return self._answer(command, now, ok=True, message=text, cancelled_orders=count)

    def _safe_mode_on(self, reason: str, text: str, now: int) -> None:
        if reason not in self._state.book.safe_mode:
            self._state.book.safe_mode[reason] = now
            self._event(EventType.SAFE_MODE_ON, "", now, f"{reason}: {text}")

    def _safe_mode_off(self, command: OperatorCommand, now: int) -> OperatorResult:
        book = self._state.book
        for reason in _OPERATOR_REASONS:
            book.safe_mode.pop(reason, None)
        if book.safe_mode:
            left = ", ".join(book.safe_mode)
            return self._answer(command, now, ok=False, message=f"safe mode stays on: {left}")
        self._event(EventType.SAFE_MODE_OFF, "", now, command.reason)
        return self._answer(command, now, ok=True, message="safe mode is off")

    @staticmethod
    def _answer(
        command: OperatorCommand, now: int, *, ok: bool, message: str, **counts: int
    ) -> OperatorResult:
        return OperatorResult(
            command_id=command.command_id,
            action=command.action,
            ok=ok,
            message=message,
            ts_ns=now,
            **counts,
        )

    # -- venue updates ---------------------------------------------------------------------------------------

    def _on_update(self, order: Order, update: OrderUpdated, now: int) -> None:
        before = (order.state, order.qty_lots, order.price_ticks, order.trigger_ticks)
        order.on_update(update)
        if update.status != "ACKNOWLEDGED":
            order.amending = False
        changed = before != (order.state, order.qty_lots, order.price_ticks, order.trigger_ticks)
        if changed:
            self._log(_LOG_KIND.get(update.status.value, "UPDATE"), order, now)
            self._news.append(RecordRow(self._order_row(order, now)))
        trade = self._trade_of(order)
        if trade is None:
            return
        if order.leg == STOP and update.code in _WRONG_SIDE and trade.position_lots > 0:
            begin_close(trade, "STOP_LOSS")  # the price is through the stop already
        has_moved = order.state is not before[0]
        if order.leg == ENTRY and order.state is OrderState.CANCELED and not trade.entered_lots:
            self._manage(trade, now)  # may put the entry once more: then this was no end
            if has_moved and trade.orders[ENTRY] == order.client_order_id:
                self._state_news(trade, order, now)
            return
        if has_moved:
            self._state_news(trade, order, now)
        self._manage(trade, now)

    def _on_refused(self, order: Order, update: CommandRefused, now: int) -> None:
        order.amending = False
        if update.code != VenueCode.ORDER_NOT_FOUND:
            order.canceling = False
        order.last_error = update.reason
        self._log("RESULT", order, now, command=update.command)
        trade = self._trade_of(order)
        if trade is None:
            return
        if order.leg == STOP and update.code in _WRONG_SIDE:
            on_stop_refused(trade, self.quotes.get(trade.symbol), now)
        self._manage(trade, now)

    def _on_fill(self, order: Order, fill: OrderFilled, now: int) -> None:
        if not order.on_fill(fill):
            return
        instrument = self.instruments[order.symbol]
        self._log(
            "FILL",
            order,
            now,
            execId=fill.exec_id,
            fillPrice=price(instrument, fill.price_ticks),
            fillQty=quantity(instrument, fill.qty_lots),
            fee=float(fill.fee_usdt),
            isMaker=fill.is_maker,
        )
        self._news.append(RecordRow(fill_record(fill, order, instrument)))
        self._news.append(RecordRow(self._order_row(order, now)))
        trade = self._trade_of(order) or self._reopen(order)
        if trade is None:
            self._note_error(f"fill of order {order.client_order_id} without a trade", now)
            return
        is_first = trade.entered_lots == 0
        trade.on_fill(order.leg, fill)
        self._state_news(trade, order, now, fill)
        if is_first and order.leg == ENTRY:
            self._event(EventType.EXECUTION_POSITION_OPENED, trade.symbol, now, "", trade, order)
        self._manage(trade, now)

    def _trade_of(self, order: Order) -> ManagedTrade | None:
        trade = self._state.trades.get(order.symbol)
        return trade if trade is not None and trade.plan.plan_id == order.plan_id else None

    def _reopen(self, order: Order) -> ManagedTrade | None:
        """A fill after the end of its trade: take the trade up again and unwind it."""
        ended = self._state.finished.pop(order.plan_id, None)
        if ended is None or order.symbol in self._state.trades:
            return None
        trade = ended[1]
        trade.reported_closed = False
        begin_close(trade, "LATE_FILL")
        self._state.trades[order.symbol] = trade
        return trade

    # -- managing trades -------------------------------------------------------------------------------------

    def _manage(self, trade: ManagedTrade, now: int) -> None:
        """Do what the trade needs, show it when it changed, and end it when it is over."""
        for action in plan_actions(
            trade, self._state.orders, self.quotes.get(trade.symbol), now, self.config
        ):
            self._do(trade, action, now)
        if trade.entered_lots:
            self._show_position(trade, now)
        if is_over(trade, self._state.orders):
            self._finish(trade, now)

    def _do(self, trade: ManagedTrade, action: Action, now: int) -> None:
        if isinstance(action, Place):
            self._place(trade, action, now)
            return
        order = self._state.orders[action.client_order_id]
        command: VenueCommand
        if isinstance(action, Amend):
            order.amending = True
            command = AmendOrder(
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                decision_ts_ns=now,
                qty_lots=action.qty_lots,
                price_ticks=action.price_ticks,
                trigger_ticks=action.trigger_ticks,
            )
            instrument = self.instruments[order.symbol]
            wanted = {
                "qty": quantity(instrument, action.qty_lots) if action.qty_lots else None,
                "price": price(instrument, action.price_ticks),
                "triggerPrice": price(instrument, action.trigger_ticks),
            }
            self._log("INTENT", order, now, command="AMEND", wanted=wanted)
        else:
            order.canceling = True
            command = CancelOrder(
                client_order_id=order.client_order_id, symbol=order.symbol, decision_ts_ns=now
            )
            self._log("INTENT", order, now, command="CANCEL", reason=action.reason)
        self._commands.append(command)

    def _place(self, trade: ManagedTrade, wish: Place, now: int) -> None:
        attempt = note_attempt(trade, wish.leg, now)
        order = Order(
            client_order_id=client_order_id(
                self.config.client_order_id_prefix, trade.request_id, wish.leg, attempt
            ),
            symbol=trade.symbol,
            side=wish.side,
            type=wish.type,
            time_in_force=wish.time_in_force,
            qty_lots=wish.qty_lots,
            price_ticks=wish.price_ticks,
            trigger_ticks=wish.trigger_ticks,
            trigger_by=wish.trigger_by,
            reduce_only=wish.reduce_only,
            close_on_trigger=wish.close_on_trigger,
            request_id=trade.request_id,
            plan_id=trade.plan.plan_id,
            leg=wish.leg,
            attempt=attempt,
            source=trade.source if wish.leg == ENTRY else "TPSL_ENGINE",
            decision_ts_ns=now,
            updated_ts_ns=now,
        )
        self._state.orders[order.client_order_id] = order
        trade.orders[wish.leg] = order.client_order_id
        extra: dict[str, Any] = {"command": "PLACE"}
        if wish.leg == ENTRY:
            extra["plan"] = msgspec.to_builtins(trade.plan)
        self._log("INTENT", order, now, **extra)
        self._commands.append(order.as_command())
        order.move(OrderTransition.SEND)
        self._sent.append(self._line("SENT", order, now))
        self._news.append(RecordRow(self._order_row(order, now)))

    def _finish(self, trade: ManagedTrade, now: int) -> None:
        state, symbol = self._state, trade.symbol
        state.trades.pop(symbol, None)
        state.finished[trade.plan.plan_id] = (now, trade)
        self._shown.pop(symbol, None)
        if not trade.entered_lots:
            return
        instrument = self.instruments[symbol]
        realized = trade.realized_usdt(instrument)
        state.book.on_closed(realized, now, self.limits)
        row = trade_record(trade, instrument, self.mode, now)
        self._log_event("TRADE_CLOSED", now, symbol=symbol, trade=row)
        self._news.append(RecordRow(row))
        self._news.append(
            ExecutionEvent(
                type=EventType.EXECUTION_POSITION_CLOSED,
                symbol=symbol,
                ts_ns=now,
                request_id=trade.request_id,
                plan_id=trade.plan.plan_id,
                leg=trade.last_exit_leg,
                qty_lots=trade.entered_lots,
                avg_fill_price_ticks=trade.average_exit_ticks,
                realized_pnl=float(realized),
                reason=exit_reason(trade),
            )
        )

    def _forget(self, plan_id: str, trade: ManagedTrade) -> None:
        del self._state.finished[plan_id]
        for identity in [i for i, o in self._state.orders.items() if o.plan_id == plan_id]:
            del self._state.orders[identity]

    def _enforce_limits(self, now: int) -> None:
        """The account-wide stop: execution alone forces everything closed."""
        self._state.book.roll_day(now)
        if not self._state.trades:
            return
        if self.risk(now).flags.risk_force_close_all:
            for trade in list(self._state.trades.values()):
                begin_close(trade, "RISK_FORCE_CLOSE")
                self._manage(trade, now)

    # -- news ------------------------------------------------------------------------------------------------

    def _state_news(
        self, trade: ManagedTrade, order: Order, now: int, fill: OrderFilled | None = None
    ) -> None:
        kind = _EVENT_OF.get(order.state)
        if fill is None and order.state in (OrderState.PARTIALLY_FILLED, OrderState.FILLED):
            return  # the executions tell it, with prices
        if kind is None:
            return
        if order.leg == ENTRY and order.last_error == "" and trade.plan_end_reason:
            order.last_error = trade.plan_end_reason
        reason = trade.plan_end_reason if order.leg == ENTRY else ""
        self._event(kind, trade.symbol, now, reason or order.last_error, trade, order, fill)

    def _order_news(self, trade: ManagedTrade, leg: str, reason: str, now: int) -> None:
        order = self._state.orders[trade.orders[leg]]
        order.last_error = reason
        self._news.append(RecordRow(self._order_row(order, now)))

    def _event(
        self,
        kind: EventType,
        symbol: str,
        now: int,
        reason: str,
        trade: ManagedTrade | None = None,
        order: Order | None = None,
        fill: OrderFilled | None = None,
    ) -> None:
        shown_price = fill.price_ticks if fill else order.price_ticks if order else None
        self._news.append(
            ExecutionEvent(
                type=kind,
                symbol=symbol,
                ts_ns=now,
                request_id=trade.request_id if trade else "",
                plan_id=trade.plan.plan_id if trade else "",
                client_order_id=order.client_order_id if order else "",
                leg=order.leg if order else "",
                side=order.side.value if order else "",
                qty_lots=order.qty_lots if order else 0,
                price_ticks=shown_price,
                filled_lots=order.filled_lots if order else 0,
                avg_fill_price_ticks=order.average_ticks if order else None,
                status=PUBLIC_STATUS[order.state] if order else "",
                position_lots=self._signed_position(symbol),
                reason=reason,
            )
        )

    def _show_position(self, trade: ManagedTrade, now: int) -> None:
        row = position_record(trade, self._state.orders, self.instruments[trade.symbol], now)
        shown = {**row, "timestamp": ""}
        if self._shown.get(trade.symbol) != shown:
            self._shown[trade.symbol] = shown
            self._news.append(RecordRow(row))

    def _order_row(self, order: Order, now: int) -> Row:
        record = order_record(order, self.instruments[order.symbol], self.mode, now)
        return {"record": "ORDER", **record}

    def _signed_position(self, symbol: str) -> int:
        trade = self._state.trades.get(symbol)
        return trade.position_lots * trade.plan.side.sign if trade else 0

    # -- small things ------------------------------------------------------------------------------------------

    def _quote(self, row: np.void) -> Quote:
        column = int(row["symbol"])
        mark = float(row["mark_price"])
        quote = Quote(
            symbol=self._names[column],
            ts_ns=int(row["ts_ns"]),
            bid_ticks=int(row["bid_tick"]),
            ask_ticks=int(row["ask_tick"]),
            book_state=int(row["book_state"]),
            spread_bps=float(row["spread_bps"]),
            mark_ticks=mark / self._tick[column] if mark == mark else None,
        )
        self.quotes[quote.symbol] = quote
        return quote

    def _tick_clock(self, now_ns: int) -> int:
        """Core time never runs backwards, whichever source spoke last."""
        self._state.now_ns = max(self._state.now_ns, now_ns)
        return self._state.now_ns

    def _line(self, kind: str, order: Order, now: int, **extra: Any) -> LogLine:
        record = order_record(order, self.instruments[order.symbol], self.mode, now)
        head = {"kind": kind, "seq": 0, "epoch": self._state.epoch}  # numbered when handed over
        return LogLine({**head, **record, **extra})

    def _log(self, kind: str, order: Order, now: int, **extra: Any) -> None:
        self._lines.append(self._line(kind, order, now, **extra))

    def _log_event(self, event: str, now: int, **fields: Any) -> None:
        """A RESULT line that is not about one order."""
        head = {"kind": "RESULT", "seq": 0, "epoch": self._state.epoch}
        common = {"timestamp": iso_ms(now), "event": event, "mode": self.mode, "schemaVersion": 1}
        self._lines.append(LogLine({**head, **common, **fields}))

    def _note_error(self, text: str, now: int) -> None:
        self._state.last_error_at_ns, self._state.last_error = now, text[:300]

    def _take(self) -> list[ExecutionOutput]:
        for line in (*self._lines, *self._sent):
            self._state.log_seq += 1
            line.record["seq"] = self._state.log_seq
        outputs = [*self._lines, *self._commands, *self._sent, *self._news]
        self._lines, self._commands, self._sent, self._news = [], [], [], []
        return outputs


_LOG_KIND = {
    "ACKNOWLEDGED": "ACK",
    "CANCELED": "CANCEL",
    "REJECTED": "RESULT",
    "EXPIRED": "CANCEL",
}
_EVENT_OF = {
    OrderState.OPEN: EventType.EXECUTION_ORDER_PLACED,
    OrderState.PARTIALLY_FILLED: EventType.EXECUTION_ORDER_PARTIALLY_FILLED,
    OrderState.FILLED: EventType.EXECUTION_ORDER_FILLED,
    OrderState.CANCELED: EventType.EXECUTION_ORDER_CANCELED,
    OrderState.EXPIRED: EventType.EXECUTION_ORDER_CANCELED,
    OrderState.REJECTED: EventType.EXECUTION_ORDER_REJECTED,
}
__all__ = ["CoreState", "ExecutionCore", "ExecutionOutput", "TradePhase"]
