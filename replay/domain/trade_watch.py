"""A pipeline observer that keeps what a judgement needs, in memory that does not grow with the recording.

Closed trades with exact costs, equity and price curves of bounded length, sums. Everything else passes by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from execution.domain.outputs import ExecutionOutput, RecordRow
from execution.domain.venue import (
    AmendOrder,
    FundingPaid,
    OrderFilled,
    OrderUpdated,
    PlaceOrder,
    VenueUpdate,
)
from market.domain.frames import BookState, FrameReason, Frames
from market.domain.instruments import Instrument
from replay.domain.curves import Curve, CurvePoints, Drawdown, EquityCurve
from replay.domain.recent_frames import RecentFrames
from replay.domain.trade_results import (
    Costs,
    EntryContext,
    Fill,
    OpenPosition,
    TradeResult,
    costs_of,
)
from strategy.domain.messages import OrderRequest, StrategyOutput

Row = dict[str, Any]
_SECOND_NS = 1_000_000_000
_REMEMBERED = 4096  # requests and orders that came to nothing are forgotten after as many others
_ZERO = Decimal(0)
_BOUNDARY = int(FrameReason.BOUNDARY)


class _Plan(msgspec.Struct, kw_only=True):
    """Fills of one plan so far."""

    symbol: str
    costs: Costs = Costs()
    signed_lots: int = 0
    entry_tick_lots: int = 0
    entry_lots: int = 0
    filled_notional_usdt: Decimal = _ZERO
    first_ns: int = 0


class TradeWatch:
    """Watches one account; after the run: `trades`, `open_positions`, curves, totals."""

    def __init__(self, instruments: Sequence[Instrument], deposit_usdt: Decimal) -> None:
        self.trades: list[TradeResult] = []
        self.unexplained = 0  # closed trades whose own record says another result
        self.deposit_usdt = deposit_usdt
        self._instruments = {i.symbol: i for i in instruments}
        self._columns = {i.symbol: column for column, i in enumerate(instruments)}
        self._unit = {i.symbol: i.tick_size * i.qty_step for i in instruments}
        self._tick = [float(i.tick_size) for i in instruments]
        self._prices = [Curve() for _ in instruments]
        self._equity = EquityCurve(float(deposit_usdt))
        self._quotes = RecentFrames(instruments)
        self._unsettled: deque[int] = deque()  # instants whose equity is not noted yet
        self._last_second = -1
        self.first_ns = 0  # of the first and the newest frame
        self.last_ns = 0
        self._plans: dict[str, _Plan] = {}
        self._waiting: dict[str, OrderFilled] = {}  # execution id -> fill not yet given to a plan
        self._decided: dict[str, Decimal | None] = {}  # order id -> mid at the decision, ticks
        self._triggers: dict[str, Decimal] = {}  # order id -> trigger price as the venue holds it
        self._contexts: dict[str, EntryContext] = {}  # request id -> market at the request
        self._closed = Costs()

    # -- what the pipeline tells ----------------------------------------------------------------------

    def on_frames(self, frames: Frames) -> None:
        """A stretch of frames, ahead of what is decided at them."""
        if not frames.size:
            return
        self._settle(int(frames["ts_ns"][0]))
        self._quotes.add(frames)
        self.first_ns = self.first_ns or int(frames["ts_ns"][0])
        self.last_ns = int(frames["ts_ns"][-1])
        self._unsettled += self._sampled(frames)

    def on_strategy(self, outputs: Sequence[StrategyOutput], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, OrderRequest) and output.action == "OPEN":
                self._contexts[output.request_id] = self._context(output, now_ns)
                _forget_oldest(self._contexts)

    def on_execution(self, outputs: Sequence[ExecutionOutput], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, PlaceOrder | AmendOrder):
                mid_ticks = self._quotes.mid_ticks(output.symbol, now_ns)
                self._decided[output.client_order_id] = mid_ticks
                _forget_oldest(self._decided)
            elif isinstance(output, RecordRow):
                if output.row.get("record") == "FILL":
                    self._on_fill(output.row, now_ns)
                elif output.row.get("record") == "TRADE":
                    self._on_closed(output.row, now_ns)

    def on_venue(self, update: VenueUpdate, now_ns: int) -> None:
        del now_ns
        if isinstance(update, OrderFilled):
            self._waiting[update.exec_id] = update
            _forget_oldest(self._waiting)
        elif isinstance(update, OrderUpdated) and update.trigger_ticks is not None:
            self._triggers[update.client_order_id] = Decimal(update.trigger_ticks)
            _forget_oldest(self._triggers)
        elif isinstance(update, FundingPaid):
            self._on_funding(update)

    # -- what came of it --------------------------------------------------------------------------------

    @property
    def drawdown(self) -> Drawdown:
        return self._equity.drawdown

    @property
    def net_closed_usdt(self) -> Decimal:
        return self._closed.net_usdt

    @property
    def open_positions(self) -> list[OpenPosition]:
        return [self._position(plan) for plan in self._plans.values() if plan.signed_lots]

    @property
    def equity_usdt(self) -> Decimal:
        """Deposit, closed trades, and open ones at the last mid."""
        return self._equity_at(self.last_ns)

    def finish(self) -> None:
        """The data end here: note the last equity."""
        self._settle(self.last_ns + 1)
        self._note_equity(self.last_ns)

    def equity_points(self) -> CurvePoints:
        return self._equity.points()

    def price_points(self) -> dict[str, CurvePoints]:
        """Mid of each symbol, sampled each second."""
        return {symbol: self._prices[n].points() for symbol, n in self._columns.items()}

    # -- trades -------------------------------------------------------------------------------------------

    def _on_fill(self, row: Row, now_ns: int) -> None:
        fill = self._waiting.pop(str(row.get("execId")), None)
        if fill is None:
            return
        plan = self._plans.setdefault(
            str(row["planId"]), _Plan(symbol=fill.symbol, first_ns=now_ns)
        )
        unit = self._unit[fill.symbol]
        self._settle(now_ns)
        plan.costs += costs_of(self._judged(fill, now_ns), unit)
        plan.signed_lots += fill.side.sign * fill.qty_lots
        plan.filled_notional_usdt += fill.price_ticks * fill.qty_lots * unit
        if str(row.get("leg", "")).startswith(("ENTRY", "DCA")):
            plan.entry_lots += fill.qty_lots
            plan.entry_tick_lots += fill.price_ticks * fill.qty_lots
        self._note_equity(now_ns)

    def _judged(self, fill: OrderFilled, now_ns: int) -> Fill:
        reference = self._triggers.get(fill.client_order_id)
        if reference is None:
            reference = self._decided.get(fill.client_order_id)
        return Fill(
            sign=fill.side.sign,
            price_ticks=fill.price_ticks,
            lots=fill.qty_lots,
            fee_usdt=fill.fee_usdt,
            is_maker=fill.is_maker,
            half_spread_ticks=self._quotes.half_spread_ticks(fill.symbol, now_ns),
            reference_ticks=reference,
        )

    def _on_funding(self, paid: FundingPaid) -> None:
        cost = Costs(funding_usdt=paid.fee_usdt)
        for plan in self._plans.values():
            if plan.symbol == paid.symbol and plan.signed_lots:
                plan.costs += cost
                return
        self._closed += cost  # the position is gone when the news comes: no trade carries it
        self.unexplained += 1

    def _on_closed(self, row: Row, now_ns: int) -> None:
        plan = self._plans.pop(str(row["planId"]), None)
        if plan is None:
            self.unexplained += 1
            return
        costs = plan.costs
        if plan.signed_lots or abs(float(costs.net_usdt) - float(row["realizedPnl"])) > 1e-6:
            self.unexplained += 1
        self._settle(now_ns)
        self._closed += costs
        request_id = str(row.get("requestId", ""))
        entry = plan.entry_tick_lots * self._unit[plan.symbol]
        self.trades.append(
            TradeResult(
                symbol=plan.symbol,
                side=str(row["side"]),
                plan_id=str(row["planId"]),
                opened_ns=plan.first_ns,
                closed_ns=now_ns,
                qty=float(row["qty"]),
                entry_price=float(row["entryPrice"]),
                exit_price=float(row["closePrice"]),
                entry_notional_usdt=float(entry),
                filled_notional_usdt=float(plan.filled_notional_usdt),
                exit_reason=str(row.get("exitReason", "")),
                costs=costs,
                context=self._contexts.pop(request_id, EntryContext()),
            )
        )
        self._note_equity(now_ns)

    def _position(self, plan: _Plan) -> OpenPosition:
        instrument = self._instruments[plan.symbol]
        average = plan.entry_tick_lots / plan.entry_lots if plan.entry_lots else 0.0
        return OpenPosition(
            symbol=plan.symbol,
            side="LONG" if plan.signed_lots > 0 else "SHORT",
            qty=float(instrument.lots_to_qty(abs(plan.signed_lots))),
            entry_price=average * float(instrument.tick_size),
            result_usdt=self._result_of(plan, self.last_ns),
        )

    # -- equity ---------------------------------------------------------------------------------------------

    def _equity_at(self, now_ns: int) -> Decimal:
        held = (self._result_of(plan, now_ns) for plan in self._plans.values())
        return self.deposit_usdt + self._closed.net_usdt + sum(held, _ZERO)

    def _result_of(self, plan: _Plan, now_ns: int) -> Decimal:
        """Cash so far, fees taken off, plus the rest at mid."""
        mid = self._quotes.mid_ticks(plan.symbol, now_ns) if plan.signed_lots else None
        return plan.costs.net_usdt + plan.signed_lots * (mid or _ZERO) * self._unit[plan.symbol]

    def _note_equity(self, now_ns: int) -> None:
        self._equity.add(now_ns, float(self._equity_at(now_ns)))

    def _settle(self, until_ns: int) -> None:
        """Note the equity of the sampled instants before `until_ns`: what was held then is known now."""
        while self._unsettled and self._unsettled[0] < until_ns:
            self._note_equity(self._unsettled.popleft())

    def _sampled(self, frames: Frames) -> deque[int]:
        """The first boundary of each second: mids are noted, and equity is due where something is held."""
        boundary = frames[frames["reason"] == _BOUNDARY]
        times = boundary["ts_ns"]
        seconds, rows = np.unique(times // _SECOND_NS, return_index=True)
        due: deque[int] = deque()
        for row in rows[seconds > self._last_second].tolist():
            now_ns = int(times[row])
            due.append(now_ns)
            for frame in boundary[row : int(np.searchsorted(times, now_ns, side="right"))]:
                self._note_price(frame, now_ns)
        if seconds.size:
            self._last_second = max(self._last_second, int(seconds[-1]))
        return due

    def _note_price(self, frame: Any, now_ns: int) -> None:
        if frame["book_state"] == BookState.OK and frame["bid_tick"] > 0:
            column = int(frame["symbol"])
            mid = (int(frame["bid_tick"]) + int(frame["ask_tick"])) / 2
            self._prices[column].add(now_ns, mid * self._tick[column])

    def _context(self, request: OrderRequest, now_ns: int) -> EntryContext:
        frame = self._quotes.frame_at(request.symbol, now_ns)
        near = "bid_depth_usd20" if request.side == "LONG" else "ask_depth_usd20"
        return EntryContext(
            regime=request.regime,
            global_regime=request.global_regime,
            rv60s_bps=_figure(frame, "rv60s"),
            spread_bps=_figure(frame, "spread_bps"),
            near_depth_usd=_figure(frame, near),
        )


def _figure(frame: Any, name: str) -> float | None:
    if frame is None:
        return None
    value = float(frame[name])
    return value if np.isfinite(value) else None


def _forget_oldest(kept: dict[str, Any]) -> None:
    if len(kept) > _REMEMBERED:
        for key in list(islice(kept, _REMEMBERED // 4)):
            del kept[key]
