"""Order requests of the strategy: guarded, then turned into trades; refused ones are answered."""

from __future__ import annotations

import msgspec

from execution.domain.exposure import (
    least_lots,
    least_value,
    planned_exposure,
    planned_lots,
)
from execution.domain.guards import GuardContext, GuardedOrder, SafetyResult, validate_order_request
from execution.domain.identity import client_order_id
from execution.domain.orders import Order, OrderState
from execution.domain.recent_ids import RecentIds
from execution.domain.trade import CLOSE, ENTRY, ManagedTrade
from execution.domain.trade_entry import entry_order
from execution.domain.trade_manager import begin_close
from execution.domain.trade_runner import TradeRunner
from execution.domain.venue import OrderSide, OrderType, TimeInForce
from execution.domain.workspace import Workspace
from market.domain.instruments import Instrument
from strategy.domain.messages import (
    EventType,
    ExecutionEvent,
    OrderRequest,
    RepriceHint,
    Side,
    TradePlan,
)
from strategy.domain.plan_ladder import liquidation_refusals
from strategy.domain.risk import AccountRisk, EntryRisk, assess, entry_refusals, funding_refusals

_REQUESTS_KEPT = 512


class RequestDesk:
    """Takes the strategy's wishes; the same `request_id` (and action) is carried out once."""

    def __init__(self, work: Workspace, trades: TradeRunner) -> None:
        self._work = work
        self._trades = trades
        self._known = RecentIds(_REQUESTS_KEPT)

    def hint(self, hint: RepriceHint, now: int) -> None:
        """The signal of a pending entry still holds, or has faded."""
        trade = self._work.state.trades.get(hint.symbol)
        if trade is not None and trade.request_id == hint.request_id:
            trade.signal_holds = hint.signal_holds
            self._trades.manage(trade, now)

    def request(self, request: OrderRequest, now: int) -> None:
        """Open, close or cancel; everything else is refused."""
        state, key = self._work.state, f"{request.action}:{request.request_id}"
        if self._known.has(state.request_ids, key):
            return
        self._known.add(state.request_ids, key)
        if request.action == "OPEN":
            self._open(request, now)
        elif request.action in ("CLOSE", "CANCEL_ENTRY"):
            self._close_or_cancel(request, now)
        else:
            self._refuse_request(request, (f"UNKNOWN_ACTION {request.action[:20]}",), now)

    def _open(self, request: OrderRequest, now: int) -> None:
        plan, instrument = request.plan, self._work.instruments.get(request.symbol)
        if instrument is None or plan is None or plan.symbol != request.symbol:
            self._refuse_request(request, ("UNKNOWN_SYMBOL" if not instrument else "NO_PLAN",), now)
            return
        account = self._work.account(now)
        result = self._guard(request, plan, account, now)
        refusals = (
            *result.reasons,
            *self._risk_refusals(plan, result.qty_lots, instrument, account),
        )
        if refusals:
            self._refuse_request(request, refusals, now)
            return
        quote = self._work.quotes.get(request.symbol)
        trade = ManagedTrade(
            request_id=request.request_id,
            plan=plan,
            qty_lots=result.qty_lots,
            decision_ts_ns=request.decision_ts_ns,
            entry_deadline_ns=now
            + min(plan.entry.timeout_ms, self._work.config_for(request.symbol).order_timeout_ms)
            * 1_000_000,
            source=request.source,
            entry_reason=request.reason,
            decision_mid_ticks=quote.mid_ticks if quote else 0.0,
            last_reprice_ns=now,
            stop_ticks=plan.stop.price_ticks,
            config_version=request.config_version,
            min_lots=least_lots(instrument),
            min_value=least_value(instrument),
        )
        self._work.state.trades[request.symbol] = trade
        self._work.state.book.on_entry(now)
        self._trades.use_leverage(trade, now)
        self._work.quality.on_entry(request.symbol, plan.plan_id, now)
        self._trades.do(trade, entry_order(trade, plan.entry.price_ticks), now)
        self._work.settled[request.symbol] = now
        if result.warnings:
            self._trades.order_news(trade, ENTRY, ",".join(result.warnings), now)

    def _risk_refusals(
        self, plan: TradePlan, qty_lots: int, instrument: Instrument, account: AccountRisk
    ) -> list[str]:
        """The strategy's own rules a second time, for the whole account, each order at its worst."""
        work, limits = self._work, self._work.limits
        if qty_lots <= 0:
            return []
        quote, own = work.quotes.get(plan.symbol), work.limits_for(plan.symbol)
        reference = float(plan.entry.price_ticks or (quote.mid_ticks if quote else 0.0))
        entry = EntryRisk(
            planned_exposure(plan, qty_lots, reference, instrument, own), plan.leverage
        )
        found = entry_refusals(entry, account, limits, own)
        refusals = [f"{code}: {words}" for code, words in found]
        worst, most = planned_lots(plan, qty_lots), work.most_lots[plan.symbol]
        if worst > most:  # no single stop could protect it
            refusals.append(f"RISK_STOP_SIZE: {worst} lots at worst, one stop carries {most}")
        if plan.leverage > instrument.max_leverage:  # by then the entry would be on its way
            largest = instrument.max_leverage
            refusals.append(f"RISK_LEVERAGE: {plan.leverage:g}x (the venue gives {largest:g}x)")
        if quote is not None:
            rate, seconds = quote.funding_rate, quote.seconds_to_funding
            refusals += [
                f"RISK_FUNDING: {words}"
                for words in funding_refusals(plan.side, rate, seconds, own)
            ]
        if plan.dca_levels:
            refusals += [
                f"RISK_LIQUIDATION: {words}"
                for words in liquidation_refusals(plan, instrument, own)
            ]
        return refusals

    def _guard(
        self, request: OrderRequest, plan: TradePlan, account: AccountRisk, now: int
    ) -> SafetyResult:
        state, risk = self._work.state, assess(account, self._work.limits)
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
                quote=self._work.quotes.get(request.symbol),
                flags=risk.flags,
                risk_reasons=risk.reasons,
                safe_mode_reasons=tuple(state.book.safe_mode),
                trading_enabled=state.book.trading_enabled,
                open_orders=sum(1 for order in state.orders.values() if order.is_live),
                symbol_is_busy=self._work.is_busy(request.symbol)
                or request.symbol in state.position_doubts,
                quality_is_blocked=self._work.quality.refuses(request.symbol, now),
                quality_qty_pct=self._work.quality.entry_qty_pct(request.symbol, now),
                daily_loss_near_limit=-risk.daily_pnl
                >= 0.8 * self._work.limits.daily_loss_limit_pct / 100 * max(risk.equity, 1.0),
            ),
            self._work.instruments[request.symbol],
            self._work.config_for(request.symbol),
        )

    def _refuse_request(self, request: OrderRequest, reasons: tuple[str, ...], now: int) -> None:
        """A refused request leaves an order that never was: REJECTED, with every reason."""
        leg, text = (ENTRY if request.action == "OPEN" else CLOSE), ",".join(reasons)
        plan, instrument = request.plan, self._work.instruments.get(request.symbol)
        self._work.note_error(f"{request.symbol[:20]}: {text}", now)
        event = ExecutionEvent(
            type=EventType.EXECUTION_ORDER_REJECTED,
            symbol=request.symbol,
            ts_ns=now,
            request_id=request.request_id,
            plan_id=plan.plan_id if plan else "",
            leg=leg,
            status="REJECTED",
            position_lots=self._work.signed_position(request.symbol),
            reason=text,
        )
        if instrument is not None:
            order = self._refused_order(request, leg, text, now)
            self._work.log("RESULT", order, now)
            self._work.show_order(order, now)
        # Phase 10 knows two words for this: §8.2 the rejection, which moves the symbol, and §5 the error,
        # which is for whoever watches; `status` tells it from an error that stops the symbol.
        self._work.news += [
            event,
            msgspec.structs.replace(event, type=EventType.EXECUTION_ERROR),
        ]

    def _refused_order(self, request: OrderRequest, leg: str, text: str, now: int) -> Order:
        plan = request.plan
        buys = (request.side is Side.LONG) == (leg == ENTRY)
        is_market = plan is None or plan.entry.type == "MARKET" or leg == CLOSE
        return Order(
            client_order_id=client_order_id(
                self._work.config.client_order_id_prefix, request.request_id, leg, 1
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
        trade = self._work.state.trades.get(request.symbol)
        if trade is None:
            self._refuse_request(request, ("NO_POSITION",), now)
            return
        if request.action == "CLOSE":
            begin_close(trade, request.reason or "CLOSE_REQUEST")
        else:
            trade.signal_holds = False
            trade.plan_end_reason = request.reason or "CANCEL_REQUEST"
        self._trades.manage(trade, now)
