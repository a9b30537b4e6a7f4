"""Carries trades through: what the venue says of their orders, and what they need done next."""

from __future__ import annotations

import msgspec

from execution.domain.identity import client_order_id
from execution.domain.orders import Order, OrderState, OrderTransition
from execution.domain.outputs import RecordRow
from execution.domain.records import fill_record, position_record, price, quantity, trade_record
from execution.domain.strays import (
    LATE_FILL,
    bust_parts,
    foreign_trade,
    part_of,
)
from execution.domain.trade import (
    CLOSE,
    ENTRY,
    LIQUIDATED,
    LIQUIDATION,
    STOP,
    Action,
    Amend,
    ManagedTrade,
    Place,
    exit_reason,
    tp_leg,
)
from execution.domain.trade_manager import (
    begin_close,
    is_over,
    on_stop_refused,
    plan_actions,
)
from execution.domain.trade_scene import note_amended, note_attempt, note_refused_amend
from execution.domain.venue import (
    AmendOrder,
    CancelOrder,
    CommandRefused,
    ExecType,
    FundingPaid,
    OrderFilled,
    OrderUpdated,
    SetLeverage,
    VenueCode,
    VenueCommand,
    VenueOrderStatus,
)
from execution.domain.workspace import Workspace
from failover.domain.days import iso_ms
from strategy.domain.messages import EventType, ExecutionEvent
from strategy.domain.risk import AccountRisk, forces_close

_WRONG_SIDE = frozenset({VenueCode.TRIGGER_NOT_ABOVE, VenueCode.TRIGGER_NOT_BELOW})
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


