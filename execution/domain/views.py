"""Pictures of what execution holds, for the strategy, the files of phases 10 and 12, and the screen."""

from __future__ import annotations

from collections.abc import Iterable

from execution.domain.orders import OrderState
from execution.domain.records import Row, order_snapshot, position_snapshot, tpsl_record
from execution.domain.trade import STOP, ManagedTrade
from execution.domain.workspace import Workspace
from failover.domain.days import iso_ms
from strategy.domain.messages import ExecutionSnapshot, ExposureView, PositionView
from strategy.domain.risk import AccountRisk


class Views:
    """Reads a workspace, never changes it."""

    def __init__(self, work: Workspace) -> None:
        self._work = work

    def snapshot(self, now_ns: int, account: AccountRisk | None = None) -> ExecutionSnapshot:
        """All that execution holds (see `ExecutionSnapshot`); `account` where it is known as of now."""
        state, book = self._work.state, self._work.state.book
        account = account or self._work.account(now_ns)
        trades = tuple(state.trades.values())
        held = [t for t in trades if t.entered_lots > t.exited_lots]
        return ExecutionSnapshot(
            ts_ns=now_ns,
            execution_run=self._work.run_id,
            requests_stream_id=state.requests_stream_id,
            equity=account.equity,
            available=account.available,
            realized_pnl_today=float(book.realized_today_usdt),
            equity_peak=book.equity_peak_usdt,
            positions=tuple([self._position_view(trade) for trade in held]) if held else (),
            pending_entries=_pending_entries(trades) if trades else {},
            safe_mode_reasons=tuple(book.safe_mode),
            trading_enabled=book.trading_enabled,
            losses_in_row=book.losses_in_row,
            trades_this_hour=account.trades_this_hour,
            paused_until_ns=book.paused_until_ns,
            day_open_equity=account.day_open_equity,
            exposures=_exposure_views(account) if account.exposures else (),
            quality=self._work.quality.views(now_ns),
        )

    def execution_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/execution_snapshot.json` (phase 10 §10); pending = sent but not yet at rest."""
        live = [order for order in self._work.state.orders.values() if order.is_live]
        resting = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
        at, book = self._work.state.last_error_at_ns, self._work.state.book
        return {
            "timestamp": iso_ms(now_ns),
            "mode": self._work.mode,
            "safeMode": bool(book.safe_mode),
            "safeModeReasons": list(book.safe_mode),
            "tradingEnabled": book.trading_enabled,
            "pendingOrdersCount": sum(1 for o in live if o.state not in resting),
            "activeOrdersCount": sum(1 for o in live if o.state in resting),
            "openPositionsCount": sum(
                1 for t in self._work.state.trades.values() if t.position_lots > 0
            ),
            "lastErrorAt": iso_ms(at) if at else None,
            "lastErrorMessage": self._work.state.last_error or None,
            "schemaVersion": 1,
        }

    def tpsl_snapshot_row(self, now_ns: int) -> Row:
        """`data/system/tpsl_snapshot.json` (records.md)."""
        held = [t for t in self._work.state.trades.values() if t.position_lots > 0]
        rows = [
            tpsl_record(t, self._work.state.orders, self._work.instruments[t.symbol]) for t in held
        ]
        return {"timestamp": iso_ms(now_ns), "trades": rows, "schemaVersion": 1}

    def position_snapshots(self) -> tuple[Row, ...]:
        """PositionSnapshot of each open position (phase 17 §3.1)."""
        held = [t for t in self._work.state.trades.values() if t.position_lots > 0]
        return tuple(
            position_snapshot(t, self._work.instruments[t.symbol], self._unrealized_usdt(t))
            for t in held
        )

    def order_snapshots(self) -> tuple[Row, ...]:
        """OrderSnapshot of each live order (phase 17 §3.1)."""
        live = [order for order in self._work.state.orders.values() if order.is_live]
        return tuple(order_snapshot(o, self._work.instruments[o.symbol]) for o in live)

    def _unrealized_usdt(self, trade: ManagedTrade) -> float:
        price_ticks = self._work.price_ticks(trade) or trade.average_entry_ticks
        return trade.unrealized_usdt(self._work.instruments[trade.plan.symbol], price_ticks)

    def open_order_rows(self, now_ns: int) -> list[Row]:
        """Every live order as an ORDER row."""
        live = (o for o in self._work.state.orders.values() if o.is_live)
        return [self._work.order_row(order, now_ns) for order in live]

    def _position_view(self, trade: ManagedTrade) -> PositionView:
        instrument, entry = self._work.instruments[trade.plan.symbol], trade.average_entry_ticks
        stop = trade.order_of(STOP, self._work.state.orders)
        return PositionView(
            symbol=trade.plan.symbol,
            side=trade.plan.side,
            qty_lots=trade.position_lots,
            avg_entry_ticks=entry,
            plan_id=trade.plan.plan_id,
            request_id=trade.request_id,
            stop_ticks=stop.trigger_ticks if stop else None,
            open_risk=trade.open_risk_usdt(instrument, self._work.limits_for(trade.plan.symbol)),
            unrealized_pnl=self._unrealized_usdt(trade),
            opened_ts_ns=trade.opened_ts_ns,
            mfe_bps=max(trade.gain_ticks(trade.best_ticks), 0.0) / entry * 1e4,
            mae_bps=min(trade.gain_ticks(trade.worst_ticks), 0.0) / entry * 1e4,
        )


def _pending_entries(trades: Iterable[ManagedTrade]) -> dict[str, str]:
    """By symbol, the requests of those that hold nothing."""
    return {t.symbol: t.request_id for t in trades if t.entered_lots <= t.exited_lots}


def _exposure_views(account: AccountRisk) -> tuple[ExposureView, ...]:
    views = [
        ExposureView(
            symbol=each.symbol,
            side=each.side,
            notional=each.notional_usdt,
            risk=each.risk_usdt,
            margin=each.margin_usdt,
        )
        for each in account.exposures
    ]
    return tuple(views)
