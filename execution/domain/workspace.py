"""What the parts of the execution core share: its state, what it knows, and what it wants done."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from execution.domain.account import AccountBook, account_risk, open_result_usdt
from execution.domain.config import ExecutionConfig
from execution.domain.exposure import most_market_lots
from execution.domain.frame_rows import FrameRows
from execution.domain.frame_scan import prices_at
from execution.domain.guards import book_reasons
from execution.domain.orders import PUBLIC_STATUS, Order
from execution.domain.outputs import ExecutionOutput, LogLine, RecordRow
from execution.domain.quality import QualityState, QualityTracker
from execution.domain.quality_records import quality_record
from execution.domain.records import Row, fill_record, order_record
from execution.domain.strays import PositionDoubt
from execution.domain.trade import POSITION_DIFFERS, ManagedTrade, Quote
from execution.domain.trade_calm import Waits, note_extremes
from execution.domain.trade_scene import Scene
from execution.domain.venue import OrderFilled, OrderSide
from failover.domain.days import NS_PER_DAY, iso_ms
from market.domain.frames import Frames
from market.domain.instruments import Instrument
from strategy.domain.config import RiskConfig
from strategy.domain.messages import EventType, ExecutionEvent, RiskSnapshot
from strategy.domain.risk import AccountRisk, assess

_EXEC_IDS_KEPT = 512
_SIDE_NAMES = {side: side.value for side in OrderSide}


class CoreState(msgspec.Struct, kw_only=True):
    """Everything a restart must bring back. `finished` trades wait a minute for late fills."""

    book: AccountBook
    now_ns: int = 0
    log_seq: int = 0
    epoch: int = 1
    orders: dict[str, Order] = {}
    trades: dict[str, ManagedTrade] = {}
    finished: dict[str, tuple[int, ManagedTrade]] = {}  # plan id -> (end, trade)
    position_doubts: dict[str, PositionDoubt] = {}
    position_told_ns: dict[str, int] = {}  # symbol -> venue time of its newest fill or position
    strays: dict[str, ManagedTrade] = {}  # plan id -> trade that is undone beside the symbol's own
    leverage: dict[str, float] = {}  # symbol -> what the venue was told
    seen_exec_ids: list[str] = []  # of funding and of fills of unknown orders
    request_ids: list[str] = []
    command_ids: list[str] = []
    requests_stream_id: str = "0-0"
    last_snapshot_ns: int = 0
    last_error_at_ns: int = 0
    last_error: str = ""
    quality: QualityState = msgspec.field(default_factory=QualityState)


class Workspace:
    """One account's working set. Outputs are collected here and handed over by `take`, in order."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        config: ExecutionConfig,
        mode: str,
        run_id: str,
        limits: RiskConfig | None,
        symbols: Mapping[str, ExecutionConfig] | None = None,
        version: str = "",
        *,
        records: bool = True,
        symbol_limits: Mapping[str, RiskConfig] | None = None,
    ) -> None:
        self.records = records
        self._limits_of = dict(symbol_limits or {})
        self.config = config
        self.version = version
        self._config_of = dict(symbols or {})
        self.mode = mode
        self.run_id = run_id
        self.limits = limits or _limits_with_fees_of(config)
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.quotes: dict[str, Quote] = {}
        deposit = Decimal(repr(config.sim_balance_usdt))
        self.state = CoreState(book=AccountBook(deposit_usdt=deposit))
        self.lines: list[LogLine] = []
        self.commands: list[ExecutionOutput] = []
        self.sent: list[LogLine] = []
        self.news: list[ExecutionOutput] = []
        self.shown: dict[str, tuple[object, ...]] = {}  # symbol -> what its last row showed
        self.settled: dict[str, int] = {}  # symbol -> last look at its trade, if it wanted nothing
        self.quality = QualityTracker(
            lambda: self.state.quality, lambda symbol: self.config_for(symbol).quality
        )
        self._why = self._why_no_adding  # bound once: every look at a trade takes it along
        self._names = [instrument.symbol for instrument in instruments]
        self._is_alone = len(instruments) == 1
        self.columns = {name: column for column, name in enumerate(self._names)}
        self.tick_sizes = [float(instrument.tick_size) for instrument in instruments]
        self.units_usdt = {  # what a lot is worth per tick
            i.symbol: float(i.tick_size * i.qty_step) for i in instruments
        }
        self.most_lots = {i.symbol: most_market_lots(i) for i in instruments}
        self.waits = Waits(self.tick_sizes)
        self._rows: FrameRows | None = None

    def config_for(self, symbol: str) -> ExecutionConfig:
        """The symbol's own settings; the account-wide ones are always in `config`."""
        return self._config_of.get(symbol, self.config)

    def use_config(
        self,
        config: ExecutionConfig,
        limits: RiskConfig,
        version: str,
        symbols: Mapping[str, ExecutionConfig] | None,
        symbol_limits: Mapping[str, RiskConfig] | None,
    ) -> None:
        """Go by another config from the next decision on; the deposit of a running account stays."""
        self.config, self.limits, self.version = config, limits, version
        self._config_of = dict(symbols or {})
        self._limits_of = dict(symbol_limits or {})

    def limits_for(self, symbol: str) -> RiskConfig:
        """The limits of one position of `symbol`; those of the account are in `limits`."""
        return self._limits_of.get(symbol, self.limits)

    def scene(self, trade: ManagedTrade, now_ns: int) -> Scene:
        """What there is to see of `trade` now."""
        symbol = trade.plan.symbol
        touch = self.quotes.get(symbol)
        if touch is not None and (touch.bid_ticks <= 0 or touch.ask_ticks <= 0):
            touch = None
        return Scene(
            self.state.orders,
            touch,
            now_ns,
            self._config_of.get(symbol, self.config),
            self.instruments[symbol],
            self.most_lots[symbol],
            self._why,
            self._others_lots(trade) if trade.is_stray else 0,
        )

    def _others_lots(self, trade: ManagedTrade) -> int:
        own_lots = trade.position_lots * trade.plan.side.sign
        return self.signed_position(trade.plan.symbol) - own_lots

    def _why_no_adding(self, symbol: str, now_ns: int) -> str:
        """What the guards would refuse any entry for, whatever its size; empty when nothing."""
        state = self.state
        if state.book.safe_mode:
            return "SAFE_MODE"
        if not state.book.trading_enabled:
            return "TRADING_DISABLED"
        if state.position_doubts and symbol in state.position_doubts:
            return POSITION_DIFFERS
        if self.quality.is_blocked(symbol, now_ns):
            return "QUALITY_BLOCK"
        config = self._config_of.get(symbol, self.config)
        reasons = book_reasons(self.quotes.get(symbol), now_ns, config)
        return reasons[0] if reasons else ""

    def account(self, now_ns: int) -> AccountRisk:
        """All figures the limits look at. The first look of a UTC day begins it."""
        state = self.state
        return account_risk(
            state.book,
            (*state.trades.values(), *state.strays.values()),
            state.orders,
            self.quotes,
            self.instruments,
            self.limits_for,
            now_ns,
        )

    def risk(self, now_ns: int) -> RiskSnapshot:
        """The account against its limits, as execution sees it."""
        return assess(self.account(now_ns), self.limits)

    def tick_clock(self, now_ns: int) -> int:
        """Core time never runs backwards, whichever source spoke last."""
        before = self.state.now_ns
        if now_ns <= before:
            return before
        self.state.now_ns = now_ns
        if before // NS_PER_DAY != now_ns // NS_PER_DAY:
            self.account(now_ns)  # what is won or lost from here on is of the new day
        return now_ns

    # -- frames ---------------------------------------------------------------------------------------

    def rows_of(self, frames: Frames) -> FrameRows:
        """Frames as rows of words; a stretch that is looked at piece by piece is made so once."""
        if self._rows is None or self._rows.frames is not frames:
            self._rows = FrameRows(frames)
        return self._rows

    def quote(self, rows: FrameRows, row: int) -> Quote:
        """Take the quote of one frame."""
        head = rows.heads[row]
        column = head & 0xFFFF
        ts_ns, bid, ask, spread, mark, rate, to_funding = rows.quoted(row)
        symbol = self._names[column]
        quote = self.quotes[symbol] = Quote(
            symbol=symbol,
            ts_ns=ts_ns,
            bid_ticks=bid,
            ask_ticks=ask,
            book_state=head >> 24 & 0xFF,
            spread_bps=spread,
            mark_ticks=mark / self.tick_sizes[column] if mark == mark else None,
            funding_rate=rate,
            seconds_to_funding=to_funding,
        )
        return quote

    def quotes_of(self, rows: FrameRows, start: int, stop: int) -> None:
        """Take the last frame of each symbol."""
        for row in rows.last_of_each(start, stop, len(self._names)):
            self.quote(rows, row)

    def pass_over(self, rows: FrameRows, start: int, stop: int, unquoted: int) -> None:
        """Frames that need no look leave how far the price went, and from `unquoted` on their last quotes."""
        if unquoted >= stop:
            return
        if self.quality.state.markouts:
            self.mark_out(rows, start, stop)
        if self._is_alone:
            self.quote(rows, stop - 1)
        else:
            self.quotes_of(rows, unquoted, stop)
        for trade in self.state.trades.values():
            if trade.entered_lots > trade.exited_lots:
                note_extremes(trade, rows, start, stop, self.columns[trade.plan.symbol])

    def holds_any(self) -> bool:
        """Whether what the account is worth moves with a price."""
        for trade in self.state.trades.values():
            if trade.entered_lots > trade.exited_lots:
                return True
        return bool(self.state.strays)

    def pass_seconds(self, rows: FrameRows, start: int, stop: int, due_ns: int) -> int:
        """The place behind the first boundary instant of the last second in start..stop; 0: there is none.

        From `due_ns` on, what looks at whole seconds would have noted of the account: each value, and its
        peak. The caller knows that none of these seconds changes anything else.
        """
        if not self.holds_any():
            return rows.end_of_last_second(start, stop, due_ns)
        ends = rows.ends_of_seconds(start, stop, due_ns)
        if len(ends):
            self._note_values(rows, start, ends)
        return int(ends[-1]) if len(ends) else 0

    def _note_values(self, rows: FrameRows, start: int, ends: NDArray[np.int64]) -> None:
        trades = (*self.state.trades.values(), *self.state.strays.values())
        held = [trade for trade in trades if trade.position_lots > 0]
        prices = {trade.plan.plan_id: self._prices_at(trade, rows, start, ends) for trade in held}
        book, is_priced = self.state.book, True
        for n in range(len(ends)):
            open_usdt = 0.0
            for trade in trades:
                if (own := prices.get(trade.plan.plan_id)) is not None:
                    trade.valued_ticks = own[n]
                    is_priced &= own[n] != 0.0
                open_usdt += self.open_usdt(trade, trade.valued_ticks)
            equity = float(book.deposit_usdt + book.realized_usdt) + open_usdt
            if is_priced:
                book.equity_peak_usdt = max(book.equity_peak_usdt, equity)

    def _prices_at(
        self, trade: ManagedTrade, rows: FrameRows, start: int, ends: NDArray[np.int64]
    ) -> list[float]:
        column, prices = self.columns[trade.plan.symbol], np.zeros(len(ends))
        quote = self.quotes.get(trade.plan.symbol)
        price = 0.0 if quote is None else quote.price_ticks
        prices_at(
            rows.words, rows.floats, start, ends, column, self.tick_sizes[column],
            price, trade.valued_ticks, prices,
        )  # fmt: skip
        values: list[float] = prices.tolist()
        return values

    def price_ticks(self, trade: ManagedTrade) -> float:
        """What a trade is valued at now; 0 = no price was ever known."""
        quote = self.quotes.get(trade.plan.symbol)
        return (0.0 if quote is None else quote.price_ticks) or trade.valued_ticks

    def open_usdt(self, trade: ManagedTrade, price_ticks: float) -> float:
        """Net result so far of an open trade, what it would be worth at a price included."""
        return open_result_usdt(trade, price_ticks, self.instruments[trade.plan.symbol])[0]

    def mark_out(self, rows: FrameRows, start: int, stop: int) -> None:
        """Take from frames, in order of emission, the mids that past fills wait for."""
        quality = self.quality
        while start < stop and (due_ns := quality.first_due_ns) <= rows.times[stop - 1]:
            start = bisect_left(rows.times, due_ns, start, stop)
            quality.on_quote(self.quote(rows, start))
            start += 1

    def held(self, symbol: str) -> list[ManagedTrade]:
        """What holds, or was to hold, lots of a symbol: its trade first, then its strays."""
        trade, strays = self.state.trades.get(symbol), self.state.strays.values()
        if not strays:
            return [] if trade is None else [trade]
        return [*([] if trade is None else [trade]), *(t for t in strays if t.symbol == symbol)]

    def signed_position(self, symbol: str) -> int:
        if not self.state.strays:
            trade = self.state.trades.get(symbol)
            return 0 if trade is None else trade.position_lots * trade.plan.side.sign
        return sum(t.position_lots * t.plan.side.sign for t in self.held(symbol))

    def is_busy(self, symbol: str) -> bool:
        """Whether a trade, or the undoing of one, stands in the way of a new entry."""
        return bool(self.held(symbol))

    def is_new_execution(self, exec_id: str) -> bool:
        """Whether an execution of no order of ours is heard for the first time; notes it."""
        seen = self.state.seen_exec_ids
        if exec_id in seen:
            return False
        self.state.seen_exec_ids = [*seen[-_EXEC_IDS_KEPT:], exec_id]
        return True

    def order_row(self, order: Order, now: int) -> Row:
        record = order_record(order, self.instruments[order.symbol], self.mode, now)
        return {"record": "ORDER", **record}

    def show_order(self, order: Order, now: int) -> None:
        """Say what became of an order, where somebody writes it down."""
        if self.records:
            self.news.append(RecordRow(self.order_row(order, now)))

    def line(self, kind: str, order: Order, now: int, **extra: Any) -> LogLine:
        record = order_record(order, self.instruments[order.symbol], self.mode, now)
        head = {"kind": kind, "seq": 0, "epoch": self.state.epoch}  # numbered when handed over
        return LogLine({**head, **record, **extra})

    def log(self, kind: str, order: Order, now: int, **extra: Any) -> None:
        if self.records:
            self.lines.append(self.line(kind, order, now, **extra))

    def log_fill(self, fill: OrderFilled, now: int) -> None:
        """An execution that belongs to no order of ours."""
        record = fill_record(fill, None, self.instruments[fill.symbol])
        row = {**record, "execType": fill.exec_type.value}
        self.log_event("FOREIGN_FILL", now, symbol=fill.symbol, fill=row)
        self.news.append(RecordRow(row))

    def log_event(self, event: str, now: int, **fields: Any) -> None:
        """A RESULT line that is not about one order."""
        if not self.records:
            return
        head = {"kind": "RESULT", "seq": 0, "epoch": self.state.epoch}
        common = {"timestamp": iso_ms(now), "event": event, "mode": self.mode, "schemaVersion": 1}
        self.lines.append(LogLine({**head, **common, **fields}))

    def event(
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
        self.news.append(
            ExecutionEvent(
                type=kind,
                symbol=symbol,
                ts_ns=now,
                request_id=trade.request_id if trade else "",
                plan_id=trade.plan.plan_id if trade else "",
                client_order_id=order.client_order_id if order else "",
                leg=order.leg if order else "",
                side=_SIDE_NAMES[order.side] if order else "",
                qty_lots=order.qty_lots if order else 0,
                price_ticks=shown_price,
                filled_lots=order.filled_lots if order else 0,
                avg_fill_price_ticks=order.average_ticks if order else None,
                status=PUBLIC_STATUS[order.state] if order else "",
                position_lots=self.signed_position(symbol),
                reason=reason,
            )
        )

    def alert(self, symbol: str, text: str, now: int, trade: ManagedTrade | None = None) -> None:
        """Tell whoever watches that something is not as it should be; no state moves by it."""
        self.note_error(f"{symbol}: {text}", now)
        self.log_event("ALERT", now, symbol=symbol, reason=text)
        self.event(EventType.EXECUTION_ERROR, symbol, now, text, trade)
        event = self.news[-1]
        assert isinstance(event, ExecutionEvent)
        self.news[-1] = msgspec.structs.replace(event, status="ALERT")

    def note_error(self, text: str, now: int) -> None:
        self.state.last_error_at_ns, self.state.last_error = now, text[:300]

    def _record_quality(self) -> None:
        for followed in self.quality.take_finished():
            if not self.records:
                continue
            row = quality_record(followed, self.instruments[followed.symbol], self.mode)
            self.log_event(
                "ORDER_QUALITY", followed.recorded_ns, symbol=followed.symbol, quality=row
            )
            self.news.append(RecordRow(row))

    def take(self) -> list[ExecutionOutput]:
        """Hand over all that is to be done, in order. Unrecorded, of rows only fills and closed trades."""
        if self.quality.finished:
            self._record_quality()
        if not self.records:
            outputs = self.commands + self.news
            if outputs:
                self.commands, self.news = [], []
            return outputs
        for line in (*self.lines, *self.sent):
            self.state.log_seq += 1
            line.record["seq"] = self.state.log_seq
        outputs = [*self.lines, *self.commands, *self.sent, *self.news]
        self.lines, self.commands, self.sent, self.news = [], [], [], []
        return outputs


def _limits_with_fees_of(config: ExecutionConfig) -> RiskConfig:
    return RiskConfig(maker_fee_bps=config.maker_fee_bps, taker_fee_bps=config.taker_fee_bps)