class TradeRunner:
    """Runs the trades of a workspace."""

    def __init__(self, work: Workspace) -> None:
        self._work = work

    def on_update(
        self, order: Order, update: OrderUpdated, looked_ns: int | None, now: int
    ) -> None:
        """`looked_ns`: the last look at the trade of its symbol, None where it is due for another."""
        work = self._work
        before = (order.state, order.qty_lots, order.price_ticks, order.trigger_ticks)
        says_anything = order.amending or bool(update.reason) or update.code != VenueCode.OK
        order.on_update(update)
        if update.status is not VenueOrderStatus.ACKNOWLEDGED:
            order.amending = False
        after = (order.state, order.qty_lots, order.price_ticks, order.trigger_ticks)
        changed = before != after
        if changed and work.records:
            work.log(_LOG_KIND.get(update.status, "UPDATE"), order, now)
            work.show_order(order, now)
        work.quality.on_update(order, update, work.quotes.get(order.symbol), now)
        trade = self._trade_of(order)
        if trade is None:
            return
        if looked_ns == now and not (changed or says_anything or trade.is_stray):
            work.settled[order.symbol] = now  # looked at since its fill, which said all this
            return
        if before[1:] != after[1:]:
            note_amended(trade, order.leg)
        if order.leg == STOP and order.qty_lots > before[1] and trade.unprotected_since_ns:
            trade.unprotected_since_ns = now  # it follows a position that grows: wait anew
        if order.leg == STOP and update.code in _WRONG_SIDE and trade.position_lots > 0:
            begin_close(trade, "STOP_LOSS")  # the price is through the stop already
        has_moved = order.state is not before[0]
        if order.leg == ENTRY and order.state is OrderState.CANCELED and not trade.entered_lots:
            self.manage(trade, now)  # may put the entry once more: then this was no end
            if has_moved and trade.orders[ENTRY] == order.client_order_id:
                self._state_news(trade, order, now)
            return
        if has_moved:
            self._state_news(trade, order, now)
        self.manage(trade, now)

    def on_refused(self, order: Order, update: CommandRefused, now: int) -> None:
        order.amending = False
        if update.code != VenueCode.ORDER_NOT_FOUND:
            order.canceling = False
        order.last_error = update.reason
        self._work.log("RESULT", order, now, command=update.command)
        trade = self._trade_of(order)
        if trade is None:
            return
        if order.leg == STOP and update.code in _WRONG_SIDE:
            on_stop_refused(trade, self._work.scene(trade, now))
        elif update.command == "AMEND" and update.code != VenueCode.ORDER_NOT_FOUND:
            self._note_refused_amend(trade, order, now)
        self.manage(trade, now)

    def _note_refused_amend(self, trade: ManagedTrade, order: Order, now: int) -> None:
        config = self._work.config_for(order.symbol)
        if note_refused_amend(trade, order.leg, now, config) and order.leg != ENTRY:
            text = f"change of {order.leg} refused ({order.last_error}): asked for ever more slowly"
            self._work.alert(order.symbol, text, now, trade)

    def on_fill(self, order: Order, fill: OrderFilled, now: int) -> None:
        if not order.on_fill(fill):
            return
        self._work.quality.on_fill(order, fill, self._work.quotes.get(order.symbol), now)
        instrument = self._work.instruments[order.symbol]
        self._log_fill(order, fill, now)
        self._work.news.append(RecordRow(fill_record(fill, order, instrument)))
        self._work.show_order(order, now)
        trade = self._trade_of(order) or self._take_up(order, now)
        if trade is None:
            self.undo(foreign_trade(fill), fill, now)
            return
        beyond = fill.qty_lots - max(trade.position_lots, 0)
        if order.leg == CLOSE and not order.reduce_only and beyond > 0:
            self._on_overshoot(trade, order, fill, beyond, now)
            return
        is_first = trade.entered_lots == 0
        trade.on_fill(order.leg, fill)
        self._state_news(trade, order, now, fill)
        if is_first and order.leg == ENTRY and not trade.is_stray:
            self._work.event(
                EventType.EXECUTION_POSITION_OPENED, trade.plan.symbol, now, "", trade, order
            )
        self.manage(trade, now)

    def _on_overshoot(
        self, trade: ManagedTrade, order: Order, fill: OrderFilled, beyond: int, now: int
    ) -> None:
        """A close that need not reduce sold more than was left: that opened a position, undone as well."""
        if beyond < fill.qty_lots:
            trade.on_fill(order.leg, part_of(fill, fill.qty_lots - beyond))
        self.manage(trade, now)
        opened = part_of(fill, beyond)
        self.undo(foreign_trade(opened), opened, now)

    def _log_fill(self, order: Order, fill: OrderFilled, now: int) -> None:
        if not self._work.records:
            return
        instrument = self._work.instruments[order.symbol]
        self._work.log(
            "FILL",
            order,
            now,
            execId=fill.exec_id,
            fillTs=iso_ms(fill.venue_ts_ns),
            fillPrice=price(instrument, fill.price_ticks),
            fillQty=quantity(instrument, fill.qty_lots),
            fee=float(fill.fee_usdt),
            isMaker=fill.is_maker,
        )

    def on_foreign_fill(self, fill: OrderFilled, now: int) -> None:
        """A fill of no order that we know: the venue took our position over, or a trade long ended."""
        if not self._work.is_new_execution(fill.exec_id):
            return
        self._work.log_fill(fill, now)
        if fill.exec_type is not ExecType.BUST:
            self.undo(foreign_trade(fill), fill, now)
        else:
            self._on_bust(fill, now)

    def _on_bust(self, bust: OrderFilled, now: int) -> None:
        """The venue took the position over, whoever of us held it."""
        parts = bust_parts(bust, self._work.held(bust.symbol))
        for trade, part in parts:
            begin_close(trade, LIQUIDATED)
            trade.on_fill(LIQUIDATION, part)
        for trade, _ in parts:  # when all are booked: what one needs depends on the others
            self.manage(trade, now)
        left = bust.qty_lots - sum(part.qty_lots for _, part in parts)
        if left > 0:
            self._work.alert(bust.symbol, f"{left} lots liquidated that are not held", now)

    def use_leverage(self, trade: ManagedTrade, now: int) -> None:
        """Tell the venue the leverage of the plan, if it is another than it was told last."""
        state, symbol, leverage = self._work.state, trade.plan.symbol, trade.plan.leverage
        if state.leverage.get(symbol) == leverage:
            return
        state.leverage[symbol] = leverage
        prefix = self._work.config.client_order_id_prefix
        command = SetLeverage(
            client_order_id=client_order_id(prefix, trade.request_id, "LEVERAGE", 1),
            symbol=symbol,
            decision_ts_ns=now,
            leverage=leverage,
        )
        self._work.log_event("SET_LEVERAGE", now, symbol=symbol, leverage=leverage)
        self._work.commands.append(command)

    def on_leverage_refused(self, update: CommandRefused, now: int) -> None:
        """The plan was judged at another leverage than the venue gives: nothing of it may stay.

        The entry is on its way already: what of it fills, now or later, is closed again.
        """
        if update.code == VenueCode.LEVERAGE_UNCHANGED:
            return
        self._work.state.leverage.pop(update.symbol, None)
        trade = self._work.state.trades.get(update.symbol)
        self._work.alert(update.symbol, f"leverage refused: {update.reason}", now, trade)
        if trade is not None:
            begin_close(trade, "LEVERAGE_REFUSED")
            self.manage(trade, now)

    def on_funding(self, paid: FundingPaid, now: int) -> None:
        """Funding of a position: part of its trade's result."""
        if not self._work.is_new_execution(paid.exec_id):
            return
        trade = self._work.state.trades.get(paid.symbol)
        if trade is not None:
            trade.funding_usdt += paid.fee_usdt
        else:  # its trade ended while the news was on its way
            self._work.state.book.on_cost(paid.fee_usdt, now)
        self._work.log_event(
            "FUNDING",
            now,
            symbol=paid.symbol,
            execId=paid.exec_id,
            fee=float(paid.fee_usdt),
            rate=float(paid.rate),
        )

    def undo(self, trade: ManagedTrade, fill: OrderFilled, now: int) -> None:
        """Take up a fill that nobody expected, and close what it opened."""
        self._work.alert(
            trade.plan.symbol,
            f"{trade.entry_reason}, {fill.qty_lots} lots: it is closed again",
            now,
        )
        self._work.state.strays[trade.plan.plan_id] = trade
        trade.on_fill(ENTRY, fill)
        self.manage(trade, now)

    def manage(self, trade: ManagedTrade, now: int) -> None:
        """Do what the trade needs, show it when it changed, and end it when it is over."""
        work = self._work
        scene = work.scene(trade, now)
        actions = plan_actions(trade, scene)
        for text in scene.alerts:
            work.alert(trade.plan.symbol, text, now, trade)
        for action in actions:
            self.do(trade, action, now)
        if not trade.is_stray:  # a stray says nothing of when the symbol's own trade was looked at
            work.settled[trade.plan.symbol] = now
            if work.records and trade.entered_lots:
                self._show_position(trade, now)
        if trade.entered_lots <= trade.exited_lots and is_over(trade, work.state.orders):
            self._finish(trade, now)

    def do(self, trade: ManagedTrade, action: Action, now: int) -> None:
        if isinstance(action, Place):
            self._place(trade, action, now)
            return
        work = self._work
        order = work.state.orders[action.client_order_id]
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
            self._log_amend(order, action, now)
        else:
            order.canceling = True
            command = CancelOrder(
                client_order_id=order.client_order_id, symbol=order.symbol, decision_ts_ns=now
            )
            if work.records:
                work.log("INTENT", order, now, command="CANCEL", reason=action.reason)
        work.commands.append(command)

    def _log_amend(self, order: Order, wish: Amend, now: int) -> None:
        if not self._work.records:
            return
        instrument = self._work.instruments[order.symbol]
        wanted = {
            "qty": quantity(instrument, wish.qty_lots) if wish.qty_lots else None,
            "price": price(instrument, wish.price_ticks),
            "triggerPrice": price(instrument, wish.trigger_ticks),
        }
        self._work.log("INTENT", order, now, command="AMEND", wanted=wanted)

    def enforce_limits(self, now: int) -> AccountRisk | None:
        """The account-wide stop: execution alone forces everything closed.

        Returns the account as it was found, unless it had to act on it or had nothing to look at.
        """
        self._work.state.book.roll_hour(now)
        if not self._work.state.trades:
            return None
        account = self._work.account(now)
        if not forces_close(account, self._work.limits):
            return account
        for trade in tuple(self._work.state.trades.values()):
            begin_close(trade, "RISK_FORCE_CLOSE")
            self.manage(trade, now)
        return None

    def forget_ended_before(self, instant_ns: int) -> None:
        """Ended trades are kept for late fills, not for ever."""
        for plan_id, (ended_ns, _) in list(self._work.state.finished.items()):
            if ended_ns <= instant_ns:
                self._forget(plan_id)

    def _forget(self, plan_id: str) -> None:
        del self._work.state.finished[plan_id]
        for identity in [i for i, o in self._work.state.orders.items() if o.plan_id == plan_id]:
            del self._work.state.orders[identity]

    def order_news(self, trade: ManagedTrade, leg: str, reason: str, now: int) -> None:
        order = self._work.state.orders[trade.orders[leg]]
        order.last_error = reason
        self._work.show_order(order, now)

    def _trade_of(self, order: Order) -> ManagedTrade | None:
        state = self._work.state
        trade = state.trades.get(order.symbol)
        if trade is not None and trade.plan.plan_id == order.plan_id:
            return trade
        return state.strays.get(order.plan_id) if state.strays else None

    def _take_up(self, order: Order, now: int) -> ManagedTrade | None:
        """A fill after the end of its trade: the trade goes on, to be closed.

        Where the symbol has a new trade meanwhile, the old one is closed beside it.
        """
        state = self._work.state
        ended = state.finished.pop(order.plan_id, None)
        if ended is None:
            return None
        trade = ended[1]
        begin_close(trade, LATE_FILL)
        trade.is_stray = self._work.is_busy(order.symbol)
        (state.strays if trade.is_stray else state.trades)[
            order.plan_id if trade.is_stray else order.symbol
        ] = trade
        if trade.is_stray:
            self._work.alert(order.symbol, f"late fill of {order.leg} of {order.plan_id}", now)
        return trade

    def _place(self, trade: ManagedTrade, wish: Place, now: int) -> None:
        work, symbol, orders = self._work, trade.plan.symbol, self._work.state.orders
        before = orders.get(trade.orders.get(wish.leg, ""))
        attempt = note_attempt(trade, wish.leg, before, now, work.config_for(symbol))
        order = Order(
            client_order_id=client_order_id(
                work.config.client_order_id_prefix, trade.request_id, wish.leg, attempt
            ),
            symbol=symbol,
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
            config_version=work.version or trade.config_version,
        )
        orders[order.client_order_id] = order
        trade.orders[wish.leg] = order.client_order_id
        work.quality.on_placed(order, work.quotes.get(symbol), work.version)
        if work.records:
            plan = {"plan": msgspec.to_builtins(trade.plan)} if wish.leg == ENTRY else {}
            work.log("INTENT", order, now, command="PLACE", **plan)
        work.commands.append(order.as_command())
        order.move(OrderTransition.SEND)
        if work.records:
            work.sent.append(work.line("SENT", order, now))
            work.show_order(order, now)

    def _finish(self, trade: ManagedTrade, now: int) -> None:
        state, symbol = self._work.state, trade.plan.symbol
        if trade.is_stray:
            state.strays.pop(trade.plan.plan_id, None)
        else:
            state.trades.pop(symbol, None)
            self._work.shown.pop(symbol, None)
        state.finished[trade.plan.plan_id] = (now, trade)
        self._work.quality.on_trade_over(symbol, trade.plan.plan_id, now)
        if not trade.entered_lots:
            return
        instrument = self._work.instruments[symbol]
        realized = trade.realized_usdt(instrument)
        state.book.on_closed(realized - trade.booked_usdt, now, self._work.limits)
        trade.booked_usdt = realized
        row = trade_record(trade, instrument, self._work.mode, now)
        self._work.log_event("TRADE_CLOSED", now, symbol=symbol, trade=row)
        self._work.news.append(RecordRow(row))
        if trade.is_stray:
            return
        liquidated = trade.last_exit_leg == LIQUIDATION
        self._work.news.append(
            ExecutionEvent(
                type=EventType.POSITION_CLOSED_BY_EXCHANGE
                if liquidated
                else EventType.EXECUTION_POSITION_CLOSED,
                symbol=symbol,
                ts_ns=now,
                request_id=trade.request_id,
                plan_id=trade.plan.plan_id,
                leg=trade.last_exit_leg,
                qty_lots=trade.entered_lots,
                avg_fill_price_ticks=trade.average_exit_ticks,
                realized_pnl=float(realized),
                reason=exit_reason(trade, instrument),
            )
        )

    def _state_news(
        self, trade: ManagedTrade, order: Order, now: int, fill: OrderFilled | None = None
    ) -> None:
        kind = _EVENT_OF.get(order.state)
        if kind is None or trade.is_stray:
            return  # of a stray the strategy knows nothing
        if fill is None and order.state in (OrderState.PARTIALLY_FILLED, OrderState.FILLED):
            return  # the executions tell it, with prices
        if order.leg == ENTRY and order.last_error == "" and trade.plan_end_reason:
            order.last_error = trade.plan_end_reason
        reason = trade.plan_end_reason if order.leg == ENTRY else ""
        self._work.event(
            kind, trade.plan.symbol, now, reason or order.last_error, trade, order, fill
        )

    def _show_position(self, trade: ManagedTrade, now: int) -> None:
        """A row when anything in it has changed; whether it has is far cheaper to see than the row."""
        orders = self._work.state.orders
        face = (
            trade.plan.plan_id,
            trade.entered_lots,
            trade.exited_lots,
            trade.entry_tick_lots,
            trade.stop_ticks,
            trade.break_even_moved,
            trade.trailing_active,
            *(
                (
                    trade.orders.get(leg),
                    trade.tp_filled_lots.get(leg),
                    trade.order_of(leg, orders) is None,
                )
                for leg in map(tp_leg, range(1, len(trade.plan.take_profits) + 1))
            ),
        )
        if self._work.shown.get(trade.plan.symbol) != face:
            self._work.shown[trade.plan.symbol] = face
            instrument = self._work.instruments[trade.plan.symbol]
            self._work.news.append(RecordRow(position_record(trade, orders, instrument, now)))
